"""Transfers: a customer offers seats to somebody else by e-mail, who accepts them and has a booking of their own.

Whoever offers learns nothing about accounts: the answer is the same whether or not somebody has the address. Whoever
has confirmed it finds the offer, also if they sign up only then. What was paid stays who paid it: money for seats that
are given back is theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID, uuid5

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response
from msgspec.structs import replace
from pydantic import AfterValidator, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from actors.gateway.requests import Unavailable
from api.http.models import EXACT_QUERY, UUID_SCHEMA, BookingId, Email, Exact, found_by, rfc3339
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, invalid, problem_of, responses
from api.office.dependencies import CurrentAccount, Customer, OfficeOf
from api.office.idempotency import TAKES_KEY, once
from api.office.office import Office
from api.office.tokens import BUYERS, Account
from api.office.under_way import finished
from api.routes.bookings.bookings import SeatId
from api.selling import booking_commands as commands
from api.selling import handing_on
from api.selling.audit_trail import record_in
from api.views.booking import (
    CONFIRMED_EXAMPLE,
    BookedSeat,
    BookingView,
    Page,
    booked_schedule_view,
    described,
    listed,
)
from api.views.transfer import TRANSFER_EXAMPLE, TransferView, transfer_view
from engine import commands as engine_commands
from engine.decide import MAX_PLACES_PER_BOOKING
from engine.refusals import Code, Refusal
from persistence.accounts import accounts
from persistence.bookings import bookings as rows_of
from persistence.bookings import transfers
from persistence.bookings.transfers import Transfer
from persistence.check_ins import log
from persistence.notifications import account_mails
from persistence.notifications.outbox import BookingFacts, Facts, Seat

router = APIRouter(prefix="/v1", tags=["transfers"])

OFFERED_FOR = timedelta(days=3)  # or until the start
ASKED_TIMES, ASKED_AGAIN_SECONDS = 20, 0.05
TransferId = Annotated[str, AfterValidator(found_by("transfer_not_found")), UUID_SCHEMA]


class NewTransfer(Exact):
    """Who is to have the seats, and which of them; without `seats` all that the booking has."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "haneul@example.com", "seats": ["1F-A-12"]}]})

    email: Email
    seats: Annotated[list[SeatId] | None, Field(min_length=1, max_length=MAX_PLACES_PER_BOOKING)] = None


@router.post(
    "/bookings/{booking_id}/transfers",
    status_code=201,
    summary="Offer seats to somebody else",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=described(201, TransferView, TRANSFER_EXAMPLE, "They are offered, and yours until they are accepted.")
    | responses(
        "unauthenticated",
        "booking_not_found",
        "transfer_not_allowed",
        "idempotency_in_progress",
        "idempotency_key_reused",
        "rate_limited",
    ),
)
async def offer_transfer(
    booking_id: BookingId,
    wish: Annotated[NewTransfer, Body()],
    request: Request,
    account: CurrentAccount,
    office: OfficeOf,
) -> Response:
    """The seats stay yours until they are accepted, and your ticket is worth nothing from then on.

    Nobody can take over what somebody has come in on, what is being given back, or anything after the start.
    """
    booking = await rows_of.find_booking(office.reading, booking_id, account.id)
    if booking is None:
        raise Problem("booking_not_found")
    seats, email = tuple(wish.seats) if wish.seats is not None else booking.seats, wish.email.lower()
    view, now = await commands.view_of_row(office, booking), office.now()
    to_booking_id = await office.booking_ids.new(office.clock.new_id())
    whose: str | None = None

    async def create(connection: AsyncConnection) -> TransferView:
        nonlocal whose
        await transfers.lock_booking(connection, booking_id)
        ends_at = await handing_on.possible_until(connection, booking, view.status, seats, now)
        if email == await _email_of(connection, account.id):
            raise invalid("email", "is your own", "본인의 이메일입니다")
        made = Transfer(
            id=office.clock.new_id(),
            booking_id=booking_id,
            schedule_id=booking.schedule_id,
            from_customer_id=account.id,
            to_email=email,
            to_customer_id=None,
            to_booking_id=to_booking_id,
            seats=seats,
            status="offered",
            created_at=now,
            expires_at=min(now + OFFERED_FOR, ends_at),
            ended_at=None,
        )
        await transfers.offer(connection, made)
        by_id = {seat.id: seat for seat in view.seats}
        answer = transfer_view(made, account.id, now, view.schedule, [by_id[seat] for seat in seats])
        await _tell(connection, made, answer)
        await _audit(connection, office, account.id, "transfer.offered", made)
        named = await accounts.by_email(connection, email)
        whose = None if named is None else named.id
        return answer

    return await once(office, request, account.id, create, "/v1/transfers/{id}", about=lambda _: whose)


@router.get(
    "/transfers",
    summary="What you offer to others, or are offered",
    responses=listed(TransferView, TRANSFER_EXAMPLE) | responses("unauthenticated", "validation_failed"),
)
async def list_transfers(
    account: CurrentAccount,
    office: OfficeOf,
    direction: Annotated[
        Literal["incoming", "outgoing"],
        Query(description="Incoming: open offers to the e-mail that you have confirmed."),
    ] = "incoming",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    now, before_id = office.now(), id_in(cursor)
    async with office.database.begin() as connection:
        if direction == "outgoing":
            found = await transfers.given_by(connection, account.id, before_id=before_id, limit=limit + 1)
        else:
            found = await transfers.offered_to(connection, account.id, now, before_id=before_id, limit=limit + 1)
        shown = await _settled(connection, office, found[:limit])
    if direction == "incoming":
        shown = [each for each in shown if each.status in transfers.OPEN]
    items = [await _view(office, each, account) for each in shown]
    return json_answer(Page(items, encode_cursor(found[limit - 1].id) if len(found) > limit else None))


@router.get(
    "/transfers/{transfer_id}",
    summary="One offer of yours, or to you",
    responses=described(200, TransferView, TRANSFER_EXAMPLE, "The offer as it stands now.")
    | responses("unauthenticated", "transfer_not_found"),
)
async def get_transfer(transfer_id: TransferId, account: CurrentAccount, office: OfficeOf) -> Response:
    async with office.database.begin() as connection:
        found = await transfers.find(connection, transfer_id, lock=True)
        if found is None or found.from_customer_id != account.id:
            found = await _offered_to(connection, transfer_id, account)
        (found,) = await _settled(connection, office, [found])
    return json_answer(await _view(office, found, account))


@router.delete(
    "/transfers/{transfer_id}",
    status_code=204,
    summary="Take an offer back, or decline it",
    responses=responses("unauthenticated", "transfer_not_found", "transfer_ended", "rate_limited"),
)
async def end_transfer(transfer_id: TransferId, account: CurrentAccount, office: OfficeOf) -> Response:
    """The seats stay whose they are. Once they are accepted it is too late."""
    found = await transfers.of_id(office.reading, transfer_id)
    if found is not None and found.from_customer_id == account.id and found.status == "accepting":
        await finished(_hand_over(office, found))  # somebody has accepted, and died of it
    async with office.database.begin() as connection:
        found = await transfers.find(connection, transfer_id, lock=True)
        if found is not None and found.from_customer_id == account.id:
            await _end(connection, office, account, found, "withdrawn")
        else:
            await _end(connection, office, account, await _offered_to(connection, transfer_id, account), "declined")
    return Response(status_code=204)


@router.post(
    "/transfers/{transfer_id}/refusal",
    status_code=204,
    summary="Decline seats that you are offered",
    responses=responses("unauthenticated", "transfer_not_found", "transfer_ended", "rate_limited"),
)
async def decline_transfer(transfer_id: TransferId, account: CurrentAccount, office: OfficeOf) -> Response:
    """They stay whose they are."""
    async with office.database.begin() as connection:
        found = await _offered_to(connection, transfer_id, account)
        await _end(connection, office, account, found, "declined")
    return Response(status_code=204)


@router.post(
    "/transfers/{transfer_id}/acceptance",
    summary="Take over seats that you are offered",
    responses=described(200, BookingView, CONFIRMED_EXAMPLE, "They are yours, as a booking of your own.")
    | responses(
        "unauthenticated",
        "transfer_not_found",
        "transfer_ended",
        "transfer_not_allowed",
        "customer_limit_reached",
        "overloaded",
        "rate_limited",
    ),
)
async def accept_transfer(transfer_id: TransferId, account: Customer, office: OfficeOf) -> Response:
    """The giver's ticket is worth nothing for these seats from then on. Asked again it is answered again.

    Money for them, should they be given back by the organizer, goes to who paid.
    """
    return await finished(_accept(office, transfer_id, account))


async def _accept(office: Office, transfer_id: str, account: Account) -> Response:
    """May break off anywhere: whoever accepts again goes on, by the same request of the schedule's owner."""
    async with office.database.begin() as connection:
        found = await _offered_to(connection, transfer_id, account)
        status = found.status_at(office.now())
        if status != "offered" and (status not in ("accepting", "accepted") or found.to_customer_id != account.id):
            raise Problem("transfer_ended", transfer_status=status)
        if status == "offered":
            await log.lock(connection, found.schedule_id)  # from here on nobody comes in for them by the giver's code
            if (await log.entries(connection, [found.booking_id])).get(found.booking_id):
                raise Problem("transfer_not_allowed", reason="checked_in")
            await transfers.change(connection, found.id, status="accepting", to_customer_id=account.id)
            found = replace(found, status="accepting", to_customer_id=account.id)
    if status != "accepted":
        refusal = await _hand_over(office, found)
        if refusal is not None:
            raise (
                problem_of(refusal) if refusal.code is Code.CUSTOMER_LIMIT_REACHED else Problem("transfer_not_allowed")
            )
    row = await rows_of.find_booking(office.reading, found.to_booking_id, None)
    assert row is not None, "what was answered is in the tables"
    return json_answer(await commands.view_of_row(office, row))


async def _hand_over(office: Office, transfer: Transfer) -> Refusal | None:
    """Carries an offer out that was accepted. What the owner refuses is over; where only the taker has too many
    seats, it waits for them. The journal is right: what it has is accepted, whatever was said of the offer meanwhile.
    """
    refusal = await _asked(office, transfer)
    async with office.database.begin() as connection:
        now = await transfers.find(connection, transfer.id, lock=True)
        if refusal is not None and await transfers.taken_over(connection, transfer):
            refusal = None  # it was answered so long ago that the owner has forgotten it
        if refusal is None:
            if now is not None and now.status != "accepted":
                taker = transfer.to_customer_id
                assert taker is not None, "somebody has accepted"
                ended = {"ended_at": office.now(), "to_customer_id": taker}
                await transfers.change(connection, transfer.id, status="accepted", **ended)
                await _audit(connection, office, taker, "transfer.accepted", transfer)
        elif now is not None and now.status == "accepting":
            waits = refusal.code is Code.CUSTOMER_LIMIT_REACHED
            status, ended_at = ("offered", None) if waits else ("withdrawn", office.now())
            await transfers.change(connection, transfer.id, status=status, ended_at=ended_at, to_customer_id=None)
    return refusal


async def _asked(office: Office, transfer: Transfer) -> Refusal | None:
    """Has the schedule's owner hand the seats on, once however often it is asked. Raises what the gateway raises."""
    assert transfer.to_customer_id is not None, "somebody has accepted"
    command = engine_commands.Transfer(
        transfer.booking_id, transfer.from_customer_id, transfer.to_booking_id, transfer.to_customer_id, transfer.seats
    )
    request_id = str(uuid5(UUID(transfer.id), "acceptance"))
    for _ in range(ASKED_TIMES):
        result = await office.gateway.send(
            transfer.schedule_id, command, request_id=request_id, fingerprint=transfer.id
        )
        if not isinstance(result, Refusal):
            return None
        if result.code is not Code.IDEMPOTENCY_IN_PROGRESS:
            return result
        await asyncio.sleep(ASKED_AGAIN_SECONDS)  # the same acceptance is being recorded: no refusal of it
    raise Unavailable("the same acceptance is being recorded")


async def _email_of(connection: AsyncConnection, account_id: str) -> str | None:
    row = await accounts.by_id(connection, account_id)
    return None if row is None else row.email.lower()


async def _offered_to(connection: AsyncConnection, transfer_id: str, account: Account) -> Transfer:
    """The offer, locked, if it is for this customer. Raises `Problem("transfer_not_found")`."""
    found = await transfers.find(connection, transfer_id, lock=True)
    if found is None or found.from_customer_id == account.id:
        raise Problem("transfer_not_found")
    if found.to_customer_id != account.id and not await transfers.is_for(connection, found, account.id):
        raise Problem("transfer_not_found")
    return found


async def _end(connection: AsyncConnection, office: Office, account: Account, transfer: Transfer, status: str) -> None:
    """Ends an offer that nobody has accepted; once is enough."""
    stands = transfer.status_at(office.now())
    if stands == status:
        return
    if stands != "offered":
        raise Problem("transfer_ended", transfer_status=stands)
    await transfers.change(connection, transfer.id, status=status, ended_at=office.now())
    await _audit(connection, office, account.id, f"transfer.{status}", transfer)


async def _settled(connection: AsyncConnection, office: Office, found: Sequence[Transfer]) -> list[Transfer]:
    """These offers as they stand by the journal: somebody who died may have left one behind it, and seats that have
    gone another way take theirs along."""
    settled = []
    for each in await transfers.lapse(connection, found, office.now()):
        if each.status == "accepting" and await transfers.taken_over(connection, each):
            await transfers.change(connection, each.id, status="accepted", ended_at=office.now())
            each = replace(each, status="accepted")  # what it is from here on
        settled.append(each)
    return settled


async def _view(office: Office, transfer: Transfer, account: Account) -> TransferView:
    booked = (await office.booked.read([transfer.schedule_id])).get(transfer.schedule_id)
    plan = await office.plans.of_schedule(transfer.schedule_id, transfer.seats)
    labels = [plan.describe(plan.place(seat)) for seat in transfer.seats]
    seats = [BookedSeat(each.id, each.zone, each.row, each.number, each.category, 0) for each in labels]
    schedule = None if booked is None else booked_schedule_view(booked)
    return transfer_view(transfer, account.id, office.now(), schedule, seats)


async def _tell(connection: AsyncConnection, transfer: Transfer, view: TransferView) -> None:
    """A mail to whoever has confirmed the address; where nobody has, the giver tells them to sign up with it."""
    assert transfer.to_email is not None, "it was given just now"
    customer_id = await transfers.taker_of(connection, transfer.to_email, BUYERS)
    if customer_id is None:
        return
    seats = [
        Seat(zone=each.zone, row=each.row, number=each.number, category=each.category, price=0) for each in view.seats
    ]
    facts = Facts(
        bookings=[BookingFacts(id=transfer.to_booking_id, seats=seats, sold=False)],
        starts_at=rfc3339(transfer.expires_at),
    )
    await account_mails.tell(
        connection,
        at=transfer.created_at,
        mail_id=transfer.id,
        schedule_id=transfer.schedule_id,
        customer_id=customer_id,
        kind="transfer_offered",
        facts=facts,
    )


async def _audit(connection: AsyncConnection, office: Office, account_id: str, action: str, transfer: Transfer) -> None:
    """By the offer's id: whom it is for may have to be forgotten one day."""
    await record_in(
        connection,
        office,
        account_id,
        action,
        f"booking:{transfer.booking_id}",
        after={"transfer_id": transfer.id, "seats": transfer.seats, "to_booking_id": transfer.to_booking_id},
    )
