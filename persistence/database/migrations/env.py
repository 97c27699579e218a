"""Alembic's entry. `persistence.database.connection.migrate` hands it a connection; by hand it takes a URL:

alembic -c persistence/database/migrations/alembic.ini -x url=postgresql://… revision --autogenerate -m "what changes"
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from persistence.database.connection import create_engine
from persistence.database.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def run_by_url(url: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (handed := context.config.attributes.get("connection")) is not None:
    run(handed)
else:
    asyncio.run(run_by_url(context.get_x_argument(as_dictionary=True)["url"]))
