"""Shows whoever keeps this process that its event loop comes round: a count, in a file that both have before them.

A process that is paused, or stuck within one turn of its loop, looks from outside like one that has nothing to do. The
count is shared memory: nothing that a disk may refuse stands between the loop and whoever looks.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from pathlib import Path

PULSE_FILE_VARIABLE = "BOXOFFICE_PULSE_FILE"  # one byte, made by whoever has started us
PULSE_SECONDS = 1.0
NEVER = 0  # what the count is before the first beat, and never again


def begin() -> None:
    """Counts from now on, for as long as the running loop comes round; where nobody wants to see it, not at all."""
    name = os.environ.get(PULSE_FILE_VARIABLE)
    if name is None:
        return
    with Path(name).open("r+b") as file:
        _beat(asyncio.get_running_loop(), mmap.mmap(file.fileno(), 1))


def _beat(loop: asyncio.AbstractEventLoop, count: mmap.mmap) -> None:
    count[0] = count[0] % 255 + 1
    loop.call_later(PULSE_SECONDS, _beat, loop, count)
