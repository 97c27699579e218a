"""A schedule on sale by its rows alone: an organizer's venue and performance, and the first record of its journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import Clock
from engine.events import Opened, Terms
from engine.plan_document import read_plan
from persistence.database import tables
from persistence.database.moments import moment
from persistence.journal.opening import open_schedule


async def put_on_sale(engine: AsyncEngine, clock: Clock, document: Mapping[str, Any], terms: Terms) -> str:
    """Opens a schedule at a venue of this seating plan; gives its id."""
    organizer, venue, performance, schedule = (clock.new_id() for _ in range(4))
    plan = read_plan(document)
    async with engine.begin() as connection:
        await connection.execute(
            tables.accounts.insert().values(id=organizer, email="o@example.com", password_hash="-", role="organizer")
        )
        await connection.execute(
            tables.venues.insert().values(
                id=venue,
                organizer_id=organizer,
                name="-",
                seating_plan=dict(document),
                plan_digest=plan.digest,
                capacity=plan.capacity,
            )
        )
        await connection.execute(
            tables.performances.insert().values(id=performance, organizer_id=organizer, title="-", venue_id=venue)
        )
        await connection.execute(
            tables.schedules.insert().values(
                id=schedule,
                performance_id=performance,
                venue_id=venue,
                starts_at=moment(terms.starts_at_ms),
                currency=terms.currency,
                prices=terms.prices,
                hold_seconds=terms.hold_ms // 1000,
            )
        )
        await open_schedule(connection, schedule, clock.now_ms(), Opened(plan.digest, terms))
    return schedule
