"""The end of a cancelled schedule's bookings: in batches, wherever a process dies, each once and paid back whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.background.endings import Endings
from actors.money.refunding import OVERDUE_AFTER_MS
from actors.money.settlement import give_back
from engine.booking import Booking, Status
from engine.commands import (
    AnyCommand,
    CancelSchedule,
    EndBookings,
    Extend,
    HoldBest,
    HoldSeats,
    Refund,
    RequestPayment,
)
from engine.payment import PaymentStatus
from engine.refusals import Code, Refusal
from engine.state import Answer
from persistence.bookings import cancelled_schedules
from persistence.bookings.cancelled_schedules import Progress
from persistence.database.connection import create_engine
from persistence.providers.provider import Approved, Declined
from tests.support.money.till import VIP, Away, LosesAnswers, Till, open_till
from tests.support.services.databases import execute
from tests.support.waiting import PATIENCE_SECONDS, until


@pytest.fixture
async def till(database_url: str) -> AsyncIterator[Till]:
    async with open_till(database_url) as opened:
        yield opened


async def cancel(till: Till) -> None:
    """The organizer calls the performance off."""
    answer = await till.send(CancelSchedule("the singer is ill", "organizer"))
    assert not isinstance(answer, Refusal), answer


async def progress(till: Till) -> Progress:
    found = await cancelled_schedules.progress(till.engine, till.schedule_id)
    assert found is not None
    return found


async def figures(till: Till) -> tuple[int, int, int, int]:
    """Bookings ended and live, refunds owed and given back."""
    found = await progress(till)
    return found.bookings_ended, found.bookings_live, found.refunds_requested, found.refunds_completed


async def endings_of(till: Till, booking: Booking) -> int:
    """How often the booking has come to an end."""
    return sum(type_ in ("refund.requested", "cancellation.completed") for type_ in await till.events(booking))


async def test_unpaid_bookings_are_cancelled_and_paid_ones_refunded_in_full(till: Till) -> None:
    held = await till.hold("A-1")
    paid, payment_id = await till.paid("A-2", "A-3")
    await cancel(till)
    assert await till.endings.run_once() == 2
    assert [await till.status(each) for each in (held, paid)] == [Status.CANCELLED, Status.REFUNDED]
    (refund,) = await till.refunds_of(payment_id)
    assert (refund.amount, refund.fee, refund.by, refund.reason) == (2 * VIP, 0, "organizer", "the singer is ill")
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await till.refunding.run_once() == 1
    assert [request.amount for request in till.provider.given_back.values()] == [2 * VIP]
    assert (await progress(till)).finished


async def test_seats_given_back_before_are_not_paid_for_twice(till: Till) -> None:
    booking, payment_id = await till.paid("A-1", "A-2")
    await till.booked(Refund(booking.id, till.customer, till.clock.new_id(), payment_id, ("A-1",)))
    await cancel(till)
    assert await till.endings.run_once() == 1
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    await till.refunding.run_once()
    assert sorted(request.amount for request in till.provider.given_back.values()) == [VIP * 4 // 5, VIP]
    assert await till.payment_status(payment_id) is PaymentStatus.REFUNDED


async def test_schedules_that_are_not_cancelled_are_left_alone(till: Till) -> None:
    booking, _ = await till.paid("A-1")
    assert await till.endings.run_once() == 0
    assert await till.status(booking) is Status.CONFIRMED


async def test_nothing_is_sold_afterwards(till: Till) -> None:
    held = await till.hold("A-1")
    await cancel(till)
    new = till.clock.new_id
    refused: list[AnyCommand] = [
        HoldSeats(new(), till.customer, ("A-2",)),
        HoldBest(new(), till.customer, 1),
        Extend(held.id, till.customer),
        RequestPayment(held.id, till.customer, new(), "sandbox"),
    ]
    for command in refused:
        answer = await till.send(command)
        assert isinstance(answer, Refusal)
        assert answer.code is Code.SCHEDULE_CANCELLED
    await till.endings.run_once()
    await till.owners.crash()
    answer = await till.send(HoldSeats(new(), till.customer, ("A-1",)))
    assert isinstance(answer, Refusal)
    assert answer.code is Code.SCHEDULE_CANCELLED


# --- payments under way -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("outcome", "status", "given_back"),
    [(Approved("sbx_1"), Status.REFUNDED, [VIP]), (Declined("lost_card"), Status.CANCELLED, [])],
)
async def test_booking_that_is_being_paid_waits_for_the_outcome(
    till: Till, outcome: Approved | Declined, status: Status, given_back: list[int]
) -> None:
    paying = await till.hold("A-1")
    payment_id = await till.request(paying)
    other = await till.hold("A-2")
    await cancel(till)
    assert [await till.endings.run_once() for _ in range(2)] == [1, 0]
    assert [await till.status(each) for each in (paying, other)] == [Status.HELD, Status.CANCELLED]
    assert await figures(till) == (1, 1, 0, 0)

    till.provider.outcomes[payment_id] = outcome
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await till.settlement.run_once() == 1
    assert await till.endings.run_once() == 1
    assert await till.status(paying) is status
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    await till.refunding.run_once()
    assert [request.amount for request in till.provider.given_back.values()] == given_back
    assert (await progress(till)).finished


async def test_customer_who_asks_for_the_money_before_the_batch_comes_gets_all_of_it_once(till: Till) -> None:
    booking, payment_id = await till.paid("A-1")
    await cancel(till)
    await till.booked(Refund(booking.id, till.customer, till.clock.new_id(), payment_id))
    assert await till.endings.run_once() == 0
    (refund,) = await till.refunds_of(payment_id)
    assert (refund.amount, refund.fee) == (VIP, 0)


# --- batches and crashes ----------------------------------------------------------------------------------------------
class Dies:
    """A gateway in a process that dies after so many batches."""

    def __init__(self, till: Till, batches: int) -> None:
        self._till = till
        self._batches = batches

    async def send(
        self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
    ) -> Answer | Refusal:
        if isinstance(command, EndBookings):
            if not self._batches:
                raise asyncio.CancelledError
            self._batches -= 1
        return await self._till.gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)


async def sold_and_cancelled(till: Till) -> tuple[list[Booking], list[tuple[Booking, str]]]:
    """A cancelled schedule: three bookings held, four paid."""
    held = [await till.hold(f"A-{number}") for number in range(1, 4)]
    paid = [await till.paid(f"B-{number}") for number in range(1, 5)]
    await cancel(till)
    return held, paid


async def all_ended_once(till: Till, held: list[Booking], paid: list[tuple[Booking, str]]) -> None:
    for booking in held:
        assert (await till.status(booking), await endings_of(till, booking)) == (Status.CANCELLED, 1)
    for booking, payment_id in paid:
        assert (await till.status(booking), await endings_of(till, booking)) == (Status.REFUNDED, 1)
        assert [refund.amount for refund in await till.refunds_of(payment_id)] == [VIP]
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await till.refunding.run_once() == len(paid)
    assert len(till.provider.given_back) == len(paid)
    assert await figures(till) == (len(held) + len(paid), 0, 0, len(paid))
    assert (await progress(till)).finished


async def test_progress_tells_after_each_batch_what_is_done_and_what_is_left(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.background.endings.BATCH", 2)
    held, paid = await sold_and_cancelled(till)
    assert await figures(till) == (0, 7, 0, 0)
    seen = []
    for batches in (1, 1, 1):
        with pytest.raises(asyncio.CancelledError):
            await Endings(till.engine, Dies(till, batches), till.clock).run_once()
        seen.append(await figures(till))
    assert [(ended, live) for ended, live, _, _ in seen] == [(2, 5), (4, 3), (6, 1)]
    now = await progress(till)
    assert (now.amount_owed, now.amount_refunded) == (seen[-1][2] * VIP, 0)
    assert not now.finished
    assert await till.endings.run_once() == 1
    assert (await progress(till)).amount_owed == 4 * VIP
    await all_ended_once(till, held, paid)
    now = await progress(till)
    assert (now.amount_owed, now.amount_refunded) == (0, 4 * VIP)


async def one_process_dies(till: Till) -> None:
    with pytest.raises(asyncio.CancelledError):
        await Endings(till.engine, Dies(till, 1), till.clock).run_once()


async def an_answer_is_lost(till: Till) -> None:
    assert await Endings(till.engine, LosesAnswers(till.gateway), till.clock).run_once() == 0


async def the_schedule_is_unavailable(till: Till) -> None:
    assert await Endings(till.engine, Away(), till.clock).run_once() == 0


async def the_owner_crashes_after_a_batch(till: Till) -> None:
    await one_process_dies(till)
    await till.owners.crash()


@pytest.mark.parametrize(
    "accident", [one_process_dies, an_answer_is_lost, the_schedule_is_unavailable, the_owner_crashes_after_a_batch]
)
async def test_next_round_goes_on_where_the_last_one_ended(
    till: Till, monkeypatch: pytest.MonkeyPatch, accident: Callable[[Till], Awaitable[None]]
) -> None:
    monkeypatch.setattr("actors.background.endings.BATCH", 2)
    held, paid = await sold_and_cancelled(till)
    await accident(till)
    left = (await progress(till)).bookings_live
    assert await till.endings.run_once() == left
    await all_ended_once(till, held, paid)


async def test_several_processes_at_once_end_every_booking_once(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.background.endings.BATCH", 2)
    held, paid = await sold_and_cancelled(till)
    rounds = [Endings(till.engine, till.gateway, till.clock).run_once() for _ in range(4)]
    await asyncio.gather(*rounds)
    await all_ended_once(till, held, paid)


async def test_late_money_for_an_ended_booking_goes_back_too(till: Till) -> None:
    booking, payment_id = await till.given_up("A-1")
    await cancel(till)
    await till.endings.run_once()
    await give_back(till.gateway, await till.payment(payment_id), "sbx_late")
    assert await figures(till) == (1, 0, 1, 0)
    assert not (await progress(till)).finished, "money is still owed"
    assert await till.status(booking) is Status.CANCELLED


async def test_booking_that_only_a_table_takes_for_live_does_not_keep_the_round_busy(
    till: Till, database_url: str
) -> None:
    """A row changed by hand: for reconciliation to find and mend, not for this process to hang on."""
    held = await till.hold("A-1")
    await cancel(till)
    await till.endings.run_once()
    await execute(database_url, f"UPDATE bookings SET status = 'held' WHERE id = '{held.id}'")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await till.endings.run_once()
    assert await endings_of(till, held) == 1


async def test_run_goes_on_after_database_failures_and_stops_when_told(
    till: Till, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.background.endings.INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr("persistence.database.away.SAID_AGAIN_SECONDS", 0.0)
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1)
    stop = asyncio.Event()
    running = asyncio.create_task(Endings(nowhere, till.gateway, till.clock).run(stop))
    await until(lambda: caplog.text.count("ending bookings put off") >= 2)
    stop.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running
    await nowhere.dispose()
