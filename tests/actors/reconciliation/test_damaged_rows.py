"""Planted damage in the tables: the checks it concerns fail and name it, all others hold, and repair mends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from engine import commands as c
from engine.refusals import Refusal
from tests.support.examined import Examined, Past, check, examined_schedule, named, told
from tests.support.services.databases import Databases

BOOKS = {"provider_books_agree"}


@pytest.fixture(scope="module")
async def mended(databases: Databases) -> AsyncIterator[tuple[Examined, Past]]:
    """One for all tests that leave it as they found it."""
    async with databases.lent() as url, examined_schedule(url) as opened:
        past = await opened.a_past()
        opened.clock.ahead_ms = 120_000  # what is younger may be on its way to the provider's books
        yield opened, past


ROWS: list[tuple[str, set[str], str, str]] = [
    (
        "UPDATE bookings SET customer_id = gen_random_uuid() WHERE id = '{paid}'",
        {"bookings_equal_journal"},
        "{paid}: another customer_id",
        "bookings {paid} is written",
    ),
    (
        "DELETE FROM bookings WHERE id = '{held}'",
        {"bookings_equal_journal", "sold_seats_equal_bookings"},
        "{held}: missing",
        "bookings {held} is written",
    ),
    (
        "INSERT INTO bookings SELECT gen_random_uuid(), schedule_id, customer_id, 'cancelled', '{{D-9}}', prices,"
        " amount, currency, version, created_at, expires_at, NULL FROM bookings WHERE id = '{gone}'",
        {"bookings_equal_journal"},
        "not in the journal",
        "is removed",
    ),
    (
        "UPDATE bookings SET schedule_id = gen_random_uuid() WHERE id = '{gone}'",
        {"bookings_equal_journal"},
        "{gone}: missing",
        "bookings {gone} is written",
    ),
    (
        "UPDATE bookings SET seats = '{{A-1,B-3}}' WHERE id = '{held}'",
        {"bookings_equal_journal", "seats_sold_once"},
        "{held}: another seats",
        "bookings {held} is written",
    ),
    (
        "UPDATE bookings SET status = 'expired' WHERE id = '{held}'",
        {"bookings_equal_journal", "sold_seats_equal_bookings"},
        "{held}: another status",
        "bookings {held} is written",
    ),
    (
        "UPDATE bookings SET amount = amount - 1 WHERE id = '{part}'",
        {"bookings_equal_journal", "money_is_conserved"},
        "{part}: another amount",
        "bookings {part} is written",
    ),
    (
        "UPDATE payments SET amount = amount - 1 WHERE booking_id = '{paid}'",
        {"payments_equal_journal", "money_is_conserved", *BOOKS},
        ": another amount",
        "is written",
    ),
    (
        "DELETE FROM payments WHERE booking_id = '{paid}'",
        {"payments_equal_journal", "money_is_conserved", *BOOKS},
        ": missing",
        "is written",
    ),
    (
        "UPDATE payments SET reason = 'stolen_card' WHERE id = '{declined}'",
        {"payments_equal_journal"},
        "{declined}: another reason",
        "payments {declined} is written",
    ),
    (
        "INSERT INTO payments SELECT gen_random_uuid(), booking_id, schedule_id, customer_id, 'approved', amount,"
        " currency, provider, 'made-up', NULL, requested_at - interval '5 min', settled_at FROM payments"
        " WHERE id = '{declined}'",
        {"payments_equal_journal", "money_is_conserved", *BOOKS},
        "not in the journal",
        "is removed",
    ),
    (
        "UPDATE refunds SET amount = amount + 1 WHERE booking_id = '{part}'",
        {"refunds_equal_journal", "money_is_conserved", *BOOKS},
        ": another amount",
        "is written",
    ),
    (
        "DELETE FROM refunds WHERE booking_id = '{whole}'",
        {"refunds_equal_journal", "money_is_conserved", *BOOKS},
        ": missing",
        "is written",
    ),
    (
        "INSERT INTO refunds SELECT gen_random_uuid(), payment_id, booking_id, schedule_id, customer_id, status, 0, 0,"
        " currency, provider, '{{}}', reference, reason, by, requested_at, settled_at FROM refunds"
        " WHERE booking_id = '{whole}'",
        {"refunds_equal_journal"},
        "not in the journal",
        "is removed",
    ),
    (
        "UPDATE cancellations SET by = 'admin' WHERE booking_id = '{gone}'",
        {"cancellations_equal_journal"},
        ": another by",
        "is written",
    ),
    (
        "DELETE FROM cancellations WHERE booking_id = '{gone}'",
        {"cancellations_equal_journal"},
        ": missing",
        "is written",
    ),
    (
        "UPDATE cancellations SET id = gen_random_uuid() WHERE booking_id = '{whole}'",
        {"cancellations_equal_journal"},
        "not in the journal",
        "is written",
    ),
    (
        "UPDATE schedules SET prices = prices || '{{\"VIP\": 1}}'",
        {"schedule_equals_journal"},
        'prices: {{"VIP":1,',
        "its terms are written",
    ),
    (
        "UPDATE schedules SET starts_at = starts_at + interval '1 day'",
        {"schedule_equals_journal"},
        "starts_at",
        "its terms are written",
    ),
    (
        "UPDATE schedules SET refund_policy = '[]', max_seats_per_customer = 4",
        {"schedule_equals_journal"},
        "max_seats_per_customer: 4, 0 in the journal",
        "its terms are written",
    ),
    (
        "UPDATE schedules SET cancelled_at = now(), cancellation_reason = 'nobody knows'",
        {"schedule_equals_journal"},
        "cancelled: true, false in the journal",
        "its terms are written",
    ),
]


@pytest.mark.parametrize(
    ("statement", "failing", "offender", "action"), ROWS, ids=[each[0].partition(" WHERE")[0][:60] for each in ROWS]
)
async def test_a_row_changed_by_sql_is_named_and_written_anew(
    mended: tuple[Examined, Past], statement: str, failing: set[str], offender: str, action: str
) -> None:
    house, past = mended
    names = {
        **{name: getattr(past, name).id for name in ("paid", "part", "whole", "held", "gone")},
        "declined": past.declined,
    }
    before = await house.dump()
    await house.sql(statement.format(**names))
    report = await house.examine()
    assert report.failing == failing
    (first,) = [each for each in failing if each.endswith(("_equal_journal", "_equals_journal"))]
    named(report, first, offender.format(**names))
    assert action.format(**names) in told(await house.dry_run(report), first)
    assert action.format(**names) in told(await house.mend(report), first)
    assert (await house.examine(events=True)).failing == frozenset()
    after = await house.dump()
    for table in ("bookings", "payments", "refunds", "cancellations", "journal"):
        assert after[table] == before[table], table


async def test_seats_of_two_bookings_are_named_with_both(house: Examined, past: Past) -> None:
    await house.sql(f"UPDATE bookings SET seats = '{{A-1,B-3}}' WHERE id = '{past.held.id}'")
    found = check(await house.examine(), "seats_sold_once")
    assert found.offenders == (f"A-1: {min(past.paid.id, past.held.id)}, {max(past.paid.id, past.held.id)}",)


async def test_money_that_does_not_add_up_is_named_with_its_booking(house: Examined, past: Past) -> None:
    await house.sql(f"UPDATE payments SET amount = amount - 1 WHERE booking_id = '{past.paid.id}'")
    found = check(await house.examine(), "money_is_conserved")
    assert found.offenders == (f"{past.paid.id}: 332999 taken - 0 refunded - 0 fees, its seats cost 333000",)


async def test_a_cancelled_schedule_that_was_revived_by_sql_is_cancelled_again(house: Examined, past: Past) -> None:
    assert not isinstance(await house.send(c.CancelSchedule("storm", "organizer")), Refusal)
    before = await house.dump()
    await house.sql("UPDATE schedules SET cancelled_at = NULL, cancellation_reason = NULL")
    report = await house.examine()
    assert report.failing == {"schedule_equals_journal"}
    await house.mend(report)
    assert (await house.examine()).failing == frozenset()
    restored, was = (msgspec.json.decode(each["schedules"][0]) for each in (await house.dump(), before))
    assert [restored[name] for name in ("cancelled_at", "cancellation_reason")] == [
        was[name] for name in ("cancelled_at", "cancellation_reason")
    ]


async def test_hundreds_of_rows_are_mended_at_once_and_the_first_are_named(house: Examined) -> None:
    document_seats = [f"{row}-{number}" for row in "ABCD" for number in range(1, 11)]
    await asyncio.gather(*(house.hold(seat) for seat in document_seats))
    await house.pool.execute("UPDATE bookings SET currency = 'USD'")
    report = await house.examine()
    found = check(report, "bookings_equal_journal")
    assert (found.actual, len(found.offenders)) == ("rows: 40, wrong: 40", 20)
    actions = await house.mend(report)
    assert len(actions) == 21
    assert actions[-1].action == "and so are 20 more of bookings"
    assert (await house.examine()).failing == frozenset()
