"""Customers hand seats on to others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None

UUID = sa.UUID(as_uuid=False)
TIME = postgresql.TIMESTAMP(timezone=True)


def _number_bookings(*statuses: str) -> None:
    """The index of the numbers of bookings that were ever sold."""
    op.drop_index('ix_bookings_number', table_name='bookings')
    known = ', '.join(f"'{status}'" for status in statuses)
    where = sa.text(f'status IN ({known})')
    op.create_index('ix_bookings_number', 'bookings', [sa.text('"right"(id::text, 9)')], postgresql_where=where)


def upgrade() -> None:
    op.add_column('bookings', sa.Column('origin_id', UUID, nullable=True))
    given = sa.text('origin_id IS NOT NULL')
    op.create_index('ix_bookings_origin_id', 'bookings', ['origin_id'], unique=False, postgresql_where=given)
    _number_bookings('confirmed', 'partially_refunded', 'refunded', 'transferred')
    op.add_column('schedules', sa.Column('transferable', sa.Boolean(), server_default=sa.true(), nullable=False))
    op.create_table(
        'transfers',
        sa.Column('id', UUID, nullable=False),
        sa.Column('booking_id', UUID, nullable=False),
        sa.Column('schedule_id', UUID, nullable=False),
        sa.Column('from_customer_id', UUID, nullable=False),
        sa.Column('to_email', sa.Text(), nullable=True),
        sa.Column('to_customer_id', UUID, nullable=True),
        sa.Column('to_booking_id', UUID, nullable=False),
        sa.Column('seats', postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column('status', sa.Text(), nullable=False),
        sa.Column('created_at', TIME, nullable=False),
        sa.Column('expires_at', TIME, nullable=False),
        sa.Column('ended_at', TIME, nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_transfers')),
    )
    for column in ('booking_id', 'from_customer_id', 'to_email'):
        op.create_index(op.f(f'ix_transfers_{column}'), 'transfers', [column], unique=False)


def downgrade() -> None:
    op.drop_table('transfers')
    op.drop_column('schedules', 'transferable')
    _number_bookings('confirmed', 'partially_refunded', 'refunded')
    op.drop_index('ix_bookings_origin_id', table_name='bookings')
    op.drop_column('bookings', 'origin_id')
