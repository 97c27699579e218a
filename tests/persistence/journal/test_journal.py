"""One contract, two journals: the in-memory twin and Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from engine import commands
from engine.events import Opened
from engine.plan_document import read_plan
from engine.snapshot import SnapshotError, capture, encode, state_hash
from engine.state import ScheduleState
from engine.stored_plan import pack
from engine.turn import Request, Step, execute
from persistence.database.connection import create_engine
from persistence.journal import heads, history
from persistence.journal.journal import (
    Batch,
    Claim,
    Deposed,
    Journal,
    PostgresJournal,
    UnknownSchedule,
    decompressed,
)
from persistence.journal.memory import MemoryJournal
from persistence.journal.opening import open_schedule
from tests.engine.plans.houses import ANN, BOB, DAY, NOW, opened, plan_document, terms
from tests.support.waiting import PATIENCE_SECONDS, until

SCHEDULE = "00000000-0000-7000-8000-0000000000aa"
VENUE = "00000000-0000-7000-8000-0000000000bb"
PERFORMANCE = "00000000-0000-7000-8000-0000000000cc"
PLAN = read_plan(plan_document())
LARGER_PLAN = read_plan(plan_document(rows=4))


def ident(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


async def plant_schedule(url: str, now_ms: int = NOW) -> None:
    """An account, a venue, a performance and one schedule on sale, as the routes would leave them."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO accounts (id, email, password_hash, role) VALUES ($1, 'o@example.com', '-', 'organizer')", ANN
    )
    await connection.execute(
        "INSERT INTO venues (id, organizer_id, name, seating_plan, plan_digest, capacity)"
        " VALUES ($1, $2, 'House', $3, $4, $5)",
        VENUE,
        ANN,
        msgspec.json.encode(plan_document()).decode(),
        PLAN.digest,
        PLAN.capacity,
    )
    await connection.execute(
        "INSERT INTO performances (id, organizer_id, title) VALUES ($1, $2, 'Carmen')", PERFORMANCE, ANN
    )
    await connection.execute(
        "INSERT INTO schedules (id, performance_id, venue_id, starts_at, currency, prices, hold_seconds)"
        " VALUES ($1, $2, $3, now(), 'KRW', '{}', 600)",
        SCHEDULE,
        PERFORMANCE,
        VENUE,
    )
    await connection.close()
    engine = create_engine(url)
    async with engine.begin() as transaction:
        on_sale = terms(starts_at_ms=now_ms + 30 * DAY, sale_closes_at_ms=now_ms + 30 * DAY)
        await open_schedule(transaction, SCHEDULE, now_ms, Opened(PLAN.digest, on_sale))
    await engine.dispose()


@pytest.fixture
def memory_journal() -> MemoryJournal:
    journal = MemoryJournal()
    journal.open_schedule(SCHEDULE, PLAN, NOW, Opened(PLAN.digest, terms()))
    return journal


@pytest.fixture
async def postgres_journal(database_url: str) -> AsyncIterator[PostgresJournal]:
    await plant_schedule(database_url)
    async with asyncpg.create_pool(database_url, min_size=0, max_size=3) as pool:
        yield PostgresJournal(pool)


@pytest.fixture(params=["memory_journal", "postgres_journal"])
def journal(request: pytest.FixtureRequest) -> Journal:
    found: Journal = request.getfixturevalue(request.param)
    return found


class Sale:
    """Drives one state and keeps what it did."""

    def __init__(self) -> None:
        self.state: ScheduleState = opened(PLAN)
        self.steps: list[Step] = []

    def do(self, request_id: str, command: commands.AnyCommand, now_ms: int = NOW) -> Any:
        turn = execute(self.state, Request(request_id, command), now_ms)
        self.steps += turn.steps
        return turn.result

    def batch(self) -> Batch:
        steps, self.steps = self.steps, []
        return Batch(steps, self.state.next_deadline_ms(), self.state.oldest_payment_ms(), 0)


def a_busy_day(sale: Sale) -> None:
    sale.do("r1", commands.HoldSeats(ident(1), ANN, ("A-1", "A-2", "pit")))
    sale.do("r2", commands.HoldBest(ident(2), BOB, 3))
    sale.do("r3", commands.RequestPayment(ident(1), ANN, ident(11), "sandbox"))
    sale.do("r4", commands.ApprovePayment(ident(1), ident(11), "ref"))
    sale.do("r5", commands.Cancel(ident(2), ident(21), BOB, "changed my mind"))
    sale.do("r6", commands.Block(("C-1",), "camera", "organizer"))


async def test_what_was_appended_reads_back_and_replays_to_the_same_state(journal: Journal) -> None:
    sale, claim = Sale(), await journal.claim(SCHEDULE)
    a_busy_day(sale)
    steps = list(sale.steps)
    await journal.append(claim, PLAN, sale.batch())
    records = await journal.read(SCHEDULE, 1, 100)
    assert records == [step.record for step in steps]
    replayed = await history.latest(journal, SCHEDULE)
    assert replayed is not None
    assert state_hash(replayed) == state_hash(sale.state)
    assert encode(capture(replayed)) == encode(capture(sale.state))


async def test_an_unknown_schedule_cannot_be_claimed(journal: Journal) -> None:
    with pytest.raises(UnknownSchedule):
        await journal.claim(ident(999))
    assert await history.latest(journal, ident(999)) is None


async def test_a_new_claim_deposes_the_old_one_for_everything_it_could_do(journal: Journal) -> None:
    sale, old = Sale(), await journal.claim(SCHEDULE)
    new = await journal.claim(SCHEDULE)
    assert new.epoch > old.epoch
    a_busy_day(sale)
    batch = sale.batch()
    with pytest.raises(Deposed):
        await journal.append(old, PLAN, batch)
    assert await journal.read(SCHEDULE, 1, 10) == []
    await journal.append(new, PLAN, batch)
    with pytest.raises(Deposed):
        await journal.save_published(old, 3)
    with pytest.raises(Deposed):
        await journal.save_snapshot(old, 1, b"")


async def test_a_batch_fits_only_at_the_expected_position(journal: Journal) -> None:
    sale, claim = Sale(), await journal.claim(SCHEDULE)
    sale.do("r1", commands.HoldBest(ident(1), ANN, 1))
    batch = sale.batch()
    await journal.append(claim, PLAN, batch)
    with pytest.raises(Deposed):
        await journal.append(claim, PLAN, batch)


async def test_recovery_from_a_snapshot_equals_replay_from_the_start(journal: Journal) -> None:
    sale, claim = Sale(), await journal.claim(SCHEDULE)
    sale.do("r1", commands.HoldSeats(ident(1), ANN, ("A-1", "pit")))
    await journal.append(claim, PLAN, sale.batch())
    await journal.save_snapshot(claim, sale.state.seq, encode(capture(sale.state)))
    sale.do("r2", commands.HoldBest(ident(2), BOB, 3))
    await journal.append(claim, PLAN, sale.batch())
    recovered = await history.state_at(journal, SCHEDULE, PLAN, sale.state.seq)
    assert encode(capture(recovered)) == encode(capture(sale.state))


@pytest.mark.parametrize("damaged", [b"", b"\x00nonsense", encode(capture(opened(LARGER_PLAN)))])
async def test_recovery_despite_a_damaged_snapshot_is_a_replay_from_the_start(
    journal: Journal, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sale, claim = Sale(), await journal.claim(SCHEDULE)
    sale.do("r1", commands.HoldSeats(ident(1), ANN, ("A-1", "pit")))
    await journal.append(claim, PLAN, sale.batch())
    await journal.save_snapshot(claim, sale.state.seq, damaged)
    sale.do("r2", commands.HoldBest(ident(2), BOB, 3))
    await journal.append(claim, PLAN, sale.batch())
    latest = await history.latest(journal, SCHEDULE)
    assert latest is not None
    for recovered in (latest, await history.state_at(journal, SCHEDULE, PLAN, sale.state.seq)):
        assert encode(capture(recovered)) == encode(capture(sale.state))
    assert caplog.text.count("its snapshot is damaged") == 2


async def test_snapshots_keep_what_publishing_may_still_need(journal: Journal) -> None:
    sale, claim = Sale(), await journal.claim(SCHEDULE)
    for number in range(1, 5):
        sale.do(f"r{number}", commands.HoldBest(ident(number), ANN, 1))
        await journal.append(claim, PLAN, sale.batch())
        await journal.save_snapshot(claim, sale.state.seq, encode(capture(sale.state)))
        if number == 2:
            await journal.save_published(claim, sale.state.seq)
    found = [await journal.snapshot(SCHEDULE, at_most) for at_most in (2, 3, 4, 9)]
    assert [None if each is None else each[0] for each in found] == [None, 3, 3, 5]
    assert (await journal.claim(SCHEDULE)) == Claim(SCHEDULE, claim.epoch + 1, 5, 3, 5)


async def test_the_watermark_only_rises(journal: Journal) -> None:
    claim = await journal.claim(SCHEDULE)
    await journal.save_published(claim, 1)
    await journal.save_published(claim, 0)
    assert (await journal.claim(SCHEDULE)).published_seq == 1


Fetch = Callable[[str], Awaitable[list[asyncpg.Record]]]


@pytest.fixture
async def fetch(database_url: str, postgres_journal: PostgresJournal) -> AsyncIterator[Fetch]:
    connection = await asyncpg.connect(database_url)
    yield connection.fetch
    await connection.close()


async def somebody_waits(fetch: Fetch, condition: str = "true") -> None:
    """Waits until there is a lock that somebody waits for."""

    async def waits() -> bool:
        return bool(await fetch(f"SELECT 1 FROM pg_locks WHERE NOT granted AND {condition}"))

    await until(waits)


async def test_a_snapshot_on_its_way_holds_up_no_commit(
    postgres_journal: PostgresJournal, fetch: Fetch, database_url: str
) -> None:
    sale, claim = Sale(), await postgres_journal.claim(SCHEDULE)
    sale.do("r1", commands.HoldBest(ident(1), ANN, 1))
    await postgres_journal.append(claim, PLAN, sale.batch())
    seq, payload = sale.state.seq, encode(capture(sale.state))
    slow = await asyncpg.connect(database_url)
    async with slow.transaction():
        await slow.execute("LOCK TABLE snapshots IN SHARE MODE")
        saving = asyncio.create_task(postgres_journal.save_snapshot(claim, seq, payload))
        await somebody_waits(fetch, "relation = 'snapshots'::regclass")
        sale.do("r2", commands.HoldBest(ident(2), BOB, 1))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await postgres_journal.append(claim, PLAN, sale.batch())
    await saving
    await slow.close()
    assert await postgres_journal.snapshot(SCHEDULE, sale.state.seq) == (seq, payload)


async def test_a_snapshot_is_stored_compressed_and_older_ones_are_read_as_they_are(
    postgres_journal: PostgresJournal, fetch: Fetch
) -> None:
    sale, claim = Sale(), await postgres_journal.claim(SCHEDULE)
    sale.do("r1", commands.HoldBest(ident(1), ANN, 2))
    await postgres_journal.append(claim, PLAN, sale.batch())
    seq, payload = sale.state.seq, encode(capture(sale.state))
    await postgres_journal.save_snapshot(claim, seq, payload)
    ((stored,),) = await fetch("SELECT payload FROM snapshots")
    assert stored != payload
    assert decompressed(stored) == decompressed(payload) == payload
    with pytest.raises(SnapshotError):
        decompressed(stored[:-1])
    await fetch("UPDATE snapshots SET payload = substring(payload FOR length(payload) - 1)")
    recovered = await history.state_at(postgres_journal, SCHEDULE, PLAN, seq)
    assert encode(capture(recovered)) == payload


async def test_a_snapshot_being_saved_is_seen_by_whoever_drops_them(
    postgres_journal: PostgresJournal, fetch: Fetch, database_url: str
) -> None:
    """Or one made from damaged memory would be what the next owner begins with."""
    sale, claim = Sale(), await postgres_journal.claim(SCHEDULE)
    sale.do("r1", commands.HoldBest(ident(1), ANN, 1))
    await postgres_journal.append(claim, PLAN, sale.batch())
    saving = await asyncpg.connect(database_url)
    async with saving.transaction():
        await saving.execute("SELECT 1 FROM schedule_heads WHERE schedule_id = $1 FOR KEY SHARE", SCHEDULE)
        dropping = asyncio.create_task(drop_all(database_url))
        await somebody_waits(fetch)
        await saving.execute("INSERT INTO snapshots VALUES ($1, 2, '')", SCHEDULE)
    await dropping
    await saving.close()
    assert await fetch("SELECT 1 FROM snapshots") == []
    with pytest.raises(Deposed):
        await postgres_journal.save_snapshot(claim, sale.state.seq, b"")
    assert await fetch("SELECT 1 FROM snapshots") == []


async def drop_all(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await heads.drop_snapshots(connection, SCHEDULE)
    await connection.close()


async def test_the_current_tables_say_what_the_journal_says(postgres_journal: PostgresJournal, fetch: Fetch) -> None:
    sale, claim = Sale(), await postgres_journal.claim(SCHEDULE)
    a_busy_day(sale)
    await postgres_journal.append(claim, PLAN, sale.batch())
    rows = {str(row["id"]): row for row in await fetch("SELECT * FROM bookings")}
    assert {key: row["status"] for key, row in rows.items()} == {ident(1): "confirmed", ident(2): "cancelled"}
    assert rows[ident(1)]["seats"] == ["A-1", "A-2", "pit"]
    assert rows[ident(1)]["prices"] == [150_000, 150_000, 90_000]
    assert rows[ident(1)]["amount"] == 390_000
    assert rows[ident(1)]["expires_at"] is None
    (payment,) = await fetch("SELECT * FROM payments")
    assert (payment["id"], payment["status"], payment["reference"]) == (UUID(ident(11)), "approved", "ref")
    (cancellation,) = await fetch("SELECT * FROM cancellations")
    assert (cancellation["booking_id"], cancellation["reason"]) == (UUID(ident(2)), "changed my mind")


async def test_later_batches_update_the_rows_of_earlier_ones(postgres_journal: PostgresJournal, fetch: Fetch) -> None:
    sale, claim = Sale(), await postgres_journal.claim(SCHEDULE)
    sale.do("r1", commands.HoldSeats(ident(1), ANN, ("A-1", "A-2")))
    await postgres_journal.append(claim, PLAN, sale.batch())
    sale.do("r2", commands.RequestPayment(ident(1), ANN, ident(11), "sandbox"))
    await postgres_journal.append(claim, PLAN, sale.batch())
    (head,) = await fetch("SELECT * FROM schedule_heads")
    assert (head["oldest_payment_ms"], head["next_deadline_ms"]) == (NOW, None)
    sale.do("r3", commands.DeclinePayment(ident(1), ident(11), "lost_card"))
    sale.do("r4", commands.Change(ident(1), ANN, ("A-2", "A-3", "B-1")))
    await postgres_journal.append(claim, PLAN, sale.batch())
    (row,) = await fetch("SELECT * FROM bookings")
    assert (row["seats"], row["amount"], row["version"]) == (["A-2", "A-3", "B-1"], 390_000, 5)
    (payment,) = await fetch("SELECT * FROM payments")
    assert (payment["status"], payment["reason"]) == ("declined", "lost_card")
    (head,) = await fetch("SELECT * FROM schedule_heads")
    assert (head["seq"], head["next_deadline_ms"], head["oldest_payment_ms"]) == (5, NOW + 600_000, None)


async def test_changed_terms_reach_the_schedule_row(postgres_journal: PostgresJournal, fetch: Fetch) -> None:
    sale, claim = Sale(), await postgres_journal.claim(SCHEDULE)
    sale.do("r1", commands.ChangeTerms(terms(prices={"VIP": 1, "R": 2}, max_seats_per_customer=4)))
    await postgres_journal.append(claim, PLAN, sale.batch())
    (row,) = await fetch("SELECT prices, max_seats_per_customer, hold_seconds FROM schedules")
    assert msgspec.json.decode(row["prices"]) == {"VIP": 1, "R": 2}
    assert (row["max_seats_per_customer"], row["hold_seconds"]) == (4, 600)


async def test_a_stored_plan_is_taken_for_the_document(postgres_journal: PostgresJournal, database_url: str) -> None:
    assert (await postgres_journal.plan(SCHEDULE)).name == PLAN.name
    stored = pack(replace(PLAN, name="as it was stored"))
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE venues SET packed_plan = $2 WHERE id = $1", VENUE, stored)
    await connection.close()
    plan = await postgres_journal.plan(SCHEDULE)
    assert (plan.name, plan.digest) == ("as it was stored", PLAN.digest)
