"""Schedules by when their sale opens: looked for every second, among all that ever were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        'ix_schedules_sale_opens_at', 'schedules', ['sale_opens_at'],
        postgresql_where=sa.text('sale_opens_at IS NOT NULL'),
    )


def downgrade() -> None:
    op.drop_index('ix_schedules_sale_opens_at', 'schedules')
