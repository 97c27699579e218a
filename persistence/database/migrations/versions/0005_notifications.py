"""What customers are told by mail, and in which language."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('accounts', sa.Column('language', sa.Text(), server_default='en', nullable=False))
    op.create_table('notifications',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('schedule_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('customer_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('booking_id', sa.UUID(as_uuid=False), nullable=True),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('due_at', postgresql.TIMESTAMP(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('sent_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_notifications'))
    )
    op.create_index('ix_notifications_created_at_id', 'notifications', ['created_at', 'id'], unique=False)
    op.create_index('ix_notifications_open', 'notifications', ['due_at'], unique=False,
    postgresql_where=sa.text("status IN ('pending', 'sending')"))
    op.create_table('notifications_start',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_notifications_start_one_row')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_notifications_start'))
    )


def downgrade() -> None:
    op.drop_table('notifications_start')
    op.drop_table('notifications')
    op.drop_column('accounts', 'language')
