"""The catalogue in Postgres: what is deleted is found by nothing, times that overlap are found by the minute."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.process.clock import SystemClock
from engine.events import Opened, Terms, Withdrawn
from persistence.accounts import accounts
from persistence.catalogue import performances, schedules, venues
from persistence.database import tables
from persistence.database.connection import create_engine
from persistence.database.moments import milliseconds
from persistence.journal import overruling
from persistence.journal.opening import open_schedule

new_id = SystemClock().new_id
START = datetime(2031, 5, 5, 10, 30, tzinfo=UTC)
TERMS = Terms(
    currency="KRW",
    prices={"R": 1},
    starts_at_ms=int(START.timestamp() * 1000),
    sale_opens_at_ms=0,
    sale_closes_at_ms=int(START.timestamp() * 1000),
    max_seats_per_customer=0,
    hold_ms=600_000,
)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as opened:
        yield opened


async def organizer(connection: AsyncConnection) -> str:
    made = await accounts.create(
        connection,
        account_id=new_id(),
        email=f"{new_id()}@example.com",
        password_hash="",
        name=None,
        role="organizer",
    )
    return made.id


async def venue(connection: AsyncConnection, owner: str) -> str:
    made = await venues.create_venue(
        connection,
        venue_id=new_id(),
        organizer_id=owner,
        name="Hall",
        seating_plan='{"name": "Hall", "글": "자"}',
        packed_plan=b"packed",
        plan_digest="digest",
        capacity=8,
    )
    return made.id


async def performance(connection: AsyncConnection, owner: str, **values: Any) -> performances.PerformanceRow:
    return await performances.create_performance(
        connection, performance_id=new_id(), organizer_id=owner, values={"title": f"Title {new_id()}", **values}
    )


async def schedule(connection: AsyncConnection, of: str, at: str, starts_at: datetime = START, **values: Any) -> str:
    schedule_id = new_id()
    row = {
        "performance_id": of,
        "venue_id": at,
        "starts_at": starts_at,
        "currency": "KRW",
        "prices": {"R": 1},
        "hold_seconds": 600,
        **values,
    }
    await schedules.create_schedule(connection, schedule_id=schedule_id, values=row)
    await open_schedule(connection, schedule_id, 0, Opened("digest", TERMS))
    return schedule_id


async def test_a_plan_is_given_back_as_it_was_sent(connection: AsyncConnection) -> None:
    made = await venue(connection, await organizer(connection))
    kept = await venues.seating_plan(connection, made)
    assert kept is not None
    assert json.loads(kept) == {"name": "Hall", "글": "자"}
    assert await venues.stored_plan(connection, made, 0) == (b"packed", None)
    assert await venues.seating_plan(connection, new_id()) is None
    assert await venues.stored_plan(connection, new_id(), 0) is None
    assert await venues.lock_venue(connection, made)
    assert not await venues.lock_venue(connection, new_id())


async def test_a_plan_that_was_replaced_is_kept_by_its_number(connection: AsyncConnection) -> None:
    made = await venue(connection, await organizer(connection))
    other = {"seating_plan": '{"name": "Hall 2"}', "packed_plan": b"other", "plan_digest": "2", "capacity": 9}
    row = await venues.replace_plan(connection, made, **other, at=START)  # type: ignore[arg-type]  # columns, by their names
    assert (row.plan_number, row.plan_digest, row.capacity) == (1, "2", 9)
    assert await venues.stored_plan(connection, made, 0) == (b"packed", None)
    assert await venues.stored_plan(connection, made, 1) == (b"other", None)
    assert await venues.stored_plan(connection, made, 2) is None
    assert await venues.has_plan(connection, made, '{ "name":"Hall 2"}')
    assert not await venues.has_plan(connection, made, '{"name": "Hall"}')


async def test_a_title_is_unique_among_an_organizers_live_performances(connection: AsyncConnection) -> None:
    mine, other = await organizer(connection), await organizer(connection)
    made = await performance(connection, mine, title="Carmen")
    await performance(connection, other, title="Carmen")
    with pytest.raises(performances.TitleTaken):
        await performance(connection, mine, title="CARMEN")
    await performances.delete_performance(connection, made.id, START)
    again = await performance(connection, mine, title="carmen")
    tosca = await performance(connection, mine, title="Tosca")
    assert (await performances.change_performance(connection, again.id, {"title": "CARMEN"})).title == "CARMEN"
    with pytest.raises(performances.TitleTaken):
        await performances.change_performance(connection, tosca.id, {"title": "Carmen"})


async def withdraw(connection: AsyncConnection, schedule_id: str) -> None:
    held = await overruling.hold(connection, [schedule_id])
    await overruling.write(connection, held, milliseconds(START), Withdrawn("organizer"))


async def test_a_deleted_performance_takes_its_schedules_along(connection: AsyncConnection) -> None:
    owner = await organizer(connection)
    made, hall = await performance(connection, owner), await venue(connection, owner)
    played = await schedule(connection, made.id, hall)
    assert await performances.any_performance(connection)
    assert await schedules.ids_of(connection, made.id) == [played]
    await withdraw(connection, played)
    await performances.delete_performance(connection, made.id, START)
    assert not await performances.any_performance(connection)
    assert await performances.performance(connection, made.id) is None
    assert await performances.list_performances(connection, limit=10) == []
    assert await schedules.schedule(connection, played) is None
    assert await schedules.list_schedules(connection, made.id, limit=10) == []
    assert await schedules.place_of(connection, played) == schedules.Place(made.id, hall, 0)
    free = await schedules.conflicting(
        connection, venue_id=hall, performance_id=made.id, starts_at=START, ends_at=START + timedelta(hours=1)
    )
    assert free == []


@pytest.mark.parametrize(
    ("from_minutes", "to_minutes", "conflicts"),
    [(0, 10, True), (-10, 0, False), (-10, 1, True), (99, 200, True), (100, 200, False), (-50, 500, True)],
)
async def test_overlapping_times_are_found(
    connection: AsyncConnection, from_minutes: int, to_minutes: int, conflicts: bool
) -> None:
    owner = await organizer(connection)
    made, other = await performance(connection, owner, duration_minutes=100), await performance(connection, owner)
    hall, elsewhere = await venue(connection, owner), await venue(connection, owner)
    taken = await schedule(connection, made.id, hall)
    wish: dict[str, Any] = {
        "performance_id": other.id,
        "starts_at": START + timedelta(minutes=from_minutes),
        "ends_at": START + timedelta(minutes=to_minutes),
    }
    assert await schedules.conflicting(connection, venue_id=hall, **wish) == ([taken] if conflicts else [])
    assert await schedules.conflicting(connection, venue_id=elsewhere, **wish) == []
    assert await schedules.conflicting(connection, venue_id=hall, **wish, except_id=taken) == []


async def test_a_performance_without_a_duration_counts_as_two_hours(connection: AsyncConnection) -> None:
    owner = await organizer(connection)
    made, hall = await performance(connection, owner), await venue(connection, owner)
    taken = await schedule(connection, made.id, hall)
    other = (await performance(connection, owner)).id
    for minutes, conflicts in ((119, [taken]), (120, [])):
        starts_at = START + timedelta(minutes=minutes)
        found = await schedules.conflicting(
            connection,
            venue_id=hall,
            performance_id=other,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=1),
        )
        assert found == conflicts


async def test_schedules_on_sale_are_found(connection: AsyncConnection) -> None:
    owner = await organizer(connection)
    made, hall = await performance(connection, owner), await venue(connection, owner)
    hour = timedelta(hours=1)
    open_ = await schedule(connection, made.id, hall)
    scheduled = await schedule(connection, made.id, hall, START + 3 * hour, sale_opens_at=START - hour)
    closed = await schedule(connection, made.id, hall, START + 6 * hour, sale_closes_at=START - 9 * hour)

    async def on_sale(at: datetime) -> list[str]:
        found = await schedules.list_schedules(connection, made.id, on_sale_at=at, limit=10)
        return [row.id for row in found]

    assert await on_sale(START - 10 * hour) == [open_, closed]
    assert await on_sale(START - 9 * hour) == [open_]
    assert await on_sale(START - hour) == [open_, scheduled]
    assert await on_sale(START) == [scheduled]


async def test_live_bookings_are_held_and_confirmed_ones(connection: AsyncConnection) -> None:
    owner = await organizer(connection)
    made, hall = await performance(connection, owner), await venue(connection, owner)
    sold, customer = await schedule(connection, made.id, hall), await organizer(connection)
    for status, live in (("cancelled", False), ("expired", False), ("held", True), ("confirmed", True)):
        await connection.execute(tables.bookings.delete())
        await connection.execute(
            tables.bookings.insert().values(
                id=new_id(),
                schedule_id=sold,
                customer_id=customer,
                status=status,
                seats=["A-1"],
                prices=[1],
                amount=1,
                currency="KRW",
                version=2,
                created_at=START,
            )
        )
        assert await schedules.have_live_bookings(connection, [sold]) is live
        assert await schedules.have_live_bookings(connection, [new_id(), sold]) is live
        before = START - timedelta(days=1)
        assert await accounts.has_business(connection, customer, before) is live
        assert not await accounts.has_business(connection, customer, START), "what was played is no business any more"


async def test_an_organizer_has_business_while_something_is_to_be_played(connection: AsyncConnection) -> None:
    owner = await organizer(connection)
    made, hall = await performance(connection, owner), await venue(connection, owner)
    before = START - timedelta(days=1)
    assert not await accounts.has_business(connection, owner, before)
    planned = await schedule(connection, made.id, hall)
    assert await accounts.has_business(connection, owner, before)
    assert not await accounts.has_business(connection, owner, START)
    await withdraw(connection, planned)
    assert not await accounts.has_business(connection, owner, before)
