"""The door knows who is giving seats back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None

UUID = sa.UUID(as_uuid=False)


def upgrade() -> None:
    op.create_table(
        'giving_back',
        sa.Column('id', UUID, nullable=False),
        sa.Column('booking_id', UUID, nullable=False),
        sa.Column('lapses_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_giving_back')),
    )
    op.create_index(op.f('ix_giving_back_booking_id'), 'giving_back', ['booking_id'], unique=False)


def downgrade() -> None:
    op.drop_table('giving_back')
