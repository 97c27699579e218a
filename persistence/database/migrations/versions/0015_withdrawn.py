"""Schedules that were deleted are withdrawn in their journals, too; venues are their organizers', or shared.

Snapshots go: they do not say when a start was moved, and are made anew from the journal. That money is given back when
a start is moved, schedules from before promise as well.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

# `engine.events.Withdrawn("organizer")` as it is encoded for ever.
WITHDRAWN = r"'\x92b27363686564756c652e77697468647261776ea96f7267616e697a6572'::bytea"


def upgrade() -> None:
    op.add_column('schedule_heads', sa.Column('overruled_at', postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.create_index(
        'ix_schedule_heads_overruled_at', 'schedule_heads', ['overruled_at'], unique=False,
        postgresql_where=sa.text('overruled_at IS NOT NULL'),
    )
    op.add_column('schedules', sa.Column('refund_when_moved', sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column('venues', sa.Column('shared', sa.Boolean(), server_default=sa.false(), nullable=False))
    # What others play in already they may go on playing in.
    op.execute(
        'UPDATE venues v SET shared = true WHERE EXISTS ('
        ' SELECT 1 FROM schedules s JOIN performances p ON p.id = s.performance_id'
        ' WHERE s.venue_id = v.id AND p.organizer_id <> v.organizer_id)'
        ' OR EXISTS (SELECT 1 FROM performances p WHERE p.venue_id = v.id AND p.organizer_id <> v.organizer_id)'
    )
    op.execute(
        'INSERT INTO journal (schedule_id, seq, at_ms, type, request_id, fingerprint, payload)'
        ' SELECT h.schedule_id, h.seq + 1, greatest(j.at_ms, (extract(epoch from s.deleted_at) * 1000)::bigint),'
        f" 'schedule.withdrawn', '', '', {WITHDRAWN}"
        ' FROM schedules s JOIN schedule_heads h ON h.schedule_id = s.id'
        ' JOIN journal j ON j.schedule_id = h.schedule_id AND j.seq = h.seq'
        ' WHERE s.deleted_at IS NOT NULL'
    )
    op.execute(
        'UPDATE schedule_heads h SET seq = h.seq + 1, epoch = CASE WHEN h.epoch > 0 THEN h.epoch + 1 ELSE 0 END,'
        ' overruled_at = now(), updated_at = now()'
        ' FROM schedules s WHERE s.id = h.schedule_id AND s.deleted_at IS NOT NULL'
    )
    op.execute('UPDATE schedules SET waiting_room = false WHERE waiting_room')  # there never was one
    op.execute('DELETE FROM snapshots')
    op.execute('UPDATE schedule_heads SET snapshot_seq = 0 WHERE snapshot_seq <> 0')


def downgrade() -> None:
    # The records stay: what stands in a journal has happened.
    op.drop_column('venues', 'shared')
    op.drop_column('schedules', 'refund_when_moved')
    op.drop_index('ix_schedule_heads_overruled_at', table_name='schedule_heads')
    op.drop_column('schedule_heads', 'overruled_at')
