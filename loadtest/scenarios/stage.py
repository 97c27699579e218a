"""What a crowd finds: a venue, a performance, a schedule on sale, and accounts, all made over HTTP before it comes.

A stage is a file, so that it can be made by one process and played on by Locust's master, which hands each worker its
part. It holds passwords and tokens: it is written for its owner alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from api.demo.venues import DemoVenue
from loadtest.buyers import PASSWORD
from loadtest.http_client import Client
from loadtest.sale import SIGN_UPS_AT_ONCE, created, newcomer, open_schedule
from loadtest.scenarios.scenario import Scenario
from loadtest.stack import Stack, StackError

DAYS = 8  # to the performance: by the usual refund policy whoever gives a seat back pays a tenth of its price
FEWEST_HOT_SEATS = 4
LATER_DAYS = 7  # the sale of a rush opens when the crowd is there; until then it is this far away


class Pass(Struct, frozen=True):
    """A customer who has an account and is logged in."""

    email: str
    token: str = ""
    expires_at: float = 0.0  # in seconds of the epoch


class Stage(Struct, frozen=True, kw_only=True):
    """Everything a crowd needs to know."""

    scenario: str
    url: str
    performance_id: str
    title: str
    schedule_id: str
    opens_later: bool
    hot_seats: list[str]
    organizer: Pass
    admin: Pass
    admin_password: str
    customers: list[Pass]


async def prepare(
    stack: Stack, scenario: Scenario, users: int, venue: DemoVenue, step: Callable[[], None] = lambda: None
) -> Stage:
    """Makes a stage; `step` is called after each account. Raises `StackError` or `ConnectionLost`."""
    turn = asyncio.Semaphore(SIGN_UPS_AT_ONCE)
    run = uuid4().hex[:8]

    async def customer(number: int) -> Pass:
        async with turn:
            made = await signed_up(stack.url, f"crowd-{number}-{run}@loadtest.example")
        step()
        return made

    customers = await asyncio.gather(*(customer(number) for number in range(users)))
    organizer = await newcomer(stack.url, "organizer")
    plan = venue.seating_plan()
    try:
        place = await created(organizer, "/v1/venues", {"name": venue.name, "seating_plan": plan})
        title = f"{scenario.name} {run} at {venue.name}"
        facts = {"title": title, "venue_id": place["id"], "category": "load test", "duration_minutes": 120}
        performance = await created(organizer, "/v1/performances", facts)
        opens = datetime.now(UTC) + timedelta(days=LATER_DAYS) if scenario.opens_later else None
        schedule_id = await open_schedule(
            organizer, performance["id"], place["id"], venue.prices, days=DAYS, sale_opens_at=opens
        )
    finally:
        organizer.close()
    await _wake(stack, schedule_id)
    assert organizer.token is not None, "logged in"
    return Stage(
        scenario=scenario.name,
        url=stack.url,
        performance_id=performance["id"],
        title=title,
        schedule_id=schedule_id,
        opens_later=scenario.opens_later,
        hot_seats=_front(plan, min(scenario.hot_seats, max(FEWEST_HOT_SEATS, users // 2))),
        organizer=Pass("", organizer.token),
        admin=Pass(stack.admin_email),
        admin_password=stack.admin_password,
        customers=list(customers),
    )


async def _wake(stack: Stack, schedule_id: str) -> None:
    """Has the schedule's owner started, which else the first customer would wait for. Only for an admin."""
    admin = await stack.admin()
    try:
        answer = await admin.patient("GET", f"/v1/admin/actors/{schedule_id}")
    finally:
        admin.close()
    if answer.status != 200:
        raise StackError(f"the schedule has no owner: {answer.status} {answer.body[:300].decode(errors='replace')}")


async def signed_up(url: str, email: str) -> Pass:
    """A new customer, logged in."""
    client = Client(url)
    try:
        credentials = {"email": email, "password": PASSWORD}
        await created(client, "/v1/accounts", {**credentials, "name": "Somebody"})
        session = await created(client, "/v1/sessions", credentials)
    finally:
        client.close()
    return Pass(email, session["access_token"], time.time() + session["expires_in"])


def _front(plan: dict[str, Any], count: int) -> list[str]:
    """The first seats of the plan, in its order: those beside each other are beside each other."""
    seats = (seat["seat_guid"] for zone in plan["zones"] for row in zone["rows"] for seat in row["seats"])
    return [str(seat) for _, seat in zip(range(count), seats, strict=False)]


def write(stage: Stage, path: Path) -> None:
    """For its owner alone to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_bytes(msgspec.json.encode(stage))


def read(path: Path) -> Stage:
    """Raises `StackError` where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stage)
    except (OSError, msgspec.DecodeError) as error:
        raise StackError(f"{path} is no prepared stage: {error}") from error
