"""Sessions by when they were revoked: every worker looks for what was revoked lately once a second."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0026'
down_revision = '0025'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        'ix_sessions_revoked_at', 'sessions', ['revoked_at'], postgresql_where=sa.text('revoked_at IS NOT NULL')
    )


def downgrade() -> None:
    op.drop_index('ix_sessions_revoked_at', 'sessions')
