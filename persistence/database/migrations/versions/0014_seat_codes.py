"""The door's log says which seat a code was for, where it was for one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('check_ins', sa.Column('seat', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('check_ins', 'seat')
