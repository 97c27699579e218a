"""Which process a schedule's owner lives in, since owners share processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('schedule_heads', sa.Column('host', sa.Text(), nullable=True))
    op.create_index(
        'ix_schedule_heads_host', 'schedule_heads', ['host'], postgresql_where=sa.text('host IS NOT NULL')
    )


def downgrade() -> None:
    op.drop_index('ix_schedule_heads_host', 'schedule_heads')
    op.drop_column('schedule_heads', 'host')
