"""Ends everything of one instance as soon as its supervisor is gone, however that died.

Run as a plain script (`python -I -S guard.py INSTANCE`), never imported; its standard input is a pipe that only the
supervisor holds the other end of. The parent-death signal (launch.py) reaches the supervisor's own children; this
reaches the children of those, too: Ray's agents and actors would otherwise live on. Linux only: it reads /proc.
"""

import os
import signal
import sys
import time

SECONDS = 30.0  # something may be starting processes yet while we end them; far longer than that ever takes
PAUSE_SECONDS = 0.05


def main(instance: str) -> None:
    """Waits until standard input ends, and then ends what has the instance's mark until nothing is left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    mark = f"BOXOFFICE_INSTANCE={instance}".encode()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and end(mark):
        time.sleep(PAUSE_SECONDS)


def end(mark: bytes) -> int:
    """Sends SIGKILL to all processes with the mark but ourselves; returns how many there were."""
    count = 0
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark not in file.read().split(b"\0"):
                    continue
            os.kill(int(name), signal.SIGKILL)
        except OSError:  # gone meanwhile, or another user's
            continue
        count += 1
    return count


if __name__ == "__main__":
    main(sys.argv[1])
