"""What holds after any sequence of commands: the simulation of a sale against an independent auditor."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import commands as c
from engine.booking import Booking, PaymentStatus, Status
from engine.events import decode_event, encode_event
from engine.refusals import Refusal
from engine.seating_plan import SeatingPlan
from engine.snapshot import capture, decode, encode, state_hash
from engine.state import BLOCKED, FREE, HELD, SOLD, ScheduleState, apply, can_expire
from engine.turn import Request, Step, execute
from tests.engine.houses import ANN, BOB, EVE, NOW, opened, plan_document

PLAN = SeatingPlan.parse(plan_document(rows=3, seats=5, standing=4))
CUSTOMERS = st.sampled_from([ANN, BOB, EVE])
SEATS = st.lists(st.sampled_from(PLAN.ids), min_size=1, max_size=4, unique=True).map(tuple)
BOOKINGS = st.integers(0, 12).map(lambda number: f"b{number}")

COMMANDS = st.one_of(
    st.builds(c.HoldSeats, st.just(""), CUSTOMERS, SEATS),
    st.builds(c.HoldBest, st.just(""), CUSTOMERS, st.integers(1, 5), st.sampled_from([None, "VIP", "R"])),
    st.builds(c.HoldBest, st.just(""), CUSTOMERS, st.integers(1, 5), st.none(), st.none(), st.just(True)),
    st.builds(c.Cancel, BOOKINGS, st.just("x"), st.one_of(CUSTOMERS, st.just(""))),
    st.builds(c.Change, BOOKINGS, CUSTOMERS, SEATS),
    st.builds(c.Extend, BOOKINGS, CUSTOMERS),
    st.builds(c.RequestPayment, BOOKINGS, st.just(""), BOOKINGS.map(lambda b: f"p{b}"), st.just("sandbox")),
    st.builds(lambda b: c.ApprovePayment(b, f"p{b}", "ref"), BOOKINGS),
    st.builds(lambda b: c.DeclinePayment(b, f"p{b}", "lost_card"), BOOKINGS),
    st.builds(c.Block, SEATS, st.just("camera"), st.just("o")),
    st.builds(c.Unblock, SEATS, st.just("o")),
    st.just(c.Expire()),
)
STORIES = st.lists(st.tuples(COMMANDS, st.integers(0, 200_000)), max_size=60)


def live(story: list[tuple[c.AnyCommand, int]], state: ScheduleState) -> list[Step]:
    """Sends the commands, each some time after the one before; holds get the next free booking id."""
    now_ms, steps, made = NOW, list[Step](), 0
    for number, (command, pause_ms) in enumerate(story):
        now_ms += pause_ms
        if isinstance(command, c.HoldSeats | c.HoldBest):
            fields = {name: getattr(command, name) for name in command.__struct_fields__}
            command = type(command)(**{**fields, "booking_id": f"b{made}"})
        turn = execute(state, Request(f"r{number}", command), now_ms)
        made += isinstance(command, c.HoldSeats | c.HoldBest) and isinstance(turn.result, Booking)
        steps += turn.steps
        audit(state)
        assert isinstance(turn.result, Refusal) or turn.steps or isinstance(command, c.Expire | c.Unblock)
    return steps


def audit(state: ScheduleState) -> None:
    """Counts the house anew from the bookings alone."""
    owners: Counter[int] = Counter()
    for booking in state.bookings.values():
        assert booking.status in (Status.HELD, Status.CONFIRMED)
        assert len(booking.seats) == len(booking.prices)
        for index in booking.seats:
            owners[index] += 1
            if index < PLAN.size:
                assert state.seats[index] == (HELD if booking.status is Status.HELD else SOLD)
    assert all(owners[index] <= 1 for index in range(PLAN.size)), "a seat has two owners"
    for index, seat in enumerate(state.seats):
        assert (seat in (HELD, SOLD)) == (owners[index] == 1), "a seat is taken that nobody owns"
    for number, counts in enumerate(state.areas):
        assert min(counts) >= 0
        assert sum(counts) == PLAN.areas[number].capacity
        assert counts[HELD] + counts[SOLD] == owners[PLAN.size + number]
    places = Counter[str]()
    for booking in state.bookings.values():
        places[booking.customer_id] += len(booking.seats)
    assert state.places_of == dict(places)
    assert state.free.count(None, None) == sum(seat == FREE for seat in state.seats)
    due = [booking.expires_ms for booking in state.bookings.values() if can_expire(booking)]
    assert state.next_deadline_ms() == min(due, default=None)
    paying = [b.payment.requested_ms for b in state.bookings.values() if b.payment and b.payment.status is REQUESTED]
    assert state.oldest_payment_ms() == min(paying, default=None)


REQUESTED = PaymentStatus.REQUESTED


@given(STORIES)
@settings(max_examples=150, deadline=None)
def test_no_story_sells_a_seat_twice_or_loses_count(story: list[tuple[c.AnyCommand, int]]) -> None:
    live(story, opened(PLAN))


@given(STORIES)
@settings(max_examples=75, deadline=None)
def test_replaying_the_encoded_journal_gives_the_same_state(story: list[tuple[c.AnyCommand, int]]) -> None:
    state, copy = opened(PLAN), opened(PLAN)
    for step in live(story, state):
        record = step.record
        event = decode_event(encode_event(record.event))
        assert event == record.event
        assert apply(copy, record) == step.booking
    assert state_hash(copy) == state_hash(state)
    assert encode(capture(copy)) == encode(capture(state))


@given(STORIES, STORIES)
@settings(max_examples=75, deadline=None)
def test_a_state_restored_from_a_snapshot_goes_on_as_if_nothing_had_happened(
    before: list[tuple[c.AnyCommand, int]], then: list[tuple[c.AnyCommand, int]]
) -> None:
    state = opened(PLAN)
    live(before, state)
    restored = decode(PLAN, encode(capture(state)))
    assert encode(capture(restored)) == encode(capture(state))
    now_ms = NOW + 40_000_000
    for number, (command, pause_ms) in enumerate(then):
        now_ms += pause_ms
        request = Request(f"then-{number}", command)
        if isinstance(command, c.HoldSeats | c.HoldBest):
            continue
        assert execute(restored, request, now_ms) == execute(state, request, now_ms)
    assert state_hash(restored) == state_hash(state)


def test_the_auditor_notices_a_seat_without_an_owner() -> None:
    state = opened(PLAN)
    state.seats[0] = BLOCKED
    state.free.take(0)
    audit(state)
    state.seats[0] = SOLD
    try:
        audit(state)
    except AssertionError:
        return
    raise RuntimeError("the auditor is blind")
