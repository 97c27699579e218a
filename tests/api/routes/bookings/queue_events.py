"""Server-Sent Events read whole."""

from __future__ import annotations

from typing import Any

import msgspec


def events_of(frames: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Each event's name and what it says; comments are left out."""
    parts = [part.splitlines() for part in frames.decode().split("\n\n")]
    return [
        (lines[0].removeprefix("event: "), msgspec.json.decode(lines[1].removeprefix("data: ")))
        for lines in parts
        if len(lines) == 2
    ]
