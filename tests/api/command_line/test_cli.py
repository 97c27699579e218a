"""`boxoffice`, the program: what it does, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from actors.process.settings import NEEDED
from tests.conftest import Stack
from tests.support.sale import open_sale
from tests.support.services import commands
from tests.support.services.instance import given_environment


async def boxoffice(*arguments: str, **environment: str) -> tuple[int, str]:
    """Runs the program to its end; its exit code and all it printed."""
    return await commands.run(arguments, {**given_environment(), "BOXOFFICE_ADMIN_PASSWORD": "", **environment})


def test_help_names_every_command() -> None:
    started = subprocess.run([sys.executable, "-m", "api.command_line.cli", "--help"], capture_output=True, text=True)
    output = started.stdout
    assert started.returncode == 0
    for command in ("up", "migrate", "demo", "admin", "doctor", "top", "reconcile", "audit", "backup", "restore"):
        assert command in output


def test_the_version_is_told() -> None:
    started = subprocess.run(
        [sys.executable, "-m", "api.command_line.cli", "--version"], capture_output=True, text=True
    )
    assert (started.returncode, started.stdout) == (0, f"boxoffice {version('boxoffice')}\n")


def test_a_command_waits_for_no_library_that_only_others_need() -> None:
    heavy = "aiohttp", "asyncpg", "fastapi", "httpx", "ray", "redis", "sqlalchemy", "structlog"
    program = f"import sys, api.command_line.cli; print(*sorted(sys.modules.keys() & {set(heavy)}))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []


def test_ctrl_c_while_it_is_imported_ends_it_without_a_word() -> None:
    interrupted = """
import os, signal, sys

class Impatient:
    def find_spec(self, name, *_):
        if name == "api.command_line.cli":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in a shell's background
sys.meta_path.insert(0, Impatient())
from api.command_line.start import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    "command",
    [
        ("migrate",),
        ("admin", "create", "--email", "a@tests.example"),
        ("audit", "verify"),
        ("audit", "export"),
        ("reconcile",),
        ("top",),
        ("top", "--once", "--json"),
    ],
)
async def test_a_command_that_needs_a_running_system_says_so(command: tuple[str, ...], tmp_path: Path) -> None:
    code, output = await boxoffice(*command, "--data-dir", str(tmp_path))
    assert code == 1
    assert f"nothing runs on {tmp_path}: start `boxoffice up` first, or set DATABASE_URL" in output


async def test_a_variable_with_an_impossible_value_is_named() -> None:
    code, output = await boxoffice("up", BOXOFFICE_PORT="eighty")
    assert code == 1
    assert "BOXOFFICE_PORT='eighty'" in output
    assert "Traceback" not in output


async def test_doctor_without_a_running_system_looks_at_what_a_start_would_find(tmp_path: Path) -> None:
    code, output = await boxoffice("doctor", "--data-dir", str(tmp_path), BOXOFFICE_PORT="0")
    assert code == 0, output
    assert output.count("embedded, not running") == 4


async def test_doctor_fails_when_a_service_is_away_and_says_what_to_do(tmp_path: Path) -> None:
    code, output = await boxoffice(
        "doctor", "--data-dir", str(tmp_path), BOXOFFICE_PORT="0", DATABASE_URL="postgresql://u:hush@127.0.0.1:1/x"
    )
    assert code == 1
    assert "DATABASE_URL" in output
    assert "hush" not in output


async def test_reconcile_needs_all_that_it_compares(tmp_path: Path) -> None:
    code, output = await boxoffice(
        "reconcile", "--data-dir", str(tmp_path), DATABASE_URL="postgresql://u:hush@127.0.0.1:1/x"
    )
    assert code == 1
    assert "REDIS_URL and RAY_ADDRESS must be set, or `boxoffice up` must be running" in output
    assert "hush" not in output


@pytest.mark.stack
class TestBesideARunningSystem:
    """Commands on the data directory of a system that runs."""

    async def test_a_second_up_names_the_one_that_holds_the_data_directory(self, stack: Stack) -> None:
        code, output = await boxoffice("up", "--data-dir", str(stack.data_dir), "--port", "0")
        assert code == 1
        assert f"is in use by another `boxoffice up` (pid {stack.pid})" in output
        assert "Traceback" not in output

    async def test_up_on_a_taken_port_says_so(self, stack: Stack, tmp_path: Path) -> None:
        code, output = await boxoffice("up", "--data-dir", str(tmp_path), "--port", str(stack.port))
        assert code == 1
        assert f"port {stack.port} on 127.0.0.1 is in use by pid " in output
        assert "--port" in output

    async def test_doctor_finds_everything_well(self, stack: Stack) -> None:
        code, output = await boxoffice("doctor", "--data-dir", str(stack.data_dir))
        assert code == 0, output
        for healthy in (
            "fsync=on",
            "synchronous_commit=on",
            "topic booking-events",
            "CPU",
            f"ready at {stack.base_url}",
        ):
            assert healthy in output

    async def test_migrate_finds_the_running_database(self, stack: Stack) -> None:
        assert await boxoffice("migrate", "--data-dir", str(stack.data_dir)) == (0, "The database is up to date.\n")

    @pytest.mark.parametrize(
        ("schedule_id", "complaint"),
        [
            ("0199f3a0-0000-7000-8000-000000000000", "there is no schedule 0199f3a0-0000-7000-8000-000000000000"),
            ("carmen", "carmen is no id of a schedule"),
        ],
    )
    async def test_reconcile_says_that_it_does_not_know_a_schedule(
        self, stack: Stack, schedule_id: str, complaint: str
    ) -> None:
        code, output = await boxoffice("reconcile", schedule_id, "--data-dir", str(stack.data_dir))
        assert code == 1
        assert complaint in output
        assert "Traceback" not in output

    async def test_reconcile_shows_every_check_of_one_schedule(self, stack: Stack, http: httpx.AsyncClient) -> None:
        sale = await open_sale(http)
        code, output = await boxoffice("reconcile", sale.schedule_id, "--data-dir", str(stack.data_dir))
        assert code == 0, output
        assert f"Schedule {sale.schedule_id} at version 1" in output
        for name in ("journal_is_whole", "money_is_conserved", "provider_books_agree", "published_equals_head"):
            assert name in output
        assert "1 schedule examined: everything agrees." in output

    @pytest.mark.parametrize(("words", "code"), [(("audit", "export"), 1), (("top",), 0), (("top", "--json"), 0)])
    async def test_whoever_has_read_enough_is_no_trouble_of_the_database(
        self, stack: Stack, words: tuple[str, ...], code: int
    ) -> None:
        """What has an end is not whole then; what has none has ended as it was to."""
        program = "import os, sys; os.close(int(sys.argv.pop(1))); from api.command_line.cli import app; app()"
        reads, writes = os.pipe()  # nobody reads
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(reads), *words, "--data-dir", str(stack.data_dir)),
            stdout=writes,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(reads,),
            env=given_environment(),
        )
        os.close(reads)
        os.close(writes)
        assert await started.communicate() == (None, b"")
        assert started.returncode == code

    async def test_an_admin_is_created_once_and_can_log_in(self, stack: Stack, http: httpx.AsyncClient) -> None:
        command = ("admin", "create", "--email", "second@tests.example", "--data-dir", str(stack.data_dir))
        code, output = await boxoffice(*command, BOXOFFICE_ADMIN_PASSWORD="a long password")
        assert code == 0, output
        answer = await http.post("/v1/sessions", json={"email": "second@tests.example", "password": "a long password"})
        assert answer.status_code == httpx.codes.CREATED
        code, output = await boxoffice(*command, BOXOFFICE_ADMIN_PASSWORD="a long password")
        assert code == 1
        assert "second@tests.example is already registered" in output

    async def test_an_admin_needs_a_real_e_mail_and_password(self, stack: Stack) -> None:
        code, output = await boxoffice(
            *("admin", "create", "--email", "nonsense", "--data-dir", str(stack.data_dir)),
            BOXOFFICE_ADMIN_PASSWORD="short",
        )
        assert code == 1
        assert "email:" in output
        assert "password:" in output
        assert "Traceback" not in output

    async def test_the_admin_named_by_the_environment_is_there(self, stack: Stack, http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/sessions", json={"email": stack.admin_email, "password": stack.admin_password})
        assert answer.status_code == httpx.codes.CREATED

    def test_what_is_noted_of_a_run_holds_no_secret_and_is_private(self, stack: Stack) -> None:
        note = stack.data_dir / "run.json"
        secrets = [(stack.data_dir / name).read_text() for name in ("secret", "ray-token")]
        assert not any(secret in note.read_text() for secret in (*secrets, stack.admin_password))
        for name in ("run.json", "secret", "ray-token"):
            assert stat.S_IMODE((stack.data_dir / name).stat().st_mode) == 0o600, name
        assert json.loads(note.read_text())["ready"]

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_no_process_but_the_supervisor_knows_the_admin_password(self, stack: Stack) -> None:
        for name, pid in stack.run.processes.items():
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert stack.admin_password.encode() not in environ, name

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_no_process_is_started_with_a_secret_that_it_does_not_need(self, stack: Stack) -> None:
        secret = (stack.data_dir / "secret").read_bytes().strip()
        for name, pid in stack.run.processes.items():
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert secret not in environ or "secret" in NEEDED.get(name.partition("-")[0], ()), name


async def test_what_cannot_be_read_of_a_data_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()  # as root everything may be read that can be
    code, output = await boxoffice("nodes", "--data-dir", str(tmp_path))
    assert code == 1
    assert output.startswith(f"boxoffice: {tmp_path / 'secret'} cannot be read: ")


@pytest.mark.parametrize("url", ["postgresql://me:hu#sh@db/x", "postgresql://me:hu[sh@db/x", "mysql://me:hush@db/x"])
async def test_a_database_url_that_cannot_be_read_is_told_without_its_password(url: str, tmp_path: Path) -> None:
    code, output = await boxoffice("nodes", "--data-dir", str(tmp_path), DATABASE_URL=url)
    assert (code, "hu" in output) == (1, False)
    assert "me:***@db/x (from DATABASE_URL) cannot be reached" in output
