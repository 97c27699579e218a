"""The embedded services: usable when said ready, durable where promised; and what belongs to one data directory."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from redis.asyncio import Redis

from persistence.embedded.instance import (
    AlreadyRunningError,
    RunNote,
    forget_note,
    is_locked,
    kept_secret,
    locked,
    note,
    read_note,
    remove_run_directory,
    run_directory,
    socket_directory,
)
from persistence.embedded.outside import shown
from persistence.embedded.postgres import postgres, server_user
from persistence.embedded.process import PORTS, ProcessError, executable, free_port, running

LINUX = sys.platform == "linux"
UNIX_SOCKET_LIMIT = 107
LONGEST_SOCKET = "ray/session_2026-11-22_15-09-37_796241_4194304/sockets/plasma_store"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that PostgreSQL's own user can be let into."""
    path = Path(tempfile.mkdtemp(prefix="boxoffice-test-"))
    yield path
    remove_run_directory(path)
    shutil.rmtree(path, ignore_errors=True)


def test_a_free_port_is_listened_on_by_nobody_and_given_to_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is started again would find a connection there, whose own end it is."""
    first, *_ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split() if LINUX else ["49152"]
    assert PORTS[-1] < int(first)
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        monkeypatch.setattr("persistence.embedded.process.PORTS", [taken.getsockname()[1]])
        with pytest.raises(ProcessError, match="no port"):
            free_port()


@pytest.mark.skipif(not LINUX, reason="by names that only Linux has")
def test_a_port_that_nobody_listens_on_yet_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four test processes start a dozen programs each, and some take many seconds until they listen."""
    first, second = (free_port() for _ in range(2))
    assert first != second
    monkeypatch.setattr("persistence.embedded.process.PORTS", [first, second])
    with pytest.raises(ProcessError, match="no port"):
        free_port()
    code = f"from persistence.embedded import process; process.PORTS = [{first}, {second}]; process.free_port()"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "no port" in elsewhere.stderr


async def test_postgres_is_durable_and_reached_through_its_socket_only(data_dir: Path) -> None:
    program = postgres(data_dir)
    async with running(program):
        connection = await asyncpg.connect(program.address)
        try:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert await connection.fetchval("SELECT current_setting($1)", name) == "on", name
            assert await connection.fetchval("SELECT current_setting('listen_addresses')") == ""
            assert await connection.fetchval("SELECT current_database()") == "boxoffice"
        finally:
            await connection.close()


async def test_postgres_keeps_what_was_committed_when_it_is_killed_and_starts_past_its_stale_lock(
    data_dir: Path,
) -> None:
    program = postgres(data_dir)
    async with running(program) as server:
        connection = await asyncpg.connect(program.address)
        await connection.execute("CREATE TABLE kept (it int); INSERT INTO kept VALUES (1)")
        connection.terminate()
        await server.kill()
    lock = data_dir / "postgres" / "postmaster.pid"
    lock.write_text(lock.read_text().replace(str(server.pid), str(os.getpid()), 1))  # its pid has come again
    async with running(program):
        connection = await asyncpg.connect(program.address)
        assert await connection.fetchval("SELECT it FROM kept") == 1
        await connection.close()


async def test_postgres_leaves_a_server_alone_that_runs_on_its_cluster_already(data_dir: Path) -> None:
    program = postgres(data_dir)
    async with running(program) as server:
        with pytest.raises(ProcessError, match=f"another PostgreSQL server \\(pid {server.pid}\\) runs on"):
            async with running(program):
                pass
        connection = await asyncpg.connect(program.address)
        await connection.close()


async def test_redis_answers_on_its_private_socket_and_keeps_nothing(redis_url: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.set("test:embedded", "yes")
        assert await client.get("test:embedded") == "yes"
        assert await client.config_get("save") == {"save": ""}
        assert await client.config_get("appendonly") == {"appendonly": "no"}
        assert await client.config_get("port") == {"port": "0"}
    assert stat.S_IMODE(os.stat(redis_url.removeprefix("unix://")).st_mode) == 0o700


async def test_the_broker_speaks_kafka(kafka_servers: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
    await client.start()
    try:
        assert isinstance(await client.list_topics(), list)
    finally:
        await client.close()


def test_sockets_fit_however_deep_the_data_directory_is(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*("deep" * 5 for _ in range(10)))
    directory = run_directory(deep)
    try:
        assert len(os.fsencode(directory / LONGEST_SOCKET)) <= UNIX_SOCKET_LIMIT
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    finally:
        remove_run_directory(deep)


def test_a_run_directory_that_somebody_else_has_put_there_is_refused(tmp_path: Path) -> None:
    path = run_directory(tmp_path)
    path.rmdir()
    path.symlink_to(tmp_path)
    try:
        with pytest.raises(PermissionError, match="isn't a directory of ours"):
            run_directory(tmp_path)
    finally:
        path.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_run_by_root_nobody_else_reaches_any_socket(data_dir: Path) -> None:
    """PostgreSQL's own user reaches its own socket, and nothing of ours."""
    directory = run_directory(data_dir)
    (directory / "ray").mkdir(mode=0o777)
    program = postgres(data_dir)
    sockets = Path(program.address.partition("host=")[2])
    owner = sockets.stat()
    assert (stat.S_IMODE(owner.st_mode), owner.st_uid) == (0o700, server_user(data_dir / "postgres")[0])  # type: ignore[index]  # root starts it as another user
    nobody = pwd.getpwnam("nobody").pw_uid
    looks = "import os, sys; [os.stat(path) for path in sys.argv[1:]]"
    for uid, path, reached in (
        (nobody, directory / "ray", False),
        (nobody, sockets / "x", False),
        (owner.st_uid, directory / "ray", False),
        (owner.st_uid, sockets, True),
    ):
        look = subprocess.run(["python3", "-I", "-c", looks, str(path)], user=uid, capture_output=True, check=False)
        assert (look.returncode == 0) == reached, (uid, path, look.stderr)
    remove_run_directory(data_dir)
    assert not sockets.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_a_socket_directory_that_somebody_else_has_put_there_is_refused(tmp_path: Path) -> None:
    user = (pwd.getpwnam("daemon").pw_uid, pwd.getpwnam("daemon").pw_gid)
    path = socket_directory(tmp_path, user)
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(PermissionError, match="isn't a directory of ours"):
        socket_directory(tmp_path, user)


def test_a_data_directory_has_one_holder_which_is_named(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(AlreadyRunningError, match=f"pid {os.getpid()}"), locked(tmp_path):
            pass
    assert not is_locked(tmp_path)


def test_a_note_is_read_only_while_the_run_that_wrote_it_lives(tmp_path: Path) -> None:
    written = RunNote(pid=os.getpid(), url="http://x", ready=True, environment={}, processes={})
    note(tmp_path, written)
    assert read_note(tmp_path) is None
    with locked(tmp_path):
        assert read_note(tmp_path) is None  # that of an earlier run
        note(tmp_path, written)
        assert read_note(tmp_path) == written
        forget_note(tmp_path)
        assert read_note(tmp_path) is None


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    made = kept_secret(tmp_path / "secret")
    assert len(made) == 64
    assert kept_secret(tmp_path / "secret") == made
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_program_unpacked_without_the_right_to_run_is_copied(tmp_path: Path) -> None:
    found = tmp_path / "program"
    found.write_text("#!/bin/sh\n")
    found.chmod(0o644)
    copy = executable(found, tmp_path)
    assert copy != str(found)
    assert os.access(copy, os.X_OK)
    found.chmod(0o755)
    assert executable(found, tmp_path) == str(found)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql://me:hush@db:5432/x?sslmode=require", "postgresql://me:***@db:5432/x?sslmode=require"),
        ("redis://:hush@cache/0", "redis://:***@cache/0"),
        ("postgresql://postgres@/x?host=/run", "postgresql://postgres@/x?host=/run"),
        ("postgresql://db/x?user=me&password=hush&ssl=on", "postgresql://db/x?user=me&password=***&ssl=on"),
        *((f"postgresql://me:hu{each}sh@db/x", "postgresql://me:***@db/x") for each in "#?/@[]: "),
        ("127.0.0.1:9092,127.0.0.1:9093", "127.0.0.1:9092,127.0.0.1:9093"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, seen: str) -> None:
    assert shown(url) == seen


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("long" * 100)):
        with pytest.raises(ProcessError, match="cannot be used"), locked(place):
            pass


def test_a_data_directory_on_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("persistence.embedded.instance.forget_note", no_room)
    with pytest.raises(ProcessError, match=f"{tmp_path} cannot be used: No space left on device"), locked(tmp_path):
        pytest.fail("it is held")


def test_nobody_else_writes_to_a_data_directory_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with locked(tmp_path / "data"):
            assert (tmp_path / "data").stat().st_mode & 0o022 == 0
    finally:
        os.umask(before)
