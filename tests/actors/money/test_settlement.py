"""Settlement against a real journal and a schedule's owner without Ray: what it concludes, when, and only once."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import msgspec
import pytest

from actors.gateway.gateway import Unavailable
from actors.money.settlement import OVERDUE_AFTER_MS, Settlement, give_back, settle
from engine.booking import Booking, Status
from engine.commands import Cancel, CompleteRefund, DeclinePayment, HoldSeats, Refund, RequestPayment
from engine.payment import PaymentStatus, RefundStatus
from engine.refusals import Code, Refusal
from persistence.bookings.bookings import find_booking
from persistence.bookings.payments import PaymentRow
from persistence.database.connection import create_engine
from persistence.providers.provider import NEVER_CHARGED_AFTER_MS, Approved, Declined, Outcome, Unknown
from persistence.providers.sandbox import SandboxProvider
from tests.support.money.till import HOLD_MS, LOST, VIP, Away, LosesAnswers, Till
from tests.support.services.serving import saying, serve
from tests.support.waiting import PATIENCE_SECONDS, until

LATE = Approved("sbx_late")


async def test_charged_payment_confirms_its_booking(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    till.provider.outcomes[payment_id] = Approved("sbx_1")
    assert await till.settlement.run_once() == 1
    assert await till.status(booking) is Status.CONFIRMED
    payment = (await till.payment(payment_id)).payment
    assert (payment.status, payment.reference) == (PaymentStatus.APPROVED, "sbx_1")


async def test_declined_payment_leaves_the_hold_as_it_was(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    till.provider.outcomes[payment_id] = Declined("lost_card")
    assert await till.settlement.run_once() == 1
    assert await till.status(booking) is Status.HELD
    payment = (await till.payment(payment_id)).payment
    assert (payment.status, payment.reason) == (PaymentStatus.DECLINED, "lost_card")
    assert await till.request(booking) != payment_id, "a second attempt is possible"


@pytest.mark.parametrize("silence", [Unknown("status 500"), None])
async def test_uncertain_outcome_moves_nothing_and_the_hold_does_not_expire_under_it(
    till: Till, silence: Outcome | None
) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    if silence is not None:
        till.provider.outcomes[payment_id] = silence
        till.clock.ahead_ms += 2 * HOLD_MS
    assert await till.settlement.run_once() == 0
    assert await till.payment_status(payment_id) is PaymentStatus.REQUESTED
    assert await till.status(booking) is Status.HELD
    other = await till.send(HoldSeats(till.clock.new_id(), till.clock.new_id(), ("A-1",)))
    assert other == Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1",))


async def test_never_seen_becomes_certain_only_after_the_grace(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1", NEVER_CHARGED_AFTER_MS - 2_000)
    assert await till.settlement.run_once() == 0
    till.clock.ahead_ms += 2_001
    assert await till.settlement.run_once() == 1
    payment = (await till.payment(payment_id)).payment
    assert (payment.status, payment.reason) == (PaymentStatus.DECLINED, "not_charged")
    assert await till.status(booking) is Status.HELD


async def test_payment_just_requested_is_left_to_its_worker(till: Till) -> None:
    await till.in_doubt("A-1", 0)
    assert await till.settlement.run_once() == 0
    assert till.provider.asked == []


async def test_second_round_finds_nothing_left_to_do(till: Till) -> None:
    _, payment_id = await till.in_doubt("A-1")
    till.provider.outcomes[payment_id] = Approved("sbx_1")
    await till.settlement.run_once()
    assert await till.settlement.run_once() == 0
    assert till.provider.asked == [payment_id]


async def test_several_settling_at_once_confirm_once(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    till.provider.outcomes[payment_id] = Approved("sbx_1")
    rounds = [Settlement(till.engine, till.gateway, till.provider, till.clock).run_once() for _ in range(8)]
    assert max(await asyncio.gather(*rounds)) == 1
    row = await find_booking(till.engine, booking.id, till.customer)
    assert row is not None
    # opened, held, requested, approved + confirmed: nothing was written twice
    assert (row.status, row.version) == (Status.CONFIRMED, 5)


async def test_one_payment_s_trouble_is_not_the_next_one_s(till: Till) -> None:
    _, unclear = await till.in_doubt("A-1")
    booking, clear = await till.in_doubt("A-2")
    till.provider.outcomes |= {unclear: Unknown(), clear: Approved("sbx_2")}
    assert await till.settlement.run_once() == 1
    assert await till.status(booking) is Status.CONFIRMED


async def test_more_payments_than_a_batch_are_all_settled(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.money.settlement.BATCH", 2)
    for number in range(1, 6):
        booking = await till.hold(f"A-{number}")
        till.provider.outcomes[await till.request(booking)] = Approved(f"sbx_{number}")
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert await till.settlement.run_once() == 5


async def test_unavailable_schedule_is_put_off_to_the_next_round(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    till.provider.outcomes[payment_id] = Approved("sbx_1")
    assert await Settlement(till.engine, Away(), till.provider, till.clock).run_once() == 0
    assert await till.settlement.run_once() == 1
    assert await till.status(booking) is Status.CONFIRMED


async def test_answer_lost_after_the_outcome_was_recorded_is_found_settled(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    till.provider.outcomes[payment_id] = Approved("sbx_1")
    deaf = Settlement(till.engine, LosesAnswers(till.gateway), till.provider, till.clock)
    assert await deaf.run_once() == 0
    assert await deaf.run_once() == 0, "nothing is left to do"
    assert await till.events(booking) == [
        "reservation.held",
        "payment.requested",
        "payment.approved",
        "reservation.confirmed",
    ]


async def test_owner_that_crashed_with_a_payment_in_doubt_settles_it_when_it_is_back(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    await till.owners.crash()
    till.provider.outcomes[payment_id] = Approved("sbx_1")
    assert await till.settlement.run_once() == 1
    assert await till.status(booking) is Status.CONFIRMED


async def test_database_away_between_command_and_look_puts_only_that_payment_off(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    till.provider.outcomes[payment_id] = Approved("sbx_1")
    row = await till.payment(payment_id)
    await settle(till.engine, till.gateway, row, Approved("sbx_1"))
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1)
    # A round that read the table before the outcome was there, and can no longer look what became of it.
    late = Settlement(nowhere, till.gateway, till.provider, till.clock)
    assert not await late._one(asyncio.Semaphore(1), row)
    assert f"payment {payment_id} put off" in caplog.text
    assert await till.status(booking) is Status.CONFIRMED
    await nowhere.dispose()


async def test_run_goes_on_after_database_failures_and_stops_when_told(
    till: Till, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.money.settlement.INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr("persistence.database.away.SAID_AGAIN_SECONDS", 0.0)
    nowhere = create_engine("postgresql://nobody@127.0.0.1:9/nothing", pool_size=1)
    stop = asyncio.Event()
    running = asyncio.create_task(Settlement(nowhere, till.gateway, till.provider, till.clock).run(stop))
    await until(lambda: caplog.text.count("settlement put off") >= 2)
    stop.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await running
    await nowhere.dispose()


async def test_settles_through_the_sandbox_client_too(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    told: dict[str, Any] = {
        "id": payment_id,
        "booking_id": booking.id,
        "status": "approved",
        "amount": booking.amount,
        "currency": "KRW",
        "created_ms": till.clock.now_ms(),
        "reference": "sbx_9",
    }
    async with serve(saying(msgspec.json.encode(told))) as url:
        provider = SandboxProvider(url, "secret", till.clock.now_ms)
        assert await Settlement(till.engine, till.gateway, provider, till.clock).run_once() == 1
        assert await till.status(booking) is Status.CONFIRMED
        await provider.close()


@pytest.mark.parametrize("reference", ["nul\x00", "half a character \ud800"])
async def test_what_a_provider_says_that_cannot_be_kept_stops_nobody_else_s_payment(
    till: Till, reference: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken, broken_id = await till.in_doubt("A-1")
    sound, sound_id = await till.in_doubt("A-2")
    till.provider.outcomes |= {broken_id: Approved(reference), sound_id: Approved("sbx_1")}
    assert await till.settlement.run_once() == 1
    assert [await till.status(each) for each in (broken, sound)] == [Status.HELD, Status.CONFIRMED]
    assert f"what became of payment {broken_id} cannot be recorded" in caplog.text
    till.provider.outcomes[broken_id] = Approved("sbx_2")
    assert await till.settlement.run_once() == 1, "it is still asked about"


# --- who settles, and how often ---------------------------------------------------------------------------------------
async def test_webhook_s_id_is_journaled_with_its_effect_and_its_replay_gets_the_first_answer(till: Till) -> None:
    _, payment_id = await till.in_doubt("A-1")
    row = await till.payment(payment_id)
    first = await settle(till.engine, till.gateway, row, Approved("sbx_1"), request_id="sandbox:whk_1")
    again = await settle(till.engine, till.gateway, row, Approved("sbx_1"), request_id="sandbox:whk_1")
    assert first == again
    assert [entry for entry in await till.journal() if entry[1] == "sandbox:whk_1"] == [
        ("payment.approved", "sandbox:whk_1"),
        ("reservation.confirmed", "sandbox:whk_1"),
    ]
    await till.owners.crash()
    assert await settle(till.engine, till.gateway, row, Approved("sbx_1"), request_id="sandbox:whk_1") == first


async def test_same_message_twice_at_once_takes_effect_once_and_is_asked_for_again_at_most(till: Till) -> None:
    booking, payment_id = await till.in_doubt("A-1")
    row = await till.payment(payment_id)
    what: Any = (till.engine, till.gateway, row, Approved("sbx_1"))
    told = await asyncio.gather(*(settle(*what, request_id="sandbox:whk_1") for _ in range(8)), return_exceptions=True)
    assert any(isinstance(each, Booking) for each in told)
    assert all(isinstance(each, Booking | Unavailable) for each in told), told
    assert (await till.events(booking)).count("payment.approved") == 1


async def test_whoever_comes_second_is_told_how_the_first_has_settled_it(till: Till) -> None:
    _, payment_id = await till.in_doubt("A-1")
    row = await till.payment(payment_id)
    answers = await asyncio.gather(*(settle(till.engine, till.gateway, row, Approved("sbx_1")) for _ in range(8)))
    assert [type(answer) for answer in answers].count(Booking) == 1
    for answer in answers:
        payment = answer.payment
        assert payment is not None
        assert (payment.id, payment.status, payment.reference) == (payment_id, PaymentStatus.APPROVED, "sbx_1")


async def test_decline_that_comes_after_the_money_moves_nothing_and_alarms(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    booking, payment_id = await till.paid("A-1")
    before = await till.journal()
    with caplog.at_level(logging.CRITICAL):
        now = await settle(till.engine, till.gateway, await till.payment(payment_id), Declined("lost_card"))
    assert isinstance(now, PaymentRow)
    assert now.payment.status is PaymentStatus.APPROVED
    assert f"payment {payment_id} of booking {booking.id}: the provider says declined" in caplog.text
    assert await till.journal() == before


# --- money for a payment that was given up ----------------------------------------------------------------------------
async def _still_held(till: Till, booking: Booking) -> Status:
    return Status.HELD


async def _expired(till: Till, booking: Booking) -> Status:
    till.clock.ahead_ms += HOLD_MS

    async def expired() -> bool:
        return await till.status(booking) is Status.EXPIRED

    await until(expired)
    return Status.EXPIRED


async def _cancelled(till: Till, booking: Booking) -> Status:
    await till.booked(Cancel(booking.id, till.clock.new_id(), till.customer))
    return Status.CANCELLED


async def _being_paid_again(till: Till, booking: Booking) -> Status:
    await till.request(booking)
    return Status.HELD


async def _paid_by_a_later_attempt(till: Till, booking: Booking) -> Status:
    await till.pay(booking)
    return Status.CONFIRMED


async def _paid_later_and_refunded(till: Till, booking: Booking) -> Status:
    payment_id = await till.pay(booking)
    refund_id = till.clock.new_id()
    refunded = await till.booked(Refund(booking.id, till.customer, refund_id, payment_id))
    await till.booked(CompleteRefund(refund_id, payment_id, refunded.refunds[0].amount, "KRW", "given"))
    return Status.REFUNDED


STANDINGS = [_still_held, _expired, _cancelled, _being_paid_again, _paid_by_a_later_attempt, _paid_later_and_refunded]


@pytest.mark.parametrize("meanwhile", STANDINGS)
async def test_money_for_a_payment_given_up_goes_back_once_and_leaves_the_booking_alone(
    till: Till, meanwhile: Callable[[Till, Booking], Awaitable[Status]]
) -> None:
    booking, payment_id = await till.given_up("A-1")
    status = await meanwhile(till, booking)
    row = await till.payment(payment_id)
    for _ in range(2):  # the route, settlement and webhooks, each more than once
        now = await settle(till.engine, till.gateway, row, LATE)
        assert isinstance(now, PaymentRow)
        await settle(till.engine, till.gateway, row, LATE, request_id="sandbox:whk_1")
        await give_back(till.gateway, row, LATE.reference)
    (owed,) = await till.refunds_of(payment_id)
    assert (owed.amount, owed.fee, owed.seats, owed.by) == (VIP, 0, (), "system")
    assert (owed.status, owed.customer_id) == (RefundStatus.REQUESTED, till.customer)
    late = (await till.payment(payment_id)).payment
    assert (late.status, late.reference) == (PaymentStatus.REFUNDED, LATE.reference)
    assert await till.status(booking) is status

    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    await till.refunding.run_once()
    (request,) = [each for each in till.provider.given_back.values() if each.payment.payment_id == payment_id]
    assert (request.amount, request.payment.reference) == (VIP, LATE.reference)
    assert (await till.refund(owed.id)).status is RefundStatus.COMPLETED
    await give_back(till.gateway, row, LATE.reference)
    assert len(await till.refunds_of(payment_id)) == 1


async def test_later_attempt_that_is_under_way_goes_on_while_the_earlier_one_s_money_goes_back(till: Till) -> None:
    booking, payment_id = await till.given_up("A-1")
    second = await till.request(booking)
    await settle(till.engine, till.gateway, await till.payment(payment_id), LATE)
    assert isinstance(await settle(till.engine, till.gateway, await till.payment(second), Approved("2nd")), Booking)
    assert await till.status(booking) is Status.CONFIRMED
    assert [len(await till.refunds_of(each)) for each in (payment_id, second)] == [1, 0]


async def test_late_money_told_by_everybody_at_once_goes_back_once(till: Till) -> None:
    _, payment_id = await till.given_up("A-1")
    row = await till.payment(payment_id)
    ways = itertools.cycle(
        [
            lambda: settle(till.engine, till.gateway, row, LATE),
            lambda: settle(till.engine, till.gateway, row, LATE, request_id="sandbox:whk_1"),
            lambda: give_back(till.gateway, row, LATE.reference),
        ]
    )
    told = await asyncio.gather(*(next(ways)() for _ in range(24)), return_exceptions=True)
    assert [each for each in told if isinstance(each, BaseException) and not isinstance(each, Unavailable)] == []
    assert [refund.amount for refund in await till.refunds_of(payment_id)] == [VIP]
    assert [type_ for type_, _ in await till.journal()].count("payment.late") == 1


async def test_refund_of_late_money_is_the_same_one_after_the_owner_crashed(till: Till) -> None:
    _, payment_id = await till.given_up("A-1")
    row = await till.payment(payment_id)
    with pytest.raises(Unavailable):
        await give_back(LosesAnswers(till.gateway), row, LATE.reference)
    (owed,) = await till.refunds_of(payment_id)
    await till.owners.crash()
    answer = await give_back(till.gateway, row, LATE.reference)
    assert isinstance(answer, Booking)
    assert [refund.id for refund in answer.refunds] == [owed.id]
    assert [refund.id for refund in await till.refunds_of(payment_id)] == [owed.id]


async def test_late_money_whose_return_went_unanswered_is_asked_back_under_the_same_id(till: Till) -> None:
    _, payment_id = await till.given_up("A-1")
    till.provider.refunding[payment_id] = [LOST]
    await settle(till.engine, till.gateway, await till.payment(payment_id), LATE)
    till.clock.ahead_ms += OVERDUE_AFTER_MS + 1
    assert [await till.refunding.run_once() for _ in range(3)] == [0, 1, 0]
    assert len(till.provider.given_back) == 1


async def test_money_with_its_seats_or_still_on_its_way_is_not_given_back(till: Till) -> None:
    _, approved = await till.paid("A-1")
    _, requested = await till.in_doubt("A-2")
    before = await till.journal()
    refused = [await give_back(till.gateway, await till.payment(each), "ref") for each in (approved, requested)]
    assert refused == [Refusal(Code.PAYMENT_ALREADY_SETTLED), Refusal(Code.PAYMENT_IN_PROGRESS)]
    assert await till.journal() == before


async def test_money_told_while_a_decline_and_the_next_attempt_are_not_durable_still_goes_back(
    till: Till, database_url: str
) -> None:
    booking = await till.hold("A-1")
    first = await till.request(booking)
    row = await till.payment(first)
    lock = await asyncpg.connect(database_url)
    await lock.execute("BEGIN")
    await lock.execute("SELECT 1 FROM schedule_heads FOR UPDATE")  # no commit gets past this
    calls = till.gateway.calls
    both = asyncio.gather(
        till.send(DeclinePayment(booking.id, first, "not_charged")),
        till.send(RequestPayment(booking.id, till.customer, till.clock.new_id(), "sandbox")),
    )
    await until(lambda: till.gateway.calls == calls + 1)
    telling = asyncio.create_task(settle(till.engine, till.gateway, row, LATE))
    await until(lambda: till.gateway.calls == calls + 2)
    await lock.close()
    await both
    assert (await telling).payment.status is PaymentStatus.DECLINED
    assert len(await till.refunds_of(first)) == 1
