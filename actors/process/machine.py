"""What the machine has that we may use: its cores and its memory, or as much of them as this container is given."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
MIB = 2**20


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_mb() -> int:
    """Memory in MiB."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(CGROUP_LIMIT.read_text())) // MIB
    except (OSError, ValueError):  # there is none, or it says "max"
        return whole // MIB
