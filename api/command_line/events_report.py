"""`boxoffice events`: what happens, line by line, and a receiving service's data made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from msgspec import Struct

from actors.process.settings import Settings
from actors.receivers.replaying import Replay, TopicIncomplete
from actors.receivers.services import SERVICES
from persistence.database.away import is_away
from persistence.database.pools import open_pool
from persistence.events.event_data import BookingData, EventEnvelope, PaymentData, RefundData, SeatsData
from persistence.events.from_journal import JournalFeed
from persistence.events.log import LogUnavailable
from persistence.events.options import KafkaOptions
from persistence.events.reader import read_through
from persistence.journal import heads
from persistence.journal.journal import PostgresJournal
from persistence.sales import figures

FOLLOW_SECONDS = 0.5
LAST = 20  # events shown of a schedule whose beginning nobody asked for
SEATS_SHOWN = 4


class EventsError(RuntimeError):
    """Nothing can be shown or replayed; the message says why."""


class Replayed(Struct, frozen=True):
    """A replay's result. Equal checksums: the live data was right, and so is the new."""

    events: int
    before: str
    after: str


async def tail(settings: Settings, schedule_id: str | None, first: int | None, *, follow: bool) -> AsyncIterator[str]:
    """Events as lines of text, from the journal: of one schedule from a version on, or of all that happens from now.

    Raises `EventsError`.
    """
    async with _pool(settings) as pool:
        feed = JournalFeed(PostgresJournal(pool))
        told = {each: head.seq for each, head in (await heads.of_all(pool, schedule_id)).items()}
        if schedule_id is not None:
            if not told:
                raise EventsError(f"there is no schedule {schedule_id}")
            told[schedule_id] = max((first or told[schedule_id] - LAST + 1) - 1, 0)
        moving = await heads.of_all(pool, schedule_id)
        while True:
            for each, head in moving.items():
                async for events in feed.events(each, told.get(each, 0), head.seq):
                    for event in events:
                        yield line(event, with_schedule=schedule_id is None)
                told[each] = head.seq
            if not follow:
                return
            await asyncio.sleep(FOLLOW_SECONDS)
            moving = await (heads.not_resting(pool) if schedule_id is None else heads.of_all(pool, schedule_id))


async def replay(
    settings: Settings,
    service: str,
    schedule_id: str | None,
    started: Callable[[int], None],
    done: Callable[[int], None],
    *,
    from_kafka: bool = False,
) -> Replayed:
    """Makes a service's data again, from the journal or from the topic. `started` is told how many events there are,
    `done` how many were just taken.

    Raises `EventsError`.
    """
    options = settings.kafka if from_kafka else None
    if from_kafka and options is None:
        raise EventsError("there is no topic to replay: KAFKA_BOOTSTRAP_SERVERS is not set")
    async with _pool(settings) as pool:
        work = Replay(pool, PostgresJournal(pool), SERVICES[service])
        left = await work.published(schedule_id) if options is not None else dict(await work.left(schedule_id))
        if schedule_id is not None and not left:
            raise EventsError(f"there is no schedule {schedule_id}")
        started(sum(left.values()))
        before = await figures.checksum(pool, schedule_id)
        if options is not None:
            events = await _from_topic(work, options, schedule_id, done)
        else:
            events = await work.run(schedule_id, done)
        return Replayed(events, before, await figures.checksum(pool, schedule_id))


async def _from_topic(work: Replay, options: KafkaOptions, schedule_id: str | None, done: Callable[[int], None]) -> int:
    try:
        return await work.run_from_topic(schedule_id, lambda: read_through(options), done)
    except (TopicIncomplete, LogUnavailable) as error:
        raise EventsError(str(error)) from error


def line(event: EventEnvelope, *, with_schedule: bool) -> str:
    """An event as people read it."""
    data = event.data
    words = [event.time[:23].replace("T", " "), f"v{data.version}", event.type]
    if with_schedule:
        words.insert(1, data.schedule_id)
    if isinstance(event.subject, str):
        words.append(f"booking {event.subject}")
    if isinstance(data, RefundData):
        words.append(f"{data.refund.amount:,} {data.refund.currency} {data.refund.status}")
    elif isinstance(data, PaymentData):
        words.append(f"{data.payment.amount:,} {data.payment.currency} {data.payment.status}")
    elif isinstance(data, BookingData):
        words.append(f"{data.booking.amount:,} {data.booking.currency} {data.booking.status}")
    seats = data.seats if isinstance(data, SeatsData) else data.booking.seats if isinstance(data, BookingData) else []
    if seats:
        more = f" and {len(seats) - SEATS_SHOWN} more" if len(seats) > SEATS_SHOWN else ""
        words.append(", ".join(seat.id for seat in seats[:SEATS_SHOWN]) + more)
    reason = getattr(data, "reason", None)
    if isinstance(reason, str):
        words.append(f"({reason})")
    return "  ".join(words)


@asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[asyncpg.Pool[Any]]:
    try:
        async with open_pool(settings.database, 2) as pool:
            yield pool
    except asyncpg.DataError as error:
        raise EventsError("that is no id of a schedule") from error
    except Exception as error:
        if is_away(error):
            raise EventsError(f"the database cannot be reached: {error}") from error
        raise
