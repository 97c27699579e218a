"""Stripe through its SDK: against Stripe's own mock for the form of the requests, and a fake one that remembers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import stripe

from persistence.providers.provider import (
    NEVER_CHARGED_AFTER_MS,
    Approved,
    BadSignature,
    ChargeRequest,
    Declined,
    PaymentRef,
    ProviderUnavailable,
    Refunded,
    RefundRequest,
    Refused,
    Unknown,
    WebhookEvent,
)
from persistence.providers.stripe_messages import from_stripe, to_stripe
from persistence.providers.stripe_payments import StripeProvider
from tests.persistence.providers import charges
from tests.persistence.providers.charges import CLOCK, books, ref
from tests.persistence.providers.with_stripe.conftest import SECRETS
from tests.support.money.fake_stripe import KEY, FakeStripe
from tests.support.money.stripe_mock import CannotBeHad, stripe_mock
from tests.support.services.serving import impatient, serve
from tests.support.waiting import PATIENCE_SECONDS, until

INTENTS = "v1/payment_intents"
REFUNDS = "v1/refunds"


def charge_of(token: str = "pm_ok", **changes: object) -> ChargeRequest:
    return charges.charge_of(token, **changes)


async def paid(provider: StripeProvider, **changes: object) -> PaymentRef:
    """A payment that was taken."""
    request = charge_of(**changes)  # type: ignore[arg-type]  # any field, by its name
    outcome = await provider.charge(request)
    assert isinstance(outcome, Approved)
    return ref(request, outcome.reference)


def refund_of(payment: PaymentRef, amount: int) -> RefundRequest:
    return RefundRequest(refund_id=CLOCK.new_id(), payment=payment, amount=amount)


# --- charging ---------------------------------------------------------------------------------------------------------
async def test_charge_says_what_it_is_for_and_is_found_again(fake: FakeStripe, provider: StripeProvider) -> None:
    request = charge_of()
    outcome = await provider.charge(request)
    assert isinstance(outcome, Approved)
    intent = fake.intents[outcome.reference]
    assert (intent["amount"], intent["currency"]) == (55_000, "krw")
    assert intent["metadata"] == {"payment_id": request.payment_id, "booking_id": request.booking_id}
    assert await provider.look_up(ref(request)) == outcome
    assert await provider.look_up(ref(request, outcome.reference)) == outcome


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("pm_declined", "insufficient_funds"),
        ("pm_expired", "expired_card"),
        ("pm_authentication", "authentication_required"),
    ],
)
async def test_card_that_refuses_is_a_decline(provider: StripeProvider, token: str, reason: str) -> None:
    request = charge_of(token)
    assert await provider.charge(request) == Declined(reason)
    assert await provider.charge(request) == Declined(reason)
    assert await provider.look_up(ref(request)) == Declined(reason)


@pytest.mark.parametrize(("token", "reason"), [("pm_nobody", "resource_missing"), ("pm_misused", "invalid_token")])
async def test_token_that_stripe_cannot_use_is_a_decline(provider: StripeProvider, token: str, reason: str) -> None:
    assert await provider.charge(charge_of(token)) == Declined(reason)


@pytest.mark.parametrize("token", ["pm_trouble", "pm_other_mistake", "pm_processing"])
async def test_anything_else_decides_nothing(provider: StripeProvider, token: str) -> None:
    assert isinstance(await provider.charge(charge_of(token)), Unknown)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (502, b"<html>bad gateway</html>"),
        (429, b'{"error": {"type": "invalid_request_error", "code": "rate_limit"}}'),
        (409, b'{"error": {"type": "invalid_request_error", "code": "lock_timeout"}}'),
        (403, b'{"error": {"type": "invalid_request_error"}}'),
        (404, b"no such page"),
        (200, b"not json"),
        (200, b"{}"),
        (200, b'{"object": "payment_intent", "id": "pi_1", "status": "succeeded"}'),
        (200, b'{"object": "list", "data": [{"object": "payment_intent", "id": 7}]}'),
    ],
)
async def test_senseless_answer_decides_nothing(
    fake: FakeStripe, provider: StripeProvider, status: int, body: bytes
) -> None:
    fake.broken = dict.fromkeys((INTENTS, REFUNDS, f"{INTENTS}/pi_1"), (status, body))
    request = charge_of()
    assert isinstance(await provider.charge(request), Unknown)
    assert isinstance(await provider.look_up(ref(request, "pi_1")), Unknown)


async def test_silence_is_unknown_and_the_look_up_tells_that_it_was_charged(
    fake: FakeStripe, provider: StripeProvider
) -> None:
    request = charge_of()
    fake.silent.add(INTENTS)
    with impatient(provider):
        assert isinstance(await provider.charge(request), Unknown)
        assert isinstance(await provider.look_up(ref(request)), Unknown)
    await until(lambda: bool(fake.intents))
    fake.silent.clear()
    [reference] = fake.intents
    assert await provider.look_up(ref(request)) == Approved(reference)
    assert await provider.charge(request) == Approved(reference)
    assert len(fake.intents) == 1


async def test_unreachable_stripe_is_unknown_never_a_decline() -> None:
    provider = StripeProvider(KEY, SECRETS, CLOCK.now_ms, url="http://127.0.0.1:9")
    request = charge_of()
    assert isinstance(await provider.charge(request), Unknown)
    assert isinstance(await provider.look_up(ref(request)), Unknown)
    assert isinstance(await provider.refund(refund_of(ref(request, "pi_1"), 1)), Unknown)
    with pytest.raises(ProviderUnavailable):
        await books(provider)
    await provider.close()


async def test_wrong_key_decides_nothing(fake: FakeStripe) -> None:
    async with serve(fake.app) as url:
        stranger = StripeProvider("sk_another", SECRETS, CLOCK.now_ms, url=url)
        assert isinstance(await stranger.charge(charge_of()), Unknown)
        assert isinstance(await stranger.look_up(ref(charge_of())), Unknown)
        await stranger.close()


async def test_many_charges_of_one_payment_take_the_money_once(fake: FakeStripe, provider: StripeProvider) -> None:
    request = charge_of()
    assert len(set(await asyncio.gather(*(provider.charge(request) for _ in range(8))))) == 1
    assert len(fake.intents) == 1
    other_token = msgspec.structs.replace(request, token="pm_declined")
    assert isinstance(await provider.charge(other_token), Unknown), "another token may not decide over the first one"


async def test_charge_past_its_time_is_not_sent(fake: FakeStripe, provider: StripeProvider) -> None:
    assert isinstance(await provider.charge(charge_of(valid_until_ms=CLOCK.now_ms() - 1)), Unknown)
    assert fake.calls == []


# --- looking up -------------------------------------------------------------------------------------------------------
async def test_payment_is_found_among_those_of_its_time(fake: FakeStripe, provider: StripeProvider) -> None:
    fake.page_size = 3
    payments = [await paid(provider) for _ in range(8)]
    for payment in payments:
        found = await provider.look_up(msgspec.structs.replace(payment, reference=""))
        assert found == Approved(payment.reference)
    assert await provider.look_up(ref(charge_of())) is None


async def test_every_charge_that_can_be_ours_is_searched(fake: FakeStripe, provider: StripeProvider) -> None:
    request = charge_of()
    requested_s = CLOCK.now_ms() // 1000
    form = {"amount": "55000", "currency": "krw", "metadata[payment_id]": request.payment_id}
    payment = msgspec.structs.replace(ref(request), requested_ms=requested_s * 1000)
    for created in (requested_s - 60, requested_s + NEVER_CHARGED_AFTER_MS // 1000 - 1):
        intent = fake.intent(form, "succeeded", created)
        assert await provider.look_up(payment) == Approved(intent["id"])
        fake.intents.clear()


@pytest.mark.parametrize("status", ["requires_payment_method", "requires_confirmation"])
async def test_intent_that_asked_no_card_took_nothing_so_far(
    fake: FakeStripe, provider: StripeProvider, status: str
) -> None:
    request = charge_of()
    fake.intent({"amount": "55000", "currency": "krw", "metadata[payment_id]": request.payment_id}, status)
    assert await provider.look_up(ref(request)) is None


async def test_another_amount_than_asked_settles_nothing(
    provider: StripeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    payment = await paid(provider)
    for changes in ({"amount": 1}, {"currency": "JPY"}):
        assert await provider.look_up(msgspec.structs.replace(payment, **changes)) == Unknown("another amount")
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


async def test_money_given_back_at_the_desk_is_no_payment(fake: FakeStripe, provider: StripeProvider) -> None:
    payment = await paid(provider)
    fake.refund({"payment_intent": payment.reference, "amount": "55000"})
    assert await provider.look_up(payment) == Declined("cancelled_at_provider")


# --- giving back ------------------------------------------------------------------------------------------------------
async def test_partial_refunds_add_up_to_the_whole(fake: FakeStripe, provider: StripeProvider) -> None:
    payment = await paid(provider)
    outcomes = [await provider.refund(refund_of(payment, amount)) for amount in (10_001, 44_999)]
    assert outcomes == [Refunded(each) for each in fake.refunds]
    assert await provider.refund(refund_of(payment, 1)) == Refused("charge_already_refunded")


async def test_never_more_is_given_back_than_was_taken(provider: StripeProvider) -> None:
    payment = await paid(provider)
    assert await provider.refund(refund_of(payment, 55_001)) == Refused("invalid_amount")
    unknown = msgspec.structs.replace(payment, reference="pi_nobody")
    assert await provider.refund(refund_of(unknown, 1)) == Refused("resource_missing")


async def test_repeated_refund_gives_back_once(fake: FakeStripe, provider: StripeProvider) -> None:
    payment = await paid(provider)
    refund = refund_of(payment, 10_000)
    first = await provider.refund(refund)
    assert isinstance(first, Refunded)
    assert await provider.refund(refund) == first
    fake.answered.clear()  # a day later
    fake.page_size = 1
    await provider.refund(refund_of(payment, 5_000))
    assert await provider.refund(refund) == first
    assert len(fake.refunds) == 2


async def test_lost_answer_to_a_refund_is_found_by_asking_again(fake: FakeStripe, provider: StripeProvider) -> None:
    payment = await paid(provider)
    refund = refund_of(payment, 10_000)
    fake.refund({"payment_intent": payment.reference, "amount": "10000", "metadata[refund_id]": refund.refund_id})
    assert await provider.refund(refund) == Refunded(next(iter(fake.refunds)))
    assert len(fake.refunds) == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("succeeded", Refunded),
        ("pending", Refunded),
        ("failed", Refused),
        ("canceled", Refused),
        ("requires_action", Unknown),
        (None, Unknown),
    ],
)
async def test_refund_is_what_stripe_says_of_it(
    fake: FakeStripe, provider: StripeProvider, status: str | None, expected: type
) -> None:
    fake.refund_status = status
    payment = await paid(provider)
    assert isinstance(await provider.refund(refund_of(payment, 1_000)), expected)


@pytest.mark.parametrize(("status", "body"), [(500, b""), (409, b"{}"), (200, b"not json"), (200, b"{}")])
async def test_senseless_answer_to_a_refund_is_unknown(
    fake: FakeStripe, provider: StripeProvider, status: int, body: bytes
) -> None:
    payment = await paid(provider)
    fake.broken[REFUNDS] = (status, body)
    assert isinstance(await provider.refund(refund_of(payment, 1_000)), Unknown)


# --- books ------------------------------------------------------------------------------------------------------------
async def test_books_page_through_all_that_took_money(fake: FakeStripe, provider: StripeProvider) -> None:
    fake.page_size = 2
    payments = [await paid(provider) for _ in range(5)]
    await provider.charge(charge_of("pm_declined"))
    await provider.refund(refund_of(payments[1], 10_000))
    known = {each.payment_id: each for each in await books(provider)}
    assert set(known) == {payment.payment_id for payment in payments}
    for payment in payments:
        each = known[payment.payment_id]
        assert (each.booking_id, each.reference) == (payment.booking_id, payment.reference)
        assert (each.amount, each.currency) == (55_000, "KRW")
        assert each.refunded == (10_000 if payment is payments[1] else 0)


async def test_books_tell_payments_that_are_not_of_ours(fake: FakeStripe, provider: StripeProvider) -> None:
    fake.intent({"amount": "100", "currency": "usd"}, "succeeded", 1_790_000_000)
    [known] = await books(provider, 1_790_000_000_000, 1_790_000_000_001)
    assert (known.payment_id, known.booking_id, known.amount, known.currency) == (None, None, 100, "USD")
    assert await books(provider, 1_790_000_001_000) == []
    assert await books(provider, 0, 1_790_000_000_000) == []


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (200, b"not json"), (200, b'{"object": "list", "data": [{"id": 7}]}')]
)
async def test_half_books_are_no_books(fake: FakeStripe, provider: StripeProvider, status: int, body: bytes) -> None:
    fake.broken[INTENTS] = (status, body)
    with pytest.raises(ProviderUnavailable):
        await books(provider)


# --- amounts ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("amount", "currency", "counted"),
    [
        (55_000, "KRW", 55_000),
        (1_050, "USD", 1_050),
        (500, "JPY", 500),
        (1_230, "KWD", 1_230),
        (5, "ISK", 500),
        (5, "UGX", 500),
        (300, "MGA", 3),
    ],
)
async def test_amount_is_counted_as_stripe_counts(
    fake: FakeStripe, provider: StripeProvider, amount: int, currency: str, counted: int
) -> None:
    payment = await paid(provider, amount=amount, currency=currency)
    assert fake.intents[payment.reference]["amount"] == counted
    [known] = await books(provider)
    assert (known.amount, known.currency) == (amount, currency)
    assert from_stripe(counted, currency) == amount


async def test_amount_that_stripe_has_not_is_never_sent(fake: FakeStripe, provider: StripeProvider) -> None:
    for amount, currency in ((301, "MGA"), (5_124, "KWD")):
        assert to_stripe(amount, currency) is None
        assert await provider.charge(charge_of(amount=amount, currency=currency)) == Declined("amount_not_chargeable")
    assert fake.calls == []


# --- webhooks ---------------------------------------------------------------------------------------------------------
def event(type_: str, data: dict[str, Any]) -> str:
    return json.dumps({"id": "evt_1", "object": "event", "type": type_, "data": {"object": data}})


SUCCEEDED = event("payment_intent.succeeded", {"id": "pi_1", "metadata": {"payment_id": "p", "booking_id": "b"}})


def signed(body: str, secret: str = "whsec_new", skew_seconds: int = 0) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(body, secret, int(time.time()) + skew_seconds)
    return {"stripe-signature": header}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("skew_seconds", [-290, 0, 290])
async def test_webhook_is_accepted_with_either_secret(provider: StripeProvider, secret: str, skew_seconds: int) -> None:
    told = provider.parse_webhook(signed(SUCCEEDED, secret, skew_seconds), SUCCEEDED.encode())
    assert told == WebhookEvent("evt_1", "payment_intent.succeeded", "p", "b")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, SUCCEEDED.encode()),
        ({"stripe-signature": ""}, SUCCEEDED.encode()),
        ({"stripe-signature": "nonsense"}, SUCCEEDED.encode()),
        ({"stripe-signature": "t=1,v1=é"}, SUCCEEDED.encode()),
        (signed(SUCCEEDED, "whsec_of_somebody"), SUCCEEDED.encode()),
        (signed(SUCCEEDED), SUCCEEDED.encode() + b" "),
        (signed(SUCCEEDED), b"\xff"),
    ],
)
async def test_anything_else_is_a_bad_signature(provider: StripeProvider, headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(BadSignature):
        provider.parse_webhook(headers, body)


@pytest.mark.parametrize("skew_seconds", [-310, 310])
async def test_webhook_of_another_time_is_refused(provider: StripeProvider, skew_seconds: int) -> None:
    with pytest.raises(BadSignature):
        provider.parse_webhook(signed(SUCCEEDED, skew_seconds=skew_seconds), SUCCEEDED.encode())


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "{}",
        event("customer.created", {"metadata": {"payment_id": "p"}}),
        event("payment_intent.succeeded", {"metadata": {"payment_id": 7}}),
        event("payment_intent.succeeded", {"metadata": {}}),
    ],
)
async def test_signed_webhook_of_an_unknown_kind_concerns_no_payment(provider: StripeProvider, body: str) -> None:
    told = provider.parse_webhook(signed(body), body.encode())
    assert (told.payment_id, told.booking_id) == (None, None)


# --- secrecy ----------------------------------------------------------------------------------------------------------
async def test_neither_key_nor_token_is_logged(
    provider: StripeProvider, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "stripe")
    caplog.set_level(logging.DEBUG, "persistence")
    for token in ("pm_ok", "pm_declined", "pm_nobody", "pm_trouble", "pm_other_mistake"):
        await provider.charge(charge_of(token))
        assert token not in caplog.text
    assert any(record.name == "stripe" for record in caplog.records)
    assert KEY not in caplog.text
    assert "pm_ok" not in "".join(capfd.readouterr())


def test_debug_output_of_the_sdk_is_switched_off() -> None:
    program = "import persistence.providers.stripe_payments, stripe._util as u; print(u._console_log_level())"
    environment = os.environ | {"STRIPE_LOG": "debug"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert run.stdout == "None\n"


# --- Stripe's own mock ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
async def mocked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StripeProvider]:
    log = tmp_path_factory.mktemp("stripe") / "stripe-mock.log"
    try:
        async with stripe_mock(log) as url:
            provider = StripeProvider("sk_test_123", SECRETS, CLOCK.now_ms, url=url)
            yield provider
            await provider.close()
    except CannotBeHad as reason:
        pytest.skip(str(reason))


async def test_stripe_s_mock_understands_a_charge(mocked: StripeProvider) -> None:
    # Its intents are made up and never succeed. A parameter that Stripe doesn't have would be `Unknown`.
    assert await mocked.charge(charge_of("pm_card_visa")) == Declined("declined")


async def test_stripe_s_mock_understands_a_look_up(mocked: StripeProvider) -> None:
    assert await mocked.look_up(ref(charge_of())) is None
    assert await mocked.look_up(ref(charge_of(), "pi_1")) == Declined("declined")


async def test_stripe_s_mock_understands_a_refund(mocked: StripeProvider) -> None:
    outcome = await mocked.refund(refund_of(ref(charge_of(), "pi_1"), 1_000))
    assert isinstance(outcome, Refunded)
    assert outcome.reference.startswith("re_")


async def test_stripe_s_mock_understands_the_books(mocked: StripeProvider) -> None:
    assert await books(mocked) == []


async def test_stripe_s_mock_understands_what_a_customer_has_confirmed(mocked: StripeProvider) -> None:
    # Its intents are nobody's, and wait for no confirmation; so what is asked then is asked here: a parameter that
    # Stripe doesn't have would raise.
    assert await mocked.charge(charge_of("pi_1")) == Declined("invalid_token")
    named = await mocked._intents.update_async("pi_1", {"metadata": {"payment_id": "p", "booking_id": "b"}})
    confirmed = await mocked._intents.confirm_async("pi_1", {"use_stripe_sdk": True})
    assert (named.object, confirmed.object) == ("payment_intent", "payment_intent")
