"""Tickets at the door: what was made here is read, nothing else, and what is no longer worth anything is told so."""

from __future__ import annotations

import base64
from uuid import uuid4

import httpx
import pytest

from actors.mail.tickets import CODE_CHARACTERS, BadTicket, Ticket, read_ticket, ticket_code, ticket_key
from engine.commands import ApprovePayment, CancelSchedule, Refund, RequestPayment
from engine.refusals import Refusal
from tests.api.conftest import Worker
from tests.support.sale import Sale, hold, open_sale, problem

SECRET = "a secret of at least 32 characters"
KEY = ticket_key(SECRET)
TICKET = Ticket(
    booking_id="01980000-0000-7000-8000-00000000000b", schedule_id="01980000-0000-7000-8000-00000000000a", places=2
)


# --- the code ---------------------------------------------------------------------------------------------------------
def test_code_says_what_was_put_into_it() -> None:
    code = ticket_code(KEY, TICKET)
    assert len(code) == CODE_CHARACTERS
    assert read_ticket([KEY], code) == TICKET


def test_former_secret_s_tickets_are_still_read_and_another_s_are_not() -> None:
    code = ticket_code(KEY, TICKET)
    assert read_ticket([ticket_key("a new one"), KEY], code) == TICKET
    with pytest.raises(BadTicket):
        read_ticket([ticket_key("a new one")], code)


def test_code_with_any_bit_changed_is_refused() -> None:
    content = base64.urlsafe_b64decode(ticket_code(KEY, TICKET))
    for number in range(len(content) * 8):
        changed = bytearray(content)
        changed[number // 8] ^= 1 << number % 8
        with pytest.raises(BadTicket):
            read_ticket([KEY], base64.urlsafe_b64encode(changed).decode())


@pytest.mark.parametrize("code", ["", "A", *(letter * CODE_CHARACTERS for letter in "A가!-"), "A" * 400])
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
        return ticket_code(ticket_key(self.worker.house.settings.secret), ticket)

    async def check(self, code: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.worker.http.get(
            f"/v1/organizer/tickets/{code}", headers=self.sale.organizer if headers is None else headers
        )

    async def done(self, command: object) -> None:
        gateway = self.worker.house.gateway
        request_id = self.worker.house.clock.new_id()
        answer = await gateway.send(self.sale.schedule_id, command, request_id=request_id)  # type: ignore[arg-type]
        assert not isinstance(answer, Refusal), answer

    async def refund(self, *seats: str) -> None:
        await self.done(Refund(self.booking_id, "", self.worker.house.clock.new_id(), self.payment_id, seats))


@pytest.fixture
async def door(worker: Worker) -> Door:
    sale = await open_sale(worker.http)
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, *sale.fresh(2))
    payment_id = worker.house.clock.new_id()
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
