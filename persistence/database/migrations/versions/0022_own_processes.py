"""Schedules that are to have a process of owners to themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('schedule_heads', sa.Column('dedicated_at', sa.TIMESTAMP(timezone=True)))
    op.add_column('schedule_heads', sa.Column('hot_at', sa.TIMESTAMP(timezone=True)))
    op.create_index(
        'ix_schedule_heads_marked', 'schedule_heads', ['schedule_id'],
        postgresql_where=sa.text('dedicated_at IS NOT NULL OR hot_at IS NOT NULL'),
    )


def downgrade() -> None:
    op.drop_index('ix_schedule_heads_marked', 'schedule_heads')
    op.drop_column('schedule_heads', 'hot_at')
    op.drop_column('schedule_heads', 'dedicated_at')
