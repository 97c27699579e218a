"""Money that comes for a payment given up, and what the provider is asked then: HTTP, with a provider made up here."""

from __future__ import annotations

from typing import Any, cast
from uuid import uuid4

import pytest

from actors.money.settlement import give_back
from api.selling import booking_commands
from persistence.bookings.payments import find_payment
from persistence.providers.provider import (
    Approved,
    ChargeRequest,
    Declined,
    Outcome,
    Provider,
    Refunded,
    RefundOutcome,
    RefundRequest,
    Unknown,
)
from tests.api.conftest import Worker
from tests.support.sale import hold, open_sale, paid_booking, pay, problem, read, refund


class Bank:
    """A provider that answers as told, and notes what it was asked to give back."""

    name = "bank"

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.charged: list[str] = []
        self.given_back: list[RefundRequest] = []

    async def charge(self, request: ChargeRequest) -> Outcome:
        self.charged.append(request.payment_id)
        return self.outcome

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        self.given_back.append(request)
        return Refunded(f"back-{len(self.given_back)}")


@pytest.fixture
def bank(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """The provider that is charged."""
    provider = Bank(Approved("taken"))
    providers = cast(dict[str, Provider], worker.office.providers)
    for name in list(providers):
        monkeypatch.delitem(providers, name)
    monkeypatch.setitem(providers, provider.name, cast(Provider, provider))
    return provider


@pytest.mark.parametrize("known", [True, False])
async def test_a_payment_sent_again_goes_to_the_provider_it_was_asked_of_whoever_takes_new_ones(
    worker: Worker, bank: Bank, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    headers = customer | {"Idempotency-Key": uuid4().hex}
    bank.outcome = Unknown("the answer was lost")  # it has the money
    first = (await pay(worker.http, booking, headers)).json()
    assert first["status"] == "pending"
    providers = cast(dict[str, Provider], worker.office.providers)
    other = Bank(Approved("taken again"))
    monkeypatch.delitem(providers, bank.name)
    monkeypatch.setitem(providers, "other", cast(Provider, other))
    if known:
        monkeypatch.setitem(providers, bank.name, cast(Provider, bank))
        bank.outcome = Approved("taken")
    again = (await pay(worker.http, booking, headers)).json()
    assert (again["id"], again["status"]) == (first["id"], "approved" if known else "pending")
    assert other.charged == [], "the money would be taken twice"
    assert bank.charged == [first["id"]] * (2 if known else 1)


async def test_a_payment_sent_again_has_its_first_answer_whatever_has_become_of_the_booking(
    worker: Worker, bank: Bank
) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1", "A-2")
    headers = customer | {"Idempotency-Key": uuid4().hex}
    first = await pay(worker.http, booking, headers)
    assert (first.status_code, first.json()["status"]) == (201, "approved")

    async def is_the_same() -> None:
        again = await pay(worker.http, booking, headers)
        assert (again.status_code, again.content, again.headers["Location"]) == (
            201,
            first.content,
            first.headers["Location"],
        )

    await is_the_same()
    url = f"/v1/bookings/{booking['id']}"
    exchanged = await worker.http.patch(url, json={"seats": ["A-1", "A-3"]}, headers=customer)
    assert exchanged.status_code == 200, exchanged.text
    await is_the_same()
    assert (await refund(worker.http, first.json(), customer, "A-3")).status_code == 201
    await is_the_same()
    assert (await refund(worker.http, first.json(), customer)).status_code == 201
    await is_the_same()
    await worker.office.gateway.retire(sale.schedule_id)
    booking_commands._known.clear()  # nothing is remembered but what the journal has
    await is_the_same()
    payment = await read(worker.http, f"/v1/payments/{first.json()['id']}", customer)
    assert payment["status"] == "refunded"
    assert bank.charged == [payment["id"]]


async def test_a_declined_payment_sent_again_is_declined_in_the_same_words(worker: Worker, bank: Bank) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    headers = customer | {"Idempotency-Key": uuid4().hex}
    bank.outcome = Declined("lost_card")
    first = problem(await pay(worker.http, booking, headers), 402, "payment_declined")
    bank.outcome = Approved("taken")
    paid = await pay(worker.http, booking, customer)
    assert paid.status_code == 201, paid.text
    again = problem(await pay(worker.http, booking, headers), 402, "payment_declined")
    assert again | {"request_id": ""} == first | {"request_id": ""}


async def test_money_that_came_for_a_declined_payment_is_on_its_way_back(worker: Worker, bank: Bank) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    headers = customer | {"Idempotency-Key": uuid4().hex}
    bank.outcome = Declined("not_charged")
    declined = problem(await pay(worker.http, booking, headers), 402, "payment_declined")
    row = await find_payment(worker.office.database, declined["payment_id"], None)
    assert row is not None
    await give_back(worker.office.gateway, row, "taken-after-all")

    payment: dict[str, Any] = await read(worker.http, f"/v1/payments/{declined['payment_id']}", customer)
    assert (payment["status"], payment["refunded"], payment["reference"]) == ("refunded", 150_000, "taken-after-all")
    (owed,) = (await read(worker.http, f"/v1/payments/{payment['id']}/refunds", customer))["items"]
    assert (owed["status"], owed["amount"], owed["seats"], owed["by"]) == ("pending", 150_000, [], "system")
    now = await read(worker.http, f"/v1/bookings/{booking['id']}", customer)
    assert (now["status"], now["refunds"]) == ("held", [owed])
    # To whoever asks again the payment stays declined, and is not given back twice.
    again = problem(await pay(worker.http, booking, headers), 402, "payment_declined")
    assert again["payment_id"] == declined["payment_id"]
    problem(await refund(worker.http, payment, customer), 409, "already_refunded")
    quote = await worker.http.get(f"/v1/payments/{payment['id']}/refund_quote", headers=customer)
    problem(quote, 409, "already_refunded")
    # A second attempt pays for the seat, and is refunded by itself.
    bank.outcome = Approved("taken")
    paid = (await pay(worker.http, booking, customer)).json()
    assert (paid["status"], paid["refunded"], paid["booking"]["refunds"]) == ("approved", 0, [owed])
    made = (await refund(worker.http, paid, customer)).json()
    assert (made["amount"], made["booking"]["payment"]["refunded"]) == (150_000, 150_000)
    assert [each["payment_id"] for each in made["booking"]["refunds"]] == [payment["id"], paid["id"]]


async def test_refund_is_asked_of_the_provider_that_took_the_money_by_its_reference(worker: Worker, bank: Bank) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    _, payment = await paid_booking(worker.http, sale, customer, "A-1", "A-2")
    made = (await refund(worker.http, payment, customer, "A-2", reason="a cold")).json()
    (asked,) = bank.given_back
    assert (asked.refund_id, asked.amount, asked.reason) == (made["id"], 150_000, "a cold")
    assert (asked.payment.payment_id, asked.payment.reference) == (payment["id"], "taken")
    assert (asked.payment.amount, asked.payment.currency) == (300_000, "KRW")
    assert made["reference"] == "back-1"


async def test_completed_refund_is_not_asked_for_again(worker: Worker, bank: Bank) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    _, payment = await paid_booking(worker.http, sale, customer, "A-1")
    headers = customer | {"Idempotency-Key": uuid4().hex}
    made = [(await refund(worker.http, payment, headers)).json() for _ in range(3)]
    assert made[0]["status"] == "completed"
    assert made == [made[0]] * 3
    assert len(bank.given_back) == 1


async def test_refund_waits_where_its_provider_is_not_configured_any_more(
    worker: Worker, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking, payment = await paid_booking(worker.http, sale, customer, "A-1")
    monkeypatch.delitem(cast(dict[str, Provider], worker.office.providers), bank.name)
    answer = await refund(worker.http, payment, customer)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending"), answer.text
    assert (await read(worker.http, f"/v1/bookings/{booking['id']}", customer))["status"] == "refunded"
