"""A venue's organizer lets others play there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None

UUID = postgresql.UUID(as_uuid=False)


def upgrade() -> None:
    op.create_table(
        'venue_grants',
        sa.Column('id', UUID, nullable=False),
        sa.Column('venue_id', UUID, nullable=False),
        sa.Column('email', sa.Text(), nullable=True),
        sa.Column('organizer_id', UUID, nullable=True),
        sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.CheckConstraint('num_nonnulls(email, organizer_id) = 1', name=op.f('ck_venue_grants_one_or_the_other')),
        sa.ForeignKeyConstraint(['venue_id'], ['venues.id'], name=op.f('fk_venue_grants_venue_id')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_venue_grants')),
        sa.UniqueConstraint('venue_id', 'email', name=op.f('uq_venue_grants_venue_id_email')),
        sa.UniqueConstraint('venue_id', 'organizer_id', name=op.f('uq_venue_grants_venue_id_organizer_id')),
    )
    op.create_index(op.f('ix_venue_grants_email'), 'venue_grants', ['email'])
    op.create_index(op.f('ix_venue_grants_organizer_id'), 'venue_grants', ['organizer_id'])


def downgrade() -> None:
    op.drop_table('venue_grants')
