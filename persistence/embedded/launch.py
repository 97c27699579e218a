"""Becomes another program, tied to the life of the process that started it.

Run as a plain script (`python -I -S launch.py PARENT_PID UID:GID|- PROGRAM ARGUMENT…`), never imported. It drops to
the given user, asks Linux to send SIGKILL when the parent dies, and then replaces itself by the program, so that a
supervisor killed with `kill -9` leaves nothing behind. A script of its own does this without running Python code
between fork and exec.
The order matters: changing the user clears the parent-death signal, so that one is asked for last. On systems without
prctl the program simply runs; what a killed supervisor leaves there is found again at its next start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, user: str, program: list[str]) -> None:
    """Becomes `program`, as that user (`UID:GID`, or `-` for the same), unless the parent is gone already."""
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
    os.execv(program[0], program)  # noqa: S606  # the program is the caller's own, without a shell


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
