"""Whom an answer that is kept tells about, and for a day how many mails an address was sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('idempotency_keys', sa.Column('account_id', sa.UUID(as_uuid=False), nullable=True))
    op.create_index('ix_idempotency_keys_account_id', 'idempotency_keys', ['account_id'], unique=False,
    postgresql_where=sa.text("account_id IS NOT NULL"))
    op.create_index('ix_idempotency_keys_created_at', 'idempotency_keys', ['created_at'], unique=False)
    # Answers to those who signed up, kept before it was noted whom they tell about.
    op.execute(
        "DELETE FROM idempotency_keys WHERE convert_from(body, 'UTF8')::jsonb ? 'email'"
    )
    op.add_column('notifications', sa.Column('address_digest', sa.LargeBinary(), nullable=True))
    op.create_index('ix_notifications_address_digest', 'notifications', ['address_digest', 'sent_at'], unique=False,
    postgresql_where=sa.text("address_digest IS NOT NULL"))


def downgrade() -> None:
    op.drop_index('ix_notifications_address_digest', table_name='notifications')
    op.drop_column('notifications', 'address_digest')
    op.drop_index('ix_idempotency_keys_created_at', table_name='idempotency_keys')
    op.drop_index('ix_idempotency_keys_account_id', table_name='idempotency_keys')
    op.drop_column('idempotency_keys', 'account_id')
