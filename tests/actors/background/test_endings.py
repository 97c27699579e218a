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
from tests.support.money.house import VIP, Away, House, LosesAnswers, open_house
from tests.support.services.databases import execute
from tests.support.waiting import PATIENCE_SECONDS, until


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url) as opened:
        yield opened


async def cancel(house: House) -> None:
    """The organizer calls the performance off."""
    answer = await house.send(CancelSchedule("the singer is ill", "organizer"))
    assert not isinstance(answer, Refusal), answer


async def progress(house: House) -> Progress:
    found = await cancelled_schedules.progress(house.engine, house.schedule_id)
    assert found is not None
    return found


async def figures(house: House) -> tuple[int, int, int, int]:
    """Bookings ended and live, refunds owed and given back."""
    found = await progress(house)
    return found.bookings_ended, found.bookings_live, found.refunds_requested, found.refunds_completed


async def endings_of(house: House, booking: Booking) -> int:
    """How often the booking has come to an end."""
    return sum(type_ in ("refund.requested", "cancellation.completed") for type_ in await house.events(booking))


async def test_unpaid_bookings_are_cancelled_and_paid_ones_refunded_in_full(house: House) -> None:
    held = await house.hold("A-1")
    paid, payment_id = await house.paid("A-2", "A-3")
    await cancel(house)
    assert await house.endings.run_once() == 2
    assert [await house.status(each) for each in (held, paid)] == [Status.CANCELLED, Status.REFUNDED]
    (refund,) = await house.refunds_of(payment_id)
    assert (refund.amount, refund.fee, refund.by, refund.reason) == (2 * VIP, 0, "organizer", "the singer is ill")
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await house.refunding.run_once() == 1
    assert [request.amount for request in house.provider.given_back.values()] == [2 * VIP]
    assert (await progress(house)).finished


async def test_seats_given_back_before_are_not_paid_for_twice(house: House) -> None:
    booking, payment_id = await house.paid("A-1", "A-2")
    await house.booked(Refund(booking.id, house.customer, house.clock.new_id(), payment_id, ("A-1",)))
    await cancel(house)
    assert await house.endings.run_once() == 1
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    await house.refunding.run_once()
    assert sorted(request.amount for request in house.provider.given_back.values()) == [VIP * 4 // 5, VIP]
    assert await house.payment_status(payment_id) is PaymentStatus.REFUNDED


async def test_schedules_that_are_not_cancelled_are_left_alone(house: House) -> None:
    booking, _ = await house.paid("A-1")
    assert await house.endings.run_once() == 0
    assert await house.status(booking) is Status.CONFIRMED


async def test_nothing_is_sold_afterwards(house: House) -> None:
    held = await house.hold("A-1")
    await cancel(house)
    new = house.clock.new_id
    refused: list[AnyCommand] = [
        HoldSeats(new(), house.customer, ("A-2",)),
        HoldBest(new(), house.customer, 1),
        Extend(held.id, house.customer),
        RequestPayment(held.id, house.customer, new(), "sandbox"),
    ]
    for command in refused:
        answer = await house.send(command)
        assert isinstance(answer, Refusal)
        assert answer.code is Code.SCHEDULE_CANCELLED
    await house.endings.run_once()
    await house.owners.crash()
    answer = await house.send(HoldSeats(new(), house.customer, ("A-1",)))
    assert isinstance(answer, Refusal)
    assert answer.code is Code.SCHEDULE_CANCELLED


# --- payments under way -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("outcome", "status", "given_back"),
    [(Approved("sbx_1"), Status.REFUNDED, [VIP]), (Declined("lost_card"), Status.CANCELLED, [])],
)
async def test_booking_that_is_being_paid_waits_for_the_outcome(
    house: House, outcome: Approved | Declined, status: Status, given_back: list[int]
) -> None:
    paying = await house.hold("A-1")
    payment_id = await house.request(paying)
    other = await house.hold("A-2")
    await cancel(house)
    assert [await house.endings.run_once() for _ in range(2)] == [1, 0]
    assert [await house.status(each) for each in (paying, other)] == [Status.HELD, Status.CANCELLED]
    assert await figures(house) == (1, 1, 0, 0)

    house.provider.outcomes[payment_id] = outcome
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await house.settlement.run_once() == 1
    assert await house.endings.run_once() == 1
    assert await house.status(paying) is status
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    await house.refunding.run_once()
    assert [request.amount for request in house.provider.given_back.values()] == given_back
    assert (await progress(house)).finished


async def test_customer_who_asks_for_the_money_before_the_batch_comes_gets_all_of_it_once(house: House) -> None:
    booking, payment_id = await house.paid("A-1")
    await cancel(house)
    await house.booked(Refund(booking.id, house.customer, house.clock.new_id(), payment_id))
    assert await house.endings.run_once() == 0
    (refund,) = await house.refunds_of(payment_id)
    assert (refund.amount, refund.fee) == (VIP, 0)


# --- batches and crashes ----------------------------------------------------------------------------------------------
class Dies:
    """A gateway in a process that dies after so many batches."""

    def __init__(self, house: House, batches: int) -> None:
        self._house = house
        self._batches = batches

    async def send(
        self, schedule_id: str, command: AnyCommand, *, request_id: str, fingerprint: str = ""
    ) -> Answer | Refusal:
        if isinstance(command, EndBookings):
            if not self._batches:
                raise asyncio.CancelledError
            self._batches -= 1
        return await self._house.gateway.send(schedule_id, command, request_id=request_id, fingerprint=fingerprint)


async def sold_and_cancelled(house: House) -> tuple[list[Booking], list[tuple[Booking, str]]]:
    """A cancelled schedule: three bookings held, four paid."""
    held = [await house.hold(f"A-{number}") for number in range(1, 4)]
    paid = [await house.paid(f"B-{number}") for number in range(1, 5)]
    await cancel(house)
    return held, paid


async def all_ended_once(house: House, held: list[Booking], paid: list[tuple[Booking, str]]) -> None:
    for booking in held:
        assert (await house.status(booking), await endings_of(house, booking)) == (Status.CANCELLED, 1)
    for booking, payment_id in paid:
        assert (await house.status(booking), await endings_of(house, booking)) == (Status.REFUNDED, 1)
        assert [refund.amount for refund in await house.refunds_of(payment_id)] == [VIP]
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await house.refunding.run_once() == len(paid)
    assert len(house.provider.given_back) == len(paid)
    assert await figures(house) == (len(held) + len(paid), 0, 0, len(paid))
    assert (await progress(house)).finished


async def test_progress_tells_after_each_batch_what_is_done_and_what_is_left(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.background.endings.BATCH", 2)
    held, paid = await sold_and_cancelled(house)
    assert await figures(house) == (0, 7, 0, 0)
    seen = []
    for batches in (1, 1, 1):
        with pytest.raises(asyncio.CancelledError):
            await Endings(house.engine, Dies(house, batches), house.clock).run_once()
        seen.append(await figures(house))
    assert [(ended, live) for ended, live, _, _ in seen] == [(2, 5), (4, 3), (6, 1)]
    now = await progress(house)
    assert (now.amount_owed, now.amount_refunded) == (seen[-1][2] * VIP, 0)
    assert not now.finished
    assert await house.endings.run_once() == 1
    assert (await progress(house)).amount_owed == 4 * VIP
    await all_ended_once(house, held, paid)
    now = await progress(house)
    assert (now.amount_owed, now.amount_refunded) == (0, 4 * VIP)


async def one_process_dies(house: House) -> None:
    with pytest.raises(asyncio.CancelledError):
        await Endings(house.engine, Dies(house, 1), house.clock).run_once()


async def an_answer_is_lost(house: House) -> None:
    assert await Endings(house.engine, LosesAnswers(house.gateway), house.clock).run_once() == 0


async def the_schedule_is_unavailable(house: House) -> None:
    assert await Endings(house.engine, Away(), house.clock).run_once() == 0


async def the_owner_crashes_after_a_batch(house: House) -> None:
    await one_process_dies(house)
    await house.owners.crash()


@pytest.mark.parametrize(
    "accident", [one_process_dies, an_answer_is_lost, the_schedule_is_unavailable, the_owner_crashes_after_a_batch]
)
async def test_next_round_goes_on_where_the_last_one_ended(
    house: House, monkeypatch: pytest.MonkeyPatch, accident: Callable[[House], Awaitable[None]]
) -> None:
    monkeypatch.setattr("actors.background.endings.BATCH", 2)
    held, paid = await sold_and_cancelled(house)
    await accident(house)
    left = (await progress(house)).bookings_live
    assert await house.endings.run_once() == left
    await all_ended_once(house, held, paid)


async def test_several_processes_at_once_end_every_booking_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.background.endings.BATCH", 2)
    held, paid = await sold_and_cancelled(house)
    rounds = [Endings(house.engine, house.gateway, house.clock).run_once() for _ in range(4)]
    await asyncio.gather(*rounds)
    await all_ended_once(house, held, paid)


async def test_late_money_for_an_ended_booking_goes_back_too(house: House) -> None:
    booking, payment_id = await house.given_up("A-1")
    await cancel(house)
    await house.endings.run_once()
    await give_back(house.gateway, await house.payment(payment_id), "sbx_late")
    assert await figures(house) == (1, 0, 1, 0)
    assert not (await progress(house)).finished, "money is still owed"
    assert await house.status(booking) is Status.CANCELLED


async def test_booking_that_only_a_table_takes_for_live_does_not_keep_the_round_busy(
    house: House, database_url: str
) -> None:
    """A row changed by hand: for reconciliation to find and mend, not for this process to hang on."""
    held = await house.hold("A-1")
    await cancel(house)
    await house.endings.run_once()
    await execute(database_url, f"UPDATE bookings SET status = 'held' WHERE id = '{held.id}'")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await house.endings.run_once()
    assert await endings_of(house, held) == 1


async def test_run_goes_on_after_database_failures_and_stops_when_told(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.background.endings.INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr("persistence.database.away.SAID_AGAIN_SECONDS", 0.0)
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1)
    stop = asyncio.Event()
    running = asyncio.create_task(Endings(nowhere, house.gateway, house.clock).run(stop))
    await until(lambda: caplog.text.count("ending bookings put off") >= 2)
    stop.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running
    await nowhere.dispose()
