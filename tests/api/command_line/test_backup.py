"""What a backup does to files, whatever PostgreSQL says. Whether it can be restored: `tests/e2e/test_backup.py`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from pathlib import Path
from typing import cast

import pytest

from actors.process.settings import Settings
from api.command_line import backup
from api.command_line.backup import (
    FIRST_LINES,
    UNKNOWN_BEFORE_17,
    BackupError,
    _ended,
    _hand_over,
    _load,
    back_up,
    restore,
)
from persistence.database.connection import current_revision, head_revision
from tests.conftest import made_database
from tests.support.services.databases import execute

SETTINGS = Settings(database_url="postgresql://localhost/house")


@pytest.fixture(autouse=True)
def dumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump, which truncates what it is to write, and writes."""

    async def dump(url: str, name: str, *arguments: str) -> None:
        (path,) = (each.removeprefix("--file=") for each in arguments if each.startswith("--file="))
        write(path)

    def write(path: str) -> None:
        if "broken" in path:
            raise BackupError("pg_dump failed")
        Path(path).write_bytes(b"the house")

    monkeypatch.setattr(backup, "_run", dump)


def test_a_backup_is_its_owner_s_alone_whatever_was_left_there(tmp_path: Path) -> None:
    file, left = tmp_path / "house.backup", tmp_path / "house.backup.part"
    left.write_bytes(b"a longer one that was broken off")
    left.chmod(0o666)
    assert back_up(SETTINGS, file) == len(b"the house")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"the house", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_of_two_who_write_the_same_file_the_second_is_refused(tmp_path: Path) -> None:
    file, part = tmp_path / "house.backup", tmp_path / "house.backup.part"
    with part.open("wb") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        first.write(b"half of")
        first.flush()
        with pytest.raises(BackupError, match="another backup is being written"):
            back_up(SETTINGS, file)
    assert part.read_bytes() == b"half of"
    assert not file.exists()


def test_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # for root /dev/null would be the same
    for place in (pipe, tmp_path):
        with pytest.raises(BackupError, match="it is no file"):
            back_up(SETTINGS, place)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_one_that_fails_leaves_the_last_one_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "broken.backup"
    file.write_bytes(b"yesterday's")
    with pytest.raises(BackupError, match="pg_dump failed"):
        back_up(SETTINGS, file)
    assert file.read_bytes() == b"yesterday's"
    assert list(tmp_path.iterdir()) == [file]


def test_no_link_leads_it_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    (tmp_path / "house.backup.part").symlink_to(elsewhere)
    with pytest.raises(BackupError, match="cannot be written"):
        back_up(SETTINGS, tmp_path / "house.backup")
    assert elsewhere.read_bytes() == b"somebody's"


@pytest.mark.parametrize("content", [b"", b"hello", b"PGDMP\x01\x0f", b"--\n-- PostgreSQL database dump\n--\n"])
def test_what_is_no_backup_is_told_and_nothing_made_for_it(content: bytes, tmp_path: Path) -> None:
    file, house = tmp_path / "foreign.backup", tmp_path / "house"
    file.write_bytes(content)
    with pytest.raises(BackupError, match=r"foreign\.backup is not, or not all of, what `boxoffice backup` writes"):
        restore(Settings(data_dir=str(house)), file)
    assert not house.exists()


# --- restoring --------------------------------------------------------------------------------------------------------
class Written:
    """What psql is given."""

    def __init__(self) -> None:
        self.text = b""

    def write(self, text: bytes) -> None:
        self.text += text

    async def drain(self) -> None:
        pass


@pytest.mark.parametrize("rows", [0, 1, 100_000])
async def test_what_older_servers_do_not_know_is_left_out_and_no_row_that_reads_so(rows: int) -> None:
    head, data = b"SET lock_timeout = 0;\n", UNKNOWN_BEFORE_17 * rows
    before = b"--\n" * (FIRST_LINES - 2)
    script, written = asyncio.StreamReader(), Written()
    script.feed_data(head + UNKNOWN_BEFORE_17 + before + data)
    script.feed_eof()
    await _hand_over(script, cast(asyncio.StreamWriter, written))
    assert written.text == head + before + data


async def test_a_backup_is_loaded_as_a_whole_or_not_at_all(
    database_url: str, postgres_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "house.backup"
    await _ended("pg_dump", "--format=custom", f"--file={file}", f"--dbname={database_url}")
    async with made_database(postgres_url) as empty:
        await execute(empty, "CREATE TABLE venues ()")  # in the way of one of the last
        with pytest.raises(BackupError, match=r'psql failed: .*"venues" already exists'):
            await _load(empty, file)
        await execute(empty, "DROP TABLE venues")
        assert await current_revision(empty) is None, "what came before it is there"
        await _load(empty, file)
        assert await current_revision(empty) == head_revision()
        with pytest.raises(BackupError, match="pg_restore failed"):
            await _load(empty, tmp_path / "no such file")
