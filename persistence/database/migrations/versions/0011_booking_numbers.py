"""Blocks of booking numbers, and bookings found by theirs; the terms of a schedule found without reading its journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence('booking_blocks')))
    op.create_index(
        'ix_bookings_number',
        'bookings',
        [sa.text('"right"(id::text, 9)')],
        postgresql_where=sa.text("status IN ('confirmed', 'partially_refunded', 'refunded')"),
    )
    op.create_index(
        'ix_journal_terms',
        'journal',
        ['schedule_id', 'seq'],
        postgresql_where=sa.text("type IN ('schedule.opened', 'schedule.terms_changed')"),
    )


def downgrade() -> None:
    op.drop_index('ix_journal_terms', table_name='journal')
    op.drop_index('ix_bookings_number', table_name='bookings')
    op.execute(sa.schema.DropSequence(sa.Sequence('booking_blocks')))
