"""The audit log for whoever sits at the command line: checked, and written out. Only reads."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.keys import AUDIT_HEADS
from actors.process.settings import Settings
from actors.reconciliation.audit_heads import FILE_NAME, read_heads
from api.command_line.screen import NobodyReads
from persistence.audit import chain, verification
from persistence.audit.chain import ChainHead
from persistence.audit.verification import DamagedLine, ExportedHead, Verification
from persistence.database.away import is_away
from persistence.database.connection import create_engine, current_revision, head_revision


class AuditReportError(RuntimeError):
    """The log cannot be looked at; the message says why and what to do."""


async def verify(settings: Settings, heads: Path | None) -> tuple[Verification, list[str]]:
    """Looks at the whole log, and notes what could not be looked at. Raises `AuditReportError`."""
    path = heads or settings.data_path / FILE_NAME
    exported: Iterable[ExportedHead | DamagedLine] = ()
    notes = []
    if heads is None and not path.exists():
        notes.append(f"no exported heads at {path}: a chain that was made anew as a whole would not be noticed")
    else:
        try:
            path.open("rb").close()
        except OSError as error:
            raise AuditReportError(f"the exported heads cannot be read: {error}") from error
        exported = read_heads(path, _keys(settings, path))
    async with _database(settings) as database:
        return await verification.verify(database, exported), notes


async def export(settings: Settings, output: Path | None) -> int:
    """Writes all entries as lines of JSON, then `{"head": …}`; returns how many entries.

    Raises `AuditReportError` and `NobodyReads`.
    """
    count = 0
    async with _database(settings) as database:
        with nullcontext(sys.stdout.buffer) if output is None else _private(output) as file:
            async for each in chain.export(database):
                if isinstance(each, ChainHead):
                    head = {"seq": each.seq, "hash": each.hash.hex(), "at": each.at.isoformat(timespec="microseconds")}
                    _write(file, {"head": head})
                else:
                    _write(file, each)
                    count += 1
    return count


def _write(file: BinaryIO, entry: object) -> None:
    try:
        file.write(msgspec.json.encode(entry) + b"\n")
        file.flush()
    except BrokenPipeError as error:
        raise NobodyReads from error


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[AsyncEngine]:
    try:
        if await current_revision(settings.database) != head_revision():
            raise AuditReportError("the database is not of this version: run `boxoffice migrate` first")
        database = create_engine(settings.database, pool_size=1)
        try:
            yield database
        finally:
            await database.dispose()
    except Exception as error:
        if not is_away(error):
            raise
        raise AuditReportError(f"the database is away: {error}") from error


def _keys(settings: Settings, heads: Path) -> list[bytes]:
    if not settings.secret:
        raise AuditReportError(f"{heads} is signed: set BOXOFFICE_SECRET, or name the data directory that has it")
    return settings.keys_for(AUDIT_HEADS)


def _private(path: Path) -> BinaryIO:
    """The file to write, readable by its owner only: it tells who did what."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise AuditReportError(f"{path} cannot be written: {error.strerror}") from error
