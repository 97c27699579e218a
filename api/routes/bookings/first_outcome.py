"""What a payment's request was answered with, for who sends it again.

The journal has it, so it is the same after a crash and after whatever has become of the booking since: exchanged, given
back, handed on. It is replayed as a quote is (`api.selling.refund_quote`): into a house where nobody else has seats.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.booking import Booking
from engine.events import Confirmed, PaymentDeclined, Record
from engine.payment import PaymentStatus
from engine.seating_plan import SeatingPlan
from engine.state import ScheduleState, apply


def at_outcome(plan: SeatingPlan, story: Sequence[Record], payment_id: str) -> Booking | None:
    """The booking when the payment was approved, or declined; None while it has no outcome.

    `story` is `persistence.bookings.refunds.story`, `plan` the one the schedule was opened with. Takes some 20 ms for a
    house of 15,000: not on the loop.
    """
    state = ScheduleState(plan)
    for seq, record in enumerate(story, start=1):
        booking, event = apply(state, msgspec.structs.replace(record, seq=seq)), record.event
        if booking is None or booking.payment is None or booking.payment.id != payment_id:
            continue
        confirmed = isinstance(event, Confirmed) and booking.payment.status is PaymentStatus.APPROVED
        if confirmed or isinstance(event, PaymentDeclined):
            return msgspec.structs.replace(booking, version=record.seq)
    return None
