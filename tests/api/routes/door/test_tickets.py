"""Tickets at the door: what was made here is read, nothing else, and what is no longer worth anything is told so."""

from __future__ import annotations

import base64
import hashlib
import hmac
from uuid import UUID, uuid4

import httpx
import icalendar
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from actors.mail import qr
from actors.mail.tickets import BadTicket, Ticket, read_ticket, seat_tickets, ticket_code, ticket_key
from engine.commands import AnyCommand, ApprovePayment, CancelSchedule, Refund, RequestPayment
from engine.refusals import Refusal
from tests.api.conftest import Worker
from tests.support.sale import Sale, hold, open_sale, problem, read
from tests.support.waiting import until

SECRET = "a secret of at least 32 characters"
KEY = ticket_key(SECRET)
TICKET = Ticket(
    booking_id="01980000-0000-7000-8000-00000000000b", schedule_id="01980000-0000-7000-8000-00000000000a", places=2
)


# --- the code ---------------------------------------------------------------------------------------------------------
SEATS = ("1F-A-12", "바닥", "바닥")
TICKETS = (TICKET, *seat_tickets(TICKET, SEATS))


def former_code(secret: str, ticket: Ticket) -> str:
    """A code as it was made before there was a public key."""
    key = hmac.digest(secret.encode(), b"boxoffice/tickets/1", hashlib.sha256)
    body = b"\x01" + UUID(ticket.booking_id).bytes + UUID(ticket.schedule_id).bytes + ticket.places.to_bytes(2)
    return base64.urlsafe_b64encode(body + hmac.digest(key, body, hashlib.sha256)[:16]).decode()


@pytest.mark.parametrize("ticket", TICKETS)
def test_code_says_what_was_put_into_it(ticket: Ticket) -> None:
    code = ticket_code(KEY, ticket)
    assert ticket_code(KEY, ticket) == code
    assert read_ticket([KEY], code) == ticket
    assert len(ticket_code(KEY, TICKET)) == 132


def test_places_alike_have_codes_of_their_own() -> None:
    assert len({ticket_code(KEY, ticket) for ticket in TICKETS}) == len(TICKETS)
    assert [ticket.place_key for ticket in TICKETS] == [None, "1F-A-12#1", "바닥#1", "바닥#2"]


def test_codes_of_the_old_kind_stay_valid() -> None:
    code = former_code(SECRET, TICKET)
    assert len(code) == 68
    assert read_ticket([KEY], code) == TICKET
    assert read_ticket([ticket_key("a new one"), KEY], code) == TICKET
    with pytest.raises(BadTicket):
        read_ticket([ticket_key("a new one")], code)


def test_former_secret_s_tickets_are_still_read_and_another_s_are_not() -> None:
    code = ticket_code(KEY, TICKET)
    assert read_ticket([ticket_key("a new one"), KEY], code) == TICKET
    with pytest.raises(BadTicket):
        read_ticket([ticket_key("a new one")], code)


@pytest.mark.parametrize("ticket", TICKETS[:2])
def test_code_with_any_bit_changed_is_refused(ticket: Ticket) -> None:
    for code in (ticket_code(KEY, ticket), former_code(SECRET, TICKET)):
        content = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        for number in range(len(content) * 8):
            changed = bytearray(content)
            changed[number // 8] ^= 1 << number % 8
            with pytest.raises(BadTicket):
                read_ticket([KEY], base64.urlsafe_b64encode(changed).decode().rstrip("="))


@pytest.mark.parametrize("code", ["", "A", "AQ", "Ag", *(letter * 132 for letter in "A가!-B"), "A" * 2_000])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(BadTicket):
        read_ticket([KEY], code)


# --- the route --------------------------------------------------------------------------------------------------------
class Door:
    """A sale with one paid booking of two seats."""

    def __init__(self, worker: Worker, sale: Sale, booking_id: str, payment_id: str, customer: dict[str, str]) -> None:
        self.worker = worker
        self.sale = sale
        self.booking_id = booking_id
        self.payment_id = payment_id
        self.customer = customer

    def code(self, places: int = 2) -> str:
        ticket = Ticket(booking_id=self.booking_id, schedule_id=self.sale.schedule_id, places=places)
        return ticket_code(ticket_key(self.worker.office.settings.secret), ticket)

    async def check(self, code: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.worker.http.get(
            f"/v1/organizer/tickets/{code}", headers=self.sale.organizer if headers is None else headers
        )

    async def done(self, command: AnyCommand) -> None:
        gateway = self.worker.office.gateway
        request_id = self.worker.office.clock.new_id()
        answer = await gateway.send(self.sale.schedule_id, command, request_id=request_id)
        assert not isinstance(answer, Refusal), answer

    async def refund(self, *seats: str) -> None:
        await self.done(Refund(self.booking_id, "", self.worker.office.clock.new_id(), self.payment_id, seats))


@pytest.fixture
async def door(worker: Worker) -> Door:
    sale = await open_sale(worker.http)
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, *sale.fresh(2))
    payment_id = worker.office.clock.new_id()
    door = Door(worker, sale, booking["id"], payment_id, customer)
    account = await worker.http.get("/v1/accounts/me", headers=customer)
    await door.done(RequestPayment(booking["id"], account.json()["id"], payment_id, "sandbox"))
    await door.done(ApprovePayment(booking["id"], payment_id, "ref"))
    return door


async def test_valid_ticket_shows_the_booking_to_the_schedule_s_organizer(door: Door) -> None:
    answer = await door.check(door.code())
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert (view["valid"], view["reason"], view["places"]) == (True, None, 2)
    assert (view["schedule_id"], view["booking"]["id"]) == (door.sale.schedule_id, door.booking_id)
    assert [seat["id"] for seat in view["booking"]["seats"]] == list(door.sale.seats[:2])
    assert view["performance_title"].startswith("Performance")


async def test_ticket_of_seats_given_back_is_replaced_by_the_one_for_those_that_are_left(door: Door) -> None:
    await door.refund(door.sale.seats[0])
    old, new = (await door.check(door.code(2))).json(), (await door.check(door.code(1))).json()
    assert (old["valid"], old["reason"]) == (False, "replaced")
    assert (new["valid"], new["reason"]) == (True, None)
    assert len(new["booking"]["seats"]) == 1


async def test_refunded_booking_s_ticket_is_genuine_and_not_valid(door: Door) -> None:
    await door.refund()
    view = (await door.check(door.code())).json()
    assert (view["valid"], view["reason"], view["booking"]["status"]) == (False, "refunded", "refunded")


async def test_ticket_of_a_cancelled_schedule_is_not_valid_from_that_moment_on(door: Door) -> None:
    await door.done(CancelSchedule("ill", "organizer"))
    view = (await door.check(door.code())).json()
    assert (view["valid"], view["reason"]) == (False, "schedule_cancelled")


async def test_ticket_of_a_hold_that_was_cancelled_is_not_valid(door: Door) -> None:
    http = door.worker.http
    booking = await hold(http, door.sale, door.customer, *door.sale.fresh(2))
    cancelled = await http.post(f"/v1/bookings/{booking['id']}/cancellation", headers=door.customer)
    assert cancelled.status_code == 201, cancelled.text
    door.booking_id = booking["id"]
    view = (await door.check(door.code())).json()
    assert (view["valid"], view["reason"]) == (False, "cancelled")


async def test_forged_ticket_is_refused(door: Door) -> None:
    ticket = Ticket(booking_id=door.booking_id, schedule_id=door.sale.schedule_id, places=9)
    forged = ticket_code(ticket_key("somebody else's secret, long enough"), ticket)
    for code in (forged, "nonsense"):
        document = problem(await door.check(code), 422, "validation_failed")
        assert [error["field"] for error in document["errors"]] == ["code"]


async def test_ticket_is_nobody_else_s_business(door: Door) -> None:
    other = await door.worker.sign_up("organizer")
    problem(await door.check(door.code(), other), 404, "schedule_not_found")
    problem(await door.check(door.code(), door.customer), 403, "forbidden")
    problem(await door.check(door.code(), {}), 401, "unauthenticated")


async def test_genuine_code_of_a_booking_that_is_not_there_is_not_found(door: Door) -> None:
    door.booking_id = str(uuid4())
    problem(await door.check(door.code()), 404, "booking_not_found")


# --- the customer's own -----------------------------------------------------------------------------------------------
async def test_ticket_has_a_code_for_all_and_one_for_each_that_anybody_can_verify_offline(door: Door) -> None:
    http = door.worker.http
    answer = await http.get(f"/v1/bookings/{door.booking_id}/ticket", headers=door.customer)
    assert answer.status_code == 200, answer.text
    ticket, key = answer.json(), (await http.get("/v1/tickets/key")).json()
    assert (ticket["places"], ticket["key_id"], key["previous"]) == (2, key["kid"], [])
    assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    codes = [ticket["code"], *(seat["code"] for seat in ticket["seats"])]
    for code in codes:
        content = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        public.verify(content[-64:], content[:-64])
        assert UUID(bytes=content[17:33]) == UUID(door.sale.schedule_id)
    assert len(set(codes)) == 3
    for code in codes:
        checked = (await door.check(code)).json()
        assert (checked["valid"], checked["booking"]["id"]) == (True, door.booking_id)
    assert (await door.check(codes[1])).json()["places"] == 1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, image/avif;q=0.9, image/*;q=0.8, */*;q=0.5", "image/svg+xml"),
        ("image/svg+xml", "image/svg+xml"),
        ("text/calendar, application/json;q=0.9", "text/calendar"),
        ("application/json;q=0.1, text/calendar;q=x", "application/json"),
        ("application/pdf", "application/json"),
        ("image/svg+xml;q=0", "application/json"),
        ("image/svg+xml;q=0, image/*", "application/json"),
    ],
)
async def test_ticket_comes_in_the_form_that_is_preferred(door: Door, accept: str, kind: str) -> None:
    url = f"/v1/bookings/{door.booking_id}/ticket"
    answer = await door.worker.http.get(url, headers=door.customer | {"Accept": accept, "Accept-Language": "ko"})
    assert answer.headers["content-type"].partition(";")[0] == kind
    if kind == "image/svg+xml":
        assert answer.text.startswith("<svg")
    if kind == "text/calendar":
        (event,) = icalendar.Calendar.from_ical(answer.text).walk("VEVENT")
        assert (event["UID"], event["DTSTART"].params["TZID"]) == (door.booking_id, "Asia/Seoul")
        assert event["DTSTART"].dt == door.sale.starts_at


async def test_a_booking_says_where_the_house_is_and_so_does_its_entry_of_a_calendar(door: Door) -> None:
    http, url = door.worker.http, f"/v1/bookings/{door.booking_id}"
    schedule = await read(http, f"/v1/schedules/{door.sale.schedule_id}", {})
    said = {"city": "Seoul", "address": "175 Sejong-daero, Jongno-gu"}
    changed = await http.patch(f"/v1/venues/{schedule['venue_id']}", json=said, headers=door.sale.organizer)
    assert changed.status_code == 200, changed.text
    await until(lambda: _says(door, url, said["address"]))
    calendar = await http.get(f"{url}/ticket", headers=door.customer | {"Accept": "text/calendar"})
    (event,) = icalendar.Calendar.from_ical(calendar.text).walk("VEVENT")
    assert event["LOCATION"] == f"{schedule['venue_name']}, Seoul 175 Sejong-daero, Jongno-gu"


async def _says(door: Door, url: str, address: str) -> bool:
    told = (await read(door.worker.http, url, door.customer))["schedule"]
    return (told["venue_city"], told["venue_address"]) == ("Seoul", address)


async def test_who_comes_apart_shows_a_picture_of_a_place_s_own_code(door: Door) -> None:
    url = f"/v1/bookings/{door.booking_id}/ticket"
    codes = [seat["code"] for seat in (await door.worker.http.get(url, headers=door.customer)).json()["seats"]]
    picture = door.customer | {"Accept": "image/svg+xml"}
    for place, code in enumerate(codes, 1):
        answer = await door.worker.http.get(f"{url}?place={place}", headers=picture)
        assert answer.content == qr.svg(code), place
    for place in (0, len(codes) + 1, "x"):
        problem(await door.worker.http.get(f"{url}?place={place}", headers=picture), 422, "validation_failed")


async def test_only_a_paid_booking_of_one_s_own_has_a_ticket(door: Door) -> None:
    http = door.worker.http
    held = await hold(http, door.sale, door.customer, *door.sale.fresh())
    url = f"/v1/bookings/{held['id']}/ticket"
    problem(await http.get(url, headers=door.customer), 409, "booking_not_confirmed")
    problem(await http.get(url, headers=await door.worker.sign_up()), 404, "booking_not_found")
