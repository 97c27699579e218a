"""One commit for many schedules: what each of them is told when something is wrong with one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from engine import commands
from engine.events import Opened
from persistence.database.pools import open_pool
from persistence.journal.committer import Committer
from persistence.journal.journal import (
    Batch,
    BatchRefused,
    Claim,
    Commit,
    Deposed,
    Elsewhere,
    Journal,
    JournalUnavailable,
    PostgresJournal,
)
from persistence.journal.memory import MemoryJournal
from persistence.journal.placement import Placement
from persistence.journal.plans import SharedPlans
from tests.engine.plans.houses import ANN, BOB, NOW, terms
from tests.persistence.journal.test_journal import PLAN, SCHEDULE, Sale, ident, plant_schedule
from tests.support.waiting import PATIENCE_SECONDS, turns, until

SCHEDULES = (SCHEDULE, *(f"00000000-0000-7000-8000-0000000000{number}" for number in ("d1", "d2", "d3")))
OTHERS = """
INSERT INTO schedules (id, performance_id, venue_id, starts_at, currency, prices, hold_seconds)
SELECT $1, performance_id, venue_id, starts_at, currency, prices, hold_seconds FROM schedules WHERE id = $2
"""
OPENED = """
INSERT INTO journal (schedule_id, seq, at_ms, type, request_id, fingerprint, payload)
SELECT $1, seq, at_ms, type, request_id, fingerprint, payload FROM journal WHERE schedule_id = $2
"""


@pytest.fixture
def memory_journal() -> MemoryJournal:
    journal = MemoryJournal()
    for schedule_id in SCHEDULES:
        journal.open_schedule(schedule_id, PLAN, NOW, Opened(PLAN.digest, terms()))
    return journal


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    await plant_schedule(database_url)
    async with open_pool(database_url, 4, session={"lock_timeout": "300"}) as pool:
        for schedule_id in SCHEDULES[1:]:
            await pool.execute(OTHERS, schedule_id, SCHEDULE)
            await pool.execute(OPENED, schedule_id, SCHEDULE)
            await pool.execute("INSERT INTO schedule_heads (schedule_id, epoch, seq) VALUES ($1, 0, 1)", schedule_id)
        yield pool


@pytest.fixture
def postgres_journal(pool: asyncpg.Pool) -> PostgresJournal:
    return PostgresJournal(pool)


@pytest.fixture(params=["memory_journal", "postgres_journal"])
def journal(request: pytest.FixtureRequest) -> Journal:
    found: Journal = request.getfixturevalue(request.param)
    return found


class Selling:
    """A schedule's sale and its claim."""

    def __init__(self, claim: Claim, number: int) -> None:
        self.sale = Sale()
        self.claim = claim
        self._number = 100 * number

    def commit(self, *requests: commands.AnyCommand) -> Commit:
        for request in requests or (self.hold(),):
            self._number += 1
            self.sale.do(f"r{self._number}", request)
        return Commit(self.claim, PLAN, self.sale.batch())

    def hold(self) -> commands.AnyCommand:
        return commands.HoldBest(ident(1_000 + self._number), ANN, 1)


async def sales(journal: Journal) -> list[Selling]:
    return [Selling(await journal.claim(each), number) for number, each in enumerate(SCHEDULES, start=1)]


async def length(journal: Journal, schedule_id: str) -> int:
    return len(await journal.read(schedule_id, 0, 100))


# --- the contract of `append_together` --------------------------------------------------------------------------------
async def test_batches_of_many_schedules_are_durable_together(journal: Journal) -> None:
    selling = await sales(journal)
    for _ in range(2):
        assert await journal.append_together([each.commit() for each in selling]) == [True] * 4
    assert [await length(journal, each) for each in SCHEDULES] == [3] * 4


async def test_a_deposed_schedule_is_left_out_alone(journal: Journal) -> None:
    selling = await sales(journal)
    await journal.claim(SCHEDULES[1])
    commits = [each.commit() for each in selling]
    assert await journal.append_together(commits) == [True, False, True, True]
    assert [await length(journal, each) for each in SCHEDULES] == [2, 1, 2, 2]
    with pytest.raises(Deposed):
        await journal.append(commits[1].claim, PLAN, commits[1].batch)


async def test_a_batch_that_does_not_fit_is_left_out_alone(journal: Journal) -> None:
    selling = await sales(journal)
    commits = [each.commit() for each in selling]
    await journal.append(commits[2].claim, PLAN, commits[2].batch)
    assert await journal.append_together(commits) == [True, True, False, True]
    assert [await length(journal, each) for each in SCHEDULES] == [2] * 4


async def test_a_claim_is_for_the_schedules_of_one_s_own_process(
    memory_journal: MemoryJournal, pool: asyncpg.Pool
) -> None:
    await pool.execute("UPDATE schedule_heads SET host = 'owners-1' WHERE schedule_id = $1", SCHEDULE)
    memory_journal.schedules[SCHEDULE].host = "owners-1"
    memory_journal.host = "owners-1"
    for own in (memory_journal, PostgresJournal(pool, host="owners-1")):
        assert (await own.claim(SCHEDULE)).epoch == 1
        with pytest.raises(Elsewhere):
            await own.claim(SCHEDULES[1])


def everything(number: int) -> list[commands.AnyCommand]:
    """A busy day, with ids of its own."""
    base = 10_000 * number
    return [
        commands.HoldSeats(ident(base + 1), ANN, ("A-1", "A-2", "pit")),
        commands.HoldBest(ident(base + 2), BOB, 3),
        commands.RequestPayment(ident(base + 1), ANN, ident(base + 11), "sandbox"),
        commands.ApprovePayment(ident(base + 1), ident(base + 11), f"ref-{number}"),
        commands.Cancel(ident(base + 2), ident(base + 21), BOB, "changed my mind"),
        commands.Block(("C-1",), "camera", "organizer"),
        commands.Refund(ident(base + 1), ANN, ident(base + 31), ident(base + 11), ("A-1",), fee_percent=0),
        commands.CompleteRefund(ident(base + 31), ident(base + 11), 150_000, "KRW", f"back-{number}"),
    ]


ROWS = {
    "bookings": "id, status, seats, prices, amount, version, payment_id",
    "payments": "id, booking_id, status, amount, reference",
    "cancellations": "id, booking_id, reason, by",
    "refunds": "id, payment_id, amount, fee, seats, status, reference",
    "schedule_heads": "seq, next_deadline_ms, oldest_payment_ms",
}


async def test_every_kind_of_row_says_the_same_whether_it_went_alone_or_together(pool: asyncpg.Pool) -> None:
    """Two schedules have the same day, step by step: one has commits of its own, the other shares each with a third."""
    journal = PostgresJournal(pool)
    alone, together, third = (await sales(journal))[:3]
    for first, second in zip(everything(1), everything(2), strict=True):
        lone = alone.commit(first)
        await journal.append(lone.claim, PLAN, lone.batch)
        assert await journal.append_together([third.commit(), together.commit(second)]) == [True, True]
    for table, columns in ROWS.items():
        query = f"SELECT {columns} FROM {table} WHERE schedule_id = $1 ORDER BY 1"
        one, other = [
            [dict(row) for row in await pool.fetch(query, each.claim.schedule_id)] for each in (alone, together)
        ]
        assert other == [{key: shifted(value) for key, value in row.items()} for row in one], table
        assert one


def shifted(value: object) -> object:
    """An id or reference of the first day as it is on the second."""
    text = str(value)
    if text.startswith("00000000-"):
        return type(value)(text[:-5] + str(int(text[-5:]) + 10_000))  # type: ignore[call-arg]  # ids are of some kinds of text
    return value.replace("-1", "-2") if isinstance(value, str) and value.startswith(("ref-", "back-")) else value


# --- the committer ----------------------------------------------------------------------------------------------------
class Counting(MemoryJournal):
    """Commits only while `open`, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.alone = 0
        self.together: list[int] = []

    async def append(self, claim: Claim, plan: object, batch: Batch) -> None:
        self.alone += 1
        await self.open.wait()
        await super().append(claim, PLAN, batch)

    async def append_together(self, commits: Sequence[Commit]) -> list[bool]:
        self.together.append(len(commits))
        await self.open.wait()
        return await super().append_together(commits)


@pytest.fixture
def counting(memory_journal: MemoryJournal) -> Counting:
    counting = Counting()
    counting.schedules = memory_journal.schedules
    return counting


def committing(committer: Committer, commits: Sequence[Commit]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(committer.append(each.claim, each.plan, each.batch)) for each in commits]


async def test_what_gathers_during_a_commit_goes_in_one_statement(counting: Counting) -> None:
    committer, selling = Committer(counting, counting), await sales(counting)
    counting.open.clear()
    first = committing(committer, [selling[0].commit()])
    await until(lambda: counting.alone == 1)
    others = committing(committer, [each.commit() for each in selling[1:]])
    await turns(10)  # they are in line by now
    counting.open.set()
    await asyncio.gather(*first, *others)
    assert (counting.alone, counting.together) == (1, [3])


async def test_a_deposed_schedule_hears_of_it_and_the_others_are_durable(counting: Counting) -> None:
    committer, selling = Committer(counting, counting), await sales(counting)
    await counting.claim(SCHEDULES[2])
    told = await asyncio.gather(*committing(committer, [each.commit() for each in selling]), return_exceptions=True)
    assert [type(each) for each in told] == [type(None), type(None), Deposed, type(None)]


async def test_a_batch_that_is_refused_is_refused_alone(counting: Counting) -> None:
    committer, selling = Committer(counting, counting), await sales(counting)
    commits = [each.commit() for each in selling]
    counting.refused = {commits[1].batch.steps[0].record.request_id}
    told = await asyncio.gather(*committing(committer, commits), return_exceptions=True)
    assert [type(each) for each in told] == [type(None), BatchRefused, type(None), type(None)]
    assert (counting.alone, counting.together) == (4, [4])


async def test_a_database_that_is_away_is_away_for_all(counting: Counting) -> None:
    committer, selling = Committer(counting, counting), await sales(counting)
    counting.fail_next = [False]
    told = await asyncio.gather(*committing(committer, [s.commit() for s in selling]), return_exceptions=True)
    assert [type(each) for each in told] == [JournalUnavailable] * 4


async def test_an_error_nobody_foresaw_is_one_schedule_s_own(counting: Counting) -> None:
    committer, selling = Committer(counting, counting), await sales(counting)
    written = counting._write

    def write(stored: object, batch: Batch) -> None:
        if batch.steps[0].record.request_id == spoilt:
            raise LookupError("a bug")
        written(stored, batch)  # type: ignore[arg-type]  # what it was given

    commits = [each.commit() for each in selling]
    spoilt = commits[1].batch.steps[0].record.request_id
    counting._write = write  # type: ignore[method-assign]  # breaks on purpose
    told = await asyncio.gather(*committing(committer, commits), return_exceptions=True)
    assert [type(each) for each in told] == [Deposed, LookupError, type(None), type(None)]


async def test_whatever_ends_the_work_nobody_waits_for_it_any_more(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.journal.committer.STEPS_AT_ONCE", 1)
    committer, selling = Committer(counting, counting), await sales(counting)
    counting.open.clear()
    waiting = committing(committer, [each.commit() for each in selling])
    await until(lambda: counting.alone == 1)
    assert committer._work is not None
    committer._work.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in told] == [JournalUnavailable] * 4


async def test_a_schedule_that_gave_up_waiting_disturbs_no_commit(counting: Counting) -> None:
    committer, selling = Committer(counting, counting), await sales(counting)
    counting.open.clear()
    waiting = committing(committer, [each.commit() for each in selling])
    await until(lambda: counting.together == [4])
    waiting[0].cancel()
    counting.open.set()
    await asyncio.gather(*waiting[1:])
    assert [await length(counting, each) for each in SCHEDULES] == [2] * 4


async def test_no_statement_grows_without_end(counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistence.journal.committer.STEPS_AT_ONCE", 2)
    committer, selling = Committer(counting, counting), await sales(counting)
    await asyncio.gather(*committing(committer, [each.commit() for each in selling]))
    assert counting.together == [2, 2]


async def test_a_value_that_the_database_will_not_have_spoils_no_other_schedule_s_commit(
    postgres_journal: PostgresJournal,
) -> None:
    committer, selling = Committer(postgres_journal, postgres_journal), await sales(postgres_journal)
    held = selling[0].hold()
    assert isinstance(held, commands.HoldBest)
    spoilt = selling[0].commit(held, commands.Cancel(held.booking_id, ident(7), ANN, "a NUL: \0"))
    others = [each.commit() for each in selling[1:]]
    told = await asyncio.gather(*committing(committer, [spoilt, *others]), return_exceptions=True)
    assert [type(each) for each in told] == [BatchRefused, type(None), type(None), type(None)]
    assert [await length(postgres_journal, each) for each in SCHEDULES] == [1, 2, 2, 2]


async def test_what_is_no_outage_is_told_to_each_schedule_as_what_it_is(
    postgres_journal: PostgresJournal, pool: asyncpg.Pool, database_url: str
) -> None:
    """Taken for an outage, it would be waited for and tried again for ever."""
    committer, selling = Committer(postgres_journal, postgres_journal), await sales(postgres_journal)
    owner = await asyncpg.connect(database_url)
    await owner.execute("ALTER TABLE bookings RENAME COLUMN amount TO sum")
    told = await asyncio.gather(*committing(committer, [s.commit() for s in selling]), return_exceptions=True)
    assert [type(each) for each in told] == [asyncpg.UndefinedColumnError] * 4
    await owner.execute("ALTER TABLE bookings RENAME COLUMN sum TO amount")
    await owner.execute("ALTER TABLE schedule_heads RENAME COLUMN epoch TO age")
    for wrong in (postgres_journal.claim(SCHEDULE), postgres_journal.save_snapshot(selling[0].claim, 1, b"")):
        with pytest.raises(asyncpg.UndefinedColumnError):
            await wrong
    await owner.execute("ALTER TABLE schedule_heads RENAME COLUMN age TO epoch")
    await owner.execute("ALTER TABLE schedule_heads RENAME COLUMN host TO house")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await Placement(pool, 2).host_of(SCHEDULE)
    await owner.close()


async def test_a_server_that_takes_no_writes_is_an_outage(
    postgres_journal: PostgresJournal, pool: asyncpg.Pool
) -> None:
    """It has become a standby, and the one to ask is found by asking again."""
    (selling, *_) = await sales(postgres_journal)
    commit, name = selling.commit(), await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await pool.expire_connections()
    with pytest.raises(JournalUnavailable):
        await postgres_journal.append(commit.claim, PLAN, commit.batch)


@pytest.mark.parametrize("first", [False, True])
async def test_a_locked_head_row_holds_up_its_own_schedule_alone(
    postgres_journal: PostgresJournal, database_url: str, first: bool
) -> None:
    """Whether its commit travels with the others, or was there first and they come behind it."""
    committer, selling = Committer(postgres_journal, postgres_journal), await sales(postgres_journal)
    lock = await asyncpg.connect(database_url)
    await lock.execute("BEGIN")
    await lock.execute("SELECT 1 FROM schedule_heads WHERE schedule_id = $1 FOR UPDATE", SCHEDULES[0])
    (held_up,) = committing(committer, [selling[0].commit()])
    if first:
        await asyncio.wait([held_up], timeout=0.5)  # longer than a statement waits for a lock
    await asyncio.gather(*committing(committer, [each.commit() for each in selling[1:]]))
    assert not held_up.done()
    await lock.close()
    await held_up
    assert [await length(postgres_journal, each) for each in SCHEDULES] == [2] * 4


async def test_two_that_lock_the_same_schedules_in_opposite_orders_do_not_wait_for_each_other(
    postgres_journal: PostgresJournal, database_url: str
) -> None:
    """Where both waited, PostgreSQL would find a deadlock and undo one of them."""
    selling = await sales(postgres_journal)
    other = await asyncpg.connect(database_url)
    await other.execute("BEGIN")
    locked = "SELECT 1 FROM schedule_heads WHERE schedule_id = $1 FOR UPDATE"
    await other.execute(locked, SCHEDULES[0])
    backwards = [selling[1].commit(), selling[0].commit()]
    assert await postgres_journal.append_together(backwards) == [True, False]
    await other.execute(locked, SCHEDULES[1])
    await other.close()
    assert await postgres_journal.append_together(backwards) == [False, True]
    assert [await length(postgres_journal, each) for each in SCHEDULES] == [2, 2, 1, 1]


async def test_a_changed_term_of_sale_goes_by_itself_beside_the_others(postgres_journal: PostgresJournal) -> None:
    committer, selling = Committer(postgres_journal, postgres_journal), await sales(postgres_journal)
    changed = selling[0].commit(commands.ChangeTerms(terms(prices={"VIP": 1, "R": 2})))
    await asyncio.gather(*committing(committer, [changed, *(each.commit() for each in selling[1:])]))
    assert [await length(postgres_journal, each) for each in SCHEDULES] == [2] * 4


# --- plans ------------------------------------------------------------------------------------------------------------
async def test_schedules_of_one_house_share_its_plan(pool: asyncpg.Pool) -> None:
    journal = PostgresJournal(pool, plans=SharedPlans())
    first, *others = await asyncio.gather(*(journal.plan(each) for each in SCHEDULES))
    assert all(each is first for each in others)
