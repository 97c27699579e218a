"""Repeats, reused keys, and what is remembered."""

from __future__ import annotations

import pytest

from engine import commands as c
from engine import state as state_module
from engine.booking import Booking
from engine.refusals import Code, Refusal
from engine.snapshot import capture, decode, encode
from engine.turn import Request, execute
from tests.engine.plans.houses import ANN, BOB, NOW, opened

HOLD = Request("key", c.HoldSeats("b1", ANN, ("A-1",)), "body")


def test_a_repeat_gets_the_first_answer_whatever_has_happened_since() -> None:
    state = opened()
    first = execute(state, HOLD, NOW).result
    execute(state, Request("c", c.Cancel("b1", "x1", ANN)), NOW)
    execute(state, Request("o", c.HoldSeats("b2", BOB, ("A-1",))), NOW)
    again = execute(state, HOLD, NOW)
    assert (again.result, again.repeated, again.steps) == (first, True, ())


def test_a_repeat_after_recovery_gets_the_first_answer() -> None:
    state = opened()
    first = execute(state, HOLD, NOW).result
    recovered = decode(state.plan, encode(capture(state)))
    assert execute(recovered, HOLD, NOW).result == first


def test_the_same_key_with_another_body_is_refused() -> None:
    state = opened()
    execute(state, HOLD, NOW)
    other = Request("key", c.HoldSeats("b9", ANN, ("A-2",)), "other body")
    assert execute(state, other, NOW).result == Refusal(Code.IDEMPOTENCY_KEY_REUSED)


def test_a_repeat_that_bears_the_first_fingerprint_among_others_gets_the_first_answer() -> None:
    """As requests do while a secret is being replaced."""
    state = opened()
    first = execute(state, HOLD, NOW)
    assert [step.record.fingerprint for step in first.steps] == ["body"]
    for fingerprint in ("body", "new,body", "body,new"):
        again = Request(HOLD.id, HOLD.command, fingerprint)
        assert execute(state, again, NOW).result == first.result
    assert execute(state, Request(HOLD.id, HOLD.command, "new,other"), NOW).result == Refusal(
        Code.IDEMPOTENCY_KEY_REUSED
    )
    made = execute(state, Request("two", c.HoldSeats("b2", BOB, ("A-2",)), "new,former"), NOW)
    assert [step.record.fingerprint for step in made.steps] == ["new"]


def test_a_refused_request_is_not_remembered_and_may_succeed_later() -> None:
    state = opened()
    execute(state, Request("b", c.HoldSeats("b2", BOB, ("A-1",))), NOW)
    assert isinstance(execute(state, HOLD, NOW).result, Refusal)
    execute(state, Request("c", c.Cancel("b2", "x", BOB)), NOW)
    assert isinstance(execute(state, HOLD, NOW).result, Booking)


def test_memory_of_requests_and_of_ended_bookings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "REQUESTS_REMEMBERED", 10)
    monkeypatch.setattr(state_module, "ENDED_REMEMBERED", 5)
    state = opened()
    for number in range(40):
        execute(state, Request(f"h{number}", c.HoldSeats(f"b{number}", ANN, ("A-1",))), NOW)
        execute(state, Request(f"c{number}", c.Cancel(f"b{number}", f"x{number}", ANN)), NOW)
    assert (len(state.requests), len(state.ended), len(state.bookings)) == (10, 5, 0)
    assert list(state.ended) == [f"b{number}" for number in range(35, 40)]
