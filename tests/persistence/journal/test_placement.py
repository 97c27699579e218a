"""Where owners live: everybody who looks finds the same, also in the same instant."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from persistence.journal.journal import PostgresJournal, UnknownSchedule
from persistence.journal.placement import OneMachine, Placement, placed, vacate
from tests.persistence.journal.test_journal import ident

SCHEDULES = [ident(number) for number in range(1, 13)]


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database_url, min_size=0, max_size=4) as pool:
        await pool.executemany(
            "INSERT INTO schedule_heads (schedule_id, epoch, seq) VALUES ($1, 0, 1)", [(each,) for each in SCHEDULES]
        )
        yield pool


async def test_schedules_spread_evenly_and_each_has_a_process_of_its_own_while_there_are_enough(
    pool: asyncpg.Pool,
) -> None:
    placement = Placement(pool, OneMachine(4))
    first = [await placement.host_of(each) for each in SCHEDULES[:4]]
    assert first == ["owners-0", "owners-1", "owners-2", "owners-3"]
    rest = await asyncio.gather(*(placement.host_of(each) for each in SCHEDULES[4:]))
    assert Counter([*first, *rest]) == dict.fromkeys(first, 3)


async def test_several_who_look_at_once_find_the_same(pool: asyncpg.Pool) -> None:
    workers = [Placement(pool, OneMachine(4)) for _ in range(4)]
    found = await asyncio.gather(*(asyncio.gather(*(worker.host_of(each) for each in SCHEDULES)) for worker in workers))
    assert all(each == found[0] for each in found)
    assert [await workers[0].known(each) for each in SCHEDULES] == found[0]


async def test_a_place_once_taken_is_kept(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(4))
    await placement.host_of(SCHEDULES[0])
    again = await placement.host_of(SCHEDULES[1])
    for each in SCHEDULES[2:]:
        await placement.host_of(each)
    assert await Placement(pool, OneMachine(4)).host_of(SCHEDULES[1]) == again


async def test_what_does_not_exist_has_no_place_and_spoils_nobody_s_question(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(2))
    unknown, nonsense, known = await asyncio.gather(
        placement.host_of(ident(999)),
        placement.host_of("nonsense"),
        placement.host_of(SCHEDULES[0]),
        return_exceptions=True,
    )
    assert isinstance(unknown, UnknownSchedule)
    assert isinstance(nonsense, UnknownSchedule)
    assert known == "owners-0"
    assert await placement.known(SCHEDULES[1]) is None


async def test_with_fewer_processes_than_before_schedules_move_to_those_there_are(pool: asyncpg.Pool) -> None:
    four = Placement(pool, OneMachine(4))
    assert len({await four.host_of(each) for each in SCHEDULES}) == 4
    fewer = Placement(pool, OneMachine(2))
    assert {await fewer.host_of(each) for each in SCHEDULES} == {"owners-0", "owners-1"}


async def test_the_next_newcomer_s_place_is_known_beforehand(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(3))
    for each in SCHEDULES[:5]:
        expected = await placement.next()
        assert await placement.host_of(each) == expected


async def test_a_place_is_given_up_unless_the_schedule_was_claimed_again(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(1))
    for each in SCHEDULES[:2]:
        await placement.host_of(each)
    before = await placed(pool, "owners-0")
    await PostgresJournal(pool, host="owners-0").claim(SCHEDULES[1])
    await vacate(pool, "owners-0", before)
    assert [await placement.known(each) for each in SCHEDULES[:2]] == [None, "owners-0"]
    await vacate(pool, "owners-1", await placed(pool, "owners-0"))
    assert await placement.known(SCHEDULES[1]) == "owners-0"
