"""Many schedules in one process: what one goes through is nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from actors.owner.host import BYTES_PER_PLACE, Host
from actors.owner.schedule import Schedule
from actors.wire.messages import Fault, Reply, Standing, decode_answer, encode_call
from engine import commands
from engine.booking import Booking
from engine.events import Opened
from engine.plan_document import read_plan
from engine.turn import Request
from persistence.journal.committer import Committer
from persistence.journal.journal import Claim
from persistence.seats.cache import MemorySeatCache
from tests.actors.owner.test_schedule import SlowJournal
from tests.engine.plans.houses import ANN, NOW, plan_document, terms
from tests.support.clocks import ManualClock
from tests.support.waiting import PATIENCE_SECONDS, turns, until

PLAN = read_plan(plan_document())
NAMES = tuple(f"00000000-0000-7000-8000-00000000000{number}" for number in range(1, 6))
HOST = "owners-0"


class GatedJournal(SlowJournal):
    """Some schedules cannot be claimed until they are let; some reads break off."""

    def __init__(self) -> None:
        super().__init__()
        self.held_back: dict[str, asyncio.Event] = {}
        self.claiming = 0
        self.most_claiming = 0

    async def claim(self, schedule_id: str) -> Claim:
        self.claiming += 1
        self.most_claiming = max(self.most_claiming, self.claiming)
        try:
            if schedule_id in self.held_back:
                await self.held_back[schedule_id].wait()
            await asyncio.sleep(0)
            return await super().claim(schedule_id)
        finally:
            self.claiming -= 1


class FakePlaces:
    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.vacated: dict[str, int] = {}

    async def placed(self) -> dict[str, int]:
        return self.rows

    async def vacate(self, epochs: dict[str, int]) -> None:
        self.vacated.update(epochs)


class World:
    """A process of owners, with everything around it in memory."""

    def __init__(self) -> None:
        self.journal = GatedJournal()
        self.journal.host = HOST
        self.clock = ManualClock()
        self.places = FakePlaces()
        self.idle_seconds = 300.0
        for name in NAMES:
            self.journal.open_schedule(name, PLAN, NOW, Opened(PLAN.digest, terms()))
            self.journal.schedules[name].host = HOST
        self.schedules: list[Schedule] = []
        self.host = Host(self._start, self.places)

    def _start(self, schedule_id: str) -> Schedule:
        schedule = Schedule(
            schedule_id,
            journal=Committer(self.journal, self.journal),
            cache=MemorySeatCache(),
            log=None,
            clock=self.clock,
            idle_seconds=self.idle_seconds,
        )
        self.schedules.append(schedule)
        return schedule

    async def call(self, *parts: tuple[str, list[Request]]) -> list[list[Reply] | Standing]:
        return decode_answer(await self.host.submit(encode_call(parts)))

    async def open(self, *names: str) -> None:
        assert await asyncio.gather(*(self.call((name, [])) for name in names)) == [[[]]] * len(names)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for gate in world.journal.held_back.values():
        gate.set()
    await world.host.close()


def hold(number: int) -> Request:
    return Request(f"r{number}", commands.HoldBest(f"b{number}", ANN, 1))


async def test_a_schedule_is_opened_when_it_is_asked_for_and_answers_then(world: World) -> None:
    (name, *_) = NAMES
    assert await world.call((name, [hold(1)])) == [Standing.CLOSED]
    await world.open(name)
    ((reply,),) = await world.call((name, [hold(1)]))
    assert isinstance(reply, Booking)
    assert len(world.host) == 1


async def test_a_call_answers_each_schedule_for_itself(world: World) -> None:
    first, second, closed, *_ = NAMES
    await world.open(first, second)
    answer = await world.call((first, [hold(1), hold(2)]), (second, [hold(3)]), (closed, [hold(4)]))
    assert [[type(reply) for reply in each] if isinstance(each, list) else each for each in answer] == [
        [Booking, Booking],
        [Booking],
        Standing.CLOSED,
    ]


async def test_many_who_ask_at_once_open_a_schedule_once(world: World) -> None:
    await world.open(*NAMES[:1] * 10)
    assert world.journal.schedules[NAMES[0]].epoch == 1


async def test_a_schedule_of_another_process_or_of_none_is_told_so(world: World) -> None:
    moved, *_ = NAMES
    world.journal.schedules[moved].host = "owners-1"
    assert await world.call((moved, [])) == [Standing.ELSEWHERE]
    assert await world.call(("nonsense", [])) == [Standing.UNKNOWN]
    assert len(world.host) == 0


async def test_a_deposed_schedule_leaves_and_takes_no_other_along(world: World) -> None:
    deposed, other, *_ = NAMES
    await world.open(deposed, other)
    await world.journal.claim(deposed)
    answer = await world.call((deposed, [hold(1)]), (other, [hold(2)]))
    assert answer[0] == [None]
    assert isinstance(answer[1], list)
    assert isinstance(answer[1][0], Booking)
    await until(lambda: len(world.host) == 1)
    assert await world.call((deposed, [hold(1)])) == [Standing.CLOSED]


async def test_whoever_waits_for_one_schedule_s_commit_does_not_hold_up_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.owner.host.STRAGGLER_SECONDS", 0.01)
    slow, refused, *_ = NAMES
    await world.open(slow, refused)
    world.journal.open.clear()
    gone = Request("r2", commands.Cancel("nothing", "x", ANN))
    slow_answer, refusal = await world.call((slow, [hold(1)]), (refused, [gone]))
    assert slow_answer == [None]
    assert isinstance(refusal, list)
    assert refusal[0] is not None
    world.journal.open.set()


async def test_schedules_that_cannot_be_opened_do_not_keep_others_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.owner.host.OPENED_AT_ONCE", 2)
    monkeypatch.setattr("actors.owner.host.OPENING_SECONDS", 0.01)
    monkeypatch.setattr("actors.owner.host.ANSWER_SECONDS", 0.05)
    stuck, free = NAMES[:3], NAMES[3]
    world.host = Host(world._start, world.places)
    world.journal.held_back = {name: asyncio.Event() for name in stuck}
    assert await asyncio.gather(*(world.call((name, [])) for name in stuck)) == [[Standing.CLOSED]] * 3
    monkeypatch.setattr("actors.owner.host.ANSWER_SECONDS", PATIENCE_SECONDS)
    await world.open(free)


async def test_only_so_many_are_opened_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.owner.host.OPENED_AT_ONCE", 2)
    world.host = Host(world._start, world.places)
    await world.open(*NAMES)
    assert world.journal.most_claiming == 2


async def test_a_retired_schedule_is_closed_at_once_and_keeps_its_place(world: World) -> None:
    retired, other, *_ = NAMES
    await world.open(retired, other)
    await world.host.retire(retired)
    assert await world.host.inspect(retired) is None
    assert await world.call((retired, [hold(1)])) == [Standing.CLOSED]
    assert (len(world.host), world.places.vacated) == (1, {})


@pytest.mark.parametrize("turns", range(12))
async def test_one_that_is_retired_while_it_is_being_opened_is_opened_anew(world: World, turns: int) -> None:
    (name, *_) = NAMES
    opening = asyncio.create_task(world.call((name, [])))
    for _ in range(turns):
        await asyncio.sleep(0)
    await world.host.retire(name)
    await world.host.retire(name)
    assert await opening in ([[]], [Standing.CLOSED])
    await world.open(name)
    assert len(world.host) == 1


async def test_a_schedule_that_leaves_memory_gives_up_its_place_and_the_process_stays(world: World) -> None:
    world.idle_seconds = 0
    leaves, *_ = NAMES
    await world.open(leaves)
    world.clock.ms += 1
    await until(lambda: world.places.vacated == {leaves: 1})
    assert len(world.host) == 0
    world.idle_seconds = 300
    await world.open(leaves)


async def test_the_least_used_make_room_for_a_newcomer(world: World) -> None:
    first, second, third, *_ = NAMES
    await world.open(first)
    world.clock.ms += 1
    await world.open(second)
    world.host._memory = sum(schedule.weight for schedule in world.schedules) + len(PLAN.ids) * BYTES_PER_PLACE
    world.clock.ms += 1
    await world.call((first, [Request("r", commands.Cancel("nothing", "x", ANN))]))
    await world.open(third)
    assert await world.host.inspect(second) is None
    assert None not in (await world.host.inspect(first), await world.host.inspect(third))


async def test_one_that_ends_while_it_makes_room_keeps_nobody_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves, newcomer, *_ = NAMES
    await world.open(leaves)
    await world.call((leaves, [hold(1)]))
    encoding, may_encode = asyncio.Event(), asyncio.Event()

    async def in_a_thread(work: Callable[..., bytes], *arguments: object) -> bytes:
        encoding.set()
        await may_encode.wait()
        return work(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", in_a_thread)
    world.host._memory = world.schedules[0].weight + len(PLAN.ids) * BYTES_PER_PLACE
    opening = asyncio.create_task(world.call((newcomer, [])))
    await until(encoding.is_set)
    world.journal.open.clear()
    asked = asyncio.create_task(world.call((leaves, [hold(2)])))
    await until(lambda: world.journal.appends == 2)
    may_encode.set()
    await turns(5)  # now its snapshot waits for the commit that hangs
    await world.host.retire(leaves)
    assert await opening == [[]]
    assert await asked == [[None]]


async def test_where_everyone_is_busy_a_newcomer_is_told_that_memory_is_full(world: World) -> None:
    busy, newcomer, *_ = NAMES
    await world.open(busy)
    world.journal.open.clear()
    held = asyncio.create_task(world.call((busy, [hold(1)])))
    await until(lambda: world.journal.appends == 1)
    world.host._memory = 1  # byte
    assert await world.call((newcomer, [])) == [Standing.FULL]
    world.journal.open.set()
    ((reply,),) = await held
    assert isinstance(reply, Booking)


async def test_a_place_that_nothing_is_left_of_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.owner.host.TIDY_SECONDS", 0.01)
    here, former, *_ = NAMES
    await world.open(here)
    world.places.rows = {here: 1, former: 7}
    tidying = asyncio.create_task(world.host.tidy())
    await until(lambda: world.places.vacated == {former: 7})
    tidying.cancel()


async def test_a_turn_that_breaks_off_costs_its_own_request_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from actors.owner import schedule as module

    sound = module.execute

    def broken(state: object, request: Request, now_ms: int) -> object:
        if request.id == "r2":
            state.seq += 1  # type: ignore[attr-defined]  # memory is damaged on the way
            raise ValueError("a bug")
        return sound(state, request, now_ms)  # type: ignore[arg-type]  # stands in for it

    monkeypatch.setattr(module, "execute", broken)
    name, neighbour, *_ = NAMES
    await world.open(name, neighbour)
    answer = await world.call((name, [hold(1), hold(2), hold(3)]), (neighbour, [hold(4)]))
    kinds = [[type(reply) for reply in each] for each in answer if isinstance(each, list)]
    assert kinds == [[Booking, Fault, Booking], [Booking]]
    stored = world.journal.schedules[name]
    assert sorted(stored.bookings) == ["b1", "b3"]
    assert stored.seq == 3


async def test_a_beginning_that_breaks_off_is_nobody_else_s_and_decides_nothing_twice(world: World) -> None:
    name, neighbour, *_ = NAMES
    await world.open(name, neighbour)
    schedule = next(each for each in world.schedules if each.id == name)
    sound = schedule.begin

    def broken(requests: Sequence[Request]) -> None:
        sound(requests)
        raise LookupError("a bug")

    schedule.begin = broken  # type: ignore[method-assign]  # one that fails, in its place
    answer = await world.call((name, [hold(1)]), (neighbour, [hold(2)]))
    assert [[type(reply) for reply in each] for each in answer if isinstance(each, list)] == [[Booking], [Booking]]
    assert [sorted(world.journal.schedules[each].bookings) for each in (name, neighbour)] == [["b1"], ["b2"]]


async def test_a_commit_that_is_lost_is_made_good_within_the_call_and_the_others_do_not_notice(world: World) -> None:
    name, *others = NAMES
    await world.open(*NAMES)
    world.journal.fail_next = [False, True]
    answer = await world.call((name, [hold(1)]), *((each, [hold(number)]) for number, each in enumerate(others, 2)))
    assert [[type(reply) for reply in each] for each in answer if isinstance(each, list)] == [[Booking]] * len(NAMES)
    assert [sorted(world.journal.schedules[each].bookings) for each in NAMES] == [[f"b{n}"] for n in range(1, 6)]


async def test_an_owner_that_ends_by_an_error_says_so_in_its_place_of_the_call(world: World) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("a bug")

    name, neighbour, *_ = NAMES
    await world.open(name, neighbour)
    schedule = next(each for each in world.schedules if each.id == name)
    schedule._journal = SlowJournal()
    schedule._journal.append = broken  # type: ignore[method-assign]  # one that fails, in its place
    failed, sound = await world.call((name, [hold(1)]), (neighbour, [hold(2)]))
    assert isinstance(failed, list)
    assert isinstance(sound, list)
    assert [type(reply) for reply in (*failed, *sound)] == [Fault, Booking]


async def test_a_request_that_cannot_be_kept_is_found_among_its_neighbours(world: World) -> None:
    name, neighbour, *_ = NAMES
    await world.open(name, neighbour)
    world.journal.refused = {"r3"}
    calls = [world.call((name, [hold(n) for n in range(start, start + 3)])) for start in (1, 4)]
    one, other, (apart,) = await asyncio.gather(*calls, world.call((neighbour, [hold(9)])))
    kinds = [type(reply) for answer in (*one, *other, apart) if isinstance(answer, list) for reply in answer]
    assert kinds == [Booking, Booking, Fault, Booking, Booking, Booking, Booking]
    assert sorted(world.journal.schedules[name].bookings) == ["b1", "b2", "b4", "b5", "b6"]
    assert isinstance((await world.call((name, [hold(10), hold(11)])))[0], list)


# --- leaving ----------------------------------------------------------------------------------------------------------
async def test_drained_every_schedule_answers_what_it_was_asked_and_leaves(world: World) -> None:
    first, second, *_ = NAMES
    await world.open(first, second)
    world.journal.open.clear()
    asked = asyncio.create_task(world.call((first, [hold(1)])))
    await until(lambda: world.journal.appends)
    draining = asyncio.create_task(world.host.drain())
    await until(lambda: len(world.host) == 1)  # the one that nobody waits for has left
    assert await world.call((first, [hold(2)])) == [Standing.CLOSED]
    assert await world.call((first, [])) == [Standing.ELSEWHERE]
    world.journal.open.set()
    ((reply,),) = await asked
    assert isinstance(reply, Booking)
    await draining
    assert len(world.host) == 0
    assert set(world.places.vacated) == {first, second}
    assert await world.call((second, [])) == [Standing.ELSEWHERE]
    world.host.resume()
    await world.open(first, second)


async def test_drained_again_it_gives_up_the_places_that_came_meanwhile(world: World) -> None:
    await world.host.drain()
    world.places.rows = {NAMES[0]: 3}
    await world.host.drain()
    assert world.places.vacated == {NAMES[0]: 3}


async def test_a_schedule_that_is_another_s_already_holds_no_draining_up(world: World) -> None:
    (name, *_) = NAMES
    await world.open(name)
    await world.call((name, [hold(1)]))
    await world.journal.claim(name)
    await world.host.drain()
    assert len(world.host) == 0
