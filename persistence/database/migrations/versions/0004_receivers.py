"""Receiving services: how far each has come, what it could not digest, and the sales projection."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('consumer_positions',
    sa.Column('consumer', sa.Text(), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('consumer', 'schedule_id', name=op.f('pk_consumer_positions'))
    )
    op.create_table('parked_events',
    sa.Column('consumer', sa.Text(), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('value', sa.LargeBinary(), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='1', nullable=False),
    sa.Column('parked_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('consumer', 'schedule_id', 'version', name=op.f('pk_parked_events'))
    )
    op.create_table('sales',
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('category', sa.Text(), nullable=False),
    sa.Column('hour', postgresql.TIMESTAMP(timezone=True), nullable=False),
    *(
        sa.Column(name, sa.BigInteger(), nullable=False)
        for name in ('held', 'expired', 'cancelled', 'sold', 'refunded', 'revenue', 'fees')
    ),
    sa.PrimaryKeyConstraint('schedule_id', 'category', 'hour', name=op.f('pk_sales'))
    )
    op.create_table('sales_bookings',
    sa.Column('booking_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('booking', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('booking_id', name=op.f('pk_sales_bookings'))
    )
    op.create_index(op.f('ix_sales_bookings_schedule_id'), 'sales_bookings', ['schedule_id'], unique=False)


def downgrade() -> None:
    for name in ('sales_bookings', 'sales', 'parked_events', 'consumer_positions'):
        op.drop_table(name)
