"""What a contender's processes cost, and when they are at rest.

CPU time is read before and after from the operating system; that of children which have ended meanwhile is in their
parent's account, so nothing is lost or counted twice. wrk is nobody's process and is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence

import psutil

Groups = Mapping[str, Sequence[psutil.Process]]

WINDOW_SECONDS = 0.3
# Of one core. Measured at rest: our system 0.1 (43 processes, half of it Ray), with twenty owners 0.25 (88 processes).
QUIET_SHARE, QUIET_SHARE_PER_PROCESS = 0.05, 0.003
SETTLE_SECONDS = 10.0


def tree(root: psutil.Process) -> list[psutil.Process]:
    """The process and all below it; empty if it is gone."""
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(groups: Groups) -> dict[str, float]:
    """What each group has used since it began."""
    return {name: sum(map(_used, processes)) for name, processes in groups.items()}


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    ended_children = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended_children)


def megabytes(processes: Sequence[psutil.Process]) -> float:
    """The memory that is these processes' own, in MB (10⁶ bytes)."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().uss / 1e6
    return total


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each group has used in between; never negative, should a process have ended unseen."""
    return {name: max(0.0, seconds - before.get(name, 0.0)) for name, seconds in after.items()}


def quiet_share_of(processes: int) -> float:
    """How much of a core so many processes use while they do nothing."""
    return QUIET_SHARE + QUIET_SHARE_PER_PROCESS * processes


async def settle(
    used: Callable[[], float],
    *,
    quiet_share: float = QUIET_SHARE,
    window_seconds: float = WINDOW_SECONDS,
    limit_seconds: float = SETTLE_SECONDS,
) -> bool:
    """Waits until next to no CPU is used, so that one contender's late work lands in nobody else's round.

    `used` gives the CPU seconds used so far, `quiet_share` is how much of a core is still called rest. False if it does
    not come to rest within the limit.
    """
    deadline = time.monotonic() + limit_seconds
    last, last_at = used(), time.monotonic()
    while time.monotonic() < deadline:
        await asyncio.sleep(window_seconds)
        now, now_at = used(), time.monotonic()
        if now - last <= quiet_share * (now_at - last_at):
            return True
        last, last_at = now, now_at
    return False
