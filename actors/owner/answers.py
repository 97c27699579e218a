"""What a turn's result is answered with, and what has to be durable before it may be."""

from __future__ import annotations

from actors.wire.messages import Reply, reply_of
from engine.refusals import Code, Refusal
from engine.state import ScheduleState
from engine.turn import Request, Turn

# Refusals that state a fact of the caller's own, as every reason does: they wait for the commit that the fact rests on.
OWN_FACTS = frozenset(
    {
        Code.ALREADY_REFUNDED,
        Code.BOOKING_ALREADY_CANCELLED,
        Code.BOOKING_ALREADY_PAID,
        Code.BOOKING_EXPIRED,
        Code.BOOKING_PAID,
        Code.BOOKING_TRANSFERRED,
        Code.PAYMENT_ALREADY_SETTLED,
        Code.PAYMENT_NOT_FOUND,
        Code.REFUND_NOT_FOUND,
        Code.SCHEDULE_CANCELLED,
        Code.SCHEDULE_NOT_FOUND,
    }
)


def answered(request: Request, turn: Turn, state: ScheduleState, durable_seq: int) -> tuple[Reply, bool]:
    """The answer to a turn that has led to `state`. The flag says whether it has to wait for a commit."""
    pending = state.seq > durable_seq
    if isinstance(turn.result, Refusal):
        return turn.result, pending and (turn.result.code in OWN_FACTS or turn.result.reason is not None)
    if turn.repeated:
        version = turn.result.version
        if version > durable_seq and not request.again:
            return Refusal(Code.IDEMPOTENCY_IN_PROGRESS), False
        return reply_of(turn.result, state.plan.number), version > durable_seq
    return reply_of(turn.result, state.plan.number), pending
