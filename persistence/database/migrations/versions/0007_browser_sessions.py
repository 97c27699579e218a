"""Sessions of browsers, links that are mailed to an account's owner, and accounts that let nobody in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column('accounts', sa.Column('email_confirmed_at', TIME, nullable=True))
    op.add_column('accounts', sa.Column('locked_at', TIME, nullable=True))
    op.add_column('sessions', sa.Column('previous_hash', sa.LargeBinary(), nullable=True))
    op.add_column('sessions', sa.Column('browser', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column('sessions', sa.Column('client', sa.Text(), nullable=True))
    op.add_column('sessions', sa.Column('used_at', TIME, server_default=sa.text('now()'), nullable=False))
    op.create_table('account_links',
    sa.Column('id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('account_id', sa.UUID(as_uuid=False), nullable=False),
    sa.Column('purpose', sa.Text(), nullable=False),
    sa.Column('token_hash', sa.LargeBinary(), nullable=True),
    sa.Column('created_at', TIME, nullable=False),
    sa.Column('expires_at', TIME, nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_account_links_account_id'),
    ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_account_links')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_account_links_token_hash'))
    )
    op.create_index(op.f('ix_account_links_account_id'), 'account_links', ['account_id'], unique=False)
    op.alter_column('notifications', 'schedule_id', existing_type=sa.UUID(as_uuid=False), nullable=True)
    op.create_index('ix_notifications_customer_id_created_at', 'notifications', ['customer_id', 'created_at'],
    unique=False)


def downgrade() -> None:
    op.drop_index('ix_notifications_customer_id_created_at', table_name='notifications')
    op.execute("DELETE FROM notifications WHERE schedule_id IS NULL")
    op.alter_column('notifications', 'schedule_id', existing_type=sa.UUID(as_uuid=False), nullable=False)
    op.drop_table('account_links')
    for column in ('used_at', 'client', 'browser', 'previous_hash'):
        op.drop_column('sessions', column)
    for column in ('locked_at', 'email_confirmed_at'):
        op.drop_column('accounts', column)
