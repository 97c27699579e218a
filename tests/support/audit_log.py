"""What tests do with the audit log: write entries, look at them, damage them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import SystemClock
from persistence.audit import chain
from persistence.audit.chain import ChainHead, StoredEntry
from persistence.audit.verification import DamagedLine, ExportedHead, Kind, verify

new_id = SystemClock().new_id


async def write(engine: AsyncEngine, count: int = 1, **values: Any) -> None:
    """Entries, each in a transaction of its own."""
    for number in range(count):
        given: dict[str, Any] = {
            "entry_id": new_id(),
            "account_id": new_id(),
            "action": "schedule.changed",
            "subject": f"schedule:{number}",
            "before": {"hold_seconds": 600},
            "after": {"hold_seconds": 300},
        }
        async with engine.begin() as connection:
            await chain.write(connection, **given | values)


async def stored(engine: AsyncEngine) -> list[StoredEntry]:
    async with engine.connect() as connection:
        return [entry async for chunk in chain.chunks(connection) for entry in chunk]


async def head_of(engine: AsyncEngine) -> ChainHead:
    async with engine.connect() as connection:
        head = await chain.read_head(connection)
    assert head is not None
    return head


async def sql(engine: AsyncEngine, *statements: str) -> None:
    """What somebody does who can do everything to the database and does not use our program."""
    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))  # no trigger refuses it
        for statement in statements:
            await connection.execute(sa.text(statement))


async def found(engine: AsyncEngine, heads: Iterable[ExportedHead | DamagedLine] = ()) -> list[tuple[Kind, int, int]]:
    verification = await verify(engine, heads)
    return [(finding.kind, finding.first, finding.last) for finding in verification.findings]
