"""Starts everything, keeps it running, stops everything: what stands behind `boxoffice up`.

Guarantees: one supervisor for each data directory; a process that dies is started again; after `run` has returned, and
soon after the supervisor was killed, none of its processes is left. It plays no part in a request. The API workers
share one listening socket, which also lives here, so that a worker that dies refuses no connection.

A start is as much at once as can be: services start while the fork server imports our programs, and libraries that are
needed later are imported later, here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from actors.process.settings import Settings, local_url
from actors.process.telemetry import METRICS_VARIABLE
from actors.supervision import ray_head
from actors.supervision.environments import Environments
from actors.supervision.forking import Forking
from actors.supervision.guarding import Guarding
from actors.supervision.keeper import Keeper
from actors.supervision.programs import (
    BACKGROUND,
    MAILS,
    RECEIVERS,
    SANDBOX,
    WORKER,
    AddressError,
    background,
    listening,
    mails,
    receivers,
    refuse,
    sandbox,
    worker,
)
from actors.supervision.services import SERVICES, StartError, bring_up_to_date, open_topic, reach, settle
from persistence.embedded import outside
from persistence.embedded.instance import (
    INSTANCE_VARIABLE,
    AlreadyRunningError,
    RunNote,
    end_marked,
    forget_note,
    instance_of,
    locked,
    note,
    remove_run_directory,
    run_directory,
)
from persistence.embedded.process import Child, ProcessError, Program

if TYPE_CHECKING:
    from actors.supervision.membership import Membership  # it is imported where it is needed

logger = logging.getLogger(__name__)

READY_SECONDS = 60.0  # from all processes started until /readyz says yes
PROBE_SECONDS, PROBE_TIMEOUT_SECONDS = 0.1, 5.0
NOTE_AGAIN_SECONDS = 5.0
BESIDE_WORKERS = ("background", "sandbox", "receivers", "mails")  # what is stopped first, with them
STOP_ORDER: tuple[tuple[str, ...], ...] = (
    ("ray",),
    ("kafka", "redis"),
)
RAY_DRIVERS = ("worker", "background")  # they cannot join another head than the one they started with


@dataclass(frozen=True, slots=True)
class Part:
    """One row of what runs where. `pid` is None for what runs outside."""

    name: str
    address: str
    pid: int | None


class Supervisor:
    """`run` does it all, until `stop` is called.

    `prepare` is awaited when the database is up to date and nothing serves yet, `fill` when the API serves and is not
    yet said to be ready, `on_ready` when it is.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str] = os.environ,
        prepare: Callable[[Settings], Awaitable[None]] | None = None,
        fill: Callable[[Settings], Awaitable[None]] | None = None,
        on_ready: Callable[[Supervisor], Awaitable[None]] | None = None,
    ) -> None:
        self.data_dir = settings.data_path
        self.settings = msgspec.structs.replace(settings, data_dir=str(self.data_dir))
        self.ready = asyncio.Event()
        self._environ = environ
        self._prepare = prepare
        self._has_roles = False  # in the database, for our processes
        self._fill = fill
        self._on_ready = on_ready
        self._stopping = asyncio.Event()
        self._broken: BaseException | None = None
        self._keepers: list[Keeper] = []
        self._outside: list[str] = []
        self._sandbox_is_ours = settings.sandbox_url is None
        self._guarding: Guarding | None = None
        self._forking: Forking | None = None
        self._membership: Membership | None = None

    @property
    def url(self) -> str:
        """Where this machine reaches the API."""
        return local_url(self.settings.host, self.settings.port)

    def stop(self) -> None:
        """Asks `run` to stop everything and to return."""
        self._stopping.set()

    async def run(self) -> None:
        """Runs the system. Raises `StartError` when it cannot be started; whatever it started is gone then, too."""
        try:
            with locked(self.data_dir), listening(self.settings.host, self.settings.port) as listener:
                self.settings = msgspec.structs.replace(self.settings, port=listener.getsockname()[1])
                try:
                    await self._unless_stopped(self._start(listener))
                    await self._stopping.wait()
                    if self._broken is not None:
                        raise StartError(f"a part can no longer be kept running: {self._broken}") from self._broken
                finally:
                    await self._stop_all(listener)
        except (AlreadyRunningError, AddressError, ProcessError, outside.UnreachableError) as error:
            raise StartError(str(error)) from error
        except OSError as error:  # a disk that is full or may not be written, above all
            raise StartError(str(error) if error.filename else f"{self.data_dir}: {error}") from error

    def parts(self) -> list[Part]:
        """What runs where: services first."""
        inside = [Part(keeper.name, outside.shown(keeper.program.address), keeper.pid) for keeper in self._keepers]
        elsewhere = [
            Part(SERVICES[name].name, outside.shown(getattr(self.settings, name)), None) for name in self._outside
        ]
        return [*elsewhere, *inside]

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> None:
        """Does `work`, but leaves it where it is as soon as somebody wants to stop."""
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.wait({working, stopping})

    async def _start(self, listener: socket.socket) -> None:
        self._began = time.monotonic()
        left = await asyncio.to_thread(end_marked, self.data_dir)
        if left:
            logger.warning("an earlier run had left %d processes behind, ended them", left)
        remove_run_directory(self.data_dir)
        metrics = run_directory(self.data_dir) / "metrics"
        metrics.mkdir()
        if sys.platform == "linux":
            self._guarding = Guarding(instance_of(self.data_dir), self._give_up)
            await self._guarding.begin()
        self.settings, self._outside, services = settle(self.settings, self.data_dir)
        names = ", ".join(program.name for program in services)
        logger.info("starting %s; data and logs are in %s", names or "on outside services only", self.data_dir)
        marks = {METRICS_VARIABLE: str(metrics)}
        await self._start_forking({**self._environments.of_ours("forking"), **marks}, listener)
        self._keepers += [self._keeper(program, self._environments.of_service(program)) for program in services]
        await together(
            *(self._begin(keeper) for keeper in self._keepers if keeper.name in ("redis", "ray")),
            *(reach(setting, self.settings) for setting in self._outside if setting in ("redis_url", "ray_address")),
            self._open_broker(),
            self._open_database(),
        )
        programs = [worker(number, listener, self.data_dir) for number in range(1, self.settings.workers + 1)]
        programs.append(background())
        if self.settings.publishing is not None:
            programs += [receivers(), mails()]
        if self._sandbox_is_ours:
            programs.append(sandbox(self.settings.sandbox_at))
        added = [self._keeper(each, {**self._environments.of_ours(_kind(each.name)), **marks}) for each in programs]
        self._keepers += added
        await together(*(self._begin(keeper) for keeper in added))
        if self._fill is not None:
            await self._fill(self.settings)
        await self._answering()
        if self._membership is not None:
            await self._membership.serve()
        if self._on_ready is not None:
            await self._on_ready(self)
        self.ready.set()
        self._note()
        logger.info("ready at %s after %.1f s", self.url, self._since_it_began)

    @property
    def _since_it_began(self) -> float:
        return time.monotonic() - self._began

    async def _start_forking(self, environment: Mapping[str, str], listener: socket.socket) -> None:
        """Begins to import what our programs import, while the services start; first Ray, which is one of those."""
        if sys.platform != "linux":
            return
        modules = [WORKER, BACKGROUND, RECEIVERS, MAILS, SANDBOX]
        if "ray_address" not in self._outside:
            modules.insert(0, ray_head.MODULE)
        marks = {INSTANCE_VARIABLE: instance_of(self.data_dir)}
        self._forking = Forking({**environment, **marks}, modules, (listener.fileno(),))
        await self._forking.begin()

    async def _begin(self, keeper: Keeper) -> None:
        await keeper.begin()
        logger.info("%s runs, %.1f s after the start", keeper.name, self._since_it_began)

    @property
    def _environments(self) -> Environments:
        return Environments(
            settings=self.settings,
            embedded=[setting for setting in SERVICES if setting not in self._outside],
            own_sandbox=self._sandbox_is_ours,
            has_roles=self._has_roles,
            inherited=self._environ,
        )

    def _keeper(self, program: Program, environment: Mapping[str, str]) -> Keeper:
        return Keeper(
            program,
            self.data_dir,
            environment,
            start=Child.start if self._forking is None or not program.module else self._forking.start,
            on_change=self._ray_begins if program.name == "ray" else self._note,
            on_restart=self._restarted,
            on_failure=self._give_up,
        )

    async def _open_database(self) -> None:
        """Brings the database up to date as soon as it is there; the slower services start meanwhile."""
        if "database_url" in self._outside:
            await reach("database_url", self.settings)
        await together(*(self._begin(keeper) for keeper in self._keepers if keeper.name == "postgres"))
        self._has_roles = await bring_up_to_date(self.settings.database)
        if self._prepare is not None:
            await self._prepare(self.settings)
        if self.settings.node or "database_url" in self._outside:
            await self._join(self.settings.database)

    async def _join(self, database_url: str) -> None:
        """Takes this machine's place in its cluster, where it is given schedules once it serves; or says that it is
        alone, where others could use its database, too: they would take schedules from each other for ever."""
        from actors.gateway.machines import trust_of
        from actors.supervision.membership import CannotJoin, Membership

        place = (self.settings.node, self.settings.node_address, self.settings.hosts)
        trust = trust_of(self.settings)
        try:
            trust.context(ssl.Purpose.CLIENT_AUTH)  # or each process would find out by itself, again and again
        except (OSError, ValueError) as error:
            raise StartError(f"BOXOFFICE_NODE_CERTIFICATE, …_PRIVATE_KEY, …_AUTHORITY: {error}") from error
        self._membership = Membership(database_url, *place, on_loss=self._give_up, known_by=trust.known_by)
        try:
            await self._membership.join()
        except CannotJoin as error:
            raise StartError(str(error)) from error

    async def _open_broker(self) -> None:
        if "kafka_bootstrap_servers" in self._outside:
            await reach("kafka_bootstrap_servers", self.settings)
        await together(*(self._begin(keeper) for keeper in self._keepers if keeper.name == "kafka"))
        await open_topic(self.settings)

    async def _answering(self) -> None:
        """Waits until the API says that it is ready, all it needs included."""
        deadline = time.monotonic() + READY_SECONDS
        answer = "no answer"
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, HTTPException):
                ready, answer = await asyncio.to_thread(ask_readiness, self.url)
                if ready:
                    return
            await asyncio.sleep(PROBE_SECONDS)
        raise StartError(f"{self.url}/readyz is not ready after {READY_SECONDS:g} s: {answer}")

    def _ray_begins(self) -> None:
        """With the former one all owners of this machine have ended: others need not wait for it."""
        self._note()
        if self._membership is not None:
            self._membership.pause()

    async def _restarted(self, keeper: Keeper) -> None:
        if keeper.name == "kafka":  # the embedded broker comes back empty
            await open_topic(self.settings)
        if keeper.name == "ray":
            drivers = self._named(RAY_DRIVERS)
            logger.warning(
                "starting anew what was connected to the former Ray: %s", ", ".join(each.name for each in drivers)
            )
            await together(*(driver.renew() for driver in drivers))
            if self._membership is not None:
                await self._membership.serve()

    def _give_up(self, error: BaseException) -> None:
        """Ends the whole, so that whoever started us knows, rather than go on with a part that nobody keeps."""
        self._broken = error
        self.stop()

    def _named(self, kinds: Iterable[str]) -> list[Keeper]:
        return [keeper for keeper in self._keepers if _kind(keeper.name) in kinds]

    def _note(self) -> None:
        """What cannot be noted, as on a full disk, is noted later: what runs runs."""
        run = RunNote(
            pid=os.getpid(),
            url=self.url,
            ready=self.ready.is_set(),
            environment=self._environments.to_connect(),
            processes={keeper.name: keeper.pid for keeper in self._keepers if keeper.pid is not None},
        )
        try:
            note(self.data_dir, run)
        except OSError as error:
            logger.error("other commands do not see what runs, it cannot be noted: %s", error)
            asyncio.get_running_loop().call_later(NOTE_AGAIN_SECONDS, self._note)

    async def _stop_all(self, listener: socket.socket) -> None:
        """Stops what runs, first what depends on the rest, PostgreSQL last; then whatever they left.

        What cannot be stopped is told, and left to what ends all that is ours: the rest is stopped as it should be.
        """
        logger.info("stopping")
        if self._membership is not None:
            await each_of(self._membership.leave())
        await each_of(self._stop_serving(listener), *(keeper.end() for keeper in self._named(BESIDE_WORKERS)))
        for kinds in (*STOP_ORDER, ("postgres",)):
            await each_of(*(keeper.end() for keeper in self._named(kinds)))
        if self._forking is not None:
            await each_of(self._forking.end())
        if self._guarding is not None:
            await self._guarding.leave()
        await asyncio.to_thread(end_marked, self.data_dir)  # the guard, too: nothing is left to guard
        if self._guarding is not None:
            await self._guarding.ended()
        if self._membership is not None:
            await each_of(self._membership.close())
        forget_note(self.data_dir)
        self._keep_ray_log()
        remove_run_directory(self.data_dir)
        logger.info("stopped")

    async def _stop_serving(self, listener: socket.socket) -> None:
        await each_of(*(keeper.end() for keeper in self._named(("worker",))))
        refuse(listener)

    def _keep_ray_log(self) -> None:
        """The log of the last Ray goes to the data directory: the run directory is about to be removed."""
        link = self.data_dir / "logs" / "ray"
        if link.is_symlink():
            kept = link.resolve()
            link.unlink()
            if kept.is_dir():
                shutil.rmtree(link.with_name("ray-last"), ignore_errors=True)
                try:
                    shutil.copytree(kept, link.with_name("ray-last"))
                except OSError as error:  # of several files shutil tells in one error, which is of this kind
                    logger.warning("not all of Ray's last log was kept: %.300s", error)


def ask_readiness(url: str) -> tuple[bool, str]:
    """Whether the API at `url` is ready, and what it says."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PROBE_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status == HTTPStatus.OK, response.read().decode(errors="replace")
    finally:
        connection.close()


def _kind(name: str) -> str:
    """What kind of process it is, of which there may be several."""
    return name.partition("-")[0]


async def each_of(*work: Coroutine[None, None, None]) -> None:
    """Does all at once. What fails is told, and is no reason to leave out the others, or what comes after."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, Exception):
            logger.error("a part could not be stopped", exc_info=outcome)


async def together(*work: Coroutine[None, None, None]) -> None:
    """Does all at once. The first failure ends the others and is raised itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
