"""Whoever asks the same at the same time shares a query, by one rule for failures, cancellations and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from persistence.database.asked_once import AskedOnce, latest_within
from tests.support.waiting import until


class Source:
    """Answers with how often it was asked, when it is let go; fails while it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = asyncio.Event()
        self.error: Exception | None = None

    async def query(self) -> int:
        self.asked += 1
        number = self.asked
        await self.let_go.wait()
        if self.error is not None:
            raise self.error
        return number


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def asked(clock: list[float]) -> AskedOnce[int]:
    return AskedOnce(10, now=lambda: clock[0])


def nothing_left(asked: AskedOnce[int]) -> bool:
    return not asked._under_way


async def test_all_who_ask_at_the_same_time_share_a_query_and_who_comes_later_its_answer(
    asked: AskedOnce[int], source: Source
) -> None:
    asking = [asyncio.create_task(asked.ask("q", source.query)) for _ in range(100)]
    await until(lambda: source.asked == 1)
    source.let_go.set()
    assert await asyncio.gather(*asking) == [1] * 100
    assert await asked.ask("q", source.query) == 1
    assert await asked.ask("another", source.query) == 2
    assert nothing_left(asked)


async def test_a_failure_is_told_to_all_who_waited_and_to_nobody_after_them(
    asked: AskedOnce[int], source: Source
) -> None:
    source.let_go.set()
    source.error = ConnectionRefusedError()
    both = await asyncio.gather(*(asked.ask("q", source.query) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in both] == [ConnectionRefusedError] * 2
    source.error = None
    assert await asked.ask("q", source.query) == 2
    assert nothing_left(asked)


async def test_who_stops_waiting_takes_nothing_away_and_all_may_stop(asked: AskedOnce[int], source: Source) -> None:
    impatient, patient = (asyncio.create_task(asked.ask("q", source.query)) for _ in range(2))
    await until(lambda: source.asked == 1)
    impatient.cancel()
    source.let_go.set()
    assert await patient == 1
    source.let_go.clear()
    source.error = ConnectionRefusedError()
    gone = asyncio.create_task(asked.ask("other", source.query))
    await until(lambda: source.asked == 2)
    gone.cancel()
    source.let_go.set()
    await until(lambda: nothing_left(asked))  # nor does anything complain of an error that nobody looked at


@pytest.mark.parametrize("begun", [False, True])
async def test_a_query_that_is_cancelled_leaves_nothing_behind_even_before_its_first_step(
    asked: AskedOnce[int], source: Source, begun: bool
) -> None:
    asking = asyncio.create_task(asked.ask("q", source.query))
    if begun:
        await until(lambda: source.asked == 1)
    else:
        await asyncio.sleep(0)  # the question is put, and its task has not had a turn
    assert source.asked == begun
    asked._under_way["q"].task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    source.let_go.set()
    assert await asked.ask("q", source.query) == source.asked
    assert nothing_left(asked)


async def test_an_answer_is_as_old_as_its_query_s_beginning(
    asked: AskedOnce[int], source: Source, clock: list[float]
) -> None:
    first = asyncio.create_task(asked.ask("q", source.query, within_seconds=10))
    await until(lambda: source.asked == 1)
    clock[0] += 10  # too late to share what is still under way
    second = asyncio.create_task(asked.ask("q", source.query, within_seconds=10))
    await until(lambda: source.asked == 2)
    source.let_go.set()
    assert (await first, await second) == (1, 2)
    clock[0] += 9
    assert await asked.ask("q", source.query, within_seconds=10) == 2
    clock[0] += 1
    assert await asked.ask("q", source.query, within_seconds=10) == 3
    assert await asked.ask("q", source.query, within_seconds=0) == 4
    assert nothing_left(asked)


async def test_a_slow_query_does_not_replace_the_answer_of_one_that_began_later(clock: list[float]) -> None:
    asked = AskedOnce[str](10, now=lambda: clock[0])
    slow, released = asyncio.Event(), asyncio.Event()

    async def early() -> str:
        slow.set()
        await released.wait()
        return "early"

    async def late() -> str:
        return "late"

    waiting = asyncio.create_task(asked.ask("q", early))
    await slow.wait()
    clock[0] += 1
    assert await asked.ask("q", late, within_seconds=1) == "late"
    released.set()
    assert await waiting == "early"
    await asyncio.sleep(0)  # what becomes of a task is noted a turn after it has ended
    assert asked.last("q") == "late"


async def test_the_last_answer_is_there_while_a_newer_one_cannot_be_had(asked: AskedOnce[int], source: Source) -> None:
    assert asked.last("q") is None
    source.let_go.set()
    assert await asked.ask("q", source.query) == 1
    source.error = ConnectionRefusedError()
    with pytest.raises(ConnectionRefusedError):
        await asked.ask("q", source.query, within_seconds=0)
    assert asked.last("q") == 1


async def test_what_is_kept_is_bounded_and_the_longest_unused_goes_first() -> None:
    asked, sizes = AskedOnce[str](10, len), iter(("aaaa", "bbbb", "cccc", "d" * 40, "a"))
    await put(asked, "a", sizes)
    await put(asked, "b", sizes)
    assert asked.last("a") == "aaaa"
    await put(asked, "c", sizes)
    assert [asked.last(each) for each in "abc"] == ["aaaa", None, "cccc"]
    await put(asked, "d", sizes)  # larger than all of it: kept alone
    assert [asked.last(each) for each in "acd"] == [None, None, "d" * 40]
    await put(asked, "a", sizes)
    assert [asked.last(each) for each in "ad"] == ["a", None]


async def put(asked: AskedOnce[str], question: str, answers: Iterator[str]) -> None:
    async def answer() -> str:
        return next(answers)

    await asked.ask(question, answer)


def test_things_count_one_each_unless_said_otherwise() -> None:
    things = latest_within(2)
    things.update({"a": 1, "b": 2, "c": 3})
    assert dict(things) == {"b": 2, "c": 3}
