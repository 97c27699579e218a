"""A venue's plan gives way to another, and every date to come is sold by that one: all of them, or none.

What stands in the way is read with the heads of all these schedules locked, so nobody is sold a seat meanwhile that is
not there any more; the event that says so is written past their owners (`persistence.journal.overruling`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import msgspec
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.models import Output, Timestamp, rfc3339
from api.http.problems import Problem, invalid
from api.office.office import Office
from api.office.tokens import Account
from api.selling.audit_trail import record_in
from api.selling.plan_input import ReadPlan
from api.selling.schedule_input import check_steps
from api.selling.terms import terms_of
from api.selling.withdrawal import announce
from engine.events import PlanChanged
from engine.seating_plan import Difference, SeatingPlan, difference, in_the_way, successor
from engine.stored_plan import pack
from persistence.catalogue import schedules, venues
from persistence.catalogue.schedules import ScheduleRow
from persistence.journal import overruling
from persistence.journal.blocks import blocks_of, read_story

ATTEMPTS = 3  # of a replacement that a new date, or another replacement, comes before
PLACES_NAMED = 100
SCHEDULES_NAMED = 50


class Places(Output):
    """Some of a house's places."""

    count: int
    ids: Annotated[list[str], Field(description=f"At most {PLACES_NAMED} of them.", examples=[["1F-A-12"]])]


class SeatsInTheWay(Output):
    """Seats that somebody would lose."""

    seats: list[str]
    booking_id: Annotated[
        str | None, Field(description="Whose they are; null for seats of another organizer's date, or blocked ones.")
    ]


class DateView(Output):
    """What a date to come gains and loses."""

    schedule_id: str
    performance_title: str
    starts_at: Timestamp
    places_before: int
    places_after: int
    prices: Annotated[
        dict[str, int | None], Field(description="All categories from now on, in minor units; null: not for sale.")
    ]
    in_the_way: list[SeatsInTheWay]


class PlanReplacementView(Output):
    """A venue's plan before and after. Nothing is done yet where `applied` is false."""

    venue_id: str
    applied: bool
    plan_digest: str
    plan_number: int
    capacity: int
    added: Places
    removed: Places
    renamed: Annotated[Places, Field(description="In another zone, row or category, or with another number.")]
    schedules: list[DateView]


class _Replacement(msgspec.Struct, frozen=True):
    """The two plans, and what lies between them."""

    before: SeatingPlan
    after: SeatingPlan
    packed: bytes  # the one after, as it is stored
    change: Difference
    former: Sequence[SeatingPlan]  # all plans up to `before`, where blocked places have to be counted
    prices: Mapping[str, int | None]


async def replace_plan(
    office: Office,
    account: Account,
    venue_id: str,
    read: ReadPlan,
    prices: Mapping[str, int | None],
    *,
    dry_run: bool,
) -> PlanReplacementView:
    """Replaces the plan of a venue of the account's own, or says what that would come to. Raises `Problem`."""
    plan = read.plan
    _check_categories(plan, prices)
    for _ in range(ATTEMPTS):
        async with office.reading.connect() as connection:
            venue = await _own_venue(connection, venue_id, account)
            same = await venues.has_plan(connection, venue_id, read.text)
        what = await _compared(office, venue, plan, prices)
        if dry_run or same:
            async with office.reading.connect() as connection:
                dates = await schedules.to_come_at(connection, venue_id, office.now())
                found = await _dates(connection, office, account, venue, what, dates)
            if same:  # nothing is to be done, or has been done already
                what = msgspec.structs.replace(what, after=what.before)
            return _view(venue, what, found, applied=same and not dry_run)
        async with office.writing.begin(account.id) as connection:
            dates = await schedules.to_come_at(connection, venue_id, office.now())
            held = await overruling.hold(connection, [row.id for row in dates])
            locked = await venues.lock_venue(connection, venue_id)
            dates = await schedules.to_come_at(connection, venue_id, office.now())
            if locked != venue or {row.id for row in dates} != {each.schedule_id for each in held}:
                continue  # somebody else has come before
            found = await _dates(connection, office, account, venue, what, dates)
            _refuse_who_would_lose(found)
            at_ms, now = office.clock.now_ms(), office.now()
            await venues.replace_plan(
                connection,
                venue_id,
                seating_plan=read.text,
                packed_plan=what.packed,
                plan_digest=what.after.digest,
                capacity=what.after.capacity,
                at=now,
            )
            events = {row.id: _event(row, view, what.after) for row, view in zip(dates, found, strict=True)}
            overruled = await overruling.write(connection, held, at_ms, events)
            await _audit(connection, office, account, venue, what, [row.id for row in dates])
        await announce(office, overruled)
        return _view(venue, what, found, applied=True)
    raise Problem("terms_changed", retry_after=1)


def _check_categories(plan: SeatingPlan, prices: Mapping[str, int | None]) -> None:
    unknown = [category for category in prices if category not in plan.categories]
    if unknown:
        names = ", ".join(unknown)
        raise invalid("prices", f"the plan has no such category: {names}", f"배치도에 없는 등급: {names}")


async def _own_venue(connection: AsyncConnection, venue_id: str, account: Account) -> venues.VenueRow:
    venue = await venues.venue(connection, venue_id)
    if venue is None or (venue.organizer_id != account.id and account.role != "admin"):
        raise Problem("venue_not_found")
    return venue


async def _compared(
    office: Office, venue: venues.VenueRow, plan: SeatingPlan, prices: Mapping[str, int | None]
) -> _Replacement:
    before = await office.plans.get(venue.id, venue.plan_number)
    after, packed, change = await asyncio.to_thread(_prepared, before, plan)
    former: list[SeatingPlan] = []
    if any(now < once for once, now in change.capacities.values()):
        former = [await office.plans.get(venue.id, number) for number in range(before.number + 1)]
    return _Replacement(before, after, packed, change, former, prices)


def _prepared(before: SeatingPlan, plan: SeatingPlan) -> tuple[SeatingPlan, bytes, Difference]:
    """What takes a quarter of a second for a large office."""
    after = successor(before, plan)
    return after, pack(after), difference(before, plan)


async def _dates(
    connection: AsyncConnection,
    office: Office,
    account: Account,
    venue: venues.VenueRow,
    what: _Replacement,
    dates: Sequence[ScheduleRow],
) -> list[DateView]:
    """What becomes of each date. Raises `Problem` where a category would have no price."""
    theirs = [row for row in dates if row.organizer_id == venue.organizer_id or account.role == "admin"]
    _check_prices(office, what, theirs)
    named = {row.id for row in theirs}
    taken: defaultdict[str, list[schedules.Owned]] = defaultdict(list)
    for owned in await schedules.owned_in(connection, [row.id for row in dates]):
        taken[owned.schedule_id].append(owned)
    views = []
    for row in dates:
        blocked = await _blocked(connection, row, what)
        views.append(
            DateView(
                schedule_id=row.id,
                performance_title=row.performance_title,
                starts_at=row.starts_at,
                places_before=what.before.capacity,
                places_after=what.after.capacity,
                prices=_prices(row, what, own=row.id in named),
                in_the_way=_in_the_way(what.change, taken[row.id], blocked, named=row.id in named),
            )
        )
    return views


def _in_the_way(
    change: Difference, taken: Sequence[schedules.Owned], blocked: Mapping[str, int], *, named: bool
) -> list[SeatsInTheWay]:
    """Whose seats would be lost, booking by booking; of standing room that gets too small, all who are there."""
    places = Counter(seat for owned in taken for seat in owned.seats)
    lost = set(in_the_way(change, (places + Counter(blocked)).elements()))
    found = [
        SeatsInTheWay(seats=sorted(seats), booking_id=owned.booking_id if named else None)
        for owned in taken
        if (seats := lost.intersection(owned.seats))
    ]
    if kept := lost.intersection(blocked):
        found.append(SeatsInTheWay(seats=sorted(kept), booking_id=None))
    return found


async def _blocked(connection: AsyncConnection, row: ScheduleRow, what: _Replacement) -> dict[str, int]:
    """How many places of each standing area that gets smaller are blocked. Blocked seats may go, and are then gone."""
    smaller = {area for area, (once, now) in what.change.capacities.items() if now < once}
    if not smaller:
        return {}
    plan: SeatingPlan | None = None
    for each in reversed(what.former[row.first_plan :]):
        plan = replace(each, successor=plan)
    assert plan is not None, "a schedule has a plan"
    blocks, now = blocks_of(await read_story(connection, row.id), plan)
    counts = Counter(now.ids[place] for block in blocks for place in block.seats)
    return {area: counts[area] for area in smaller if counts[area]}


def _check_prices(office: Office, what: _Replacement, dates: Sequence[ScheduleRow]) -> None:
    """Every category of the plan has a price at each of these dates, of its own or given with the plan."""
    missing = {category for row in dates for category in what.after.categories if category not in row.prices}
    if unpriced := sorted(missing - what.prices.keys()):
        names = ", ".join(unpriced)
        raise invalid(
            "prices",
            f"some dates have no price for {names}: give one, or null where it is not for sale",
            f"가격이 없는 회차가 있는 등급: {names} (판매하지 않으면 null)",
        )
    currencies = {row.currency for row in dates if not row.prices.keys() >= set(what.after.categories)}
    if len(currencies) > 1 and any(what.prices[category] is not None for category in missing):
        names = ", ".join(sorted(currencies))
        raise invalid(
            "prices",
            f"dates are sold in {names}, and a price is in one of them: give null, and set prices date by date",
            f"회차의 통화가 서로 다릅니다({names}). null로 두고 회차별로 가격을 정해 주세요",
        )
    for currency in currencies:
        check_steps(what.prices, currency, office.settings.provider)


def _prices(row: ScheduleRow, what: _Replacement, *, own: bool) -> dict[str, int | None]:
    """What the date asks for each category; what is new at another organizer's is not for sale until they say so."""
    given = what.prices if own else {}
    return {
        category: row.prices[category] if category in row.prices else given.get(category)
        for category in what.after.categories
    }


def _refuse_who_would_lose(dates: Sequence[DateView]) -> None:
    standing = [
        {
            "schedule_id": date.schedule_id,
            "starts_at": rfc3339(date.starts_at),
            "seats": sorted({seat for each in date.in_the_way for seat in each.seats})[:PLACES_NAMED],
            "bookings": [each.booking_id for each in date.in_the_way if each.booking_id is not None][:PLACES_NAMED],
        }
        for date in dates
        if date.in_the_way
    ]
    if standing:
        raise Problem("venue_in_use", schedules=standing[:SCHEDULES_NAMED])


def _event(row: ScheduleRow, date: DateView, plan: SeatingPlan) -> PlanChanged:
    terms = msgspec.structs.replace(terms_of(row), prices=date.prices)
    return PlanChanged(plan.number, plan.digest, terms)


async def _audit(
    connection: AsyncConnection,
    office: Office,
    account: Account,
    venue: venues.VenueRow,
    what: _Replacement,
    schedule_ids: Sequence[str],
) -> None:
    change = {name: len(getattr(what.change, name)) for name in ("added", "removed", "renamed")}
    await record_in(
        connection,
        office,
        account.id,
        "venue.plan_replaced",
        f"venue:{venue.id}",
        before={"plan_digest": venue.plan_digest, "capacity": venue.capacity},
        after={
            "plan_digest": what.after.digest,
            "capacity": what.after.capacity,
            **change,
            "prices": what.prices,
            "schedules": list(schedule_ids),
        },
    )


def _view(
    venue: venues.VenueRow, what: _Replacement, dates: Sequence[DateView], *, applied: bool
) -> PlanReplacementView:
    return PlanReplacementView(
        venue_id=venue.id,
        applied=applied,
        plan_digest=what.after.digest,
        plan_number=what.after.number,
        capacity=what.after.capacity,
        added=_some(what.change.added),
        removed=_some(what.change.removed),
        renamed=_some(what.change.renamed),
        schedules=list(dates),
    )


def _some(ids: Sequence[str]) -> Places:
    return Places(count=len(ids), ids=list(ids[:PLACES_NAMED]))
