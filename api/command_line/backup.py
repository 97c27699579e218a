"""`boxoffice backup` and `boxoffice restore`: the database in one file, and again from it.

A backup is one moment of the whole, taken while it sells. What the embedded PostgreSQL brings along does it
(`pg_dump`, `pg_restore`), for a database elsewhere, too, whose version is not later than that.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

from actors.process.settings import Settings
from persistence.database.dsn import asyncpg_dsn
from persistence.database.pools import FAILURES
from persistence.embedded.instance import AlreadyRunningError, locked, remove_run_directory
from persistence.embedded.postgres import installation, postgres
from persistence.embedded.process import ProcessError, child_environment, running

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
# Roles and their rights are not the database's but the server's; `up` gives them anew.
PLAIN = ("--no-owner", "--no-privileges")


class BackupError(RuntimeError):
    """There is no backup, or nothing was restored; the message says why and what to do."""


def back_up(settings: Settings, file: Path) -> int:
    """Writes the database as it is now to `file`; returns how many bytes that takes. Raises `BackupError`.

    A file that is there stays whole until the new one is. Of two who write the same file the second is refused: they
    would write into one another's.
    """
    if file.exists() and not file.is_file():  # a device, above all: the new file would take its place
        raise BackupError(f"{file} cannot be written: it is no file")
    part = file.with_name(f"{file.name}.part")
    try:
        with _alone(part) as written:
            try:
                asyncio.run(_run(settings.database, "pg_dump", "--format=custom", *PLAIN, f"--file={part}"))
                os.fsync(written)
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
        return file.stat().st_size
    except BlockingIOError as error:
        raise BackupError(f"another backup is being written to {part}") from error
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror}") from error


@contextmanager
def _alone(part: Path) -> Iterator[int]:
    """The file, open, for us alone to write and its owner alone to read: names, e-mails and password hashes go into it.
    What somebody left there is written over."""
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the descriptor
        os.fchmod(descriptor, 0o600)
        yield descriptor
    finally:
        os.close(descriptor)


def restore(settings: Settings, file: Path) -> None:
    """Makes the database from `file`, all or nothing of it, where there is none yet. Raises `BackupError`."""
    if not file.is_file():
        raise BackupError(f"there is no file {file}")
    try:
        asyncio.run(_restore(settings, file))
    except (AlreadyRunningError, ProcessError, *FAILURES) as error:
        raise BackupError(str(error)) from error


async def _restore(settings: Settings, file: Path) -> None:
    try:
        await _ended("pg_restore", "--file=-", str(file))  # reads all of it, before anything is made for it
    except BackupError as error:
        raise BackupError(f"{file} is not, or not all of, what `boxoffice backup` writes: {error}") from error
    async with _database(settings) as url:
        connection = await asyncpg.connect(asyncpg_dsn(url), timeout=5)
        try:
            tables = await connection.fetchval(TABLES)
        finally:
            await connection.close()
        if tables:
            raise BackupError("the database is not empty: restore into a new one, or with another --data-dir")
        await _run(url, "pg_restore", *PLAIN, "--single-transaction", "--exit-on-error", str(file))


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    """The database elsewhere, or the embedded one, which runs for the time of the block."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    with locked(settings.data_path):
        try:
            server = postgres(settings.data_path)
            async with running(server):
                yield server.address
        finally:
            remove_run_directory(settings.data_path)


async def _run(url: str, name: str, *arguments: str) -> None:
    """Runs one of them on a database. The password is not for everybody to see who lists processes."""
    url = asyncpg_dsn(url)
    password = unquote(urlsplit(url).password or "")
    if password:
        parts = urlsplit(url)
        user, _, place = parts.netloc.rpartition("@")
        url = parts._replace(netloc=f"{user.partition(':')[0]}@{place}").geturl()
    secret = {"PGPASSWORD": password} if password else {}
    await _ended(name, *arguments, f"--dbname={url}", **secret)


async def _ended(name: str, *arguments: str, **environment: str) -> None:
    """Runs one of PostgreSQL's programs to its end. Raises `BackupError` with what it says."""
    process = await asyncio.create_subprocess_exec(
        str(installation() / "bin" / name),
        *arguments,
        env=child_environment(os.environ, **environment),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise BackupError(f"{name} failed: {said.decode(errors='replace').strip()}")
