"""Money that the provider's books and ours tell differently, and what was left lying: named, and brought to an end."""

from __future__ import annotations

import msgspec
import pytest

from actors.reconciliation import table_checks
from engine import commands as c
from engine.refusals import Refusal
from persistence.bookings.refunds import BY_HAND
from persistence.database.moments import moment
from tests.support.examined import Examined, Past, check, named, told

BOOKS = {"provider_books_agree"}


# --- money at the provider --------------------------------------------------------------------------------------------
async def test_a_payment_that_only_the_provider_knows_is_given_back(house: Examined, past: Past) -> None:
    payment_id = house.clock.new_id()
    reference = house.provider.take(payment_id, past.paid.id, 333_000)
    house.clock.ahead_ms += 1_000
    report = await house.examine()
    assert report.failing == BOOKS
    named(report, "provider_books_agree", f"{payment_id} of booking {past.paid.id}: taken there, unknown here")
    assert f"payment {payment_id} is given back" in told(await house.dry_run(report), "provider_books_agree")
    await house.mend(report)
    (refund_id, status) = await house.pool.fetchrow("SELECT id::text, status FROM refunds WHERE reason = 'late'")
    assert status == "requested"
    await house.at_rest()
    await house.retire()  # it would end the hold that is over by then
    house.clock.ahead_ms += table_checks.PAID_OUT_WITHIN_MS + 1_000
    late = await house.examine()
    assert late.failing == {"refunds_are_paid_out", "holds_end_in_time"}
    await house.mend(late)
    assert house.provider.refunded == {refund_id: 333_000}
    assert house.provider.known[reference].refunded == 333_000
    await house.at_rest()
    assert (await house.examine(events=True)).failing == frozenset()


async def test_a_payment_for_no_booking_of_ours_is_nothing_of_this_schedule(house: Examined, past: Past) -> None:
    house.provider.take(house.clock.new_id(), house.clock.new_id(), 1_000)
    house.clock.ahead_ms += 1_000
    assert (await house.examine()).failing == frozenset()


async def test_a_payment_we_have_as_approved_that_the_provider_does_not_know_is_reported(
    house: Examined, past: Past
) -> None:
    assert past.paid.payment is not None
    del house.provider.known[past.paid.payment.reference]
    assert (await house.examine()).failing == frozenset(), "its answer may not be in its books yet"
    house.clock.ahead_ms += 61_000
    report = await house.examine()
    assert report.failing == BOOKS
    named(report, "provider_books_agree", f"{past.paid.payment.id}: approved here, unknown there")
    before = await house.dump()
    actions = await house.mend(report)
    assert "a person must put right" in told(actions, "provider_books_agree")
    assert await house.dump() == before


async def test_a_payment_dated_long_before_ours_is_asked_for_by_itself(house: Examined, past: Past) -> None:
    assert past.paid.payment is not None
    known = house.provider.known[past.paid.payment.reference]
    house.provider.known[known.reference] = msgspec.structs.replace(known, created_ms=known.created_ms - 10**8)
    house.clock.ahead_ms += 61_000
    assert (await house.examine()).failing == frozenset()


async def test_a_refund_at_the_provider_s_own_desk_is_reported(house: Examined, past: Past) -> None:
    assert past.paid.payment is not None
    house.provider.give_back(past.paid.payment.reference, 33_000)
    report = await house.examine()
    assert report.failing == BOOKS
    named(report, "provider_books_agree", f"{past.paid.payment.id}: 33000 given back there, 0 here")
    before = await house.dump()
    assert "a person must put right" in told(await house.mend(report), "provider_books_agree")
    assert await house.dump() == before


async def test_a_refund_paid_out_by_hand_is_not_looked_for_in_the_books_and_one_paid_twice_is_reported(
    house: Examined, past: Past
) -> None:
    assert past.paid.payment is not None
    refund_id, payment_id = await house.refund(past.paid, "A-1", pay_out=False), past.paid.payment.id
    (amount,) = await house.pool.fetchrow("SELECT amount FROM refunds WHERE id = $1", refund_id)
    done = c.CompleteRefund(refund_id, payment_id, amount, "KRW", f"{BY_HAND}T-2026-0815")
    assert not isinstance(await house.send(done), Refusal)
    house.clock.ahead_ms += 1_000
    assert (await house.examine()).failing == frozenset()
    house.provider.give_back(past.paid.payment.reference, amount)
    report = await house.examine()
    assert report.failing == BOOKS
    named(report, "provider_books_agree", f"{payment_id}: {amount} given back there, 0 here")


async def test_a_payment_taken_there_and_declined_here_is_given_back(house: Examined, past: Past) -> None:
    reference = house.provider.take(past.declined, past.held.id, past.held.amount)
    house.clock.ahead_ms += 1_000
    report = await house.examine()
    assert report.failing == BOOKS
    named(report, "provider_books_agree", f"{past.declined} of booking {past.held.id}: taken there, declined here")
    await house.mend(report)
    row = await house.pool.fetchrow("SELECT status, reference FROM payments WHERE id = $1", past.declined)
    assert tuple(row) == ("refunded", reference)
    await house.at_rest()
    assert (await house.examine(events=True)).failing == frozenset()


async def test_a_payment_taken_there_and_long_open_here_is_approved(house: Examined, past: Past) -> None:
    payment_id = await house.request(past.held)
    house.provider.take(payment_id, past.held.id, past.held.amount)
    house.clock.ahead_ms += 1_000
    assert (await house.examine()).failing == frozenset(), "its answer may be on its way"
    house.clock.ahead_ms += 61_000
    await house.at_rest()
    report = await house.examine()
    assert report.failing == BOOKS
    assert f"payment {payment_id} is approved" in told(await house.dry_run(report), "provider_books_agree")
    await house.mend(report)
    assert await house.pool.fetchval("SELECT status FROM bookings WHERE id = $1", past.held.id) == "confirmed"
    assert (await house.examine()).failing == frozenset()


class TestAProviderThatDoesNotKnowOurPaymentIds:
    """Toss knows the booking and its own key."""

    @pytest.fixture(autouse=True)
    def forgetful(self, house: Examined) -> None:
        house.provider._knows_our_ids = False

    async def test_payments_are_found_by_the_provider_s_own_id(self, house: Examined, past: Past) -> None:
        house.clock.ahead_ms += 61_000
        assert all(known.payment_id is None for known in house.provider.known.values())
        assert (await house.examine()).failing == frozenset()

    async def test_one_that_is_declined_here_is_found_by_its_booking_and_given_back(
        self, house: Examined, past: Past
    ) -> None:
        reference = house.provider.take(house.clock.new_id(), past.held.id, past.held.amount)
        house.clock.ahead_ms += 1_000
        report = await house.examine()
        assert report.failing == BOOKS
        named(report, "provider_books_agree", f"{past.declined} of booking {past.held.id}: taken there, declined here")
        await house.mend(report)
        row = await house.pool.fetchrow("SELECT status, reference FROM payments WHERE id = $1", past.declined)
        assert tuple(row) == ("refunded", reference)
        await house.at_rest()
        assert (await house.examine()).failing == frozenset()

    async def test_one_of_another_amount_than_was_declined_here_is_given_back_whole(
        self, house: Examined, past: Past
    ) -> None:
        """Seats were changed between two attempts: it is an earlier one's."""
        amount = past.held.amount + 55_000
        reference = house.provider.take(house.clock.new_id(), past.held.id, amount)
        house.clock.ahead_ms += 1_000
        report = await house.examine()
        named(report, "provider_books_agree", f"{reference} of booking {past.held.id}: taken there, unknown here")
        await house.mend(report)
        assert await house.pool.fetchval("SELECT amount FROM refunds WHERE reason = 'late'") == amount
        await house.at_rest()
        assert (await house.examine()).failing == frozenset()

    async def test_one_of_a_booking_whose_payment_is_open_is_on_its_way_and_then_approved(
        self, house: Examined, past: Past
    ) -> None:
        payment_id = await house.request(past.held)
        reference = house.provider.take(house.clock.new_id(), past.held.id, past.held.amount)
        house.clock.ahead_ms += 1_000
        assert (await house.examine()).failing == frozenset()
        house.clock.ahead_ms += 61_000
        await house.at_rest()
        report = await house.examine()
        assert report.failing == BOOKS
        await house.mend(report)
        row = await house.pool.fetchrow("SELECT status, reference FROM payments WHERE id = $1", payment_id)
        assert tuple(row) == ("approved", reference)
        assert (await house.examine()).failing == frozenset()

    async def test_a_second_one_of_a_booking_that_is_paid_is_given_back_once(self, house: Examined, past: Past) -> None:
        reference = house.provider.take(house.clock.new_id(), past.paid.id, 333_000)
        house.clock.ahead_ms += 1_000
        report = await house.examine()
        named(report, "provider_books_agree", f"{reference} of booking {past.paid.id}: taken there, unknown here")
        await house.mend(report)
        await house.mend(report)
        rows = await house.pool.fetch("SELECT reference FROM payments WHERE reason = 'late'")
        assert [row[0] for row in rows] == [reference]
        await house.at_rest()
        assert (await house.examine()).failing == frozenset()


# --- what was left lying ----------------------------------------------------------------------------------------------
async def test_a_payment_without_outcome_is_named_and_settled(house: Examined, past: Past) -> None:
    charged, uncharged = await house.hold("D-1"), await house.hold("D-2")
    approved, never = await house.request(charged), await house.request(uncharged)
    house.provider.take(approved, charged.id, charged.amount)
    await house.at_rest()
    assert (await house.examine()).failing == frozenset()
    house.clock.ahead_ms += table_checks.OUTCOME_WITHIN_MS + 1_000
    report = await house.examine()
    assert report.failing == {"payments_have_an_outcome", *BOOKS}
    assert set(check(report, "payments_have_an_outcome").offenders) == {approved, never}
    actions = told(await house.dry_run(report), "payments_have_an_outcome")
    assert f"payment {approved} is settled: approved" in actions
    assert f"payment {never} is settled: declined" in actions
    await house.mend(report)
    statuses = dict(await house.pool.fetch("SELECT id::text, status FROM payments"))
    assert (statuses[approved], statuses[never]) == ("approved", "declined")
    await house.at_rest()
    assert (await house.examine()).failing == frozenset()


async def test_a_payment_of_which_the_provider_says_nothing_is_left_open(house: Examined, past: Past) -> None:
    payment_id = await house.request(past.held)
    await house.at_rest()
    house.clock.ahead_ms += table_checks.OUTCOME_WITHIN_MS + 1_000
    report = await house.examine()
    assert report.failing == {"payments_have_an_outcome"}
    house.provider.away = True
    (action,) = await house.mend(report)
    assert (action.action, action.done) == (f"payment {payment_id}: sandbox does not tell what became of it", False)


async def test_a_refund_that_is_not_paid_out_is_named_and_paid_out(house: Examined, past: Past) -> None:
    refund_id = await house.refund(past.paid, "A-2", pay_out=False)
    assert (await house.examine()).failing == frozenset()
    booking_of_none = await house.send(c.Cancel(past.held.id, house.clock.new_id(), house.customer))
    assert not isinstance(booking_of_none, Refusal)
    await house.at_rest()
    house.clock.ahead_ms += table_checks.PAID_OUT_WITHIN_MS + 1_000
    report = await house.examine()
    assert report.failing == {"refunds_are_paid_out"}
    assert check(report, "refunds_are_paid_out").offenders == (refund_id,)
    await house.dry_run(report)
    assert house.provider.refunded == {}
    house.provider.away = True
    assert told(await house.mend(report), "refunds_are_paid_out") == f"refund {refund_id} is asked of sandbox: unknown"
    house.provider.away = False
    await house.mend(report)
    assert list(house.provider.refunded) == [refund_id]
    assert (await house.examine()).failing == frozenset()


async def test_a_hold_whose_payment_came_to_nothing_past_its_time_has_a_minute_from_there(
    house: Examined, past: Past
) -> None:
    await house.retire()
    house.clock.ahead_ms += 3_600_000
    settled_at = moment(house.clock.now_ms())
    await house.sql("UPDATE payments SET settled_at = $1 WHERE id = $2", settled_at, past.declined)
    assert check(await house.examine(), "holds_end_in_time").holds
    house.clock.ahead_ms += table_checks.EXPIRED_WITHIN_MS + 1_000
    assert check(await house.examine(), "holds_end_in_time").offenders == (past.held.id,)


async def test_a_hold_past_its_time_is_named_and_ended(house: Examined, past: Past) -> None:
    await house.retire()
    house.clock.ahead_ms += 600_000 + 30_000
    assert (await house.examine()).failing == frozenset()
    house.clock.ahead_ms += 60_000
    report = await house.examine()
    assert report.failing == {"holds_end_in_time"}
    assert check(report, "holds_end_in_time").offenders == (past.held.id,)
    await house.dry_run(report)
    await house.mend(report)
    assert await house.pool.fetchval("SELECT status FROM bookings WHERE id = $1", past.held.id) == "expired"
    await house.at_rest()
    assert (await house.examine(events=True)).failing == frozenset()
