"""Every audit entry is numbered and carries the hash of the one before it; what was there is chained as it stands."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

GENESIS = bytes(32)
BATCH = 500


def upgrade() -> None:
    op.create_table('audit_head',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_audit_head_one_row')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_head'))
    )
    op.add_column('audit_log', sa.Column('seq', sa.BigInteger(), nullable=True))
    op.add_column('audit_log', sa.Column('previous_hash', sa.LargeBinary(), nullable=True))
    op.add_column('audit_log', sa.Column('hash', sa.LargeBinary(), nullable=True))
    chain(op.get_bind())
    for name in ('seq', 'previous_hash', 'hash'):
        op.alter_column('audit_log', name, nullable=False)
    op.alter_column('audit_log', 'at', server_default=None)
    op.create_unique_constraint(op.f('uq_audit_log_seq'), 'audit_log', ['seq'])
    op.create_index('ix_audit_log_account_id_seq', 'audit_log', ['account_id', 'seq'], unique=False)
    op.create_index('ix_audit_log_subject_seq', 'audit_log', ['subject', 'seq'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_audit_log_subject_seq', table_name='audit_log')
    op.drop_index('ix_audit_log_account_id_seq', table_name='audit_log')
    op.drop_constraint(op.f('uq_audit_log_seq'), 'audit_log', type_='unique')
    op.alter_column('audit_log', 'at', server_default=sa.text('now()'))
    for name in ('hash', 'previous_hash', 'seq'):
        op.drop_column('audit_log', name)
    op.drop_table('audit_head')


def chain(connection: sa.Connection) -> None:
    """Numbers and chains the entries by time, and writes the head row."""
    read = sa.text(
        'SELECT CAST(id AS text) AS id, at, CAST(extract(epoch FROM at) * 1000000 AS bigint) AS at_us,'
        ' CAST(account_id AS text) AS account_id, action, subject,'
        ' CAST(before AS text) AS before, CAST(after AS text) AS after'
        ' FROM audit_log WHERE seq IS NULL ORDER BY at, audit_log.id LIMIT :batch'
    )
    write = sa.text(
        'UPDATE audit_log SET seq = :seq, previous_hash = :previous_hash, hash = :hash WHERE id = CAST(:id AS uuid)'
    )
    seq, previous, last = 0, GENESIS, None
    while rows := connection.execute(read, {'batch': BATCH}).all():
        chained = []
        for row in rows:
            seq += 1
            hashed = entry_hash(seq, row, previous)
            chained.append({'seq': seq, 'previous_hash': previous, 'hash': hashed, 'id': row.id})
            previous, last = hashed, row.at
        connection.execute(write, chained)
    connection.execute(
        sa.text("INSERT INTO audit_head (id, seq, hash, at) VALUES (1, :seq, :hash, coalesce(:at, to_timestamp(0)))"),
        {'seq': seq, 'hash': previous, 'at': last},
    )


def entry_hash(seq: int, row: sa.Row[*tuple[Any, ...]], previous: bytes) -> bytes:
    """As persistence/audit/chain.py had it at the time of this step; a test compares the two."""
    before, after = (None if text is None else json.loads(text) for text in (row.before, row.after))
    fields = [seq, row.id, row.at_us, row.account_id, row.action, row.subject, before, after, previous.hex()]
    canonical = json.dumps(fields, sort_keys=True, separators=(',', ':'), allow_nan=False)
    return hashlib.sha256(canonical.encode()).digest()
