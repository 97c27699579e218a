"""Exported heads: each is in the file once, whole and signed; what is wrong with file or log is noticed."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import SystemClock
from actors.process.keys import AUDIT_HEADS, derived
from actors.reconciliation import audit_heads
from actors.reconciliation.audit_heads import AuditHeads, read_heads
from persistence.audit.verification import DamagedLine, ExportedHead, Kind
from persistence.database.connection import create_engine
from tests.support.audit_log import found, sql, stored, write
from tests.support.waiting import PATIENCE_SECONDS, until

KEY, NEW_KEY = (derived(f"{name} secret of at least 32 characters", AUDIT_HEADS) for name in ("a", "another"))


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


class HeadsFile:
    """The file of exported heads, as somebody with an editor sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()

    @content.setter
    def content(self, content: bytes) -> None:
        self.path.write_bytes(content)

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    @property
    def is_there(self) -> bool:
        return self.path.exists()

    def make_directory(self) -> None:
        self.path.parent.mkdir()

    def heads(self, *keys: bytes) -> list[ExportedHead | DamagedLine]:
        return list(read_heads(self.path, keys or [KEY]))


@pytest.fixture
def file(tmp_path: Path) -> HeadsFile:
    return HeadsFile(tmp_path / audit_heads.FILE_NAME)


def exporter(engine: AsyncEngine, file: HeadsFile) -> AuditHeads:
    return AuditHeads(engine, file.path, [KEY], SystemClock())


async def test_a_head_is_exported_when_it_has_moved(engine: AsyncEngine, file: HeadsFile) -> None:
    heads = exporter(engine, file)
    assert not await heads.run_once(), "an empty log has nothing to vouch for"
    await write(engine, 2)
    assert await heads.run_once()
    assert not await heads.run_once()
    assert not await exporter(engine, file).run_once(), "nor after a restart"
    await write(engine)
    assert await exporter(engine, file).run_once()
    lines = file.heads()
    entries = await stored(engine)
    assert [(each.line, each.seq, each.hash) for each in lines if isinstance(each, ExportedHead)] == [
        (1, 2, entries[1].hash),
        (2, 3, entries[2].hash),
    ]
    assert file.mode == 0o600
    assert await found(engine, file.heads()) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"seq": 1, "hash": "zz", "at": "", "mac": ""}\n',
        b'{"seq": 1, "hash": "00", "at": "", "mac": "\xc3\xa9"}\n',
        b'{"seq": 99999999999999999999999, "hash": "00", "at": "", "mac": ""}\n',
    ],
)
async def test_a_line_that_is_not_ours_is_damaged(engine: AsyncEngine, file: HeadsFile, line: bytes) -> None:
    await write(engine)
    file.content = line
    assert await exporter(engine, file).run_once()
    assert await found(engine, file.heads()) == [(Kind.DAMAGED_EXPORT, 1, 1)]


@pytest.mark.parametrize("field", ["seq", "hash", "at", "mac"])
async def test_every_field_of_a_line_is_signed(engine: AsyncEngine, file: HeadsFile, field: str) -> None:
    await write(engine)
    await exporter(engine, file).run_once()
    line = json.loads(file.content)
    line[field] = line[field] + 1 if field == "seq" else line[field][::-1]
    file.content = json.dumps(line).encode() + b"\n"
    assert file.heads() == [DamagedLine(line=1)]
    assert file.heads(NEW_KEY) == [DamagedLine(line=1)]


async def test_heads_of_before_the_secret_was_replaced_count_for_ever(engine: AsyncEngine, file: HeadsFile) -> None:
    """Signed anew while the former secret is known, so that it can be forgotten then; damage is not mended by that."""
    await write(engine)
    await exporter(engine, file).run_once()
    file.content += file.content[:-3] + b'0"}\n'
    await write(engine)
    before = file.heads()
    assert await AuditHeads(engine, file.path, [NEW_KEY, KEY], SystemClock()).run_once()
    after = file.heads(NEW_KEY)
    assert after[:2] == before == [after[0], DamagedLine(line=2)]
    assert [type(each) for each in after] == [ExportedHead, DamagedLine, ExportedHead]
    assert await AuditHeads(engine, file.path, [NEW_KEY], SystemClock()).run_once() is False


@pytest.mark.parametrize("length", [3, 150, 5_000, 9_000])
async def test_a_line_that_a_power_cut_left_unfinished_is_cut_off(
    engine: AsyncEngine, file: HeadsFile, length: int
) -> None:
    await write(engine)
    await exporter(engine, file).run_once()
    whole = file.content
    file.content = whole + b"x" * length
    assert len(file.heads()) == 1
    await write(engine)
    await exporter(engine, file).run_once()
    assert file.content.startswith(whole + b'{"seq":2,')
    assert await found(engine, file.heads()) == []


@pytest.mark.parametrize("damage", ["DELETE FROM audit_head", "UPDATE audit_head SET seq = 1"])
async def test_a_log_that_was_set_back_is_reported_at_once(
    engine: AsyncEngine, file: HeadsFile, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    await write(engine, 3)
    heads = exporter(engine, file)
    await heads.run_once()
    await sql(engine, damage)
    with caplog.at_level(logging.CRITICAL):
        await heads.run_once()
    assert "audit log" in caplog.text


async def test_exporting_goes_on_after_trouble_and_ends_when_told(
    engine: AsyncEngine, file: HeadsFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_heads, "INTERVAL_SECONDS", 0.01)
    await write(engine)
    file = HeadsFile(file.path.parent / "not there yet" / file.path.name)
    heads = exporter(engine, file)
    stop = asyncio.Event()
    running = asyncio.create_task(heads.run(stop))
    await until(lambda: "cannot be written" in caplog.text)
    file.make_directory()
    await until(lambda: file.is_there)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_SECONDS)
    assert len(file.heads()) == 1
