"""The one place where time and ids come from; everything else is handed a `Clock`."""

from __future__ import annotations

import time
from typing import Protocol

from uuid_utils import uuid7


class Clock(Protocol):
    """A source of wall-clock time and of ids."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""

    def new_id(self) -> str:
        """A fresh UUIDv7 (RFC 9562), as text: sorts by the time it was made."""


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def new_id(self) -> str:
        return str(uuid7())
