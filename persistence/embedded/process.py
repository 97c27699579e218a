"""Child processes: a description (`Program`) and the running thing (`Child`).

Guarantees: a child has its own process group and, on Linux, dies with its parent even when that is killed with SIGKILL.
`Child.stop` returns only when the child is gone, and what is left of its group has been sent SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

logger = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT_BYTES = 16 * 1024 * 1024  # a log larger than this is set aside (one generation) when its program starts
PORTS = range(20_000, 32_000)  # below those that systems give to connections: Linux from 32,768, others from 49,152
PROBE_SECONDS = 0.05  # between two readiness probes: the fastest service is ready in about this time
OWN_LAUNCH_VARIABLES = ("PYTHONSTARTUP", "PYTHONINSPECT", "LD_PRELOAD")


class ProcessError(RuntimeError):
    """A child process ended or did not become ready; the message names it and shows the end of its log."""


async def nothing() -> None:
    """The preparation of a program that needs none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One process to run: how it is started, how it shows that it is usable, where it is then reached, how it stops.

    `ready` returns once the program is usable and raises as long as it is not. `prepare` runs before every start.
    `user` is (uid, gid) to drop to, None to stay. With `log` None the child writes to our own standard error. A program
    of ours names the `module` whose `main` it is, so that it may also be forked where that is imported already.
    """

    name: str
    argv: tuple[str, ...]
    address: str
    ready: Callable[[], Awaitable[None]] = nothing
    prepare: Callable[[], Awaitable[None]] = nothing
    environment: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5.0
    ready_seconds: float = 120.0  # Ray takes a second on an idle machine, and far longer on one that is swamped
    log: Path | None = None
    pass_fds: tuple[int, ...] = ()
    module: str = ""


class Process(Protocol):
    """A process that somebody waits for: its exit code is `returncode`, as in `asyncio.subprocess`."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...


class Child:
    """A running `Program`. Start it from the main thread: Linux ties its life to the thread that started it."""

    def __init__(self, program: Program, process: Process) -> None:
        self.program = program
        self.pid = process.pid
        self.started = time.monotonic()
        self._process = process

    @classmethod
    async def start(cls, program: Program, environment: Mapping[str, str]) -> Child:
        """Prepares and starts `program`; it may not be ready yet (`until_ready`)."""
        await program.prepare()
        user = f"{program.user[0]}:{program.user[1]}" if program.user else "-"
        output = open_log(program.log) if program.log else None
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", str(LAUNCHER), str(os.getpid()), user),
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output if output is not None else sys.__stderr__,
                stderr=output if output is not None else sys.__stderr__,
                env={**environment, **program.environment},
                start_new_session=True,
                pass_fds=program.pass_fds,
            )
        finally:
            if output is not None:
                os.close(output)
        logger.debug("%s started, pid %d", program.name, process.pid)
        return cls(program, process)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number when one ended it, None while it lives."""
        return self._process.returncode

    async def wait(self) -> int:
        """Waits until the process has ended and returns its `returncode`."""
        return await self._process.wait()

    async def until_ready(self) -> None:
        """Waits until the program is usable; raises `ProcessError` if it ends or takes longer than `ready_seconds`."""
        deadline = time.monotonic() + self.program.ready_seconds
        while True:
            try:
                async with asyncio.timeout(
                    10
                ):  # `wait_for` would lose a cancellation in the moment in which it is ready
                    await self.program.ready()
            except Exception as error:  # noqa: BLE001  # whatever a client library raises means: not ready yet
                reason = f"{type(error).__name__}: {error}"
            else:
                return
            if not self.alive:
                raise ProcessError(f"{self.program.name} {describe_exit(self.returncode)}{self._end_of_log()}")
            if time.monotonic() > deadline:
                waited = f"{self.program.name} not ready after {self.program.ready_seconds:g} s"
                raise ProcessError(f"{waited} ({reason}){self._end_of_log()}")
            await asyncio.sleep(PROBE_SECONDS)

    async def stop(self) -> None:
        """Asks the program to end, and kills what is left of its group after `stop_seconds`. Safe to repeat."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, self.program.stop_signal)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.program.stop_seconds):
                    await self._process.wait()
        if self.alive:
            logger.warning("%s did not stop within %g s, killed", self.program.name, self.program.stop_seconds)
        kill_group(self.pid)
        await self._process.wait()

    async def kill(self) -> None:
        """Ends the whole group at once with SIGKILL."""
        kill_group(self.pid)
        await self._process.wait()

    def _end_of_log(self) -> str:
        if self.program.log is None:
            return "; its own output, above, says why"
        if not self.program.log.exists():
            return ""
        with self.program.log.open(errors="replace") as file:
            lines = "".join(deque(file, maxlen=12)).strip()
        return f"; the end of {self.program.log}:\n{lines}" if lines else f"; its log {self.program.log} is empty"


@contextlib.asynccontextmanager
async def running(program: Program, environment: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """Runs `program` for the time of the block: ready inside, gone afterwards."""
    child = await Child.start(program, environment if environment is not None else child_environment(os.environ))
    try:
        await child.until_ready()
        yield child
    finally:
        await child.stop()


def kill_group(pgid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def describe_exit(returncode: int | None) -> str:
    """How a process ended, in words."""
    if returncode is None:
        return "is running"
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"


def child_environment(environ: Mapping[str, str], **extra: str) -> dict[str, str]:
    """`environ` for a child, without what would lead its client libraries or interpreter astray (`PGHOST`, …)."""
    kept = {
        name: value
        for name, value in environ.items()
        if not (name.startswith("PG") and name.isupper()) and name not in OWN_LAUNCH_VARIABLES
    }
    return {**kept, **extra}


def open_log(path: Path) -> int:
    """A file descriptor to append to, private; a log that has grown past the limit begins anew, one former is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on at this moment, and which no connection is given for its own end.

    So a program that is down for a while finds it free when it is started again. Nobody else who asks for one is given
    it while this process lives: on a busy machine a program takes many seconds until it listens.
    """
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            if _is_given(port):
                return port
    raise ProcessError(f"no port from {PORTS[0]} to {PORTS[-1]} is free on {host}")


def _is_given(port: int) -> bool:
    """Takes the port for this process; False where it is another's, or was given before."""
    if sys.platform != "linux":
        return True  # names that end with their process are Linux's
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0boxoffice port {port}")
    except OSError:
        name.close()
        return False
    name.detach()  # it is open until the process ends
    return True


def executable(found: Path, data_dir: Path) -> str:
    """`found`, or a copy of it in `data_dir` where the wheel was unpacked without the right to execute it."""
    if os.access(found, os.X_OK):
        return str(found)
    copy = data_dir / "bin" / found.name
    if not copy.exists() or copy.stat().st_size != found.stat().st_size:
        copy.parent.mkdir(parents=True, exist_ok=True)
        part = copy.with_suffix(f".{os.getpid()}")
        shutil.copyfile(found, part)
        part.chmod(0o755)
        part.replace(copy)
    return str(copy)
