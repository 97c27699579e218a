"""Clients of Redis that are closed at the wrong moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from persistence.database.redis_clients import redis_client
from tests.support.waiting import PATIENCE_SECONDS

STEPS = 40  # of the loop: a call that connects first ends within some 25, while Redis is not kept waiting itself


async def ask(client: Redis) -> object:
    return await client.get("nothing")


async def ask_together(client: Redis) -> object:
    async with client.pipeline(transaction=False) as pipe:
        return await pipe.get("nothing").get("nothing").execute()


async def listen(client: Redis) -> object:
    pubsub = client.pubsub()
    try:
        await pubsub.subscribe("nobody")
        return await pubsub.get_message(timeout=PATIENCE_SECONDS)
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis has no types here


def open_connections(client: Redis) -> int:
    pool = client.connection_pool
    return sum(each.is_connected for each in (*pool._available_connections, *pool._in_use_connections))


@pytest.mark.parametrize("call", [ask, ask_together, listen])
@pytest.mark.parametrize("before", [False, True], ids=["its first call", "a later one"])
async def test_closed_at_any_step_of_a_call_it_leaves_nothing_open(
    call: Callable[[Redis], Awaitable[object]], before: bool, redis_url: str
) -> None:
    for steps in range(STEPS):
        client = redis_client(redis_url, timeout_seconds=PATIENCE_SECONDS, retries=1)
        if before:
            await call(client)
        calling = asyncio.ensure_future(call(client))
        for _ in range(steps):
            await asyncio.sleep(0)
        await client.aclose()
        (found,) = await asyncio.gather(calling, return_exceptions=True)
        assert not isinstance(found, BaseException) or isinstance(found, RedisError | OSError), found
        assert open_connections(client) == 0, f"closed {steps} steps after the call had begun"


@pytest.mark.parametrize("call", [ask, ask_together, listen])
async def test_a_call_after_the_end_is_refused_as_by_a_redis_that_is_away(
    call: Callable[[Redis], Awaitable[object]], redis_url: str
) -> None:
    client = redis_client(redis_url, timeout_seconds=PATIENCE_SECONDS, retries=1)
    await call(client)
    await client.aclose()
    with pytest.raises(RedisError, match="was closed"):
        await call(client)
    assert open_connections(client) == 0
