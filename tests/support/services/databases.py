"""Databases for tests: each is one test's own while it lasts, and is emptied for the next one instead of made anew.

Making and dropping one costs 120 ms of a processor, emptying it 10. One whose schema, settings or privileges a test has
changed is dropped, and so is one that was used for long.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

USES = 40  # of one database: what was deleted still lies in its files

# All that a test may have changed but rows.
SHAPE = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT format('%s %s %s', relname, relkind, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('%s %s %s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull, attacl, atthasdef)
      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
     WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('%s %s %s', proname, md5(prosrc), proacl) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('%s %s', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL
    SELECT format('%s %s', setrole, setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
     WHERE datname = current_database()
    UNION ALL
    SELECT format('%s %s %s', datacl, datallowconn, datconnlimit) FROM pg_database WHERE datname = current_database()
) AS everything (line)
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'"
LEFT_OPEN = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
NUMBERS = itertools.count(1)


class Databases:
    """Copies of a template, on one server. `lent` as often as you like."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._spare: list[tuple[str, int]] = []  # empty ones, and how often each was used
        self._shape = ""
        self._empty = ""  # the statements that bring one back to what the template is

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[str]:
        """The URL of a migrated database with nothing in it, for the time of the block."""
        if not self._empty:
            await self._look_at_the_template()
        name, uses = self._spare.pop() if self._spare else (await self._made(), 0)
        try:
            yield other_database(self._server_url, name)
        finally:
            if uses + 1 < USES and await self._emptied(name):
                self._spare.append((name, uses + 1))
            else:
                await execute(self._server_url, f"DROP DATABASE {name} WITH (FORCE)")

    async def _made(self) -> str:
        name = f"test_{next(NUMBERS)}"
        # Copying files costs a tenth of copying pages.
        await execute(self._server_url, f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        return name

    async def _look_at_the_template(self) -> None:
        connection = await asyncpg.connect(other_database(self._server_url, self._template))
        try:
            self._shape = await connection.fetchval(SHAPE)
            tables = [row[0] for row in await connection.fetch(TABLES)]
            statements = ["SET LOCAL session_replication_role = replica", *(f"DELETE FROM {name}" for name in tables)]
            for name in tables:
                rows = await connection.fetchval(f"SELECT jsonb_agg(to_jsonb(t))::text FROM {name} t")
                if rows is not None:
                    filled = f"jsonb_populate_recordset(NULL::{name}, $rows${rows}$rows$)"
                    statements.append(f"INSERT INTO {name} SELECT * FROM {filled}")
            for row in await connection.fetch(SEQUENCES):
                statements.append(f"ALTER SEQUENCE {row[0]} RESTART")
            self._empty = "; ".join(statements)
        finally:
            await connection.close()

    async def _emptied(self, name: str) -> bool:
        """Whether it is as good as new."""
        try:
            connection = await asyncpg.connect(other_database(self._server_url, name))
        except asyncpg.PostgresError:  # a test has dropped it, or lets nobody in
            return False
        try:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.fetch(LEFT_OPEN, name)
            if await connection.fetchval(SHAPE) != self._shape:
                return False
            async with connection.transaction():
                await connection.execute(self._empty)
            return True
        finally:
            await connection.close()


def other_database(server_url: str, name: str) -> str:
    """The URL of another database of the server than `boxoffice`."""
    return server_url.replace("/boxoffice?", f"/{name}?", 1)


async def execute(url: str, statement: str) -> None:
    """One statement, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
