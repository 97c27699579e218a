"""Apache Kafka itself, without Docker: fetched once, one broker on loopback that dies with whoever started it.

`python -m loadtest.apache_kafka` runs one until Ctrl-C. The jars come from Maven Central, named with their SHA-256 in
`apache_kafka.lock`, and are kept in the user's cache; none is run whose checksum differs. It needs Java 17 or newer.

Unlike the embedded broker it keeps its topics over a restart, and has idempotent producers, log-ins and TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Literal

import httpx
from aiokafka.client import AIOKafkaClient
from msgspec import Struct

from persistence.embedded.outside import reach_tcp
from persistence.embedded.process import Child, ProcessError, Program, child_environment, free_port, running

VERSION = "4.1.1"  # the same as in docker-compose.yml
LOCK = Path(__file__).with_name("apache_kafka.lock")
REPOSITORY = "https://repo1.maven.org/maven2"
OLDEST_JAVA = 17
DOWNLOADS = 6  # at a time
HOST = "127.0.0.1"
CLUSTER_ID = "boxoffice-test-cluster"  # any 22 characters of base64
# Enough for some topics of a test; C1 alone starts in two thirds of the time, and a test's broker never gets hot.
JVM_OPTIONS = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
STOP_SECONDS = 30.0


class CannotFetch(RuntimeError):
    """Apache Kafka cannot be had here; the message says what is missing."""


class Jar(Struct, frozen=True):
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def url(self) -> str:
        return f"{REPOSITORY}/{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


class Access(Struct, frozen=True):
    """How clients get in: the protocol of their listener, and who may log in with which password."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    users: Mapping[str, str] = {}


OPEN = Access()


def locked_jars(lock: Path = LOCK) -> list[Jar]:
    """What is to be fetched."""
    lines = [re.split("[: ]", line) for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return [Jar(group, artifact, version, sha256) for group, artifact, version, sha256 in lines]


def cache_dir() -> Path:
    """Where the jars are kept, for all checkouts of one user."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "boxoffice" / f"kafka-{VERSION}"


def java() -> str:
    """The Java to run it with. Raises `CannotFetch`."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(str(Path(home) / "bin" / "java")) if home else shutil.which("java")
    if found is None:
        raise CannotFetch(f"Apache Kafka needs Java {OLDEST_JAVA}: there is no java " + (home or "on the PATH"))
    return os.path.realpath(found)  # keytool is beside it


async def check_java(program: str) -> None:
    """Raises `CannotFetch` where it is too old."""
    process = await asyncio.create_subprocess_exec(
        program, "-version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    version = re.search(rb'version "(\d+)', output)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise CannotFetch(
            f"Apache Kafka needs Java {OLDEST_JAVA}, and {program} is {output.decode().partition(chr(10))[0]}"
        )


async def fetch(directory: Path | None = None, jars: Iterable[Jar] | None = None) -> Path:
    """The directory with all jars, fetched where they are missing. Raises `CannotFetch`."""
    directory = directory or cache_dir()
    directory.mkdir(parents=True, exist_ok=True)
    wanted = list(jars) if jars is not None else locked_jars()
    missing = [jar for jar in wanted if not await asyncio.to_thread(_is, directory / jar.name, jar.sha256)]
    if missing:
        turn = asyncio.Semaphore(DOWNLOADS)
        async with httpx.AsyncClient(timeout=60) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for jar in missing:
                        group.create_task(_fetch(client, jar, directory, turn))
            except* httpx.HTTPError as errors:
                raise CannotFetch(f"cannot be fetched from {REPOSITORY}: {errors.exceptions[0]!r}") from errors
            except* CannotFetch as errors:
                raise errors.exceptions[0] from None
    return directory


async def _fetch(client: httpx.AsyncClient, jar: Jar, directory: Path, turn: asyncio.Semaphore) -> None:
    async with turn:
        answer = (await client.get(jar.url)).raise_for_status()
    found = hashlib.sha256(answer.content).hexdigest()
    if found != jar.sha256:
        raise CannotFetch(f"{jar.url} has the SHA-256 {found}, not {jar.sha256} as in {LOCK.name}")
    part = directory / f"{jar.name}.{os.getpid()}"
    part.write_bytes(answer.content)
    part.replace(directory / jar.name)


def _is(path: Path, sha256: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    return False


def apache_kafka(
    jars: Path,
    data_dir: Path,
    port: int | None = None,
    *,
    access: Access = OPEN,
    advertised: str | None = None,
    properties: Mapping[str, str] | None = None,
) -> Program:
    """One broker, its own controller, on `port` of loopback; `properties` go into its configuration.

    The directory keeps what it has: a second broker on it has the topics of the first. With TLS, `ca.pem` in it is the
    certificate to trust. Clients are sent to `advertised` where something stands between them and the broker.
    """
    directory = data_dir / "apache-kafka"
    port = port or free_port(HOST)
    internal = free_port(HOST)  # without log-in: how the broker reaches itself, and how it is seen to be ready
    ports = {"CLIENT": port, "INTERNAL": internal, "CONTROLLER": free_port(HOST)}
    configuration = directory / "server.properties"
    settings = {**_properties(directory, ports, access, advertised or f"{HOST}:{port}"), **(properties or {})}
    run = (java(), *JVM_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*")

    async def prepare() -> None:
        directory.mkdir(parents=True, exist_ok=True)
        configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if access.protocol.endswith("SSL"):
            await _make_certificate(directory)
        if not (directory / "data" / "meta.properties").exists():
            await _finish(_format(run, configuration, directory, access))

    async def ready() -> None:
        await reach_tcp(f"{HOST}:{internal}")  # the client would log each of its failures
        client = AIOKafkaClient(bootstrap_servers=f"{HOST}:{internal}", request_timeout_ms=2_000)
        try:
            await client.bootstrap()
            if not client.cluster.brokers():
                raise ConnectionError("it has not joined its own cluster yet")
        finally:
            await client.close()

    return Program(
        name="apache-kafka",
        argv=(*run, "kafka.Kafka", str(configuration)),
        address=f"{HOST}:{port}",
        prepare=prepare,
        ready=ready,
        stop_seconds=STOP_SECONDS,
        log=data_dir / "logs" / "apache-kafka.log",
    )


def _properties(directory: Path, ports: Mapping[str, int], access: Access, advertised: str) -> dict[str, str]:
    listeners = {name: f"{name}://{HOST}:{port}" for name, port in ports.items()}
    settings = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": f"1@{HOST}:{ports['CONTROLLER']}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": f"CLIENT://{advertised},{listeners['INTERNAL']}",
        "listener.security.protocol.map": f"CLIENT:{access.protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "log.dirs": str(directory / "data"),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),  # 128 MiB of heap otherwise
    }
    if access.protocol.startswith("SASL"):
        users = " ".join(f'user_{name}="{password}"' for name, password in access.users.items())
        login = "org.apache.kafka.common.security"
        settings |= {
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.client.plain.sasl.jaas.config": f"{login}.plain.PlainLoginModule required {users};",
            "listener.name.client.scram-sha-256.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
            "listener.name.client.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        }
    if access.protocol.endswith("SSL"):
        settings |= {
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(directory / "key.p12"),
            "ssl.keystore.password": _KEY_PASSWORD,
        }
    return settings


def _format(run: tuple[str, ...], configuration: Path, directory: Path, access: Access) -> Program:
    """Makes the empty storage, which also holds the passwords of SCRAM."""
    scram = [
        argument
        for name, password in access.users.items()
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
    ]
    return Program(
        name="apache-kafka storage",
        argv=(*run, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(configuration), *scram),
        address="",
        log=directory / "format.log",
    )


_KEY_PASSWORD = "loopback"  # noqa: S105  # of a key that lives as long as a test


async def _make_certificate(directory: Path) -> None:
    """A key for the broker, and `ca.pem`, by which clients know it."""
    if (directory / "ca.pem").exists():
        return
    keytool = Path(java()).with_name("keytool")
    store = ("-alias", "kafka", "-keystore", str(directory / "key.p12"), "-storepass", _KEY_PASSWORD)
    subject = ("-dname", "CN=localhost", "-ext", f"SAN=DNS:localhost,IP:{HOST}", "-ext", "BC=ca:true")
    steps = (
        ("-genkeypair", "-keyalg", "EC", "-validity", "30", "-storetype", "PKCS12", *store, *subject),
        ("-exportcert", "-rfc", "-file", str(directory / "ca.pem"), *store),
    )
    for number, arguments in enumerate(steps):
        log = directory / f"keytool-{number}.log"
        await _finish(Program(name="keytool", argv=(str(keytool), *arguments), address="", log=log))


async def _finish(program: Program) -> None:
    """Runs a program to its end. Raises `ProcessError` where it fails."""
    child = await Child.start(program, child_environment(os.environ))
    try:
        code = await child.wait()
    finally:
        await child.stop()
    if code != 0:
        assert program.log is not None
        raise ProcessError(f"{program.name} ended with exit code {code}:\n{program.log.read_text()[-2000:]}")


@contextlib.asynccontextmanager
async def running_apache_kafka(data_dir: Path, port: int | None = None) -> AsyncIterator[Child]:
    """A broker for the time of the block. Raises `CannotFetch` or `ProcessError`."""
    await check_java(java())
    async with running(apache_kafka(await fetch(), data_dir, port)) as child:
        yield child


async def main(arguments: argparse.Namespace) -> None:
    """Runs a broker until it is told to stop, or fetches it only. Raises `CannotFetch` or `ProcessError`."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with contextlib.ExitStack() as closing:
        if arguments.fetch:
            await check_java(java())
            print(await fetch())
            return
        made = arguments.data_dir or closing.enter_context(tempfile.TemporaryDirectory(prefix="apache-kafka-"))
        async with running_apache_kafka(Path(made), arguments.port) as child:
            print(f"KAFKA_BOOTSTRAP_SERVERS={child.program.address}", flush=True)
            ended = asyncio.create_task(child.wait())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if ended.done():
                raise ProcessError(f"the broker ended by itself; see {child.program.log}")
            ended.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m loadtest.apache_kafka", description=__doc__)
    parser.add_argument(
        "--data-dir",
        type=lambda text: Path(text).resolve(),
        help="where its topics are kept; by default they go with it",
    )
    parser.add_argument("--port", type=int, help="by default a free one")
    parser.add_argument("--fetch", action="store_true", help="only fetch it, and say where it is")
    try:
        asyncio.run(main(parser.parse_args()))
    except (CannotFetch, ProcessError) as failure:
        sys.exit(str(failure))
