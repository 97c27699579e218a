"""A card whose customer has to confirm with their bank (3-D Secure): HTTP, with a Stripe that remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import pytest

from persistence.providers.provider import Provider
from persistence.providers.stripe_payments import StripeProvider
from tests.api.conftest import Worker
from tests.support.money.fake_stripe import KEY, FakeStripe
from tests.support.sale import Sale, hold, open_sale, pay, problem, read
from tests.support.services.serving import serve
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
async def stripe(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeStripe]:
    """Who is charged."""
    fake = FakeStripe()
    async with serve(fake.app) as url:
        now_ms = worker.office.clock.now_ms
        provider = StripeProvider(KEY, ["whsec"], now_ms, url=url, timeout_seconds=PATIENCE_SECONDS)
        providers = cast(dict[str, Provider], worker.office.providers)
        for name in list(providers):
            monkeypatch.delitem(providers, name)
        monkeypatch.setitem(providers, provider.name, cast(Provider, provider))
        yield fake
        await provider.close()


@pytest.fixture
async def sale(worker: Worker) -> Sale:
    return await open_sale(worker.http)


async def test_who_has_confirmed_pays_and_is_charged_once(worker: Worker, sale: Sale, stripe: FakeStripe) -> None:
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    refused = problem(await pay(worker.http, booking, customer, "pm_requires_action"), 402, "payment_declined")
    assert refused["reason"] == "authentication_required"
    [intent] = stripe.intents.values()
    assert refused["confirmation"] == {"client_secret": intent["client_secret"], "token": intent["id"]}
    held = await read(worker.http, f"/v1/bookings/{booking['id']}", customer)
    assert (held["status"], held["expires_at"]) == ("held", booking["expires_at"]), "nobody waits without end"
    stripe.ask_customer(intent["id"])
    paying = customer | {"Idempotency-Key": uuid4().hex}
    paid = [await pay(worker.http, booking, paying, refused["confirmation"]["token"]) for _ in range(2)]
    assert [answer.status_code for answer in paid] == [201, 201]
    assert paid[0].json()["id"] == paid[1].json()["id"] != refused["payment_id"]
    assert paid[0].json()["booking"]["status"] == "confirmed"
    assert len(stripe.charges) == 1
    payments = await read(worker.http, f"/v1/payments?booking_id={booking['id']}", customer)
    told = [(each["status"], each["reason"]) for each in payments["items"]]
    assert told == [("approved", None), ("declined", "authentication_required")]
    assert intent["client_secret"] not in str(payments)


async def test_who_has_not_confirmed_keeps_the_seats_and_pays_otherwise(
    worker: Worker, sale: Sale, stripe: FakeStripe
) -> None:
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-2")
    first = problem(await pay(worker.http, booking, customer, "pm_requires_action"), 402, "payment_declined")
    token = first["confirmation"]["token"]
    again = problem(await pay(worker.http, booking, customer, token), 402, "payment_declined")
    assert again["confirmation"] == first["confirmation"]
    stripe.ask_customer(token, confirms=False)
    failed = problem(await pay(worker.http, booking, customer, token), 402, "payment_declined")
    assert failed["reason"] == "payment_intent_authentication_failure"
    assert "confirmation" not in failed
    assert (await pay(worker.http, booking, customer, "pm_ok")).status_code == 201


async def test_what_was_confirmed_pays_for_no_other_booking_and_for_nothing_that_was_changed(
    worker: Worker, sale: Sale, stripe: FakeStripe
) -> None:
    customer, other = await worker.sign_up(), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "B-1", "B-2")
    elsewhere = await hold(worker.http, sale, other, "B-3", "B-4")
    first = problem(await pay(worker.http, booking, customer, "pm_requires_action"), 402, "payment_declined")
    token = first["confirmation"]["token"]
    stripe.ask_customer(token)

    async def refused(of: dict[str, Any], by: dict[str, str]) -> None:
        told = problem(await pay(worker.http, of, by, token), 402, "payment_declined")
        assert told["reason"] == "invalid_token"

    await refused(elsewhere, other)
    problem(await pay(worker.http, booking, other, token), 404, "booking_not_found")
    fewer = await worker.http.patch(f"/v1/bookings/{booking['id']}", json={"seats": ["B-1"]}, headers=customer)
    assert fewer.status_code == 200, fewer.text
    await refused(booking, customer)
    assert stripe.charges == {}


async def test_who_comes_back_too_late_is_not_charged(worker: Worker, sale: Sale, stripe: FakeStripe) -> None:
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "C-1")
    first = problem(await pay(worker.http, booking, customer, "pm_requires_action"), 402, "payment_declined")
    token = first["confirmation"]["token"]
    stripe.ask_customer(token)
    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).status_code == 201
    problem(await pay(worker.http, booking, customer, token), 409, "booking_already_cancelled")
    assert stripe.charges == {}
