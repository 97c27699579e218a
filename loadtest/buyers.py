"""A crowd that buys a house out through the HTTP API, and a ledger of everything it was promised.

Buyers want the same front seats at the same moment, change their minds, pay with cards that are declined, pay again and
give some of what they bought back. What the server acknowledged goes into the ledger at once, and nothing else does:
the audit holds the system to exactly that. A request without an answer is sent again with its idempotency key, as a
careful client would.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from loadtest.http_client import Answer, Client, ConnectionLost

PASSWORD = "a-crowd-of-buyers"  # noqa: S105  # of accounts that live as long as the demo
DECLINED_CARD = "tok_decline_insufficient_funds"
GOOD_CARD = "tok_approve"
MANY_LEFT = 50  # seats; towards the end buyers take what they can get
LOST_RETRIES = 20  # times an unanswered request is sent again
LOST_PAUSE_SECONDS = 0.5
PENDING_PAUSE_SECONDS = 0.5
PAY_RETRIES = 5  # a provider that did not answer has in the end not charged: the buyer tries again
# Refusals that are part of any sale; everything else that isn't a success is a finding.
EXPECTED = {
    "seats_unavailable",
    "not_enough_seats",
    "payment_declined",
    "overloaded",
    "booking_expired",
}


SOLD = ("confirmed", "partially_refunded")


@dataclass
class Promise:
    """What the server last acknowledged about one booking."""

    booking_id: str
    seats: tuple[str, ...]
    amount: int
    status: str  # held | confirmed | cancelled | partially_refunded | refunded
    payment_id: str | None = None
    refunded: int = 0  # money given back


@dataclass
class Ledger:
    """Everything the crowd was answered."""

    promises: dict[str, Promise] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)  # what was done, and how it was answered
    unexpected: list[str] = field(default_factory=list)
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    resent: int = 0
    paid_at: list[tuple[float, int]] = field(default_factory=list)  # when, and for how many places

    def note(self, action: str, answer: Answer, milliseconds: float) -> None:
        """Counts an answer, and how long it took."""
        outcome = "ok" if answer.status < 400 else answer.code or str(answer.status)
        self.answers[f"{action} {outcome}"] += 1
        if outcome == "ok" or action == "hold":  # a refused hold is an answer a buyer waits for
            self.latencies_ms.setdefault(action, []).append(milliseconds)
        if outcome != "ok" and outcome not in EXPECTED:
            self.unexpected.append(f"{action}: {answer.status} {answer.body[:300].decode(errors='replace')}")

    def count(self, status: str) -> int:
        return sum(promise.status == status for promise in self.promises.values())

    def seats_sold(self) -> int:
        return sum(len(promise.seats) for promise in self.promises.values() if promise.status in SOLD)


class SeatSeen(Struct):
    id: str
    state: str


class AreaSeen(Struct):
    id: str
    left: int
    held: int


class SeatsSeen(Struct):
    """As much of the seat map as a buyer looks at."""

    version: int
    seats: list[SeatSeen]
    areas: list[AreaSeen] = []


_read_seats = msgspec.json.Decoder(SeatsSeen).decode


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How often a buyer does what; each a share of 1."""

    best_available: float = 0.4
    cancel: float = 0.06
    bad_card: float = 0.06
    refund: float = 0.03  # of those that paid
    front: float = 0.15  # the part of the free seats that everybody looks at first


class Buyer:
    """One customer at one connection."""

    def __init__(self, base_url: str, email: str, schedule_id: str, ledger: Ledger, habits: Habits) -> None:
        self._client = Client(base_url)
        self._email = email
        self._schedule_id = schedule_id
        self._ledger = ledger
        self._habits = habits
        self._random = random.Random(email)
        self._free: list[str] = []
        self._standing: list[str] = []
        self._etag = ""

    @property
    def token(self) -> str:
        """The access token, once signed up."""
        assert self._client.token is not None, "sign up first"
        return self._client.token

    async def sign_up(self) -> None:
        """Makes the account and logs in."""
        credentials = {"email": self._email, "password": PASSWORD}
        await self._must("sign-up", "POST", "/v1/accounts", {**credentials, "name": "Buyer"})
        session = await self._must("log-in", "POST", "/v1/sessions", credentials)
        self._client.token = session.json()["access_token"]

    async def buy_until_sold_out(self) -> None:
        """Goes on until there is nothing left to hold and nothing that could come back."""
        while await self._look():
            booking = await self._hold()
            if booking is not None:
                await self._decide(booking)

    def close(self) -> None:
        self._client.close()

    async def _look(self) -> bool:
        """Looks at the seat map until something is free; False once every place is sold or blocked."""
        etag = ""
        pause_seconds = 0.05
        while not self._free and not self._standing:
            headers = {"If-None-Match": etag} if etag else None
            answer = await self._ask("look", "GET", f"/v1/schedules/{self._schedule_id}/seats", headers=headers)
            if answer.status == 200:
                etag = answer.headers.get("etag", "")
                seen = _read_seats(answer.body)
                self._free = [seat.id for seat in seen.seats if seat.state == "free"]
                self._standing = [area.id for area in seen.areas if area.left > 0]
                if self._free or self._standing:
                    return True
                if not any(seat.state == "held" for seat in seen.seats) and not any(area.held for area in seen.areas):
                    return False
            await asyncio.sleep(pause_seconds * self._random.uniform(0.5, 1.5))
            pause_seconds = min(2 * pause_seconds, 2.0)  # what is held now may come back
        return True

    async def _hold(self) -> Promise | None:
        wish = self._wish()
        key = {"Idempotency-Key": str(uuid.UUID(int=self._random.getrandbits(128), version=4))}
        answer = await self._ask("hold", "POST", f"/v1/schedules/{self._schedule_id}/bookings", wish, key)
        if answer.status == 201:
            booking = answer.json()
            seats = tuple(seat["id"] for seat in booking["seats"])
            promise = Promise(booking["id"], seats, booking["amount"], "held")
            self._ledger.promises[promise.booking_id] = promise
            self._forget(seats)
            return promise
        if answer.code == "seats_unavailable":
            self._forget(answer.json()["seats"])
        elif answer.code == "not_enough_seats":
            self._free, self._standing = [], []  # look again: named seats may still be had one by one
        return None

    def _wish(self) -> dict[str, object]:
        quantity = min(self._random.choices((1, 2, 3, 4), (2, 5, 2, 2))[0], max(len(self._free), 1))
        if not self._free:
            return {"seats": [self._random.choice(self._standing)] * quantity}
        if len(self._free) > MANY_LEFT and self._random.random() < self._habits.best_available:
            return {"quantity": quantity, "adjacent": self._random.random() < 0.5}
        # Everybody looks at the front of what is left; seats next to each other in the plan are next to each other.
        front = max(quantity, math.ceil(len(self._free) * self._habits.front))
        first = self._random.randrange(front - quantity + 1)
        return {"seats": self._free[first : first + quantity]}

    async def _decide(self, booking: Promise) -> None:
        """Cancels or pays, perhaps with a card that is declined first."""
        if self._random.random() < self._habits.cancel:
            answer = await self._ask("cancel", "POST", f"/v1/bookings/{booking.booking_id}/cancellation", {})
            if answer.status == 201:
                booking.status = "cancelled"
            return
        if self._random.random() < self._habits.bad_card:
            await self._pay(booking, DECLINED_CARD)
        for _ in range(PAY_RETRIES):
            if await self._pay(booking, GOOD_CARD):
                break
        # Towards the end nobody does: the others are leaving, and a seat that comes back then stays unsold.
        if (
            booking.status == "confirmed"
            and len(self._free) > MANY_LEFT
            and self._random.random() < self._habits.refund
        ):
            await self._give_back(booking)

    async def _pay(self, booking: Promise, card: str) -> bool:
        """One attempt; whether the booking is settled by it, one way or the other."""
        key = {"Idempotency-Key": str(uuid.UUID(int=self._random.getrandbits(128), version=4))}
        body = {"method": {"type": "card", "token": card}}
        answer = await self._ask("pay", "POST", f"/v1/bookings/{booking.booking_id}/payments", body, key)
        if answer.status not in (201, 202):
            return answer.code != "payment_declined"
        payment = answer.json()
        while payment["status"] == "pending":  # the provider has not answered yet: the outcome can be looked up
            await asyncio.sleep(PENDING_PAUSE_SECONDS)
            payment = (await self._ask("look up payment", "GET", f"/v1/payments/{payment['id']}")).json()
        if payment["status"] == "declined":
            self._ledger.answers["pay declined after all"] += 1
            return False
        booking.status, booking.payment_id = "confirmed", payment["id"]
        self._ledger.paid_at.append((time.perf_counter(), len(booking.seats)))
        return True

    async def _give_back(self, booking: Promise) -> None:
        """Gives one seat of several back, or all of them."""
        one = len(booking.seats) > 1 and self._random.random() < 0.5
        body = {"seats": [booking.seats[0]]} if one else {}
        key = {"Idempotency-Key": str(uuid.UUID(int=self._random.getrandbits(128), version=4))}
        answer = await self._ask("refund", "POST", f"/v1/payments/{booking.payment_id}/refunds", body, key)
        if answer.status != 201:
            return
        refund = answer.json()
        booking.refunded += refund["amount"]
        booking.status = refund["booking"]["status"]
        if one:
            booking.seats = tuple(seat["id"] for seat in refund["booking"]["seats"])
            booking.amount = refund["booking"]["amount"]

    def _forget(self, seats: Sequence[str]) -> None:
        gone = set(seats)
        self._free = [seat for seat in self._free if seat not in gone]
        self._standing = [area for area in self._standing if area not in gone]

    async def _must(self, action: str, method: str, path: str, body: object) -> Answer:
        answer = await self._ask(action, method, path, body)
        if answer.status != 201:
            raise RuntimeError(f"{action}: {answer.status} {answer.body[:500].decode(errors='replace')}")
        return answer

    async def _ask(
        self, action: str, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One wish: sent again while it isn't answered or the server asks to come back later."""
        for attempt in range(LOST_RETRIES + 1):
            start = time.perf_counter()
            try:
                answer = await self._client.request(method, path, body, headers)
            except ConnectionLost:
                if attempt == LOST_RETRIES:
                    raise
                self._ledger.resent += 1
                await asyncio.sleep(LOST_PAUSE_SECONDS)
                continue
            self._ledger.note(action, answer, (time.perf_counter() - start) * 1000)
            if answer.status != 503 or attempt == LOST_RETRIES:
                break
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
        return answer
