"""The owner of a schedule, without Ray: what it answers, when, and what it survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from actors.owner.schedule import Schedule
from actors.wire.messages import Fault, Reply
from engine import commands
from engine.booking import Booking, Status
from engine.events import Opened
from engine.plan_document import read_plan
from engine.refusals import Code, Refusal, Why
from engine.seating_plan import SeatingPlan
from engine.snapshot import state_hash
from engine.turn import Request
from persistence.events.log import LogUnavailable, MemoryEventLog
from persistence.journal import history
from persistence.journal.journal import Batch, Claim, JournalUnavailable
from persistence.journal.memory import MemoryJournal
from persistence.seats.cache import MemorySeatCache
from tests.engine.plans.houses import ANN, BOB, NOW, plan_document, terms
from tests.support.clocks import ManualClock
from tests.support.waiting import PATIENCE_SECONDS, turns, until

SCHEDULE = "00000000-0000-7000-8000-0000000000aa"
PLAN = read_plan(plan_document())


class SlowJournal(MemoryJournal):
    """Commits only while `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.appends = 0

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        self.appends += 1
        await self.open.wait()
        await super().append(claim, plan, batch)


class World:
    """An owner with everything around it in memory."""

    def __init__(self) -> None:
        self.journal = SlowJournal()
        self.journal.open_schedule(SCHEDULE, PLAN, NOW, Opened(PLAN.digest, terms()))
        self.cache = MemorySeatCache()
        self.log = MemoryEventLog()
        self.clock = ManualClock()
        self.owners: list[Schedule] = []

    async def owner(self, idle_seconds: float = 300) -> Schedule:
        owner = Schedule(
            SCHEDULE,
            journal=self.journal,
            cache=self.cache,
            log=self.log,
            clock=self.clock,
            idle_seconds=idle_seconds,
        )
        self.owners.append(owner)
        await owner.activate()
        return owner


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for owner in world.owners:
        await owner.stop()


def hold(number: int, *seats: str, customer: str = ANN, again: bool = False) -> Request:
    return Request(f"r{number}", commands.HoldSeats(f"b{number}", customer, seats), "f", again)


async def test_a_success_is_answered_only_when_it_is_durable(world: World) -> None:
    owner = await world.owner()
    world.journal.open.clear()
    answer = asyncio.create_task(owner.submit([hold(1, "A-1")]))
    await until(lambda: world.journal.appends == 1)
    assert not answer.done()
    world.journal.open.set()
    (reply,) = await answer
    assert isinstance(reply, Booking)
    assert world.journal.schedules[SCHEDULE].bookings["b1"] == reply


async def test_a_refusal_is_answered_at_once_even_while_a_commit_hangs(world: World) -> None:
    owner = await world.owner()
    world.journal.open.clear()
    first = asyncio.create_task(owner.submit([hold(1, "A-1")]))
    await until(lambda: world.journal.appends == 1)
    (reply,) = await owner.submit([hold(2, "A-1", customer=BOB)])
    assert reply == Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))
    world.journal.open.set()
    await first


PAID = (commands.RequestPayment("b1", ANN, "p1", "sandbox"), commands.ApprovePayment("b1", "p1", "ref"))
ENDED = [
    ((), commands.Cancel("b1", "x1", ANN), commands.Cancel("b1", "x2", ANN), Refusal(Code.BOOKING_ALREADY_CANCELLED)),
    (
        PAID,
        commands.Refund("b1", "", "x1", "p1", by="admin", fee_percent=100),
        commands.Refund("b1", ANN, "x2", "p1"),
        Refusal(Code.NOT_REFUNDABLE, reason=Why.KEPT),
    ),
]


@pytest.mark.parametrize(("before", "ending", "asked", "refusal"), ENDED, ids=["cancelled", "kept"])
async def test_a_refusal_that_states_a_fact_of_ones_own_waits_for_it(
    world: World,
    before: tuple[commands.AnyCommand, ...],
    ending: commands.AnyCommand,
    asked: commands.AnyCommand,
    refusal: Refusal,
) -> None:
    owner = await world.owner()
    await owner.submit([hold(1, "A-1")])
    for number, command in enumerate(before):
        await owner.submit([Request(f"b{number}", command)])
    appends = world.journal.appends
    world.journal.open.clear()
    first = asyncio.create_task(owner.submit([Request("c1", ending)]))
    await until(lambda: world.journal.appends == appends + 1)
    again = asyncio.create_task(owner.submit([Request("c2", asked)]))
    await asyncio.wait([again], timeout=0.05)  # it does not come
    assert not again.done()
    world.journal.open.set()
    assert (await again) == [refusal]
    await first


async def test_turns_taken_during_a_commit_share_the_next_one(world: World) -> None:
    owner = await world.owner()
    world.journal.open.clear()
    first = asyncio.create_task(owner.submit([hold(1, "A-1")]))
    await until(lambda: world.journal.appends == 1)
    others = [asyncio.create_task(owner.submit([hold(n, f"B-{n}")])) for n in range(2, 7)]
    await turns(10)  # whoever asks is in line by now
    world.journal.open.set()
    await asyncio.gather(first, *others)
    assert world.journal.appends == 2


async def test_a_lost_commit_is_made_good_without_the_caller_noticing(world: World) -> None:
    owner = await world.owner()
    world.journal.fail_next = [False]
    (reply,) = await owner.submit([hold(1, "A-1")])
    assert isinstance(reply, Booking)
    assert list(world.journal.schedules[SCHEDULE].bookings) == ["b1"]


async def test_a_commit_of_unknown_outcome_that_took_effect_is_answered_once(world: World) -> None:
    owner = await world.owner()
    world.journal.fail_next = [True]
    (reply,) = await owner.submit([hold(1, "A-1")])
    assert isinstance(reply, Booking)
    assert reply.version == 2
    assert world.journal.schedules[SCHEDULE].seq == 2


async def test_after_a_lost_commit_the_next_in_line_gets_what_is_free_then(world: World) -> None:
    owner = await world.owner()
    world.journal.open.clear()
    world.journal.fail_next = [False]
    first = asyncio.create_task(owner.submit([hold(1, "A-1"), hold(2, "A-2", customer=BOB)]))
    await until(lambda: world.journal.appends == 1)
    second = asyncio.create_task(owner.submit([hold(3, "A-3")]))
    await turns(10)  # whoever asks is in line by now
    world.journal.open.set()
    replies: list[Reply] = [*await first, *await second]
    assert all(isinstance(reply, Booking) for reply in replies)
    stored = world.journal.schedules[SCHEDULE].bookings
    assert sorted(booking.seats for booking in stored.values()) == [(0,), (1,), (2,)]


async def test_a_commit_that_takes_too_long_is_answered_ask_again_and_then_the_same(world: World) -> None:
    owner = await world.owner()
    world.journal.open.clear()
    assert await owner.submit([hold(1, "A-1")]) == [None]
    again = asyncio.create_task(owner.submit([hold(1, "A-1", again=True)]))
    world.journal.open.set()
    (reply,) = await again
    assert isinstance(reply, Booking)
    assert world.journal.schedules[SCHEDULE].seq == 2


async def test_a_repeat_of_a_request_still_under_way_is_told_so(world: World) -> None:
    owner = await world.owner()
    world.journal.open.clear()
    first = asyncio.create_task(owner.submit([hold(1, "A-1")]))
    await until(lambda: world.journal.appends == 1)
    assert await owner.submit([hold(1, "A-1")]) == [Refusal(Code.IDEMPOTENCY_IN_PROGRESS)]
    world.journal.open.set()
    before = await first
    assert await owner.submit([hold(1, "A-1")]) == before


async def test_a_new_owner_answers_a_repeat_with_the_first_answer(world: World) -> None:
    first = await world.owner()
    (before,) = await first.submit([hold(1, "A-1")])
    await first.stop()
    second = await world.owner()
    assert await second.submit([hold(1, "A-1")]) == [before]
    reused = msgspec.structs.replace(hold(1, "A-1"), fingerprint="other")
    assert await second.submit([reused]) == [Refusal(Code.IDEMPOTENCY_KEY_REUSED)]


async def test_a_deposed_owner_answers_no_success_and_goes(world: World) -> None:
    old = await world.owner()
    new = await world.owner()
    assert await new.submit([hold(1, "A-1")])
    replies = await old.submit([hold(2, "A-2", customer=BOB)])
    assert replies == [None]
    assert old.left.is_set()
    assert list(world.journal.schedules[SCHEDULE].bookings) == ["b1"]


async def test_whoever_waits_for_an_owner_that_ends_is_told_to_ask_again_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.owner.schedule.ANSWER_SECONDS", 60)
    owner = await world.owner()
    world.journal.open.clear()
    asked = asyncio.create_task(owner.submit([hold(1, "A-1")]))
    await until(lambda: world.journal.appends == 1)
    later = asyncio.create_task(owner.submit([hold(2, "A-2")]))
    await asyncio.sleep(0)
    await owner.stop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [await asked, await later] == [[None], [None]]


async def test_an_owner_whose_task_is_called_off_by_a_stranger_goes(world: World) -> None:
    owner = await world.owner()
    owner._tasks[0].cancel()
    await until(owner.left.is_set)


async def test_holds_expire_on_time_without_any_request(world: World) -> None:
    owner = await world.owner()
    await owner.submit([hold(1, "A-1")])
    world.clock.ms += 600_000
    owner.tick()
    stored = world.journal.schedules[SCHEDULE].bookings
    await until(lambda: stored["b1"].status is Status.EXPIRED)
    (reply,) = await owner.submit([hold(2, "A-1", customer=BOB)])
    assert isinstance(reply, Booking)


async def test_the_head_knows_the_next_deadline_for_whoever_comes_after_a_crash(world: World) -> None:
    owner = await world.owner()
    await owner.submit([hold(1, "A-1")])
    assert world.journal.schedules[SCHEDULE].next_deadline_ms == NOW + 600_000


async def test_readers_see_what_is_durable_and_nothing_else(world: World) -> None:
    owner = await world.owner()
    world.journal.open.clear()
    answer = asyncio.create_task(owner.submit([hold(1, "A-1")]))
    await until(lambda: world.journal.appends == 1)
    await asyncio.wait([answer], timeout=0.1)  # it does not come
    view = await world.cache.get(SCHEDULE)
    assert view is not None
    assert (view.version, view.states[0]) == (1, 0)
    world.journal.open.set()
    await answer

    async def shown() -> bool:
        view = await world.cache.get(SCHEDULE)
        return view is not None and view.version == 2 and view.states[0] == 1

    await until(shown)


async def test_everything_durable_is_published_in_order_and_once(world: World) -> None:
    owner = await world.owner()
    await owner.submit([hold(n, f"A-{n}") for n in range(1, 7)])
    await owner.submit([Request("c1", commands.Cancel("b1", "x1", ANN))])
    stored = world.journal.schedules[SCHEDULE]
    await until(lambda: stored.published_seq == stored.seq)
    assert published_versions(await everything(world.log)) == list(range(1, 9))


async def test_what_an_earlier_owner_did_not_publish_the_next_one_does(world: World) -> None:
    broken = world.log

    class Away(MemoryEventLog):
        async def publish(self, key: str, values: object) -> None:
            raise LogUnavailable("away")

    world.log = Away()
    first = await world.owner()
    await first.submit([hold(1, "A-1")])
    await first.submit([Request("c1", commands.Cancel("b1", "x1", ANN))])
    await first.stop()
    world.log = broken
    await world.owner()
    stored = world.journal.schedules[SCHEDULE]
    await until(lambda: stored.published_seq == stored.seq)
    assert published_versions(await everything(world.log)) == [1, 2, 3]


async def test_an_unused_owner_saves_a_snapshot_and_leaves(world: World) -> None:
    owner = await world.owner(idle_seconds=0)
    await owner.submit([hold(1, "A-1"), Request("c1", commands.Cancel("b1", "x1", ANN))])
    world.clock.ms += 1
    await until(owner.left.is_set)
    stored = world.journal.schedules[SCHEDULE]
    assert max(stored.snapshots) == stored.seq
    state = await history.latest(world.journal, SCHEDULE)
    assert state is not None
    assert state.seats == bytearray(PLAN.size)


async def test_an_error_nobody_foresaw_ends_the_owner_and_is_told_at_once_and_not_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    owner = await world.owner()
    epochs = world.journal.schedules[SCHEDULE].epoch

    async def broken(*arguments: object) -> None:
        world.journal.appends += 1
        raise LookupError("no such column")

    world.journal.append = broken  # type: ignore[method-assign]  # breaks on purpose
    (reply,) = await owner.submit([hold(1, "A-1")])
    assert isinstance(reply, Fault)
    assert (reply.ours, "no such column" in reply.reason) == (True, True)
    assert owner.left.is_set()
    assert (world.journal.appends, world.journal.schedules[SCHEDULE].epoch) == (1, epochs)
    assert [each.levelname for each in caplog.records if "no such column" in each.getMessage()] == ["ERROR"]


@pytest.mark.parametrize("error", [JournalUnavailable("away"), LookupError("no such column")])
async def test_a_snapshot_that_fails_is_logged_and_tried_again_and_counts_only_when_it_is_saved(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    monkeypatch.setattr("actors.owner.snapshots.SNAPSHOT_EVERY", 2)
    monkeypatch.setattr("actors.owner.snapshots.SNAPSHOT_AGAIN", 2)
    owner = await world.owner()
    save_snapshot, errors = world.journal.save_snapshot, [error]

    async def fails_once(claim: Claim, seq: int, payload: bytes) -> None:
        if errors:
            raise errors.pop()
        await save_snapshot(claim, seq, payload)

    world.journal.save_snapshot = fails_once  # type: ignore[method-assign]  # one that fails, in its place
    stored = world.journal.schedules[SCHEDULE]
    for number in range(1, 3):
        await owner.submit([hold(number, f"A-{number}")])
    await until(lambda: not errors)
    assert (stored.snapshots, owner.vitals().unsaved, owner.snapshot_failing) == ({}, stored.seq, True)
    assert "a snapshot" in caplog.text
    for number in range(3, 5):
        await owner.submit([hold(number, f"A-{number}")])
    await until(lambda: bool(stored.snapshots))
    assert owner.vitals().unsaved == stored.seq - max(stored.snapshots)
    assert not owner.snapshot_failing
    assert not owner.left.is_set()


async def test_activation_waits_for_a_database_that_is_away(world: World) -> None:
    class Absent(SlowJournal):
        failures = 3

        async def claim(self, schedule_id: str) -> Claim:
            if self.failures:
                self.failures -= 1
                raise JournalUnavailable("connection refused")
            return await super().claim(schedule_id)

    absent = Absent()
    absent.schedules = world.journal.schedules
    world.journal = absent
    owner = await world.owner()
    assert isinstance((await owner.submit([hold(1, "A-1")]))[0], Booking)


async def test_memory_and_journal_agree_after_a_crowd(world: World) -> None:
    owner = await world.owner()
    world.journal.fail_next = [False, True, False]
    wishes = [Request(f"r{n}", commands.HoldBest(f"b{n}", ANN if n % 2 else BOB, 1 + n % 3), "") for n in range(12)]
    await asyncio.gather(*(owner.submit([wish]) for wish in wishes))
    state = await history.latest(world.journal, SCHEDULE)
    assert state is not None
    inspection = await owner.inspect()
    assert (inspection.version, inspection.state_hash) == (state.seq, state_hash(state))


async def everything(log: MemoryEventLog) -> list[bytes]:
    return [message.value for message in await log.read_all(SCHEDULE)]


def published_versions(values: list[bytes]) -> list[int]:
    return [int(msgspec.json.decode(value)["id"].rpartition(":")[2]) for value in values]
