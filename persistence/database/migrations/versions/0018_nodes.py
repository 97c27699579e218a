"""The machines of a cluster, where their processes of owners are called, and work that one of them does at a time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None

NOW = sa.text('clock_timestamp()')


def upgrade() -> None:
    op.create_table(
        'nodes',
        sa.Column('name', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_nodes')),
        sa.Column('incarnation', sa.Text(), nullable=False),
        sa.Column('address', sa.Text(), nullable=False),
        sa.Column('processes', sa.Integer(), nullable=False),
        sa.Column('state', sa.Text(), nullable=False),
        sa.Column('joined_at', sa.TIMESTAMP(timezone=True), nullable=False, server_default=NOW),
        sa.Column('beat_at', sa.TIMESTAMP(timezone=True), nullable=False, server_default=NOW),
        postgresql_with={'fillfactor': '50'},
    )
    op.create_table(
        'owner_processes',
        sa.Column('name', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_owner_processes')),
        sa.Column('address', sa.Text(), nullable=False),
        sa.Column('port', sa.Integer(), nullable=False),
        sa.Column('token', sa.Text(), nullable=False),
        sa.Column('started_at', sa.TIMESTAMP(timezone=True), nullable=False, server_default=NOW),
    )
    op.create_table(
        'leases',
        sa.Column('work', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('work', name=op.f('pk_leases')),
        sa.Column('holder', sa.Text(), nullable=False),
        sa.Column('until', sa.TIMESTAMP(timezone=True), nullable=False),
        postgresql_with={'fillfactor': '50'},
    )


def downgrade() -> None:
    for table in ('leases', 'owner_processes', 'nodes'):
        op.drop_table(table)
