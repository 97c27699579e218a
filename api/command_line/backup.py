"""`boxoffice backup` and `boxoffice restore`: the database in one file, and again from it.

A backup is one moment of the whole, taken while it sells. What the embedded PostgreSQL brings along does it
(`pg_dump`, `pg_restore`, `psql`), for a database elsewhere, too, whose version is not later than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import asyncpg

from actors.process.settings import Settings
from persistence.database.away import FAILURES
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.instance import AlreadyRunningError, locked, remove_run_directory
from persistence.embedded.postgres import installation, postgres
from persistence.embedded.process import ProcessError, child_environment, running

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
# Roles and their rights are not the database's but the server's; `up` gives them anew.
PLAIN = ("--no-owner", "--no-privileges")
UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"
FIRST_LINES = 30  # among which it stands; what follows them is data, too, and goes as it is
CHUNK_BYTES = 2**18
NOTHING: Mapping[str, str] = MappingProxyType({})


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
        await _load(url, file)


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


async def _load(url: str, file: Path) -> None:
    """Has `psql` do what is in the backup, in one transaction. What pg_restore does by itself begins with a setting
    that no server before version 17 knows."""
    place, secret = _reached(url)
    reading = await _started("pg_restore", *PLAIN, "--file=-", str(file), stdout=PIPE)
    once = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-")
    doing = await _started("psql", *once, f"--dbname={place}", stdin=PIPE, environment=secret)
    saying = asyncio.gather(_said_by(reading), _said_by(doing))
    assert reading.stdout is not None
    assert doing.stdin is not None
    try:
        await _hand_over(reading.stdout, doing.stdin)
        if await reading.wait() == 0:
            doing.stdin.close()  # that was all of it, and may be committed
            await doing.wait()
    except ConnectionError:  # psql has ended, and says why
        pass
    finally:
        for each in (reading, doing):
            with contextlib.suppress(ProcessLookupError):
                each.kill()
    await reading.stdout.read()  # until that is closed, too, nobody is told that it has ended
    read, done = await saying
    if (await reading.wait(), await doing.wait()) != (0, 0):
        raise BackupError(f"psql failed: {done}" if done else f"pg_restore failed: {read}")


async def _hand_over(script: StreamReader, to: StreamWriter) -> None:
    """All of it, but for the setting that older servers do not know."""
    for _ in range(FIRST_LINES):
        line = await script.readline()
        if line != UNKNOWN_BEFORE_17:
            to.write(line)
    while text := await script.read(CHUNK_BYTES):
        to.write(text)
        await to.drain()


async def _run(url: str, name: str, *arguments: str) -> None:
    """Runs one of them on a database."""
    place, secret = _reached(url)
    await _ended(name, *arguments, f"--dbname={place}", environment=secret)


def _reached(url: str) -> tuple[str, dict[str, str]]:
    """How a database is named to them, and what their environment adds: the password is not for everybody to see who
    lists processes."""
    url = asyncpg_dsn(url)
    password = unquote(urlsplit(url).password or "")
    if not password:
        return url, {}
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}@{place}").geturl(), {"PGPASSWORD": password}


async def _ended(name: str, *arguments: str, environment: Mapping[str, str] = NOTHING) -> None:
    """Runs one of PostgreSQL's programs to its end. Raises `BackupError` with what it says."""
    process = await _started(name, *arguments, environment=environment)
    said = await _said_by(process)
    if await process.wait() != 0:
        raise BackupError(f"{name} failed: {said}")


async def _started(
    name: str,
    *arguments: str,
    stdin: int = DEVNULL,
    stdout: int = DEVNULL,
    environment: Mapping[str, str] = NOTHING,
) -> Process:
    """Starts one of PostgreSQL's programs, whose standard error is to be read."""
    return await asyncio.create_subprocess_exec(
        str(installation() / "bin" / name),
        *arguments,
        env=child_environment(os.environ, **environment),
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
    )


async def _said_by(process: Process) -> str:
    """All that it says on standard error until it ends."""
    assert process.stderr is not None
    return (await process.stderr.read()).decode(errors="replace").strip()
