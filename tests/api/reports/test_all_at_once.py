"""Whatever people may do with a booking's seats, all at once: no more come in than it has, and everything agrees."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from persistence.check_ins import log
from persistence.database.conditions import BOUGHT
from persistence.database.tables import bookings, transfers
from tests.api.reports.test_transfers import PLAN, Scene, scene
from tests.support.sale import open_sale, refund

__all__ = ["scene"]  # the fixture

AT_ONCE, ROUNDS = 7, 8


@pytest.mark.parametrize("seed", range(3))
async def test_nobody_comes_in_for_what_is_given_back_or_handed_on(scene: Scene, seed: int) -> None:
    chance = random.Random(seed)
    ann, bob, eve = [await scene.person() for _ in range(3)]
    for _ in range(ROUNDS):
        scene.sale = await open_sale(scene.worker.http, plan=PLAN)
        booking = await scene.paid(ann, "A-1", "A-2")
        offer = await scene.offered(ann, booking, bob, *chance.choice([("A-1",), ("A-1", "A-2")]))
        acts = _acts(scene, booking, offer, ann, bob, eve)

        async def soon(act: Callable[[], Awaitable[Any]]) -> Any:
            await asyncio.sleep(chance.choice([0, 0, 0.005, 0.02]))  # who comes first is part of the story
            return await act()

        told = await asyncio.gather(*map(soon, chance.sample(acts, AT_ONCE)))
        assert all(answer.status_code < 500 for answer in told if isinstance(answer, httpx.Response)), told
        assert await _too_many(scene, booking["id"], offer["id"]) == Counter()
        await scene.examined()


def _acts(scene: Scene, booking: Any, offer: Any, ann: Any, bob: Any, eve: Any) -> list[Callable[[], Awaitable[Any]]]:
    of_ann = f"/v1/bookings/{booking['id']}"
    of_offer = f"/v1/transfers/{offer['id']}"
    return [
        lambda: scene.accept(bob, offer),
        lambda: scene.accept(bob, offer),
        lambda: scene.accept(eve, offer),
        lambda: scene.http.delete(of_offer, headers=ann.headers),
        lambda: scene.http.post(f"{of_offer}/refusal", headers=bob.headers),
        lambda: refund(scene.http, booking["payment"], ann.headers, "A-1"),
        lambda: refund(scene.http, booking["payment"], ann.headers),
        lambda: scene.door(booking["id"], 2),
        lambda: scene.door(booking["id"], 2, "A-1"),
        lambda: scene.door(booking["id"], 2, "A-2"),
        lambda: scene.http.patch(of_ann, json={"seats": ["A-3", "A-4"]}, headers=ann.headers),
        lambda: scene.offer(ann, booking, eve.email, "A-1"),
        lambda: scene.worker.office.gateway.retire(scene.sale.schedule_id),
    ]


async def _too_many(scene: Scene, booking_id: str, offer_id: str) -> Counter[str]:
    """How many more are in on each of these bookings than it has places."""
    async with scene.worker.office.database.connect() as connection:
        taken = sa.select(transfers.c.to_booking_id).where(transfers.c.id == offer_id)
        ids = [booking_id, (await connection.execute(taken)).scalar_one()]
        query = sa.select(bookings.c.id, bookings.c.seats, bookings.c.status).where(bookings.c.id.in_(ids))
        rows = await connection.execute(query)
        places = Counter({row.id: len(row.seats) for row in rows if row.status in BOUGHT})
        inside = await log.entries(connection, ids)
    return Counter({key: sum(each.places for each in found) for key, found in inside.items()}) - places
