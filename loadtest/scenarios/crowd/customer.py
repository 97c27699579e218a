"""A customer: logs in, holds, pays, exchanges, gives back, and writes down what was acknowledged.

Whatever the server answers with a success goes into the notes at once, and nothing else does: the audit holds the
system to exactly that.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Collection, Iterator, Sequence
from uuid import uuid4

import msgspec
from msgspec import Struct

from loadtest.buyers import DECLINED_CARD, GOOD_CARD, PASSWORD, Promise, SeatsSeen
from loadtest.scenarios.crowd.crew import crew
from loadtest.scenarios.crowd.visitor import Answer, Visitor
from loadtest.scenarios.stage import Pass
from loadtest.scenarios.verdict import SLOW

SLOW_CARD = "tok_slow"
TAKEN = ("seats_unavailable", "not_enough_seats")
RENEW_SHARE = (0.5, 0.9)  # of a session's time: not everybody comes back for a new one at once
PENDING_PAUSE_SECONDS = 0.5
# Most go in pairs, families by four, and few for a whole group.
BASKETS, BASKET_WEIGHTS = (1, 2, 3, 4, 5, 6), (15, 48, 12, 17, 4, 4)

_read_seats = msgspec.json.Decoder(SeatsSeen).decode


class House(Struct):
    """What is free, as one page said. One for all users of a process: reading it costs more than asking for it."""

    etag: str = ""
    free: list[str] = []  # seats, in the plan's order
    standing: list[str] = []  # areas with places left


_house = House()


class Customer(Visitor):
    """One account, one schedule, one thing at a time."""

    abstract = True
    _numbers: Iterator[int]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._numbers = itertools.count()

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self.number = next(self._numbers)  # of its kind: the first few do what is rare, so that short runs see it, too
        self._pass: Pass | None = None
        self._renew_at = 0.0
        self._etag = ""
        self.seats_free: Sequence[str] = ()
        self.standing: Sequence[str] = ()

    def on_stop(self) -> None:
        if self._pass is not None:
            crew.passes.append(self._pass)

    # --- who it is --------------------------------------------------------------------------------------------------
    def log_in(self) -> None:
        """Takes an account that is free, or signs up; comes back for a new session before the old one ends."""
        if self._pass is None:
            self._pass = crew.passes.popleft() if crew.passes else self._sign_up()
            self._take(self._pass)
        if time.time() >= self._renew_at:
            credentials = {"email": self._pass.email, "password": PASSWORD}
            answer = self.ask("log-in", "POST", "/v1/sessions", credentials)
            if answer.ok:
                session = answer.json()
                self._take(Pass(self._pass.email, session["access_token"], time.time() + session["expires_in"]))

    def _sign_up(self) -> Pass:
        email = f"crowd-{uuid4()}@loadtest.example"
        self.ask("sign-up", "POST", "/v1/accounts", {"email": email, "password": PASSWORD}, expect=("email_taken",))
        return Pass(email)

    def _take(self, session: Pass) -> None:
        self._pass, self.token = session, session.token or None
        left = max(0.0, session.expires_at - time.time())
        self._renew_at = session.expires_at - left * (1 - random.uniform(*RENEW_SHARE))

    # --- looking ----------------------------------------------------------------------------------------------------
    @property
    def schedule(self) -> str:
        return f"/v1/schedules/{crew.stage.schedule_id}"

    def look(self) -> bool:
        """Reads the seat map again if it has changed. Whether there is anything to have."""
        known = {"If-None-Match": self._etag} if self._etag else None
        answer = self.ask("seats", "GET", f"{self.schedule}/seats", headers=known)
        if answer.status == 200:
            self._etag = answer.etag
            if _house.etag != answer.etag:
                seen = _read_seats(answer.body)
                _house.free = [seat.id for seat in seen.seats if seat.state == "free"]
                _house.standing = [area.id for area in seen.areas if area.left > 0]
                _house.etag = answer.etag
            self.seats_free, self.standing = _house.free, _house.standing
        return bool(self.seats_free or self.standing)

    def neighbours(self, count: int, among: Sequence[str]) -> list[str]:
        """Seats that follow one another in the plan: mostly side by side."""
        first = random.randrange(max(1, len(among) - count + 1))
        return list(among[first : first + count])

    # --- booking ----------------------------------------------------------------------------------------------------
    def hold(self, wish: object, expect: Collection[str] = TAKEN) -> Promise | None:
        """None: refused."""
        answer = self.ask("hold", "POST", f"{self.schedule}/bookings", wish, expect=expect)
        if not answer.ok:
            return None
        made = answer.json()
        seats = tuple(seat["id"] for seat in made["seats"])
        return self._noted(Promise(made["id"], seats, made["amount"], "held"))

    def exchange(self, booking: Promise, seats: list[str]) -> bool:
        """Other seats for those it has."""
        answer = self.ask(
            "exchange", "PATCH", f"/v1/bookings/{booking.booking_id}", {"seats": seats}, expect=("seats_unavailable",)
        )
        if answer.ok:
            self._as_in(booking, answer.json())
        return answer.ok

    def cancel(self, booking: Promise, reason: str = "") -> None:
        path = f"/v1/bookings/{booking.booking_id}/cancellation"
        if self.ask("cancel", "POST", path, {"reason": reason}).ok:
            booking.status = "cancelled"
            self._noted(booking)

    def pay(self, booking: Promise, card: str = GOOD_CARD) -> bool:
        """Whether it is paid. A provider that has not answered yet is waited for, but not after hours: the payment is
        settled without us, and the audit waits for that."""
        kind = f"pay {SLOW}" if card == SLOW_CARD else "pay"
        path = f"/v1/bookings/{booking.booking_id}/payments"
        expect = ("payment_declined",) if card == DECLINED_CARD else ()
        answer = self.ask(kind, "POST", path, {"method": {"type": "card", "token": card}}, expect=expect)
        if not answer.ok:
            return False
        payment = answer.json()
        while payment["status"] == "pending" and not crew.closing.wait(PENDING_PAUSE_SECONDS):
            answer = self.ask("payment", "GET", f"/v1/payments/{payment['id']}")
            payment = answer.json() if answer.ok else payment
        if payment["status"] != "approved":
            return False
        booking.status, booking.payment_id = "confirmed", payment["id"]
        self._noted(booking)
        return True

    def read_back(self, booking: Promise) -> None:
        """What was acknowledged a moment ago is what is read now."""

        def wrong(answer: Answer) -> str | None:
            read = answer.json()
            found = read["status"], sorted(seat["id"] for seat in read["seats"]), read["amount"]
            told = booking.status, sorted(booking.seats), booking.amount
            return None if found == told else f"read {found} after {told} was acknowledged"

        self.ask("booking", "GET", f"/v1/bookings/{booking.booking_id}", wrong=wrong)

    def give_back(self, booking: Promise, seats: Sequence[str] = (), kind: str = "refund") -> None:
        """Some of the seats, or all that are left."""
        body = {"seats": list(seats)} if seats else {"reason": "cannot come"}
        answer = self.ask(kind, "POST", f"/v1/payments/{booking.payment_id}/refunds", body)
        if answer.ok:
            refund = answer.json()
            booking.refunded += refund["amount"]
            self._as_in(booking, refund["booking"])

    def _as_in(self, booking: Promise, read: dict[str, object]) -> None:
        now = msgspec.convert(read, _Now)
        booking.status = now.status
        # A booking given back as a whole keeps its seats on record, as the table does.
        booking.seats, booking.amount = tuple(seat.id for seat in now.seats), now.amount
        self._noted(booking)

    def _noted(self, booking: Promise) -> Promise:
        crew.notes.acknowledged(crew.stage.schedule_id, booking)
        return booking


class _Seat(Struct):
    id: str


class _Now(Struct):
    """As much of a booking as a promise is about."""

    status: str
    seats: list[_Seat]
    amount: int


def basket() -> int:
    """How many seats somebody wants."""
    return random.choices(BASKETS, BASKET_WEIGHTS)[0]
