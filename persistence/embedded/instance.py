"""What belongs to one data directory: its lock, its secret, its socket directory, its note of what runs, its processes.

Guarantees: one supervisor at a time holds a data directory (the kernel drops the lock with its holder, however that
dies); a process started for it is found again by the mark in its environment, and no other process is ever touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import psutil

from persistence.embedded.process import ProcessError

INSTANCE_VARIABLE = "BOXOFFICE_INSTANCE"  # which data directory a process belongs to
ROLE_VARIABLE = "BOXOFFICE_ROLE"  # which of its programs started it: a Ray actor's process carries "ray"
LONGEST_TEMPORARY_DIRECTORY = 24  # bytes; Ray's own socket names need 83 of the 107 a Unix socket's path may have
LOCK_TRIES, LOCK_PAUSE_SECONDS = 5, 0.02
PAUSE_SECONDS = 0.01
OTHERS_ONLY_READ = 0o755  # whatever the umask: who may write to the directory could put another secret there
END_SECONDS = 5.0  # a process sent SIGKILL is gone at once, unless the kernel is busy writing for it


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds this data directory."""


class RunNote(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: what runs, for `doctor` and other commands on the same data directory. Holds no secret.

    `environment` is what a process needs to reach the embedded services; outside ones come from one's own environment.
    """

    pid: int
    url: str
    ready: bool
    environment: dict[str, str]
    processes: dict[str, int]


def instance_of(data_dir: Path) -> str:
    """The mark that all processes of one data directory (of one user) carry in their environment."""
    return hashlib.sha256(f"{os.getuid()}:{data_dir.resolve()}".encode()).hexdigest()[:12]


def run_directory(data_dir: Path) -> Path:
    """A short directory for this data directory's sockets, since a Unix socket's path may have 107 bytes only.

    Nobody but us enters it. A directory of that name which isn't ours, or is a link, is refused: its owner could stand
    between us and our services.
    """
    return _private(_in_temporary(f"boxoffice-{instance_of(data_dir)}"), os.geteuid())


def socket_directory(data_dir: Path, user: tuple[int, int] | None) -> Path:
    """Where a server has its socket that runs as another user, given by uid and gid; None: it runs as we do.

    Such a server cannot enter our own directory, so it has one beside it, which only it and root enter.
    """
    if user is None:
        directory = run_directory(data_dir) / "pg"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory
    directory = _private(_in_temporary(_beside(data_dir)), os.geteuid(), user[0])
    os.chown(directory, *user)
    return directory


def remove_run_directory(data_dir: Path) -> None:
    """Removes the directories of sockets, once nothing runs on them any more."""
    shutil.rmtree(run_directory(data_dir), ignore_errors=True)
    if os.geteuid() == 0:
        shutil.rmtree(_in_temporary(_beside(data_dir)), ignore_errors=True)


def _beside(data_dir: Path) -> str:
    return f"boxoffice-{instance_of(data_dir)}-pg"


def _in_temporary(name: str) -> Path:
    temporary = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(temporary)) > LONGEST_TEMPORARY_DIRECTORY:
        temporary = Path("/tmp")  # noqa: S108  # what is found there is checked
    return temporary / name


def _private(path: Path, *owners: int) -> Path:
    """The directory, made where it is not there, which its owner alone enters. Raises `PermissionError`."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise PermissionError(f"{path} exists and isn't a directory of ours; remove it or set TMPDIR to another place")
    path.chmod(0o700)
    return path


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Holds the data directory for the time of the block, or raises `AlreadyRunningError` naming who holds it, and
    `ProcessError` where it cannot be made or written."""
    try:
        data_dir.mkdir(mode=OTHERS_ONLY_READ, parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("a+b", buffering=0)  # nothing is left to be written when it is closed
    except OSError as error:
        raise _unusable(data_dir, error) from error
    with lock as file:
        if not take(file):
            file.seek(0)
            holder = file.read().decode().strip() or "unknown"
            raise AlreadyRunningError(
                f"{data_dir} is in use by another `boxoffice up` (pid {holder}): stop that one, or give this one "
                "its own --data-dir and --port"
            )
        try:
            file.truncate(0)
            file.write(str(os.getpid()).encode())
            forget_note(data_dir)  # that of a run which was killed
        except OSError as error:
            raise _unusable(data_dir, error) from error
        yield


def _unusable(data_dir: Path, error: OSError) -> ProcessError:
    return ProcessError(f"{data_dir} cannot be used: {error.strerror}; choose another --data-dir")


def take(file: IO[bytes]) -> bool:
    """Takes the lock, also past somebody who only looks at it at this moment (`is_locked`)."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return True
    return False


def is_locked(data_dir: Path) -> bool:
    """Whether a supervisor holds the data directory at this moment."""
    try:
        with (data_dir / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def kept_secret(path: Path) -> str:
    """The secret in `path`, readable by its owner only; made on first use."""
    with contextlib.suppress(FileNotFoundError):
        found = path.read_text().strip()
        if found:
            return found
    made = secrets.token_hex(32)
    part = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())  # tokens signed with it must outlive a power cut as the bookings do
    part.replace(path)
    return made


def note(data_dir: Path, run: RunNote) -> None:
    """Writes `run.json`; a reader sees the old or the new one, never half of it. Raises `OSError`."""
    part = data_dir / f"run.json.{os.getpid()}"
    try:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(run)))
        part.chmod(0o600)
        part.replace(data_dir / "run.json")
    finally:
        part.unlink(missing_ok=True)  # half of it, where the disk is full


def read_note(data_dir: Path) -> RunNote | None:
    """What runs on this data directory, or None when nothing does."""
    if not is_locked(data_dir):
        return None
    try:
        found = msgspec.json.decode((data_dir / "run.json").read_bytes(), type=RunNote)
    except FileNotFoundError:  # it is just starting or stopping
        return None
    return found if str(found.pid) == (data_dir / "lock").read_text() else None


def forget_note(data_dir: Path) -> None:
    (data_dir / "run.json").unlink(missing_ok=True)


def marked(data_dir: Path, role: str | None = None) -> list[psutil.Process]:
    """The living processes started for this data directory, of one role or all; never ourselves or who started us."""
    instance = instance_of(data_dir)
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in mine or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environ = process.environ()
            if environ.get(INSTANCE_VARIABLE) == instance and role in (None, environ.get(ROLE_VARIABLE)):
                found.append(process)
    return found


def end_marked(data_dir: Path, role: str | None = None) -> int:
    """Ends those processes with SIGKILL, also what they start meanwhile; returns how many there were.

    Raises `ProcessError` where one stays all the same.
    """
    ended: set[int] = set()
    while found := marked(data_dir, role):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        ended.update(process.pid for process in found)
        deadline = time.monotonic() + END_SECONDS
        while alive := [process for process in found if lives(process)]:
            if time.monotonic() > deadline:
                raise ProcessError(f"processes do not end, even on SIGKILL: {', '.join(map(str, alive))}")
            time.sleep(PAUSE_SECONDS)
    return len(ended)


def lives(process: psutil.Process) -> bool:
    """Whether it still runs. Never waits for it: that would take the exit code from the parent it may have in us."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
