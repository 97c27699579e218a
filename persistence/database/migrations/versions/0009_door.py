"""The door: who came in, what was taken back, and who may let people in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

UUID = postgresql.UUID(as_uuid=False)
TIME = postgresql.TIMESTAMP(timezone=True)
NOW = sa.text('now()')


def upgrade() -> None:
    op.create_table(
        'check_ins',
        sa.Column('id', UUID, nullable=False),
        sa.Column('schedule_id', UUID, nullable=False),
        sa.Column('booking_id', UUID, nullable=True),
        sa.Column('result', sa.Text(), nullable=False),
        sa.Column('places', sa.Integer(), nullable=False),
        sa.Column('gate', sa.Text(), nullable=True),
        sa.Column('at', TIME, nullable=False),
        sa.Column('received_at', TIME, server_default=NOW, nullable=False),
        sa.Column('version', sa.BigInteger(), nullable=False),
        sa.Column('staff', sa.Text(), nullable=False),
        sa.Column('answer', postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_check_ins')),
    )
    op.create_index('ix_check_ins_schedule_id_result', 'check_ins', ['schedule_id', 'result'])
    op.create_index(
        'ix_check_ins_booking_id', 'check_ins', ['booking_id'], postgresql_where=sa.text("result = 'admitted'")
    )
    op.create_table(
        'check_in_undos',
        sa.Column('check_in_id', UUID, nullable=False),
        sa.Column('reason', sa.Text(), nullable=False),
        sa.Column('staff', sa.Text(), nullable=False),
        sa.Column('at', TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ['check_in_id'], ['check_ins.id'], name=op.f('fk_check_in_undos_check_in_id')
        ),
        sa.PrimaryKeyConstraint('check_in_id', name=op.f('pk_check_in_undos')),
    )
    op.create_table(
        'door_staff',
        sa.Column('id', UUID, nullable=False),
        sa.Column('schedule_id', UUID, nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('token_hash', sa.LargeBinary(), nullable=False),
        sa.Column('created_at', TIME, server_default=NOW, nullable=False),
        sa.Column('expires_at', TIME, nullable=False),
        sa.Column('ended_at', TIME, nullable=True),
        sa.ForeignKeyConstraint(['schedule_id'], ['schedules.id'], name=op.f('fk_door_staff_schedule_id')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_door_staff')),
        sa.UniqueConstraint('token_hash', name=op.f('uq_door_staff_token_hash')),
    )
    op.create_index(op.f('ix_door_staff_schedule_id'), 'door_staff', ['schedule_id'])


def downgrade() -> None:
    op.drop_table('door_staff')
    op.drop_table('check_in_undos')
    op.drop_table('check_ins')
