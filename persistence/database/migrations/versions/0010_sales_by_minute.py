"""Sales figures by the minute. The service makes them again from the journal: a figure of an hour cannot be split."""

from __future__ import annotations

from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column('sales', 'hour', new_column_name='minute')
    _begin_anew()


def downgrade() -> None:
    op.alter_column('sales', 'minute', new_column_name='hour')
    _begin_anew()


def _begin_anew() -> None:
    op.execute('DELETE FROM sales')
    op.execute('DELETE FROM sales_bookings')
    op.execute("DELETE FROM consumer_positions WHERE consumer = 'sales' OR consumer LIKE 'sales/%'")
