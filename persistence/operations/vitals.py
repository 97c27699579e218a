"""What the processes of a sale say of themselves, once a second (`board.py` has where they say it)."""

from __future__ import annotations

from msgspec import Struct


class OwnerVitals(Struct, frozen=True, kw_only=True):
    """A schedule that is open: how far it is, what waits for its commit, and how long commits take."""

    schedule_id: str
    version: int  # durable
    unpublished: int  # events that are durable and not on Kafka yet
    unsaved: int  # events since the newest snapshot: those that a recovery replays
    waiting: int  # steps that are not durable yet
    held: int  # places
    sold: int
    commit_ms: float | None  # the median of its last commits; None: there was none


class ProcessVitals(Struct, frozen=True, kw_only=True, tag="owners"):
    """A process of owners: what happened in the last seconds, and those of its schedules that were used last."""

    name: str
    pid: int
    at_ms: int
    open: int
    commits: float  # a second, as all that follow
    events: float
    held: float  # bookings
    sold: float
    ended: float  # cancelled, expired or given back
    commit_ms: float | None  # the median and the slowest of a hundred; None: there was none
    slow_commit_ms: float | None
    owners: list[OwnerVitals]
    unpublished: int = 0  # events of all its schedules that are durable and not on Kafka yet
    unsaved: int = 0  # the most of any, as of one schedule
    failing_snapshots: int = 0  # schedules of which the last one could not be saved


class WorkerVitals(Struct, frozen=True, kw_only=True, tag="worker"):
    """An API worker: the requests that wait in it for owners, in all and by schedule."""

    name: str
    pid: int
    at_ms: int
    unanswered: int
    waiting: dict[str, int]


Vitals = ProcessVitals | WorkerVitals
