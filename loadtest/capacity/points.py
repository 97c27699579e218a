"""Whether the costs add up: mixes of what people do, measured whole and beside what their parts were said to cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from loadtest.bench.contenders.contender import LARGE, OnSale
from loadtest.capacity.model import Cost, Costs, total
from loadtest.capacity.units import PAGES, READ_SEATS, Meter, page_paths, pages

EVENINGS, ROUNDS = 60, 3


class Point(Struct, frozen=True, kw_only=True):
    """One mix: what was done, how often, and what that came to."""

    name: str
    done: dict[str, float]  # by the names of `Costs`
    measured: Cost
    predicted: Cost

    @property
    def ratio(self) -> float:
        """What was measured, of what was predicted."""
        return self.measured.all / self.predicted.all


# What is done, prepared when the context is entered.
Work = Callable[[], Awaitable[dict[str, float]]]
Mix = Callable[[Meter], AbstractAsyncContextManager[Work]]


async def check(meter: Meter, costs: Costs) -> list[Point]:
    """All mixes on one machine, by turns; of each the try in the middle."""
    mixes: Mapping[str, Mix] = {
        "one house: holds, purchases and pages opened at once": _sale,
        f"a hot house: two seats drawn at random, {PAGES} open pages": _fight,
        f"holds in {EVENINGS} houses": _evenings,
    }
    known = msgspec.structs.asdict(costs)
    rounds = [[await point(meter, known, name, mix) for name, mix in mixes.items()] for _ in range(ROUNDS)]
    return [sorted(tries, key=lambda each: each.ratio)[ROUNDS // 2] for tries in zip(*rounds, strict=True)]


async def point(meter: Meter, costs: Mapping[str, Any], name: str, mix: Mix) -> Point:
    """One of them."""
    async with mix(meter) as work:
        await meter.rest()
        before = await meter.batches()
        done, measured = await meter.spent(work())
        after = await meter.batches()
    done |= {name: after[name] - before[name] for name in after}
    return Point(name=name, done=done, measured=measured, predicted=total(costs, done))


@asynccontextmanager
async def _sale(meter: Meter) -> AsyncIterator[Work]:
    house = await OnSale.opened(meter.target, 1, LARGE)
    read = await OnSale.opened(meter.target, 1, READ_SEATS)
    half = len(house.seats) // 2

    async def sell() -> dict[str, float]:
        held, paid, asked = await asyncio.gather(
            meter.drive(house, "spread", connections=64, seats=house.seats[house.first : half]),
            meter.drive(house, "purchase", connections=16, threads=16, seats=house.seats[half:]),
            meter.drive(read, "get", connections=16, paths=page_paths(read)),
        )
        return {
            "hold": len(held.created),
            "purchase": len(paid.created),
            "request": sum(asked.seen.answers.values()),
        }

    yield sell


@asynccontextmanager
async def _fight(meter: Meter) -> AsyncIterator[Work]:
    house = await OnSale.opened(meter.target, 1, READ_SEATS)

    async def fight() -> dict[str, float]:
        driven = await meter.drive(house, "random")
        answers = driven.seen.answers
        return {
            "hold": answers.get("201", 0),
            "refusal": answers.get("409", 0),
            "open_second": PAGES * driven.seen.microseconds / 1e6,
        }

    async with pages(meter.target.url, house.schedule_ids[0], PAGES):
        yield fight


@asynccontextmanager
async def _evenings(meter: Meter) -> AsyncIterator[Work]:
    houses = await OnSale.opened(meter.target, EVENINGS, LARGE // EVENINGS)

    async def sell() -> dict[str, float]:
        return {"hold": len((await meter.drive(houses, "spread")).created)}

    yield sell
