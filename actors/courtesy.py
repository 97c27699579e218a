"""Processes whose work can wait give way to those whose work cannot."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICENESS = 19  # the lowest priority there is
AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """From now on this process has what others leave of the machine.

    Linux may share the machine out among sessions first, and niceness then counts within a session only (sched(7), "The
    autogroup feature"). Whoever leads a session, as whatever the supervisor starts does, lowers that as well.
    """
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # not Linux, or no such feature
            AUTOGROUP.write_text(str(NICENESS))
