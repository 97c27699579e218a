"""Planted damage: the checks it concerns fail and name it, all others hold, and repair mends what can be mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from actors.process.rounds import pause_after
from actors.reconciliation import copy_checks
from actors.reconciliation.checks import Name, Report
from actors.reconciliation.repair import FOLLOWS, IRREPARABLE
from engine import commands as c
from engine.events import decode_event, encode_event
from engine.refusals import Refusal
from engine.snapshot import capture, encode
from engine.state import BLOCKED, SOLD
from persistence.journal.journal import UnknownSchedule
from persistence.seats.cache import SeatView
from tests.support.examined import Examined, Past, check, examined_schedule, named, told
from tests.support.services.databases import Databases
from tests.support.waiting import until

BOOKS = {"provider_books_agree"}
NAMES = {
    "journal_is_whole",
    "memory_equals_journal",
    "seat_map_equals_journal",
    "bookings_equal_journal",
    "payments_equal_journal",
    "cancellations_equal_journal",
    "refunds_equal_journal",
    "schedule_equals_journal",
    "sold_seats_equal_bookings",
    "seats_sold_once",
    "money_is_conserved",
    "payments_have_an_outcome",
    "refunds_are_paid_out",
    "holds_end_in_time",
    "published_equals_head",
    "provider_books_agree",
    "events_equal_journal",
}


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[Examined]:
    async with examined_schedule(database_url) as opened:
        yield opened


@pytest.fixture
async def past(house: Examined) -> Past:
    return await house.a_past()


@pytest.fixture(scope="module")
async def mended(databases: Databases) -> AsyncIterator[tuple[Examined, Past]]:
    """One for all tests that leave it as they found it."""
    async with databases.lent() as url, examined_schedule(url) as opened:
        past = await opened.a_past()
        opened.clock.ahead_ms = 120_000  # what is younger may be on its way to the provider's books
        yield opened, past


async def save_snapshot(house: Examined, damage: Callable[[bytes], bytes] = bytes) -> None:
    """What the owner does every few thousand records."""
    seq, _ = await house.head()
    payload = damage(encode(capture(house.state)))
    await house.sql(
        "INSERT INTO snapshots (schedule_id, seq, payload) VALUES ($1, $2, $3)", house.schedule_id, seq, payload
    )
    await house.sql("UPDATE schedule_heads SET snapshot_seq = $1", seq)


# --- nothing is wrong -------------------------------------------------------------------------------------------------
async def test_everything_holds_after_something_of_everything(house: Examined, past: Past) -> None:
    await save_snapshot(house)
    report = await house.examine(events=True)
    assert report.failing == frozenset()
    assert {each.name for each in report.checks} == NAMES | {"snapshot_equals_journal"}
    assert report.version == (await house.head())[0]


async def test_a_schedule_that_was_only_opened_holds_and_no_owner_is_woken(house: Examined) -> None:
    report = await house.examine()
    assert report.failing == frozenset()
    assert check(report, "published_equals_head").holds
    assert house.owners.schedule is None
    assert "memory_equals_journal" not in {each.name for each in report.checks}


async def test_an_unknown_schedule_is_said_to_be_unknown(house: Examined) -> None:
    with pytest.raises(UnknownSchedule):
        await house.reconciler.examine(house.clock.new_id())


async def test_what_happened_since_the_last_examination_is_examined_by_the_next(house: Examined, past: Past) -> None:
    for seat in ("D-1", "D-2", "D-3"):
        await house.paid(seat)
        await house.at_rest()
        assert (await house.examine()).failing == frozenset()
    await house.sql("UPDATE bookings SET seats = '{D-9}' WHERE seats = '{D-3}'")
    assert (await house.examine()).failing == {"bookings_equal_journal"}


async def test_an_older_database_that_was_restored_is_examined_from_the_start(house: Examined, past: Past) -> None:
    await house.examine()
    await house.retire()
    house.cache.lose_everything()
    seq, _ = await house.head()
    blocked = seq  # the last thing that happened touches no table
    await house.sql("DELETE FROM journal WHERE seq = $1", blocked)
    await house.pool.execute("UPDATE schedule_heads SET seq = $1, published_seq = $1", blocked - 1)
    assert (await house.examine()).failing == frozenset()


# --- rows -------------------------------------------------------------------------------------------------------------
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


# --- memory -----------------------------------------------------------------------------------------------------------
def flip_a_seat(house: Examined, past: Past) -> None:
    house.state.seats[house.plan.index["D-4"]] = SOLD


def give_a_booking_to_another(house: Examined, past: Past) -> None:
    other = msgspec.structs.replace(past.paid, customer_id=house.clock.new_id())
    house.state.bookings[other.id] = other
    house.state.touched.add(other.id)


def lose_a_booking(house: Examined, past: Past) -> None:
    del house.state.bookings[past.held.id]
    house.state.touched.add(past.held.id)


@pytest.mark.parametrize("damage", [flip_a_seat, give_a_booking_to_another, lose_a_booking])
async def test_an_owner_s_memory_that_was_changed_is_found_and_replaced(
    house: Examined, past: Past, damage: Callable[[Examined, Past], None]
) -> None:
    assert house.owners.schedule is not None
    epoch = (await house.owners.schedule.inspect()).epoch
    damage(house, past)
    report = await house.examine()
    assert report.failing == {"memory_equals_journal"}
    named(report, "memory_equals_journal", f"the owner of epoch {epoch}")
    assert "replaced" in told(await house.dry_run(report), "memory_equals_journal")
    await house.mend(report)
    await house.at_rest()
    after = await house.examine(events=True)
    assert after.failing == frozenset()
    assert check(after, "memory_equals_journal").holds


async def test_a_silent_owner_is_said_to_be_silent_and_replaced(house: Examined, past: Past) -> None:
    assert house.owners.owner is not None
    house.owners.owner.silent = True
    report = await house.examine()
    assert report.failing == {"memory_equals_journal"}
    assert check(report, "memory_equals_journal").actual == "the owner is silent"
    await house.mend(report)
    assert (await house.examine()).failing == frozenset()


async def test_an_owner_that_holds_more_than_is_ever_journaled_is_found(
    house: Examined, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.reconciliation.reconciler.DURABLE_SECONDS", 0.2)
    house.state.seq += 1
    report = await house.examine()
    assert report.failing == {"memory_equals_journal"}
    assert check(report, "memory_equals_journal").expected == f"at most version {report.version}"


async def test_an_owner_that_has_stayed_behind_is_found(house: Examined, past: Past) -> None:
    await house.examine()
    house.state.seq -= 1
    report = await house.examine()
    assert report.failing == {"memory_equals_journal"}
    assert check(report, "memory_equals_journal").expected == f"at least version {report.version}"


# --- snapshots --------------------------------------------------------------------------------------------------------
async def change_snapshot(house: Examined, payload: bytes) -> None:
    await house.sql("UPDATE snapshots SET payload = $1", payload)


async def damaged(house: Examined) -> str:
    await change_snapshot(house, b"\x00nonsense")
    return "cannot be read"


async def wrong(house: Examined) -> str:
    """A seat that nobody holds is taken."""
    right = capture(house.state)
    seats = bytearray(right.seats)
    seats[house.plan.index["D-5"]] = BLOCKED
    await change_snapshot(house, encode(msgspec.structs.replace(right, seats=bytes(seats))))
    return "another state"


async def damaged_at_the_end(house: Examined) -> str:
    """What it remembers of requests is nonsense; the owner needs that, and the hash does not tell."""
    requests = [("a request", "no answer")]
    await change_snapshot(house, encode(msgspec.structs.replace(capture(house.state), requests=requests)))
    return "cannot be read"


@pytest.mark.parametrize(
    ("further", "chunk"), [(False, 1_000), (True, 1_000), (True, 1)], ids=["at the head", "left behind", "on the way"]
)
@pytest.mark.parametrize("examined_before", [False, True])
@pytest.mark.parametrize("damage", [damaged, wrong, damaged_at_the_end])
async def test_a_snapshot_that_is_wrong_is_found_and_dropped(
    house: Examined,
    past: Past,
    damage: Callable[[Examined], Awaitable[str]],
    examined_before: bool,
    further: bool,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.reconciliation.following.CHUNK", chunk)
    await save_snapshot(house)
    if examined_before:
        assert (await house.examine()).failing == frozenset()
    actual = await damage(house)
    if further:
        await house.paid("D-1")
        await house.at_rest()
    await house.retire()
    report = await house.examine()
    assert report.failing == {"snapshot_equals_journal"}
    assert check(report, "snapshot_equals_journal").actual.startswith(actual)
    assert "dropped" in told(await house.dry_run(report), "snapshot_equals_journal")
    await house.mend(report)
    await house.hold("D-6")
    assert (await house.examine()).failing == frozenset()


async def test_a_good_snapshot_that_appears_when_the_mirror_is_past_it_holds(house: Examined, past: Past) -> None:
    seq, _ = await house.head()
    payload = encode(capture(house.state))
    await house.paid("D-1")
    await house.examine()
    await house.sql(
        "INSERT INTO snapshots (schedule_id, seq, payload) VALUES ($1, $2, $3)", house.schedule_id, seq, payload
    )
    for _ in range(2):
        assert check(await house.examine(), "snapshot_equals_journal").holds


async def test_memory_that_came_from_a_wrong_snapshot_is_mended_with_it(house: Examined, past: Past) -> None:
    await save_snapshot(house)
    await wrong(house)
    await house.retire()
    await house.send(c.Expire())  # the owner reads the wrong snapshot
    report = await house.examine()
    assert {"memory_equals_journal", "snapshot_equals_journal"} <= report.failing
    await house.mend(report)
    await house.at_rest()
    assert (await house.examine()).failing == frozenset()


# --- the seat map -----------------------------------------------------------------------------------------------------
async def show(house: Examined, version: int | None = None, **seats: int) -> None:
    """Readers are shown these states."""
    right = await house.cache.get(house.schedule_id)
    assert right is not None
    states = bytearray(right.states)
    for seat, state in seats.items():
        states[house.plan.index[seat.replace("_", "-")]] = state
    house.cache.lose_everything()
    await house.cache.put(SeatView(right.schedule_id, version or right.version, bytes(states), right.areas))


async def test_a_seat_shown_otherwise_than_journaled_is_named_and_shown_anew(house: Examined, past: Past) -> None:
    await show(house, D_7=SOLD)
    report = await house.examine()
    assert report.failing == {"seat_map_equals_journal"}
    assert check(report, "seat_map_equals_journal").offenders == ("D-7",)
    assert "shows it anew" in told(await house.dry_run(report), "seat_map_equals_journal")
    await house.mend(report)
    after = await house.examine()
    assert after.failing == frozenset()
    assert check(after, "seat_map_equals_journal").holds


async def test_a_seat_map_of_the_future_is_found_and_shown_anew(house: Examined, past: Past) -> None:
    seq, _ = await house.head()
    await show(house, seq + 100)
    report = await house.examine()
    assert report.failing == {"seat_map_equals_journal"}
    assert check(report, "seat_map_equals_journal").actual == f"version {seq + 100}"
    await house.mend(report)
    assert check(await house.examine(), "seat_map_equals_journal").holds


@pytest.mark.parametrize("examined_before", [False, True])
async def test_a_seat_map_that_stays_behind_is_found_after_a_minute(
    house: Examined, past: Past, examined_before: bool
) -> None:
    if examined_before:
        await house.examine()
    seq, _ = await house.head()
    await show(house, seq - 1, C_2=0)  # the block of C-2 was never shown
    assert (await house.examine()).failing == frozenset()
    house.clock.ahead_ms += 61_000
    report = await house.examine()
    assert report.failing == {"seat_map_equals_journal"}
    await house.mend(report)
    assert (await house.examine()).failing == frozenset()


# --- the journal ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("examined_before", [False, True])
@pytest.mark.parametrize("version", [2, 7, -1])
async def test_a_journal_row_that_was_deleted_is_named_and_nothing_is_made_to_follow(
    house: Examined, past: Past, version: int, examined_before: bool
) -> None:
    seq, _ = await house.head()
    version = seq if version < 0 else version
    if examined_before:
        await house.examine()
    await house.sql("DELETE FROM journal WHERE seq = $1", version)
    await house.sql("UPDATE bookings SET customer_id = gen_random_uuid() WHERE id = $1", past.paid.id)
    report = await house.examine(events=True)
    assert report.failing == {"journal_is_whole"}
    named(report, "journal_is_whole", f"version {version}")
    await house.dry_run(report)
    before = await house.dump()
    actions = await house.mend(report)
    assert told(actions, "journal_is_whole") == "nothing: the journal is never changed, a person must look into it"
    assert await house.dump() == before


async def test_a_journal_row_beyond_the_head_is_named(house: Examined, past: Past) -> None:
    seq, _ = await house.head()
    await house.sql(
        "INSERT INTO journal SELECT schedule_id, seq + 1, at_ms, type, booking_id, request_id, fingerprint, payload"
        " FROM journal WHERE seq = $1",
        seq,
    )
    report = await house.examine()
    assert report.failing == {"journal_is_whole"}
    named(report, "journal_is_whole", f"version {seq + 1}")


async def change_event(house: Examined, version: int, **facts: object) -> None:
    payload = await house.pool.fetchval("SELECT payload FROM journal WHERE seq = $1", version)
    changed = encode_event(msgspec.structs.replace(decode_event(payload), **facts))
    await house.sql("UPDATE journal SET payload = $2 WHERE seq = $1", version, changed)


async def version_of(house: Examined, type_name: str, booking_id: str) -> int:
    query = "SELECT min(seq) FROM journal WHERE type = $1 AND booking_id = $2"
    found: int = await house.pool.fetchval(query, type_name, booking_id)
    return found


@pytest.mark.parametrize(
    "damage",
    [
        "payload = '\\x00'",
        "payload = (SELECT payload FROM journal WHERE type = 'seats.blocked')",
        "type = 'reservation.expired'",
        "booking_id = gen_random_uuid()",
        "at_ms = 9000000000000000000",
        "payload = (SELECT payload FROM journal WHERE seq = 2), type = 'reservation.held',"
        " booking_id = (SELECT booking_id FROM journal WHERE seq = 2)",
    ],
)
async def test_a_journal_row_that_makes_no_sense_is_named(house: Examined, past: Past, damage: str) -> None:
    version = await version_of(house, "payment.approved", past.part.id)
    await house.sql(f"UPDATE journal SET {damage} WHERE seq = $1", version)
    report = await house.examine()
    assert report.failing == {"journal_is_whole"}
    named(report, "journal_is_whole", f"version {version}")
    assert not any(each.done for each in await house.mend(report))


async def test_a_journal_row_that_says_something_else_is_named_by_what_was_published_and_never_followed(
    house: Examined, past: Past
) -> None:
    version = await version_of(house, "reservation.held", past.held.id)
    await change_event(house, version, customer_id=house.clock.new_id())
    report = await house.examine(events=True)
    assert report.failing == {
        "memory_equals_journal",
        "bookings_equal_journal",
        "payments_equal_journal",
        "events_equal_journal",
    }
    # The event itself, and those after it that tell what their booking is.
    first, *_ = check(report, "events_equal_journal").offenders
    assert first == f"version {version}: says something else"
    named(report, "bookings_equal_journal", past.held.id)
    before = await house.dump()
    actions = await house.mend(report)
    assert f"at version {version}, " in told(actions, "bookings_equal_journal")
    assert not any(each.done for each in actions)
    assert await house.dump() == before
    assert "a person must compare them" in told(await house.mend(report, log=False), "bookings_equal_journal")
    assert await house.dump() == before


async def test_rows_and_memory_that_are_both_wrong_are_mended_where_what_was_published_vouches_for_the_journal(
    house: Examined, past: Past
) -> None:
    flip_a_seat(house, past)
    await house.sql("UPDATE bookings SET customer_id = gen_random_uuid() WHERE id = $1", past.paid.id)
    report = await house.examine()
    assert report.failing == {"memory_equals_journal", "bookings_equal_journal"}
    assert not any(each.done for each in await house.mend(report, log=False))
    house.log.available = False
    assert not any(each.done for each in await house.mend(report))
    house.log.available = True
    await house.mend(report)
    assert (await house.examine(events=True)).failing == frozenset()


# --- services that are away -------------------------------------------------------------------------------------------
async def test_with_the_seat_cache_away_everything_else_is_examined(house: Examined, past: Past) -> None:
    house.cache.available = False
    report = await house.examine()
    assert report.failing == frozenset()
    assert "seat_map_equals_journal" not in {each.name for each in report.checks}


async def test_a_provider_or_a_log_that_is_away_is_said_to_be_and_put_off(house: Examined, past: Past) -> None:
    house.provider.away, house.log.available = True, False
    report = await house.examine(events=True)
    assert report.failing == {"provider_books_agree", "events_equal_journal"}
    for name in report.failing:
        assert "cannot be read now" in check(report, name).actual
    for each in await house.mend(report):
        assert each.action.startswith("put off: ")


async def test_an_owner_that_cannot_be_had_puts_the_repair_off(house: Examined, past: Past) -> None:
    await house.retire()
    house.clock.ahead_ms += 700_000
    report = await house.examine()
    house.owners.away = True
    (action,) = await house.mend(report)
    assert action.action.startswith("put off: ")


class NoDatabase:
    """A pool whose database is away."""

    def acquire(self) -> None:
        raise ConnectionRefusedError("away")

    async def fetchrow(self, query: str, *arguments: object) -> None:
        raise ConnectionRefusedError("away")


async def test_with_the_database_away_nothing_is_said_and_a_later_examination_is_right(
    house: Examined, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.examine()
    with monkeypatch.context() as patch:
        patch.setattr(house.reconciler, "_pool", NoDatabase())
        with pytest.raises(ConnectionRefusedError):
            await house.reconciler.examine(house.schedule_id)
    assert (await house.examine()).failing == frozenset()


# --- a sale that goes on ----------------------------------------------------------------------------------------------
class Crowd:
    """Customers who hold, pay, cancel and give back, all at once, until told to stop.

    They get only so far ahead of whoever examines: a journal that grows while it is read from its start is read longer
    each time.
    """

    AHEAD = 12  # bookings since the last examination began

    def __init__(self, house: Examined) -> None:
        self.house = house
        self.stop = asyncio.Event()
        self.done = 0
        self.seen = 0  # of those done, when the last examination began

    async def examine(self, *, events: bool) -> Report:
        self.seen = self.done
        return await self.house.examine(events=events)

    async def buy(self, row: str) -> None:
        number = 0
        while not self.stop.is_set():
            await until(lambda: self.done < self.seen + self.AHEAD or self.stop.is_set())
            number = number % 10 + 1
            booking = await self.house.hold(f"{row}-{number}", "floor")
            if number % 3 == 0:
                await self.house.send(c.Cancel(booking.id, self.house.clock.new_id(), self.house.customer))
            elif number % 3 == 1:
                await self.house.declined(booking)
                await self.house.send(c.Cancel(booking.id, self.house.clock.new_id(), self.house.customer))
            else:
                paid = await self.house.approve(booking, await self.house.request(booking))
                await self.house.refund(paid, "floor")
                await self.house.refund(paid)
            self.done += 1


@pytest.mark.parametrize(
    "options",
    [{}, {"mirrors_kept": 0}, {"mirrors_kept": 0, "share": 0.2}],
    ids=["kept", "from scratch", "from scratch, with rests"],
)
async def test_an_examination_in_the_middle_of_a_sale_raises_no_false_alarm(
    house: Examined, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    if "share" in options:
        monkeypatch.setattr("actors.reconciliation.following.CHUNK", 100)  # so that there is something to rest between
    house.reconciler = house.new_reconciler(**options)
    crowd = Crowd(house)
    versions: list[int] = []
    async with asyncio.TaskGroup() as group:
        for row in "ABCD":
            group.create_task(crowd.buy(row))
        for _ in range(25):
            report = await crowd.examine(events=len(versions) % 5 == 0)
            assert report.failing == frozenset(), [each for each in report.checks if not each.holds]
            done = crowd.done
            crowd.seen = done  # however far they came meanwhile
            await until(lambda seen=done: crowd.done > seen)
            versions.append(report.version)
        crowd.stop.set()
    assert versions == sorted(set(versions)), "each examination saw a newer version"
    await house.at_rest()
    assert (await house.examine(events=True)).failing == frozenset()


async def test_replaying_rests_between_its_pieces(house: Examined, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[tuple[float, float]] = []

    def noted(took: float, seconds: float, share: float) -> float:
        rests.append((took, share))
        return pause_after(took, seconds, share)

    monkeypatch.setattr("actors.reconciliation.following.CHUNK", 5)
    monkeypatch.setattr("actors.reconciliation.following.pause_after", noted)
    house.reconciler = house.new_reconciler(share=0.5)
    report = await house.examine()
    assert report.failing == frozenset()
    assert len(rests) >= report.version // 5 - 1
    assert all(took > 0 and share == 0.5 for took, share in rests)


async def test_the_newest_snapshot_is_looked_at_while_the_database_is_not_held(
    house: Examined, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is most of an examination's work, and each commit of a sale is slower while a transaction stays open."""
    seen: list[object] = []
    wrong_snapshot = copy_checks._wrong_snapshot

    def noted(*arguments: Any) -> str:
        seen.append(house.pool.get_idle_size() == house.pool.get_size())
        return wrong_snapshot(*arguments)

    monkeypatch.setattr("actors.reconciliation.following.CHUNK", 1)
    monkeypatch.setattr("actors.reconciliation.copy_checks._wrong_snapshot", noted)
    await save_snapshot(house)
    await house.paid("D-1")
    await house.at_rest()
    assert check(await house.examine(), "snapshot_equals_journal").holds
    assert seen == [True]


# --- every check has an answer ----------------------------------------------------------------------------------------
async def test_each_check_can_be_mended_or_follows_from_others_or_is_declared_irreparable(house: Examined) -> None:
    kinds = [frozenset(house.repair().ways), FOLLOWS, IRREPARABLE]
    assert frozenset().union(*kinds) == frozenset(Name)
    assert sum(map(len, kinds)) == len(Name)
