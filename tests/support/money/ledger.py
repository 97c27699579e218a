"""The auditor of `test_money_machine`: a provider's books, and a reader of the journal who believes none of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine import commands as c
from engine import events as e
from engine.plan_document import read_plan
from engine.refund_policy import RefundPolicy
from engine.refusals import Code, Refusal
from engine.turn import Request
from persistence.providers.provider import Approved, Declined
from tests.engine.plans.houses import DAY, NOW, plan_document

PLAN = read_plan(plan_document(rows=2, seats=4, standing=3))
STANDING = PLAN.size  # the index of the pit
STARTS = NOW + 20 * DAY
ADMIN_FEES = (None, 0, 33, 100)
Outcome = Approved | Declined


class Provider:
    """Charges a payment id at most once and gives back for a refund id at most once, as every provider promises."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}
        self.declined: set[str] = set()
        self.given_back: dict[str, tuple[str, int]] = {}  # refund → payment, amount
        self.balances: Counter[str] = Counter()  # per customer: taken less given back

    def charge(self, payment_id: str, customer: str, amount: int, good: bool) -> Outcome:
        known = self.look_up(payment_id)
        if known is not None:
            return known
        if not good:
            self.declined.add(payment_id)
            return Declined("lost_card")
        return self._take(payment_id, customer, amount)

    def _take(self, payment_id: str, customer: str, amount: int) -> Approved:
        self.taken[payment_id] = amount
        self.balances[customer] += amount
        return Approved(f"ref-{payment_id}")

    def look_up(self, payment_id: str) -> Outcome | None:
        if payment_id in self.taken:
            return Approved(f"ref-{payment_id}")
        return Declined("lost_card") if payment_id in self.declined else None

    def refund(self, refund_id: str, payment_id: str, customer: str, amount: int) -> None:
        if refund_id not in self.given_back:
            self._give(refund_id, payment_id, customer, amount)

    def _give(self, refund_id: str, payment_id: str, customer: str, amount: int) -> None:
        before = sum(given for of, given in self.given_back.values() if of == payment_id)
        assert before + amount <= self.taken[payment_id], "more is to be given back than was taken"
        self.given_back[refund_id] = (payment_id, amount)
        self.balances[customer] -= amount


@dataclass
class Account:
    """A booking as the journal tells it."""

    id: str
    customer: str
    places: list[tuple[int, int]]  # plan index, price
    made_ms: int
    expires_ms: int
    standing: str = "held"  # held | sold | over
    paying: str = ""  # the payment without an outcome
    paid_by: str = ""
    was_sold: bool = False

    @property
    def value(self) -> int:
        return sum(price for _, price in self.places)


@dataclass
class Charge:
    """A payment as the journal tells it."""

    id: str
    booking_id: str
    customer: str
    amount: int
    requested_ms: int
    standing: str = "asked"  # asked | approved | declined | late


@dataclass
class Owed:
    payment_id: str
    booking_id: str
    customer: str
    amount: int


@dataclass
class Ledger:
    """Reads the journal record by record and believes none of them: each must be allowed, and true at the provider."""

    provider: Provider
    accounts: dict[str, Account] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    owed: dict[str, Owed] = field(default_factory=dict)  # refunds the provider has not confirmed
    owed_once: set[str] = field(default_factory=set)  # payments that something was promised back of
    refunded: set[str] = field(default_factory=set)
    fees: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)  # less what was promised back
    policies: list[tuple[int, RefundPolicy]] = field(default_factory=list)
    requests: set[str] = field(default_factory=set)
    cancelled: bool = False

    def enter(self, record: e.Record) -> None:
        event, at_ms = record.event, record.at_ms
        self.requests.add(record.request_id)
        match event:
            case e.Opened(terms=new) | e.TermsChanged(terms=new):
                self.policies.append((at_ms, new.refund_policy))
            case e.Held():
                assert not self.cancelled
                places = list(zip(event.seats, event.prices, strict=True))
                self.accounts[event.booking_id] = Account(
                    event.booking_id, event.customer_id, places, at_ms, event.expires_ms
                )
            case e.Extended():
                self._held(event.booking_id).expires_ms = event.expires_ms
            case e.Changed():
                account = self._live(event.booking_id)
                after = list(zip(event.seats, event.prices, strict=True))
                assert account.standing == "held" or sum(price for _, price in after) == account.value
                assert not account.paying
                account.places = after
            case e.Expired():
                account = self._held(event.booking_id)
                assert not account.paying, "a hold expired under a running payment"
                assert at_ms >= account.expires_ms
                account.standing = "over"
            case e.Cancelled():
                account = self._live(event.booking_id)
                assert not account.paying
                assert account.standing == "held" or not account.value, "what was paid for is cancelled without money"
                account.standing = "over"
            case e.ScheduleCancelled():
                assert not self.cancelled
                self.cancelled = True
            case e.Confirmed() | e.PaymentRequested() | e.PaymentApproved() | e.PaymentDeclined():
                self._payment(event, at_ms)
            case e.PaymentLate() | e.RefundRequested() | e.Refunded():
                self._refund(event, at_ms)
        self._seats()

    def _live(self, booking_id: str) -> Account:
        account = self.accounts[booking_id]
        assert account.standing != "over"
        return account

    def _held(self, booking_id: str) -> Account:
        account = self.accounts[booking_id]
        assert account.standing == "held"
        return account

    def _payment(
        self, event: e.Confirmed | e.PaymentRequested | e.PaymentApproved | e.PaymentDeclined, now: int
    ) -> None:
        account = self._held(event.booking_id)
        match event:
            case e.PaymentRequested():
                assert not account.paying
                assert not self.cancelled
                assert event.payment_id not in self.charges
                assert event.amount == account.value
                self.charges[event.payment_id] = Charge(
                    event.payment_id, account.id, account.customer, event.amount, now
                )
                account.paying = event.payment_id
            case e.PaymentApproved():
                charge = self._settled(account, event.payment_id, "approved")
                assert self.provider.taken.get(charge.id) == charge.amount, "approved without money"
                account.paid_by = charge.id
                self.taken[charge.customer] += charge.amount
            case e.PaymentDeclined():
                self._settled(account, event.payment_id, "declined")
            case e.Confirmed():
                paid = self.charges[account.paid_by].amount if account.paid_by else 0
                assert paid == account.value, "a booking is confirmed that is not paid for"
                account.standing, account.was_sold = "sold", True

    def _settled(self, account: Account, payment_id: str, standing: str) -> Charge:
        charge = self.charges[payment_id]
        assert account.paying == payment_id
        assert charge.standing == "asked"
        charge.standing, account.paying = standing, ""
        return charge

    def _refund(self, event: e.PaymentLate | e.RefundRequested | e.Refunded, at_ms: int) -> None:
        match event:
            case e.PaymentLate():
                charge = self.charges[event.payment_id]
                assert charge.standing == "declined", "money goes back that was not given up"
                assert self.provider.taken.get(charge.id) == event.amount == charge.amount
                charge.standing = "late"
                self._owe(event.refund_id, charge, event.amount)
            case e.RefundRequested():
                account, charge = self._live(event.booking_id), self.charges[event.payment_id]
                assert account.standing == "sold"
                assert account.paid_by == charge.id
                given = self._give_up(account, event.seats)
                assert event.amount + event.fee == sum(given)
                assert event.fee in {
                    sum(price * percent // 100 for price in given) for percent in self._fees(account, event.by, at_ms)
                }, "the fee is not the policy's"
                self.taken[account.customer] -= event.amount
                self.fees[account.customer] += event.fee
                self._owe(event.refund_id, charge, event.amount)
            case e.Refunded():
                owed = self.owed.pop(event.refund_id)
                assert (owed.payment_id, owed.amount) == (event.payment_id, event.amount)
                given_back = self.provider.given_back.get(event.refund_id)
                assert not event.amount or given_back == (event.payment_id, event.amount), "told to be back, and is not"
                self.refunded.add(event.refund_id)

    def _owe(self, refund_id: str, charge: Charge, amount: int) -> None:
        assert refund_id not in self.owed
        assert refund_id not in self.refunded, "a provider gives back once for one id"
        self.owed_once.add(charge.id)
        self.owed[refund_id] = Owed(charge.id, charge.booking_id, charge.customer, amount)

    @staticmethod
    def _give_up(account: Account, seats: tuple[int, ...]) -> list[int]:
        prices = []
        for seat in seats:
            place = next(place for place in account.places if place[0] == seat)
            account.places.remove(place)
            prices.append(place[1])
        if not account.places:
            account.standing = "over"
        return prices

    def _fees(self, account: Account, by: str, at_ms: int) -> set[int]:
        """The percentages that would be right; none where a refund is not."""
        if by == "organizer":
            return {0}
        promised = [policy for since_ms, policy in self.policies if since_ms < account.made_ms]
        left_ms = STARTS - at_ms
        steps = [step for step in (promised or [self.policies[0][1]])[-1] if left_ms >= step.days_before * DAY]
        by_policy = {max(steps, key=lambda step: step.days_before).fee_percent} if steps and left_ms > 0 else set()
        if self.cancelled:
            by_policy = {0}
        return by_policy if by == "customer" else by_policy | {fee for fee in ADMIN_FEES if fee is not None}

    def _seats(self) -> None:
        owners = Counter(seat for account in self.live() for seat, _ in account.places)
        assert owners[STANDING] <= PLAN.areas[0].capacity, "standing room is oversold"
        assert all(owners[seat] <= 1 for seat in range(PLAN.size)), "a seat is sold twice"

    def live(self) -> Iterator[Account]:
        return (account for account in self.accounts.values() if account.standing != "over")

    def worth(self, customer: str) -> int:
        """What the customer has for the money: seats and fees."""
        return self.fees[customer] + sum(
            account.value for account in self.accounts.values()
            if account.customer == customer and account.standing == "sold"
        )  # fmt: skip

    def stands(self, request: Request, refusal: Refusal, up_to_date: bool) -> bool:
        """Whether the fact of the caller's own that a refusal states is durable (and, from a former owner, was)."""
        account = self.accounts.get(getattr(request.command, "booking_id", ""))
        charge = self.charges.get(getattr(request.command, "payment_id", ""))
        match refusal.code:
            case Code.BOOKING_ALREADY_CANCELLED:
                return account is not None and account.standing == "over"
            case Code.BOOKING_ALREADY_PAID | Code.BOOKING_PAID:
                return account is not None and account.was_sold
            case Code.PAYMENT_ALREADY_SETTLED:
                return charge is not None and charge.standing != "asked"
            case Code.ALREADY_REFUNDED:
                if charge is not None:
                    return charge.id in self.owed_once
                # Asked before it was paid for, it names no payment: then the refusal is about the booking.
                return account is not None and any(
                    self.charges[paid].booking_id == account.id for paid in self.owed_once
                )
            case Code.REFUND_NOT_FOUND:
                return not up_to_date or getattr(request.command, "refund_id", "") in self.refunded
            case Code.SCHEDULE_CANCELLED:
                return self.cancelled or not isinstance(request.command, c.CancelSchedule)
        return True
