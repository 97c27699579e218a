"""A venue's plan can be replaced: those it took the place of are kept, and each schedule says which one it goes by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None

TERMS = "type IN ('schedule.opened', 'schedule.terms_changed')"
TERMS_AND_PLANS = "type IN ('schedule.opened', 'schedule.terms_changed', 'schedule.plan_changed')"


def upgrade() -> None:
    op.create_table(
        'former_plans',
        sa.Column('venue_id', sa.UUID(as_uuid=False), sa.ForeignKey('venues.id'), nullable=False),
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('seating_plan', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column('packed_plan', sa.LargeBinary(), nullable=True),
        sa.Column('replaced_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('venue_id', 'number', name=op.f('pk_former_plans')),
    )
    for table, column in (('venues', 'plan_number'), ('schedules', 'plan_number'), ('schedules', 'first_plan')):
        op.add_column(table, sa.Column(column, sa.Integer(), server_default='0', nullable=False))
    op.drop_index('ix_journal_terms', table_name='journal')
    op.create_index('ix_journal_terms', 'journal', ['schedule_id', 'seq'], postgresql_where=sa.text(TERMS_AND_PLANS))


def downgrade() -> None:
    op.drop_index('ix_journal_terms', table_name='journal')
    op.create_index('ix_journal_terms', 'journal', ['schedule_id', 'seq'], postgresql_where=sa.text(TERMS))
    for table, column in (('venues', 'plan_number'), ('schedules', 'plan_number'), ('schedules', 'first_plan')):
        op.drop_column(table, column)
    op.drop_table('former_plans')
