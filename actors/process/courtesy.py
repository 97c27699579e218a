"""Processes whose work can wait give way to those whose work cannot."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LOWEST = 19  # nice(2): what it has then is what others leave
AUTOGROUP = Path("/proc/self/autogroup")


def give_way(niceness: int = LOWEST) -> None:
    """From now on this process has less of the machine than others who want it; the nicer, the less.

    Linux may share the machine out among sessions first, and niceness then counts within a session only (sched(7), "The
    autogroup feature"). Whoever leads a session, as whatever the supervisor starts does, lowers that as well.
    """
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # not Linux, or no such feature
            AUTOGROUP.write_text(str(niceness))
