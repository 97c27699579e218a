"""The audit log's chain: what is written holds; each kind of damage is named once, with the entries it concerns."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.audit import chain, verification
from persistence.audit.chain import GENESIS, ChainHead, Entry, StoredEntry, entry_hash
from persistence.audit.verification import DamagedLine, ExportedHead, Kind, verify
from persistence.database import connection as database_connection
from persistence.database.connection import create_engine
from tests.conftest import made_database
from tests.support.audit_log import found, head_of, new_id, sql, stored, write


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


async def make_anew(engine: AsyncEngine, first: int) -> None:
    """Computes all hashes from an entry on, and the head: the work of somebody who knows how."""
    previous = GENESIS
    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))  # no trigger refuses it
        for entry in await stored(engine):
            if entry.seq >= first:
                hashed = entry_hash(entry, previous_hash=previous)
                await connection.execute(
                    sa.text("UPDATE audit_log SET previous_hash = :previous, hash = :hash WHERE seq = :seq"),
                    {"previous": previous, "hash": hashed, "seq": entry.seq},
                )
                previous = hashed
            else:
                previous = entry.hash
            last = entry.seq
        await connection.execute(sa.text("UPDATE audit_head SET seq = :s, hash = :h"), {"s": last, "h": previous})


def exported(entry: StoredEntry | ChainHead, line: int = 1) -> ExportedHead:
    return ExportedHead(line=line, seq=entry.seq, hash=entry.hash, at="2026-11-22T14:00:00.000+00:00")


# --- writing and reading ----------------------------------------------------------------------------------------------
async def test_entries_are_numbered_and_chained_in_order(engine: AsyncEngine) -> None:
    assert await head_of(engine) == ChainHead(0, GENESIS, datetime(1970, 1, 1, tzinfo=UTC))
    await write(engine, 3)
    entries = await stored(engine)
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.previous_hash for entry in entries] == [GENESIS, entries[0].hash, entries[1].hash]
    assert (await head_of(engine)).hash == entries[2].hash
    assert sorted(entries, key=lambda entry: datetime.fromisoformat(entry.at)) == entries
    verification = await verify(engine)
    assert (verification.entries, verification.findings) == (3, [])


async def test_the_hash_can_be_computed_from_what_is_exported_by_anybody(engine: AsyncEngine) -> None:
    await write(engine, before=None, after={"title": "카르멘", "b": 1.5, "a": [None, True]})
    exporting = [each async for each in chain.export(engine)]
    entry, head = (json.loads(msgspec.json.encode(each)) for each in exporting)
    at_us = int(datetime.fromisoformat(entry["at"]).timestamp()) * 1_000_000 + int(entry["at"][20:26])
    content = [entry[name] for name in ("account_id", "action", "subject", "before", "after")]
    text = json.dumps([1, entry["id"], at_us, *content, "00" * 32], sort_keys=True, separators=(",", ":"))
    assert entry["hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert head["seq"] == 1


class Terms(msgspec.Struct):
    """Any struct of ours."""

    currency: str


@pytest.mark.parametrize(
    "after",
    [
        {},
        {"z": 1, "a": {"y": [1, {"c": 2, "b": None}], "x": {}}, "": []},
        {"float": 0.1, "whole": 1.0, "large": 1e20, "tiny": 1e-9, "negative": -0.0, "beyond_bigint": 2**70},
        {"text": '카르멘 \u00e9 e\u0301 \U0001f3ad \u2028 " \\ \x7f', "자": "리"},
        {"at": datetime(2026, 5, 5, 19, 30, tzinfo=timezone(timedelta(hours=9))), "for": timedelta(minutes=90)},
        {"id": uuid.UUID(int=7), "terms": Terms("KRW"), "kind": Kind.EDITED, "set": {1}, "tuple": (1, "a")},
    ],
)
async def test_content_survives_its_way_through_the_database(engine: AsyncEngine, after: dict[str, object]) -> None:
    await write(engine, after=after)
    await write(engine, before=after, after=None)
    assert await found(engine) == []
    second, first = await chain.entries(engine, limit=10)
    assert second.after is None
    assert first.after is not None
    assert json.loads(bytes(first.after)) == json.loads(msgspec.json.encode(after))


async def test_many_writers_at_once_make_one_chain_in_the_order_of_their_commits(engine: AsyncEngine) -> None:
    await asyncio.gather(*(write(engine, 5) for _ in range(6)))
    entries = await stored(engine)
    assert [entry.seq for entry in entries] == list(range(1, 31))
    times = [datetime.fromisoformat(entry.at) for entry in entries]
    assert times == sorted(times)
    assert await found(engine) == []


async def test_a_transaction_that_fails_leaves_no_gap(engine: AsyncEngine) -> None:
    await write(engine)
    async with engine.connect() as connection:
        await chain.write(connection, entry_id=new_id(), account_id=new_id(), action="a", subject="b:c")
        await connection.rollback()
    await write(engine)
    assert [entry.seq for entry in await stored(engine)] == [1, 2]
    assert await found(engine) == []


async def test_a_clock_that_was_set_back_does_not_turn_the_order_around(engine: AsyncEngine) -> None:
    await write(engine)
    await sql(engine, "UPDATE audit_head SET at = at + interval '1 hour'")
    ahead = (await head_of(engine)).at
    await write(engine)
    assert (await head_of(engine)).at == ahead
    assert await found(engine) == []


async def test_an_id_is_written_once(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        entry_id, account_id = uuid.uuid4().hex, new_id()
        for new in (True, False):
            assert new is await chain.write(
                connection, entry_id=entry_id, account_id=account_id, action="a", subject="b:c"
            )
    await write(engine)
    assert [entry.seq for entry in await stored(engine)] == [1, 2]
    assert await found(engine) == []


async def test_nothing_is_written_without_the_head(engine: AsyncEngine) -> None:
    await sql(engine, "DELETE FROM audit_head")
    with pytest.raises(sa.exc.NoResultFound):
        await write(engine)


async def test_entries_are_found_by_who_what_and_which_newest_first(engine: AsyncEngine) -> None:
    mine = new_id()
    await write(engine, account_id=mine, subject="venue:1", action="venue.created")
    await write(engine, account_id=mine, subject="schedule:1")
    await write(engine, subject="venue:1", action="venue.changed")

    async def seqs(**query: Any) -> list[int]:
        return [entry.seq for entry in await chain.entries(engine, **{"limit": 10, **query})]

    assert await seqs() == [3, 2, 1]
    assert await seqs(limit=2) == [3, 2]
    assert await seqs(before_seq=2) == [1]
    assert await seqs(account_id=mine) == [2, 1]
    assert await seqs(subject="venue:1") == [3, 1]
    assert await seqs(subject="venue:1", action="venue.created") == [1]
    assert await seqs(subject="venue:404") == []


async def test_an_export_is_of_one_moment(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "CHUNK", 2)
    await write(engine, 5)
    read: list[Entry | ChainHead] = []
    async for each in chain.export(engine):
        if not read:
            await write(engine)
        read.append(each)
    assert [each.seq for each in read] == [1, 2, 3, 4, 5, 5]
    assert isinstance(read[-1], ChainHead)


# --- verification -----------------------------------------------------------------------------------------------------
async def test_an_empty_log_is_whole(engine: AsyncEngine) -> None:
    verification = await verify(engine)
    assert (verification.entries, verification.heads, verification.findings) == (0, 0, [])


def column(name: str, value: str) -> str:
    return f"UPDATE audit_log SET {name} = {value} WHERE seq = 4"


SHIFT = (
    "UPDATE audit_log SET seq = seq + 1000 WHERE seq > {0};"
    " UPDATE audit_log SET seq = seq - 1000 + {1} WHERE seq > 1000"
)
INSERT = (
    "INSERT INTO audit_log (seq, id, at, account_id, action, subject, previous_hash, hash) SELECT"
    " {seq}, '00000000-0000-7000-8000-00000000000{seq}', now(), account_id, action, subject, {previous}, {hash}"
    " FROM audit_log WHERE seq = 3"
)

DAMAGE: Sequence[tuple[str, str, list[tuple[Kind, int, int]]]] = [
    ("who", column("account_id", "'00000000-0000-7000-8000-000000000404'"), [(Kind.EDITED, 4, 4)]),
    ("what", column("action", "'venue.created'"), [(Kind.EDITED, 4, 4)]),
    ("which", column("subject", "subject || ' '"), [(Kind.EDITED, 4, 4)]),
    ("before", column("before", """'{"hold_seconds": 601}'"""), [(Kind.EDITED, 4, 4)]),
    ("after emptied", column("after", "NULL"), [(Kind.EDITED, 4, 4)]),
    ("when, by a microsecond", column("at", "at + interval '1 microsecond'"), [(Kind.EDITED, 4, 4)]),
    ("a time that is none", column("at", "'infinity'"), [(Kind.EDITED, 4, 4)]),
    ("a time before Christ", column("at", "'0044-03-15 12:00 BC'"), [(Kind.EDITED, 4, 4)]),
    ("an absurd number", column("after", """('{"n": 1' || repeat('0', 5000) || '}')::jsonb"""), [(Kind.EDITED, 4, 4)]),
    ("nested too deep", column("after", "(repeat('[', 3000) || repeat(']', 3000))::jsonb"), [(Kind.EDITED, 4, 4)]),
    ("id", column("id", "'00000000-0000-7000-8000-000000000404'"), [(Kind.EDITED, 4, 4)]),
    ("hash", column("hash", "sha256('x')"), [(Kind.EDITED, 4, 4)]),
    ("previous hash", column("previous_hash", "sha256('x')"), [(Kind.EDITED, 4, 4)]),
    ("the first", "UPDATE audit_log SET action = 'x' WHERE seq = 1", [(Kind.EDITED, 1, 1)]),
    ("the last", "UPDATE audit_log SET action = 'x' WHERE seq = 9", [(Kind.EDITED, 9, 9)]),
    ("neighbours", "UPDATE audit_log SET action = 'x' WHERE seq IN (4, 5)", [(Kind.EDITED, 4, 5)]),
    ("two", "UPDATE audit_log SET action = 'x' WHERE seq IN (4, 7)", [(Kind.EDITED, 4, 4), (Kind.EDITED, 7, 7)]),
    ("all", "UPDATE audit_log SET action = 'x'", [(Kind.EDITED, 1, 9)]),
    ("removed", "DELETE FROM audit_log WHERE seq = 4", [(Kind.REMOVED, 4, 4)]),
    ("several removed", "DELETE FROM audit_log WHERE seq IN (4, 5, 7)", [(Kind.REMOVED, 4, 5), (Kind.REMOVED, 7, 7)]),
    ("the first removed", "DELETE FROM audit_log WHERE seq = 1", [(Kind.REMOVED, 1, 1)]),
    ("truncated", "DELETE FROM audit_log WHERE seq > 6", [(Kind.TRUNCATED, 7, 9)]),
    ("emptied", "DELETE FROM audit_log", [(Kind.TRUNCATED, 1, 9)]),
    (
        "removed and renumbered",
        "DELETE FROM audit_log WHERE seq = 4; " + SHIFT.format(4, -1),
        [(Kind.MISPLACED, 4, 8)],
    ),
    (
        "swapped neighbours",
        "UPDATE audit_log SET seq = CASE seq WHEN 4 THEN 1005 ELSE 1004 END WHERE seq IN (4, 5);"
        " UPDATE audit_log SET seq = seq - 1000 WHERE seq > 1000",
        [(Kind.MISPLACED, 4, 4), (Kind.MISPLACED, 5, 5)],
    ),
    (
        "swapped ends",
        "UPDATE audit_log SET seq = CASE seq WHEN 2 THEN 1008 ELSE 1002 END WHERE seq IN (2, 8);"
        " UPDATE audit_log SET seq = seq - 1000 WHERE seq > 1000",
        [(Kind.MISPLACED, 2, 2), (Kind.MISPLACED, 8, 8)],
    ),
    (
        "put in between",
        SHIFT.format(3, 1) + "; " + INSERT.format(seq=4, previous="hash", hash="sha256('x')"),
        [(Kind.EDITED, 4, 4), (Kind.MISPLACED, 5, 10)],
    ),
    (
        "put in with a place of its own",
        SHIFT.format(3, 1) + "; " + INSERT.format(seq=4, previous="sha256('y')", hash="sha256('x')"),
        [(Kind.MISPLACED, 4, 4), (Kind.MISPLACED, 5, 10)],
    ),
    (
        "put in before the first",
        INSERT.format(seq=0, previous="hash", hash="sha256('x')"),
        [(Kind.INSERTED, 0, 0)],
    ),
    ("head removed", "DELETE FROM audit_head", [(Kind.HEAD, 9, 9)]),
    ("head set back", "UPDATE audit_head SET seq = 7", [(Kind.INSERTED, 8, 9)]),
    ("head set forward", "UPDATE audit_head SET seq = 10", [(Kind.TRUNCATED, 10, 10)]),
    ("head of another chain", "UPDATE audit_head SET hash = sha256('x')", [(Kind.REHASHED, 9, 9)]),
]


@pytest.mark.parametrize(("damage", "expected"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
async def test_damage_is_named_precisely_and_once(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, damage: str, expected: list[tuple[Kind, int, int]]
) -> None:
    monkeypatch.setattr(chain, "CHUNK", 3)
    await write(engine, 9)
    before = await stored(engine)
    heads = [exported(before[seq - 1]) for seq in (2, 4, 9)]
    assert await found(engine, heads) == []
    await sql(engine, *damage.split("; "))
    assert await found(engine) == expected
    # Heads exported before the damage say nothing new of what has been named.
    with_heads = await found(engine, heads)
    assert [each for each in with_heads if each not in expected] == []
    ids = {entry.seq: entry.id for entry in await stored(engine)}
    for finding in (await verify(engine)).findings:
        missing = finding.kind in (Kind.REMOVED, Kind.TRUNCATED, Kind.HEAD) or finding.first != finding.last
        assert missing or finding.entry_id == ids[finding.first]


async def test_where_a_misplaced_entry_was_written_is_told(engine: AsyncEngine) -> None:
    await write(engine, 30)
    await sql(
        engine,
        "DELETE FROM audit_log WHERE seq BETWEEN 4 AND 23",
        "UPDATE audit_log SET seq = seq - 20 WHERE seq > 20",
    )
    (finding,) = (await verify(engine)).findings
    assert (finding.kind, finding.where) == (Kind.MISPLACED, "entries 4–10")
    assert finding.detail == "they were written as entries 24–30"


async def test_an_entry_edited_and_hashed_anew_is_named_by_what_follows_it(engine: AsyncEngine) -> None:
    await write(engine, 9)
    heads = [exported(entry) for entry in await stored(engine)]
    for seq in (4, 9):
        await sql(engine, f"UPDATE audit_log SET action = 'x' WHERE seq = {seq}")
        edited = next(entry for entry in await stored(engine) if entry.seq == seq)
        await sql(engine, f"UPDATE audit_log SET hash = '\\x{entry_hash(edited).hex()}' WHERE seq = {seq}")
    assert await found(engine) == [(Kind.REHASHED, 4, 4), (Kind.REHASHED, 9, 9)]
    assert await found(engine, heads) == [(Kind.REHASHED, 4, 4), (Kind.REHASHED, 9, 9)]


async def test_a_chain_made_anew_is_found_by_the_heads_exported_before(engine: AsyncEngine) -> None:
    await write(engine, 9)
    entries = await stored(engine)
    await sql(engine, "UPDATE audit_log SET action = 'x' WHERE seq = 5")
    await make_anew(engine, 5)
    assert await found(engine) == [], "nothing in the database can show it"
    heads = [exported(entries[seq - 1], line) for line, seq in enumerate((2, 3, 6, 8, 9), 1)]
    verification = await verify(engine, heads)
    (finding,) = verification.findings
    assert (finding.kind, finding.first, finding.last) == (Kind.REWRITTEN, 4, 6)
    assert "line 3" in finding.detail
    assert verification.heads == 5


async def test_a_log_cut_short_with_its_head_is_found_by_the_heads_exported_before(engine: AsyncEngine) -> None:
    await write(engine, 9)
    entries = await stored(engine)
    heads = [exported(entry) for entry in entries]
    await sql(engine, "DELETE FROM audit_log WHERE seq > 6")
    assert await found(engine, heads) == [(Kind.TRUNCATED, 7, 9)], "said once, by the head row"
    await sql(engine, f"UPDATE audit_head SET seq = 6, hash = '\\x{entries[5].hash.hex()}'")
    assert await found(engine) == []
    assert await found(engine, heads) == [(Kind.TRUNCATED, 7, 9)]
    await write(engine, 2)
    assert await found(engine, heads) == [(Kind.REWRITTEN, 7, 7), (Kind.TRUNCATED, 9, 9)]


async def test_heads_exported_while_the_log_is_read_are_no_damage(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(engine, 3)
    heads: list[ExportedHead | DamagedLine] = []
    read_head = chain.read_head

    async def read_while_others_write(connection: AsyncConnection) -> ChainHead | None:
        await write(engine, 2)
        heads.append(exported((await stored(engine))[-1]))
        return await read_head(connection)

    monkeypatch.setattr(chain, "read_head", read_while_others_write)
    verification = await verify(engine, heads)
    assert (verification.entries, verification.heads, verification.findings) == (3, 1, [])


async def test_damaged_lines_are_one_finding_a_run(engine: AsyncEngine) -> None:
    await write(engine, 2)
    good = exported(await head_of(engine), 3)
    lines = (DamagedLine(line=1), DamagedLine(line=2), good, DamagedLine(line=4))
    assert await found(engine, lines) == [(Kind.DAMAGED_EXPORT, 1, 2), (Kind.DAMAGED_EXPORT, 4, 4)]


async def test_a_log_that_is_damaged_all_over_is_given_up(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "MAX_FINDINGS", 3)
    monkeypatch.setattr(chain, "CHUNK", 2)
    await write(engine, 20)
    await sql(engine, "DELETE FROM audit_log WHERE seq % 2 = 1")
    expected = [(Kind.REMOVED, 1, 1), (Kind.REMOVED, 3, 3), (Kind.REMOVED, 5, 5)]
    *named, last = await found(engine)
    assert named[:3] == expected
    assert last[0] is Kind.UNFINISHED


# --- migration --------------------------------------------------------------------------------------------------------
def to_revision(revision: str, *, down: bool = False) -> Any:
    def step(connection: Connection) -> None:
        config = database_connection._config()
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)

    return step


@pytest.fixture
async def first_release(postgres_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection to a database as the first release had it."""
    async with made_database(postgres_url) as url:
        engine = create_engine(url, pool_size=2)
        async with engine.connect() as connection:
            await connection.run_sync(to_revision("0001"))
            await connection.commit()
            yield connection
        await engine.dispose()


async def test_entries_from_before_the_chain_are_chained_by_time(first_release: AsyncConnection) -> None:
    connection = first_release
    row = (
        "INSERT INTO audit_log (id, at, account_id, action, subject, before, after)"
        " SELECT gen_random_uuid(), timestamptz '2026-01-01' + ((n * 7919) % 1201) * interval '1.000001 second',"
        " gen_random_uuid(), 'a', '카르멘 ' || n, CASE WHEN n % 2 = 0 THEN :json END, NULL"
        " FROM generate_series(1, 1200) AS n"
    )
    content = '{"z": 1.0, "a": [100000000000000000000, "\\u00e9\\ud83c\\udfad"], "at": "2026-01-01T00:00:00Z"}'
    await connection.execute(sa.text(row.replace(":json", f"'{content}'::jsonb").replace(":00", "\\:00")))
    await connection.commit()
    await connection.run_sync(to_revision("head"))
    await connection.commit()
    verification = await verify(connection.engine)
    assert (verification.entries, verification.findings) == (1200, [])
    times = [entry.at for entry in await stored(connection.engine)]
    assert times == sorted(times, key=datetime.fromisoformat)
    await write(connection.engine)
    assert await found(connection.engine) == []


async def test_the_chain_can_be_taken_off_and_put_on_again(first_release: AsyncConnection) -> None:
    connection = first_release
    for _ in range(2):
        await connection.run_sync(to_revision("head"))
        await connection.commit()
        await write(connection.engine, 2)
        assert await found(connection.engine) == []
        await connection.run_sync(to_revision("0001", down=True))
        await connection.commit()
    assert (await connection.execute(sa.text("SELECT count(*) FROM audit_log"))).scalar_one() == 4
