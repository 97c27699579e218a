"""A receiving service keeps its data right: whatever is told twice, late, out of order or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import asyncpg
import pytest

from actors.receivers import hearing, taker
from actors.receivers.receiver import Receiver
from actors.receivers.replaying import Replay
from actors.receivers.sales import Sales
from actors.receivers.taker import retry
from persistence.database.pools import Connection
from persistence.events import positions
from persistence.events.event_data import EventEnvelope
from persistence.events.feed import MemoryEventFeed
from persistence.events.log import LogUnavailable, Message
from persistence.sales import figures
from tests.actors.receivers.story import Choking, Story, story
from tests.persistence.journal.test_journal import SCHEDULE
from tests.support.waiting import until

__all__ = ["story"]  # the fixture


async def test_what_is_told_in_order_is_taken_once(story: Story) -> None:
    await story.log.publish(SCHEDULE, story.events)
    messages = await story.feed.next(0.01)
    assert await story.hearing.receive(messages) == len(story.events)
    assert await story.hearing.receive(messages) == 0
    assert await story.position() == len(story.events)
    assert await story.checksum() == await story.right()


async def test_the_figures_are_what_happened(story: Story) -> None:
    await story.hearing.receive(story.messages(*range(1, len(story.events) + 1)))
    (schedule,) = await figures.of_performance(story.pool, "00000000-0000-7000-8000-0000000000cc", "sales")
    assert schedule.up_to_version == schedule.version == len(story.events)
    total = {name: sum(getattr(row.figures, name) for row in schedule.rows) for name in figures.FIGURES}
    # 2 + 3 + 3 + 1 places held; Ann's two VIP seats and Eve's three R places sold, one of hers given back.
    assert total == {
        "held": 9,
        "expired": 1,
        "cancelled": 3,
        "sold": 5,
        "refunded": 1,
        "revenue": 2 * 150_000 + 2 * 90_000,
        "fees": 9_000,
    }


@pytest.mark.parametrize("seed", range(5))
async def test_duplicates_and_any_order_of_batches_lead_to_the_same_data(story: Story, seed: int) -> None:
    random_ = random.Random(seed)
    versions = list(range(1, len(story.events) + 1))
    told = versions + random_.choices(versions, k=10)
    random_.shuffle(told)
    while told:
        size = random_.randint(1, 6)
        await story.hearing.receive(story.messages(*told[:size]))
        del told[:size]
    assert await story.position() == len(story.events)
    assert await story.checksum() == await story.right()


async def test_a_gap_is_read_from_the_journal(story: Story) -> None:
    await story.hearing.receive(story.messages(1, 2, 9))
    assert await story.position() == 9
    await story.hearing.receive(story.messages(len(story.events)))
    assert await story.checksum() == await story.right()


async def test_what_is_never_told_is_read_from_the_journal(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    await story.hearing.receive(story.messages(1, 2, 3))
    assert await story.taker.repair() == 0  # it may still come
    monkeypatch.setattr(taker, "BEHIND_SECONDS", 0.0)
    assert await story.taker.repair() == len(story.events) - 3
    assert await story.taker.repair() == 0
    assert await story.checksum() == await story.right()


async def test_a_schedule_that_goes_on_being_sold_is_read_from_the_journal_too(story: Story) -> None:
    """As where the broker gives nobody a share of the topic for minutes, while machines come and go."""
    await story.hearing.receive(story.messages(1, 2, 3))
    await story.pool.execute("ALTER TABLE journal DISABLE TRIGGER USER")
    await story.pool.execute("UPDATE journal SET at_ms = (extract(epoch FROM now()) * 1000)::bigint - 60_000")
    await story.pool.execute("UPDATE schedule_heads SET updated_at = now()")
    assert await story.taker.repair() == 0  # it has taken something just now
    await story.pool.execute("UPDATE consumer_positions SET updated_at = now() - interval '1 h'")
    assert await story.taker.repair() == len(story.events) - 3


async def test_where_all_rests_a_service_that_was_begun_anew_is_repaired_too(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taker, "BEHIND_SECONDS", 0.0)
    await story.pool.execute("UPDATE schedule_heads SET resting = true")
    assert await story.taker.repair() == 0, "this often only what may have changed is looked at"
    assert await story.taker.repair_resting() == len(story.events)
    assert await story.taker.repair_resting() == 0
    assert await story.checksum() == await story.right()


async def test_a_crash_between_any_two_batches_loses_and_repeats_nothing(story: Story) -> None:
    await story.log.publish(SCHEDULE, story.events)
    done: dict[int, int] = {}
    random_ = random.Random(7)
    while await story.position() < len(story.events):
        feed = MemoryEventFeed(story.log, done)  # a new process: begins where the last one had said it was done
        service = story.heard_by(story.service)
        for message in await feed.next(0.01):
            await service.receive([message])
            if random_.random() < 0.3:
                break  # killed before it could say so
        else:
            await feed.done()
        done = feed.positions if random_.random() < 0.5 else done
    assert await story.checksum() == await story.right()


async def test_an_event_that_cannot_be_digested_is_parked_and_holds_nothing_up(story: Story) -> None:
    service = Choking(len(story.events))
    await story.heard_by(service).receive(story.messages(*range(1, len(story.events) + 1)))
    assert await story.position() == len(story.events)
    (parked,) = await positions.parked(story.pool, limit=10)
    assert (parked.consumer, parked.version, parked.attempts) == ("sales", len(story.events), 1)
    assert "division by zero" in parked.error
    again = await retry(story.pool, service, SCHEDULE, len(story.events))
    assert again is not None
    assert not again.taken
    assert (await positions.parked(story.pool, limit=10))[0].attempts == 1
    service.version = None
    cured = await retry(story.pool, service, SCHEDULE, len(story.events))
    assert cured is not None
    assert cured.taken
    assert await positions.parked(story.pool, limit=10) == []
    assert await retry(story.pool, service, SCHEDULE, len(story.events)) is None
    assert await story.checksum() == await story.right()


async def test_bytes_that_are_no_event_are_passed_over_and_what_they_hid_is_repaired(story: Story) -> None:
    damaged = [Message(0, 0, SCHEDULE, b"?"), *story.messages(3)]
    await story.hearing.receive(damaged)
    assert await story.position() == 3


async def test_a_database_that_is_away_parks_nothing_and_moves_nothing(story: Story) -> None:
    class Away(Sales):
        async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await story.heard_by(Away()).receive(story.messages(1, 2))
    assert await story.position() == 0
    assert await positions.parked(story.pool, limit=10) == []


@pytest.mark.parametrize("told", [(13,), (1, 13), (2, 7, 13)])
async def test_a_gap_wider_than_a_transaction_is_taken_in_chunks(
    story: Story, monkeypatch: pytest.MonkeyPatch, told: tuple[int, ...]
) -> None:
    class Counting(Sales):
        def __init__(self) -> None:
            self.sizes: list[int] = []

        async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
            self.sizes.append(len(events))
            await super().take(connection, events)

    monkeypatch.setattr(hearing, "CHUNK", 4)
    counting = Counting()
    assert await story.heard_by(counting).receive(story.messages(*told)) == told[-1]
    assert max(counting.sizes) <= 4
    assert await story.position() == told[-1]


async def test_a_deterministic_refusal_ends_the_service_instead_of_being_waited_for(story: Story) -> None:
    class Broken(MemoryEventFeed):
        async def next(self, timeout_seconds: float) -> list[Message]:
            await story.pool.execute("SELECT nothing_of_that_name FROM schedules")
            raise AssertionError

    receiver = Receiver(story.hearing, Broken(story.log))
    with pytest.raises(ExceptionGroup) as failed:
        await receiver.run(asyncio.Event())
    assert failed.group_contains(asyncpg.UndefinedColumnError)


async def test_the_service_runs_through_a_log_that_is_away_for_a_while(story: Story) -> None:
    class Flaky(MemoryEventFeed):
        failures = 2

        async def next(self, timeout_seconds: float) -> list[Message]:
            if self.failures:
                self.failures -= 1
                raise LogUnavailable("away")
            return await super().next(timeout_seconds)

    await story.log.publish(SCHEDULE, story.events)
    stop = asyncio.Event()
    running = asyncio.create_task(Receiver(story.hearing, Flaky(story.log)).run(stop))

    async def caught_up() -> bool:
        return await story.position() == len(story.events)

    await until(caught_up)
    stop.set()
    await running
    assert await positions.lag(story.pool, "sales") == 0


async def test_a_replay_broken_off_goes_on_where_it_stopped(story: Story) -> None:
    await story.hearing.receive(story.messages(*range(1, len(story.events) + 1)))
    before = await story.checksum()
    replay = Replay(story.pool, story.journal, story.service)

    def broken(taken: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await replay.run(None, broken)
    assert await replay.left() == []
    assert await replay.run(None, lambda taken: None) == 0
    assert await replay.left() == [(SCHEDULE, len(story.events))]
    assert await story.checksum() == before
