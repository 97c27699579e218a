"""Several machines on this one: network namespaces with addresses of their own, on two networks.

By the first they reach PostgreSQL, Redis, the broker and the payment sandbox, which run beside them, each at an address
of its own, and clients reach them; by the second they reach each other. Either can be cut for each machine by itself,
and so can the way to one address, in one direction alone: what is sent there vanishes, as on a line that is broken.
Everything else is the real stack, each with a data directory of its own. Needs Linux, root and `ip`; where that isn't
to be had, tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from persistence.embedded.instance import marked, remove_run_directory
from persistence.embedded.kafka import kafka
from persistence.embedded.outside import reach_tcp
from persistence.embedded.postgres import postgres
from persistence.embedded.process import Child, Program
from persistence.embedded.redis import redis
from tests.support.services.instance import BOXOFFICE, Instance, given_environment
from tests.support.services.network import changing

SECRET = "a secret that all machines of the cluster have in common"
SERVICES, PEERS = "svc", "peer"  # the two networks, as a machine sees them
CLIENTS, DATABASE, STANDBY, CACHE, BROKER, SANDBOX = range(1, 7)  # who is where on the first, beside the machines
NOBODY = "02:00:00:00:00:01"  # a link's address that none has: what is sent there arrives nowhere


def ip(*words: str) -> None:
    """Runs `ip`. Raises `CalledProcessError`."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def up(link: str) -> None:
    """Puts a link of this machine's to use, without an address that comes and goes with it: browsers mind."""
    ip("link", "set", link, "addrgenmode", "none")
    ip("link", "set", link, "up")


def skip_without_namespaces() -> None:
    """Skips the test where machines cannot be made."""
    probe = f"boxoffice-probe-{os.getpid()}"
    try:
        ip("netns", "add", probe)
        ip("link", "add", f"bxq{os.getpid()}", "type", "bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        pytest.skip(f"NO TEST OF SEVERAL MACHINES: network namespaces cannot be made here ({reason})")
    finally:
        for words in (("netns", "del", probe), ("link", "del", f"bxq{os.getpid()}")):
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                ip(*words)


class Network:
    """Two bridges, and the namespaces on them."""

    def __init__(self) -> None:
        for number in range(1, 250):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("link", "add", f"bxs{number}", "type", "bridge")  # whoever makes it has the number
                break
        else:
            raise RuntimeError("too many networks of tests are left: ip link")
        self.number = number
        self.names: list[str] = []
        ip("link", "add", f"bxp{number}", "type", "bridge")
        for place in (CLIENTS, DATABASE, STANDBY, CACHE, BROKER, SANDBOX):
            ip("addr", "add", f"{self.service(place)}/24", "dev", f"bxs{number}")
        for bridge in (f"bxs{number}", f"bxp{number}"):
            up(bridge)

    def service(self, place: int) -> str:
        """Where a service is."""
        return f"10.201.{self.number}.{place}"

    def namespace(self, name: str) -> str:
        return f"bx{self.number}-{name}"

    def address(self, name: str, network: str) -> str:
        return f"10.{201 if network == SERVICES else 202}.{self.number}.{10 + self.names.index(name)}"

    def add(self, name: str) -> None:
        """A machine without anything on it."""
        self.names.append(name)
        space = self.namespace(name)
        ip("netns", "add", space)
        ip("-n", space, "link", "set", "lo", "up")
        for network, bridge in ((SERVICES, f"bxs{self.number}"), (PEERS, f"bxp{self.number}")):
            outer = self._outer(name, network)
            ip("link", "add", outer, "type", "veth", "peer", "name", network, "netns", space)
            ip("link", "set", outer, "master", bridge)
            up(outer)
            ip("-n", space, "addr", "add", f"{self.address(name, network)}/24", "dev", network)
            ip("-n", space, "link", "set", network, "up")

    def cut(self, name: str, network: str) -> None:
        ip("link", "set", self._outer(name, network), "down")

    def mend(self, name: str, network: str) -> None:
        ip("link", "set", self._outer(name, network), "up")

    @contextlib.contextmanager
    def unheard(self, name: str, place: str | int) -> Iterator[None]:
        """What the machine sends to another one, or to a service, vanishes; what these send arrives."""
        network, address = self._way(name, place)
        words = (address, "dev", network)
        ip("-n", self.namespace(name), "neigh", "replace", *words, "lladdr", NOBODY, "nud", "permanent")
        try:
            yield
        finally:
            ip("-n", self.namespace(name), "neigh", "del", *words)

    @contextlib.contextmanager
    def deaf(self, name: str, place: str | int) -> Iterator[None]:
        """What another machine, or a service, sends to the machine vanishes; what it sends arrives there."""
        if isinstance(place, str):
            with self.unheard(place, name):
                yield
            return
        words = ("from", self.service(place), "to", self.address(name, SERVICES), "blackhole")
        ip("rule", "add", *words)
        try:
            yield
        finally:
            ip("rule", "del", *words)

    def _way(self, name: str, place: str | int) -> tuple[str, str]:
        """The network and the address by which the machine reaches another one, or a service."""
        if isinstance(place, str):
            return PEERS, self.address(place, PEERS)
        return SERVICES, self.service(place)

    def _outer(self, name: str, network: str) -> str:
        return f"bx{network[0]}{self.number}-{self.names.index(name)}"

    def destroy(self) -> None:
        """Its links by name, too: a namespace lives on for minutes while a connection has something left to say."""
        for words in (
            *(("link", "del", self._outer(name, each)) for name in self.names for each in (SERVICES, PEERS)),
            *(("netns", "del", self.namespace(name)) for name in self.names),
            ("link", "del", f"bxp{self.number}"),
            ("link", "del", f"bxs{self.number}"),
        ):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip(*words)


class Machine(Instance):
    """One machine: `boxoffice up`, in its namespace."""

    def __init__(self, network: Network, name: str, extra: dict[str, str], workers: int) -> None:
        address = network.address(name, SERVICES)
        self.name = name
        self._enter = (str(shutil.which("nsenter")), f"--net=/var/run/netns/{network.namespace(name)}")
        super().__init__(
            f"machine-{name}",
            f"http://{address}:8000",
            ("--host", address, "--workers", str(workers)),
            {**extra, "BOXOFFICE_NODE": name, "BOXOFFICE_NODE_ADDRESS": network.address(name, PEERS)},
            self._enter,
        )
        self.environment["BOXOFFICE_DATA_DIR"] = str(self.data_dir)  # for `command`

    async def command(self, *words: str) -> tuple[int, str]:
        """What a command of `boxoffice` on it says: exit code and output."""
        process = await asyncio.create_subprocess_exec(
            *(*self._enter, *BOXOFFICE, *words),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def destroy(self) -> None:
        """At once: leaving its cluster takes a while, and the others are about to go, too."""
        try:
            if self._child is not None:
                await self._child.kill()
        finally:
            await super().destroy()


class Cluster:
    """Machines by their names, and the services beside them."""

    def __init__(self, network: Network, machines: Sequence[Machine], database_url: str, hub: dict[str, Child]) -> None:
        self.network = network
        self.machines = {machine.name: machine for machine in machines}
        self.database_url = database_url
        self.hub = hub

    def processes(self) -> list[psutil.Process]:
        """All that runs for it: on the machines, and the services beside them."""
        found = [each for machine in self.machines.values() for each in marked(machine.data_dir)]
        return found + [each for name in self.hub for each in self.service(name)]

    def service(self, name: str) -> list[psutil.Process]:
        """The processes of a service beside the machines."""
        process = psutil.Process(self.hub[name].pid)
        return [process, *process.children(recursive=True)]

    async def kill(self, name: str) -> None:
        """`kill -9` of a service beside the machines."""
        for each in self.service(name):  # itself first: it would look after the others
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        await self.hub[name].kill()

    async def restart(self, name: str) -> None:
        """`kill -9` of a service beside the machines, and another start of it."""
        await self.kill(name)
        self.hub[name] = await Child.start(self.hub[name].program, given_environment())
        await self.hub[name].until_ready()

    @property
    def urls(self) -> list[str]:
        return [machine.base_url for machine in self.machines.values()]

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.database_url)
        try:
            yield connection
        finally:
            await connection.close()

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.database() as connection:
            return await connection.fetch(query, *arguments)

    def http(self, name: str) -> httpx.AsyncClient:
        """A client of one machine."""
        return self.machines[name].client(30)


MakeCluster = Callable[..., AbstractAsyncContextManager[Cluster]]


def services(network: Network, data_dir: Path) -> tuple[list[Program], dict[str, str]]:
    """The services beside the machines, on one address, and the variables that name them."""
    at = network.service
    database, cache, broker = postgres(data_dir), redis(data_dir), kafka(data_dir, 9092)
    rights = data_dir / "pg_hba.conf"
    anybody = f"10.201.{network.number}.0/24 trust"
    rights.write_text(f"local all all trust\nhost all all {anybody}\nhost replication all {anybody}\n")
    rights.chmod(0o644)

    async def broker_ready() -> None:
        await reach_tcp(f"{at(BROKER)}:9092")

    listening = ("-c", f"listen_addresses={at(DATABASE)}", "-c", f"hba_file={rights}")
    programs = [
        replace(database, argv=(*database.argv, *listening)),
        replace(cache, argv=(*cache.argv, "--port", "6379", "--bind", at(CACHE), "--protected-mode", "no")),
        replace(broker, argv=tuple(each.replace("127.0.0.1", at(BROKER)) for each in broker.argv), ready=broker_ready),
        Program(
            name="sandbox",
            argv=(sys.executable, "-m", "api.sandbox.server"),
            address="",
            environment={
                "BOXOFFICE_SANDBOX_URL": f"http://{at(SANDBOX)}:9000",
                "BOXOFFICE_SECRET": SECRET,
                "BOXOFFICE_DATA_DIR": str(data_dir),
                "BOXOFFICE_HOST": network.address(network.names[0], SERVICES),
            },
            log=data_dir / "logs" / "sandbox.log",
        ),
    ]
    return programs, {
        "DATABASE_URL": f"postgresql://postgres@{at(DATABASE)}:5432/boxoffice",
        "REDIS_URL": f"redis://{at(CACHE)}:6379",
        "KAFKA_BOOTSTRAP_SERVERS": f"{at(BROKER)}:9092",
        "BOXOFFICE_SANDBOX_URL": f"http://{at(SANDBOX)}:9000",
        "BOXOFFICE_SECRET": SECRET,
        "BOXOFFICE_OWNER_PROCESSES": "1",
    }


@contextlib.asynccontextmanager
async def cluster_of(*names: str, workers: int = 1, **extra: str) -> AsyncIterator[Cluster]:
    """Machines of these names, running; `extra` goes into their environment."""
    skip_without_namespaces()
    async with changing():
        network = Network()
    data_dir = Path(tempfile.mkdtemp(prefix="boxoffice-hub-"))
    children: dict[str, Child] = {}
    machines: list[Machine] = []
    try:
        async with changing():
            for name in names:
                network.add(name)
        programs, variables = services(network, data_dir)
        for program in programs:
            children[program.name] = await Child.start(program, given_environment())
        for child in children.values():
            await child.until_ready()
        machines += [Machine(network, name, {**variables, **extra}, workers) for name in names]
        cluster = Cluster(network, machines, variables["DATABASE_URL"], children)
        await asyncio.gather(*(machine.start() for machine in machines))
        yield cluster
    finally:
        for machine in machines:
            await machine.destroy()
        for child in reversed(children.values()):
            await child.stop()
        async with changing():
            network.destroy()
        remove_run_directory(data_dir)
        shutil.rmtree(data_dir, ignore_errors=True)
