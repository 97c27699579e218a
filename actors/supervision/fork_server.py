"""A process that has our programs imported already, and becomes one of them whenever the supervisor asks for it.

A program imports for a second and more, and our six import much the same. This process does it once: each program is
a fork of it, which runs the program's `main`. What is imported is shared memory, too. Until it forks it opens nothing
and has one thread, so that there is nothing a fork could inherit halfway.

Run as `python -m actors.supervision.fork_server FD`, by `actors/supervision/forking.py`, which holds the other end of
that socket; it ends when the other end does, and then everything it has forked ends with it (Linux only). Forks keep
its command line and the environment it was started with, as far as others see them; `ps -o comm` tells their names.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from pathlib import Path

import msgspec

from persistence.embedded.process import open_log

PR_SET_PDEATHSIG = 1  # linux/prctl.h
MESSAGE_BYTES = 1 << 17  # an order carries an environment, which is a few kilobytes
TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor asks for: that `module` is imported, and, if there is a `name`, that a fork runs its `main`.

    `arguments` are what `main` finds in `sys.argv` after the module, `environment` is all of the fork's environment.
    Of the file descriptors that the server inherited it keeps those in `keep`. It writes to the file `log`, or where
    the server writes.
    """

    module: str
    name: str = ""
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    keep: tuple[int, ...] = ()
    log: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A fork was born (in the order of the orders; `pid` 0: it could not be, `error` says why) or has ended."""

    pid: int
    code: int | None = None  # its exit code once it has ended, minus the signal's number if one ended it
    error: str = ""


class ForkServer:
    """Takes orders from `channel` until the other end is gone. `inherited`: the descriptors a fork may ask to keep."""

    def __init__(self, channel: socket.socket, inherited: tuple[int, ...]) -> None:
        self._channel = channel
        self._inherited = inherited
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._libc = ctypes.CDLL(None)
        self._pid = os.getpid()

    def serve(self) -> Order | None:
        """Returns None when the supervisor has gone, and in a fork the order that made it."""
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it has to be handled to be woken by
        # The end of the supervisor is ours. They are held back, not ignored: one for a fork waits until it is itself.
        signal.pthread_sigmask(signal.SIG_BLOCK, TO_END)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        self._report_ends()
                        continue
                    data = self._channel.recv(MESSAGE_BYTES)
                    if not data:
                        return None
                    order = msgspec.json.decode(data, type=Order)
                    if self._carry_out(order):
                        return order

    def _report_ends(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(512):
                pass
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._say(Answer(pid=ended[0], code=os.waitstatus_to_exitcode(ended[1])))

    def _carry_out(self, order: Order) -> bool:
        """Whether we are the fork that the order asked for."""
        try:
            importlib.import_module(order.module)
            if not order.name:
                return False
            gc.freeze()  # nobody looks through what is imported again: the pages stay shared
            pid = os.fork()
        except Exception as error:  # noqa: BLE001  # whatever a module raises: it is the supervisor's to tell
            if order.name:
                self._say(Answer(pid=0, error=f"{type(error).__name__}: {error}"))
            return False
        if pid:
            self._say(Answer(pid=pid))
            return False
        self._become(order)
        return True

    def _become(self, order: Order) -> None:
        """Makes this fork a process of its own, as if it had been started."""
        os.setsid()
        self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._pid:  # it ended before we asked
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._channel, self._wake, self._woken):
            end.close()
        for descriptor in set(self._inherited) - set(order.keep):
            os.close(descriptor)
        if order.log is not None:
            descriptor = open_log(Path(order.log))
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(order.environment)
        Path("/proc/self/comm").write_text(order.name)
        gc.enable()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_END)

    def _say(self, answer: Answer) -> None:
        with contextlib.suppress(OSError):  # nobody is left to hear it: we end in a moment
            self._channel.send(msgspec.json.encode(answer))


class _Ending:
    """How a process ends whose program has: at once, after all that is registered for its end has been done.

    Taking apart what is imported, as Python does then, writes to every page that is shared with the others until that
    moment: seconds on a busy machine, in which whoever stops the system waits, for nothing.
    """

    def __init__(self) -> None:
        self.ended = False  # by itself; whatever it raised is told as always
        atexit.register(self._leave)  # before what our programs import registers anything: so it comes last

    def _leave(self) -> None:
        if self.ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def main() -> None:
    """The process entry; a fork returns from it when the program has ended."""
    ending = _Ending()
    gc.disable()  # importing makes much and leaves no garbage worth looking for
    channel, *inherited = (int(number) for number in sys.argv[1:])
    with socket.socket(fileno=channel) as held:
        order = ForkServer(held, tuple(inherited)).serve()
    if order is not None:
        sys.argv = [order.module, *order.arguments]
        importlib.import_module(order.module).main()
    ending.ended = True


if __name__ == "__main__":
    main()
