"""The system that is driven: one of our own in a temporary directory, or one that runs already.

A stack of our own is started the way a user starts it, by `boxoffice up`, and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
import msgspec
import psutil
from msgspec import Struct

from actors.process.settings import VARIABLES, Settings
from loadtest.http_client import Client
from persistence.embedded.instance import read_note, remove_run_directory
from persistence.embedded.process import Program, child_environment, free_port, running
from persistence.events.options import KafkaOptions

ADMIN_EMAIL = "admin@loadtest.example"
STOP_SECONDS = 30.0
OWNER = "ray::OwnerProcess"  # the title Ray gives to a process of owners


class StackError(RuntimeError):
    """The system cannot be driven; the message says what is missing."""


class Stack(Struct, frozen=True, kw_only=True):
    """A running system, with what an auditor needs to look behind it."""

    url: str
    admin_email: str
    admin_password: str
    database_url: str
    kafka: KafkaOptions
    environment: dict[str, str] = {}  # what a process needs to join the embedded services
    data_dir: Path | None = None  # of a system of our own

    async def admin(self) -> Client:
        """A connection logged in as an admin."""
        return await logged_in(self.url, self.admin_email, self.admin_password)


async def logged_in(url: str, email: str, password: str) -> Client:
    """A connection with a session. Raises `StackError` where the log-in is refused."""
    client = Client(url)
    answer = await client.patient("POST", "/v1/sessions", {"email": email, "password": password})
    if answer.status != 201:
        raise StackError(f"cannot log in as {email}: {answer.status} {answer.body[:300].decode(errors='replace')}")
    client.token = answer.json()["access_token"]
    return client


@contextlib.asynccontextmanager
async def own_stack(
    extra: Mapping[str, str] | None = None, *, kept: Path | None = None, demo: bool = False
) -> AsyncIterator[Stack]:
    """A whole system in a temporary directory, with fair use switched off. `extra` goes into its environment.

    `kept`: a directory of the caller's own instead, which may hold an earlier system's data, and stays. `demo`: with
    the demo season.
    """
    directory = kept or Path(tempfile.mkdtemp(prefix="boxoffice-loadtest-"))
    password = secrets.token_urlsafe(16)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = child_environment(
        inherited_environment(),
        BOXOFFICE_FAIR_USE="off",
        BOXOFFICE_ADMIN_EMAIL=ADMIN_EMAIL,
        BOXOFFICE_ADMIN_PASSWORD=password,
        **(extra or {}),
    )

    async def ready() -> None:
        note = read_note(directory)
        if note is None or not note.ready:
            raise StackError("still starting")
        async with httpx.AsyncClient(timeout=5) as client:
            (await client.get(f"{url}/readyz")).raise_for_status()

    program = Program(
        name="boxoffice",
        argv=(
            *(sys.executable, "-m", "api.command_line.cli", "up", "--demo" if demo else "--no-demo"),
            *("--port", str(port)),
            *("--data-dir", str(directory)),
        ),
        address=url,
        ready=ready,
        stop_seconds=STOP_SECONDS,
        log=directory / "boxoffice.log",
    )
    try:
        async with running(program, environment):
            note = read_note(directory)
            assert note is not None, "it was ready a moment ago"
            settings = Settings.from_environment({**environment, **note.environment})
            stack = _stack(url, ADMIN_EMAIL, password, settings)
            yield msgspec.structs.replace(stack, environment=dict(note.environment), data_dir=directory)
    finally:
        remove_run_directory(directory)
        if kept is None:
            shutil.rmtree(directory, ignore_errors=True)


def inherited_environment() -> dict[str, str]:
    """Our environment without what is meant for another instance."""
    others = set(VARIABLES.values())
    ours = ("BOXOFFICE_CI_RUN",)  # by which CI finds what was left behind
    return {
        name: value
        for name, value in os.environ.items()
        if name in ours or (name not in others and not name.startswith("BOXOFFICE_"))
    }


def running_stack(url: str, settings: Settings) -> Stack:
    """A system that runs already: its services and an admin are named by the environment. Raises `StackError`."""
    if settings.admin_email is None or settings.admin_password is None:
        raise StackError("BOXOFFICE_ADMIN_EMAIL and BOXOFFICE_ADMIN_PASSWORD must name an admin of the running system")
    return _stack(url, settings.admin_email, settings.admin_password, settings)


def _stack(url: str, email: str, password: str, settings: Settings) -> Stack:
    if settings.database_url is None or settings.kafka is None:
        raise StackError("DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS must name the services of the running system")
    return Stack(
        url=url.rstrip("/"),
        admin_email=email,
        admin_password=password,
        database_url=settings.database_url,
        kafka=settings.kafka,
    )


def words_of(process: psutil.Process) -> str:
    """A process's command line; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
