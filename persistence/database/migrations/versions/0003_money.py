"""Refunds and the policy they follow, cancelled schedules, bookings put away, findings of the reconciliation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

# What was in force before a schedule could have a policy of its own.
POLICY = (
    """'[{"days_before": 10, "fee_percent": 0}, {"days_before": 7, "fee_percent": 10},"""
    """ {"days_before": 3, "fee_percent": 20}, {"days_before": 0, "fee_percent": 30}]'"""
)


def upgrade() -> None:
    op.create_table('refunds',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('payment_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('booking_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('customer_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('fee', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('seats', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('reference', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('by', sa.Text(), nullable=False),
    sa.Column('requested_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('settled_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_refunds'))
    )
    for name in ('booking_id', 'payment_id', 'schedule_id'):
        op.create_index(op.f(f'ix_refunds_{name}'), 'refunds', [name], unique=False)
    op.create_index('ix_refunds_requested', 'refunds', ['requested_at'], unique=False, postgresql_where=sa.text("status = 'requested'"))
    op.create_index(op.f('ix_payments_schedule_id'), 'payments', ['schedule_id'], unique=False)
    op.create_table('reconciliations',
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('checked_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('holds', sa.Boolean(), nullable=False),
    sa.Column('checks', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('subject', name=op.f('pk_reconciliations'))
    )
    op.add_column('bookings', sa.Column('archived_at', postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column('schedules', sa.Column('refund_policy', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text(POLICY), nullable=False))
    op.add_column('schedules', sa.Column('cancelled_at', postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column('schedules', sa.Column('cancellation_reason', sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ('cancellation_reason', 'cancelled_at', 'refund_policy'):
        op.drop_column('schedules', name)
    op.drop_column('bookings', 'archived_at')
    op.drop_table('reconciliations')
    op.drop_index(op.f('ix_payments_schedule_id'), table_name='payments')
    op.drop_table('refunds')
