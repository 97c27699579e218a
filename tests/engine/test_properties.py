"""What holds after any sequence of commands: the simulation of a sale against an independent auditor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine import commands as c
from engine import events as e
from engine.booking import Booking, Status, can_expire
from engine.events import Record, decode_event, encode_event
from engine.payment import PaymentStatus, RefundStatus
from engine.refund_policy import DEFAULT_POLICY, RefundStep
from engine.refusals import Refusal
from engine.seating_plan import difference, in_the_way
from engine.snapshot import Fingerprint, capture, decode, encode, state_hash
from engine.state import BLOCKED, FREE, HELD, SOLD, ScheduleState, apply
from engine.turn import EXPIRE, Request, Step, Turn, execute
from tests.engine.plans.houses import ANN, BOB, DAY, EVE, NOW, corrected, opened, plan_document, succession, terms

DOCUMENT = plan_document(rows=3, seats=5, standing=4)
# A house whose plan is corrected again and again.
PLAN = succession(DOCUMENT, *(corrected(DOCUMENT, back=back) for back in (False, True, False, True)))
CUSTOMERS = st.sampled_from([ANN, BOB, EVE])
OWNERS = st.one_of(CUSTOMERS, st.just(""))
SEATS = st.one_of(
    st.lists(st.sampled_from(PLAN.ids), min_size=1, max_size=4, unique=True).map(tuple),
    st.integers(1, 3).map(lambda places: ("A-1", *("pit",) * places)),
)
NUMBERS = st.integers(0, 12)
BOOKINGS = NUMBERS.map(str)
FEES = st.sampled_from([None, None, 0, 33, 100])
TERMS = st.builds(
    lambda vip, regular, policy, days, promised: terms(
        prices={"VIP": vip, "R": regular},
        refund_policy=policy,
        starts_at_ms=NOW + days * DAY,
        sale_closes_at_ms=NOW + days * DAY,
        refund_when_moved=promised,
    ),
    st.sampled_from([150_000, 101, None]),
    st.sampled_from([90_000, 33, 0]),
    st.sampled_from([DEFAULT_POLICY, (), (RefundStep(0, 50),)]),
    st.sampled_from([30, 30, 12]),
    st.booleans(),
)
WITHDRAWAL = e.Withdrawn("organizer")  # written past the owner, if nobody has a seat
CORRECTION = e.PlanChanged(0, "", terms())  # spelled out, and written past the owner, if nobody loses a seat by it
Event = e.Withdrawn | e.PlanChanged
END = c.CancelSchedule("snow", "organizer")
# What a story leaves open is spelled out when it is played (`Sale.spelled_out`): a new id, or which of those there are.
NEW, ITS_OWN, NEWEST = "", "its own", "newest"

COMMANDS: st.SearchStrategy[c.AnyCommand] = st.one_of(
    st.builds(c.HoldSeats, st.just(NEW), CUSTOMERS, SEATS),
    st.builds(c.HoldBest, st.just(NEW), CUSTOMERS, st.integers(1, 5), st.sampled_from([None, "VIP", "R"])),
    st.builds(c.HoldBest, st.just(NEW), CUSTOMERS, st.integers(1, 5), st.none(), st.none(), st.just(True)),
    st.builds(c.Cancel, BOOKINGS, st.just("x"), OWNERS),
    st.builds(c.Change, BOOKINGS, OWNERS, SEATS),
    st.builds(
        c.ChangeBest,
        BOOKINGS,
        OWNERS,
        st.integers(1, 5),
        st.sampled_from([None, "VIP", "R"]),
        st.none(),
        st.booleans(),
        st.one_of(st.just(()), SEATS),
    ),
    st.builds(
        lambda who, quantity, seats: c.HoldBest(NEW, who, quantity, exclude=seats), CUSTOMERS, st.integers(1, 5), SEATS
    ),
    st.builds(c.Extend, BOOKINGS, OWNERS),
    st.builds(
        c.Transfer, BOOKINGS, OWNERS, st.just(NEW), CUSTOMERS, st.one_of(st.just(()), st.just((ITS_OWN,)), SEATS)
    ),
    st.builds(c.Confirm, BOOKINGS, OWNERS),
    st.builds(c.RequestPayment, BOOKINGS, OWNERS, st.just(NEW), st.just("sandbox")),
    st.builds(c.ApprovePayment, BOOKINGS, st.sampled_from([ITS_OWN, "other"]), st.just("ref")),
    st.builds(c.DeclinePayment, BOOKINGS, st.sampled_from([ITS_OWN, "other"]), st.just("lost_card")),
    st.builds(
        c.ReturnPayment,
        BOOKINGS,
        CUSTOMERS,
        st.one_of(st.integers(0, 60).map(lambda number: f"p{number}"), st.just(ITS_OWN)),
        st.sampled_from([1, 90_000]),
        st.just("KRW"),
        st.just("sandbox"),
        st.just("ref"),
        st.just(NEW),
    ),
    st.builds(
        lambda booking_id, owner, seats, fee: c.Refund(booking_id, owner, NEW, ITS_OWN, seats, fee_percent=fee),
        BOOKINGS,
        OWNERS,
        st.one_of(st.just(()), st.just((ITS_OWN,)), SEATS),
        FEES,
    ),
    st.builds(c.CompleteRefund, NUMBERS.map(str), st.just(ITS_OWN), st.just(0), st.just("KRW"), st.just("back")),
    st.builds(lambda many: c.EndBookings((NEW,) * many), st.integers(0, 3)),
    st.builds(c.Block, SEATS, st.just("camera"), st.just("o")),
    st.builds(c.Unblock, SEATS, st.just("o")),
    st.builds(c.ChangeTerms, TERMS),
    st.just(c.Expire()),
)
PAY = c.RequestPayment(NEWEST, "", NEW, "sandbox")
APPROVE = c.ApprovePayment(NEWEST, ITS_OWN, "ref")
DECLINE = c.DeclinePayment(NEWEST, ITS_OWN, "not_charged")
LATE = c.ReturnPayment(NEWEST, ANN, ITS_OWN, 90_000, "KRW", "sandbox", "ref", NEW)
HAND_ON = c.Transfer(NEWEST, "", NEW, EVE, (ITS_OWN,))
CHAPTERS = st.builds(
    lambda hold, plot: [hold, *plot],
    st.builds(c.HoldBest, st.just(NEW), CUSTOMERS, st.integers(1, 4)),
    st.sampled_from(
        [
            [PAY, APPROVE],
            [PAY, APPROVE, c.Refund(NEWEST, "", NEW, ITS_OWN, (ITS_OWN,))],
            [PAY, APPROVE, HAND_ON],
            [PAY, APPROVE, HAND_ON, c.Refund(NEWEST, "", NEW, ITS_OWN)],
            [PAY, APPROVE, c.Transfer(NEWEST, "", NEW, BOB), HAND_ON],
            [PAY, DECLINE, PAY, APPROVE],
            [PAY, DECLINE, LATE],
            [PAY],
        ]
    ),
)
# Half a minute mostly, so that holds overlap; days now and then, so that the refund policy takes its steps.
PAUSES = st.integers(0, 40).map(lambda number: 1_500 * number if number < 39 else 4 * DAY)
Story = list[tuple[c.AnyCommand | Event, int]]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Single commands and whole purchases; in some the schedule is cancelled towards the end, or withdrawn."""
    least = draw(st.integers(0, 25))  # without it, stories are five commands long as a rule
    chapters = draw(st.lists(st.one_of(COMMANDS.map(lambda one: [one]), CHAPTERS), min_size=least, max_size=45))
    for place in draw(st.lists(st.integers(0, 45), max_size=4)):
        chapters.insert(place, [CORRECTION])
    if draw(st.integers(0, 3)) == 0:
        ended = draw(st.lists(st.one_of(COMMANDS, st.just(c.EndBookings((NEW, NEW)))), max_size=12))
        chapters += [[END], ended]
    if draw(st.integers(0, 3)) == 0:
        chapters += [[WITHDRAWAL], draw(st.lists(COMMANDS, max_size=12))]
    return [(command, draw(PAUSES) if first else 0) for chapter in chapters for first, command in marked(chapter)]


def marked(chapter: list[c.AnyCommand | Event]) -> Iterator[tuple[bool, c.AnyCommand | Event]]:
    return ((number == 0, command) for number, command in enumerate(chapter))


class Sale:
    """Sends commands, each some time after the one before, and audits after each."""

    def __init__(self, state: ScheduleState) -> None:
        self.state = state
        self.books = Books()
        self.now_ms = NOW
        self.steps: list[Step] = []
        self._sent = 0
        self._made = 0

    def play(self, story: Story) -> None:
        for command, pause_ms in story:
            self.send(command, pause_ms)

    def send(self, command: c.AnyCommand | Event, pause_ms: int) -> tuple[Request, Turn]:
        self.now_ms += pause_ms
        if isinstance(command, e.PlanChanged):
            return self._correct()
        if isinstance(command, e.Withdrawn):
            return self._withdraw(command)
        request = Request(f"r{self._sent}", self.spelled_out(command))
        self._sent += 1
        turn = execute(self.state, request, self.now_ms)
        self._made += isinstance(command, c.HoldSeats | c.HoldBest) and isinstance(turn.result, Booking)
        self.steps += turn.steps
        self.books.enter(turn.steps)
        audit(self.state)
        self.books.audit(self.state)
        assert isinstance(turn.result, Refusal) or turn.steps or isinstance(command, MAY_CHANGE_NOTHING)
        return request, turn

    def _withdraw(self, event: e.Withdrawn) -> tuple[Request, Turn]:
        """As a route does it, which has locked the head and asked the tables. Any request would do for an answer."""
        for number in reversed(range(len(self.state.bookings))):
            self.send(c.Cancel(str(number), "x", ""), 0)
        if not self.state.bookings:
            record = Record(self.state.seq + 1, self.now_ms, event)
            apply(self.state, record)
            self.steps.append(Step(record, None))
            self.books.withdrawn = True
        return EXPIRE, execute(self.state, EXPIRE, self.now_ms)

    def _correct(self) -> tuple[Request, Turn]:
        """As a route does it: the next plan, with a price for each category, where nobody loses a place by it."""
        state, before = self.state, self.state.plan
        after = before.successor
        if after is not None and state.withdrawn is None:
            change = difference(before, after)
            owned = [before.ids[index] for booking in state.bookings.values() for index in booking.seats]
            blocked = ["pit"] * state.areas[0][BLOCKED]
            if not in_the_way(change, owned) and not in_the_way(change, [*owned, *blocked]):
                named = {key: self._names(each) for key, each in {**state.bookings, **state.ended}.items()}
                prices = {name: state.on.prices.get(name, 120_000) for name in after.categories}
                event = e.PlanChanged(after.number, after.digest, replace(state.on, prices=prices))
                record = Record(state.seq + 1, self.now_ms, event)
                apply(state, record)
                self.steps.append(Step(record, None))
                audit(state)
                assert named == {key: self._names(each) for key, each in {**state.bookings, **state.ended}.items()}
        return self.send(c.Expire(), 0)  # any request would do for an answer

    def _names(self, booking: Booking) -> tuple[object, ...]:
        """The places of a live booking in words, of one that has ended by their ids."""
        plan, live = self.state.plan, booking.id in self.state.bookings
        places = [plan.describe(index) if live else plan.ids[index] for index in booking.seats]
        return (places, [[plan.ids[index] for index in each.seats] for each in booking.refunds])

    def spelled_out(self, command: c.AnyCommand) -> c.AnyCommand:
        if isinstance(command, c.HoldSeats | c.HoldBest):
            return replace(command, booking_id=f"b{self._made}")
        if isinstance(command, c.EndBookings):
            return c.EndBookings(tuple(f"e{self._sent}-{number}" for number in range(len(command.ids))))
        if isinstance(command, c.CompleteRefund):
            return self._owed(command)
        booking_id = getattr(command, "booking_id", None)
        if booking_id is None:
            return command
        facts: dict[str, object] = {"booking_id": self._meant(booking_id)}
        found = self.state.find(str(facts["booking_id"]))
        if isinstance(command, c.RequestPayment):
            facts["payment_id"] = f"p{self._sent}"
        elif getattr(command, "payment_id", None) == ITS_OWN:
            facts["payment_id"] = found.payment.id if found is not None and found.payment is not None else "none"
        if isinstance(command, c.Refund | c.ReturnPayment):
            facts["refund_id"] = f"f{self._sent}"
        if isinstance(command, c.Transfer):
            facts["to_booking_id"] = f"t{self._sent}"
        if isinstance(command, c.Refund | c.Transfer) and command.seats == (ITS_OWN,):
            facts["seats"] = () if found is None else (self.state.plan.ids[found.seats[-1]],)
        return replace(command, **facts)

    def _meant(self, booking_id: str) -> str:
        """One of the live bookings as a rule, one that has ended or never was now and then."""
        if booking_id == NEWEST:
            return f"b{self._made - 1}"
        number, live, ended = int(booking_id), list(self.state.bookings), list(self.state.ended)
        if number < 9 and live:
            return live[number % len(live)]
        return ended[-1 - number % len(ended)] if number < 12 and ended else "nowhere"

    def _owed(self, command: c.CompleteRefund) -> c.CompleteRefund:
        if not self.books.owed:
            return command
        refund_id = list(self.books.owed)[int(command.refund_id) % len(self.books.owed)]
        payment_id, amount = self.books.owed[refund_id]
        return replace(command, refund_id=refund_id, payment_id=payment_id, amount=amount)


MAY_CHANGE_NOTHING = c.Expire | c.Unblock | c.EndBookings | c.ChangeTerms


class Books:
    """The money as the journal's events tell it, kept apart from the engine."""

    def __init__(self) -> None:
        self.requested: dict[str, int] = {}
        self.taken = 0
        self.given_back = 0
        self.fees = 0
        self.owed: dict[str, tuple[str, int]] = {}  # refund → payment, amount
        self.ended_by_organizer = self.withdrawn = False

    def enter(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            assert not self.withdrawn or isinstance(step.record.event, e.PaymentLate | e.Refunded), (
                "only debts are paid"
            )
            match step.record.event:
                case e.PaymentRequested(payment_id=payment_id, amount=amount):
                    self.requested[payment_id] = amount
                case e.PaymentApproved(payment_id=payment_id):
                    self.taken += self.requested.pop(payment_id)
                case e.PaymentLate(payment_id=payment_id, amount=amount, refund_id=refund_id):
                    self.taken += amount
                    self._owe(refund_id, payment_id, amount)
                case e.RefundRequested(payment_id=payment_id, amount=amount, fee=fee, refund_id=refund_id):
                    assert amount >= 0
                    assert fee >= 0
                    self.fees += fee
                    self._owe(refund_id, payment_id, amount)
                case e.Refunded(payment_id=payment_id, amount=amount, refund_id=refund_id):
                    assert self.owed.pop(refund_id) == (payment_id, amount)
                    self.given_back += amount
                case e.ScheduleCancelled():
                    self.ended_by_organizer = True
                case e.Held() | e.Confirmed() | e.Changed() | e.Extended() | e.TermsChanged() as event:
                    assert not self.ended_by_organizer or isinstance(event, e.Confirmed | e.TermsChanged)

    def _owe(self, refund_id: str, payment_id: str, amount: int) -> None:
        assert refund_id not in self.owed
        self.owed[refund_id] = (payment_id, amount)

    def audit(self, state: ScheduleState) -> None:
        """Money is kept for seats that are owned and for fees, and for nothing else."""
        value = sum(sum(booking.prices) for booking in state.bookings.values() if booking.status is not Status.HELD)
        owed = sum(amount for _, amount in self.owed.values())
        assert self.taken - self.given_back - owed == value + self.fees, "money was made or lost"
        assert set(state.pending_refunds) == set(self.owed)
        for booking in (*state.bookings.values(), *state.ended.values()):
            for refund in booking.refunds:
                assert (refund.status is RefundStatus.REQUESTED) == (refund.id in self.owed)
        self._audit_families(state)

    def _audit_families(self, state: ScheduleState) -> None:
        """Seats that were paid for together agree on their payment, and it lasts as long as the last of them."""
        payments: dict[str, set[PaymentStatus]] = {}
        for booking in state.bookings.values():
            assert (booking.origin == "") == (booking.payer == "")
            # What costs nothing is confirmed without a payment, whatever has become of one that was tried.
            if booking.sold and booking.payment is not None and booking.payment.amount:
                payments.setdefault(booking.payment.id, set()).add(booking.payment.status)
        for statuses in payments.values():
            assert len(statuses) == 1
            assert statuses <= {PaymentStatus.APPROVED, PaymentStatus.PARTIALLY_REFUNDED}


def audit(state: ScheduleState) -> None:
    """Counts the house anew from the bookings alone."""
    plan = state.plan
    owners: Counter[int] = Counter()
    for booking in state.bookings.values():
        assert booking.status in (Status.HELD, Status.CONFIRMED, Status.PARTIALLY_REFUNDED)
        assert len(booking.seats) == len(booking.prices) > 0
        assert (booking.status is Status.PARTIALLY_REFUNDED) == any(refund.seats for refund in booking.refunds)
        for index in booking.seats:
            owners[index] += 1
            if index < plan.size:
                assert state.seats[index] == (HELD if booking.status is Status.HELD else SOLD)
    assert all(owners[index] <= 1 for index in range(plan.size)), "a seat has two owners"
    for index, seat in enumerate(state.seats):
        assert (seat in (HELD, SOLD)) == (owners[index] == 1), "a seat is taken that nobody owns"
    for number, counts in enumerate(state.areas):
        assert min(counts) >= 0
        assert sum(counts) == plan.areas[number].capacity
        assert counts[HELD] + counts[SOLD] == owners[plan.size + number]
    places = Counter[str]()
    for booking in state.bookings.values():
        places[booking.customer_id] += len(booking.seats)
    assert state.places_of == dict(places)
    unsold = {number for number, name in enumerate(plan.categories) if state.on.prices[name] is None}
    for_sale = [index for index in range(plan.size) if plan.category_of[index] not in unsold]
    assert state.free.count(None, None) == sum(state.seats[index] == FREE for index in for_sale)
    due = [booking.expires_ms for booking in state.bookings.values() if can_expire(booking)]
    assert state.next_deadline_ms() == min(due, default=None)
    paying = [b.payment.requested_ms for b in state.bookings.values() if b.payment and b.payment.status is REQUESTED]
    assert state.oldest_payment_ms() == min(paying, default=None)


REQUESTED = PaymentStatus.REQUESTED


@given(stories())
@settings(max_examples=300, deadline=None)
def test_no_story_sells_a_seat_twice_or_loses_count_of_seats_or_money(story: Story) -> None:
    Sale(opened(PLAN)).play(story)


@given(stories())
@settings(max_examples=75, deadline=None)
def test_replaying_the_encoded_journal_gives_the_same_state(story: Story) -> None:
    sale, copy = Sale(opened(PLAN)), opened(PLAN)
    sale.play(story)
    for step in sale.steps:
        record = step.record
        event = decode_event(encode_event(record.event))
        assert event == record.event
        assert apply(copy, record) == step.booking
    assert state_hash(copy) == state_hash(sale.state)
    assert encode(capture(copy)) == encode(capture(sale.state))


@given(stories(), stories())
@settings(max_examples=75, deadline=None)
def test_a_state_restored_from_a_snapshot_goes_on_as_if_nothing_had_happened(before: Story, then: Story) -> None:
    sale = Sale(opened(PLAN))
    sale.play(before)
    state = sale.state
    restored = decode(PLAN, encode(capture(state)))
    assert encode(capture(restored)) == encode(capture(state))
    assert restored.policies == state.policies
    assert restored.cancelled == state.cancelled
    assert restored.pending_refunds == state.pending_refunds
    assert restored.pending_payments == state.pending_payments
    assert (restored.withdrawn, restored.moved_ms) == (state.withdrawn, state.moved_ms)
    for command, pause_ms in then:
        if isinstance(command, Event):  # whoever writes past an owner has it read its journal anew
            continue
        request, turn = sale.send(command, pause_ms)
        assert execute(restored, request, sale.now_ms) == turn
    assert state_hash(restored) == state_hash(state)


@given(stories(), st.sets(st.integers(0, 60)), st.integers(0, 60))
@settings(max_examples=75, deadline=None)
def test_the_hash_kept_up_to_date_is_the_hash_reckoned_anew(story: Story, looks: set[int], restart: int) -> None:
    sale = Sale(opened(PLAN))
    kept = Fingerprint(sale.state)
    for number, (command, pause_ms) in enumerate(story):
        if number in looks:
            assert kept.hexdigest() == state_hash(sale.state)
        elif number - 1 in looks:
            kept.refresh()
        if number == restart:  # an owner that recovers makes a new one
            sale.state = decode(PLAN, encode(capture(sale.state)))
            kept = Fingerprint(sale.state)
        sale.send(command, pause_ms)
    assert kept.hexdigest() == state_hash(sale.state)
    assert kept.hexdigest() == Fingerprint(decode(PLAN, encode(capture(sale.state)))).hexdigest()


def test_the_hash_tells_apart_what_differs_in_money_alone() -> None:
    seen = set[str]()
    for story in (
        [],
        [c.Refund("b0", "", "f1", "pb0", ("A-1",))],
        [c.Refund("b0", "", "f1", "pb0", ("A-1",), fee_percent=1)],
        [c.Refund("b0", "", "f2", "pb0", ("A-1",))],
        [c.ReturnPayment("b0", ANN, "p9", 5, "KRW", "sandbox", "ref", "f1")],
        [c.ReturnPayment("gone", ANN, "p9", 5, "KRW", "sandbox", "ref", "f1")],
        [END],
        [c.ChangeTerms(terms(refund_policy=()))],
    ):
        state = opened(PLAN)
        hold = c.HoldSeats("b0", ANN, ("A-1", "A-2"))
        pay = (c.RequestPayment("b0", "", "pb0", "sandbox"), c.ApprovePayment("b0", "pb0", "ref"))
        for number, command in enumerate((hold, *pay, *story)):
            assert execute(state, Request(f"r{number}", command), NOW).steps
        state.seq = 0
        seen.add(state_hash(state))
    assert len(seen) == 8


def test_the_auditor_notices_a_seat_without_an_owner() -> None:
    state = opened(PLAN)
    state.seats[0] = BLOCKED
    state.free.take(0)
    audit(state)
    state.seats[0] = SOLD
    with pytest.raises(AssertionError, match="nobody owns"):
        audit(state)


def test_the_auditor_notices_money_without_a_seat() -> None:
    sale = Sale(opened(PLAN))
    sale.play([(c.HoldSeats(NEW, ANN, ("A-1",)), 0), (PAY, 0), (APPROVE, 0)])
    sale.state.bookings["b0"] = replace(sale.state.bookings["b0"], prices=(149_999,))
    with pytest.raises(AssertionError, match="money was made or lost"):
        sale.books.audit(sale.state)
