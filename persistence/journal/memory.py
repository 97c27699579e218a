"""The in-memory twin of the journal, for tests and simulation. Held to the same contract as the one on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.booking import Booking
from engine.events import Opened, Record, decode_event, encode_event
from engine.seating_plan import SeatingPlan
from persistence.journal.journal import (
    Batch,
    BatchRefused,
    Claim,
    Commit,
    Deposed,
    Elsewhere,
    JournalUnavailable,
    UnknownSchedule,
)


@dataclass(slots=True)
class _Stored:
    plan: SeatingPlan
    epoch: int = 0
    host: str | None = None
    published_seq: int = 0
    next_deadline_ms: int | None = None
    records: list[tuple[int, bytes, str, str]] = field(default_factory=list)  # at_ms, payload, request id, fingerprint
    snapshots: dict[int, bytes] = field(default_factory=dict)
    bookings: dict[str, Booking] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        return len(self.records)


class MemoryJournal:
    """`Journal` in a dictionary. `fail_next` makes the coming calls fail, with or without effect.

    `host` is the process whose schedules it claims; without one it claims any.
    """

    def __init__(self, *, host: str | None = None) -> None:
        self.schedules: dict[str, _Stored] = {}
        self.host = host
        # Each entry spoils one append: True after it took effect (the answer got lost), False before.
        self.fail_next: list[bool] = []
        self.refused: set[str] = set()  # ids of requests whose records the database will not have

    def open_schedule(self, schedule_id: str, plan: SeatingPlan, at_ms: int, event: Opened) -> None:
        """Registers a schedule with its first record."""
        stored = self.schedules[schedule_id] = _Stored(plan)
        stored.records.append((at_ms, encode_event(event), "", ""))

    async def plan(self, schedule_id: str) -> SeatingPlan:
        return self._stored(schedule_id).plan

    async def claim(self, schedule_id: str) -> Claim:
        stored = self._stored(schedule_id)
        if self.host is not None and self.host != stored.host:
            raise Elsewhere(schedule_id)
        stored.epoch += 1
        snapshot_seq = max(stored.snapshots, default=0)
        return Claim(schedule_id, stored.epoch, stored.seq, stored.published_seq, snapshot_seq)

    async def append(self, claim: Claim, plan: SeatingPlan, batch: Batch) -> None:
        stored = self._owned(claim)
        if stored.seq != batch.steps[0].record.seq - 1:
            raise Deposed(claim.schedule_id)
        if self._refuses(batch):
            raise BatchRefused("as the test wants it")
        spoiled = self.fail_next.pop(0) if self.fail_next else None
        if spoiled is False:
            raise JournalUnavailable("spoiled before it took effect")
        self._write(stored, batch)
        if spoiled:
            raise JournalUnavailable("the answer got lost")

    async def append_together(self, commits: Sequence[Commit]) -> list[bool]:
        spoiled = self.fail_next.pop(0) if self.fail_next else None
        if spoiled is False:
            raise JournalUnavailable("spoiled before it took effect")
        if any(self._refuses(commit.batch) for commit in commits):
            return [False] * len(commits)
        durable = []
        for commit in commits:
            stored = self._stored(commit.claim.schedule_id)
            fits = (stored.epoch, stored.seq + 1) == (commit.claim.epoch, commit.batch.steps[0].record.seq)
            durable.append(fits)
            if fits:
                self._write(stored, commit.batch)
        if spoiled:
            raise JournalUnavailable("the answer got lost")
        return durable

    def _refuses(self, batch: Batch) -> bool:
        return any(step.record.request_id in self.refused for step in batch.steps)

    @staticmethod
    def _write(stored: _Stored, batch: Batch) -> None:
        for step in batch.steps:
            record = step.record
            stored.records.append((record.at_ms, encode_event(record.event), record.request_id, record.fingerprint))
            if step.booking is not None:
                stored.bookings[step.booking.id] = step.booking
        stored.next_deadline_ms = batch.next_deadline_ms
        stored.published_seq = max(stored.published_seq, batch.published_seq)

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        rows = self._stored(schedule_id).records[after_seq : after_seq + limit]
        return [
            Record(after_seq + number, at_ms, decode_event(payload), request_id, fingerprint)
            for number, (at_ms, payload, request_id, fingerprint) in enumerate(rows, start=1)
        ]

    async def snapshot(self, schedule_id: str, at_most: int) -> tuple[int, bytes] | None:
        snapshots = self._stored(schedule_id).snapshots
        seq = max((seq for seq in snapshots if seq <= at_most), default=None)
        return None if seq is None else (seq, snapshots[seq])

    async def save_snapshot(self, claim: Claim, seq: int, payload: bytes) -> None:
        stored = self._owned(claim)
        if seq > stored.seq:
            raise Deposed(claim.schedule_id)
        needed = max((each for each in (*stored.snapshots, seq) if each <= stored.published_seq), default=0)
        stored.snapshots[seq] = payload
        stored.snapshots = {each: data for each, data in stored.snapshots.items() if each in (seq, needed)}

    async def save_published(self, claim: Claim, seq: int) -> None:
        stored = self._owned(claim)
        stored.published_seq = max(stored.published_seq, seq)

    def _stored(self, schedule_id: str) -> _Stored:
        try:
            return self.schedules[schedule_id]
        except KeyError:
            raise UnknownSchedule(schedule_id) from None

    def _owned(self, claim: Claim) -> _Stored:
        stored = self._stored(claim.schedule_id)
        if stored.epoch != claim.epoch:
            raise Deposed(claim.schedule_id)
        return stored
