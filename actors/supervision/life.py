"""Whether a program does anything at all, for whoever keeps it: one that doesn't is as good as dead, and holds a place.

That its pulse stays away (`actors/process/pulse.py`) is no proof: on a machine that is swamped a loop may take long
for one turn, or wait long for the processor, and nobody is to be ended for that. So no clock decides, but what the
kernel says of the thread that the loop runs in: how often it was seen doing nothing and wanting nothing, and what it
has had of the processor since it was missed. Neither grows while it waits for the processor or for a disk, nor while
the whole machine stands still.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable
from pathlib import Path

import psutil
from msgspec import Struct

from actors.process.pulse import NEVER

LOOK_SECONDS = 2.0  # from one look to the next: two beats
# Half a minute, thirty beats: a loop that was not woken once in so long waits for what never comes. A death is seen at
# once; this is for what nobody has thought of, and may take its time.
SILENT_LOOKS = 15
# Of the processor, for one turn of a loop; the longest there are take tenths of a second.
SPINNING_SECONDS = 60.0
ASLEEP = (psutil.STATUS_SLEEPING, psutil.STATUS_STOPPED)  # not: waiting for the processor or a disk, or being debugged


class Sign(Struct, frozen=True):
    """What the kernel says of a thread at one moment."""

    status: str  # as psutil calls it
    switches: int  # how often it has got the processor or left it
    seconds: float  # what it has had of the processor


class Life:
    """One life of a process, looked at again and again. `pulse` and `sign` say how it does at this moment.

    It is judged from its first beat on: a program that has none, or is starting yet, never.
    """

    def __init__(self, pulse: Callable[[], int], sign: Callable[[], Sign]) -> None:
        self._pulse = pulse
        self._sign = sign
        self._beat = NEVER
        self._missed: Sign | None = None  # how it did when its pulse was first missed
        self._before: Sign | None = None  # how it did at the last look
        self._silent = 0  # looks in a row

    def look(self) -> str | None:
        """What is the matter with it, where it is to be ended for it."""
        beat = self._pulse()
        if beat in (NEVER, self._beat):
            return None if beat == NEVER else self._examine()
        self._beat, self._missed, self._before, self._silent = beat, None, None, 0
        return None

    def _examine(self) -> str | None:
        now, before = self._sign(), self._before
        self._missed, self._before = self._missed or now, now
        idle = before is not None and now.switches == before.switches and now.status in ASLEEP
        self._silent = self._silent + 1 if idle else 0
        if self._silent >= SILENT_LOOKS:
            return f"has done nothing for {self._silent * LOOK_SECONDS:g} s"
        if (spun := now.seconds - self._missed.seconds) > SPINNING_SECONDS:
            return f"has not come round for {spun:.0f} s of the processor"
        return None


def life_of(pid: int, pulse_file: Path) -> Life:
    """The life of a process that has just been started, and shows its pulse in this file."""
    with pulse_file.open("rb") as file:
        count = mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ)
    return Life(lambda: count[0], lambda: sign_of(pid))


def sign_of(pid: int) -> Sign:
    """How the process's main thread does, in which its loop runs (Linux). Raises `psutil.NoSuchProcess`."""
    process = psutil.Process(pid)
    with process.oneshot():
        status, switches = process.status(), process.num_ctx_switches()
    had = next((each.user_time + each.system_time for each in process.threads() if each.id == pid), 0.0)
    return Sign(status, switches.voluntary + switches.involuntary, had)


def new_pulse_file(path: Path) -> None:
    """Makes the file that a process about to be started shows its pulse in; a former one's goes."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # not overwritten: who has it before them goes on seeing the former one
    path.write_bytes(bytes([NEVER]))
