"""Schedules of which nothing is due, so that what looks for something due need not look at them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('schedule_heads', sa.Column('resting', sa.Boolean(), nullable=False, server_default=sa.text('false')))
    op.create_index(
        'ix_schedule_heads_not_resting', 'schedule_heads', ['schedule_id'], postgresql_where=sa.text('NOT resting')
    )


def downgrade() -> None:
    op.drop_index('ix_schedule_heads_not_resting', 'schedule_heads')
    op.drop_column('schedule_heads', 'resting')
