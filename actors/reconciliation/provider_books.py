"""The providers' books against ours: what they took we have as taken, and the other way round.

The provider is asked first: whatever it has then is journaled here before, so that a sale need not pause for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from actors.reconciliation.checks import OFFENDERS_SHOWN, Check, Name, Report, checked, prefixed
from actors.reconciliation.reconciler import Reconciler
from engine.payment import PaymentStatus
from persistence.providers.provider import Approved, KnownPayment, PaymentRef, Provider, ProviderUnavailable, Unknown
from persistence.reconciliation import money
from persistence.reconciliation.money import OwnPayment
from persistence.reconciliation.told import Told, say

RECORDED_WITHIN_MS = 60_000  # what a provider has just answered may be on its way to the journal
DATED_BEFORE_MS = 3_600_000  # a provider's clock may be behind ours

TAKEN = tuple(
    status.name.lower() for status in (PaymentStatus.APPROVED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED)
)


class Stray(Struct, frozen=True):
    """Money that the provider took and we do not have as taken."""

    theirs: KnownPayment
    payment_id: str | None  # ours, where we know the payment


class Books:
    """Our payments, to be found by whatever a provider can tell of them."""

    def __init__(self, payments: Mapping[str, OwnPayment]) -> None:
        self.payments = payments
        self._by_reference = {ours.reference: payment_id for payment_id, ours in payments.items() if ours.reference}
        self._by_booking: dict[str, list[str]] = {}
        for payment_id, ours in payments.items():
            self._by_booking.setdefault(ours.booking_id, []).append(payment_id)

    def find(self, theirs: KnownPayment) -> str | None:
        """Ours, if we have it: by our id; else by the provider's; else the booking's attempt it must belong to, which
        is the open one of that amount, or the latest of those given up: seats may have changed from one to the next."""
        if theirs.payment_id is not None:
            return theirs.payment_id if theirs.payment_id in self.payments else None
        if theirs.reference in self._by_reference:
            return self._by_reference[theirs.reference]
        attempts = [each for each in self._by_booking.get(theirs.booking_id or "", ()) if not self._taken(each)]
        attempts = [each for each in attempts if self._asked_for(each) == (theirs.amount, theirs.currency)]
        return max(attempts, key=self._likelihood, default=None)

    def on_its_way(self, theirs: KnownPayment, now_ms: int) -> bool:
        """Whether the booking has a payment so young that its outcome may be about to be journaled."""
        attempts = (self.payments[each] for each in self._by_booking.get(theirs.booking_id or "", ()))
        return any(ours.status == "requested" and now_ms - ours.requested_ms < RECORDED_WITHIN_MS for ours in attempts)

    def _taken(self, payment_id: str) -> bool:
        ours = self.payments[payment_id]
        return ours.status in TAKEN or bool(ours.reference)

    def _asked_for(self, payment_id: str) -> tuple[int, str]:
        ours = self.payments[payment_id]
        return ours.amount, ours.currency

    def _likelihood(self, payment_id: str) -> tuple[bool, int]:
        ours = self.payments[payment_id]
        return ours.status == "requested", ours.requested_ms


async def check_books(
    provider: Provider,
    own_payments: Callable[[], Awaitable[Mapping[str, OwnPayment]]],
    since_ms: int,
    now_ms: int,
    *,
    bookings: Collection[str] | None = None,
) -> tuple[Check, list[Stray]]:
    """Every payment that the provider took is known here as taken, the other way round, and so is what went back.

    `own_payments` gives ours by id, at least those requested since then. It is asked after the provider: what the
    provider has then is journaled here before. With `bookings` the provider's payments for others are left out. Also
    returns the money that we do not have as taken. Raises `ProviderUnavailable`.
    """
    taken: dict[str, KnownPayment] = {}
    async for each in provider.payments(since_ms, now_ms):
        if bookings is None or each.booking_id in bookings:
            taken.setdefault(each.reference, each)
    ours = Books(await own_payments())
    wrong: list[Told] = []
    strays: list[Stray] = []
    seen: set[str] = set()
    for theirs in taken.values():
        payment_id = ours.find(theirs)
        own = None if payment_id is None else ours.payments[payment_id]
        if payment_id is not None:
            seen.add(payment_id)
        if own is not None and own.status in TAKEN:
            wrong += _differences(payment_id or "", theirs, own)
        elif not ours.on_its_way(theirs, now_ms):
            payment = payment_id or theirs.payment_id or theirs.reference
            status = "unknown" if own is None else own.status
            wrong.append(say("taken_there", payment=payment, booking=theirs.booking_id, status=status))
            strays.append(Stray(theirs, payment_id))
    for payment_id, own in ours.payments.items():
        settled = own.status in TAKEN and since_ms <= own.requested_ms < now_ms - RECORDED_WITHIN_MS
        if settled and own.amount and payment_id not in seen and len(wrong) < OFFENDERS_SHOWN:
            wrong += await _asked(provider, payment_id, own)
    expected, actual = say("books", provider=provider.name), say("differences", count=len(wrong))
    return checked(Name.PROVIDER_BOOKS_AGREE, expected, actual if wrong else expected, wrong), strays


def _differences(payment_id: str, theirs: KnownPayment, ours: OwnPayment) -> list[Told]:
    """What is said otherwise of a payment that both have as taken."""
    if (ours.amount, ours.currency) != (theirs.amount, theirs.currency):
        there, here = (f"{each.amount} {each.currency}" for each in (theirs, ours))
        return [say("amount_differs", payment=payment_id, theirs=there, ours=here)]
    if not ours.refunds_completed <= theirs.refunded <= ours.refunds_completed + ours.refunds_requested:
        given_back = {"theirs": theirs.refunded, "ours": ours.refunds_completed}
        return [say("given_back_differs", payment=payment_id, **given_back)]
    return []


async def _asked(provider: Provider, payment_id: str, ours: OwnPayment) -> list[Told]:
    """A payment that is not among those listed; it may have been dated before them, so it is asked for by itself."""
    ref = PaymentRef(
        payment_id=payment_id,
        booking_id=ours.booking_id,
        amount=ours.amount,
        currency=ours.currency,
        requested_ms=ours.requested_ms,
        reference=ours.reference,
    )
    outcome = await provider.look_up(ref)
    if isinstance(outcome, Unknown):
        raise ProviderUnavailable(outcome.cause)
    if isinstance(outcome, Approved):
        return []
    there = "unknown" if outcome is None else "declined"
    return [say("status_differs", payment=payment_id, status=ours.status, theirs=there)]


async def examine_books(
    pool: asyncpg.Pool[Any], reconciler: Reconciler, provider: Provider, schedule_id: str
) -> tuple[Check, list[Stray]]:
    """One schedule's payments against the provider's books: the check, and what was taken that we do not have so.

    Raises `ProviderUnavailable`.
    """
    now_ms = reconciler.now_ms()
    bookings, first_ms = await money.booked(pool, schedule_id)

    async def own_payments() -> Mapping[str, OwnPayment]:
        return await money.own_payments(pool, provider.name, schedule_id=schedule_id, now_ms=now_ms)

    since_ms = (now_ms if first_ms is None else first_ms) - DATED_BEFORE_MS
    return await check_books(provider, own_payments, since_ms, now_ms, bookings=bookings)


async def examine_all_books(
    pool: asyncpg.Pool[Any], provider: Provider, since_ms: int, now_ms: int
) -> tuple[Check, list[Stray]]:
    """All payments since a moment against the provider's books. Raises `ProviderUnavailable`."""

    async def own_payments() -> Mapping[str, OwnPayment]:
        # A little further back than the books: a provider dates its payments after ours were requested.
        return await money.own_payments(pool, provider.name, since_ms=since_ms - DATED_BEFORE_MS, now_ms=now_ms)

    check, strays = await check_books(provider, own_payments, since_ms, now_ms)
    ids = [each.theirs.booking_id for each in strays if is_id(each.theirs.booking_id)]
    schedules = await money.schedules_of(pool, [each for each in ids if each is not None])
    for number, offender in enumerate(check.offenders):
        for booking_id, schedule_id in schedules.items():
            if f"of booking {booking_id}:" in offender:
                check = prefixed(check, number, say("of_schedule", schedule=schedule_id))
    return check, strays


async def with_books(
    report: Report, pool: asyncpg.Pool[Any], reconciler: Reconciler, providers: Iterable[Provider]
) -> Report:
    """The report, and whether each provider's books agree with it. A provider that is away is said to be."""
    checks = list(report.checks)
    for provider in providers:
        try:
            check, _ = await examine_books(pool, reconciler, provider, report.schedule_id)
        except ProviderUnavailable as error:
            check = closed_books(provider, error)
        checks.append(check)
    return msgspec.structs.replace(report, checks=tuple(checks))


def closed_books(provider: Provider, error: ProviderUnavailable) -> Check:
    """The check of books that cannot be looked into."""
    books = say("books", provider=provider.name)
    return checked(Name.PROVIDER_BOOKS_AGREE, books, say("unreadable_now", error=error))


def is_id(text: str | None) -> bool:
    """Whether this can be an id of ours; what a provider knows may be anything."""
    try:
        return text is not None and bool(UUID(text))
    except ValueError:
        return False
