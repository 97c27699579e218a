"""Schedules: when and where a performance is played, and on what terms its seats are sold.

A schedule is a row and the first record of its journal, written together. Its terms of sale are changed by its owner
alone, so that no booking is made between two terms. Times at one venue do not overlap.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from api.http.models import PerformanceId, ScheduleId, rfc3339
from api.http.paging import Cursor, Fields, Limit, chosen, encode_cursor, json_answer, page_answer, time_and_id_in
from api.http.problems import Problem, invalid, responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY, once, request_of
from api.office.office import Office
from api.office.plans import UnknownVenue
from api.office.tokens import Account
from api.routes.catalogue.performances import DateFrom, DateTo, own_performance
from api.selling.audit_trail import record, record_in
from api.selling.recurrence import occurrences
from api.selling.schedule_input import CHANGEABLE, DatesInput, NewSchedule, ScheduleChange, check_steps
from api.selling.terms import change_terms, move, terms_of
from api.selling.venue_use import check_venue_is_theirs
from api.selling.withdrawal import announce, withdraw
from api.views.schedule import CreatedSchedule, SchedulePage, ScheduleView, schedule_view, schedule_views, untouched
from engine.events import Opened
from engine.seating_plan import SeatingPlan
from persistence.catalogue import performances, schedules, venues
from persistence.database.moments import milliseconds
from persistence.journal import opening, overruling
from persistence.journal.overruling import Overruled

router = APIRouter(prefix="/v1", tags=["schedules"])

CHANGE_ATTEMPTS = 10  # of a change that others come before: as many as organizers' changes at once, or so
PAGES_SEARCHED = 5  # how far `available=true` looks for schedules with seats before it answers a short page


# --- creating ---------------------------------------------------------------------------------------------------------
def _check_prices(office: Office, prices: Mapping[str, int | None], plan: SeatingPlan, currency: str) -> None:
    check_steps(prices, currency, office.settings.provider)
    missing = [category for category in plan.categories if category not in prices]
    if missing:
        names = ", ".join(missing)
        raise invalid("prices", f"must have a price for every category; missing: {names}", f"가격이 없는 등급: {names}")
    unknown = [category for category in prices if category not in plan.categories]
    if unknown:
        names = ", ".join(unknown)
        raise invalid("prices", f"the venue has no such category: {names}", f"공연장에 없는 등급: {names}")


def _check_window(starts_at: datetime, opens: datetime | None, closes: datetime | None) -> None:
    end = closes or starts_at
    if closes is not None and closes > starts_at:
        raise invalid("sale_closes_at", "must not be after the start", "공연 시작보다 늦을 수 없습니다")
    if opens is not None and opens >= end:
        raise invalid("sale_opens_at", "must be before the sale closes", "판매 종료보다 빨라야 합니다")


def dates_of(new: DatesInput, time_zone: str, now: datetime) -> list[datetime]:
    """Every start, in order. Raises a 422 `Problem`."""
    if new.starts_at <= now:
        raise invalid("starts_at", "must be in the future", "미래의 시간이어야 합니다")
    _check_window(new.starts_at, new.sale_opens_at, new.sale_closes_at)
    return [new.starts_at] if new.recurrence is None else occurrences(new.recurrence, new.starts_at, time_zone)


def _check_apart(dates: Sequence[datetime], lasts: timedelta, time_zone: str) -> None:
    """A rule's own dates are no conflict with others': the rule is wrong."""
    for before, after in pairwise(dates):
        if after < before + lasts:
            both = [each.astimezone(ZoneInfo(time_zone)).isoformat(timespec="seconds") for each in (before, after)]
            message, ko = "has dates that overlap: {} and {}", "겹치는 일시가 있습니다: {}, {}"
            raise invalid("recurrence", message.format(*both), ko.format(*both))


async def _check_free(connection: AsyncConnection, **time_and_place: Any) -> None:
    taken = await schedules.conflicting(connection, **time_and_place)
    if taken:
        raise Problem("schedule_conflict", conflicts_with=taken)


@router.post(
    "/performances/{performance_id}/schedules",
    status_code=201,
    response_model=CreatedSchedule,
    summary="Open a schedule for sale",
    responses=responses(
        "unauthenticated",
        "forbidden",
        "venue_not_shared",
        "performance_not_found",
        "schedule_conflict",
        "schedule_limit_reached",
        "terms_changed",
        "rate_limited",
    ),
    dependencies=[TAKES_KEY],
)
async def create_schedule(
    performance_id: PerformanceId, new: NewSchedule, request: Request, account: Organizer, office: OfficeOf
) -> Response:
    plan: SeatingPlan | None = None
    with contextlib.suppress(UnknownVenue):
        plan = await office.plans.newest(new.venue_id)

    async def create(connection: AsyncConnection) -> CreatedSchedule:
        performance = await own_performance(connection, performance_id, account, lock=True)
        found = await venues.lock_venue(connection, new.venue_id)
        venue = await check_venue_is_theirs(connection, found, account, performance.organizer_id)
        assert plan is not None, "the venue is there, and so is its plan"
        if venue.plan_number != plan.number:  # it was corrected in this moment
            raise Problem("terms_changed", retry_after=1)
        _check_prices(office, new.prices, plan, new.currency)
        lasts = timedelta(minutes=performance.duration_minutes or performances.DEFAULT_DURATION_MINUTES)
        ids = []
        dates = dates_of(new, venue.time_zone, office.now())
        _check_apart(dates, lasts, venue.time_zone)
        await _check_quota(connection, office, performance.organizer_id, len(dates))
        for starts_at in dates:
            await _check_free(
                connection,
                venue_id=new.venue_id,
                performance_id=performance_id,
                starts_at=starts_at,
                ends_at=starts_at + lasts,
            )
            ids.append(await _open(connection, office, performance_id, new, starts_at, venue, plan))
        created = {"ids": ids, **new.model_dump()}
        await record_in(connection, office, account.id, "schedule.created", f"schedule:{ids[0]}", after=created)
        counts = untouched(plan)
        views = [schedule_view(row, counts, office.now()) for row in await schedules.schedules_by_id(connection, ids)]
        return CreatedSchedule(**dict(views[0]), recurring=views[1:])

    begin = partial(office.writing.begin, account.id)
    return await once(office, request, account.id, create, "/v1/schedules/{id}", begin=begin)


async def _check_quota(connection: AsyncConnection, office: Office, organizer_id: str, more: int) -> None:
    """Nobody fills the catalogue, or somebody else's venue, without end."""
    limit = office.settings.schedules_per_organizer
    if limit and await schedules.upcoming_of(connection, organizer_id, office.now()) + more > limit:
        raise Problem("schedule_limit_reached", limit=limit)


async def _open(
    connection: AsyncConnection,
    office: Office,
    performance_id: str,
    new: NewSchedule,
    starts_at: datetime,
    venue: venues.VenueRow,
    plan: SeatingPlan,
) -> str:
    schedule_id = office.clock.new_id()
    values = new.model_dump(exclude={"recurrence"})
    values |= {"performance_id": performance_id, "first_plan": plan.number, "plan_number": plan.number}
    values["starts_at"] = starts_at
    if new.sale_closes_at is not None:
        values["sale_closes_at"] = new.sale_closes_at + (starts_at - new.starts_at)
    await schedules.create_schedule(connection, schedule_id=schedule_id, values=values)
    # The journal must begin before the row can be read back: a schedule without a head is no schedule.
    now = office.now()
    terms = terms_of(
        schedules.ScheduleRow(
            id=schedule_id,
            organizer_id="",
            performance_title="",
            performance_title_en=None,
            venue_name=venue.name,
            venue_city=venue.city,
            time_zone=venue.time_zone,
            duration_minutes=0,
            seq=1,
            cancelled_at=None,
            cancellation_reason=None,
            created_at=now,
            updated_at=now,
            **values,
        )
    )
    await opening.open_schedule(connection, schedule_id, milliseconds(now), Opened(plan.digest, terms))
    return schedule_id


# --- reading ----------------------------------------------------------------------------------------------------------
@router.get(
    "/performances/{performance_id}/schedules",
    response_model=SchedulePage,
    summary="When a performance is played, and what is left",
    responses=responses("performance_not_found"),
)
async def list_schedules(
    performance_id: PerformanceId,
    office: OfficeOf,
    date_from: DateFrom = None,
    date_to: DateTo = None,
    available: Annotated[bool, Query(description="Only those on sale now with seats left.")] = False,
    fields: Fields = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    names = chosen(fields, ScheduleView)
    after = time_and_id_in(cursor)
    found: list[ScheduleView] = []
    next_cursor: str | None = None
    for _ in range(PAGES_SEARCHED):
        wanted = limit - len(found)
        async with office.reading.connect() as connection:
            if await performances.performance(connection, performance_id) is None:
                raise Problem("performance_not_found")
            rows = await schedules.list_schedules(
                connection,
                performance_id,
                starts_from=date_from,
                starts_before=date_to,
                on_sale_at=office.now() if available else None,
                after=after,
                limit=wanted + 1,
            )
        views = await schedule_views(office, rows[:wanted])
        found += [view for view in views if not available or view.seats_left is None or any(view.seats_left.values())]
        if len(rows) <= wanted:
            next_cursor = None
            break
        after = (rows[wanted - 1].starts_at, rows[wanted - 1].id)
        next_cursor = encode_cursor(after[0].isoformat(), after[1])
        if len(found) == limit:
            break
    return page_answer([*found], next_cursor, names)


@router.get(
    "/schedules/{schedule_id}",
    response_model=ScheduleView,
    summary="A schedule, and what is left",
    responses=responses("schedule_not_found"),
)
async def get_schedule(schedule_id: ScheduleId, office: OfficeOf, fields: Fields = None) -> Response:
    names = chosen(fields, ScheduleView)
    async with office.reading.connect() as connection:
        row = await schedules.schedule(connection, schedule_id)
    if row is None:
        raise Problem("schedule_not_found")
    (view,) = await schedule_views(office, [row])
    return json_answer(view.model_dump(mode="json", include=names))


# --- changing ---------------------------------------------------------------------------------------------------------
async def own_schedule(connection: AsyncConnection, schedule_id: str, account: Account) -> schedules.ScheduleRow:
    """The schedule, if the account may change it. Raises `Problem("schedule_not_found")`."""
    row = await schedules.schedule(connection, schedule_id)
    if row is None or (row.organizer_id != account.id and account.role != "admin"):
        raise Problem("schedule_not_found")
    return row


@router.patch(
    "/schedules/{schedule_id}",
    summary="Change when and on what terms a schedule is sold",
    responses=responses(
        "unauthenticated",
        "forbidden",
        "venue_not_shared",
        "schedule_not_found",
        "schedule_conflict",
        "schedule_cancelled",
        "terms_changed",
        "rate_limited",
        "overloaded",
    ),
    dependencies=[TAKES_KEY],
)
async def change_schedule(
    schedule_id: ScheduleId, change: ScheduleChange, request: Request, account: Organizer, office: OfficeOf
) -> ScheduleView:
    if change.recurrence is not None:
        raise invalid(
            "recurrence", "cannot be changed: make new schedules", "변경할 수 없습니다. 새 회차를 만들어 주세요"
        )
    wanted = change.model_dump(exclude_unset=True, exclude={"recurrence"})
    plan = await office.plans.of_schedule(schedule_id) if "prices" in wanted else None
    async with office.writing.turn(account.id):
        for _ in range(CHANGE_ATTEMPTS):
            if await _change(office, request, account, schedule_id, wanted, plan):
                break
        else:
            raise Problem("terms_changed", retry_after=1)
    async with office.reading.connect() as connection:
        row = await own_schedule(connection, schedule_id, account)
    (view,) = await schedule_views(office, [row])
    return view


async def _change(
    office: Office,
    request: Request,
    account: Account,
    schedule_id: str,
    wanted: Mapping[str, Any],
    plan: SeatingPlan | None,
) -> bool:
    """Makes the change, or says that somebody else was quicker.

    A start that moves must agree with the venue's calendar, so it is written here, in one transaction with the look at
    that, and with whose the venue is. Any other change is the owner's, who goes on selling, and is asked when no lock
    and no connection is held.
    """
    overruled: list[Overruled] = []
    async with office.writing.transaction() as connection:
        performance_id = (await own_schedule(connection, schedule_id, account)).performance_id
        await own_performance(connection, performance_id, account, lock=True)
        held = await overruling.hold(connection, [schedule_id]) if "starts_at" in wanted else []
        row = await own_schedule(connection, schedule_id, account)
        if row.cancelled_at is not None:
            raise Problem("schedule_cancelled", at=rfc3339(row.cancelled_at))
        new = await _changed(connection, office, account, row, wanted, plan)
        before, after = ({name: getattr(each, name) for name in wanted} for each in (row, new))
        if new.starts_at != row.starts_at:
            overruled = await move(connection, office, held[0], terms_of(new))
        if overruled or terms_of(new) == terms_of(row):
            await _set_waiting_room(connection, row, new)
            subject = f"schedule:{schedule_id}"
            await record_in(connection, office, account.id, "schedule.changed", subject, before=before, after=after)
    if overruled:
        await announce(office, overruled)
    elif terms_of(new) != terms_of(row):
        request_id, fingerprint = await request_of(request, account)
        asked = (terms_of(row), terms_of(new))
        if not await change_terms(office, schedule_id, *asked, request_id=request_id, fingerprint=fingerprint):
            return False
        async with office.writing.transaction() as connection:
            await _set_waiting_room(connection, row, new)
        subject = f"schedule:{schedule_id}"
        await record(office, request, account, "schedule.changed", subject, before=before, after=after)
    return True


async def _set_waiting_room(
    connection: AsyncConnection, row: schedules.ScheduleRow, new: schedules.ScheduleRow
) -> None:
    """Its owner does not care: who may ask it for seats is decided before it is asked."""
    if new.waiting_room != row.waiting_room:
        await schedules.change_schedule(connection, row.id, {"waiting_room": new.waiting_room})


async def _changed(
    connection: AsyncConnection,
    office: Office,
    account: Account,
    row: schedules.ScheduleRow,
    wanted: Mapping[str, Any],
    plan: SeatingPlan | None,
) -> schedules.ScheduleRow:
    """The row as it shall be, checked. Keeps the venue's calendar locked if the start moves."""
    for name in ("venue_id", "currency"):
        if wanted.get(name) not in (None, getattr(row, name)):
            raise invalid(name, "cannot be changed: make a new schedule", "변경할 수 없습니다. 새 회차를 만들어 주세요")
    new = msgspec.structs.replace(row, **{name: value for name, value in wanted.items() if name in CHANGEABLE})
    if plan is not None:
        _check_prices(office, new.prices, plan, new.currency)
    if new.starts_at != row.starts_at:
        if new.starts_at <= office.now():
            raise invalid("starts_at", "must be in the future", "미래의 시간이어야 합니다")
        venue = await venues.lock_venue(connection, row.venue_id)
        await check_venue_is_theirs(connection, venue, account, row.organizer_id)
        await _check_free(
            connection,
            venue_id=row.venue_id,
            performance_id=row.performance_id,
            starts_at=new.starts_at,
            ends_at=new.starts_at + timedelta(minutes=row.duration_minutes),
            except_id=row.id,
        )
    if (new.starts_at, new.sale_opens_at, new.sale_closes_at) != (row.starts_at, row.sale_opens_at, row.sale_closes_at):
        _check_window(new.starts_at, new.sale_opens_at, new.sale_closes_at)
    return new


@router.delete(
    "/schedules/{schedule_id}",
    status_code=204,
    summary="Take a schedule out of the catalogue",
    responses=responses(
        "unauthenticated", "forbidden", "schedule_not_found", "schedule_has_bookings", "rate_limited", "overloaded"
    ),
)
async def delete_schedule(schedule_id: ScheduleId, account: Organizer, office: OfficeOf) -> None:
    """Withdraws it for good, unless somebody holds or owns a seat: whoever asks for it then is told it is not there."""
    async with office.writing.begin(account.id) as connection:
        performance_id = (await own_schedule(connection, schedule_id, account)).performance_id
        await own_performance(connection, performance_id, account, lock=True)
        row = await own_schedule(connection, schedule_id, account)
        withdrawn = await withdraw(connection, office, [schedule_id], by=account.role, refusal="schedule_has_bookings")
        before = {"performance_id": row.performance_id, "starts_at": row.starts_at}
        await record_in(connection, office, account.id, "schedule.deleted", f"schedule:{schedule_id}", before=before)
    await announce(office, withdrawn)
