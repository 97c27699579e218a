"""Planted damage in memory, snapshots and the seat map: found by the journal, and made anew from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from engine import commands as c
from engine.snapshot import capture, encode
from engine.state import BLOCKED, SOLD
from persistence.seats.cache import SeatView
from tests.support.examined import Examined, Past, check, named, told


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
    await house.save_snapshot()
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
    await house.save_snapshot()
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
