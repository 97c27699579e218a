"""Toss Payments over real HTTP, against a fake that keeps its documented rules: only what is certain is concluded."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from persistence.providers.minor_units import to_major, to_minor
from persistence.providers.provider import (
    Approved,
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
from persistence.providers.toss import TossProvider
from persistence.providers.toss_messages import DECLINES, REFUND_REFUSALS
from tests.persistence.providers import charges
from tests.persistence.providers.charges import CLOCK, books, ref
from tests.support.money.fake_toss import KEY, FakeToss, Payment
from tests.support.services.serving import impatient, serve
from tests.support.waiting import PATIENCE_SECONDS, until

CONFIRM = "v1/payments/confirm"


@pytest.fixture
def fake() -> FakeToss:
    return FakeToss()


@pytest.fixture
async def toss(fake: FakeToss) -> AsyncIterator[TossProvider]:
    async with serve(fake.app) as url:
        provider = TossProvider(KEY, CLOCK.now_ms, url=url, timeout_seconds=PATIENCE_SECONDS)
        yield provider
        await provider.close()


def charge_of(payment: Payment, **changes: object) -> ChargeRequest:
    amount = to_minor(payment.amount, payment.currency)
    assert amount is not None
    paid = {"booking_id": payment.order_id, "amount": amount, "currency": payment.currency, **changes}
    return charges.charge_of(payment.key, **paid)


async def paid(fake: FakeToss, toss: TossProvider, amount: str = "55000", currency: str = "KRW") -> PaymentRef:
    """A payment that was taken."""
    payment = fake.window(CLOCK.new_id(), amount, currency)
    request = charge_of(payment)
    assert await toss.charge(request) == Approved(payment.key)
    return ref(request, payment.key)


def refund_of(payment: PaymentRef, amount: int) -> RefundRequest:
    return RefundRequest(refund_id=CLOCK.new_id(), payment=payment, amount=amount, reason="관객 요청")


# --- charging ---------------------------------------------------------------------------------------------------------
async def test_confirmed_payment_is_found_by_key_and_by_order(fake: FakeToss, toss: TossProvider) -> None:
    payment = fake.window(CLOCK.new_id(), "55000")
    request = charge_of(payment)
    assert await toss.charge(request) == Approved(payment.key)
    assert await toss.look_up(ref(request)) == Approved(payment.key)
    assert await toss.look_up(ref(request, payment.key)) == Approved(payment.key)


@pytest.mark.parametrize("code", sorted(DECLINES))
async def test_refusal_for_good_is_a_decline(fake: FakeToss, toss: TossProvider, code: str) -> None:
    payment = fake.window(CLOCK.new_id(), "55000", verdict=f"403 {code}")
    assert await toss.charge(charge_of(payment)) == Declined(code.lower())
    assert await toss.look_up(ref(charge_of(payment), payment.key)) == Declined(code.lower())


@pytest.mark.parametrize(
    "verdict",
    [
        "400 PROVIDER_ERROR",
        "500 FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING",
        "500 FAILED_INTERNAL_SYSTEM_PROCESSING",
        "500 UNKNOWN_PAYMENT_ERROR",
        "500 REJECT_CARD_PAYMENT",  # trouble at Toss, whatever it calls it
        "409 IDEMPOTENT_REQUEST_PROCESSING",
        "403 FORBIDDEN_REQUEST",
        "401 UNAUTHORIZED_KEY",
        "400 A_CODE_OF_TOMORROW",
    ],
)
async def test_any_other_error_decides_nothing(fake: FakeToss, toss: TossProvider, verdict: str) -> None:
    payment = fake.window(CLOCK.new_id(), "55000", verdict=verdict)
    assert await toss.charge(charge_of(payment)) == Unknown(verdict.split()[1])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (502, b"<html>bad gateway</html>"),
        (404, b"no such page"),
        (200, b"not json"),
        (200, b"{}"),
        (200, b'{"paymentKey": "x", "orderId": "y", "status": "DONE"}'),
        (403, b'{"code": 7}'),
    ],
)
async def test_senseless_answer_decides_nothing(fake: FakeToss, toss: TossProvider, status: int, body: bytes) -> None:
    payment = fake.window(CLOCK.new_id(), "55000")
    request = charge_of(payment)
    fake.broken = dict.fromkeys(
        (CONFIRM, f"v1/payments/orders/{request.booking_id}", f"v1/payments/{payment.key}"), (status, body)
    )
    assert isinstance(await toss.charge(request), Unknown)
    assert isinstance(await toss.look_up(ref(request)), Unknown)
    assert isinstance(await toss.refund(refund_of(ref(request, payment.key), 1)), Unknown)


async def test_silence_is_unknown_and_the_look_up_tells_that_it_was_charged(fake: FakeToss, toss: TossProvider) -> None:
    payment = fake.window(CLOCK.new_id(), "55000")
    request = charge_of(payment)
    fake.silent.add(CONFIRM)
    with impatient(toss):
        assert isinstance(await toss.charge(request), Unknown)
    await until(lambda: bool(fake.transactions))
    assert await toss.look_up(ref(request)) == Approved(payment.key)
    fake.silent.clear()
    assert await toss.charge(request) == Approved(payment.key)
    assert len(fake.transactions) == 1


async def test_unreachable_toss_is_unknown_never_a_decline() -> None:
    provider = TossProvider(KEY, CLOCK.now_ms, url="http://127.0.0.1:9")
    request = charge_of(Payment("key", CLOCK.new_id(), Decimal(100), "KRW"))
    assert isinstance(await provider.charge(request), Unknown)
    assert isinstance(await provider.look_up(ref(request)), Unknown)
    assert isinstance(await provider.refund(refund_of(ref(request, "key"), 1)), Unknown)
    with pytest.raises(ProviderUnavailable):
        await books(provider)
    await provider.close()


async def test_wrong_key_decides_nothing(fake: FakeToss) -> None:
    async with serve(fake.app) as url:
        stranger = TossProvider("another key", CLOCK.now_ms, url=url)
        request = charge_of(fake.window(CLOCK.new_id(), "55000"))
        assert await stranger.charge(request) == Unknown("UNAUTHORIZED_KEY")
        assert await stranger.look_up(ref(request)) == Unknown("UNAUTHORIZED_KEY")
        await stranger.close()


async def test_many_confirmations_at_once_take_the_money_once(fake: FakeToss, toss: TossProvider) -> None:
    request = charge_of(fake.window(CLOCK.new_id(), "55000"))
    assert len(set(await asyncio.gather(*(toss.charge(request) for _ in range(8))))) == 1
    assert len(fake.transactions) == 1


async def test_payment_already_processed_is_looked_up(fake: FakeToss, toss: TossProvider) -> None:
    payment = fake.window(CLOCK.new_id(), "55000")
    await toss.charge(charge_of(payment))
    assert await toss.charge(charge_of(payment)) == Approved(payment.key)
    again = fake.window(payment.order_id, "55000")
    assert await toss.charge(charge_of(again)) == Approved(payment.key), "an order is paid once, whatever the card"
    assert len(fake.transactions) == 1


async def test_key_of_another_booking_s_payment_buys_nothing(fake: FakeToss, toss: TossProvider) -> None:
    payment = fake.window(CLOCK.new_id(), "55000")
    await toss.charge(charge_of(payment))
    stolen = charge_of(payment, booking_id=CLOCK.new_id())
    assert await toss.charge(stolen) == Unknown("ALREADY_PROCESSED_PAYMENT")
    assert await toss.look_up(ref(stolen)) is None
    assert isinstance(await toss.look_up(ref(stolen, payment.key)), Unknown)


async def test_key_that_toss_never_gave_is_declined(fake: FakeToss, toss: TossProvider) -> None:
    request = charge_of(Payment("../../../v1/transactions", CLOCK.new_id(), Decimal(100), "KRW"))
    assert await toss.charge(request) == Declined("not_found_payment_session")


async def test_window_opened_for_less_than_the_booking_costs_buys_nothing(fake: FakeToss, toss: TossProvider) -> None:
    payment = fake.window(CLOCK.new_id(), "100")
    assert await toss.charge(charge_of(payment, amount=55_000)) == Declined("invalid_request")
    assert fake.transactions == []


async def test_charge_past_its_time_is_not_sent(fake: FakeToss, toss: TossProvider) -> None:
    late = charge_of(fake.window(CLOCK.new_id(), "55000"), valid_until_ms=CLOCK.now_ms() - 1)
    assert isinstance(await toss.charge(late), Unknown)
    assert fake.calls == []


async def test_virtual_account_is_closed_before_money_comes(fake: FakeToss, toss: TossProvider) -> None:
    payment = fake.window(CLOCK.new_id(), "55000", verdict="WAITING_FOR_DEPOSIT")
    assert await toss.charge(charge_of(payment)) == Declined("deposit_not_offered")
    assert payment.status == "CANCELED"


async def test_virtual_account_that_could_not_be_closed_stays_in_doubt(fake: FakeToss, toss: TossProvider) -> None:
    payment = fake.window(CLOCK.new_id(), "55000", verdict="WAITING_FOR_DEPOSIT")
    fake.broken[f"v1/payments/{payment.key}/cancel"] = (500, b"")
    assert isinstance(await toss.charge(charge_of(payment)), Unknown)


# --- looking up -------------------------------------------------------------------------------------------------------
async def test_order_never_seen_is_none(toss: TossProvider) -> None:
    assert await toss.look_up(ref(charge_of(Payment("key", CLOCK.new_id(), Decimal(100), "KRW")))) is None


@pytest.mark.parametrize("status", ["READY", "IN_PROGRESS", "ABORTED", "EXPIRED"])
async def test_attempt_that_took_nothing_says_nothing_of_the_others_of_its_order(
    fake: FakeToss, toss: TossProvider, status: str
) -> None:
    other = fake.window(CLOCK.new_id(), "55000")
    other.status = status
    request = charge_of(fake.window(other.order_id, "55000"))
    assert await toss.look_up(ref(request)) is None
    assert await toss.charge(request) == Approved(request.token)
    # By order id Toss shows the other one still; the money stands in the books.
    assert await toss.look_up(ref(request)) == Approved(request.token)
    fake.broken["v1/transactions"] = (500, b"")
    assert isinstance(await toss.look_up(ref(request)), Unknown)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("READY", None),
        ("IN_PROGRESS", None),
        ("ABORTED", Declined("aborted")),
        ("EXPIRED", Declined("expired")),
        ("CANCELED", Declined("cancelled_at_provider")),
        ("PARTIAL_CANCELED", Approved("the key")),
        ("DONE", Approved("the key")),
        ("A_STATUS_OF_TOMORROW", Unknown("payment status A_STATUS_OF_TOMORROW")),
    ],
)
async def test_status_of_the_very_payment_says_what_is_certain(
    fake: FakeToss, toss: TossProvider, status: str, outcome: object
) -> None:
    payment = Payment("the key", CLOCK.new_id(), Decimal(55000), "KRW", status=status)
    fake.payments[payment.key] = payment
    assert await toss.look_up(ref(charge_of(payment), payment.key)) == outcome


@pytest.mark.parametrize("changes", [{"amount": 1}, {"currency": "JPY"}])
async def test_another_amount_than_asked_settles_nothing(
    fake: FakeToss, toss: TossProvider, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    payment = await paid(fake, toss)
    assert await toss.look_up(msgspec.structs.replace(payment, **changes)) == Unknown("another amount")
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


# --- giving back ------------------------------------------------------------------------------------------------------
async def test_partial_cancels_add_up_to_the_whole(fake: FakeToss, toss: TossProvider) -> None:
    payment = await paid(fake, toss)
    outcomes = [await toss.refund(refund_of(payment, amount)) for amount in (10_001, 44_999)]
    assert outcomes == [Refunded(each["transactionKey"]) for each in fake.payments[payment.reference].cancels]
    assert fake.payments[payment.reference].status == "CANCELED"
    assert isinstance(await toss.refund(refund_of(payment, 1)), Refused)


async def test_repeated_cancel_gives_back_once(fake: FakeToss, toss: TossProvider) -> None:
    payment = await paid(fake, toss)
    refund = refund_of(payment, 10_000)
    first = await toss.refund(refund)
    assert isinstance(first, Refunded)
    assert await toss.refund(refund) == first
    fake.answered.clear()  # 15 days later
    assert await toss.refund(refund) == first
    assert fake.payments[payment.reference].left == 45_000


async def test_lost_answer_to_a_cancel_is_found_by_asking_again(fake: FakeToss, toss: TossProvider) -> None:
    payment = await paid(fake, toss)
    refund = refund_of(payment, 55_000)
    fake.silent.add(f"v1/payments/{payment.reference}/cancel")
    with impatient(toss):
        assert isinstance(await toss.refund(refund), Unknown)
    await until(lambda: bool(fake.payments[payment.reference].cancels))
    fake.answered.clear()
    assert isinstance(await toss.refund(refund), Refunded)
    assert len(fake.payments[payment.reference].cancels) == 1


async def test_cancel_by_somebody_else_is_not_ours(fake: FakeToss, toss: TossProvider) -> None:
    payment = await paid(fake, toss)
    fake.cancel(fake.payments[payment.reference], {"cancelReason": "at the desk"})
    assert await toss.refund(refund_of(payment, 55_000)) == Refused("already_canceled_payment")


@pytest.mark.parametrize("code", sorted(REFUND_REFUSALS))
async def test_refusal_of_a_cancel_says_why(fake: FakeToss, toss: TossProvider, code: str) -> None:
    payment = await paid(fake, toss)
    fake.refund_verdict = f"403 {code}"
    assert await toss.refund(refund_of(payment, 1_000)) == Refused(code.lower())


@pytest.mark.parametrize(
    "verdict",
    ["500 FAILED_REFUND_PROCESS", "403 FORBIDDEN_CONSECUTIVE_REQUEST", "403 NOT_AVAILABLE_BANK", "400 PROVIDER_ERROR"],
)
async def test_trouble_with_a_cancel_decides_nothing(fake: FakeToss, toss: TossProvider, verdict: str) -> None:
    payment = await paid(fake, toss)
    fake.refund_verdict = verdict
    assert await toss.refund(refund_of(payment, 1_000)) == Unknown(verdict.split()[1])


@pytest.mark.parametrize(
    ("cancel_status", "outcome"),
    [("IN_PROGRESS", Unknown("cancel status IN_PROGRESS")), ("ABORTED", Refused("aborted"))],
)
async def test_cancel_under_way_is_not_told_as_done(
    fake: FakeToss, toss: TossProvider, cancel_status: str, outcome: object
) -> None:
    payment = await paid(fake, toss)
    fake.cancel_status = cancel_status
    refund = refund_of(payment, 1_000)
    assert await toss.refund(refund) == outcome
    fake.payments[payment.reference].cancels[0]["cancelStatus"] = "DONE"
    assert isinstance(await toss.refund(refund), Refunded), "the payment is read, not the first answer repeated"


async def test_refund_of_a_payment_that_toss_does_not_know_is_refused(toss: TossProvider) -> None:
    payment = ref(charge_of(Payment("key", CLOCK.new_id(), Decimal(100), "KRW")), "key")
    assert await toss.refund(refund_of(payment, 100)) == Refused("not_found_payment")


# --- books ------------------------------------------------------------------------------------------------------------
async def test_books_page_through_all_payments(fake: FakeToss, toss: TossProvider) -> None:
    fake.page_size = 2
    payments = [await paid(fake, toss) for _ in range(5)]
    await toss.charge(charge_of(fake.window(CLOCK.new_id(), "55000", verdict="403 REJECT_CARD_PAYMENT")))
    await toss.refund(refund_of(payments[1], 10_000))
    await toss.refund(refund_of(payments[1], 5_000))
    await toss.refund(refund_of(payments[3], 55_000))
    known = await books(toss)
    assert [(each.payment_id, each.booking_id, each.reference) for each in known] == [
        (None, payment.booking_id, payment.reference) for payment in payments
    ]
    assert [(each.amount, each.refunded, each.currency) for each in known] == [
        (55_000, refunded, "KRW") for refunded in (0, 15_000, 0, 55_000, 0)
    ]
    assert {query for query in fake.calls if "transactions" in query} == {"GET /v1/transactions"}


async def test_books_end_where_the_time_ends(fake: FakeToss, toss: TossProvider) -> None:
    await paid(fake, toss)
    [known] = await books(toss)
    assert await books(toss, known.created_ms + 1) == []
    assert await books(toss, 0, known.created_ms) == []
    assert await books(toss, known.created_ms, known.created_ms + 1) == [known]


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (400, b'{"code": "INVALID_TRANSACTION_KEY"}'), (200, b"[{}]"), (200, b"{}")]
)
async def test_half_books_are_no_books(fake: FakeToss, toss: TossProvider, status: int, body: bytes) -> None:
    await paid(fake, toss)
    fake.broken["v1/transactions"] = (status, body)
    with pytest.raises(ProviderUnavailable):
        await books(toss)


# --- amounts ----------------------------------------------------------------------------------------------------------
async def test_amounts_with_decimals_are_exact(fake: FakeToss, toss: TossProvider) -> None:
    payment = await paid(fake, toss, "726.24", "USD")
    assert payment.amount == 72_624
    assert isinstance(await toss.refund(refund_of(payment, 18_156)), Refunded)
    assert fake.payments[payment.reference].left == Decimal("544.68")
    [known] = await books(toss)
    assert (known.amount, known.refunded, known.currency) == (72_624, 18_156, "USD")


@pytest.mark.parametrize(
    ("amount", "currency", "major"),
    [(55_000, "KRW", "55000"), (1_050, "USD", "10.50"), (7, "USD", "0.07"), (1_234, "KWD", "1.234"), (5, "JPY", "5")],
)
def test_minor_and_major_units_convert_exactly(amount: int, currency: str, major: str) -> None:
    assert to_major(amount, currency) == Decimal(major)
    assert to_minor(Decimal(major), currency) == amount


def test_amount_finer_than_the_minor_unit_has_no_minor_units() -> None:
    assert to_minor(Decimal("0.5"), "KRW") is None
    assert to_minor(Decimal("0.005"), "USD") is None


# --- webhooks ---------------------------------------------------------------------------------------------------------
def message(event_type: str, data: dict[str, object]) -> bytes:
    return json.dumps({"eventType": event_type, "createdAt": "2026-01-01T00:00:00.000000", "data": data}).encode()


async def test_webhook_names_the_booking_and_nothing_that_it_claims(toss: TossProvider) -> None:
    body = message("PAYMENT_STATUS_CHANGED", {"paymentKey": "k", "orderId": "the booking", "status": "DONE"})
    headers = {"tosspayments-webhook-transmission-id": "whk_1"}
    assert toss.parse_webhook(headers, body) == WebhookEvent("whk_1", "PAYMENT_STATUS_CHANGED", None, "the booking")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"\xff",
        message("PAYOUT_STATUS_CHANGED", {"orderId": "x"}),
        message("PAYMENT_STATUS_CHANGED", {"orderId": 7}),
        message("PAYMENT_STATUS_CHANGED", {}),
    ],
)
async def test_webhook_of_an_unknown_kind_concerns_nothing(toss: TossProvider, body: bytes) -> None:
    event = toss.parse_webhook({}, body)
    assert (event.id, event.payment_id, event.booking_id) == ("", None, None)


# --- secrecy ----------------------------------------------------------------------------------------------------------
async def test_neither_key_nor_token_is_logged(
    fake: FakeToss, toss: TossProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "persistence")
    for verdict in ("DONE", "403 REJECT_CARD_PAYMENT", "500 UNKNOWN_PAYMENT_ERROR", "WAITING_FOR_DEPOSIT"):
        payment = fake.window(CLOCK.new_id(), "55000", verdict=verdict)
        await toss.charge(charge_of(payment))
        fake.broken[CONFIRM] = (200, json.dumps({"paymentKey": payment.key, "status": 7}).encode())
        await toss.charge(charge_of(payment))
        fake.broken.clear()
        assert payment.key not in caplog.text
    assert caplog.records
    assert KEY not in caplog.text
