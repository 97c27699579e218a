"""The door: codes are read in batches, each is judged once, and what was judged stands in a log that only grows.

For the schedule's organizer, admins, and the people the organizer named for this one door (`door_staff.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Self

import msgspec
from fastapi import APIRouter, Body, Query
from fastapi.responses import Response
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from actors.mail.tickets import BadTicket, Ticket, read_ticket
from api.http.models import UUID_SCHEMA, Input, Line, ScheduleId, Time, UuidText, found_by, rfc3339
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, invalid, key_reused, responses
from api.office.dependencies import OfficeOf
from api.office.office import Office
from api.routes.door.door_staff import Door, DoorKeeper, door_of
from api.selling.admission import Verdict, judge
from api.selling.audit_trail import record_in
from api.views.booking import described
from engine.seating_plan import SeatingPlan, SeatLabel
from persistence.bookings import transfers
from persistence.bookings.numbers import number_of
from persistence.check_ins import giving_back, log
from persistence.check_ins.log import CheckIn, Result, TicketBooking

router = APIRouter(prefix="/v1", tags=["door"])

PATH = "/v1/schedules/{schedule_id}/check-ins"
BATCH_LIMIT = 500  # a phone that was offline for a whole admission sends it in a few batches
CLOCK_AHEAD = timedelta(minutes=5)  # a phone's clock may be wrong by less
SHOWN_SEATS = 20
CheckInId = Annotated[str, AfterValidator(found_by("check_in_not_found")), UUID_SCHEMA]


def _as_read(value: object) -> object:
    """Ours are ASCII. What a scanner made of anything else need be no text at all, and one such code would refuse all
    that were read with it."""
    return "" if isinstance(value, str) and not value.isascii() else value


ANYTHING = Field(description="Whatever was read: what is no code of ours is `not_genuine`.")
Code = Annotated[str, BeforeValidator(_as_read), ANYTHING]


class ReadCode(Input):
    """A code as it was read."""

    id: Annotated[UuidText, Field(description="The door's own: sent again, it gets the first answer again.")]
    code: Code | None = None
    booking_id: Annotated[UuidText | None, Field(description="Of who was found on the list, instead of a code.")] = None
    places: Annotated[
        int | None, Field(strict=True, ge=1, le=1_000, description="Who comes in now; all who are left.")
    ] = None
    gate: Annotated[Line, Field(min_length=1, max_length=50)] | None = None
    at: Annotated[Time | None, Field(description="When it was read, if not just now.")] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.code is None) == (self.booking_id is None):
            raise PydanticCustomError("code_or_booking", "needs either code or booking_id")
        return self


class Undo(Input):
    """Why somebody who was let in is taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "scanned by mistake"}]})

    reason: Annotated[Line, Field(min_length=1, max_length=500)]


class CheckInView(msgspec.Struct, frozen=True, kw_only=True):
    """What a code was worth. Of `already_in`, `at` and `gate` say when and where somebody came in with it. `labels`
    say what stands on the `seats`."""

    id: str
    result: Result
    places: int
    entered: int
    of: int
    reason: str | None
    at: str | None
    gate: str | None
    booking_id: str | None
    seats: list[str]
    labels: list[SeatLabel]
    name: str | None
    title: str | None
    starts_at: str | None
    version: int


class CountView(msgspec.Struct, frozen=True, kw_only=True):
    """How often a result was given at a gate."""

    gate: str | None
    result: Result
    codes: int
    places: int


class OfflineTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A booking that admits, for a phone that will be offline."""

    booking_id: str
    number: str  # what people read out: 7K3M-Q2XD
    places: int
    entered: int
    single: list[str]  # of those, the places that came in by a code of their own, as the code names them
    seats: list[str]
    labels: list[SeatLabel]  # what stands on them
    name: str | None


class DoorView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in: `entered` of the `places` that are sold now. With `list=offline` also one page of the bookings that
    admit, by id. `link_expires_at`: until when the link opens this door that was asked by; of an account it is null."""

    schedule_id: str
    places: int
    entered: int
    gates: list[CountView]
    link_expires_at: str | None
    items: list[OfflineTicket] | None = None
    next_cursor: str | None = None


EXAMPLE = {
    "id": "01980000-0000-7000-8000-0000000000a1",
    "result": "admitted",
    "places": 2,
    "entered": 2,
    "of": 4,
    "reason": None,
    "at": None,
    "gate": "North",
    "booking_id": "01980000-0000-7000-8000-00000000000b",
    "seats": ["1F-C-1-7", "1F-C-1-8"],
    "labels": [
        {"id": f"1F-C-1-{number}", "zone": "1F C", "row": "1", "number": number, "category": "R"} for number in "78"
    ],
    "name": "Minji",
    "title": "Carmen",
    "starts_at": "2026-11-22T10:30:00.000+00:00",
    "version": 57,
}
COUNTS_EXAMPLE = {
    "schedule_id": "01980000-0000-7000-8000-00000000000a",
    "places": 812,
    "entered": 530,
    "gates": [{"gate": "North", "result": "admitted", "codes": 211, "places": 530}],
    "link_expires_at": "2026-11-22T20:00:00.000+00:00",
    "items": None,
    "next_cursor": None,
}
WISH = {"id": EXAMPLE["id"], "code": "AQGY…", "places": 2, "gate": "North"}
REFUSALS = responses("unauthenticated", "schedule_not_found")


@router.post(
    "/schedules/{schedule_id}/check-ins",
    summary="Let people in",
    responses=described(200, list[CheckInView], [EXAMPLE], "One answer a code, in order.")
    | REFUSALS
    | responses("idempotency_key_reused"),
)
async def check_in(
    schedule_id: ScheduleId,
    read: Annotated[list[ReadCode], Body(min_length=1, max_length=BATCH_LIMIT, examples=[[WISH]])],
    keeper: DoorKeeper,
    office: OfficeOf,
) -> Response:
    """Judges each code once; the same `id` again gets the first answer again. A refusal is an answer like any other."""
    now = office.now()
    for number, each in enumerate(read):
        if each.at is not None and each.at > now + CLOCK_AHEAD:
            raise invalid(f"{number}.at", "is in the future", "미래의 시각입니다")
    async with office.reading.connect() as connection:
        door = await door_of(connection, schedule_id, keeper)
    tickets = {each.code: _read(office, each.code) for each in read if each.code is not None}
    async with office.database.begin() as connection:
        version = await log.lock(connection, schedule_id)
        known = await log.first_answers(connection, [each.id for each in read])
        if any(each.schedule_id != schedule_id for each in known.values()):
            raise key_reused("id")
        ids = {ticket.booking_id for ticket in tickets.values() if ticket is not None}
        ids |= {each.booking_id for each in read if each.booking_id is not None}
        # Before the bookings are read: what is decided in between stands in them.
        given_back = await giving_back.among(connection, ids, now)
        handed_over = await transfers.being_handed_over(connection, ids)
        bookings = await log.ticket_bookings(connection, ids)
        for key in given_back:
            bookings[key] = msgspec.structs.replace(bookings[key], seats=())
        for key, gone in handed_over.items():
            left = Counter(bookings[key].seats) - gone  # whoever has accepted them comes in for them
            bookings[key] = msgspec.structs.replace(bookings[key], seats=tuple(left.elements()))
        inside = await log.entries(connection, ids)
        fresh: dict[str, CheckIn] = {}
        for each in read:
            if each.id in known or each.id in fresh:
                continue
            ticket = _listed(bookings, each.booking_id) if each.code is None else tickets[each.code]
            judged = _judged(door, each, ticket, bookings, inside, version, now)
            fresh[each.id] = judged
            if judged.places and judged.booking_id is not None:
                entry = log.Entry(
                    booking_id=judged.booking_id, places=judged.places, seat=judged.seat, gate=judged.gate, at=judged.at
                )
                inside.setdefault(judged.booking_id, []).append(entry)
        if not await log.write(connection, list(fresh.values())):
            raise key_reused("id")
    answers = [(known | fresh)[each.id].answer for each in read]
    plan = await _plan_of(office, schedule_id, (seat for answer in answers for seat in answer["seats"]))
    return json_answer([answer | {"labels": _labels(plan, answer["seats"])} for answer in answers])


@router.delete(
    "/check-ins/{check_in_id}",
    status_code=204,
    summary="Take somebody back who was let in",
    responses=responses("unauthenticated", "check_in_not_found", "schedule_not_found"),
)
async def undo_check_in(
    check_in_id: CheckInId,
    why: Annotated[Undo, Body()],
    keeper: DoorKeeper,
    office: OfficeOf,
) -> Response:
    """The places may come in again. The log keeps both facts; taking back twice is taking back once.

    What an account takes back stands in the audit log, too; who has a link is known by name to the door alone.
    """
    async with office.reading.connect() as connection:
        found = await log.find(connection, check_in_id)
        if found is None or found.result != log.ADMITTED:
            raise Problem("check_in_not_found")
        try:
            door = await door_of(connection, found.schedule_id, keeper)
        except Problem:
            raise Problem("check_in_not_found") from None
    async with office.database.begin() as connection:
        await log.lock(connection, found.schedule_id)
        undone = await log.undo(connection, check_in_id, reason=why.reason, staff=door.staff, at=office.now())
        if undone and door.account_id is not None:
            subject = f"booking:{found.booking_id}"
            before = {"check_in_id": check_in_id, "places": found.places, "seat": found.seat, "gate": found.gate}
            after = {"reason": why.reason}
            await record_in(
                connection, office, door.account_id, "check_in.taken_back", subject, before=before, after=after
            )
    return Response(status_code=204)


@router.get(
    "/schedules/{schedule_id}/check-ins",
    summary="Who is in, or whom to let in while offline",
    responses=described(200, DoorView, COUNTS_EXAMPLE, "Counts per gate; with `list=offline` the bookings that admit.")
    | REFUSALS,
)
async def list_check_ins(
    schedule_id: ScheduleId,
    keeper: DoorKeeper,
    office: OfficeOf,
    kind: Annotated[str | None, Query(alias="list", pattern="^offline$", description="`offline`")] = None,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    """Counts, or the list that a phone keeps for when it is offline: page by page, by booking."""
    async with office.reading.connect() as connection:
        door = await door_of(connection, schedule_id, keeper)
        counted = await log.counts(connection, schedule_id)
        gates = [
            CountView(gate=each.gate, result=each.result, codes=each.codes, places=each.places) for each in counted
        ]
        view = DoorView(
            schedule_id=schedule_id,
            places=await log.places_sold(connection, schedule_id),
            entered=sum(each.places for each in counted),
            gates=gates,
            link_expires_at=None if door.link_expires_at is None else rfc3339(door.link_expires_at),
        )
        if kind is None:
            return json_answer(view)
        rows = await log.paid_bookings(connection, schedule_id, after_id=id_in(cursor), limit=limit + 1)
        inside = await log.entries(connection, [row.id for row in rows[:limit]])
    plan = await _plan_of(office, schedule_id, (seat for row in rows for seat in row.seats))
    items = [
        OfflineTicket(
            booking_id=row.id,
            number=number_of(row.id),
            places=len(row.seats),
            entered=sum(each.places for each in inside.get(row.id, ())),
            single=[each.seat for each in inside.get(row.id, ()) if each.seat is not None],
            seats=list(row.seats),
            labels=_labels(plan, row.seats),
            name=row.customer_name,
        )
        for row in rows[:limit]
    ]
    next_cursor = encode_cursor(items[-1].booking_id) if len(rows) > limit else None
    return json_answer(msgspec.structs.replace(view, items=items, next_cursor=next_cursor))


async def _plan_of(office: Office, schedule_id: str, seats: Iterable[str]) -> SeatingPlan:
    return await office.plans.of_schedule(schedule_id, set(seats))


def _labels(plan: SeatingPlan, seats: Iterable[str]) -> list[SeatLabel]:
    """What stands on the seats, which staff read: an id may be anything."""
    return [plan.describe(plan.place(seat)) for seat in seats]


def _read(office: Office, code: str) -> Ticket | None:
    try:
        return read_ticket(office.ticket_keys, code.strip())
    except BadTicket:
        return None


def _listed(bookings: dict[str, TicketBooking], booking_id: str | None) -> Ticket | None:
    """The ticket that whoever was found on the list would have shown."""
    booking = None if booking_id is None else bookings.get(booking_id)
    if booking is None:
        return None
    return Ticket(booking_id=booking.id, schedule_id=booking.schedule_id, places=len(booking.seats))


def _judged(
    door: Door,
    read: ReadCode,
    ticket: Ticket | None,
    bookings: dict[str, TicketBooking],
    inside: dict[str, list[log.Entry]],
    version: int,
    now: datetime,
) -> CheckIn:
    booking = None if ticket is None else bookings.get(ticket.booking_id)
    verdict = judge(
        ticket, booking, door.schedule_id, inside.get(booking.id, []) if booking is not None else [], read.places
    )
    return CheckIn(
        id=read.id,
        schedule_id=door.schedule_id,
        booking_id=None if booking is None else booking.id,
        result=verdict.result,
        places=verdict.places,
        seat=None if ticket is None else ticket.place_key,
        gate=read.gate,
        at=read.at or now,
        version=version,
        staff=door.staff,
        answer=msgspec.to_builtins(_view(read, verdict, ticket, booking, door, version)),
    )


def _view(
    read: ReadCode,
    verdict: Verdict,
    ticket: Ticket | None,
    booking: TicketBooking | None,
    door: Door,
    version: int,
) -> CheckInView:
    """What the door sees. Of another organizer's schedule it learns no name and no seat."""
    ours = booking is not None and booking.schedule_id == door.schedule_id
    seats: list[str] = []
    if booking is not None and ours:
        one = None if ticket is None else ticket.seat
        seats = list(booking.seats[:SHOWN_SEATS]) if one is None else [one]
    return CheckInView(
        id=read.id,
        result=verdict.result,
        places=verdict.places,
        entered=verdict.entered,
        of=verdict.of,
        reason=verdict.reason,
        at=None if verdict.at is None else rfc3339(verdict.at),
        gate=verdict.gate if verdict.result == "already_in" else read.gate,
        booking_id=booking.id if booking is not None and ours else None,
        seats=seats,
        labels=[],  # put in whenever it is answered: what was answered first is kept for good
        name=booking.customer_name if booking is not None and ours else None,
        title=booking.title if booking is not None else None,
        starts_at=rfc3339(booking.starts_at) if booking is not None else None,
        version=version,
    )
