"""An examination says that all holds where it does, in the middle of a sale and with services away, too."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from actors.process.rounds import pause_after
from actors.reconciliation import copy_checks
from actors.reconciliation.checks import Name, Report
from actors.reconciliation.repair import FOLLOWS, IRREPARABLE
from engine import commands as c
from persistence.journal.journal import UnknownSchedule
from tests.support.examined import Examined, Past, check
from tests.support.waiting import until

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


# --- nothing is wrong -------------------------------------------------------------------------------------------------
async def test_everything_holds_after_something_of_everything(house: Examined, past: Past) -> None:
    await house.save_snapshot()
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

    async def is_past(self, version: int) -> bool:
        """Whether something has happened since that version: who is done may have been told of it late."""
        return (await self.house.head())[0] > version

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
            crowd.seen = crowd.done  # however far they came meanwhile
            await until(partial(crowd.is_past, report.version))
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
    await house.save_snapshot()
    await house.paid("D-1")
    await house.at_rest()
    assert check(await house.examine(), "snapshot_equals_journal").holds
    assert seen == [True]


# --- every check has an answer ----------------------------------------------------------------------------------------
async def test_each_check_can_be_mended_or_follows_from_others_or_is_declared_irreparable(house: Examined) -> None:
    kinds = [frozenset(house.repair().ways), FOLLOWS, IRREPARABLE]
    assert frozenset().union(*kinds) == frozenset(Name)
    assert sum(map(len, kinds)) == len(Name)
