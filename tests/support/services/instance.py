"""A system as `boxoffice up` runs it, in a directory of its own: started, stopped, killed whole or in part, removed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import httpx

from actors.process import pulse
from loadtest.stack import inherited_environment
from persistence.embedded.instance import RunNote, end_marked, marked, read_note, remove_run_directory, run_directory
from persistence.embedded.process import Child, Program, child_environment
from tests.support.waiting import PATIENCE_SECONDS, until

ADMIN_EMAIL = "admin@tests.example"
ADMIN_PASSWORD = "correct horse battery"
START_SECONDS = 120.0  # a cold start takes 3 s on two idle cores; other tests may be using them
STOP_SECONDS = 45.0
BOXOFFICE = (sys.executable, "-m", "api.command_line.cli")


def given_environment() -> dict[str, str]:
    """Our environment without what is meant for another instance, with what every tested system gets."""
    return child_environment(
        inherited_environment(),
        BOXOFFICE_FAIR_USE="off",
        BOXOFFICE_ADMIN_EMAIL=ADMIN_EMAIL,
        BOXOFFICE_ADMIN_PASSWORD=ADMIN_PASSWORD,
    )


class Instance:
    """One system, with fair-use limits off; `arguments` go to `boxoffice up`.

    `enter`: the words of a command line that runs the rest of it somewhere else.
    """

    def __init__(
        self, name: str, base_url: str, arguments: tuple[str, ...], extra: dict[str, str], enter: tuple[str, ...] = ()
    ) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix=f"boxoffice-{name}-"))
        self.base_url = base_url
        self.log = self.data_dir / "boxoffice.log"
        self.environment = {**given_environment(), **extra}
        self._program = Program(
            name=name,
            argv=(*enter, *BOXOFFICE, "up", "--no-demo", "--data-dir", str(self.data_dir), *arguments),
            address=base_url,
            ready=self._ready,
            stop_seconds=STOP_SECONDS,
            ready_seconds=START_SECONDS,
            log=self.log,
        )
        self._child: Child | None = None

    async def _ready(self) -> None:
        if not self.run.ready:
            raise ConnectionError("still starting")

    @property
    def run(self) -> RunNote:
        """What runs now, and the environment that reaches it. Raises `ConnectionError` while nothing does."""
        note = read_note(self.data_dir)
        if note is None:
            raise ConnectionError(f"nothing runs on {self.data_dir}")
        return note

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Starts the system and waits until it is ready."""
        self._child = await Child.start(self._program, self.environment)
        await self._child.until_ready()

    async def stop(self) -> int:
        """Stops the system like Ctrl-C does; returns its exit code."""
        assert self._child is not None
        await self._child.stop()
        assert self._child.returncode is not None
        return self._child.returncode

    async def restart(self) -> None:
        """Starts it again on the same data and port, whether it was stopped, killed or still runs."""
        await self.stop()
        await self.start()

    async def kill_supervisor(self) -> None:
        """`kill -9` of the supervisor alone; what becomes of the rest is its own affair."""
        assert self._child is not None
        await self._child.kill()

    async def kill_all(self) -> None:
        """`kill -9` of everything, as if the machine's power had failed (but for what the kernel still writes)."""
        await self.kill_supervisor()
        await asyncio.to_thread(end_marked, self.data_dir)

    async def kill(self, part: str) -> int:
        """`kill -9` of one process by its name in `run.processes`; returns the pid it had."""
        pid = self.run.processes[part]
        os.kill(pid, 9)
        return pid

    def pause(self, part: str) -> int:
        """Pauses one process for as long as one likes (until `SIGCONT`): it is not judged. Returns its pid."""
        pid = self.run.processes[part]
        os.kill(pid, signal.SIGSTOP)
        with (run_directory(self.data_dir) / f"{part}.pulse").open("r+b") as file:
            file.write(bytes([pulse.NEVER]))
        return pid

    async def replaced(self, part: str, former_pid: int) -> int:
        """Waits until the part runs in another process, and if it is a worker, serves; returns its pid."""
        ready_file = run_directory(self.data_dir) / f"{part}.ready"  # gone before the next worker is started
        await until(lambda: self.run.processes.get(part) not in (None, former_pid), START_SECONDS)
        if part.startswith("worker-"):
            await until(ready_file.exists, START_SECONDS)
        return self.run.processes[part]

    def client(self, timeout_seconds: float = PATIENCE_SECONDS) -> httpx.AsyncClient:
        """A client of its API. None of ours speaks TLS, and reading the certificates takes 20 ms a client."""
        return httpx.AsyncClient(base_url=self.base_url, timeout=timeout_seconds, trust_env=False, verify=False)

    async def answers(self) -> None:
        """Waits until the API says it is ready."""
        async with self.client() as client:

            async def ready() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return (await client.get("/readyz")).status_code == httpx.codes.OK
                return False

            await until(ready, START_SECONDS)

    def remains(self) -> list[str]:
        """The processes of this system that are still there."""
        return [str(process) for process in marked(self.data_dir)]

    async def destroy(self) -> None:
        """Leaves nothing of it, whatever state it is in."""
        try:
            if self._child is not None:
                await self._child.stop()
        finally:
            await asyncio.to_thread(end_marked, self.data_dir)
            remove_run_directory(self.data_dir)
            shutil.rmtree(self.data_dir, ignore_errors=True)
