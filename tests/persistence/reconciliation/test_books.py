"""The books add up what the tables say: per booking, per schedule, per provider, up to a moment."""

from __future__ import annotations

from persistence.bookings.refunds import BY_HAND
from persistence.database.conditions import LIVE
from persistence.reconciliation import money
from persistence.reconciliation.money import Balance
from tests.engine.plans.houses import NOW
from tests.persistence.journal.test_journal import SCHEDULE, ident
from tests.persistence.reconciliation.test_mirror import B, P, Pool, R, pool

__all__ = ["pool"]  # the fixture

OTHER = ident(77)


async def test_a_schedule_s_balance_adds_up_and_nobody_is_to_blame(pool: Pool) -> None:
    total, wrong = await money.balance(pool, SCHEDULE, 10)
    assert wrong == []
    assert total.taken - total.refunded - total.fees == total.value == 0, "it was cancelled: all went back"
    assert total.taken > 0


async def test_a_booking_that_does_not_add_up_is_named_with_its_sums(pool: Pool) -> None:
    before, _ = await money.balance(pool, SCHEDULE, 10)
    await pool.execute("UPDATE refunds SET amount = amount - 5, fee = fee + 3 WHERE id = $1", ident(R + 1))
    total, (wrong,) = await money.balance(pool, SCHEDULE, 10)
    assert wrong.startswith(f"{ident(B)}: ")
    assert (total.refunded, total.fees) == (before.refunded - 5, before.fees + 3)


async def test_what_is_wrong_twice_over_is_named_although_the_total_is_right(pool: Pool) -> None:
    await pool.execute("UPDATE refunds SET amount = amount - 5 WHERE id = $1", ident(R + 1))
    await pool.execute("UPDATE refunds SET amount = amount + 5 WHERE id = $1", ident(R))
    total, wrong = await money.balance(pool, SCHEDULE, 10)
    assert total.taken - total.refunded - total.fees == total.value
    assert [each.partition(":")[0] for each in wrong] == [ident(B), ident(B + 2)]
    assert len((await money.balance(pool, SCHEDULE, 1))[1]) == 1


async def test_money_for_a_booking_that_is_not_there_is_out_of_balance(pool: Pool) -> None:
    await pool.execute("UPDATE payments SET status = 'approved', booking_id = $1 WHERE id = $2", OTHER, ident(P + 2))
    _, wrong = await money.balance(pool, SCHEDULE, 10)
    assert any(each.startswith(OTHER) for each in wrong)


async def test_a_schedule_without_bookings_has_no_money(pool: Pool) -> None:
    assert await money.balance(pool, OTHER, 10) == (Balance(0, 0, 0, 0), [])


async def test_own_payments_are_those_of_the_provider_with_what_went_back(pool: Pool) -> None:
    own = await money.own_payments(pool, "sandbox", schedule_id=SCHEDULE, now_ms=NOW + 1_000)
    assert set(own) == {ident(P), ident(P + 1), ident(P + 2)}
    part = own[ident(P + 2)]
    assert (part.booking_id, part.reference, part.status) == (ident(B + 2), "ref-2", "refunded")
    rows = await pool.fetch("SELECT status, sum(amount) FROM refunds WHERE payment_id = $1 GROUP BY 1", ident(P + 2))
    sums = {row[0]: row[1] for row in rows}
    assert part.refunds_completed == sums["completed"] > 0
    assert part.refunds_requested == sums["requested"] > 0
    assert await money.own_payments(pool, "toss", schedule_id=SCHEDULE, now_ms=NOW) == {}


async def test_a_refund_completed_after_the_question_counts_as_requested(pool: Pool) -> None:
    settled_ms = await pool.fetchval(
        "SELECT (extract(epoch from settled_at) * 1000)::bigint FROM refunds WHERE id = $1", ident(R)
    )
    own = await money.own_payments(pool, "sandbox", schedule_id=SCHEDULE, now_ms=settled_ms)
    assert own[ident(P + 2)].refunds_completed == 0


async def test_own_payments_since_a_moment_leave_older_ones_out(pool: Pool) -> None:
    rows = await pool.fetch("SELECT id::text, (extract(epoch from requested_at) * 1000)::bigint FROM payments")
    requested = {row[0]: row[1] for row in rows}
    latest = max(requested.values())
    own = await money.own_payments(pool, "sandbox", since_ms=latest, now_ms=latest)
    assert set(own) == {each for each, at in requested.items() if at == latest}
    assert set(await money.own_payments(pool, "sandbox", since_ms=0, now_ms=latest)) == set(requested)


async def test_booked_is_what_the_journal_knows_whatever_became_of_the_rows(pool: Pool) -> None:
    await pool.execute("DELETE FROM bookings")
    found, first_ms = await money.booked(pool, SCHEDULE)
    assert found == {ident(number) for number in range(B, B + 4)}
    assert first_ms == NOW
    assert await money.booked(pool, OTHER) == (set(), None)


async def test_schedules_of_bookings_are_told_of_those_that_are_there(pool: Pool) -> None:
    assert await money.schedules_of(pool, [ident(B), OTHER]) == {ident(B): SCHEDULE}


def test_what_the_books_go_by_is_what_the_rows_are_written_with() -> None:
    assert set(LIVE) == set(money.LIVE) == {"held", "confirmed", "partially_refunded"}
    assert money.BY_HAND == BY_HAND
