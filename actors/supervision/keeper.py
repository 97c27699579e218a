"""Keeps one program running.

A program that dies is started again, at once the first time and ever more slowly while it keeps dying, after
whatever it had started itself is gone. One of ours that does nothing any more, paused or stuck, is ended (`life.py`,
Linux only).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import psutil

from actors.process.pulse import PULSE_FILE_VARIABLE
from actors.supervision import life
from persistence.database.ending_tasks import end
from persistence.embedded.instance import INSTANCE_VARIABLE, ROLE_VARIABLE, end_marked, instance_of, run_directory
from persistence.embedded.process import Child, ProcessError, Program, describe_exit, kill_group

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1  # before a program that died is started again; doubles while it keeps dying
LONGEST_PAUSE_SECONDS = 10.0
STABLE_SECONDS = 30.0  # a program that ran so long starts from the first pause again


class Keeper:
    """One program of an instance, and the child that runs it at this moment.

    `start` starts it (`Child.start`, or a fork). `on_change` is called whenever the child is another one, `on_restart`
    awaited when a new one is ready. `on_failure` is called if the keeping itself fails, after which nobody keeps the
    program.
    """

    def __init__(
        self,
        program: Program,
        data_dir: Path,
        environment: Mapping[str, str],
        *,
        start: Callable[[Program, Mapping[str, str]], Awaitable[Child]] = Child.start,
        on_change: Callable[[], None],
        on_restart: Callable[[Keeper], Awaitable[None]],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.program = program
        self.child: Child | None = None
        self._data_dir = data_dir
        self._environment = {
            **environment,
            INSTANCE_VARIABLE: instance_of(data_dir),
            ROLE_VARIABLE: program.name,
        }
        self._start_program = start
        self._on_change = on_change
        self._on_restart = on_restart
        self._on_failure = on_failure
        self._called_off = False  # its next end is our own doing
        self._tasks: list[asyncio.Task[None]] = []
        self._life: life.Life | None = None  # the child's; None: it is not judged

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        return self.child.pid if self.child is not None and self.child.alive else None

    async def begin(self) -> None:
        """Starts the program and keeps it from when it is ready; raises `ProcessError` if it doesn't get there."""
        await self._start()
        for work in (self._keep(), self._watch()):
            task = asyncio.create_task(work, name=f"keep {self.name}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def renew(self) -> None:
        """Stops the program so that it starts anew, since something it depends on did."""
        if self.child is not None and self.child.alive:
            self._called_off = True
            await self.child.stop()

    async def end(self) -> None:
        """Stops the program for good. Safe to call in every state."""
        await end(self._tasks)  # one that is just starting it again may take the first word for a time-out
        if self.child is not None:
            await self.child.stop()
        await asyncio.to_thread(end_marked, self._data_dir, self.name)

    async def _start(self) -> None:
        self._called_off = False  # whatever ended the one before
        self._life = None
        if self.program.module and sys.platform == "linux":
            pulse_file = run_directory(self._data_dir) / f"{self.name}.pulse"
            life.new_pulse_file(pulse_file)
            shown = {PULSE_FILE_VARIABLE: str(pulse_file)}
            self.child = await self._start_program(self.program, self._environment | shown)
            self._life = life.life_of(self.child.pid, pulse_file)
        else:
            self.child = await self._start_program(self.program, self._environment)
        self._on_change()
        await self.child.until_ready()

    def _ended(self, keeping: asyncio.Task[None]) -> None:
        error = None if keeping.cancelled() else keeping.exception()
        if error is not None:
            logger.critical("%s is no longer kept running", self.name, exc_info=error)
            self._on_failure(error)

    async def _keep(self) -> None:
        assert self.child is not None, "begin comes first"
        pause = FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            await self.child.wait()
            if time.monotonic() - started > STABLE_SECONDS or self._called_off:
                pause = FIRST_PAUSE_SECONDS
            if not self._called_off:
                logger.error(
                    "%s (pid %d) %s, starting it again", self.name, self.child.pid, describe_exit(self.child.returncode)
                )
            await self._start_again(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _watch(self) -> None:
        """Ends a child that does nothing any more; `_keep` starts another."""
        while True:
            await asyncio.sleep(life.LOOK_SECONDS)
            if self._life is None or self.child is None or not self.child.alive:
                continue
            with contextlib.suppress(psutil.Error):  # what cannot be seen, or has ended just now, is not judged
                if (matter := self._life.look()) is not None:
                    logger.error("%s (pid %d) %s, and is ended", self.name, self.child.pid, matter)
                    kill_group(self.child.pid)

    async def _start_again(self, pause: float) -> None:
        """Returns when the program is ready, however often that takes."""
        while True:
            try:
                await asyncio.to_thread(end_marked, self._data_dir, self.name)  # its own children may have outlived it
                await asyncio.sleep(pause)
                await self._start()
            except (ProcessError, OSError) as error:
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                logger.error("%s did not start (%s), trying again in %g s", self.name, error, pause)
                if self.child is not None:
                    await self.child.kill()
                continue
            assert self.child is not None
            logger.warning("%s is back, pid %d", self.name, self.child.pid)
            await self._on_restart(self)
            return
