"""What a look at one thing has found: a row of `boxoffice doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What a check found; only `WRONG` makes `doctor` fail."""

    FINE = "fine"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: what was looked at, what was seen, and what to do (empty when there is nothing to do)."""

    name: str
    state: State
    seen: str
    advice: str = ""
