"""Venues say where they are and which time zone is kept there; performances have words in English and are found by words.

Houses of before were all in Korea as far as anybody had said.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from persistence.database.words import words_of

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('venues', sa.Column('city', sa.Text(), nullable=True))
    op.add_column('venues', sa.Column('address', sa.Text(), nullable=True))
    op.add_column('venues', sa.Column('time_zone', sa.Text(), server_default='Asia/Seoul', nullable=False))
    op.add_column('performances', sa.Column('title_en', sa.Text(), nullable=True))
    op.add_column('performances', sa.Column('description_en', sa.Text(), nullable=True))
    op.add_column('performances', sa.Column('picture_url', sa.Text(), nullable=True))
    connection = op.get_bind()
    for table, texts in (('performances', 'title, description'), ('venues', 'name')):
        op.add_column(table, sa.Column('words', postgresql.TSVECTOR(), server_default=sa.text("''"), nullable=False))
        fill = sa.text(f'UPDATE {table} SET words = array_to_tsvector(CAST(:words AS text[])) WHERE id = :id')
        for id_, *said in connection.execute(sa.text(f'SELECT id, {texts} FROM {table}')).all():
            connection.execute(fill, {'id': id_, 'words': words_of(*said)})
        op.create_index(op.f(f'ix_{table}_words'), table, ['words'], postgresql_using='gin')


def downgrade() -> None:
    for table, names in (
        ('performances', ('words', 'picture_url', 'description_en', 'title_en')),
        ('venues', ('words', 'time_zone', 'address', 'city')),
    ):
        op.drop_index(op.f(f'ix_{table}_words'), table_name=table)
        for name in names:
            op.drop_column(table, name)
