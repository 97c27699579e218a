"""Refunding against a real journal and an owner without Ray: what is owed is given back, once, whatever goes wrong."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from actors.gateway.gateway import Unavailable, UnknownSchedule
from actors.money.refunding import OVERDUE_AFTER_MS, REFUSED_AGAIN_MS, Refunding, complete, pay_out
from engine.booking import Booking, Status
from engine.commands import HoldSeats, Refund
from engine.payment import PaymentStatus, RefundStatus
from persistence.bookings import refunds
from persistence.bookings.refunds import DueRefund
from persistence.database.connection import create_engine
from persistence.providers.provider import Refunded, Refused, Unknown
from tests.support.money.house import FEE, LOST, VIP, Away, House, LosesAnswers
from tests.support.waiting import PATIENCE_SECONDS, until


async def due(house: House, refund_id: str) -> DueRefund:
    found = await refunds.due(house.engine, refund_id)
    assert found is not None
    return found


async def overdue(house: House, seat: str = "A-1") -> tuple[Booking, str]:
    """A refund that whoever requested it has had the time to carry out."""
    owed = await house.owe(seat)
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    return owed


async def test_owed_refund_is_paid_out_and_recorded(house: House) -> None:
    booking, refund_id = await overdue(house)
    assert await house.refunding.run_once() == 1
    (request,) = house.provider.refund_requests
    assert (request.refund_id, request.amount) == (refund_id, VIP - FEE)
    assert (request.payment.amount, request.payment.reference) == (VIP, f"paid_{request.payment.payment_id}")
    row = await house.refund(refund_id)
    assert (row.status, row.reference, row.amount, row.fee) == (
        RefundStatus.COMPLETED,
        f"given_{refund_id}",
        VIP - FEE,
        FEE,
    )
    assert row.settled_ms > row.requested_ms
    assert await house.payment_status(row.payment_id) is PaymentStatus.REFUNDED
    assert await house.status(booking) is Status.REFUNDED


async def test_seats_are_free_while_their_money_is_still_owed(house: House) -> None:
    await house.owe("A-1")
    assert house.provider.refund_requests == []
    await house.booked(HoldSeats(house.clock.new_id(), house.clock.new_id(), ("A-1",)))


async def test_refund_just_requested_is_left_to_its_worker(house: House) -> None:
    await house.owe("A-1")
    house.clock.ahead_ms += OVERDUE_AFTER_MS - 5_000
    assert await house.refunding.run_once() == 0
    assert house.provider.refund_requests == []
    house.clock.ahead_ms += 5_001
    assert await house.refunding.run_once() == 1


async def test_second_round_finds_nothing_left_to_do(house: House) -> None:
    await overdue(house)
    assert [await house.refunding.run_once() for _ in range(2)] == [1, 0]
    assert len(house.provider.refund_requests) == 1


async def test_nothing_is_asked_of_another_provider_s_payment(house: House) -> None:
    await overdue(house)
    house.provider.name = "toss"  # as if it were the other one
    assert await house.refunding.run_once() == 0
    assert house.provider.refund_requests == []


# --- the provider -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("silence", [Unknown("nothing was done"), LOST])
async def test_unanswered_refund_stays_owed_and_is_asked_for_again_under_the_same_id(
    house: House, silence: Unknown
) -> None:
    booking, refund_id = await overdue(house)
    house.provider.refunding[booking.refunds[0].payment_id] = [silence, silence]
    assert [await house.refunding.run_once() for _ in range(2)] == [0, 0]
    assert (await house.refund(refund_id)).status is RefundStatus.REQUESTED
    assert await house.refunding.run_once() == 1
    assert [request.refund_id for request in house.provider.refund_requests] == [refund_id] * 3
    assert [request.amount for request in house.provider.given_back.values()] == [VIP - FEE]


async def test_refused_refund_is_asked_for_ever_less_often_and_given_in_the_end(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    booking, refund_id = await overdue(house)
    times = len(REFUSED_AGAIN_MS) + 1
    house.provider.refunding[booking.refunds[0].payment_id] = [Refused("card_closed")] * times
    pauses = [*REFUSED_AGAIN_MS, REFUSED_AGAIN_MS[-1]]
    for number, pause_ms in enumerate(pauses, start=1):
        assert await house.refunding.run_once() == 0
        assert len(house.provider.refund_requests) == number
        house.clock.ahead_ms += pause_ms - 1_000
        assert await house.refunding.run_once() == 0
        assert len(house.provider.refund_requests) == number, "it was asked too soon"
        house.clock.ahead_ms += 1_001
    assert (await house.refund(refund_id)).status is RefundStatus.REQUESTED, "a refusal releases nobody from the debt"
    assert f"refund {refund_id}" in caplog.text
    assert "card_closed" in caplog.text
    assert await house.refunding.run_once() == 1
    assert (await house.refund(refund_id)).status is RefundStatus.COMPLETED


async def test_silence_after_a_refusal_is_no_refusal(house: House) -> None:
    booking, _ = await overdue(house)
    answers = [Refused("empty_account"), Unknown(), Refused("empty_account"), Refunded("given")]
    house.provider.refunding[booking.refunds[0].payment_id] = [*answers]
    assert await house.refunding.run_once() == 0
    house.clock.ahead_ms += REFUSED_AGAIN_MS[0]
    assert [await house.refunding.run_once() for _ in range(2)] == [0, 0]
    house.clock.ahead_ms += REFUSED_AGAIN_MS[0]  # the first pause again
    assert await house.refunding.run_once() == 1


async def test_one_refund_s_trouble_is_not_the_next_one_s(house: House) -> None:
    refused, _ = await house.owe("A-1")
    silent, _ = await house.owe("A-2")
    _, refund_id = await overdue(house, "A-3")
    house.provider.refunding[refused.refunds[0].payment_id] = [Refused("card_closed")]
    house.provider.refunding[silent.refunds[0].payment_id] = [Unknown()]
    assert await house.refunding.run_once() == 1
    assert (await house.refund(refund_id)).status is RefundStatus.COMPLETED


async def test_more_refunds_than_a_batch_are_all_paid_out_past_those_that_cannot_be(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.money.refunding.BATCH", 2)
    owed = [await house.owe(f"A-{number}") for number in range(1, 6)]
    for booking, _ in owed[:2]:  # the whole first batch
        house.provider.refunding[booking.refunds[0].payment_id] = [Refused("card_closed")]
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await house.refunding.run_once() == 3


# --- whoever else is at it --------------------------------------------------------------------------------------------
async def test_completion_may_be_told_again_and_again(house: House) -> None:
    booking, refund_id = await house.owe("A-1")
    row = await house.refund(refund_id)
    assert [await complete(house.gateway, row, reference) for reference in ("first", "second", "third")] == [
        True,
        False,
        False,
    ]
    assert (await house.refund(refund_id)).reference == "first"
    assert (await house.events(booking)).count("payment.refunded") == 1


async def test_refund_that_somebody_else_has_completed_meanwhile_is_left_as_it_is(house: House) -> None:
    """The route that made it, a process that read the table before, and two background processes."""
    booking, refund_id = await overdue(house)
    read_before = await due(house, refund_id)
    rounds = [Refunding(house.engine, house.gateway, house.provider, house.clock).run_once() for _ in range(4)]
    routes = [pay_out(house.gateway, house.provider, read_before) for _ in range(4)]
    await asyncio.gather(*rounds, *routes)
    await pay_out(house.gateway, house.provider, read_before)
    assert len(house.provider.given_back) == 1
    assert (await house.events(booking)).count("payment.refunded") == 1
    assert await house.refunding.run_once() == 0


async def test_refunds_of_seats_one_by_one_are_each_given_back_once(house: House) -> None:
    booking, payment_id = await house.paid("A-1", "A-2", "A-3")
    for seat in ("A-2", "A-1"):
        await house.booked(Refund(booking.id, house.customer, house.clock.new_id(), payment_id, (seat,)))
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    house.provider.refunding[payment_id] = [LOST, LOST]
    assert [await house.refunding.run_once() for _ in range(3)] == [0, 2, 0]
    assert [request.amount for request in house.provider.given_back.values()] == [VIP - FEE] * 2
    assert await house.payment_status(payment_id) is PaymentStatus.PARTIALLY_REFUNDED


async def test_refund_that_comes_to_nothing_asks_no_provider(house: House) -> None:
    booking, payment_id = await house.paid("A-1")
    refund = Refund(booking.id, "", house.clock.new_id(), payment_id, by="admin", reason="no show", fee_percent=100)
    refunded = await house.booked(refund)
    assert (refunded.refunds[0].status, refunded.refunds[0].amount) == (RefundStatus.COMPLETED, 0)
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await house.refunding.run_once() == 0
    assert house.provider.refund_requests == []


# --- crashes and services that are away -------------------------------------------------------------------------------
async def test_unavailable_schedule_puts_the_record_off_and_the_money_goes_back_once(house: House) -> None:
    _, refund_id = await overdue(house)
    assert await Refunding(house.engine, Away(), house.provider, house.clock).run_once() == 0
    assert (await house.refund(refund_id)).status is RefundStatus.REQUESTED
    assert await house.refunding.run_once() == 1
    assert [request.refund_id for request in house.provider.refund_requests] == [refund_id] * 2
    assert len(house.provider.given_back) == 1


async def test_answer_lost_after_the_completion_was_recorded_is_found_completed(house: House) -> None:
    booking, refund_id = await overdue(house)
    deaf = Refunding(house.engine, LosesAnswers(house.gateway), house.provider, house.clock)
    assert [await deaf.run_once() for _ in range(2)] == [0, 0]
    assert (await house.refund(refund_id)).status is RefundStatus.COMPLETED
    assert (await house.events(booking)).count("payment.refunded") == 1


async def test_owner_that_crashed_still_knows_what_it_owes(house: House) -> None:
    _, refund_id = await overdue(house)
    await house.owners.crash()
    assert await house.refunding.run_once() == 1
    await house.owners.crash()
    assert not await complete(house.gateway, await house.refund(refund_id), "again")


async def test_worker_that_died_at_any_line_leaves_the_refund_to_the_next_process(house: House) -> None:
    seats = iter(f"A-{number}" for number in itertools.count(1))
    _, before_asking = await house.owe(next(seats))
    unanswered, _ = await house.owe(next(seats))
    house.provider.refunding[unanswered.refunds[0].payment_id] = [LOST]
    await pay_out(house.gateway, house.provider, await due(house, unanswered.refunds[0].id))
    _, unrecorded = await house.owe(next(seats))
    with pytest.raises(Unavailable):
        await pay_out(Away(), house.provider, await due(house, unrecorded))
    _, unheard = await house.owe(next(seats))
    with pytest.raises(Unavailable):
        await pay_out(LosesAnswers(house.gateway), house.provider, await due(house, unheard))
    house.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await house.refunding.run_once() == 3
    assert set(house.provider.given_back) == {before_asking, unanswered.refunds[0].id, unrecorded, unheard}
    rows = [await house.refund(each) for each in house.provider.given_back]
    assert {row.status for row in rows} == {RefundStatus.COMPLETED}


async def test_refund_of_a_schedule_that_is_not_there_is_put_off_and_does_not_end_the_process(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    _, refund_id = await overdue(house)

    class Nowhere(Away):
        async def send(self, *args: object, **kwargs: object) -> Booking:
            raise UnknownSchedule(house.schedule_id)

    assert await Refunding(house.engine, Nowhere(), house.provider, house.clock).run_once() == 0
    assert f"refund {refund_id} put off" in caplog.text


async def test_run_goes_on_after_database_failures_and_stops_when_told(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.money.refunding.INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr("persistence.database.away.SAID_AGAIN_SECONDS", 0.0)
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1)
    stop = asyncio.Event()
    running = asyncio.create_task(Refunding(nowhere, house.gateway, house.provider, house.clock).run(stop))
    await until(lambda: caplog.text.count("refunding put off") >= 2)
    stop.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running
    await nowhere.dispose()


async def test_what_a_provider_says_that_cannot_be_kept_stops_nobody_else_s_refund(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    (broken, broken_id), (_, sound_id) = await house.owe("A-1"), await overdue(house, "A-2")
    assert broken.payment is not None
    house.provider.refunding[broken.payment.id] = [Refunded("nul\x00")]
    assert await house.refunding.run_once() == 1
    assert [(await house.refund(each)).status for each in (broken_id, sound_id)] == [
        RefundStatus.REQUESTED,
        RefundStatus.COMPLETED,
    ]
    assert f"what became of refund {broken_id} cannot be recorded" in caplog.text
