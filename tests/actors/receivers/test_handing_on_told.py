"""Seats handed on: what their giver, their taker and who paid are told, and what they are not."""

from __future__ import annotations

import msgspec

from engine.commands import CancelSchedule, EndBookings, Refund, Transfer
from persistence.notifications.outbox import Facts
from tests.actors.receivers.test_notifications import Told, places, till, told
from tests.support.money.till import FEE, VIP

__all__ = ["till", "told"]  # the fixtures


async def by_customer(told: Told) -> dict[str, list[tuple[str, Facts]]]:
    """What each was told, in order, but for the confirmation."""
    await told.catch_up()
    found: dict[str, list[tuple[str, Facts]]] = {}
    for row in await told.rows():
        if row["kind"] != "confirmed":
            facts = msgspec.json.decode(row["facts"], type=Facts)
            found.setdefault(str(row["customer_id"]), []).append((row["kind"], facts))
    return found


async def handed_on(told: Told, booking_id: str, *seats: str) -> tuple[str, str]:
    """To somebody new: who that is, and their booking."""
    taker, theirs = told.till.clock.new_id(), told.till.clock.new_id()
    await told.done(Transfer(booking_id, told.till.customer, theirs, taker, seats))
    return taker, theirs


async def test_seats_handed_on_are_told_to_both_without_the_other_s_booking_or_money(told: Told) -> None:
    booking, _ = await told.till.paid("A-1", "A-2")
    first, theirs = await handed_on(told, booking.id, "A-2")
    second, last = await handed_on(told, booking.id)
    mails = await by_customer(told)
    (kept, gone), ((kind, got),), ((_, other),) = mails[told.till.customer], mails[first], mails[second]
    assert (kept[0], gone[0], kind) == ("partly_handed_on", "handed_on", "taken_over")
    assert (places(kept[1].bookings[0].seats), places(kept[1].given_back)) == (["A-1"], ["A-2"])
    assert (gone[1].bookings[0].seats, places(gone[1].given_back)) == ([], ["A-1"])
    assert (got.bookings[0].id, got.bookings[0].sold, places(got.bookings[0].seats)) == (theirs, True, ["A-2"])
    assert (other.bookings[0].id, places(other.bookings[0].seats)) == (last, ["A-1"])
    for facts in (kept[1], gone[1], got, other):
        assert (facts.amount, facts.currency) == (0, "")
    assert {each.id for each in (*kept[1].bookings, *gone[1].bookings)} == {booking.id}


async def test_refund_of_seats_handed_on_tells_who_paid_of_the_money_and_who_has_them_of_the_seats(told: Told) -> None:
    booking, payment_id = await told.till.paid("A-1", "A-2", "A-3")
    taker, theirs = await handed_on(told, booking.id, "A-2", "A-3")
    for seat in ("A-2", "A-3"):
        refund = Refund(theirs, "", told.till.clock.new_id(), payment_id, (seat,), "seat broken", "organizer", 0)
        await told.done(refund)
    mails = await by_customer(told)
    assert [kind for kind, _ in mails[taker]] == ["taken_over", "partially_refunded", "refunded"]
    assert [kind for kind, _ in mails[told.till.customer]] == ["partly_handed_on", "payer_refunded", "payer_refunded"]
    for _, facts in mails[taker][1:]:
        assert (facts.amount, facts.fee, facts.paid_by_another, facts.reason) == (0, 0, True, "seat broken")
    for (_, facts), seat in zip(mails[told.till.customer][1:], ("A-2", "A-3"), strict=True):
        assert (facts.amount, facts.bookings, places(facts.given_back)) == (VIP, [], [seat])
    assert theirs not in {str(row["booking_id"]) for row in await told.rows() if str(row["customer_id"]) != taker}


async def test_cancelled_schedule_tells_who_paid_and_who_has_the_seats_and_nobody_twice(told: Told) -> None:
    till = told.till
    booking, _ = await till.paid("A-1", "A-2")
    taker, _ = await handed_on(told, booking.id, "A-2")
    await told.done(CancelSchedule("the singer is ill", "organizer"))
    await told.done(EndBookings((till.clock.new_id(), till.clock.new_id())))
    mails = await by_customer(told)
    assert [kind for kind, _ in mails[taker]] == ["taken_over", "schedule_cancelled"]
    assert [(kind, facts.amount) for kind, facts in mails[till.customer][1:]] == [
        ("schedule_cancelled", VIP), ("payer_refunded", VIP),
    ]  # fmt: skip
    assert mails[taker][1][1].paid_by_another


async def test_seats_handed_back_are_refunded_as_one_s_own(told: Told) -> None:
    booking, payment_id = await told.till.paid("A-1")
    taker, theirs = await handed_on(told, booking.id)
    back = told.till.clock.new_id()
    await told.done(Transfer(theirs, taker, back, told.till.customer))
    await told.done(Refund(back, told.till.customer, told.till.clock.new_id(), payment_id))
    mails = await by_customer(told)
    kinds = [kind for kind, _ in mails[told.till.customer]]
    assert kinds == ["handed_on", "taken_over", "refunded"]
    assert (mails[told.till.customer][2][1].amount, len(mails[taker])) == (VIP - FEE, 2)
