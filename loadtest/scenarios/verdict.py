"""Thresholds: what a run must have been like to count as well. Pure; the auditor's checks come beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from loadtest.scenarios.outcome import BUSY, Outcome

SLOW = "(slow card)"
SLOW_MS = 3_000  # how long the sandbox thinks about `tok_slow`


class Threshold(Struct, frozen=True):
    """One limit, and whether the run kept to it."""

    name: str
    limit: str
    found: str
    holds: bool


class Limits(Struct, frozen=True, kw_only=True):
    """What is asked of a run."""

    p95_ms: int
    p95_of: Mapping[str, int] = {}  # for single kinds of requests
    requests: int  # at least so many in all
    must: tuple[str, ...]  # each of these kinds at least once

    def ceiling_ms(self, kind: str) -> int:
        return self.p95_of.get(kind, self.p95_ms) + (SLOW_MS if SLOW in kind else 0)


def judge(outcome: Outcome, limits: Limits) -> list[Threshold]:
    """Every threshold, the kept ones too."""
    wrong = sum(failure.times for failure in outcome.failures)
    had: Counter[str] = Counter()
    for row in outcome.rows:
        had[row.kind] += row.count - row.failures
    missing = [kind for kind in limits.must if not had[kind]]
    # What was put off says nothing about how long an answer takes: it was asked again, and that was measured.
    answered = [row for row in outcome.rows if not row.kind.endswith(BUSY)]
    slow = [f"{row.kind} {row.p95_ms:.0f} ms" for row in answered if row.p95_ms > limits.ceiling_ms(row.kind)]
    slowest = max(answered, key=lambda row: row.p95_ms, default=None)
    worst = "nothing" if slowest is None else f"{slowest.p95_ms:.0f} ms at most ({slowest.kind})"
    unknown = [kind for kind in limits.p95_of if kind not in had]
    return [
        Threshold("unexpected answers", "0", str(wrong), not wrong),
        Threshold("mistakes of the crowd's own", "0", str(len(outcome.crashes)), not outcome.crashes),
        Threshold("users cut off in the middle", "0", str(outcome.unfinished), not outcome.unfinished),
        Threshold(
            "requests", f"at least {limits.requests}", str(outcome.requests), outcome.requests >= limits.requests
        ),
        Threshold("kinds of answers that must come", "all", _all_but(missing), not missing),
        Threshold("95th percentile", _ceilings(limits), ", ".join(slow) or worst, not slow),
        *([Threshold("kinds with a ceiling of their own", "made", _all_but(unknown), False)] if unknown else []),
    ]


def _all_but(missing: list[str]) -> str:
    return f"not: {', '.join(missing)}" if missing else "all"


def _ceilings(limits: Limits) -> str:
    own = [f"{kind} {ms} ms" for kind, ms in limits.p95_of.items()]
    return ", ".join([f"at most {limits.p95_ms} ms", *own])
