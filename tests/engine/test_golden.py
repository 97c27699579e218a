"""Old journals must replay for ever: committed bytes, replayed by today's code.

A line of `golden/*.jsonl` is one journal row as the database keeps it; the first line carries the plan, and those that
took its place. What the
replay must come to stands beside it, in `*.facts.json`, field by field: new fields may join them, none may change.
`python -m tests.engine.test_golden STORY NAME` writes a new pair; those committed are never written again.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import msgspec
import pytest

from engine import commands as c
from engine.booking import Booking, Status
from engine.events import AnyEvent, Opened, PlanChanged, Record, TermsChanged, Withdrawn, decode_event, encode_event
from engine.payment import PaymentStatus, RefundStatus
from engine.plan_document import read_plan
from engine.refund_policy import DEFAULT_POLICY, RefundStep
from engine.state import BLOCKED, ScheduleState, apply
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, DAY, EVE, NOW, corrected, opened, plan_document, succession, terms

DIRECTORY = Path(__file__).parent / "golden"
GOLDEN = sorted(DIRECTORY.glob("*.jsonl"))


def replay(path: Path) -> tuple[ScheduleState, list[Record]]:
    header, *lines = (json.loads(line) for line in path.read_text().splitlines())
    state = ScheduleState(succession(header["plan"], *header.get("later", ())))
    records = []
    for seq, at_ms, payload, request_id, fingerprint in lines:
        record = Record(seq, at_ms, decode_event(base64.b64decode(payload)), request_id, fingerprint)
        apply(state, record)
        records.append(record)
    return state, records


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_old_journal_replays_to_the_state_it_had(path: Path) -> None:
    state, _ = replay(path)
    assert facts(state).items() >= json.loads(path.with_suffix(".facts.json").read_text()).items()


def facts(state: ScheduleState) -> dict[str, object]:
    """What a journal has led to, field by field."""
    return {
        "version": state.seq,
        "terms": told(state.on, "currency prices starts_at_ms sale_opens_at_ms sale_closes_at_ms hold_ms"),
        "seats": bytes(state.seats).hex(),
        "areas": state.areas,
        "live": {booking.id: of_booking(booking) for booking in state.bookings.values()},
        "ended": {booking.id: of_booking(booking) for booking in state.ended.values()},
        "requests": {key: [kept.fingerprint, str(kept.answer)[:8]] for key, kept in state.requests.items()},
        "policies": json.loads(json.dumps(state.policies, default=msgspec.structs.astuple)),
        "cancelled": state.cancelled and told(state.cancelled, "at_ms reason by"),
        "pending_refunds": state.pending_refunds,
        "pending_payments": state.pending_payments,
        "withdrawn": state.withdrawn and told(state.withdrawn, "at_ms by"),
        "moved_ms": state.moved_ms,
        "moving_promises": json.loads(json.dumps(state.moving_promises)),
        "withheld": sorted(state.withheld),
        "clocks": json.loads(json.dumps(state.on.clocks)),
        "plan": [state.plan.number, state.plan.digest, [label.id for label in state.plan.gone]],
    }


def of_booking(booking: Booking) -> dict[str, object]:
    told_ = told(booking, "customer_id status seats prices currency created_ms expires_ms version")
    if booking.payment is not None:
        told_["payment"] = told(booking.payment, "id amount status requested_ms provider settled_ms reference reason")
    if booking.ending is not None:
        told_["ending"] = told(booking.ending, "id at_ms reason by")
    if booking.refunds:
        names = "id payment_id amount fee seats status requested_ms reason by settled_ms reference"
        told_["refunds"] = [told(refund, names) for refund in booking.refunds]
    if booking.origin:
        told_ |= told(booking, "origin payer")
    return told_


def told(value: object, names: str) -> dict[str, object]:
    return {name: json.loads(json.dumps(getattr(value, name))) for name in names.split()}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_old_journal_has_every_record_it_had(path: Path) -> None:
    state, records = replay(path)
    assert [record.seq for record in records] == list(range(1, state.seq + 1))


def test_the_first_sale_on_record_tells_the_story_it_told() -> None:
    state, _ = replay(DIRECTORY / "2026-11.jsonl")
    assert state.bookings["b1"].status is Status.CONFIRMED
    payment = state.bookings["b1"].payment
    assert payment is not None
    assert (payment.status, payment.reference) == (PaymentStatus.APPROVED, "ref-2")
    assert {key: booking.status for key, booking in state.ended.items()} == {
        "b2": Status.CANCELLED,
        "b4": Status.EXPIRED,
    }
    assert state.areas == [[5, 0, 4, 1]]
    assert state.policy_of(state.bookings["b1"]) == DEFAULT_POLICY  # sold before a schedule had a policy of its own
    assert (state.cancelled, state.pending_refunds) == (None, {})


def test_the_first_money_on_record_tells_the_story_it_told() -> None:
    state, _ = replay(DIRECTORY / "2026-11-money.jsonl")
    assert list(state.bookings) == ["b7"]  # still being paid for
    assert {key: (booking.status.name, [refund.amount for refund in booking.refunds]) for key, booking in
            state.ended.items()} == {
        "b1": ("REFUNDED", [135_000, 150_000]),
        "b2": ("EXPIRED", [180_000]),
        "b3": ("REFUNDED", [180_000, 0, 90_000]),
        "b4": ("REFUNDED", [77_500]),
        "b5": ("CANCELLED", []),
        "b6": ("CANCELLED", []),
    }  # fmt: skip
    done = [refund.id for booking in state.ended.values() for refund in booking.refunds
            if refund.status is RefundStatus.COMPLETED]  # fmt: skip
    assert sorted(done) == ["f1", "f2", "f4"]
    assert state.pending_refunds == {"f-unknown": "b-unknown", "f3": "b3", "f5": "b4", "e1": "b1", "e2": "b3"}
    assert (state.seats.count(0), state.areas) == (17, [[10, 0, 0, 0]])


def test_the_first_withdrawal_on_record_tells_the_story_it_told() -> None:
    state, _ = replay(DIRECTORY / "2026-11-withdrawn.jsonl")
    assert state.withdrawn is not None
    assert (state.withdrawn.by, state.bookings, state.pending_refunds) == ("organizer", {}, {"f2": "b2", "f3": "b3"})
    given = {key: [refund.fee for refund in booking.refunds] for key, booking in state.ended.items()}
    assert given == {"b1": [], "b2": [0], "b3": [45_000]}  # b2 was booked before the start was moved, b3 after
    assert state.withheld == {1}


def test_the_first_correction_on_record_tells_the_story_it_told() -> None:
    state, _ = replay(DIRECTORY / "2026-11-corrected.jsonl")
    names = {booking.id: [state.plan.ids[index] for index in booking.seats] for booking in state.bookings.values()}
    assert names == {"b1": ["A-1", "C-2"], "b4": ["B-1", "C-6"], "b5": ["pit"]}
    ended = {booking.id: [state.plan.ids[index] for index in booking.seats] for booking in state.ended.values()}
    assert ended == {"b2": ["C-6", "C-4"], "b3": ["C-0", "pit"]}  # C-0 is gone again
    assert (state.plan.number, state.areas, bytes(state.seats).count(BLOCKED)) == (2, [[7, 1, 0, 1]], 2)
    assert {name: price for name, price in state.on.prices.items() if name != "R"} == {"VIP": 150_000}


def test_the_first_seats_handed_on_on_record_tell_the_story_they_told() -> None:
    state, _ = replay(DIRECTORY / "2026-11-handed-on.jsonl")
    (left,) = state.bookings.values()  # the organizer has got as far as this
    assert (left.id, left.customer_id, left.origin, left.payer) == ("b4", EVE, "b1", ANN)
    assert left.payment is not None
    assert left.payment.status is PaymentStatus.PARTIALLY_REFUNDED
    ended = {
        key: (booking.status.name, booking.payer, [refund.amount for refund in booking.refunds])
        for key, booking in state.ended.items()
    }
    assert ended == {
        "b1": ("TRANSFERRED", "", [90_000]),
        "b2": ("REFUNDED", ANN, [150_000]),
        "b3": ("REFUNDED", ANN, [90_000]),
    }
    assert not state.on.transferable


def test_every_kind_of_event_occurs_in_a_golden_journal() -> None:
    seen = {type(record.event) for path in GOLDEN for record in replay(path)[1]}
    assert seen == set(AnyEvent.__args__)


LATER = [corrected(plan_document()), corrected(plan_document(), back=True)]
CLOCKS = ((NOW - 400 * DAY, 540), (NOW + 2 * DAY, 600))


def planned(number: int, prices: dict[str, int | None]) -> PlanChanged:
    """The house's plan is the one with this number from here on."""
    plan = succession(plan_document(), *LATER).numbered(number)
    return PlanChanged(number, plan.digest, terms(prices=prices, clocks=CLOCKS))


# Milliseconds after the opening, and what was asked for then, or written past the schedule's owner.
Story = list[tuple[int, c.AnyCommand | Withdrawn | TermsChanged | PlanChanged]]

SALE: Story = [
    (0, c.HoldSeats("b1", ANN, ("A-3", "A-4"))),
    (10, c.HoldBest("b2", BOB, 3)),
    (20, c.HoldSeats("b3", EVE, ("pit",) * 4)),
    (30, c.RequestPayment("b1", ANN, "p1", "sandbox")),
    (40, c.DeclinePayment("b1", "p1", "insufficient_funds")),
    (50, c.RequestPayment("b1", ANN, "p2", "sandbox")),
    (60, c.ApprovePayment("b1", "p2", "ref-2")),
    (70, c.Cancel("b2", "x2", BOB, "마음이 바뀜")),
    (80, c.Block(("C-1", "C-2", "pit"), "카메라", "organizer")),
    (90, c.Unblock(("C-2",), "organizer")),
    (100, c.ChangeTerms(terms(prices={"VIP": 160_000, "R": 0}, max_seats_per_customer=8))),
    (110, c.HoldSeats("b4", BOB, ("B-1", "B-2"))),
    (120, c.Change("b4", BOB, ("B-2", "C-6"))),
    (130_000, c.Extend("b4", BOB)),
    (140_000, c.HoldSeats("b5", BOB, ("C-4",))),
    (150_000, c.Confirm("b5", BOB)),
    (160_000, c.RequestPayment("b3", EVE, "p3", "sandbox")),
    (170_000, c.ApprovePayment("b3", "p3", "ref-3")),
    (900_000, c.Expire()),
]
MONEY: Story = [
    (0, c.HoldSeats("b1", ANN, ("A-1", "A-2"))),
    (10, c.RequestPayment("b1", ANN, "p1", "sandbox")),
    (20, c.ApprovePayment("b1", "p1", "ref-1")),
    (30, c.HoldSeats("b2", BOB, ("B-1", "B-2"))),
    (40, c.RequestPayment("b2", BOB, "p2", "sandbox")),
    (50, c.HoldSeats("b3", EVE, ("pit",) * 3)),
    (60, c.RequestPayment("b3", EVE, "p3a", "sandbox")),
    (70, c.DeclinePayment("b3", "p3a", "not_charged")),
    (80, c.RequestPayment("b3", EVE, "p3", "sandbox")),
    (90, c.ReturnPayment("b3", EVE, "p3a", 180_000, "KRW", "sandbox", "ref-3a", "f3")),
    (100, c.ApprovePayment("b3", "p3", "ref-3")),
    (700_000, c.DeclinePayment("b2", "p2", "not_charged")),
    (700_010, c.Expire()),
    (700_020, c.ReturnPayment("b2", BOB, "p2", 180_000, "KRW", "sandbox", "ref-2", "f2")),
    (700_030, c.CompleteRefund("f2", "p2", 180_000, "KRW", "back-2")),
    (700_040, c.ReturnPayment("b-unknown", BOB, "p-unknown", 55_001, "KRW", "sandbox", "ref", "f-unknown")),
    (22 * DAY, c.Refund("b1", ANN, "f1", "p1", ("A-1",), "아파서")),
    (22 * DAY + 10, c.CompleteRefund("f1", "p1", 135_000, "KRW", "back-1")),
    (22 * DAY + 20, c.Refund("b3", "", "f4", "p3", ("pit", "pit"), "부정 예매", "admin", 100)),
    (22 * DAY + 30, c.ChangeTerms(terms(prices={"VIP": 155_000, "R": 0}, refund_policy=(RefundStep(1, 50),)))),
    (22 * DAY + 40, c.HoldSeats("b4", BOB, ("A-3",))),
    (22 * DAY + 50, c.RequestPayment("b4", BOB, "p4", "sandbox")),
    (22 * DAY + 60, c.ApprovePayment("b4", "p4", "ref-4")),
    (22 * DAY + 70, c.Refund("b4", BOB, "f5", "p4")),
    (22 * DAY + 80, c.HoldSeats("b5", ANN, ("C-1",))),
    (22 * DAY + 90, c.Confirm("b5", ANN)),
    (22 * DAY + 100, c.HoldSeats("b6", EVE, ("C-2", "pit"))),
    (22 * DAY + 110, c.HoldSeats("b7", EVE, ("A-4",))),
    (22 * DAY + 120, c.RequestPayment("b7", EVE, "p7", "sandbox")),
    (22 * DAY + 130, c.CancelSchedule("폭설", "organizer")),
    (22 * DAY + 140, c.EndBookings(("e1", "e2"))),
    (22 * DAY + 150, c.EndBookings(("e3", "e4", "e5"))),
]
SOONER = {"starts_at_ms": NOW + 2 * DAY, "sale_closes_at_ms": NOW + 2 * DAY}
WITHDRAWN: Story = [
    (0, c.HoldSeats("b1", ANN, ("B-1", "pit"))),
    (10, c.HoldSeats("b2", BOB, ("A-1",))),
    (20, c.RequestPayment("b2", BOB, "p2", "sandbox")),
    (30, c.ApprovePayment("b2", "p2", "ref-2")),
    (40, TermsChanged(terms(**SOONER))),
    (50, c.HoldSeats("b3", EVE, ("A-2",))),
    (60, c.RequestPayment("b3", EVE, "p3", "sandbox")),
    (70, c.ApprovePayment("b3", "p3", "ref-3")),
    (80, c.ChangeTerms(terms(**SOONER, prices={"VIP": 150_000, "R": None}, refund_when_moved=False))),
    (90, c.Cancel("b1", "x1", ANN)),
    (DAY, c.Refund("b2", BOB, "f2", "p2")),
    (DAY + 10, c.Refund("b3", EVE, "f3", "p3")),
    (DAY + 20, Withdrawn("organizer")),
]
CORRECTED: Story = [
    (0, c.HoldSeats("b1", ANN, ("A-1", "C-2"))),
    (10, c.HoldSeats("b2", BOB, ("C-6", "C-4"))),
    (20, c.RequestPayment("b1", ANN, "p1", "sandbox")),
    (30, c.ApprovePayment("b1", "p1", "ref-1")),
    (40, c.Block(("B-6", "C-5", "pit"), "기둥", "organizer")),
    (50, c.Cancel("b2", "x2", BOB, "the pillar")),
    (60, planned(1, {"VIP": 150_000, "R": 90_000, "BOX": None})),
    (70, c.ChangeTerms(terms(prices={"VIP": 150_000, "R": 90_000, "BOX": 200_000}, clocks=CLOCKS))),
    (80, c.HoldSeats("b3", EVE, ("C-0", "pit"))),
    (90, c.Cancel("b3", "x3", EVE)),
    (100, planned(2, {"VIP": 150_000, "R": 80_000})),
    (110, c.HoldSeats("b4", BOB, ("B-1", "C-6"))),
    (120, c.HoldSeats("b5", EVE, ("pit",))),
]
HANDED_ON: Story = [
    (0, c.HoldSeats("b1", ANN, ("A-1", "A-2", "pit", "pit"))),
    (10, c.RequestPayment("b1", ANN, "p1", "sandbox")),
    (20, c.ApprovePayment("b1", "p1", "ref-1")),
    (30, c.Transfer("b1", ANN, "b2", BOB, ("A-2", "pit"))),
    (40, c.Refund("b1", ANN, "f1", "p1", ("pit",), "alone")),
    (50, c.Transfer("b2", BOB, "b3", EVE, ("pit",))),
    (60, c.Transfer("b1", ANN, "b4", EVE)),
    (70, c.ChangeTerms(terms(transferable=False))),
    (80, c.CancelSchedule("폭설", "organizer")),
    (90, c.EndBookings(("e1", "e2"))),
]
STORIES = {"sale": SALE, "money": MONEY, "withdrawn": WITHDRAWN, "corrected": CORRECTED, "handed-on": HANDED_ON}


def record(story: Story) -> list[Record]:
    state = opened(succession(plan_document(), *LATER))
    records = [Record(1, NOW, decode_event(encode_event(opening())))]
    for number, (after_ms, command) in enumerate(story):
        if isinstance(command, Withdrawn | TermsChanged | PlanChanged):
            records.append(Record(state.seq + 1, NOW + after_ms, command))
            apply(state, records[-1])
            continue
        turn = execute(state, Request(f"request-{number}", command, f"{number:016x}"), NOW + after_ms)
        assert turn.steps, f"{command}: {turn.result}"
        records += [step.record for step in turn.steps]
    return records


def opening() -> AnyEvent:
    return Opened(read_plan(plan_document()).digest, terms())


def main(story: str, name: str) -> None:
    journal = DIRECTORY / f"{name}.jsonl"
    lines = [json.dumps({"plan": plan_document(), "later": LATER})]
    for each in record(STORIES[story]):
        payload = base64.b64encode(encode_event(each.event)).decode()
        lines.append(json.dumps([each.seq, each.at_ms, payload, each.request_id, each.fingerprint]))
    with journal.open("x") as file:
        file.write("\n".join(lines) + "\n")
    with journal.with_suffix(".facts.json").open("x") as file:
        json.dump(facts(replay(journal)[0]), file, indent=1, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
