"""A house's plan is corrected past its owner: the next owner, readers, the topic and mirrors go over to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from actors.owner import publisher as publishing
from actors.owner.schedule import Schedule
from actors.wire.messages import BookingByPlan
from engine import commands as c
from engine.booking import Booking
from engine.events import Opened, PlanChanged, encode_event
from engine.refusals import Code, Refusal
from engine.snapshot import state_hash
from engine.state import BLOCKED
from engine.turn import Request
from persistence.events.from_journal import JournalFeed
from persistence.events.log import MemoryEventLog
from persistence.journal import history
from persistence.journal.memory import MemoryJournal
from persistence.reconciliation.sales_mirror import SalesMirror
from persistence.reconciliation.table_mirror import BOOKINGS, Mirror
from persistence.seats.cache import MemorySeatCache
from tests.actors.owner.test_schedule import SCHEDULE
from tests.engine.plans.houses import ANN, BOB, NOW, corrected, plan_document, succession, terms
from tests.support.clocks import ManualClock
from tests.support.waiting import until

DOCUMENT = plan_document()
PLANS = succession(DOCUMENT, corrected(DOCUMENT), corrected(DOCUMENT, back=True))
FIRST_ALONE = succession(DOCUMENT)
PRICES = {1: {"VIP": 150_000, "R": 90_000, "BOX": 200_000}, 2: {"VIP": 150_000, "R": 90_000}}


class World:
    """An owner that publishes, with all around it in memory."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.journal.open_schedule(SCHEDULE, PLANS, NOW, Opened(PLANS.digest, terms()))
        self.cache, self.log, self.clock = MemorySeatCache(), MemoryEventLog(), ManualClock()
        self.owner: Schedule | None = None
        self._sent = 0

    async def send(self, command: c.AnyCommand) -> object:
        if self.owner is None:
            parts = {"journal": self.journal, "cache": self.cache, "log": self.log, "clock": self.clock}
            self.owner = Schedule(SCHEDULE, **parts)  # type: ignore[arg-type]  # parts of several types
            await self.owner.activate()
        self._sent += 1
        (reply,) = await self.owner.submit([Request(f"r{self._sent}", command, "f")])
        return reply

    async def correct(self, number: int) -> None:
        """As a route does: past the owner, who is ended."""
        await self.stop()
        event = PlanChanged(number, PLANS.numbered(number).digest, terms(prices=PRICES[number]))
        self.journal.schedules[SCHEDULE].records.append((NOW, encode_event(event), "", ""))

    async def stop(self) -> None:
        if self.owner is not None:
            await self.owner.stop()
            self.owner = None


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(publishing, "LINGER_SECONDS", 0.001)
    world = World()
    yield world
    await world.stop()


async def told(world: World) -> None:
    """A story over three plans."""
    await world.send(c.HoldSeats("b1", ANN, ("A-1", "C-2", "pit")))
    await world.send(c.HoldSeats("b2", BOB, ("C-6", "C-4")))
    await world.send(c.Cancel("b2", "x2", BOB))
    await world.correct(1)
    await world.send(c.HoldSeats("b3", BOB, ("C-0", "C-4")))
    await world.send(c.Cancel("b3", "x3", BOB))
    await world.correct(2)
    await world.send(c.HoldSeats("b4", BOB, ("C-6", "B-1")))


async def test_the_next_owner_says_by_which_plan_its_answers_number_places(world: World) -> None:
    first = await world.send(c.HoldSeats("b1", ANN, ("C-2",)))
    assert isinstance(first, Booking)
    assert first.plan_number == 0
    await world.correct(1)
    moved = await world.send(c.Change("b1", ANN, ("C-2", "C-0")))
    assert isinstance(moved, BookingByPlan)
    plan = PLANS.numbered(moved.plan_number)
    assert [plan.ids[index] for index in moved.seats] == ["C-2", "C-0"]
    gone = await world.send(c.HoldSeats("b2", BOB, ("C-6",)))
    assert isinstance(gone, Refusal)
    assert gone.code is Code.UNKNOWN_SEAT


async def test_a_request_of_before_is_answered_as_it_was_at_first_by_the_numbers_of_now(world: World) -> None:
    await world.send(c.HoldSeats("b1", ANN, ("C-6", "C-1")))
    await world.send(c.Cancel("b1", "x", ANN))
    await world.correct(1)
    world._sent = 0
    again = await world.send(c.HoldSeats("b1", ANN, ("C-6", "C-1")))
    assert isinstance(again, BookingByPlan)
    assert [PLANS.numbered(1).ids[index] for index in again.seats] == ["C-6", "C-1"]  # C-6 is gone, and still named


async def test_the_topic_names_each_place_as_it_was_called_then(world: World) -> None:
    await told(world)
    seq = world.journal.schedules[SCHEDULE].seq

    async def said() -> dict[int, list[str]]:
        events = [json.loads(message.value)["data"] for message in await world.log.read_all(SCHEDULE)]
        return {each["version"]: [seat["id"] for seat in each.get("booking", {}).get("seats", ())] for each in events}

    async def all_said() -> bool:
        return len(await said()) == seq

    await until(all_said)
    assert await said() == {
        1: [], 2: ["A-1", "C-2", "pit"], 3: ["C-6", "C-4"], 4: ["C-6", "C-4"], 5: [],
        6: ["C-0", "C-4"], 7: ["C-0", "C-4"], 8: [], 9: ["C-6", "B-1"],
    }  # fmt: skip
    feed = JournalFeed(world.journal)
    again = [event async for part in feed.events(SCHEDULE, 0, seq) for event in part]
    published = [json.loads(message.value) for message in await world.log.read_all(SCHEDULE)]  # some of it twice
    assert {event.id: json.loads(msgspec.json.encode(event)) for event in again} == {
        each["id"]: each for each in published
    }


async def test_replay_snapshot_and_mirrors_come_to_the_same_house(world: World) -> None:
    await told(world)
    assert world.owner is not None
    await world.owner._snapshots.save(world.owner._state)
    seq = world.journal.schedules[SCHEDULE].seq
    by_snapshot = await history.state_at(world.journal, SCHEDULE, PLANS, seq)
    world.journal.schedules[SCHEDULE].snapshots.clear()
    replayed = await history.state_at(world.journal, SCHEDULE, PLANS, seq)
    assert state_hash(by_snapshot) == state_hash(replayed) == (await world.owner.inspect()).state_hash
    assert replayed.plan.number == 2
    assert replayed.seats.count(BLOCKED) == 0
    records = await world.journal.read(SCHEDULE, 0, 100)
    mirror, sales = Mirror(PLANS), SalesMirror(PLANS)
    mirror.follow(records)
    sales.follow(records)
    assert mirror.fingerprint.hexdigest() == state_hash(replayed)
    seats = BOOKINGS.columns.index("seats")
    assert {row[0]: row[seats] for row in mirror.sheets["bookings"].rows.values()}["b2"] == "C-6\x1fC-4"
    assert sales.live["b4"].places == [("C-6", "R", 90_000), ("B-1", "VIP", 150_000)]


async def test_who_read_the_plans_before_reads_them_again(world: World) -> None:
    await told(world)
    behind = await history.state_at(world.journal, SCHEDULE, FIRST_ALONE, 4)
    async for _ in history.steps_after(world.journal, SCHEDULE, behind, world.journal.schedules[SCHEDULE].seq):
        pass
    assert behind.plan.number == 2
