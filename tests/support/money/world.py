"""What `test_money_machine` plays in: a schedule's real owners, the workers around them, and time that only jumps.

Nothing waits: the event loop's time goes to the next timer, so a story takes milliseconds and repeats exactly. A
`sleep` here, and in the stories, lets that time go on; no clock of the machine is involved.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace

from actors.owner.schedule import Schedule
from actors.wire.messages import Reply
from engine import commands as c
from engine import events as e
from engine.booking import Booking
from engine.refusals import Refusal
from engine.seating_plan import SeatingPlan
from engine.snapshot import state_hash
from engine.state import ScheduleState, apply
from engine.turn import Request
from persistence.journal.journal import Batch, Claim
from persistence.journal.memory import MemoryJournal
from persistence.providers.provider import NEVER_CHARGED_AFTER_MS, Declined
from persistence.seats.cache import SeatDelta, SeatView
from tests.engine.plans.houses import ANN, BOB, EVE, NOW, terms
from tests.support.clocks import JumpingLoop, ManualClock
from tests.support.money.ledger import PLAN, STARTS, Charge, Ledger, Outcome, Provider

SCHEDULE = "00000000-0000-7000-8000-0000000000aa"
PRICES = {"VIP": 55_001, "R": 33}
HOLD_MS = 600_000
NOT_CHARGED = Declined("not_charged")
CUSTOMERS = (ANN, BOB, EVE)
Answer = TypeVar("Answer")


def on_terms(**changes: object) -> e.Terms:
    return terms(starts_at_ms=STARTS, sale_closes_at_ms=STARTS, hold_ms=HOLD_MS, **changes)


class NoReaders:
    async def publish(self, view: SeatView, delta: SeatDelta) -> None:
        """Nobody looks."""


class GatedJournal(MemoryJournal):
    """Commits only while the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        await self.gate.wait()
        await super().append(claim, plan, batch)


class World:
    """One schedule with everything around it. `run` does one thing from outside and comes back when it is done."""

    def __init__(self, provider: Provider) -> None:
        self.loop = JumpingLoop()
        self.journal = GatedJournal()
        self.journal.open_schedule(SCHEDULE, PLAN, NOW, e.Opened(PLAN.digest, on_terms(prices=PRICES)))
        self.clock = ManualClock()
        self.provider = provider
        self.ledger = Ledger(provider)
        self.replayed = ScheduleState(PLAN)
        self.current: Schedule | None = None
        self.former: Schedule | None = None
        self.failed = False
        self._numbers = itertools.count(1)

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            return self.loop.run_until_complete(work)
        except BaseException:  # raised again: the story has failed, and its end need not be examined
            self.failed = True
            raise

    def new_id(self, kind: str) -> str:
        return f"{kind}{next(self._numbers)}"

    def request(self, command: c.AnyCommand) -> Request:
        # What a payment has come to is told without a request id: it may be told by anybody, any number of times.
        told = isinstance(command, c.ApprovePayment | c.DeclinePayment | c.ReturnPayment | c.CompleteRefund)
        return Request("" if told else self.new_id("r"), command)

    async def owner(self) -> Schedule:
        if self.current is not None and self.current.left.is_set():
            await self.crash()
        if self.current is None:
            self.current = await self._activated()
        return self.current

    async def _activated(self) -> Schedule:
        owner = Schedule(SCHEDULE, journal=self.journal, cache=NoReaders(), log=None, clock=self.clock)
        await owner.activate()
        return owner

    async def crash(self) -> None:
        if self.current is not None:
            await self.current.stop()
        self.current = None

    async def depose(self) -> None:
        if self.former is not None:
            await self.former.stop()
        self.former, self.current = self.current, await self._activated()

    async def ask(self, command: c.AnyCommand, request: Request | None = None) -> Reply:
        """Asks until there is an answer, as the gateway does."""
        request = request or self.request(command)
        for _ in range(10):
            reply = await self.ask_once(await self.owner(), request)
            if reply is not None:
                return reply
            request = replace(request, again=True)
        raise AssertionError("no owner answers")

    async def ask_once(self, owner: Schedule, request: Request) -> Reply:
        up_to_date = owner is not self.former
        (reply,) = await owner.submit([request])
        self.catch_up()
        if isinstance(reply, Refusal):
            assert self.ledger.stands(request, reply, up_to_date), f"{reply.code} is told and not durable"
        elif isinstance(reply, Booking):
            assert reply.version <= self.replayed.seq, "a success is told and not durable"
            assert request.id in self.ledger.requests
        return reply

    def catch_up(self) -> None:
        """Takes in what has become durable."""
        stored = self.journal.schedules[SCHEDULE]
        for at_ms, payload, request_id, fingerprint in stored.records[self.replayed.seq :]:
            record = e.Record(self.replayed.seq + 1, at_ms, e.decode_event(payload), request_id, fingerprint)
            self.ledger.enter(record)
            apply(self.replayed, record)

    async def record(
        self, payment_id: str, outcome: Outcome, *, dies: bool = False, by_mistake: Schedule | None = None
    ) -> None:
        """Tells what became of a payment; money that cannot have its seats any more goes back, unless we die here.

        `by_mistake` is a former owner that is told instead of the one there is.
        """
        charge = self.ledger.charges[payment_id]
        if isinstance(outcome, Declined):
            await self.ask(c.DeclinePayment(charge.booking_id, payment_id, outcome.reason))
            return
        command = c.ApprovePayment(charge.booking_id, payment_id, outcome.reference)
        reply = await (self.ask_once(by_mistake, self.request(command)) if by_mistake else self.ask(command))
        if isinstance(reply, Refusal) and not dies:
            await self.give_back_late(charge, outcome.reference)

    async def give_back_late(self, charge: Charge, reference: str) -> None:
        what = (charge.id, charge.amount, "KRW", "sandbox", reference, f"late-{charge.id}")
        await self.ask(c.ReturnPayment(charge.booking_id, charge.customer, *what))

    def look_up(self, charge: Charge) -> Outcome | None:
        outcome = self.provider.look_up(charge.id)
        if outcome is None and self.clock.ms - charge.requested_ms >= NEVER_CHARGED_AFTER_MS:
            return NOT_CHARGED
        return outcome

    def ask_provider(self, refund_id: str) -> None:
        owed = self.ledger.owed[refund_id]
        self.provider.refund(refund_id, owed.payment_id, owed.customer, owed.amount)

    async def complete(self, refund_id: str) -> Reply:
        payment_id, amount = self.provider.given_back[refund_id]
        return await self.ask(c.CompleteRefund(refund_id, payment_id, amount, "KRW", f"back-{refund_id}"))

    async def end_bookings(self, many: int) -> Reply:
        return await self.ask(c.EndBookings(tuple(self.new_id("e") for _ in range(many))))

    async def pass_time(self, ms: int) -> None:
        self.clock.ms += ms
        await self.owner()
        await asyncio.sleep(1.1)  # an owner looks at its clock every second
        self.catch_up()

    # --- the end ------------------------------------------------------------------------------------------------------
    async def settle(self) -> None:
        """What settlement, reconciliation and the organizer's sweep come to if nothing disturbs them any more."""
        self.journal.fail_next.clear()
        ledger = self.ledger
        await self.pass_time(NEVER_CHARGED_AFTER_MS)
        for charge in list(ledger.charges.values()):
            outcome = self.look_up(charge)
            if outcome is not None and charge.standing not in ("approved", "late"):
                await self.record(charge.id, outcome)
        while ledger.cancelled and any(True for _ in ledger.live()):
            await self.end_bookings(3)
        for refund_id in list(ledger.owed):
            self.ask_provider(refund_id)
            await self.complete(refund_id)
        await self.pass_time(2 * HOLD_MS)

    def check_settled(self) -> None:
        """Everybody has the seat or the money back."""
        ledger, provider = self.ledger, self.provider
        assert ledger.owed == {}
        assert all(charge.standing != "asked" for charge in ledger.charges.values())
        for account in ledger.live():
            assert account.standing == "sold", "a seat is kept unpaid"
        for payment_id, amount in provider.taken.items():
            charge = ledger.charges[payment_id]
            assert (charge.standing in ("approved", "late"), charge.amount) == (True, amount), "money without a seat"
        for customer in CUSTOMERS:
            assert provider.balances[customer] == ledger.worth(customer), "money was made or lost"

    async def check_agreement(self) -> None:
        """Memory, journal and tables say the same."""
        owner = await self.owner()
        for _ in range(100):
            inspection = await owner.inspect()
            if inspection.version == inspection.durable_version:
                break
            await asyncio.sleep(0.001)  # of the story's time: the commit under way ends
        self.catch_up()
        if not owner.left.is_set():
            assert (inspection.version, inspection.state_hash) == (self.replayed.seq, state_hash(self.replayed))
        tables = self.journal.schedules[SCHEDULE].bookings
        assert tables == {**self.replayed.ended, **self.replayed.bookings}
        for customer in CUSTOMERS:
            assert self.ledger.taken[customer] == self.ledger.worth(customer), "the journal makes or loses money"

    def close(self) -> None:
        self.loop.run_until_complete(self._leave())
        self.loop.close()

    async def _leave(self) -> None:
        for owner in (self.current, self.former):
            if owner is not None:
                await owner.stop()
        unanswered = asyncio.all_tasks() - {asyncio.current_task()}
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*unanswered, return_exceptions=True)
