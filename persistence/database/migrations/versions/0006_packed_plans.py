"""A venue's seating plan also as it is stored when it has been read. Venues from before go on by their documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('venues', sa.Column('packed_plan', sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column('venues', 'packed_plan')
