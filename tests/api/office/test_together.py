"""Those who ask the same at the same time share a query that began after each of them asked."""

from __future__ import annotations

import asyncio

import pytest

from api.office.together import Together
from tests.support.waiting import turns, until


class Database:
    """Counts queries, and holds each until it is let go."""

    def __init__(self) -> None:
        self.value = 0
        self.begun = 0
        self.let_go = asyncio.Event()

    async def query(self) -> int:
        self.begun += 1
        seen = self.value
        await self.let_go.wait()
        return seen


async def test_those_who_come_while_a_query_runs_share_the_next_one() -> None:
    database, together = Database(), Together[int]()
    first = asyncio.create_task(together.ask("q", database.query))
    await until(lambda: database.begun == 1)
    others = [asyncio.create_task(together.ask("q", database.query)) for _ in range(100)]
    await asyncio.sleep(0)
    assert database.begun == 1
    database.let_go.set()
    assert await asyncio.gather(first, *others) == [0] * 101
    assert database.begun == 2


async def test_nobody_is_told_of_a_time_before_they_asked() -> None:
    database, together = Database(), Together[int]()
    first = asyncio.create_task(together.ask("q", database.query))
    await until(lambda: database.begun == 1)
    database.value = 1  # written and committed while the first query is under way
    second = asyncio.create_task(together.ask("q", database.query))
    database.let_go.set()
    assert (await first, await second) == (0, 1)


async def test_queries_that_keep_apart_are_joined_in_between() -> None:
    database, other, together = Database(), Database(), Together[int](apart_seconds=3600)
    for each in (database, other):
        each.let_go.set()
    await asyncio.gather(*(together.ask("q", database.query) for _ in range(2)))
    again = [asyncio.create_task(together.ask("q", database.query)) for _ in range(2)]
    await turns(10)
    assert database.begun == 1
    assert len(together._gathering) == 1
    assert await together.ask("other", other.query) == 0
    for each in (*again, *together._gathering.values()):
        each.cancel()


async def test_queries_that_keep_apart_are_all_answered() -> None:
    database, together = Database(), Together[int](apart_seconds=0.001)
    database.let_go.set()
    for value in range(5):
        database.value = value
        assert await asyncio.gather(*(together.ask("q", database.query) for _ in range(3))) == [value] * 3
    assert database.begun == 5
    await until(lambda: not together._free_at)
    assert not together._joined


async def test_whoever_asks_alone_waits_for_nobody() -> None:
    database, together = Database(), Together[int](apart_seconds=3600)
    database.let_go.set()
    for value in range(5):
        database.value = value
        assert await together.ask("q", database.query) == value


async def test_other_questions_are_not_waited_for() -> None:
    database, other, together = Database(), Database(), Together[int]()
    held = asyncio.create_task(together.ask("q", database.query))
    await until(lambda: database.begun == 1)
    other.let_go.set()
    assert await together.ask("other", other.query) == 0
    database.let_go.set()
    await held


async def test_one_who_hangs_up_takes_nobody_along_and_nothing_is_kept() -> None:
    database, together = Database(), Together[int]()
    impatient = asyncio.create_task(together.ask("q", database.query))
    patient = asyncio.create_task(together.ask("q", database.query))
    await until(lambda: database.begun == 1)
    impatient.cancel()
    database.let_go.set()
    assert await patient == 0
    database.value = 1
    assert await together.ask("q", database.query) == 1
    assert database.begun == 2


async def test_a_failure_is_everybodys_and_the_next_ask_tries_again() -> None:
    together = Together[int]()

    async def fails() -> int:
        raise ConnectionRefusedError

    async def works() -> int:
        return 1

    both = await asyncio.gather(*(together.ask("q", fails) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in both] == [ConnectionRefusedError] * 2
    assert await together.ask("q", works) == 1


@pytest.mark.parametrize("askers", [1, 7])
async def test_everybody_may_hang_up(askers: int) -> None:
    database, together = Database(), Together[int]()
    asking = [asyncio.create_task(together.ask("q", database.query)) for _ in range(askers)]
    await until(lambda: database.begun == 1)
    for each in asking:
        each.cancel()
    database.let_go.set()
    assert await together.ask("q", database.query) == 0


async def test_a_query_cancelled_before_its_first_step_leaves_nothing_behind() -> None:
    together, database = Together[int](), Database()
    asking = asyncio.create_task(together.ask("q", database.query))
    await asyncio.sleep(0)  # the question is put, and its task has not had a turn
    (task,) = together._gathering.values()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    database.let_go.set()
    assert await together.ask("q", database.query) == 0
    assert not together._gathering
    assert not together._running
