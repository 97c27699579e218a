"""What must be on the topic and in the receiving services' tables, by the journal, beside what is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg

from actors.receivers.notifications import Notifications
from actors.receivers.sales import Sales
from actors.receivers.taker import Service
from persistence.database.pools import Connection
from persistence.events import positions
from persistence.events.cloud_events import decode, render
from persistence.events.from_journal import JournalFeed
from persistence.events.log import Message
from persistence.journal import history
from persistence.journal.journal import PostgresJournal
from persistence.sales import figures

Seen = TypeVar("Seen")


# --- the topic --------------------------------------------------------------------------------------------------------
def as_consumed(messages: Iterable[Message], schedule_id: str) -> dict[int, bytes]:
    """A schedule's events as a consumer takes them that begins with the first one there and drops what it has had.

    Fails where a version comes before the one it follows.
    """
    taken: dict[int, bytes] = {}
    last = 0
    for message in messages:
        if message.key != schedule_id:
            continue
        version = decode(message.value).data.version
        assert not taken or version <= last + 1, f"version {version} after {last} at offset {message.offset}"
        if version > last:
            taken[version] = message.value
            last = version
    return taken


async def journal_events(pool: asyncpg.Pool[Any], schedule_id: str) -> dict[int, bytes]:
    """The schedule's events as its journal has them: version → what is to be published."""
    journal = PostgresJournal(pool)
    plan = await journal.plan(schedule_id)
    head = await pool.fetchval("SELECT seq FROM schedule_heads WHERE schedule_id = $1", schedule_id)
    state = await history.state_at(journal, schedule_id, plan, 0)
    return {
        step.record.seq: render(schedule_id, step.record, step.booking, plan)
        async for steps in history.steps_after(journal, schedule_id, state, head)
        for step in steps
    }


# --- the tables -------------------------------------------------------------------------------------------------------
async def made_again(
    pool: asyncpg.Pool[Any], service: Service, tables: Sequence[str], look: Callable[[Connection], Awaitable[Seen]]
) -> tuple[Seen, Seen]:
    """What `look` sees, and sees once the tables were made again from the journal. They are left as they were."""
    feed = JournalFeed(PostgresJournal(pool))
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            found = await look(connection)
            for table in tables:
                await connection.execute(f"DELETE FROM {table}")
            for schedule_id, head in await connection.fetch("SELECT schedule_id::text, seq FROM schedule_heads"):
                async for events in feed.events(schedule_id, 0, head):
                    await service.take(connection, events)
            return found, await look(connection)
        finally:
            await transaction.rollback()


async def sales_made_again(pool: asyncpg.Pool[Any]) -> tuple[str, str]:
    """The checksum of the sales figures, and the one it must be."""
    return await made_again(pool, Sales(), ("sales", "sales_bookings"), figures.checksum)


async def notifications_made_again(pool: asyncpg.Pool[Any]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """What customers are to be told, whether it was sent or not, and what they must be told."""

    async def look(connection: Connection) -> list[tuple[Any, ...]]:
        rows = await connection.fetch(
            "SELECT id, schedule_id, version, customer_id, booking_id, kind, facts::text FROM notifications"
            " WHERE version > 0 ORDER BY id"  # others are about accounts and offers, and follow from no event
        )
        return [tuple(row) for row in rows]

    return await made_again(pool, Notifications(), ("notifications",), look)


async def money(pool: asyncpg.Pool[Any]) -> tuple[int, int]:
    """What the sales figures say was taken and kept, and what the payments and refunds themselves say."""
    figures = await pool.fetchval("SELECT coalesce(sum(revenue + fees), 0)::bigint FROM sales")
    booked = await pool.fetchval(
        "SELECT (SELECT coalesce(sum(amount), 0) FROM payments WHERE status IN ('approved', 'refunded',"
        " 'partially_refunded'))::bigint - (SELECT coalesce(sum(amount), 0) FROM refunds)::bigint"
    )
    return figures, booked


async def positions_of(pool: asyncpg.Pool[Any], service: str, schedules: Iterable[str]) -> Mapping[str, int]:
    """How far a service has come with these schedules."""
    return {each: await positions.of(pool, service, each) for each in schedules}
