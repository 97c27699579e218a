"""What came of a run, as Locust's master hands it to whoever judges it: a JSON file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from loadtest.scenarios.notes import Acknowledged

REFUSED = ": "  # between a kind of request and the code it was refused with
BUSY = ": overloaded"  # asked again, with the same key, after as long as the answer said
UNCHANGED = ": unchanged"  # 304
PENDING = ": pending"  # 202


class Row(Struct, frozen=True, kw_only=True):
    """All requests of one kind that were answered alike. Times in milliseconds.

    Without a method it is something that was found out from other answers.
    """

    kind: str
    method: str
    count: int
    failures: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Failure(Struct, frozen=True):
    """An answer nobody expects."""

    kind: str
    message: str
    times: int


class Outcome(Struct, frozen=True, kw_only=True):
    """A run that came to its end."""

    scenario: str
    url: str
    schedule_id: str
    users: int  # the most there were at once
    seconds: float
    rows: list[Row]
    failures: list[Failure]
    crashes: list[str]  # mistakes of the scenario's own
    unfinished: int  # users who were still busy when the time to finish was over
    answers: dict[str, int]
    promises: list[Acknowledged]

    @property
    def requests(self) -> int:
        return sum(row.count for row in self.rows if row.method)

    def shares(self) -> dict[str, tuple[int, int]]:
        """Kind of request → how many were refused as expected, of how many that were decided."""
        decided: dict[str, list[int]] = {}
        for row in self.rows:
            if row.kind.endswith((BUSY, UNCHANGED)):
                continue
            kind, refused, _ = row.kind.partition(REFUSED)
            counts = decided.setdefault(kind, [0, 0])
            counts[0] += row.count if refused and not row.kind.endswith(PENDING) else 0
            counts[1] += row.count
        return {kind: (refused, every) for kind, (refused, every) in decided.items() if refused}

    def overloaded(self) -> int:
        """How often the server asked to come back later."""
        return sum(row.count for row in self.rows if row.kind.endswith(BUSY))


def write(outcome: Outcome, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))


def read(path: Path) -> Outcome:
    """Raises `OSError` or `msgspec.DecodeError`."""
    return msgspec.json.decode(path.read_bytes(), type=Outcome)
