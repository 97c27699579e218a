"""An outbox with a customer and a schedule, and a mail server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from persistence.database.roles import RECEIVER, with_role
from tests.support.mail.desk import CUSTOMER, EMAIL, SCHEDULE, STARTS_AT, Desk
from tests.support.mail.server import MailServer, mail_server


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=6) as pool,
        asyncpg.create_pool(with_role(database_url, RECEIVER), min_size=0, max_size=6) as own_pool,
    ):
        desk = Desk(pool, own_pool)
        await desk.account(CUSTOMER, EMAIL, "ko", "김민지")
        await pool.execute(
            "INSERT INTO venues (id, organizer_id, name, seating_plan, plan_digest, capacity)"
            " VALUES ($1, $1, '세종 대극장', '{}', '-', 1)",
            CUSTOMER,
        )
        await pool.execute(
            "INSERT INTO performances (id, organizer_id, title, venue_id, duration_minutes)"
            " VALUES ($1, $1, $2, $1, 150)",
            CUSTOMER,
            "카르멘 <Carmen>\nact 2",
        )
        await pool.execute(
            "INSERT INTO schedules (id, performance_id, venue_id, starts_at, currency, prices, hold_seconds)"
            " VALUES ($1, $2, $2, $3, 'KRW', '{}', 600)",
            SCHEDULE,
            CUSTOMER,
            STARTS_AT,
        )
        yield desk


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as running:
        yield running
