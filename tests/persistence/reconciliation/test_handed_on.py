"""Seats handed on, and some of them given back: tables, figures and money are what the journal says, at every step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from actors.receivers.sales import Sales
from actors.receivers.taker import Taker
from engine import commands as c
from persistence.journal import history
from persistence.journal.journal import Batch, PostgresJournal
from persistence.reconciliation import money, sales_mirror
from persistence.reconciliation.sales_mirror import SalesMirror
from persistence.reconciliation.table_mirror import BOOKINGS, TABLES, Mirror, differing, table_digest
from persistence.sales import figures
from tests.engine.plans.houses import ANN, BOB, EVE, NOW
from tests.persistence.journal.test_journal import PLAN, SCHEDULE, ident, plant_schedule
from tests.persistence.reconciliation.test_mirror import B, P, Pool, R, X, done
from tests.support import projections

ANN_S, BOB_S, EVE_S, BACK = (ident(B + number) for number in range(4))
PAYMENT = ident(P)


def given_back(booking_id: str, number: int, *seats: str, fee_percent: int | None = None) -> c.Refund:
    return c.Refund(booking_id, "", ident(R + number), PAYMENT, seats, "broken", "organizer", fee_percent)


STORY: tuple[tuple[c.AnyCommand, ...], ...] = (
    (c.HoldSeats(ANN_S, ANN, ("A-1", "A-2", "B-1", "pit", "pit")),),
    (c.RequestPayment(ANN_S, ANN, PAYMENT, "sandbox"),),
    # Paid and handed on in one batch; then on again, and back to who paid.
    (c.ApprovePayment(ANN_S, PAYMENT, "ref"), c.Transfer(ANN_S, ANN, BOB_S, BOB, ("A-2", "B-1", "pit"))),
    (c.Transfer(BOB_S, BOB, EVE_S, EVE, ("pit",)), given_back(BOB_S, 0, "A-2", fee_percent=10)),
    (c.Change(ANN_S, ANN, ("A-3", "pit")),),
    (given_back(ANN_S, 1, "A-3"), given_back(EVE_S, 2, fee_percent=100)),
    (c.CompleteRefund(ident(R), PAYMENT, 135_000, "KRW", "back"), c.Transfer(BOB_S, BOB, BACK, ANN)),
    (c.Refund(BACK, ANN, ident(R + 3), PAYMENT),),
    (c.CancelSchedule("storm", "organizer"), c.EndBookings((ident(X), ident(X + 1)))),
)
# What Ann's booking was worth after each batch, by the seats that are sold.
WORTH = (0, 0, 570_000, 420_000, 420_000, 180_000, 180_000, 90_000, 0)


class Story:
    """Journaled batch by batch."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.journal = PostgresJournal(pool)

    async def tell(self) -> AsyncIterator[int]:
        """Gives the number of every batch once it is in the journal."""
        claim = await self.journal.claim(SCHEDULE)
        state = await history.state_at(self.journal, SCHEDULE, PLAN, 1)
        for number, batch in enumerate(STORY):
            steps = [step for command in batch for step in done(state, command, NOW + number * 60_000)]
            await self.journal.append(claim, PLAN, Batch(steps))
            yield number

    async def head(self) -> int:
        seq: int = await self.pool.fetchval("SELECT seq FROM schedule_heads WHERE schedule_id = $1", SCHEDULE)
        return seq


@pytest.fixture
async def story(database_url: str) -> AsyncIterator[Story]:
    await plant_schedule(database_url)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=3) as pool:
        yield Story(pool)


async def test_the_tables_are_what_the_journal_says_and_every_won_is_one_booking_s(story: Story) -> None:
    mirror = Mirror(PLAN)
    async for number in story.tell():
        mirror.follow(await story.journal.read(SCHEDULE, mirror.seq, 10_000))
        for table in TABLES:
            sheet = mirror.sheets[table.name]
            assert await table_digest(story.pool, table, SCHEDULE) == sheet.digest, (table.name, number)
            assert await differing(story.pool, table, SCHEDULE, sheet) == []
        total, wrong = await money.balance(story.pool, SCHEDULE, 10)
        assert (wrong, total.value) == ([], WORTH[number]), number
        assert total.taken - total.refunded - total.fees == total.value
    rows: list[Any] = await story.pool.fetch("SELECT customer_id::text, booking_id::text, status FROM payments")
    assert [tuple(row) for row in rows] == [(ANN, ANN_S, "refunded")]
    whose = await story.pool.fetch("SELECT DISTINCT customer_id::text FROM refunds")
    assert [row[0] for row in whose] == [ANN], "all of it is hers, whoever had the seats"


@pytest.mark.parametrize("at_once", [True, False], ids=["in one", "by one"])
async def test_the_sales_figures_are_what_the_journal_says(story: Story, at_once: bool) -> None:
    taker, mirror, seq = Taker(Sales(), story.pool, story.journal), SalesMirror(PLAN), 0
    async for number in story.tell():
        last = number == len(STORY) - 1
        if at_once and not last:
            continue
        head = await story.head()
        for version in [head] if at_once else range(seq + 1, head + 1):
            await taker.catch_up(SCHEDULE, version)
        mirror.follow(await story.journal.read(SCHEDULE, seq, 10_000))
        seq = head
        async with story.pool.acquire() as connection:
            assert await sales_mirror.live_digest(connection, SCHEDULE) == mirror.digest(), number
            rows = await sales_mirror.rows_of(connection, SCHEDULE)
            assert rows == mirror.rows(), number
            assert await figures.live_bookings(connection, list(mirror.live)) == mirror.live, number
        if not at_once:
            assert sum(row.figures.revenue + row.figures.fees for row in rows) == (await paid_and_kept(story.pool))
    assert await projections.sales_made_again(story.pool) == (await checksum(story.pool),) * 2
    sold = [row.figures for row in rows]
    # Whose seats they are moves no figure: sold once, given back once.
    assert sum(each.sold for each in sold) == sum(each.refunded for each in sold) == 5


async def test_a_booking_that_says_it_has_come_from_nowhere_is_named(story: Story) -> None:
    mirror = Mirror(PLAN)
    async for number in story.tell():
        if number == 2:
            break
    mirror.follow(await story.journal.read(SCHEDULE, 0, 10_000))
    assert await story.pool.execute("UPDATE bookings SET origin_id = NULL WHERE id = $1", BOB_S) == "UPDATE 1"
    assert await differing(story.pool, BOOKINGS, SCHEDULE, mirror.sheets["bookings"]) == [BOB_S]
    _, wrong = await money.balance(story.pool, SCHEDULE, 10)
    assert {each.partition(":")[0] for each in wrong} == {ANN_S, BOB_S}


async def paid_and_kept(pool: Pool) -> int:
    return (await projections.money(pool))[1]


async def checksum(pool: Pool) -> str:
    async with pool.acquire() as connection:
        return await figures.checksum(connection)
