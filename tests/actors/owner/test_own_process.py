"""A process that is one schedule's own: others leave it, and nobody loses a request by that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from actors.owner.own_process import COOL_SECONDS, Heat, OwnProcess
from actors.wire.messages import Standing
from engine.booking import Booking
from persistence.journal.own_process import Marked
from tests.actors.owner.test_host import HOST, NAMES, World, hold
from tests.support.waiting import until

LIMIT = 100
A, B, C, D, _ = NAMES


class FakeRows:
    """Two processes, of which the other has one schedule."""

    def __init__(self) -> None:
        self.names = [HOST, "owners-1"]
        self.counts = {HOST: 3, "owners-1": 1}
        self.marks: list[Marked] = []
        self.hot: dict[str, bool] = {}

    async def hosts(self) -> Sequence[str]:
        return self.names

    async def counted(self) -> Mapping[str, int]:
        return self.counts

    async def marked(self) -> Sequence[Marked]:
        return self.marks

    async def take_temperatures(self, hot: Mapping[str, bool]) -> None:
        self.hot |= hot


class Shared(World):
    """Three schedules open in one process, and what is known of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = FakeRows()
        self.now = 0.0
        self.own = OwnProcess(HOST, self.host, self.rows, hot_per_second=LIMIT, now=lambda: self.now)

    @property
    def here(self) -> set[str]:
        return {each.id for each in self.host.schedules}


@pytest.fixture
async def world() -> AsyncIterator[Shared]:
    world = Shared()
    await world.open(A, B, C)
    yield world
    await world.host.close()


async def test_whoever_shares_a_process_with_its_owner_leaves(world: Shared) -> None:
    world.rows.marks = [Marked(B, HOST, False)]
    await world.own.look()
    assert world.here == {B}
    assert set(world.places.vacated) == {A, C}


async def test_who_leaves_answers_first_what_it_was_asked_and_takes_nothing_more(world: Shared) -> None:
    world.rows.marks = [Marked(B, HOST, False)]
    world.journal.open.clear()
    asked = asyncio.create_task(world.call((A, [hold(1)]), (B, [hold(2)])))
    await until(lambda: world.journal.appends)
    looking = asyncio.create_task(world.own.look())
    await until(lambda: world.here == {A, B})  # the one that nobody waits for has left
    assert await world.call((A, [hold(3)])) == [Standing.CLOSED]
    assert await world.call((A, [])) == [Standing.ELSEWHERE]
    world.journal.open.set()
    await looking
    assert [type(reply) for answer in await asked if isinstance(answer, list) for reply in answer] == [Booking, Booking]
    assert world.here == {B}


async def test_where_a_process_is_empty_the_owner_goes_there_and_the_others_stay(world: Shared) -> None:
    world.rows.marks = [Marked(B, HOST, False)]
    world.rows.counts = {HOST: 3}
    await world.own.look()
    assert world.here == {A, C}


@pytest.mark.parametrize(
    ("marks", "processes"),
    [
        ([], 2),
        ([Marked(B, HOST, False)], 1),  # one process is everybody's
        ([Marked(D, "owners-1", False), Marked(B, HOST, False)], 2),  # an earlier one has the only one to be had
    ],
)
async def test_nobody_leaves_a_process_that_is_everybody_s(world: Shared, marks: list[Marked], processes: int) -> None:
    world.rows.marks = marks
    world.rows.names = world.rows.names[:processes]
    await world.own.look()
    assert world.here == {A, B, C}


async def test_of_two_in_one_process_the_later_leaves(world: Shared) -> None:
    world.rows.marks = [Marked(C, HOST, False), Marked(A, HOST, True)]
    await world.own.look()
    assert world.here == {C}


async def test_only_so_many_leave_at_a_look_the_last_used_first(world: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.owner.own_process.LEAVING_AT_ONCE", 1)
    world.rows.marks = [Marked(B, HOST, False)]
    world.clock.ms += 1
    await world.call((C, [hold(1)]))
    await world.own.look()
    assert world.here == {A, B}
    await world.own.look()
    assert world.here == {B}


async def test_a_schedule_that_keeps_its_process_busy_is_found_hot_and_cool_when_it_was_long_quiet(
    world: Shared,
) -> None:
    number = 0
    for _ in range(2):
        await world.own.look()
        assert world.rows.hot == {}
        requests = [hold(number + each) for each in range(4)]
        number += 4
        assert all(isinstance(reply, Booking) for reply in (await world.call((A, requests)))[0])
        world.now += 3 / LIMIT  # four records in the time of three
    await world.own.look()
    assert world.rows.hot == {A: True}
    world.rows.marks = [Marked(A, HOST, True)]
    world.now += COOL_SECONDS / 2
    await world.own.look()
    assert world.rows.hot == {A: True}
    world.now += COOL_SECONDS
    await world.own.look()
    assert world.rows.hot == {A: False}


@pytest.mark.parametrize(
    ("versions", "hot"),
    [
        ([0, 200, 400], True),
        ([0, 200, 200, 400], False),  # bursts
        ([0, 99, 198, 297], False),
        ([1000, 1200], False),  # one look is not enough
        ([0, 0, 150, 300, 301], False),  # it was
    ],
)
def test_hot_is_what_was_above_the_limit_look_after_look(versions: list[int], hot: bool) -> None:
    heat = Heat(LIMIT)
    for second, version in enumerate(versions):
        heat.look({A: version}, float(second))
    assert heat.hot == ({A} if hot else set())


def test_what_was_long_in_the_journal_when_it_was_opened_does_not_make_it_hot() -> None:
    heat = Heat(LIMIT)
    heat.look({}, 0.0)
    heat.look({A: 1_000_000}, 1.0)
    heat.look({A: 1_000_000}, 2.0)
    assert heat.hot == set()
    assert heat.cool({A, B}) == set()
