"""How far each receiving service has come, per schedule, what it could not digest, and what it did not believe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct

from persistence.database.conditions import TOLD_TEXT
from persistence.database.pools import Connection
from persistence.events.event_data import EventEnvelope

SUSPECT = "/suspect"  # after a service's name: events that were put aside without being believed
SUSPECTS_KEPT = 1_000

# A head of which something is sold all the time is never old; what the service has not taken of it may be.
_BEHIND = """
SELECT h.schedule_id::text, coalesce(p.version, 0), h.published_seq
  FROM schedule_heads h LEFT JOIN consumer_positions p ON p.schedule_id = h.schedule_id AND p.consumer = $1
 WHERE {} AND coalesce(p.version, 0) < h.published_seq
   AND (p.updated_at IS NULL OR p.updated_at < now() - $2::interval)
   AND (h.updated_at < now() - $2::interval
        OR EXISTS (SELECT FROM journal j WHERE j.schedule_id = h.schedule_id AND j.seq = coalesce(p.version, 0) + 1
                      AND j.at_ms < extract(epoch FROM now() - $2::interval) * 1000))
 ORDER BY h.updated_at LIMIT $3
"""
BEHIND, BEHIND_RESTING = _BEHIND.format("NOT h.resting"), _BEHIND.format("h.resting")
LOCK = "SELECT version FROM consumer_positions WHERE consumer = $1 AND schedule_id = $2 FOR UPDATE"
LAG = f"""
SELECT coalesce(sum(h.seq - coalesce(p.version, 0)), 0)::bigint
  FROM schedule_heads h LEFT JOIN consumer_positions p ON p.schedule_id = h.schedule_id AND p.consumer = $1
 WHERE NOT h.resting AND {TOLD_TEXT}
"""  # noqa: S608  # of words that stand beside the tables


class Gap(Struct, frozen=True):
    """A schedule of which a service has not taken what is published."""

    schedule_id: str
    position: int
    published: int


class ParkedEvent(Struct, frozen=True, kw_only=True):
    """An event a service could not digest. `value` is the CloudEvent."""

    consumer: str
    schedule_id: str
    version: int
    value: bytes
    error: str
    attempts: int
    parked_at: Any


class Standing(Struct, frozen=True, kw_only=True):
    """How far a service has come with a schedule."""

    consumer: str
    version: int
    moved_ms: int
    parked: int  # events of the schedule that it could not digest
    first_parked: int | None


async def lock(connection: Connection, consumer: str, schedule_id: str) -> int:
    """The service's position on a schedule, kept to this transaction until it ends."""
    version: int | None = await connection.fetchval(LOCK, consumer, schedule_id)
    if version is None:
        await connection.execute(
            "INSERT INTO consumer_positions (consumer, schedule_id, version) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
            consumer,
            schedule_id,
        )
        version = await connection.fetchval(LOCK, consumer, schedule_id)
    assert version is not None, "it was there a moment ago, or has been made"
    return version


async def move(connection: Connection, consumer: str, schedule_id: str, version: int) -> None:
    """Moves the position, in the transaction that has it locked."""
    await connection.execute(
        "UPDATE consumer_positions SET version = $3, updated_at = now() WHERE consumer = $1 AND schedule_id = $2",
        consumer,
        schedule_id,
        version,
    )


async def pass_by(connection: Connection, consumer: str, schedule_id: str, version: int, to: int) -> bool:
    """Moves the position past events that mean nothing to the service, if it stands right before the first of them."""
    query = (
        "UPDATE consumer_positions SET version = $4, updated_at = now()"
        " WHERE consumer = $1 AND schedule_id = $2 AND version = $3 - 1 RETURNING true"
    )
    return bool(await connection.fetchval(query, consumer, schedule_id, version, to))


async def of(connection: Connection, consumer: str, schedule_id: str) -> int:
    """The service's position on a schedule; 0 where it has taken nothing."""
    query = "SELECT version FROM consumer_positions WHERE consumer = $1 AND schedule_id = $2"
    return await connection.fetchval(query, consumer, schedule_id) or 0


async def of_all(connection: Connection, consumer: str) -> dict[str, int]:
    """The service's positions by schedule, of those that it has taken anything of."""
    query = "SELECT schedule_id::text, version FROM consumer_positions WHERE consumer = $1"
    return dict(await connection.fetch(query, consumer))


async def reach(
    connection: Connection, consumers: Sequence[str], schedule_id: str
) -> tuple[dict[str, int], int | None]:
    """These services' positions on a schedule, and how far its journal goes; None where there is no such schedule."""
    rows = await connection.fetch(
        "SELECT (SELECT seq FROM schedule_heads WHERE schedule_id = $2), consumer, version"
        " FROM (SELECT) one LEFT JOIN consumer_positions ON consumer = ANY($1) AND schedule_id = $2",
        consumers,
        schedule_id,
    )
    return dict.fromkeys(consumers, 0) | {row[1]: row[2] for row in rows if row[1] is not None}, rows[0][0]


async def standings(connection: Connection, schedule_id: str) -> list[Standing]:
    """How far each service has come that ever took an event of the schedule, by name."""
    rows = await connection.fetch(
        "SELECT consumer, p.version, (extract(epoch FROM p.updated_at) * 1000)::bigint AS moved_ms,"
        " count(e.version) AS parked, min(e.version) AS first_parked"
        " FROM consumer_positions p LEFT JOIN parked_events e USING (consumer, schedule_id)"
        " WHERE schedule_id = $1 AND consumer NOT LIKE '%/%' GROUP BY 1, 2, 3 ORDER BY 1",
        schedule_id,
    )
    return [Standing(**dict(row)) for row in rows]


async def behind(
    connection: Connection, consumer: str, *, older_than_seconds: float, limit: int = 20, resting: bool = False
) -> list[Gap]:
    """Schedules that are published further than the service has come, both for some time, the oldest first.

    Those that do not rest; or those that do, of which some only are behind where somebody has begun anew with them.
    """
    rows = await connection.fetch(
        BEHIND_RESTING if resting else BEHIND, consumer, timedelta(seconds=older_than_seconds), limit
    )
    return [Gap(*row) for row in rows]


async def lag(connection: Connection, consumer: str) -> int:
    """How many events are in the journal that the service has not taken; of schedules that rest it had all.

    What is older than a schedule's first owner does not count: that one tells of it.
    """
    return int(await connection.fetchval(LAG, consumer))


async def forget(connection: Connection, consumer: str, schedule_id: str | None = None) -> None:
    """Lets the service begin anew, with one schedule or with all."""
    for table in ("consumer_positions", "parked_events"):
        await connection.execute(
            f"DELETE FROM {table} WHERE consumer = $1 AND ($2::uuid IS NULL OR schedule_id = $2)",  # noqa: S608  # constants
            consumer,
            schedule_id,
        )


# --- parked events ----------------------------------------------------------------------------------------------------
async def park(connection: Connection, consumer: str, event: EventEnvelope, error: str) -> None:
    """Puts an event aside that could not be digested, once more if it was tried again."""
    await connection.execute(
        "INSERT INTO parked_events (consumer, schedule_id, version, value, error) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (consumer, schedule_id, version) DO UPDATE SET error = excluded.error,"
        " attempts = parked_events.attempts + 1, parked_at = now()",
        consumer,
        event.data.schedule_id,
        event.data.version,
        msgspec.json.encode(event),
        error[:2000],
    )


async def suspect(connection: Connection, consumer: str, event: EventEnvelope, error: str) -> None:
    """Puts an event aside that the journal does not know, or knows otherwise: to be looked at, never to be taken.

    Of each service the first thousand are kept, so that nobody fills the table.
    """
    await connection.execute(
        "INSERT INTO parked_events (consumer, schedule_id, version, value, error)"
        " SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM parked_events WHERE consumer = $1) < $6"
        " ON CONFLICT (consumer, schedule_id, version) DO UPDATE SET error = excluded.error, value = excluded.value,"
        " attempts = parked_events.attempts + 1, parked_at = now()",
        f"{consumer}{SUSPECT}",
        event.data.schedule_id,
        event.data.version,
        msgspec.json.encode(event),
        error[:2000],
        SUSPECTS_KEPT,
    )


async def parked(
    connection: Connection, *, consumer: str | None = None, after: tuple[str, str, int] | None = None, limit: int
) -> Sequence[ParkedEvent]:
    """Parked events by service, schedule and version."""
    rows = await connection.fetch(
        "SELECT consumer, schedule_id::text, version, value, error, attempts, parked_at FROM parked_events"
        " WHERE ($1::text IS NULL OR consumer = $1)"
        " AND ($2::text IS NULL OR (consumer, schedule_id, version) > ($2, $3::uuid, $4::bigint))"
        " ORDER BY consumer, schedule_id, version LIMIT $5",
        consumer,
        *(after or (None, None, None)),
        limit,
    )
    return [ParkedEvent(**dict(row)) for row in rows]


async def unpark(connection: Connection, consumer: str, schedule_id: str, version: int) -> bytes | None:
    """Takes a parked event out, in the transaction that tries it again; None if there is none."""
    query = "DELETE FROM parked_events WHERE consumer = $1 AND schedule_id = $2 AND version = $3 RETURNING value"
    value: bytes | None = await connection.fetchval(query, consumer, schedule_id, version)
    return value
