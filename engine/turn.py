"""One request against one schedule: is it a repeat, what does it lead to, and what becomes of the state.

The turn is the unit that the journal keeps whole: either all its records are durable or none.
"""

from __future__ import annotations

from msgspec import Struct

from engine.booking import Booking
from engine.commands import AnyCommand, Expire
from engine.decide import decide
from engine.events import Record
from engine.refusals import Code, Refusal
from engine.state import Answer, Done, ScheduleState, apply


class Request(Struct, frozen=True, gc=False, array_like=True):
    """A command with what makes it safe to send twice."""

    id: str  # unique per customer and wish; empty for the system's own
    command: AnyCommand
    fingerprint: str = ""  # of the body it came with; a repeat must carry the same; others it may have, after a comma
    again: bool = False  # sent before by the same sender, whose answer got lost: wait for the first rather than refuse


class Step(Struct, frozen=True, gc=False, array_like=True):
    """One record with the booking it made or changed, as it was right after."""

    record: Record
    booking: Booking | None


class Turn(Struct, frozen=True, gc=False):
    """What a request led to: its answer or refusal, and the steps to be made durable before an answer may go out."""

    result: Answer | Refusal
    steps: tuple[Step, ...] = ()
    repeated: bool = False  # the request was accepted before, this is its first answer


EXPIRE = Request("", Expire())


def execute(state: ScheduleState, request: Request, now_ms: int) -> Turn:
    """Decides the request and applies what it led to; holds whose time is up are expired first."""
    steps: list[Step] = []
    if state.deadlines and state.deadlines[0][0] <= now_ms:  # it may be outdated, but no deadline comes before it
        _take_effect(state, EXPIRE, now_ms, steps)
        state.next_deadline_ms()  # drops what is outdated, so that the next turn need not look at it again
    remembered = state.requests.get(request.id) if request.id else None
    if remembered is None:
        return Turn(_take_effect(state, request, now_ms, steps), tuple(steps))
    if remembered.fingerprint not in request.fingerprint.split(","):
        return Turn(Refusal(Code.IDEMPOTENCY_KEY_REUSED), tuple(steps))
    answer = Done(remembered.answer) if isinstance(remembered.answer, int) else remembered.answer
    return Turn(answer, tuple(steps), repeated=True)


def _take_effect(state: ScheduleState, request: Request, now_ms: int, steps: list[Step]) -> Answer | Refusal:
    decision = decide(state, request.command, now_ms)
    if isinstance(decision, Refusal):
        return decision
    request_id, fingerprint = request.id, request.fingerprint.partition(",")[0]
    booking: Booking | None = None
    for event in decision:
        record = Record(state.seq + 1, now_ms, event, request_id, fingerprint)
        booking = apply(state, record)
        steps.append(Step(record, booking))
    return Done(state.seq) if booking is None else booking
