"""A store that an earlier release has made is right after it was migrated: schedules that were deleted in it, and a
sale that goes on by the plan it began with."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from actors.process.clock import SystemClock
from engine.events import Opened, Record, Withdrawn, decode_event, encode_event
from engine.plan_document import read_plan
from engine.snapshot import capture, decode, encode, state_hash
from engine.state import ScheduleState, apply
from persistence.database import connection as database
from persistence.database.connection import create_engine, migrate
from persistence.database.pools import open_pool
from persistence.journal import history
from persistence.journal.journal import PostgresJournal
from tests.engine.plans.houses import NOW, opened, plan_document, terms
from tests.support.services.databases import execute, other_database

NUMBERS = itertools.count(1)
BEFORE = "0014"
DELETED = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAN = read_plan(plan_document())
new_id = SystemClock().new_id


@pytest.fixture(params=[BEFORE])
async def old_store(postgres_url: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    name = f"before_{next(NUMBERS)}"
    await execute(postgres_url, f"CREATE DATABASE {name}")
    url = other_database(postgres_url, name)
    async with database._unpooled(url) as connection:
        await connection.run_sync(_upgrade_to, request.param)
        await connection.commit()
    yield url
    await execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def _upgrade_to(connection: Connection, revision: str) -> None:
    config = database._config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def insert(connection: AsyncConnection, table: str, **values: object) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    await connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)  # ours


async def schedule(
    connection: AsyncConnection,
    organizer: str,
    venue: str,
    *,
    epoch: int,
    deleted: bool,
    snapshot: bytes = b"made before",
) -> str:
    performance, its_id = new_id(), new_id()
    await insert(connection, "performances", id=performance, organizer_id=organizer, title=performance)
    await insert(
        connection,
        "schedules",
        id=its_id,
        performance_id=performance,
        venue_id=venue,
        starts_at=DELETED + timedelta(days=epoch + 40),
        currency="KRW",
        hold_seconds=600,
        deleted_at=DELETED if deleted else None,
        waiting_room=True,
        prices="{}",
    )
    await insert(connection, "schedule_heads", schedule_id=its_id, epoch=epoch, seq=1, snapshot_seq=1)
    await insert(
        connection,
        "journal",
        schedule_id=its_id,
        seq=1,
        at_ms=NOW,
        type="schedule.opened",
        request_id="",
        fingerprint="",
        payload=encode_event(Opened(PLAN.digest, terms())),
    )
    await insert(connection, "snapshots", schedule_id=its_id, seq=1, payload=snapshot)
    return its_id


async def test_deleted_schedules_are_withdrawn_and_venues_that_others_use_are_shared(old_store: str) -> None:
    engine = create_engine(old_store)
    owner, guest, used, own = (new_id() for _ in range(4))
    async with engine.begin() as connection:
        for account in (owner, guest):
            await insert(connection, "accounts", id=account, email=account, password_hash="x", role="organizer")
        for venue in (used, own):
            await insert(
                connection,
                "venues",
                id=venue,
                organizer_id=owner,
                name="A",
                seating_plan="{}",
                plan_digest="x",
                capacity=1,
            )
        gone = await schedule(connection, guest, used, epoch=0, deleted=True)
        sold = await schedule(connection, owner, own, epoch=3, deleted=True)
        kept = await schedule(connection, owner, own, epoch=1, deleted=False)
    await engine.dispose()

    await migrate(old_store)
    engine = create_engine(old_store)
    async with engine.connect() as connection:
        heads = {
            row.id: (row.seq, row.epoch, row.snapshot_seq, row.overruled_at is not None)
            for row in await connection.execute(
                sa.text("SELECT schedule_id::text AS id, seq, epoch, snapshot_seq, overruled_at FROM schedule_heads")
            )
        }
        journal = (
            await connection.execute(sa.text("SELECT schedule_id::text, seq, at_ms, payload FROM journal"))
        ).all()
        shared = (await connection.execute(sa.text("SELECT id::text FROM venues WHERE shared"))).scalars().all()
        waiting = await connection.scalar(sa.text("SELECT count(*) FROM schedules WHERE waiting_room"))
        snapshots = await connection.scalar(sa.text("SELECT count(*) FROM snapshots"))
    await engine.dispose()

    assert heads == {gone: (2, 0, 0, True), sold: (2, 4, 0, True), kept: (1, 1, 0, False)}
    assert (list(shared), waiting, snapshots) == ([used], 0, 0)
    for schedule_id in (gone, sold, kept):
        state = ScheduleState(PLAN)
        for _, seq, at_ms, payload in sorted(row for row in journal if row[0] == schedule_id):
            apply(state, Record(seq, at_ms, decode_event(payload)))
        assert state.seq == heads[schedule_id][0]
        assert (state.withdrawn is not None) == (schedule_id != kept)
    assert decode_event(next(row[3] for row in journal if row[:2] == (gone, 2))) == Withdrawn("organizer")


def as_before(snapshot: bytes) -> bytes:
    """A snapshot without the field that came last."""
    fields = msgspec.msgpack.decode(snapshot, type=list[msgspec.Raw])
    return msgspec.msgpack.encode(fields[:-1])


@pytest.mark.parametrize("old_store", ["0018"], indirect=True)
async def test_a_sale_of_before_plans_were_corrected_goes_on_by_the_plan_it_began_with(old_store: str) -> None:
    engine = create_engine(old_store)
    owner, venue = new_id(), new_id()
    state = opened(PLAN)
    async with engine.begin() as connection:
        await insert(connection, "accounts", id=owner, email=owner, password_hash="x", role="organizer")
        place = {"id": venue, "organizer_id": owner, "name": "A", "plan_digest": PLAN.digest, "capacity": PLAN.capacity}
        await insert(connection, "venues", **place, seating_plan=json.dumps(plan_document()))
        snapshot = as_before(encode(capture(state)))
        its_id = await schedule(connection, owner, venue, epoch=1, deleted=False, snapshot=snapshot)
    await engine.dispose()
    await migrate(old_store)
    async with open_pool(old_store, 1) as pool:
        journal = PostgresJournal(pool)
        plan = await journal.plan(its_id)
        assert (plan.number, plan.digest, plan.successor) == (0, PLAN.digest, None)
        stored = await journal.snapshot(its_id, 1)
        assert stored is not None
        assert state_hash(decode(plan, stored[1])) == state_hash(state)
        by_journal = await history.state_at(journal, its_id, plan, 1)
        assert state_hash(by_journal) == state_hash(state)
