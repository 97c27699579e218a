"""The receiving service that tells customers by mail what has become of their bookings.

One mail per fact, at most: a row's id follows from the fact, and a row is handed over once (see `actors.mail.mailer`).

| event | mail |
| --- | --- |
| reservation.confirmed | `confirmed`, with the ticket |
| reservation.changed, of a sold booking | `seats_changed`, with the new ticket |
| cancellation.completed, unless its customer let an unpaid hold go | `cancelled` |
| refund.requested | `refunded` or `partially_refunded` (with a new ticket): which seats, what comes back, the fee |
| the same, of seats that were handed on | that without the money, and `payer_refunded` to who paid |
| reservation.handed_on | `handed_on`, or `partly_handed_on` with a new ticket |
| reservation.taken_over | `taken_over`, with the ticket |
| payment.late | `payment_returned` |
| schedule.terms_changed, if the start moved | `schedule_changed`, one per customer with a live booking |
| either of the endings, once the schedule is cancelled | `schedule_cancelled`, with what comes back |

`schedule.cancelled` itself makes no mail: every live booking is ended within moments, and its own mail says why and
what comes back. `payment.refunded` makes none, because the mail about the refund has announced it; neither do holds
that run out or are let go, nor payments that are declined: all of that the customer sees at once.

What happened more than a day before this service first started is never told, and neither is it when the events are
read anew later. Whatever happened since is told, however late. The mails are sent by `actors.mail.mailer`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from actors.process.clock import Clock, SystemClock
from actors.receivers.names import NOTIFICATIONS
from engine.events import Opened, TermsChanged, decode_event
from persistence.database.conditions import BOUGHT
from persistence.database.moments import moment, rfc3339
from persistence.database.pools import Connection
from persistence.events import event_data
from persistence.events.event_data import (
    BookingData,
    CancellationData,
    EventEnvelope,
    RefundData,
    TermsData,
    TransferData,
)
from persistence.notifications import outbox
from persistence.notifications.outbox import BookingFacts, Facts, NewNotification, Seat

LOOK_BACK = timedelta(hours=24)  # news of the day before the first start is still news
ENDINGS = ("cancellation.completed", "refund.requested")
HANDED_ON, TAKEN_OVER = "reservation.handed_on", "reservation.taken_over"
TOLD = (
    *ENDINGS,
    "reservation.confirmed",
    "reservation.changed",
    HANDED_ON,
    TAKEN_OVER,
    "payment.late",
    "schedule.terms_changed",
)

logger = logging.getLogger(__name__)


class Notifications:
    """Turns events into mails to be."""

    name = NOTIFICATIONS
    wanted = TOLD

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    async def begin(self, connection: Connection) -> None:
        """Notes since when customers are told, unless that was noted before."""
        await self._since(connection)

    async def _since(self, connection: Connection) -> datetime:
        return await outbox.started(connection, moment(self._clock.now_ms()) - LOOK_BACK)

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        telling = [event for event in events if event.type in TOLD]
        if not telling:
            return
        since = await self._since(connection)
        news = [event for event in telling if datetime.fromisoformat(event.time) >= since]
        schedule_id = events[0].data.schedule_id
        if len(news) < len(telling):
            old = len(telling) - len(news)
            logger.info("schedule %s: %d events from before %s are not told", schedule_id, old, since.isoformat())
        cancelled_at = None
        if any(event.type in ENDINGS for event in news):
            cancelled_at = await outbox.cancelled_at(connection, schedule_id)
        found: list[NewNotification] = []
        for event in news:
            off = cancelled_at is not None and cancelled_at <= datetime.fromisoformat(event.time)
            found += await self._mails(connection, event, off)
        await outbox.add(connection, found)

    async def forget(self, connection: Connection, schedule_id: str) -> None:
        """Nothing: what was told stays told, and events that are read anew make the same rows."""

    async def _mails(self, connection: Connection, event: EventEnvelope, off: bool) -> list[NewNotification]:
        """What one event makes. `off`: the schedule was cancelled by then."""
        data = event.data
        if isinstance(data, CancellationData):
            ended, by = _booking(data.booking), data.cancellation.by
            if by == "customer" and not ended.sold:
                return []  # whoever chooses seats lets many go
            kind = "schedule_cancelled" if off else "cancelled"
            facts = Facts(bookings=[ended], by=by, reason=_told_reason(data))
            return [_to_customer(event, kind, data.booking, facts)]
        if isinstance(data, RefundData):
            return await self._refund(connection, event, data, off)
        if isinstance(data, TermsData):
            return await self._moved(connection, event, data)
        assert isinstance(data, BookingData), f"{event.type} concerns a booking"
        if isinstance(data, TransferData):
            return [_transferred(event, data)]
        if data.booking.status not in BOUGHT:
            return []  # a hold whose seats were exchanged
        kind = "confirmed" if event.type == "reservation.confirmed" else "seats_changed"
        booking = data.booking
        facts = Facts(bookings=[_booking(booking)], currency=booking.currency, amount=booking.amount)
        return [_to_customer(event, kind, booking, facts)]

    async def _refund(
        self, connection: Connection, event: EventEnvelope, data: RefundData, off: bool
    ) -> list[NewNotification]:
        refund, booking = data.refund, data.booking
        facts = Facts(
            currency=refund.currency,
            amount=refund.amount,
            fee=refund.fee if isinstance(refund.fee, int) else 0,
            given_back=_seats(refund.seats) if isinstance(refund.seats, list) else [],
            by=refund.by if isinstance(refund.by, str) else "",
            reason=_told_reason(data),
        )
        late = event.type == "payment.late"
        if isinstance(booking, event_data.BookingFacts):
            if not late:
                facts = replace(facts, bookings=[_left(booking)])
            kind = "schedule_cancelled" if off else "partially_refunded" if booking.status in BOUGHT else "refunded"
            if isinstance(booking.payer_id, str) and booking.payer_id != booking.customer_id and not late:
                # Whose seats they were is told without the money, and whose the money is without the seats.
                theirs = replace(facts, amount=0, fee=0, paid_by_another=True)
                return [
                    _to_customer(event, kind, booking, theirs),
                    _new(event, "payer_refunded", booking.payer_id, None, replace(facts, bookings=[])),
                ]
            return [_to_customer(event, "payment_returned" if late else kind, booking, facts)]
        assert late, "whoever gives seats back has a booking"
        customer_id = await outbox.customer_of(connection, refund.booking_id)
        if customer_id is None:
            logger.error("late payment %s belongs to no booking that is known: nobody is told", refund.payment_id)
            return []
        return [_new(event, "payment_returned", customer_id, refund.booking_id, facts)]

    async def _moved(self, connection: Connection, event: EventEnvelope, data: TermsData) -> list[NewNotification]:
        """A mail for everybody with a live booking, if the performance begins at another time than before."""
        payload = await outbox.terms_before(connection, data.schedule_id, data.version)
        assert payload is not None, "a schedule's first event says when it starts"
        before = decode_event(payload)
        assert isinstance(before, (Opened, TermsChanged))
        former = rfc3339(before.terms.starts_at_ms)
        if former == data.terms.starts_at:
            return []
        made_by = datetime.fromisoformat(event.time)
        live = await outbox.live_bookings(connection, data.schedule_id, made_by)
        return [
            _new(
                event,
                "schedule_changed",
                customer_id,
                None,
                Facts(bookings=bookings, starts_at=data.terms.starts_at, former_starts_at=former),
            )
            for customer_id, bookings in live.items()
        ]


def _transferred(event: EventEnvelope, data: TransferData) -> NewNotification:
    booking = data.booking
    if event.type == TAKEN_OVER:
        return _to_customer(event, "taken_over", booking, Facts(bookings=[_booking(booking)]))
    gone = [
        Seat(zone=each.zone, row=each.row, number=each.number, category=each.category, price=0) for each in data.seats
    ]
    kind = "partly_handed_on" if booking.status in BOUGHT else "handed_on"
    return _to_customer(event, kind, booking, Facts(bookings=[_left(booking)], given_back=gone))


def _seats(places: Sequence[event_data.PricedPlace]) -> list[Seat]:
    return [
        Seat(zone=each.zone, row=each.row, number=each.number, category=each.category, price=each.price)
        for each in places
    ]


def _booking(booking: event_data.BookingFacts) -> BookingFacts:
    # Only a hold has an end: one that has none is sold, or was until it ended.
    return BookingFacts(id=booking.id, seats=_seats(booking.seats), sold=booking.expires_at is None)


def _left(booking: event_data.BookingFacts) -> BookingFacts:
    """The booking with the seats that its customer keeps; one that ended still says which it had."""
    return _booking(booking if booking.status in BOUGHT else replace(booking, seats=[]))


def _told_reason(data: CancellationData | RefundData) -> str:
    """The reason, if it was somebody else's: the customer's own is no news, and the system's are codes."""
    by = data.cancellation.by if isinstance(data, CancellationData) else data.refund.by
    return data.reason if by in ("organizer", "admin") and isinstance(data.reason, str) else ""


def _to_customer(event: EventEnvelope, kind: str, booking: event_data.BookingFacts, facts: Facts) -> NewNotification:
    return _new(event, kind, booking.customer_id, booking.id, facts)


def _new(event: EventEnvelope, kind: str, customer_id: str, booking_id: str | None, facts: Facts) -> NewNotification:
    return NewNotification(
        schedule_id=event.data.schedule_id,
        version=event.data.version,
        customer_id=customer_id,
        booking_id=booking_id,
        kind=kind,
        facts=facts,
    )
