"""The supervisor's side of the fork server: starts it, asks it for programs, learns how they end.

A program that is forked is a `Child` like one that was started, and dies with the supervisor like that. Should the
server die, everything it has forked dies with it, and is started again by whoever keeps it, from a new server. One that
is paused or stuck is missed by nobody until it owes an answer: then it is ended like that, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import msgspec

from actors.supervision.fork_server import MESSAGE_BYTES, Answer, Order
from persistence.embedded.process import Child, ProcessError, Program, kill_group

# How long an answer may take. It comes within milliseconds, on a machine that is swamped within seconds; but the first
# one when all is imported.
SILENT_SECONDS, FIRST_SECONDS = 10.0, 120.0

logger = logging.getLogger(__name__)


class Fork:
    """A process the server has forked for us: the part of `asyncio.subprocess.Process` that a `Child` needs.

    `on_end` is called when the kernel says that it has ended; how it did only the server can know.
    """

    def __init__(self, pid: int, on_end: Callable[[], None]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._on_end = on_end
        self.gone = False  # as the kernel says
        self._watched: int | None = None
        with contextlib.suppress(OSError):  # it has ended already, or the kernel is older than Linux 5.3
            self._watched = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(self._watched, self._see_it_gone)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def end(self, code: int) -> None:
        """It has ended."""
        self._unwatch()
        self.returncode = code
        self._ended.set()

    def _see_it_gone(self) -> None:
        self._unwatch()
        self.gone = True
        self._on_end()

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = None


class Forking:
    """Starts programs by forking. `modules` are imported beforehand, in this order; `inherited` can be passed on."""

    def __init__(
        self,
        environment: Mapping[str, str],
        modules: Sequence[str],
        inherited: Sequence[int] = (),
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._environment = dict(environment)
        self._modules = modules
        self._inherited = tuple(inherited)
        self._silent = silent_seconds
        self._answered = False  # this server, ever
        self._missing: asyncio.TimerHandle | None = None  # runs while an answer is due
        self._server: Child | None = None
        self._channel: socket.socket | None = None
        self._forks: dict[int, Fork] = {}
        self._expected: deque[asyncio.Future[Fork]] = deque()
        self._starting = asyncio.Lock()
        self._ordering = asyncio.Lock()  # answers come in the order of the orders

    @property
    def pid(self) -> int | None:
        """The server's, while it lives."""
        return self._server.pid if self._server is not None and self._server.alive else None

    async def begin(self) -> None:
        """Starts the server, if there is none; it is importing when this returns."""
        async with self._starting:
            if self._channel is not None:
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                ours.setblocking(False)
                descriptors = (theirs.fileno(), *self._inherited)
                words = (sys.executable, "-m", "actors.supervision.fork_server", *map(str, descriptors))
                program = Program(name="fork server", argv=words, address="", pass_fds=descriptors)
                self._server = await Child.start(program, self._environment)
            self._channel = ours
            self._answered = False
            asyncio.get_running_loop().add_reader(ours, self._hear, ours)
            for module in self._modules:
                await self._tell(Order(module=module))

    async def start(self, program: Program, environment: Mapping[str, str]) -> Child:
        """What `Child.start` does. Raises `ProcessError` where it cannot be forked."""
        await program.prepare()
        await self.begin()
        order = Order(
            module=program.module,
            name=program.name,
            arguments=program.argv[program.argv.index(program.module) + 1 :],
            environment={**environment, **program.environment},
            keep=program.pass_fds,
            log=None if program.log is None else str(program.log),
        )
        try:
            return Child(program, await self._born(order))
        except ProcessError as error:
            raise ProcessError(f"{program.name} cannot be started: {error}") from error

    async def _born(self, order: Order) -> Fork:
        """What comes of the order. Raises `ProcessError`."""
        async with self._ordering:
            if self._channel is None:  # the server has died while others gave their orders
                raise ProcessError("the fork server is gone")
            born: asyncio.Future[Fork] = asyncio.get_running_loop().create_future()
            await self._tell(order, born)
        return await born

    async def end(self) -> None:
        """Ends the server, and whatever it has forked that still runs."""
        self._lose()
        if self._server is not None:
            await self._server.kill()

    async def _tell(self, order: Order, born: asyncio.Future[Fork] | None = None) -> None:
        """Gives an order; `born` is told what comes of it. Raises `ProcessError` for one that is too long."""
        said = msgspec.json.encode(order)
        if len(said) > MESSAGE_BYTES:  # the server would read half of it
            raise ProcessError(f"its environment and arguments take {len(said)} bytes, more than {MESSAGE_BYTES}")
        if self._channel is None:
            return
        if born is not None:
            self._expected.append(born)
            self._miss()
        with contextlib.suppress(OSError):  # it has died: `_hear` is about to say so
            async with asyncio.timeout(self._patience):  # a `TimeoutError` is an `OSError`, too
                await asyncio.get_running_loop().sock_sendall(self._channel, said)

    @property
    def _patience(self) -> float:
        return self._silent if self._answered else FIRST_SECONDS

    def _miss(self) -> None:
        """From now on the server owes an answer."""
        if self._missing is None and self._channel is not None:
            self._missing = asyncio.get_running_loop().call_later(self._patience, self._end_silent)

    def _end_silent(self) -> None:
        """Ends a server that owes an answer: `_hear` does the rest."""
        logger.error("the fork server (pid %s) has not answered for %g s and is ended", self.pid, self._patience)
        if self._server is not None:
            kill_group(self._server.pid)

    def _hear(self, channel: socket.socket) -> None:
        try:
            data = channel.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            logger.error("the fork server (pid %s) is gone, and everything it had forked", self.pid)
            self._lose()
            return
        self._answered = True
        self._miss_no_longer()
        answer = msgspec.json.decode(data, type=Answer)
        if answer.code is not None:
            self._forks.pop(answer.pid).end(answer.code)
        elif answer.pid:
            fork = self._forks[answer.pid] = Fork(answer.pid, self._miss)
            self._answer(fork)
        else:
            self._answer(ProcessError(answer.error))
        if self._expected or any(fork.gone for fork in self._forks.values()):
            self._miss()

    def _miss_no_longer(self) -> None:
        if self._missing is not None:
            self._missing.cancel()
            self._missing = None

    def _answer(self, outcome: Fork | ProcessError) -> None:
        born = self._expected.popleft()
        if born.done():  # whoever wanted it has been called off
            if isinstance(outcome, Fork):
                os.kill(outcome.pid, signal.SIGKILL)
        elif isinstance(outcome, Fork):
            born.set_result(outcome)
        else:
            born.set_exception(outcome)

    def _lose(self) -> None:
        """There is no server any more; the kernel has ended what it had forked."""
        if self._channel is None:
            return
        asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        self._channel = None
        self._miss_no_longer()
        for fork in self._forks.values():
            fork.end(-signal.SIGKILL)
        self._forks.clear()
        while self._expected:
            self._answer(ProcessError("the fork server is gone"))
