"""Machines say what they know each other by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0025'
down_revision = '0024'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('nodes', sa.Column('known_by', sa.ARRAY(sa.Text()), nullable=False, server_default='{}'))


def downgrade() -> None:
    op.drop_column('nodes', 'known_by')
