"""What a worker keeps of houses is bounded by what it takes in memory, not by how many they are."""

from __future__ import annotations

import tracemalloc

import pytest

from api.office.plans import PlanCache, UnknownVenue, held_bytes
from engine.plan_document import read_plan
from engine.stored_plan import pack, unpack
from tests.api.conftest import Worker
from tests.support.sale import small_plan


def kept(cache: PlanCache) -> set[object]:
    return set(cache._plans._kept)


async def test_plans_are_let_go_of_by_their_bytes_the_one_not_asked_for_the_longest_first(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    ids = []
    for rows in (1, 2, 3, 20):
        body = {"name": f"{rows} rows", "seating_plan": small_plan(rows=rows, seats_per_row=30)}
        ids.append((await worker.http.post("/v1/venues", json=body, headers=organizer)).json()["id"])
    small = [held_bytes(await worker.office.plans.newest(each)) for each in ids[:3]]
    cache = PlanCache(worker.office.database, limit_bytes=sum(small))
    for each in ids[:3]:
        await cache.newest(each)
    assert kept(cache) == {(each, 0) for each in ids[:3]}
    await cache.newest(ids[0])
    await cache.newest(ids[3])  # larger than all of them
    assert kept(cache) == {(ids[3], 0)}
    await cache.newest(ids[0])
    assert kept(cache) == {(ids[0], 0)}


async def test_of_what_is_no_venue_nothing_is_kept(worker: Worker) -> None:
    cache = PlanCache(worker.office.database)
    with pytest.raises(UnknownVenue):
        await cache.newest("0199f3a0-0000-7000-8000-000000000000")
    with pytest.raises(UnknownVenue):
        await cache.get("0199f3a0-0000-7000-8000-000000000000", 0)
    assert not kept(cache)


@pytest.mark.parametrize("name", ["A", "a name of some length, as the ids of some houses have one"])
def test_what_a_plan_takes_is_told_about_right(name: str) -> None:
    document = small_plan(rows=26, seats_per_row=100)
    for row in document["zones"][0]["rows"]:
        for seat in row["seats"]:
            seat["seat_guid"] = f"{name}-{seat['seat_guid']}"
    packed = pack(read_plan(document))
    tracemalloc.start()
    plan = unpack(packed)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * taken < held_bytes(plan) < 2.0 * taken
