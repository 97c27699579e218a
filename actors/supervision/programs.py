"""The processes of our own that an instance runs: API workers, background process, receivers, mails, payment sandbox.

They are named by module, and started with `python -m` or forked where the module is imported already
(`actors/supervision/forking.py`); this file imports none of them.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from actors.process.settings import local_url
from persistence.embedded.instance import run_directory
from persistence.embedded.outside import reach_tcp
from persistence.embedded.process import Program

WORKER = "api.server.worker"
BACKGROUND = "actors.background.main"
RECEIVERS = "actors.receivers.main"
MAILS = "actors.mail.main"
SANDBOX = "api.sandbox.server"
LISTEN_FD_VARIABLE = "BOXOFFICE_LISTEN_FD"  # the listening socket a worker inherits
READY_FILE_VARIABLE = "BOXOFFICE_READY_FILE"  # a worker makes this file once it serves
BACKLOG = 2048  # connections waiting to be accepted: a crowd arriving while a worker is being replaced
WORKER_GRACE_SECONDS = 5.0  # a worker that is told to stop gives the requests under way so long, then turns them away
WORKER_STOP_SECONDS = WORKER_GRACE_SECONDS + 3.0  # to turn them away, and to let go of what it holds


class AddressError(RuntimeError):
    """The HTTP address cannot be listened on; the message says why and what to do."""


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The listening socket that all API workers share (port 0: any free one). Raises `AddressError`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise AddressError(f"--host {host}: {error.strerror}") from error
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise AddressError(explain(host, port, error)) from error
        listener.setblocking(False)
        yield listener


def refuse(listener: socket.socket) -> None:
    """Has connections refused, whoever else holds the socket: with nobody to accept them they would hang."""
    with contextlib.suppress(OSError):  # where the system knows no such thing, they hang until all have closed it
        listener.shutdown(socket.SHUT_RDWR)


def explain(host: str, port: int, error: OSError) -> str:
    """Why the address cannot be listened on and what to do about it, for a person."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by {user_of(port)}: stop that, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights than this user has: choose one from 1024 up with --port"
    return f"cannot listen on {host}, port {port}: {error.strerror}"


def user_of(port: int) -> str:
    """Who listens on the port, as far as we are allowed to know."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and getattr(connection.laddr, "port", None) == port
                and connection.pid
            ):
                words = " ".join(psutil.Process(connection.pid).cmdline())
                return f"pid {connection.pid} ({words[:80]})"
    return "another program"


def worker(number: int, listener: socket.socket, data_dir: Path) -> Program:
    """API worker `number` (from 1), ready when it says so itself: its application has started and it accepts."""
    host, port = listener.getsockname()[:2]
    ready_file = run_directory(data_dir) / f"worker-{number}.ready"

    async def prepare() -> None:
        ready_file.unlink(missing_ok=True)

    async def ready() -> None:
        if not ready_file.exists():
            raise ConnectionError("its application has not started yet")

    return Program(
        name=f"worker-{number}",
        argv=words_of(WORKER),
        module=WORKER,
        address=local_url(host, port),
        prepare=prepare,
        ready=ready,
        environment={LISTEN_FD_VARIABLE: str(listener.fileno()), READY_FILE_VARIABLE: str(ready_file)},
        pass_fds=(listener.fileno(),),
        stop_seconds=WORKER_STOP_SECONDS,
    )


def background() -> Program:
    """The process that does what no customer asks for: expiring holds, events not yet published, payments in doubt."""
    return Program(name="background", argv=words_of(BACKGROUND), module=BACKGROUND, address="")


def receivers() -> Program:
    """The process of the services that keep data of their own from the events."""
    return Program(name="receivers", argv=words_of(RECEIVERS), module=RECEIVERS, address="")


def mails() -> Program:
    """The process that sends what customers are to be told."""
    return Program(name="mails", argv=words_of(MAILS), module=MAILS, address="")


def sandbox(url: str) -> Program:
    """The payment provider for trying things out."""

    async def ready() -> None:
        await reach_tcp(url.partition("://")[2])

    return Program(name="sandbox", argv=words_of(SANDBOX), module=SANDBOX, address=url, ready=ready)


def words_of(module: str) -> tuple[str, ...]:
    """The command line that runs a module of ours."""
    return (sys.executable, "-m", module)
