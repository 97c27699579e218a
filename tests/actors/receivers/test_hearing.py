"""Several services, one reading: the journal is read once for all, and nobody is held up by another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.receivers import hearing
from actors.receivers.hearing import Hearing
from actors.receivers.names import RECEIVERS
from actors.receivers.notifications import Notifications
from actors.receivers.sales import Sales
from actors.receivers.taker import Taker
from engine.events import Record
from persistence.database.pools import Connection
from persistence.events import positions
from persistence.events.event_data import EventEnvelope
from persistence.journal.journal import PostgresJournal
from tests.actors.receivers.story import CONFIRMED, Choking, Story, forged, story
from tests.persistence.journal.test_journal import SCHEDULE
from tests.support.waiting import until

__all__ = ["story"]  # the fixture


class Counting(PostgresJournal):
    """Counts the records it was asked for."""

    read_so_far = 0

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        found = await super().read(schedule_id, after_seq, limit)
        self.read_so_far += len(found)
        return found


class Both(Notifications):
    """Beside the sales figures; stands still, or fails as a database does that is away, until it is cured."""

    def __init__(self) -> None:
        super().__init__()
        self.cured = asyncio.Event()
        self.cured.set()
        self.away = False
        self.asked = 0

    async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        self.asked += 1
        await self.cured.wait()
        if self.away:
            raise ConnectionResetError("gone")
        await super().take(connection, events)


async def positions_of(story: Story) -> dict[str, int]:
    reached, _ = await positions.reach(story.pool, RECEIVERS, SCHEDULE)
    return reached


async def test_the_journal_is_read_once_for_all_who_have_come_equally_far(story: Story) -> None:
    journal = Counting(story.own_pool)
    takers = [Taker(each, story.own_pool, journal) for each in (Sales(), Notifications())]
    together = Hearing(takers, story.own_pool, journal)
    head = len(story.events)
    assert await together.receive(story.messages(*range(1, head + 1))) == 2 * head
    assert journal.read_so_far == head
    assert await positions_of(story) == dict.fromkeys(RECEIVERS, head)
    assert await story.checksum() == await story.right()
    kinds = await story.pool.fetch("SELECT kind FROM notifications ORDER BY version")
    told = ["confirmed", "confirmed", "partially_refunded"]
    assert [row[0] for row in kinds] == told


async def test_who_has_come_less_far_reads_what_the_others_have_by_itself(story: Story) -> None:
    await story.hearing.receive(story.messages(*range(1, 8)))
    together = story.heard_by(Sales(), Notifications())
    await together.receive(story.messages(6))
    assert await positions_of(story) == {"sales": 7, "notifications": 6}
    head = len(story.events)
    await together.receive(story.messages(head))
    assert await positions_of(story) == dict.fromkeys(RECEIVERS, head)
    assert await story.checksum() == await story.right()


async def test_nobody_waits_for_long_for_a_service_that_stands_still(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "PATIENCE_SECONDS", 0.01)
    still, sales = Both(), Sales()
    together = story.heard_by(still, sales)
    still.cured.clear()
    head = len(story.events)
    for version in range(1, head + 1):  # as often as it takes, on a slow machine, for the other to be through
        await together.receive(story.messages(version))

    async def sales_have_all() -> bool:
        await together.receive(story.messages(head))
        return (await positions_of(story))["sales"] == head

    await until(sales_have_all)
    await until(lambda: still.asked > 0)  # it may have been left behind on its way there
    assert (still.asked, (await positions_of(story))["notifications"]) == (1, 0)
    still.cured.set()

    async def all_have_all() -> bool:
        await together.receive(story.messages(head))
        return await positions_of(story) == dict.fromkeys(RECEIVERS, head)

    await until(all_have_all)
    assert await story.checksum() == await story.right()


async def test_who_fails_is_left_behind_while_another_comes_through_and_has_it_all_later(story: Story) -> None:
    failing = Both()
    together = story.heard_by(Sales(), failing)
    failing.away = True
    await together.receive(story.messages(1, 2, 3))
    assert await positions_of(story) == {"sales": 3, "notifications": 0}
    failing.away = False
    head = len(story.events)
    await together.receive(story.messages(head))
    assert await positions_of(story) == dict.fromkeys(RECEIVERS, head)
    assert await positions.parked(story.pool, limit=10) == []


async def test_what_one_cannot_digest_the_others_take(story: Story) -> None:
    head = len(story.events)
    await story.heard_by(Choking(4), Notifications()).receive(story.messages(*range(1, head + 1)))
    (parked,) = await positions.parked(story.pool, limit=10)
    assert (parked.consumer, parked.version) == ("sales", 4)
    assert await positions_of(story) == dict.fromkeys(RECEIVERS, head)


async def test_an_event_that_is_not_believed_is_put_aside_for_each(story: Story) -> None:
    told = story.messages(*range(1, len(story.events) + 1))
    told[CONFIRMED - 1] = forged(story, CONFIRMED, data__booking__amount=1)
    await story.heard_by(Sales(), Notifications()).receive(told)
    rows = await positions.parked(story.pool, limit=10)
    assert [(row.consumer, row.version) for row in rows] == [
        ("notifications/suspect", CONFIRMED),
        ("sales/suspect", CONFIRMED),
    ]
