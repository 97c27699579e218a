"""The mirror says of the tables what the journal's statement has left in them, and names every row that differs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest

from engine import commands as c
from engine.state import ScheduleState
from engine.turn import Request, Step, execute
from persistence.journal import history
from persistence.journal.journal import Batch, PostgresJournal
from persistence.reconciliation.table_mirror import (
    BOOKINGS,
    CANCELLATIONS,
    PAYMENTS,
    REFUNDS,
    TABLES,
    Mirror,
    Table,
    differing,
    rewrite,
    table_digest,
)
from tests.engine.plans.houses import ANN, BOB, EVE, NOW
from tests.persistence.journal.test_journal import PLAN, SCHEDULE, ident, plant_schedule

B, P, R, X = (10, 20, 30, 40)  # where the ids of bookings, payments, refunds and cancellations start
STORY: tuple[tuple[c.AnyCommand, ...], ...] = (
    (c.HoldSeats(ident(B), ANN, ("A-3", "A-4")), c.HoldBest(ident(B + 1), BOB, 3)),
    (c.HoldSeats(ident(B + 2), EVE, ("pit",) * 4), c.RequestPayment(ident(B), ANN, ident(P), "sandbox")),
    (c.DeclinePayment(ident(B), ident(P), "lost_card"), c.RequestPayment(ident(B), ANN, ident(P + 1), "sandbox")),
    (c.ApprovePayment(ident(B), ident(P + 1), "ref-1"), c.Cancel(ident(B + 1), ident(X), BOB, "마음이 바뀜")),
    (c.RequestPayment(ident(B + 2), EVE, ident(P + 2), "sandbox"),),
    (c.ApprovePayment(ident(B + 2), ident(P + 2), "ref-2"),),
    (c.Refund(ident(B + 2), EVE, ident(R), ident(P + 2), ("pit",), "a cold"),),
    (c.CompleteRefund(ident(R), ident(P + 2), 1, "KRW", "back-1"), c.Refund(ident(B), ANN, ident(R + 1), ident(P + 1))),
    (c.ReturnPayment(ident(B), ANN, ident(P), 300_000, "KRW", "sandbox", "late-1", ident(R + 2)),),
    (c.HoldSeats(ident(B + 3), BOB, ("C-1",)), c.CancelSchedule("storm", "organizer")),
    (c.EndBookings((ident(X + 1), ident(X + 2))),),
)


Pool: TypeAlias = "asyncpg.Pool[Any]"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """A database in which the story has been journaled, batch by batch."""
    await plant_schedule(database_url)
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        journal = PostgresJournal(pool)
        claim = await journal.claim(SCHEDULE)
        state = await history.state_at(journal, SCHEDULE, PLAN, 1)
        for number, batch in enumerate(STORY):
            steps = [step for command in batch for step in done(state, command, NOW + number)]
            await journal.append(claim, PLAN, Batch(steps))
        yield pool


def done(state: ScheduleState, command: c.AnyCommand, now_ms: int) -> tuple[Step, ...]:
    turn = execute(state, Request("", command), now_ms)
    assert turn.steps, turn.result
    return turn.steps


async def mirror_of(pool: Pool, chunk: int = 10_000) -> Mirror:
    mirror = Mirror(PLAN)
    while records := await PostgresJournal(pool).read(SCHEDULE, mirror.seq, chunk):
        mirror.follow(records)
    return mirror


@pytest.mark.parametrize("chunk", [1, 3, 10_000])
async def test_every_table_is_what_the_journal_says(pool: Pool, chunk: int) -> None:
    mirror = await mirror_of(pool, chunk)
    for table in TABLES:
        assert await table_digest(pool, table, SCHEDULE) == mirror.sheets[table.name].digest, table.name
        assert mirror.sheets[table.name].rows, "the story leaves nothing to compare"
        assert await differing(pool, table, SCHEDULE, mirror.sheets[table.name]) == []


@pytest.mark.parametrize(
    ("table", "statement", "wrong"),
    [
        (BOOKINGS, f"UPDATE bookings SET customer_id = '{EVE}' WHERE id = '{ident(B)}'", ident(B)),
        (BOOKINGS, f"UPDATE bookings SET seats = '{{A-1,A-2}}' WHERE id = '{ident(B + 1)}'", ident(B + 1)),
        (BOOKINGS, f"UPDATE bookings SET status = 'confirmed' WHERE id = '{ident(B + 3)}'", ident(B + 3)),
        (
            BOOKINGS,
            f"UPDATE bookings SET expires_at = expires_at + interval '1 ms' WHERE id = '{ident(B + 1)}'",
            ident(B + 1),
        ),
        (BOOKINGS, f"DELETE FROM bookings WHERE id = '{ident(B)}'", ident(B)),
        (PAYMENTS, f"UPDATE payments SET amount = amount - 1 WHERE id = '{ident(P)}'", ident(P)),
        (PAYMENTS, f"UPDATE payments SET reference = NULL WHERE id = '{ident(P + 1)}'", ident(P + 1)),
        (REFUNDS, f"UPDATE refunds SET status = 'completed' WHERE id = '{ident(R + 1)}'", ident(R + 1)),
        (REFUNDS, f"UPDATE refunds SET fee = fee + 1, amount = amount - 1 WHERE id = '{ident(R)}'", ident(R)),
        (CANCELLATIONS, f"DELETE FROM cancellations WHERE id = '{ident(X)}'", ident(X)),
        (CANCELLATIONS, f"UPDATE cancellations SET by = 'admin' WHERE id = '{ident(X)}'", ident(X)),
    ],
)
async def test_a_row_changed_behind_the_journal_s_back_is_named(
    pool: Pool, table: Table, statement: str, wrong: str
) -> None:
    mirror = await mirror_of(pool)
    assert await pool.execute(statement) in ("UPDATE 1", "DELETE 1")
    sheet = mirror.sheets[table.name]
    assert await table_digest(pool, table, SCHEDULE) != sheet.digest
    assert await differing(pool, table, SCHEDULE, sheet) == [wrong]
    await rewrite(pool, table, SCHEDULE, sheet, [wrong])
    assert await table_digest(pool, table, SCHEDULE) == sheet.digest


async def test_a_row_that_was_slipped_in_is_named(pool: Pool) -> None:
    mirror = await mirror_of(pool)
    await pool.execute(
        "CREATE TEMP TABLE one AS SELECT * FROM bookings LIMIT 1;"
        f"UPDATE one SET id = '{ident(99)}';"
        "INSERT INTO bookings SELECT * FROM one;"
    )
    sheet = mirror.sheets["bookings"]
    assert await table_digest(pool, BOOKINGS, SCHEDULE) != sheet.digest
    assert await differing(pool, BOOKINGS, SCHEDULE, sheet) == [ident(99)]
    await rewrite(pool, BOOKINGS, SCHEDULE, sheet, [ident(99)])
    assert await table_digest(pool, BOOKINGS, SCHEDULE) == sheet.digest


async def test_a_cancellation_put_in_other_words_is_not_a_difference(pool: Pool) -> None:
    mirror = await mirror_of(pool)
    await pool.execute("UPDATE cancellations SET reason = 'something else'")
    assert await table_digest(pool, CANCELLATIONS, SCHEDULE) == mirror.sheets["cancellations"].digest
