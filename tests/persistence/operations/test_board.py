"""What processes say of themselves: read by anybody, forgotten when they are gone, and made up once for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from persistence.operations.board import LIFE_MS, VitalsBoard
from persistence.operations.vitals import WorkerVitals

NOW_MS = 1_790_000_000_000
NOWHERE = "redis://127.0.0.1:1"


def worker(name: str, at_ms: int = NOW_MS, unanswered: int = 0) -> WorkerVitals:
    return WorkerVitals(name=name, pid=1, at_ms=at_ms, unanswered=unanswered, waiting={})


@pytest.fixture
def database() -> str:
    return f"postgresql://postgres@/{uuid4().hex}"


@pytest.fixture
async def board(redis_url: str, database: str) -> AsyncIterator[VitalsBoard]:
    board = VitalsBoard.at(redis_url, database)
    yield board
    await board.close()


async def test_what_a_process_says_replaces_what_it_said_before(board: VitalsBoard) -> None:
    await board.say(worker("worker 2"))
    await board.say(worker("worker 1", unanswered=7))
    await board.say(worker("worker 1", unanswered=9))
    assert await board.read(NOW_MS) == [worker("worker 1", unanswered=9), worker("worker 2")]


async def test_a_process_that_has_gone_is_forgotten(board: VitalsBoard, redis_url: str) -> None:
    await board.say(worker("worker 1", at_ms=NOW_MS - LIFE_MS - 1))
    await board.say(worker("worker 2"))
    assert await board.read(NOW_MS) == [worker("worker 2")]
    assert await board.read(NOW_MS - LIFE_MS) == [worker("worker 2")], "nobody is left to be told of twice"


async def test_what_another_version_says_is_not_understood_and_harms_nobody(board: VitalsBoard, redis_url: str) -> None:
    await board.say(worker("worker 1"))
    async with Redis.from_url(redis_url) as redis:
        await redis.hset(board._key, "worker 2", "\x91what?")
    assert await board.read(NOW_MS) == [worker("worker 1")]


async def test_those_who_share_a_database_share_a_board_whatever_their_roles(
    board: VitalsBoard, redis_url: str, database: str
) -> None:
    await board.say(worker("worker 1"))
    same, other = VitalsBoard.at(redis_url, f"{database}?role=a"), VitalsBoard.at(redis_url, f"{database}2")
    assert await same.read(NOW_MS) == [worker("worker 1")]
    assert await other.read(NOW_MS) == []
    await same.close()
    await other.close()


async def test_an_answer_is_made_once_however_many_ask(board: VitalsBoard, redis_url: str, database: str) -> None:
    made = 0

    async def make() -> bytes:
        nonlocal made
        made += 1
        return b"%d" % made

    first = await board.shared(make)
    others = [VitalsBoard.at(redis_url, database) for _ in range(5)]
    answers = await asyncio.gather(*(each.shared(make) for each in others))
    # A second may end between two of them, on a busy machine: then there is one more answer, and never one each.
    assert first == b"1"
    assert len(set(answers)) <= 2
    assert made <= 2
    for each in others:
        await each.close()


async def test_without_redis_nothing_is_known_and_answers_are_made(database: str) -> None:
    board = VitalsBoard.at(NOWHERE, database)

    async def make() -> bytes:
        return b"mine"

    await board.say(worker("worker 1"))
    assert await board.read(NOW_MS) is None
    assert await board.shared(make) == b"mine"
    await board.close()
