"""Moments as the engine, the database and readers write them: milliseconds since 1970, `datetime`, RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)  # turns of one call happen at one moment
def moment(ms: int) -> datetime:
    """Milliseconds since the epoch as an aware UTC datetime, exactly."""
    return EPOCH + timedelta(milliseconds=ms)


def milliseconds(time: datetime | None) -> int:
    """Milliseconds since the epoch; 0 for None, as the engine writes it."""
    return 0 if time is None else (time - EPOCH) // MILLISECOND


def rfc3339(ms: int) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    seconds, rest = divmod(ms, 1000)
    return f"{_to_the_second(seconds)}.{rest:03d}+00:00"


@lru_cache(maxsize=4096)  # a busy second has many milliseconds
def _to_the_second(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()[: len("2026-11-22T14:05:00")]
