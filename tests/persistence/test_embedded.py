"""The embedded services: usable when said ready, durable where promised, gone when stopped."""

from __future__ import annotations

import asyncpg
from redis.asyncio import Redis


async def test_postgres_is_durable_and_reached_through_its_socket_only(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        for name, value in (
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("listen_addresses", ""),
        ):
            assert await connection.fetchval("SELECT current_setting($1)", name) == value
        assert await connection.fetchval("SELECT current_database()") == "boxoffice"
    finally:
        await connection.close()


async def test_redis_answers_on_its_socket(redis_url: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.set("test:embedded", "yes")
        assert await client.get("test:embedded") == "yes"
