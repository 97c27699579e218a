"""Charges as tests of payment providers make them, and what is asked of a provider about them afterwards."""

from __future__ import annotations

import msgspec

from actors.process.clock import SystemClock
from persistence.providers.provider import ChargeRequest, KnownPayment, PaymentRef, Provider, Unknown
from tests.support.waiting import until

CLOCK = SystemClock()


def charge_of(token: str, **changes: object) -> ChargeRequest:
    request = ChargeRequest(
        payment_id=CLOCK.new_id(),
        booking_id=CLOCK.new_id(),
        amount=55_000,
        currency="KRW",
        token=token,
        valid_until_ms=CLOCK.now_ms() + 15_000,
    )
    return msgspec.structs.replace(request, **changes)


def ref(request: ChargeRequest, reference: str = "") -> PaymentRef:
    return PaymentRef(
        payment_id=request.payment_id,
        booking_id=request.booking_id,
        amount=request.amount,
        currency=request.currency,
        requested_ms=CLOCK.now_ms(),
        reference=reference,
    )


async def known(provider: Provider, request: ChargeRequest) -> object:
    """What the provider says of a charge, as soon as it knows of it: it may still be on its way."""
    outcome: object = None

    async def is_known() -> bool:
        nonlocal outcome
        outcome = await provider.look_up(ref(request))
        return not (outcome is None or isinstance(outcome, Unknown))

    await until(is_known)
    return outcome


async def books(provider: Provider, since_ms: int = 0, until_ms: int = 2**41) -> list[KnownPayment]:
    """What the provider has taken, up to the year 2039."""
    return [payment async for payment in provider.payments(since_ms, until_ms)]
