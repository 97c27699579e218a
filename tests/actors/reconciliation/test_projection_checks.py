"""What receiving services have written is held against the journal: who is behind, ahead or wrong is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from actors.receivers.sales import Sales
from actors.receivers.taker import Taker
from actors.reconciliation.checks import Name
from actors.reconciliation.receiver_checks import TAKEN_WITHIN_MS
from engine import commands as c
from engine.refusals import Refusal
from persistence.database.pools import Connection
from persistence.events.event_data import EventEnvelope
from tests.support.examined import Examined, Past, check, examined_schedule, named
from tests.support.sale import small_plan


class Watched:
    """A schedule with a past, and the sales service beside it."""

    def __init__(self, house: Examined, past: Past) -> None:
        self.house = house
        self.past = past
        self.taker = self.service(Sales())

    def service(self, service: Sales) -> Taker:
        return Taker(service, self.house.pool, self.house.journal)

    async def take(self, until: int | None = None) -> None:
        seq, _ = await self.house.head()
        await self.taker.catch_up(self.house.schedule_id, until or seq)

    async def offenders(self) -> Sequence[str]:
        """To blame, when this check alone does not hold."""
        report = await self.house.examine()
        assert report.failing <= {Name.PROJECTIONS_EQUAL_JOURNAL}
        return check(report, Name.PROJECTIONS_EQUAL_JOURNAL).offenders

    async def idle(self, since_ms: int) -> None:
        """The service has not moved for so long."""
        await self.house.pool.execute(
            "UPDATE consumer_positions SET updated_at = updated_at - $1 * interval '1 ms'", float(since_ms)
        )
        self.house.clock.ahead_ms += since_ms


@pytest.fixture
async def watched(database_url: str) -> AsyncIterator[Watched]:
    document = small_plan(standing=20)
    document["zones"][0]["rows"][0]["seats"][2]["seat_guid"] = '가\\"-ß'  # as JSON and as PostgreSQL has it
    async with examined_schedule(database_url, document) as house:
        await house.paid('가\\"-ß')
        yield Watched(house, await a_past(house))


async def a_past(house: Examined) -> Past:
    paid = await house.paid("A-1", "A-2", "floor")
    part = await house.paid("A-4", "A-5")
    await house.refund(part, "A-5")
    whole = await house.paid("B-1")
    await house.refund(whole)
    held = await house.hold("B-2", "B-3")
    assert not isinstance(await house.send(c.Change(held.id, house.customer, ("B-3", "B-4"))), Refusal)
    declined = await house.declined(held)
    gone = await house.hold("C-1")
    assert not isinstance(await house.send(c.Cancel(gone.id, house.clock.new_id(), house.customer)), Refusal)
    assert not isinstance(await house.send(c.Block(("C-2",), "camera", "organizer")), Refusal)
    await house.at_rest()
    return Past(paid, part, whole, held, gone, declined)


async def test_a_schedule_of_which_no_service_has_heard_is_not_examined_for_it(watched: Watched) -> None:
    report = await watched.house.examine()
    assert report.failing == frozenset()
    assert Name.PROJECTIONS_EQUAL_JOURNAL not in {each.name for each in report.checks}


async def test_what_follows_from_the_journal_holds(watched: Watched) -> None:
    await watched.take()
    found = check(await watched.house.examine(), Name.PROJECTIONS_EQUAL_JOURNAL)
    seq, _ = await watched.house.head()
    assert (found.holds, found.actual) == (True, f"sales up to version {seq}")


async def test_it_holds_again_after_more_has_happened(watched: Watched) -> None:
    for seat in ("D-1", "D-2", "D-3"):
        await watched.take()
        assert await watched.offenders() == ()
        await watched.house.refund(await watched.house.paid(seat))
        await watched.house.at_rest()
    assert (await watched.house.examine()).failing == frozenset()


FALSIFIED = [
    ("UPDATE sales SET sold = sold + 1 WHERE category = 'Standing'", "sales: Standing at 20", ": sold 2, 1 in the"),
    ("UPDATE sales SET revenue = revenue - 1 WHERE category = 'VIP'", "sales: VIP at 20", ": revenue "),
    ("DELETE FROM sales WHERE category = 'Standing'", "sales: Standing at 20", ": missing"),
    (
        "INSERT INTO sales SELECT schedule_id, 'Balcony', minute, 0, 0, 0, 1, 0, 9, 0 FROM sales"
        " WHERE category = 'Standing'",
        "sales: Balcony at 20",
        ": not in the journal",
    ),
    ("DELETE FROM sales_bookings WHERE booking_id = '{paid}'", "sales: booking {paid}", ": missing"),
    (
        "UPDATE sales_bookings SET booking = jsonb_set(booking, '{{places,0,2}}', '1') WHERE booking_id = '{paid}'",
        "sales: booking {paid}",
        ": other places",
    ),
    (
        "UPDATE sales_bookings SET booking = booking || '{{\"sold\": true}}' WHERE booking_id = '{held}'",
        "sales: booking {held}",
        ", or sold where it is not",
    ),
    (
        "UPDATE sales_bookings SET booking = '\"lost\"' WHERE booking_id = '{held}'",
        "sales: booking {held}",
        ": other places",
    ),
    (
        "INSERT INTO sales_bookings SELECT '{gone}', schedule_id, booking FROM sales_bookings"
        " WHERE booking_id = '{held}'",
        "sales: booking {gone}",
        ": not live in the journal",
    ),
]


@pytest.mark.parametrize(("statement", "whom", "what"), FALSIFIED, ids=[each[2].strip(":, ") for each in FALSIFIED])
async def test_a_figure_falsified_by_sql_is_named(watched: Watched, statement: str, whom: str, what: str) -> None:
    await watched.take()
    assert await watched.offenders() == ()
    names = {name: getattr(watched.past, name).id for name in ("paid", "held", "gone")}
    await watched.house.sql(statement.format(**names))
    offenders = await watched.offenders()
    assert any(each.startswith(whom.format(**names)) and what in each for each in offenders), offenders
    assert len(offenders) == 1


async def test_falsified_figures_are_found_by_one_who_has_followed_the_schedule_only_now(watched: Watched) -> None:
    await watched.take()
    await watched.house.sql("UPDATE sales SET fees = fees + 1 WHERE category = 'VIP'")
    report = await watched.house.new_reconciler().examine(watched.house.schedule_id)
    named(report, Name.PROJECTIONS_EQUAL_JOURNAL, ": fees ")


async def test_a_service_that_is_behind_is_compared_where_it_stands(watched: Watched) -> None:
    seq, _ = await watched.house.head()
    await watched.take(seq - 3)
    found = check(await watched.house.examine(), Name.PROJECTIONS_EQUAL_JOURNAL)
    assert (found.holds, found.actual) == (True, f"sales up to version {seq - 3}, 3 behind")
    await watched.house.sql("UPDATE sales SET held = held + 1 WHERE category = 'Standing'")
    named(
        await watched.house.new_reconciler().examine(watched.house.schedule_id),
        Name.PROJECTIONS_EQUAL_JOURNAL,
        "held 2, 1 in the journal",
    )


async def test_a_service_that_is_behind_and_takes_nothing_is_named_after_a_minute(watched: Watched) -> None:
    seq, _ = await watched.house.head()
    await watched.take(seq - 3)
    watched.house.clock.ahead_ms += TAKEN_WITHIN_MS + 1_000  # but it has moved just now
    await watched.house.pool.execute(
        "UPDATE consumer_positions SET updated_at = now() + $1 * interval '1 ms'", float(TAKEN_WITHIN_MS)
    )
    assert await watched.offenders() == ()
    await watched.idle(TAKEN_WITHIN_MS)
    assert await watched.offenders() == ("sales: 3 events behind, and takes none",)
    await watched.take()
    assert await watched.offenders() == ()


async def test_what_is_not_published_yet_is_not_missed(watched: Watched) -> None:
    await watched.take()
    await watched.house.retire()
    seq, _ = await watched.house.head()
    watched.house.log.available = False
    await watched.house.hold("D-1")
    await watched.house.shown()
    await watched.idle(TAKEN_WITHIN_MS + 1_000)
    report = await watched.house.examine()
    assert report.failing == {"published_equals_head"}
    assert check(report, Name.PROJECTIONS_EQUAL_JOURNAL).actual == f"sales up to version {seq}"


async def test_a_position_beyond_the_journal_is_named(watched: Watched) -> None:
    await watched.take()
    seq, _ = await watched.house.head()
    await watched.house.sql("UPDATE consumer_positions SET version = version + 5")
    assert await watched.offenders() == (f"sales: has taken version {seq + 5}, which the journal does not have",)


async def test_events_that_were_parked_are_named_and_what_they_left_out(watched: Watched) -> None:
    class Choking(Sales):
        async def take(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
            if any(event.subject == watched.past.paid.id for event in events):
                raise ValueError("indigestible")
            await super().take(connection, events)

    watched.taker = watched.service(Choking())
    await watched.take()
    offenders = await watched.offenders()
    assert any(each.startswith("sales: 4 events are parked, the first of version ") for each in offenders), offenders
    assert f"sales: booking {watched.past.paid.id}: missing" in offenders


async def test_a_replay_under_way_is_no_service(watched: Watched) -> None:
    await watched.take()
    await watched.house.sql(
        "INSERT INTO consumer_positions (consumer, schedule_id, version) VALUES ('sales/replay', $1, 1)",
        watched.house.schedule_id,
    )
    assert await watched.offenders() == ()


async def test_wrong_figures_are_made_again_from_the_journal(watched: Watched) -> None:
    await watched.take()
    await watched.house.sql("UPDATE sales SET sold = sold + 1 WHERE category = 'Standing'")
    await watched.house.sql("DELETE FROM sales_bookings WHERE booking_id = $1", watched.past.paid.id)
    report = await watched.house.examine()
    assert report.failing == {Name.PROJECTIONS_EQUAL_JOURNAL}
    await watched.house.dry_run(report)
    (done,) = await watched.house.mend(report)
    assert done.done
    assert (await watched.house.examine()).failing == frozenset()
