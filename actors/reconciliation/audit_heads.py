"""Takes the audit log's head out of the database, so that a chain made anew after a change can be told from the first.

Every minute in which the log has grown adds a line to a file of its own: the last entry's number and hash, signed with
a key derived from the installation's secret. Each head vouches for everything before it, so only the newest one counts;
the same goes into the log of the process, which is often shipped elsewhere. Whoever can change the database, but not
this file or the secret, leaves traces; keep copies of the file where even this machine cannot change them.

A line is in the file whole or not at all: what a power cut left unfinished is cut off before the next one is written.
After restoring an older database on purpose, put the file away: it says, rightly, that entries are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import hmac
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import Clock
from actors.process.keys import AUDIT_HEADS
from actors.process.rounds import every
from actors.process.settings import Settings
from persistence.audit.chain import GENESIS, ChainHead, read_head
from persistence.audit.verification import DamagedLine, ExportedHead
from persistence.database.moments import rfc3339

logger = logging.getLogger(__name__)

T = TypeVar("T")
FILE_NAME = "audit-heads.jsonl"  # in the data directory
INTERVAL_SECONDS = 60.0  # a change undone within that time leaves no trace outside of the database


class _Line(Struct, frozen=True, kw_only=True):
    """One line of the file."""

    seq: int
    hash: str  # hex
    at: str  # when it was exported, RFC 3339
    mac: str  # HMAC-SHA256 of "seq.hash.at", hex


_decode = msgspec.json.Decoder(_Line).decode


def heads_of(settings: Settings) -> tuple[Path, list[bytes]]:
    """The file of a process with these settings, and the keys of its signatures."""
    return settings.data_path / FILE_NAME, settings.keys_for(AUDIT_HEADS)


def read_heads(path: Path, keys: Sequence[bytes]) -> Iterator[ExportedHead | DamagedLine]:
    """The exported heads, line by line. Raises `OSError` for a file that cannot be read.

    A last line that is not finished is left out: it is being written, or was when the power failed.
    """
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if text.endswith(b"\n"):
                yield _read(number, text, keys)


def _read(number: int, text: bytes, keys: Sequence[bytes]) -> ExportedHead | DamagedLine:
    try:
        line = _decode(text)
        hashed = bytes.fromhex(line.hash)
    except ValueError:  # msgspec's errors are of this kind
        return DamagedLine(line=number)
    if not any(_is_signed(line, key) for key in keys):
        return DamagedLine(line=number)
    return ExportedHead(line=number, seq=line.seq, hash=hashed, at=line.at)


def _is_signed(line: _Line, key: bytes) -> bool:
    return hmac.compare_digest(_mac(key, line.seq, line.hash, line.at).encode(), line.mac.encode())


def _mac(key: bytes, seq: int, hashed: str, at: str) -> str:
    return hmac.digest(key, f"{seq}.{hashed}.{at}".encode(), hashlib.sha256).hex()


class FileTrouble(Exception):
    """The file of exported heads cannot be read or written."""


async def _on_disk(work: Callable[..., T], *arguments: object) -> T:
    """Done in a thread. Its trouble is the file's, which is not to be taken for the database's: both raise OSError."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as error:
        raise FileTrouble(str(error)) from error


class AuditHeads:
    """Exports the head of the audit log to one file. May be stopped at any line; several at once do no harm.

    The first key signs. What the others have signed is signed anew, so that it still counts when they are gone.
    """

    def __init__(self, database: AsyncEngine, path: Path, keys: Sequence[bytes], clock: Clock) -> None:
        self._database = database
        self._path = path
        self._keys = keys
        self._clock = clock
        self._last: tuple[int, bytes] | None = None  # exported; None: not looked yet

    async def run(self, stop: asyncio.Event) -> None:
        """Exports at once and then every minute until `stop` is set. Trouble with database or disk is put off."""
        await every(INTERVAL_SECONDS, stop, self._export, "the export of the audit log's head")

    async def _export(self) -> None:
        try:
            await self.run_once()
        except FileTrouble as error:
            logger.error("audit head not exported, the file cannot be written: %s", error)

    async def run_once(self) -> bool:
        """Exports the head if it isn't the one exported last; whether it was exported."""
        if self._last is None:
            self._last = await _on_disk(self._last_exported)
        async with self._database.connect() as connection:
            head = await read_head(connection)
        if head is None:
            logger.critical("audit log: the row of audit_head is missing")
            return False
        if (head.seq, head.hash) == self._last:
            return False
        if head.seq <= self._last[0]:
            logger.critical("audit log: entry %s was its last, now it ends with entry %s", self._last[0], head.seq)
        await _on_disk(self._append, head)
        self._last = (head.seq, head.hash)
        logger.info("audit log: exported head %s %s", head.seq, head.hash.hex())
        return True

    def _last_exported(self) -> tuple[int, bytes]:
        """The newest head in the file; that of an empty log, which is not exported, if there is none."""
        last = (0, GENESIS)
        with contextlib.suppress(FileNotFoundError):
            self._sign_anew()
            for each in read_heads(self._path, self._keys):
                if isinstance(each, ExportedHead):
                    last = (each.seq, each.hash)
        return last

    def _sign_anew(self) -> None:
        """In place: a signature is as long as another."""
        with self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # goes with the descriptor
            start = 0
            for text in file.read().splitlines(keepends=True):
                with contextlib.suppress(ValueError):  # damaged, and stays so
                    line = _decode(text)
                    if text.endswith(b"\n") and any(_is_signed(line, key) for key in self._keys[1:]):
                        renewed = replace(line, mac=_mac(self._keys[0], line.seq, line.hash, line.at))
                        os.pwrite(file.fileno(), msgspec.json.encode(renewed) + b"\n", start)
                start += len(text)
            os.fsync(file.fileno())

    def _append(self, head: ChainHead) -> None:
        hashed, at = head.hash.hex(), rfc3339(self._clock.now_ms())
        line = _Line(seq=head.seq, hash=hashed, at=at, mac=_mac(self._keys[0], head.seq, hashed, at))
        text = msgspec.json.encode(line) + b"\n"
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # goes with the descriptor
            _cut_unfinished(descriptor)
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, "no space for a whole line", str(self._path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_directory(self._path.parent)


def _cut_unfinished(descriptor: int) -> None:
    """Cuts off what follows the last line break: a line that was not written to its end."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 4096)
        position = os.pread(descriptor, end - start, start).rfind(b"\n")
        if position >= 0:
            end = start + position + 1
            break
        end = start
    if end < size:
        logger.warning("audit heads: cut off a line that was not written to its end")
        os.ftruncate(descriptor, end)


def _sync_directory(path: Path) -> None:
    """The file's name must outlive a power cut, too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
