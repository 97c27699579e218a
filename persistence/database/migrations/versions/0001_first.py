"""Every table of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('accounts',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('email', sa.Text(), nullable=False),
    sa.Column('password_hash', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('deleted_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_accounts'))
    )
    op.create_index('uq_accounts_email_lower', 'accounts', [sa.literal_column('lower(email)')], unique=True, postgresql_where=sa.text('deleted_at IS NULL'))
    op.create_table('audit_log',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('account_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('before', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('after', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_log'))
    )
    op.create_table('bookings',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('customer_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('seats', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('prices', postgresql.ARRAY(sa.BigInteger()), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('expires_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('payment_id', sa.UUID(as_uuid=False), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_bookings'))
    )
    op.create_index('ix_bookings_customer_id_id', 'bookings', ['customer_id', 'id'], unique=False)
    op.create_index('ix_bookings_schedule_id_status', 'bookings', ['schedule_id', 'status'], unique=False)
    op.create_table('cancellations',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('booking_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('customer_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('by', sa.Text(), nullable=False),
    sa.Column('cancelled_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_cancellations')),
    sa.UniqueConstraint('booking_id', name=op.f('uq_cancellations_booking_id'))
    )
    op.create_index(op.f('ix_cancellations_customer_id'), 'cancellations', ['customer_id'], unique=False)
    op.create_table('idempotency_keys',
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('owner', 'key', name=op.f('pk_idempotency_keys'))
    )
    op.create_table('journal',
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('booking_id', sa.UUID(as_uuid=False), nullable=True),
    sa.Column('request_id', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False),
    sa.Column('payload', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('schedule_id', 'seq', name=op.f('pk_journal'))
    )
    op.create_table('payments',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('booking_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('customer_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('reference', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('requested_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('settled_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payments'))
    )
    op.create_index(op.f('ix_payments_booking_id'), 'payments', ['booking_id'], unique=False)
    op.create_index(op.f('ix_payments_customer_id'), 'payments', ['customer_id'], unique=False)
    op.create_index('ix_payments_requested', 'payments', ['requested_at'], unique=False, postgresql_where=sa.text("status = 'requested'"))
    op.create_table('schedule_heads',
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('published_seq', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('snapshot_seq', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('next_deadline_ms', sa.BigInteger(), nullable=True),
    sa.Column('oldest_payment_ms', sa.BigInteger(), nullable=True),
    sa.Column('updated_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('schedule_id', name=op.f('pk_schedule_heads')),
    postgresql_with={'fillfactor': '50'}
    )
    op.create_table('snapshots',
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('payload', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('schedule_id', 'seq', name=op.f('pk_snapshots'))
    )
    op.create_table('sessions',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('account_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('refresh_hash', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('revoked_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_sessions_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sessions')),
    sa.UniqueConstraint('refresh_hash', name=op.f('uq_sessions_refresh_hash'))
    )
    op.create_index(op.f('ix_sessions_account_id'), 'sessions', ['account_id'], unique=False)
    op.create_table('venues',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('organizer_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('seating_plan', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('plan_digest', sa.Text(), nullable=False),
    sa.Column('capacity', sa.Integer(), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['organizer_id'], ['accounts.id'], name=op.f('fk_venues_organizer_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_venues'))
    )
    op.create_table('performances',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('organizer_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('venue_id', sa.UUID(as_uuid=False), nullable=True),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('category', sa.Text(), nullable=True),
    sa.Column('duration_minutes', sa.Integer(), nullable=True),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('deleted_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['organizer_id'], ['accounts.id'], name=op.f('fk_performances_organizer_id')),
    sa.ForeignKeyConstraint(['venue_id'], ['venues.id'], name=op.f('fk_performances_venue_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_performances'))
    )
    op.create_index('uq_performances_organizer_title', 'performances', ['organizer_id', sa.literal_column('lower(title)')], unique=True, postgresql_where=sa.text('deleted_at IS NULL'))
    op.create_table('schedules',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('performance_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('venue_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('starts_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('prices', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('sale_opens_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('sale_closes_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('max_seats_per_customer', sa.Integer(), nullable=True),
    sa.Column('hold_seconds', sa.Integer(), nullable=False),
    sa.Column('waiting_room', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('deleted_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['performance_id'], ['performances.id'], name=op.f('fk_schedules_performance_id')),
    sa.ForeignKeyConstraint(['venue_id'], ['venues.id'], name=op.f('fk_schedules_venue_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_schedules'))
    )
    op.create_index(op.f('ix_schedules_performance_id'), 'schedules', ['performance_id'], unique=False)
    op.create_index('ix_schedules_venue_id_starts_at', 'schedules', ['venue_id', 'starts_at'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_schedules_venue_id_starts_at', table_name='schedules')
    op.drop_index(op.f('ix_schedules_performance_id'), table_name='schedules')
    op.drop_table('schedules')
    op.drop_index('uq_performances_organizer_title', table_name='performances', postgresql_where=sa.text('deleted_at IS NULL'))
    op.drop_table('performances')
    op.drop_table('venues')
    op.drop_index(op.f('ix_sessions_account_id'), table_name='sessions')
    op.drop_table('sessions')
    op.drop_table('snapshots')
    op.drop_table('schedule_heads')
    op.drop_index('ix_payments_requested', table_name='payments', postgresql_where=sa.text("status = 'requested'"))
    op.drop_index(op.f('ix_payments_customer_id'), table_name='payments')
    op.drop_index(op.f('ix_payments_booking_id'), table_name='payments')
    op.drop_table('payments')
    op.drop_table('journal')
    op.drop_table('idempotency_keys')
    op.drop_index(op.f('ix_cancellations_customer_id'), table_name='cancellations')
    op.drop_table('cancellations')
    op.drop_index('ix_bookings_schedule_id_status', table_name='bookings')
    op.drop_index('ix_bookings_customer_id_id', table_name='bookings')
    op.drop_table('bookings')
    op.drop_table('audit_log')
    op.drop_index('uq_accounts_email_lower', table_name='accounts', postgresql_where=sa.text('deleted_at IS NULL'))
    op.drop_table('accounts')
