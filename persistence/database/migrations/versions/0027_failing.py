"""What does not hold, of all that was ever examined: looked for after every round that examined something."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0027'
down_revision = '0026'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_reconciliations_failing', 'reconciliations', ['subject'], postgresql_where=sa.text('NOT holds'))


def downgrade() -> None:
    op.drop_index('ix_reconciliations_failing', 'reconciliations')
