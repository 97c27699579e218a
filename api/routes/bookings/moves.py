"""A booking that is not paid for goes to another date: seats there are held, then its own are given back.

These are two commands to two owners, and whatever breaks off between them leaves the customer with the one or the
other, never with neither: nothing is given back but for seats that are held. The same request goes on from there. Once
it is done, the cancellation of the booking that was has the id of the booking that came of it: so the tables alone say
that it has happened, and where to (ADR 26).
"""

from __future__ import annotations

from uuid import UUID, uuid5

from api.http.problems import Problem, problem_of
from api.office.office import Office
from api.office.tokens import BUYERS, Account
from api.routes.bookings.bookings import BookingWish, hold
from api.selling import booking_commands as commands
from api.views.booking import BookingView
from engine.booking import LIVE, Booking, Status
from engine.commands import Cancel
from engine.refusals import Code
from persistence.bookings import bookings as rows_of
from persistence.bookings.bookings import STATUSES

OTHER_DATE = "other_date"  # why a booking is not changeable: it stays on its date
NOT_HELD = "not_held"  # the same: what was held for it on the other date is so no longer


async def move(
    office: Office,
    booking_id: str,
    wish: BookingWish,
    schedule_id: str,
    account: Account,
    named: tuple[str, str],
    queue_pass: str | None,
) -> BookingView:
    """The booking on the other date that the wish leads to, once however often it comes by this request id and
    fingerprint.

    Raises the refusal as a `Problem`: the booking is as it was then, and nothing is held for it. Raises what the
    gateway raises: nobody knows how far it has come, and the same request goes on.
    """
    old = await _own(office, booking_id, account)
    if account.role not in BUYERS:
        raise Problem("forbidden")
    refusal = _why_not(old)
    if refusal is not None and not await rows_of.was_done(office.pool, schedule_id, named[0]):
        raise refusal
    wish = await _alike(office, wish, schedule_id, old)
    held = await hold(office, schedule_id, wish, account, named, queue_pass)
    old, new = [await _own(office, each, account) for each in (booking_id, held.id)]
    if old.moved_to == new.id:
        return new
    if _why_not(old) is None:
        if STATUSES[new.status] not in LIVE:
            raise Problem("booking_not_changeable", reason=NOT_HELD)
        if await _given_back(office, old, new, account, named):
            return new
        old = await _own(office, booking_id, account)  # something happened to it in this very moment
    if STATUSES[old.status] is Status.EXPIRED:
        return new  # its customer has asked for the other date in time, and would have neither
    await _let_go(office, new, account, named)
    raise _why_not(old) or Problem("payment_in_progress")  # and declined since


async def _own(office: Office, booking_id: str, account: Account) -> BookingView:
    row = await rows_of.find_booking(office.reading, booking_id, account.id)
    if row is None:
        raise Problem("booking_not_found")
    return await commands.view_of_row(office, row)


def _why_not(booking: BookingView) -> Problem | None:
    """Why its seats are not given back for others, if so."""
    status = STATUSES[booking.status]  # a hold past its time reads as expired
    if (code := commands.REFUSED_BY_END.get(status)) is not None:
        return Problem(str(code))
    if status is not Status.HELD:
        return Problem("booking_not_changeable", reason=OTHER_DATE)
    if booking.payment is not None and booking.payment.status == "pending":
        return Problem("payment_in_progress")
    return None


async def _alike(office: Office, wish: BookingWish, schedule_id: str, old: BookingView) -> BookingWish:
    """The wish for places of the category that all of the booking's have, unless it names one or there is none such."""
    categories = {seat.category for seat in old.seats}
    if wish.quantity is None or wish.category is not None or len(categories) != 1:
        return wish
    (same,) = categories
    plan = await office.plans.of_schedule(schedule_id)
    return wish if plan.category_number(same) is None else wish.model_copy(update={"category": same})


async def _given_back(
    office: Office, old: BookingView, new: BookingView, account: Account, named: tuple[str, str]
) -> bool:
    """Gives the old seats back for the new ones; False where the schedule's owner will not."""
    command = Cancel(old.id, new.id, account.id)
    result = await commands.send_named(office, old.schedule_id, command, account, _part(named, "given back"))
    if isinstance(result, Booking):
        return True
    if result.code is Code.IDEMPOTENCY_IN_PROGRESS:
        raise problem_of(result)  # the same move is being recorded: no refusal of it
    return False


async def _let_go(office: Office, new: BookingView, account: Account, named: tuple[str, str]) -> None:
    """Gives the new seats back, unless they are being paid for already: then they are a booking like any other."""
    command = Cancel(new.id, office.clock.new_id(), account.id)
    await commands.send_named(office, new.schedule_id, command, account, _part(named, "let go"))


def _part(named: tuple[str, str], name: str) -> tuple[str, str]:
    """The request id of a further command of the same request; with the fingerprint of all of it."""
    request_id, fingerprint = named
    return str(uuid5(UUID(request_id), name)), fingerprint
