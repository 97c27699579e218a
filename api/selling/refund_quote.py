"""What a refund would come to now, before anybody has pressed the button.

The rule is the owner's own: what the journal says of the booking and of its schedule's terms is replayed into a house
where nobody else has seats, and the refund is decided there without taking place. So the refund policy is the one of
the moment the booking was made, and quote and refund cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from api.views.refund import QuoteView
from engine import refund_policy
from engine.commands import Refund
from engine.decide import decide, fee_percent, refundable_until_ms
from engine.events import Record, RefundRequested
from engine.refusals import Refusal
from engine.seating_plan import SeatingPlan
from engine.state import ScheduleState, apply
from persistence.database.moments import rfc3339


def quote(
    plan: SeatingPlan,
    story: Sequence[Record],
    booking_id: str,
    payment_id: str,
    seats: tuple[str, ...],
    now_ms: int,
    named_percent: int | None = None,
) -> QuoteView | Refusal:
    """What giving these seats back would come to; without seats, all that are left.

    `named_percent` is an admin's fee, whom the policy does not bind. `story` is `persistence.bookings.refunds.story`.
    Takes some 20 ms for a house of 15,000: not on the loop.
    """
    state = ScheduleState(plan)
    for seq, record in enumerate(story, start=1):
        apply(state, msgspec.structs.replace(record, seq=seq))
    booking = state.find(booking_id)
    # No customer is named: whose payment it is was asked before. No refund has the empty id.
    decision = decide(state, Refund(booking_id, "", "", payment_id, seats, fee_percent=named_percent), now_ms)
    if isinstance(decision, Refusal):
        return decision
    owed = decision[0]
    assert booking is not None, "only a booking that is known is refunded"
    assert isinstance(owed, RefundRequested), "a refund begins with its request"
    starts_at_ms, policy = state.on.starts_at_ms, state.policy_of(booking)
    percent, until_ms, last_ms = named_percent, None, None
    if percent is None:
        percent = fee_percent(state, booking, now_ms)
    if named_percent is None and state.cancelled is None and state.withdrawn is None:
        last_ms = until_ms = refundable_until_ms(state, booking)
        if not state.moved_for(booking):
            steps = refund_policy.deadlines(policy, starts_at_ms, state.on.clocks)
            until_ms = next(step_ms for step_ms, _ in steps if now_ms <= step_ms)
    return QuoteView(
        payment_id=payment_id,
        booking_id=booking_id,
        seats=[state.plan.ids[index] for index in owed.seats],
        amount=owed.amount,
        fee=owed.fee,
        fee_percent=percent or 0,
        currency=owed.currency,
        until=None if until_ms is None else rfc3339(until_ms),
        refundable_until=None if last_ms is None else rfc3339(last_ms),
    )
