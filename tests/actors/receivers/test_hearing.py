"""A receiving service keeps its data right: whatever is told twice, late, out of order or not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from actors.receivers import hearing, taker
from actors.receivers.hearing import Hearing
from actors.receivers.names import RECEIVERS
from actors.receivers.notifications import Notifications
from actors.receivers.receiver import Receiver
from actors.receivers.replaying import Replay
from actors.receivers.sales import Sales
from actors.receivers.taker import Service, Taker, retry
from engine import commands as c
from engine.events import Record
from engine.state import ScheduleState
from engine.turn import Request, Step, execute
from persistence.database.pools import Connection
from persistence.database.roles import RECEIVER, with_role
from persistence.events import positions
from persistence.events.cloud_events import render
from persistence.events.event_data import EventEnvelope
from persistence.events.feed import MemoryEventFeed
from persistence.events.log import LogUnavailable, MemoryEventLog, Message
from persistence.journal import history
from persistence.journal.journal import Batch, PostgresJournal
from persistence.sales import figures
from tests.engine.plans.houses import ANN, BOB, EVE, NOW
from tests.persistence.journal.test_journal import PLAN, SCHEDULE, ident, plant_schedule
from tests.support.waiting import until

STORY: tuple[c.AnyCommand, ...] = (
    c.HoldSeats(ident(1), ANN, ("A-3", "A-4")),
    c.HoldBest(ident(2), BOB, 3),
    c.RequestPayment(ident(1), ANN, ident(11), "sandbox"),
    c.ApprovePayment(ident(1), ident(11), "ref-1"),
    c.Cancel(ident(2), ident(22), BOB),
    c.HoldSeats(ident(3), EVE, ("pit", "pit", "C-1")),
    c.Change(ident(3), EVE, ("pit", "C-1", "C-2")),
    c.RequestPayment(ident(3), EVE, ident(13), "sandbox"),
    c.ApprovePayment(ident(3), ident(13), "ref-3"),
    c.Refund(ident(3), EVE, ident(33), ident(13), ("pit",), fee_percent=10),
    c.CompleteRefund(ident(33), ident(13), 81_000, "KRW", "back-3"),
    c.HoldSeats(ident(4), BOB, ("B-1",)),
    c.Expire(),
)


class House:
    """One schedule whose story is journaled and on the log, and a service that lives on it."""

    def __init__(self, pool: asyncpg.Pool[Any], own_pool: asyncpg.Pool[Any], events: list[bytes]) -> None:
        self.pool = pool
        self.own_pool = own_pool  # under the role that receiving services have
        self.journal = PostgresJournal(pool)
        self.events = events
        self.log = MemoryEventLog(partitions=1)
        self.feed = MemoryEventFeed(self.log)
        self.service = Sales()
        self.hearing = self.heard_by(self.service)
        (self.taker,) = self.hearing.takers

    def heard_by(self, *services: Service) -> Hearing:
        journal = PostgresJournal(self.own_pool)
        return Hearing([Taker(each, self.own_pool, journal) for each in services], self.own_pool, journal)

    def messages(self, *versions: int) -> list[Message]:
        return [Message(0, number, SCHEDULE, self.events[version - 1]) for number, version in enumerate(versions)]

    async def position(self) -> int:
        return await positions.of(self.pool, self.service.name, SCHEDULE)

    async def checksum(self) -> str:
        return await figures.checksum(self.pool)

    async def right(self) -> str:
        """The checksum of a making from the journal alone; leaves the data made so."""
        await Replay(self.pool, self.journal, self.service).run(None, lambda taken: None)
        return await self.checksum()


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    await plant_schedule(database_url)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        journal = PostgresJournal(pool)
        claim = await journal.claim(SCHEDULE)
        state = await history.state_at(journal, SCHEDULE, PLAN, 1)
        first = (await journal.read(SCHEDULE, 0, 1))[0]
        events = [render(SCHEDULE, first, None, PLAN)]
        for number, command in enumerate(STORY):
            steps = turn(state, command, NOW + number * 60_000 + number // 12 * 7_200_000)
            await journal.append(claim, PLAN, Batch(list(steps), published_seq=steps[-1].record.seq))
            events += [render(SCHEDULE, step.record, step.booking, PLAN) for step in steps]
        reached = with_role(database_url, RECEIVER)
        async with asyncpg.create_pool(reached, min_size=0, max_size=4) as own_pool:
            yield House(pool, own_pool, events)


def turn(state: ScheduleState, command: c.AnyCommand, now_ms: int) -> Sequence[Step]:
    done = execute(state, Request("", command), now_ms)
    assert done.steps, done.result
    return done.steps


async def test_what_is_told_in_order_is_taken_once(house: House) -> None:
    await house.log.publish(SCHEDULE, house.events)
    messages = await house.feed.next(0.01)
    assert await house.hearing.receive(messages) == len(house.events)
    assert await house.hearing.receive(messages) == 0
    assert await house.position() == len(house.events)
    assert await house.checksum() == await house.right()


async def test_the_figures_are_what_happened(house: House) -> None:
    await house.hearing.receive(house.messages(*range(1, len(house.events) + 1)))
    (schedule,) = await figures.of_performance(house.pool, "00000000-0000-7000-8000-0000000000cc", "sales")
    assert schedule.up_to_version == schedule.version == len(house.events)
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
async def test_duplicates_and_any_order_of_batches_lead_to_the_same_data(house: House, seed: int) -> None:
    random_ = random.Random(seed)
    versions = list(range(1, len(house.events) + 1))
    told = versions + random_.choices(versions, k=10)
    random_.shuffle(told)
    while told:
        size = random_.randint(1, 6)
        await house.hearing.receive(house.messages(*told[:size]))
        del told[:size]
    assert await house.position() == len(house.events)
    assert await house.checksum() == await house.right()


async def test_a_gap_is_read_from_the_journal(house: House) -> None:
    await house.hearing.receive(house.messages(1, 2, 9))
    assert await house.position() == 9
    await house.hearing.receive(house.messages(len(house.events)))
    assert await house.checksum() == await house.right()


async def test_what_is_never_told_is_read_from_the_journal(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.hearing.receive(house.messages(1, 2, 3))
    assert await house.taker.repair() == 0  # it may still come
    monkeypatch.setattr(taker, "BEHIND_SECONDS", 0.0)
    assert await house.taker.repair() == len(house.events) - 3
    assert await house.taker.repair() == 0
    assert await house.checksum() == await house.right()


async def test_a_schedule_that_goes_on_being_sold_is_read_from_the_journal_too(house: House) -> None:
    """As where the broker gives nobody a share of the topic for minutes, while machines come and go."""
    await house.hearing.receive(house.messages(1, 2, 3))
    await house.pool.execute("ALTER TABLE journal DISABLE TRIGGER USER")
    await house.pool.execute("UPDATE journal SET at_ms = (extract(epoch FROM now()) * 1000)::bigint - 60_000")
    await house.pool.execute("UPDATE schedule_heads SET updated_at = now()")
    assert await house.taker.repair() == 0  # it has taken something just now
    await house.pool.execute("UPDATE consumer_positions SET updated_at = now() - interval '1 h'")
    assert await house.taker.repair() == len(house.events) - 3


async def test_where_all_rests_a_service_that_was_begun_anew_is_repaired_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taker, "BEHIND_SECONDS", 0.0)
    await house.pool.execute("UPDATE schedule_heads SET resting = true")
    assert await house.taker.repair() == 0, "this often only what may have changed is looked at"
    assert await house.taker.repair_resting() == len(house.events)
    assert await house.taker.repair_resting() == 0
    assert await house.checksum() == await house.right()


async def test_a_crash_between_any_two_batches_loses_and_repeats_nothing(house: House) -> None:
    await house.log.publish(SCHEDULE, house.events)
    done: dict[int, int] = {}
    random_ = random.Random(7)
    while await house.position() < len(house.events):
        feed = MemoryEventFeed(house.log, done)  # a new process: begins where the last one had said it was done
        service = house.heard_by(house.service)
        for message in await feed.next(0.01):
            await service.receive([message])
            if random_.random() < 0.3:
                break  # killed before it could say so
        else:
            await feed.done()
        done = feed.positions if random_.random() < 0.5 else done
    assert await house.checksum() == await house.right()


class Choking(Sales):
    """Cannot digest one version, until it is cured."""

    def __init__(self, version: int) -> None:
        self.version: int | None = version

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        if any(event.data.version == self.version for event in events):
            await connection.execute("SELECT 1 / 0")
        await super().take(connection, events)


async def test_an_event_that_cannot_be_digested_is_parked_and_holds_nothing_up(house: House) -> None:
    service = Choking(len(house.events))
    await house.heard_by(service).receive(house.messages(*range(1, len(house.events) + 1)))
    assert await house.position() == len(house.events)
    (parked,) = await positions.parked(house.pool, limit=10)
    assert (parked.consumer, parked.version, parked.attempts) == ("sales", len(house.events), 1)
    assert "division by zero" in parked.error
    again = await retry(house.pool, service, SCHEDULE, len(house.events))
    assert again is not None
    assert not again.taken
    assert (await positions.parked(house.pool, limit=10))[0].attempts == 1
    service.version = None
    cured = await retry(house.pool, service, SCHEDULE, len(house.events))
    assert cured is not None
    assert cured.taken
    assert await positions.parked(house.pool, limit=10) == []
    assert await retry(house.pool, service, SCHEDULE, len(house.events)) is None
    assert await house.checksum() == await house.right()


async def test_bytes_that_are_no_event_are_passed_over_and_what_they_hid_is_repaired(house: House) -> None:
    damaged = [Message(0, 0, SCHEDULE, b"?"), *house.messages(3)]
    await house.hearing.receive(damaged)
    assert await house.position() == 3


# --- what is not believed ---------------------------------------------------------------------------------------------
def forged(house: House, version: int, **changes: Any) -> Message:
    """An event of the story, made to say something else: members of the envelope, of `data` with `data__…`."""
    event: dict[str, Any] = msgspec.json.decode(house.events[version - 1])
    for name, value in changes.items():
        *path, last = name.split("__")
        inner = event
        for step in path:
            inner = inner[step]
        inner[last] = value
    return Message(0, 0, SCHEDULE, msgspec.json.encode(event))


async def suspects(house: House) -> list[tuple[int, str]]:
    rows = await positions.parked(house.pool, consumer="sales/suspect", limit=200)
    return [(row.version, row.error) for row in rows]


CONFIRMED = 6  # in the story: Ann's booking


@pytest.mark.parametrize(
    "changes",
    [
        {"data__booking__customer_id": EVE},
        {"data__booking__amount": 1},
        {"data__booking__seats": []},
        {"type": "reservation.held"},
        {"type": "something.else"},
        {"time": "2030-01-01T00:00:00.000Z"},
    ],
)
async def test_an_event_that_the_journal_says_otherwise_is_put_aside_and_the_real_one_taken(
    house: House, changes: dict[str, Any]
) -> None:
    told = house.messages(*range(1, len(house.events) + 1))
    assert b"reservation.confirmed" in told[CONFIRMED - 1].value
    told[CONFIRMED - 1] = forged(house, CONFIRMED, **changes)
    await house.hearing.receive(told)
    assert await suspects(house) == [(CONFIRMED, "the journal says otherwise")]
    assert await house.position() == len(house.events)
    assert await house.checksum() == await house.right()


async def test_who_tells_of_what_comes_later_makes_the_service_look_and_no_more(house: House) -> None:
    await house.hearing.receive([forged(house, CONFIRMED, data__booking__customer_id=EVE)])
    assert await house.position() == CONFIRMED
    await house.hearing.receive(house.messages(*range(1, len(house.events) + 1)))
    assert await house.checksum() == await house.right()


async def test_a_version_beyond_the_journal_moves_nothing_and_the_real_one_is_taken_when_it_comes(
    house: House,
) -> None:
    head = len(house.events)
    beyond = forged(house, CONFIRMED, id=f"{SCHEDULE}:{head + 1}", data__version=head + 1)
    await house.hearing.receive([*house.messages(1, 2), beyond, forged(house, 2, data__version=2**62)])
    assert await house.position() == 2
    assert await suspects(house) == [
        (head + 1, "the journal does not go so far"),
        (2**62, "the journal does not go so far"),
    ]
    state = await history.state_at(house.journal, SCHEDULE, PLAN, head)
    steps = turn(state, c.HoldSeats(ident(9), ANN, ("B-2",)), NOW + 10**9)
    claim = await house.journal.claim(SCHEDULE)
    await house.journal.append(claim, PLAN, Batch(list(steps), published_seq=steps[-1].record.seq))
    house.events += [render(SCHEDULE, step.record, step.booking, PLAN) for step in steps]
    await house.hearing.receive(house.messages(head + 1))
    assert await house.position() == head + 1
    assert await house.checksum() == await house.right()


@pytest.mark.parametrize(
    "changes",
    [
        {"data__schedule_id": "not an id"},
        {"data__schedule_id": SCHEDULE.replace("-", "")},
        {"data__version": 0},
        {"data__version": -1},
        {"data__version": 2**63},
        {"data__version": 10**30},
    ],
)
async def test_what_has_no_place_is_passed_over_and_stops_nothing(house: House, changes: dict[str, Any]) -> None:
    await house.hearing.receive([forged(house, 2, **changes), *house.messages(1, 2, 3)])
    assert await house.position() == 3


async def test_an_event_of_no_schedule_is_put_aside(house: House) -> None:
    nowhere = ident(4711)
    await house.hearing.receive([forged(house, 2, data__schedule_id=nowhere), *house.messages(1)])
    (row,) = await positions.parked(house.pool, consumer="sales/suspect", limit=10)
    assert (row.schedule_id, row.error) == (nowhere, "there is no such schedule")
    assert await house.position() == 1


async def test_what_is_not_believed_fills_no_table_and_is_never_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "SUSPECTS_KEPT", 3)
    head = len(house.events)
    for version in range(head + 1, head + 10):
        await house.hearing.receive([forged(house, 2, data__version=version)])
    assert [version for version, _ in await suspects(house)] == [head + 1, head + 2, head + 3]
    assert await retry(house.pool, house.service, SCHEDULE, head + 1) is None


async def test_a_database_that_is_away_parks_nothing_and_moves_nothing(house: House) -> None:
    class Away(Sales):
        async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        await house.heard_by(Away()).receive(house.messages(1, 2))
    assert await house.position() == 0
    assert await positions.parked(house.pool, limit=10) == []


@pytest.mark.parametrize("told", [(13,), (1, 13), (2, 7, 13)])
async def test_a_gap_wider_than_a_transaction_is_taken_in_chunks(
    house: House, monkeypatch: pytest.MonkeyPatch, told: tuple[int, ...]
) -> None:
    class Counting(Sales):
        def __init__(self) -> None:
            self.sizes: list[int] = []

        async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
            self.sizes.append(len(events))
            await super().take(connection, events)

    monkeypatch.setattr(hearing, "CHUNK", 4)
    counting = Counting()
    assert await house.heard_by(counting).receive(house.messages(*told)) == told[-1]
    assert max(counting.sizes) <= 4
    assert await house.position() == told[-1]


async def test_a_deterministic_refusal_ends_the_service_instead_of_being_waited_for(house: House) -> None:
    class Broken(MemoryEventFeed):
        async def next(self, timeout_seconds: float) -> list[Message]:
            await house.pool.execute("SELECT nothing_of_that_name FROM schedules")
            raise AssertionError

    receiver = Receiver(house.hearing, Broken(house.log))
    with pytest.raises(ExceptionGroup) as failed:
        await receiver.run(asyncio.Event())
    assert failed.group_contains(asyncpg.UndefinedColumnError)


async def test_the_service_runs_through_a_log_that_is_away_for_a_while(house: House) -> None:
    class Flaky(MemoryEventFeed):
        failures = 2

        async def next(self, timeout_seconds: float) -> list[Message]:
            if self.failures:
                self.failures -= 1
                raise LogUnavailable("away")
            return await super().next(timeout_seconds)

    await house.log.publish(SCHEDULE, house.events)
    stop = asyncio.Event()
    running = asyncio.create_task(Receiver(house.hearing, Flaky(house.log)).run(stop))

    async def caught_up() -> bool:
        return await house.position() == len(house.events)

    await until(caught_up)
    stop.set()
    await running
    assert await positions.lag(house.pool, "sales") == 0


async def test_a_replay_broken_off_goes_on_where_it_stopped(house: House) -> None:
    await house.hearing.receive(house.messages(*range(1, len(house.events) + 1)))
    before = await house.checksum()
    replay = Replay(house.pool, house.journal, house.service)

    def broken(taken: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await replay.run(None, broken)
    assert await replay.left() == []
    assert await replay.run(None, lambda taken: None) == 0
    assert await replay.left() == [(SCHEDULE, len(house.events))]
    assert await house.checksum() == before


# --- several services, one reading ------------------------------------------------------------------------------------
class Counting(PostgresJournal):
    """Counts the records it was asked for."""

    read_so_far = 0

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        found = await super().read(schedule_id, after_seq, limit)
        self.read_so_far += len(found)
        return found


class Both(Notifications):
    """Beside the sales figures; stands still, or fails as a database does that is away, until it is cured."""

    def __init__(self) -> None:
        super().__init__()
        self.cured = asyncio.Event()
        self.cured.set()
        self.away = False
        self.asked = 0

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        self.asked += 1
        await self.cured.wait()
        if self.away:
            raise ConnectionResetError("gone")
        await super().take(connection, events)


async def positions_of(house: House) -> dict[str, int]:
    reached, _ = await positions.reach(house.pool, RECEIVERS, SCHEDULE)
    return reached


async def test_the_journal_is_read_once_for_all_who_have_come_equally_far(house: House) -> None:
    journal = Counting(house.own_pool)
    takers = [Taker(each, house.own_pool, journal) for each in (Sales(), Notifications())]
    together = Hearing(takers, house.own_pool, journal)
    head = len(house.events)
    assert await together.receive(house.messages(*range(1, head + 1))) == 2 * head
    assert journal.read_so_far == head
    assert await positions_of(house) == dict.fromkeys(RECEIVERS, head)
    assert await house.checksum() == await house.right()
    kinds = await house.pool.fetch("SELECT kind FROM notifications ORDER BY version")
    told = ["confirmed", "confirmed", "partially_refunded"]
    assert [row[0] for row in kinds] == told


async def test_who_has_come_less_far_reads_what_the_others_have_by_itself(house: House) -> None:
    await house.hearing.receive(house.messages(*range(1, 8)))
    together = house.heard_by(Sales(), Notifications())
    await together.receive(house.messages(6))
    assert await positions_of(house) == {"sales": 7, "notifications": 6}
    head = len(house.events)
    await together.receive(house.messages(head))
    assert await positions_of(house) == dict.fromkeys(RECEIVERS, head)
    assert await house.checksum() == await house.right()


async def test_nobody_waits_for_long_for_a_service_that_stands_still(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "PATIENCE_SECONDS", 0.01)
    still, sales = Both(), Sales()
    together = house.heard_by(still, sales)
    still.cured.clear()
    head = len(house.events)
    for version in range(1, head + 1):  # as often as it takes, on a slow machine, for the other to be through
        await together.receive(house.messages(version))

    async def sales_have_all() -> bool:
        await together.receive(house.messages(head))
        return (await positions_of(house))["sales"] == head

    await until(sales_have_all)
    assert (still.asked, (await positions_of(house))["notifications"]) == (1, 0)
    still.cured.set()

    async def all_have_all() -> bool:
        await together.receive(house.messages(head))
        return await positions_of(house) == dict.fromkeys(RECEIVERS, head)

    await until(all_have_all)
    assert await house.checksum() == await house.right()


async def test_who_fails_is_left_behind_while_another_comes_through_and_has_it_all_later(house: House) -> None:
    failing = Both()
    together = house.heard_by(Sales(), failing)
    failing.away = True
    await together.receive(house.messages(1, 2, 3))
    assert await positions_of(house) == {"sales": 3, "notifications": 0}
    failing.away = False
    head = len(house.events)
    await together.receive(house.messages(head))
    assert await positions_of(house) == dict.fromkeys(RECEIVERS, head)
    assert await positions.parked(house.pool, limit=10) == []


async def test_what_one_cannot_digest_the_others_take(house: House) -> None:
    head = len(house.events)
    await house.heard_by(Choking(4), Notifications()).receive(house.messages(*range(1, head + 1)))
    (parked,) = await positions.parked(house.pool, limit=10)
    assert (parked.consumer, parked.version) == ("sales", 4)
    assert await positions_of(house) == dict.fromkeys(RECEIVERS, head)


async def test_an_event_that_is_not_believed_is_put_aside_for_each(house: House) -> None:
    told = house.messages(*range(1, len(house.events) + 1))
    told[CONFIRMED - 1] = forged(house, CONFIRMED, data__booking__amount=1)
    await house.heard_by(Sales(), Notifications()).receive(told)
    rows = await positions.parked(house.pool, limit=10)
    assert [(row.consumer, row.version) for row in rows] == [
        ("notifications/suspect", CONFIRMED),
        ("sales/suspect", CONFIRMED),
    ]
