"""Planted damage in the journal: it is named, never followed and never changed."""

from __future__ import annotations

import msgspec
import pytest

from engine.events import decode_event, encode_event
from tests.support.examined import Examined, Past, check, named, told


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
