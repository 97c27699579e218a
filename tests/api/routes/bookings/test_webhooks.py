"""Webhooks against a real provider and journal: told twice, late, out of order or by a liar, no harm is done."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.process.settings import Settings
from api.sandbox.server import create_sandbox
from engine.booking import Booking
from engine.commands import Cancel, DeclinePayment, HoldSeats, RequestPayment
from persistence.bookings import refunds
from persistence.bookings.bookings import find_booking
from persistence.bookings.payments import find_payment
from persistence.bookings.refunds import RefundRow
from persistence.journal import history
from persistence.providers.provider import Approved, ChargeRequest, Declined
from persistence.providers.sandbox import SIGNATURE_HEADER, SIGNATURE_TOLERANCE_SECONDS, SandboxProvider, sign
from persistence.providers.sandbox import webhook_key as key_of
from tests.api.conftest import OpenLocal, Worker, local_settings
from tests.support.sale import Sale, open_sale, problem, small_plan
from tests.support.services.databases import Databases
from tests.support.services.serving import serve

SECRET = "a secret of at least 32 characters"
FORMER_SECRET = "the secret that was used until yesterday"
HOUR_MS = 3_600_000
VIP = 150_000
MESSAGES = itertools.count(1)


def shared(secret: str) -> str:
    """What the sandbox and the system have in common, of an installation with this secret."""
    return Settings(secret=secret).sandbox_secrets[0]


@pytest.fixture(scope="module")
async def worker(
    databases: Databases,
    redis_url: str,
    open_local: OpenLocal,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Worker]:
    """A worker whose provider is a sandbox that sends no webhooks itself: the tests do."""
    ledger: Path = tmp_path_factory.mktemp("sandbox") / "sandbox.sqlite3"
    async with (
        databases.lent() as url,
        serve(create_sandbox(shared(SECRET), ledger, "http://127.0.0.1:9/nowhere")) as sandbox_url,
    ):
        settings = replace(
            local_settings(url, redis_url),
            sandbox_url=sandbox_url,
            secret=SECRET,
            previous_secret=FORMER_SECRET,
        )
        async with open_local(settings) as opened:
            yield opened


@pytest.fixture(scope="module")
async def sale(worker: Worker) -> Sale:
    return await open_sale(worker.http, plan=small_plan(rows=10, seats_per_row=20))


class Purchase:
    """A booking with a payment, and what the provider, the journal and the tables say of it."""

    def __init__(self, worker: Worker, sale: Sale) -> None:
        self._office = worker.office
        self._http = worker.http
        self.schedule_id = sale.schedule_id
        self.seat = sale.fresh()[0]
        self.booking_id, self.payment_id, self.customer = (self._office.clock.new_id() for _ in range(3))

    async def send(self, command: Any) -> Booking:
        answer = await self._office.gateway.send(self.schedule_id, command, request_id=self._office.clock.new_id())
        assert isinstance(answer, Booking), answer
        return answer

    async def request(self) -> None:
        """A payment that is journaled, and no more."""
        await self.send(HoldSeats(self.booking_id, self.customer, (self.seat,)))
        await self.send(RequestPayment(self.booking_id, self.customer, self.payment_id, "sandbox"))

    async def charge(self, token: str = "tok_approve") -> Approved | Declined:
        """What the provider does, of which nobody hears: the worker that asked for it is dead."""
        charge = ChargeRequest(
            payment_id=self.payment_id,
            booking_id=self.booking_id,
            amount=VIP,
            currency="KRW",
            token=token,
            valid_until_ms=self._office.clock.now_ms() + HOUR_MS,
        )
        outcome = await self._office.providers["sandbox"].charge(charge)
        assert isinstance(outcome, Approved | Declined)
        return outcome

    async def give_up(self) -> None:
        await self.send(DeclinePayment(self.booking_id, self.payment_id, "not_charged"))

    def message(self, type_: str = "payment.approved", **changes: Any) -> dict[str, Any]:
        """A message of the provider's about the payment."""
        data = {"id": self.payment_id, "booking_id": self.booking_id, "status": type_.partition(".")[2]}
        return {"id": f"whk_{next(MESSAGES)}", "type": type_, "created_ms": 1, "data": data} | changes

    async def tell(self, message: dict[str, Any]) -> httpx.Response:
        return await post(self._http, message)

    async def standing(self) -> tuple[str, str]:
        """The states of booking and payment."""
        payment = await find_payment(self._office.database, self.payment_id, None)
        booking = await find_booking(self._office.database, self.booking_id, None)
        assert payment is not None
        assert booking is not None
        return booking.status.name.lower(), payment.payment.status.name.lower()

    async def refunds(self) -> list[RefundRow]:
        return await refunds.list_refunds(self._office.database, payment_id=self.payment_id, limit=100)

    async def journal(self) -> list[tuple[str, str]]:
        """What happened to the booking after its payment was requested, and by which request."""
        what: Any = (self._office.database, self.schedule_id)
        records = await history.read_journal(*what, from_version=1, booking_id=self.booking_id, limit=100)
        assert records is not None
        return [(record.event.type_name, record.request_id) for record in records[2:]]


def signed(body: bytes, *, secret: str = SECRET, age_seconds: int = 0) -> dict[str, str]:
    return {SIGNATURE_HEADER: sign(key_of(shared(secret)), body, int(time.time()) - age_seconds)}


async def post(http: httpx.AsyncClient, message: Any) -> httpx.Response:
    body = json.dumps(message).encode()
    return await http.post("/v1/webhooks/sandbox", content=body, headers=signed(body))


@pytest.fixture
async def purchase(worker: Worker, sale: Sale) -> Purchase:
    """A payment in doubt."""
    made = Purchase(worker, sale)
    await made.request()
    return made


# --- effects ----------------------------------------------------------------------------------------------------------
async def test_message_s_id_is_journaled_with_its_effect(purchase: Purchase) -> None:
    await purchase.charge()
    message = purchase.message()
    answer = await purchase.tell(message)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert await purchase.standing() == ("confirmed", "approved")
    request_id = f"sandbox:{message['id']}"
    assert await purchase.journal() == [("payment.approved", request_id), ("reservation.confirmed", request_id)]


async def test_declined_payment_is_settled_as_such_and_can_be_tried_again(purchase: Purchase) -> None:
    await purchase.charge("tok_decline_lost_card")
    message = purchase.message("payment.declined")
    assert (await purchase.tell(message)).status_code == 200
    assert await purchase.standing() == ("held", "declined")
    assert await purchase.journal() == [("payment.declined", f"sandbox:{message['id']}")]
    purchase.payment_id = "0199f3a0-0000-7000-8000-00000000aaaa"
    await purchase.send(RequestPayment(purchase.booking_id, purchase.customer, purchase.payment_id, "sandbox"))


async def test_replay_changes_nothing(purchase: Purchase) -> None:
    await purchase.charge()
    message = purchase.message()
    await purchase.tell(message)
    before = await purchase.journal()
    for _ in range(3):
        assert (await purchase.tell(message)).status_code == 200
    assert await purchase.journal() == before


async def test_same_message_many_times_at_once_takes_effect_once_and_is_received_in_the_end(
    purchase: Purchase,
) -> None:
    await purchase.charge()
    message = purchase.message()

    async def delivered() -> None:
        """As a provider does it: again, until it was received."""
        for _ in range(50):
            answer = await purchase.tell(message)
            if answer.status_code == 200:
                return
            problem(answer, 503, "overloaded")
            assert int(answer.headers["Retry-After"]) >= 1
        raise AssertionError("never received")

    await asyncio.gather(*(delivered() for _ in range(8)))
    assert [type_ for type_, _ in await purchase.journal()] == ["payment.approved", "reservation.confirmed"]


async def test_order_of_messages_does_not_matter(purchase: Purchase) -> None:
    await purchase.charge()
    first = purchase.message("payment.approved")
    assert (await purchase.tell(first)).status_code == 200
    before = await purchase.journal()
    for type_ in ("payment.created", "payment.declined", "payment.approved", "payment.created"):
        assert (await purchase.tell(purchase.message(type_))).status_code == 200
    assert await purchase.journal() == before
    assert await purchase.standing() == ("confirmed", "approved")


async def test_what_counts_is_the_provider_s_books_and_not_the_message(worker: Worker, sale: Sale) -> None:
    for token, claimed, standing in (
        ("tok_approve", "payment.declined", ("confirmed", "approved")),
        ("tok_decline_lost_card", "payment.approved", ("held", "declined")),
    ):
        purchase = Purchase(worker, sale)
        await purchase.request()
        await purchase.charge(token)
        assert (await purchase.tell(purchase.message(claimed))).status_code == 200
        assert await purchase.standing() == standing


async def test_message_that_outruns_the_provider_s_books_is_asked_for_again(purchase: Purchase) -> None:
    message = purchase.message()
    answer = await purchase.tell(message)
    problem(answer, 503, "dependency_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert await purchase.standing() == ("held", "requested")
    await purchase.charge()
    assert (await purchase.tell(message)).status_code == 200
    assert await purchase.standing() == ("confirmed", "approved")


async def test_message_while_the_provider_cannot_be_asked_is_asked_for_again(
    purchase: Purchase, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await purchase.charge()
    unreachable = SandboxProvider("http://127.0.0.1:9", shared(SECRET), worker.office.clock.now_ms)
    message = purchase.message()
    with monkeypatch.context() as patch:
        patch.setitem(worker.office.providers, "sandbox", unreachable)  # type: ignore[misc]  # a mapping that is not to be changed otherwise
        problem(await purchase.tell(message), 503, "dependency_unavailable")
    await unreachable.close()
    assert await purchase.standing() == ("held", "requested")
    assert (await purchase.tell(message)).status_code == 200
    assert await purchase.standing() == ("confirmed", "approved")


async def test_messages_that_mean_nothing_to_us_are_received_and_change_nothing(purchase: Purchase) -> None:
    await purchase.charge()
    nowhere = "0199f3a0-0000-7000-8000-000000000000"
    for message in (
        purchase.message("balance.changed"),
        purchase.message("account.updated", data={}),
        purchase.message(data={"id": nowhere}),
        purchase.message(data={"id": "'; DROP TABLE payments"}),
        purchase.message(data={"id": None}),
        purchase.message(data={"id": [purchase.payment_id]}),
        purchase.message(data={}),
        purchase.message(data=[]),
        {"type": "payment.approved"},
        [],
        "payment.approved",
    ):
        assert (await purchase.tell(message)).status_code == 200, message
    assert await purchase.journal() == []


async def test_body_that_is_no_json_is_received_if_it_is_signed(purchase: Purchase, worker: Worker) -> None:
    for body in (b"", b"\x00\xff", b"{", b'{"id": "whk", "type": 1}'):
        answer = await worker.http.post("/v1/webhooks/sandbox", content=body, headers=signed(body))
        assert answer.status_code == 200, body
    assert await purchase.journal() == []


# --- money that comes too late ----------------------------------------------------------------------------------------
async def test_late_approval_of_a_payment_given_up_is_given_back_once(purchase: Purchase) -> None:
    await purchase.give_up()
    paid = await purchase.charge()
    assert isinstance(paid, Approved)
    message = purchase.message()
    messages = [message, message, purchase.message(), purchase.message("payment.created")]
    for answer in await asyncio.gather(*(purchase.tell(each) for each in messages)):
        assert answer.status_code == 200
    for each in messages:
        assert (await purchase.tell(each)).status_code == 200
    assert await purchase.standing() == ("held", "refunded")
    (owed,) = await purchase.refunds()
    assert (owed.amount, owed.fee, owed.by, owed.seats) == (VIP, 0, "system", ())
    assert [type_ for type_, _ in await purchase.journal()] == ["payment.declined", "payment.late"]


async def test_late_approval_for_a_booking_that_is_gone_is_given_back_and_brings_no_seat(purchase: Purchase) -> None:
    await purchase.give_up()
    await purchase.send(Cancel(purchase.booking_id, "0199f3a0-0000-7000-8000-00000000bbbb", purchase.customer))
    await purchase.charge()
    assert (await purchase.tell(purchase.message())).status_code == 200
    assert await purchase.standing() == ("cancelled", "refunded")
    assert [owed.amount for owed in await purchase.refunds()] == [VIP]


async def test_late_approval_of_an_earlier_attempt_is_given_back_and_the_later_one_keeps_its_seat(
    purchase: Purchase,
) -> None:
    await purchase.give_up()
    earlier, purchase.payment_id = purchase.payment_id, "0199f3a0-0000-7000-8000-00000000cccc"
    await purchase.send(RequestPayment(purchase.booking_id, purchase.customer, purchase.payment_id, "sandbox"))
    await purchase.charge()
    assert (await purchase.tell(purchase.message())).status_code == 200
    later, purchase.payment_id = purchase.payment_id, earlier
    await purchase.charge()
    assert (await purchase.tell(purchase.message())).status_code == 200
    assert await purchase.standing() == ("confirmed", "refunded")
    assert [owed.amount for owed in await purchase.refunds()] == [VIP]
    purchase.payment_id = later
    assert await purchase.standing() == ("confirmed", "approved")
    assert await purchase.refunds() == []


async def test_late_word_of_a_decline_gives_nothing_back(purchase: Purchase) -> None:
    await purchase.give_up()
    await purchase.charge("tok_decline_lost_card")
    assert (await purchase.tell(purchase.message("payment.declined"))).status_code == 200
    assert (await purchase.tell(purchase.message("payment.approved"))).status_code == 200
    assert await purchase.standing() == ("held", "declined")
    assert await purchase.refunds() == []


# --- who may speak ----------------------------------------------------------------------------------------------------
EDGE = SIGNATURE_TOLERANCE_SECONDS - 5  # so that a slow machine does not step over it
BEYOND = SIGNATURE_TOLERANCE_SECONDS + 5


@pytest.mark.parametrize("secret", [SECRET, FORMER_SECRET])
@pytest.mark.parametrize("age_seconds", [0, EDGE, -EDGE])
async def test_either_of_two_secrets_signs_within_five_minutes(
    purchase: Purchase, worker: Worker, secret: str, age_seconds: int
) -> None:
    await purchase.charge()
    body = json.dumps(purchase.message()).encode()
    headers = signed(body, secret=secret, age_seconds=age_seconds)
    assert (await worker.http.post("/v1/webhooks/sandbox", content=body, headers=headers)).status_code == 200
    assert await purchase.standing() == ("confirmed", "approved")


async def test_one_good_signature_among_several_is_enough(purchase: Purchase, worker: Worker) -> None:
    await purchase.charge()
    body = json.dumps(purchase.message()).encode()
    good = signed(body)[SIGNATURE_HEADER]
    at, _, v1 = good.partition(",")
    headers = {SIGNATURE_HEADER: f"{at},v1={'0' * 64},{v1}"}
    assert (await worker.http.post("/v1/webhooks/sandbox", content=body, headers=headers)).status_code == 200
    assert await purchase.standing() == ("confirmed", "approved")


@pytest.mark.parametrize(
    "headers",
    [
        lambda body: {},
        lambda body: {SIGNATURE_HEADER: "nonsense"},
        lambda body: signed(body, secret="a secret that never was one of ours"),
        lambda body: signed(body, age_seconds=BEYOND),
        lambda body: signed(body, age_seconds=-BEYOND),
        lambda body: signed(body + b" "),
        lambda body: {SIGNATURE_HEADER: signed(body)[SIGNATURE_HEADER].partition(",v1")[0]},
        lambda body: {SIGNATURE_HEADER: "t=1," + signed(body)[SIGNATURE_HEADER]},
    ],
    ids=["none", "malformed", "other key", "too old", "too early", "other body", "time alone", "two times"],
)
async def test_message_that_is_not_signed_by_the_provider_now_is_refused(
    purchase: Purchase, worker: Worker, headers: Any
) -> None:
    await purchase.charge()
    body = json.dumps(purchase.message()).encode()
    answer = await worker.http.post("/v1/webhooks/sandbox", content=body, headers=headers(body))
    problem(answer, 400, "bad_signature")
    assert await purchase.standing() == ("held", "requested")
    assert await purchase.journal() == []


async def test_unknown_provider_is_not_found(worker: Worker) -> None:
    problem(await worker.http.post("/v1/webhooks/nobody", content=b"{}"), 404, "provider_not_found")
