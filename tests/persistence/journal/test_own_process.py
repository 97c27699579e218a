"""Whose a process is follows from the marks, and nobody else is given a place in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from persistence.journal import own_process
from persistence.journal.own_process import Marked, owned
from persistence.journal.placement import OneMachine, Placement, counted, placed, vacate
from tests.persistence.journal.test_journal import ident

A, B, C, D = (ident(number) for number in range(1, 5))
HOSTS = ("owners-0", "owners-1", "owners-2")


def marks(*places: tuple[str, str]) -> list[Marked]:
    return [Marked(schedule, host, False) for schedule, host in places]


@pytest.mark.parametrize(
    ("marked", "hosts", "expected"),
    [
        ([], HOSTS, {}),
        ([(A, "owners-1")], HOSTS, {"owners-1": A}),
        # two in one process: it is the first one's, and the other leaves it
        ([(A, "owners-0"), (B, "owners-0")], HOSTS, {"owners-0": A}),
        ([(A, "owners-0"), (B, "owners-0"), (C, "owners-1")], HOSTS, {"owners-0": A, "owners-1": C}),
        # more of them than processes: one is always everybody's
        ([(A, "owners-0"), (B, "owners-1"), (C, "owners-2")], HOSTS, {"owners-0": A, "owners-1": B}),
        ([(A, "owners-0")], HOSTS[:1], {}),
        ([(A, "owners-0")], (), {}),
        # a process that is no more is nobody's
        ([(A, "owners-9"), (B, "owners-0")], HOSTS, {"owners-0": B}),
    ],
)
def test_whose_a_process_is_follows_from_the_marks_in_their_order(
    marked: list[tuple[str, str]], hosts: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert owned(marks(*marked), hosts) == expected


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database_url, min_size=0, max_size=4) as pool:
        await pool.executemany(
            "INSERT INTO schedule_heads (schedule_id, epoch, seq) VALUES ($1, 0, 1)",
            [(ident(number),) for number in range(1, 13)],
        )
        yield pool


async def mark(pool: asyncpg.Pool, column: str, *schedules: str, value: str = "clock_timestamp()") -> None:
    for each in schedules:
        await pool.execute(f"UPDATE schedule_heads SET {column} = {value} WHERE schedule_id = $1", each)


async def test_nobody_is_given_a_place_in_a_process_that_is_another_s_own(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(2))
    assert await placement.host_of(A) == "owners-0"
    await mark(pool, "dedicated_at", A)
    assert {await placement.host_of(ident(number)) for number in range(2, 13)} == {"owners-1"}
    assert await placement.next() == "owners-1"
    assert await placement.host_of(A) == "owners-0"


async def test_with_more_of_them_than_processes_those_marked_last_share_what_is_left(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(3))
    await mark(pool, "hot_at", D)  # first of all, but only found so
    await mark(pool, "dedicated_at", B, A, C)
    for each in (A, B, C, D, ident(5)):
        await placement.host_of(each)
    assert [each.schedule_id for each in await own_process.marked(pool)] == [B, A, C, D]
    assert owned(await own_process.marked(pool), HOSTS) == {"owners-0": A, "owners-1": B}
    assert [await placement.known(each) for each in (C, D, ident(5))] == ["owners-2"] * 3


async def test_without_the_mark_a_process_is_everybody_s_again(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(2))
    await mark(pool, "dedicated_at", A)
    for each in (A, B, C):
        await placement.host_of(each)
    await mark(pool, "dedicated_at", A, value="NULL")
    assert await placement.host_of(D) == "owners-0"


async def test_one_that_sleeps_keeps_no_process_from_others(pool: asyncpg.Pool) -> None:
    placement = Placement(pool, OneMachine(2))
    await mark(pool, "dedicated_at", A)
    await placement.host_of(A)
    await vacate(pool, "owners-0", await placed(pool, "owners-0"))
    for each in (B, C):
        await placement.host_of(each)
    assert await counted(pool) == {"owners-0": 1, "owners-1": 1}


async def test_what_is_hot_is_noted_by_the_process_it_is_in_and_by_no_other(pool: asyncpg.Pool) -> None:
    await Placement(pool, OneMachine(1)).host_of(A)
    await own_process.take_temperatures(pool, "owners-1", {A: True})
    assert await own_process.marked(pool) == []
    await own_process.take_temperatures(pool, "owners-0", {A: True})
    assert await own_process.marked(pool) == [Marked(A, "owners-0", True)]
    await own_process.take_temperatures(pool, "owners-0", {A: False})
    assert await own_process.marked(pool) == []
