"""Old journals must replay for ever: committed bytes, replayed by today's code.

A line of `golden/*.jsonl` is one journal row as the database keeps it; the first line carries the plan and what the
replay must come to. `python -m tests.engine.test_golden FILE` writes a new one; those committed are never written
again.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest

from engine import commands as c
from engine.booking import PaymentStatus, Status
from engine.events import AnyEvent, Opened, Record, decode_event, encode_event
from engine.seating_plan import SeatingPlan
from engine.snapshot import state_hash
from engine.state import ScheduleState, apply
from engine.turn import Request, execute
from tests.engine.houses import ANN, BOB, EVE, NOW, opened, plan_document, terms

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.jsonl"))


def replay(path: Path) -> tuple[dict[str, str], ScheduleState, list[Record]]:
    header, *lines = (json.loads(line) for line in path.read_text().splitlines())
    state = ScheduleState(SeatingPlan.parse(header.pop("plan")))
    records = []
    for seq, at_ms, payload, request_id, fingerprint in lines:
        record = Record(seq, at_ms, decode_event(base64.b64decode(payload)), request_id, fingerprint)
        apply(state, record)
        records.append(record)
    return header, state, records


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_old_journal_replays_to_the_state_it_had(path: Path) -> None:
    header, state, _ = replay(path)
    assert state_hash(state) == header["state_hash"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_old_journal_tells_the_story_it_told(path: Path) -> None:
    _, state, records = replay(path)
    assert len(records) == state.seq
    if path.stem == "2026-11":
        assert state.bookings["b1"].status is Status.CONFIRMED
        payment = state.bookings["b1"].payment
        assert payment is not None
        assert (payment.status, payment.reference) == (PaymentStatus.APPROVED, "ref-2")
        assert {key: booking.status for key, booking in state.ended.items()} == {
            "b2": Status.CANCELLED,
            "b4": Status.EXPIRED,
        }
        assert state.areas == [[5, 0, 4, 1]]


def test_every_kind_of_event_occurs_in_a_golden_journal() -> None:
    seen = {type(record.event) for path in GOLDEN for record in replay(path)[2]}
    assert seen == set(AnyEvent.__args__)


def record_a_sale() -> list[Record]:
    state = opened()
    story: list[tuple[int, c.AnyCommand]] = [
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
    records = [Record(1, NOW, decode_event(encode_event(opening())))]
    for number, (after_ms, command) in enumerate(story):
        turn = execute(state, Request(f"request-{number}", command, f"{number:016x}"), NOW + after_ms)
        assert turn.steps, f"{command}: {turn.result}"
        records += [step.record for step in turn.steps]
    return records


def opening() -> AnyEvent:
    return Opened(SeatingPlan.parse(plan_document()).digest, terms())


def main(path: Path) -> None:
    records = record_a_sale()
    state = ScheduleState(SeatingPlan.parse(plan_document()))
    for record in records:
        apply(state, record)
    lines = [json.dumps({"plan": plan_document(), "state_hash": state_hash(state)})]
    for record in records:
        payload = base64.b64encode(encode_event(record.event)).decode()
        row = [record.seq, record.at_ms, payload, record.request_id, record.fingerprint]
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
