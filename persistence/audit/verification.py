"""Is the audit log as it was written? Follows the chain and compares it with the heads that were exported from it.

Guarantees: whatever is damaged is named with the entries it concerns; one act of damage is one finding, because the
chain is followed on from what is stored; memory does not grow with the log. Only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from persistence.audit import chain
from persistence.audit.chain import ChainHead, StoredEntry, entry_hash
from persistence.database.tables import audit_log

MAX_FINDINGS = 1_000  # then it is clear that the log is not to be trusted
HEADS_AT_ONCE = 500
# By how many places a misplaced entry is looked for: a few where it follows the entry before it, many where it does
# not; the latter only so often, because it takes some milliseconds.
NEAR, FAR = 8, 1_000
FAR_SEARCHES = 100


class Kind(StrEnum):
    """What can be wrong. An entry's *place* is its number and the entry before it."""

    EDITED = "edited"  # the content does not fit the entry's hash; its place is right
    REHASHED = "rehashed"  # the hash fits the content, but is not the one that what follows was chained to
    MISPLACED = "misplaced"  # renumbered, swapped, or put in: neither place nor hash are right
    INSERTED = "inserted"  # a number that is taken, is no number, or lies beyond the head
    REMOVED = "removed"  # numbers are missing in between
    TRUNCATED = "truncated"  # numbers are missing at the end
    REWRITTEN = "rewritten"  # a chain that is whole, but not the one whose head was exported
    HEAD = "head"  # the head row is missing, or says something else of an empty log
    DAMAGED_EXPORT = "damaged_export"  # lines of the exported heads that this installation has not written
    UNFINISHED = "unfinished"  # there is more: looking stopped


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `first` and `last` are entry numbers; line numbers where lines are damaged."""

    kind: Kind
    first: int
    last: int
    entry_id: str | None  # of the first, where it is there
    detail: str

    @property
    def where(self) -> str:
        """What it concerns, in words."""
        if self.kind in (Kind.HEAD, Kind.UNFINISHED):
            return "the head" if self.kind is Kind.HEAD else f"after entry {self.first}"
        noun = "line" if self.kind is Kind.DAMAGED_EXPORT else "entry"
        if self.first != self.last:
            return f"{'lines' if noun == 'line' else 'entries'} {self.first}–{self.last}"
        return f"{noun} {self.first}" + (f" ({self.entry_id})" if self.entry_id else "")


class ExportedHead(Struct, frozen=True, kw_only=True):
    """A head that was exported, its signature checked."""

    line: int
    seq: int
    hash: bytes
    at: str  # when it was exported


class DamagedLine(Struct, frozen=True, kw_only=True):
    """A line of the exported heads that was not written with this installation's secret, or not so."""

    line: int


class Verification(Struct, frozen=True, kw_only=True):
    """What was looked at, and what is wrong with it."""

    entries: int
    head: ChainHead | None
    heads: int  # exported ones, compared
    findings: list[Finding]


async def verify(database: AsyncEngine, exported_heads: Iterable[ExportedHead | DamagedLine] = ()) -> Verification:
    """Looks at the whole log. `exported_heads` are in the order of their export, and may be read while this goes on."""
    walk = _Walk()
    async with database.connect() as connection:
        await chain.snapshot(connection)
        async for chunk in chain.chunks(connection):
            for entry in chunk:
                walk.see(entry)
            if walk.full:
                break
        head = await chain.read_head(connection)
    heads = 0
    if not walk.full:
        walk.end(head)
        # What is exported is committed, so every exported head is to be found from now on.
        async with database.connect() as connection:
            heads = await _compare(connection, walk, iter(exported_heads))
    return Verification(entries=walk.count, head=head, heads=heads, findings=walk.findings())


class _Run(Struct, kw_only=True):
    """A finding that may still grow: what is wrong in the same way with neighbours is one finding."""

    kind: Kind
    first: int
    last: int
    entry_id: str | None = None
    detail: str = ""
    shift: int = 0


class _Walk:
    """Follows the chain, entry by entry."""

    def __init__(self) -> None:
        self.count = 0
        self.seq = 0  # of the last entry seen
        self._id: str | None = None
        self._hash = chain.GENESIS  # as it is stored
        self._shift = 0  # the last entry's number when it was written, less the one it has now
        self._searches = FAR_SEARCHES
        self._runs: list[_Run] = []

    @property
    def full(self) -> bool:
        return len(self._runs) >= MAX_FINDINGS

    @property
    def written(self) -> int:
        """The last entry's number when it was written, as far as can be told."""
        return max(self.seq, self.seq + self._shift)

    def see(self, entry: StoredEntry) -> None:
        self.count += 1
        if entry.seq <= self.seq:
            self.report(Kind.INSERTED, entry.seq, entry.seq, entry.id, "its number is none, or was given twice")
            return
        gap = entry.seq > self.seq + 1
        if gap:
            self.report(Kind.REMOVED, self.seq + 1, entry.seq - 1, None, f"the log goes on with entry {entry.seq}")
        self._judge(entry, follows=gap or entry.previous_hash == self._hash, gap=gap)
        self.seq, self._id, self._hash = entry.seq, entry.id, entry.hash

    def _judge(self, entry: StoredEntry, *, follows: bool, gap: bool) -> None:
        """Says what is wrong with an entry, or with the one before it."""
        if _fits(entry):
            self._shift = 0
            if not follows and not self.names(self.seq):
                detail = f"its hash fits its content, but entry {entry.seq} was chained to another one"
                if self.seq == 0:
                    self.report(Kind.REHASHED, 1, 1, entry.id, "it is chained to an entry before it")
                else:
                    self.report(Kind.REHASHED, self.seq, self.seq, self._id, detail)
            return
        if not gap and not follows and _fits(entry, previous_hash=self._hash):
            self.report(Kind.EDITED, entry.seq, entry.seq, entry.id, "its previous_hash was changed")
            return
        shift = next((shift for shift in self._shifts(follows) if _fits(entry, seq=entry.seq + shift)), None)
        if shift is not None:
            self._shift = shift
            self.report(Kind.MISPLACED, entry.seq, entry.seq, entry.id, "", shift)
        elif follows or self.names(self.seq):
            self.report(Kind.EDITED, entry.seq, entry.seq, entry.id, "content and hash do not fit together")
        else:
            detail = "its content fits neither its hash nor the entry before it"
            self.report(Kind.MISPLACED, entry.seq, entry.seq, entry.id, detail)

    def _shifts(self, follows: bool) -> Iterator[int]:
        if self._shift:
            yield self._shift
        yield from (sign * distance for distance in range(1, NEAR + 1) for sign in (-1, 1))
        if not follows and self._searches:
            self._searches -= 1
            yield from (sign * distance for distance in range(NEAR + 1, FAR + 1) for sign in (-1, 1))

    def lost(self, seq: int) -> None:
        """An exported head shows that the log went on to this entry; says so of what has not been said already."""
        last = max((run.last for run in self._runs if run.kind is Kind.TRUNCATED), default=self.seq)
        detail = f"a head exported after entry {seq} shows that it was there"
        self.report(Kind.TRUNCATED, last + 1, seq, None, detail)

    def end(self, head: ChainHead | None) -> None:
        """Compares the log's end with the head row."""
        if head is None:
            self.report(Kind.HEAD, self.seq, self.seq, None, "the row of audit_head is missing")
        elif head.hash == self._hash and head.seq in (self.seq, self.seq + self._shift):
            return
        elif head.seq > self.seq:
            detail = f"the head row says that the log ends with entry {head.seq}"
            self.report(Kind.TRUNCATED, self.seq + 1, head.seq, None, detail)
        elif head.seq < self.seq:
            detail = f"the head row says that the log ends with entry {head.seq}: written past it, or it was set back"
            self.report(Kind.INSERTED, head.seq + 1, self.seq, None, detail)
        elif self.seq == 0:
            self.report(Kind.HEAD, 0, 0, None, "the log is empty, but the head row has a hash")
        elif not self.names(self.seq):
            detail = "its hash fits its content, but the head row has another one"
            self.report(Kind.REHASHED, self.seq, self.seq, self._id, detail)

    def names(self, seq: int) -> bool:
        """Whether something wrong has been said of this entry."""
        return any(run.first <= seq <= run.last and run.kind is not Kind.DAMAGED_EXPORT for run in reversed(self._runs))

    def report(self, kind: Kind, first: int, last: int, entry_id: str | None, detail: str, shift: int = 0) -> None:
        run = self._runs[-1] if self._runs else None
        if run is not None and (run.kind, run.shift, run.detail, run.last + 1) == (kind, shift, detail, first):
            run.last = last
        else:
            self._runs.append(_Run(kind=kind, first=first, last=last, entry_id=entry_id, detail=detail, shift=shift))

    def findings(self) -> list[Finding]:
        found = [
            Finding(kind=run.kind, first=run.first, last=run.last, entry_id=run.entry_id, detail=_told(run))
            for run in self._runs
        ]
        if self.full:
            detail = f"{MAX_FINDINGS} findings: the rest has not been looked at"
            found.append(Finding(kind=Kind.UNFINISHED, first=self.seq, last=self.seq, entry_id=None, detail=detail))
        return found


def _fits(entry: StoredEntry, *, seq: int | None = None, previous_hash: bytes | None = None) -> bool:
    try:
        return entry_hash(entry, seq=seq, previous_hash=previous_hash) == entry.hash
    except (ValueError, RecursionError):  # content that no program of ours has written
        return False


def _told(run: _Run) -> str:
    if not run.shift:
        return run.detail
    if run.first == run.last:
        return f"it was written as entry {run.first + run.shift}"
    return f"they were written as entries {run.first + run.shift}–{run.last + run.shift}"


async def _compare(connection: AsyncConnection, walk: _Walk, heads: Iterator[ExportedHead | DamagedLine]) -> int:
    """Compares exported heads with the log; returns how many there were."""
    compared = good = lost = 0
    rewritten = False
    while batch := list(islice(heads, HEADS_AT_ONCE)):
        numbers = {each.seq for each in batch if isinstance(each, ExportedHead)}
        query = sa.select(audit_log.c.seq, audit_log.c.hash).where(audit_log.c.seq.in_(numbers))
        stored = {row.seq: row.hash for row in await connection.execute(query)}
        for each in batch:
            if walk.full:
                return compared
            if isinstance(each, DamagedLine):
                detail = "forged, damaged, or signed with another secret"
                walk.report(Kind.DAMAGED_EXPORT, each.line, each.line, None, detail)
                continue
            compared += 1
            if stored.get(each.seq) == each.hash:
                good, rewritten = max(good, each.seq), False
            elif walk.names(each.seq):
                continue
            elif each.seq in stored:
                if not rewritten:  # every later head differs for the same reason
                    detail = f"the head exported at {each.at} (line {each.line}) has another hash for entry {each.seq}"
                    walk.report(Kind.REWRITTEN, min(good, each.seq - 1) + 1, each.seq, None, detail)
                rewritten = True
            elif each.seq > walk.written:
                lost = max(lost, each.seq)
    if lost:
        walk.lost(lost)
    return compared
