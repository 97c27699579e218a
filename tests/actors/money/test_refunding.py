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
from tests.support.money.till import FEE, LOST, VIP, Away, LosesAnswers, Till
from tests.support.waiting import PATIENCE_SECONDS, until


async def due(till: Till, refund_id: str) -> DueRefund:
    found = await refunds.due(till.engine, refund_id)
    assert found is not None
    return found


async def overdue(till: Till, seat: str = "A-1") -> tuple[Booking, str]:
    """A refund that whoever requested it has had the time to carry out."""
    owed = await till.owe(seat)
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    return owed


async def test_owed_refund_is_paid_out_and_recorded(till: Till) -> None:
    booking, refund_id = await overdue(till)
    assert await till.refunding.run_once() == 1
    (request,) = till.provider.refund_requests
    assert (request.refund_id, request.amount) == (refund_id, VIP - FEE)
    assert (request.payment.amount, request.payment.reference) == (VIP, f"paid_{request.payment.payment_id}")
    row = await till.refund(refund_id)
    assert (row.status, row.reference, row.amount, row.fee) == (
        RefundStatus.COMPLETED,
        f"given_{refund_id}",
        VIP - FEE,
        FEE,
    )
    assert row.settled_ms > row.requested_ms
    assert await till.payment_status(row.payment_id) is PaymentStatus.REFUNDED
    assert await till.status(booking) is Status.REFUNDED


async def test_seats_are_free_while_their_money_is_still_owed(till: Till) -> None:
    await till.owe("A-1")
    assert till.provider.refund_requests == []
    await till.booked(HoldSeats(till.clock.new_id(), till.clock.new_id(), ("A-1",)))


async def test_refund_just_requested_is_left_to_its_worker(till: Till) -> None:
    await till.owe("A-1")
    till.clock.ahead_ms += OVERDUE_AFTER_MS - 5_000
    assert await till.refunding.run_once() == 0
    assert till.provider.refund_requests == []
    till.clock.ahead_ms += 5_001
    assert await till.refunding.run_once() == 1


async def test_second_round_finds_nothing_left_to_do(till: Till) -> None:
    await overdue(till)
    assert [await till.refunding.run_once() for _ in range(2)] == [1, 0]
    assert len(till.provider.refund_requests) == 1


async def test_nothing_is_asked_of_another_provider_s_payment(till: Till) -> None:
    await overdue(till)
    till.provider.name = "toss"  # as if it were the other one
    assert await till.refunding.run_once() == 0
    assert till.provider.refund_requests == []


# --- the provider -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("silence", [Unknown("nothing was done"), LOST])
async def test_unanswered_refund_stays_owed_and_is_asked_for_again_under_the_same_id(
    till: Till, silence: Unknown
) -> None:
    booking, refund_id = await overdue(till)
    till.provider.refunding[booking.refunds[0].payment_id] = [silence, silence]
    assert [await till.refunding.run_once() for _ in range(2)] == [0, 0]
    assert (await till.refund(refund_id)).status is RefundStatus.REQUESTED
    assert await till.refunding.run_once() == 1
    assert [request.refund_id for request in till.provider.refund_requests] == [refund_id] * 3
    assert [request.amount for request in till.provider.given_back.values()] == [VIP - FEE]


async def test_refused_refund_is_asked_for_ever_less_often_and_given_in_the_end(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    booking, refund_id = await overdue(till)
    times = len(REFUSED_AGAIN_MS) + 1
    till.provider.refunding[booking.refunds[0].payment_id] = [Refused("card_closed")] * times
    pauses = [*REFUSED_AGAIN_MS, REFUSED_AGAIN_MS[-1]]
    for number, pause_ms in enumerate(pauses, start=1):
        assert await till.refunding.run_once() == 0
        assert len(till.provider.refund_requests) == number
        till.clock.ahead_ms += pause_ms - 1_000
        assert await till.refunding.run_once() == 0
        assert len(till.provider.refund_requests) == number, "it was asked too soon"
        till.clock.ahead_ms += 1_001
    assert (await till.refund(refund_id)).status is RefundStatus.REQUESTED, "a refusal releases nobody from the debt"
    assert f"refund {refund_id}" in caplog.text
    assert "card_closed" in caplog.text
    assert await till.refunding.run_once() == 1
    assert (await till.refund(refund_id)).status is RefundStatus.COMPLETED


async def test_silence_after_a_refusal_is_no_refusal(till: Till) -> None:
    booking, _ = await overdue(till)
    answers = [Refused("empty_account"), Unknown(), Refused("empty_account"), Refunded("given")]
    till.provider.refunding[booking.refunds[0].payment_id] = [*answers]
    assert await till.refunding.run_once() == 0
    till.clock.ahead_ms += REFUSED_AGAIN_MS[0]
    assert [await till.refunding.run_once() for _ in range(2)] == [0, 0]
    till.clock.ahead_ms += REFUSED_AGAIN_MS[0]  # the first pause again
    assert await till.refunding.run_once() == 1


async def test_one_refund_s_trouble_is_not_the_next_one_s(till: Till) -> None:
    refused, _ = await till.owe("A-1")
    silent, _ = await till.owe("A-2")
    _, refund_id = await overdue(till, "A-3")
    till.provider.refunding[refused.refunds[0].payment_id] = [Refused("card_closed")]
    till.provider.refunding[silent.refunds[0].payment_id] = [Unknown()]
    assert await till.refunding.run_once() == 1
    assert (await till.refund(refund_id)).status is RefundStatus.COMPLETED


async def test_more_refunds_than_a_batch_are_all_paid_out_past_those_that_cannot_be(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.money.refunding.BATCH", 2)
    owed = [await till.owe(f"A-{number}") for number in range(1, 6)]
    for booking, _ in owed[:2]:  # the whole first batch
        till.provider.refunding[booking.refunds[0].payment_id] = [Refused("card_closed")]
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await till.refunding.run_once() == 3


# --- whoever else is at it --------------------------------------------------------------------------------------------
async def test_completion_may_be_told_again_and_again(till: Till) -> None:
    booking, refund_id = await till.owe("A-1")
    row = await till.refund(refund_id)
    assert [await complete(till.gateway, row, reference) for reference in ("first", "second", "third")] == [
        True,
        False,
        False,
    ]
    assert (await till.refund(refund_id)).reference == "first"
    assert (await till.events(booking)).count("payment.refunded") == 1


async def test_refund_that_somebody_else_has_completed_meanwhile_is_left_as_it_is(till: Till) -> None:
    """The route that made it, a process that read the table before, and two background processes."""
    booking, refund_id = await overdue(till)
    read_before = await due(till, refund_id)
    rounds = [Refunding(till.engine, till.gateway, till.provider, till.clock).run_once() for _ in range(4)]
    routes = [pay_out(till.gateway, till.provider, read_before) for _ in range(4)]
    await asyncio.gather(*rounds, *routes)
    await pay_out(till.gateway, till.provider, read_before)
    assert len(till.provider.given_back) == 1
    assert (await till.events(booking)).count("payment.refunded") == 1
    assert await till.refunding.run_once() == 0


async def test_refunds_of_seats_one_by_one_are_each_given_back_once(till: Till) -> None:
    booking, payment_id = await till.paid("A-1", "A-2", "A-3")
    for seat in ("A-2", "A-1"):
        await till.booked(Refund(booking.id, till.customer, till.clock.new_id(), payment_id, (seat,)))
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    till.provider.refunding[payment_id] = [LOST, LOST]
    assert [await till.refunding.run_once() for _ in range(3)] == [0, 2, 0]
    assert [request.amount for request in till.provider.given_back.values()] == [VIP - FEE] * 2
    assert await till.payment_status(payment_id) is PaymentStatus.PARTIALLY_REFUNDED


async def test_refund_that_comes_to_nothing_asks_no_provider(till: Till) -> None:
    booking, payment_id = await till.paid("A-1")
    refund = Refund(booking.id, "", till.clock.new_id(), payment_id, by="admin", reason="no show", fee_percent=100)
    refunded = await till.booked(refund)
    assert (refunded.refunds[0].status, refunded.refunds[0].amount) == (RefundStatus.COMPLETED, 0)
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await till.refunding.run_once() == 0
    assert till.provider.refund_requests == []


# --- crashes and services that are away -------------------------------------------------------------------------------
async def test_unavailable_schedule_puts_the_record_off_and_the_money_goes_back_once(till: Till) -> None:
    _, refund_id = await overdue(till)
    assert await Refunding(till.engine, Away(), till.provider, till.clock).run_once() == 0
    assert (await till.refund(refund_id)).status is RefundStatus.REQUESTED
    assert await till.refunding.run_once() == 1
    assert [request.refund_id for request in till.provider.refund_requests] == [refund_id] * 2
    assert len(till.provider.given_back) == 1


async def test_answer_lost_after_the_completion_was_recorded_is_found_completed(till: Till) -> None:
    booking, refund_id = await overdue(till)
    deaf = Refunding(till.engine, LosesAnswers(till.gateway), till.provider, till.clock)
    assert [await deaf.run_once() for _ in range(2)] == [0, 0]
    assert (await till.refund(refund_id)).status is RefundStatus.COMPLETED
    assert (await till.events(booking)).count("payment.refunded") == 1


async def test_owner_that_crashed_still_knows_what_it_owes(till: Till) -> None:
    _, refund_id = await overdue(till)
    await till.owners.crash()
    assert await till.refunding.run_once() == 1
    await till.owners.crash()
    assert not await complete(till.gateway, await till.refund(refund_id), "again")


async def test_worker_that_died_at_any_line_leaves_the_refund_to_the_next_process(till: Till) -> None:
    seats = iter(f"A-{number}" for number in itertools.count(1))
    _, before_asking = await till.owe(next(seats))
    unanswered, _ = await till.owe(next(seats))
    till.provider.refunding[unanswered.refunds[0].payment_id] = [LOST]
    await pay_out(till.gateway, till.provider, await due(till, unanswered.refunds[0].id))
    _, unrecorded = await till.owe(next(seats))
    with pytest.raises(Unavailable):
        await pay_out(Away(), till.provider, await due(till, unrecorded))
    _, unheard = await till.owe(next(seats))
    with pytest.raises(Unavailable):
        await pay_out(LosesAnswers(till.gateway), till.provider, await due(till, unheard))
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await till.refunding.run_once() == 3
    assert set(till.provider.given_back) == {before_asking, unanswered.refunds[0].id, unrecorded, unheard}
    rows = [await till.refund(each) for each in till.provider.given_back]
    assert {row.status for row in rows} == {RefundStatus.COMPLETED}


async def test_refund_of_a_schedule_that_is_not_there_is_put_off_and_does_not_end_the_process(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    _, refund_id = await overdue(till)

    class Nowhere(Away):
        async def send(self, *args: object, **kwargs: object) -> Booking:
            raise UnknownSchedule(till.schedule_id)

    assert await Refunding(till.engine, Nowhere(), till.provider, till.clock).run_once() == 0
    assert f"refund {refund_id} put off" in caplog.text


async def test_run_goes_on_after_database_failures_and_stops_when_told(
    till: Till, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.money.refunding.INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr("persistence.database.away.SAID_AGAIN_SECONDS", 0.0)
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1)
    stop = asyncio.Event()
    running = asyncio.create_task(Refunding(nowhere, till.gateway, till.provider, till.clock).run(stop))
    await until(lambda: caplog.text.count("refunding put off") >= 2)
    stop.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running
    await nowhere.dispose()


async def test_what_a_provider_says_that_cannot_be_kept_stops_nobody_else_s_refund(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    (broken, broken_id), (_, sound_id) = await till.owe("A-1"), await overdue(till, "A-2")
    assert broken.payment is not None
    till.provider.refunding[broken.payment.id] = [Refunded("nul\x00")]
    assert await till.refunding.run_once() == 1
    assert [(await till.refund(each)).status for each in (broken_id, sound_id)] == [
        RefundStatus.REQUESTED,
        RefundStatus.COMPLETED,
    ]
    assert f"what became of refund {broken_id} cannot be recorded" in caplog.text
