"""What `boxoffice up` promises: one for each data directory, what dies comes back, nothing is left, data stays."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import asyncpg
import httpx
import psutil
import pytest
from msgspec.structs import replace as replace_settings

from actors.gateway.ray_owners import _for_owners
from actors.process.keys import AUDIT_HEADS, SANDBOX, TICKETS
from actors.process.settings import NEEDED, SECRETS, Settings, SettingsError, local_url
from actors.supervision.environments import DATABASE_ROLES
from actors.supervision.guarding import GUARD
from actors.supervision.keeper import Keeper
from actors.supervision.programs import AddressError, listening
from actors.supervision.services import StartError
from actors.supervision.supervisor import Supervisor, each_of, together
from loadtest.stack import words_of
from persistence.embedded.instance import RunNote, end_marked, marked, note, run_directory
from persistence.embedded.process import ProcessError, Program, child_environment
from tests.conftest import MakeStack, Stack
from tests.support.waiting import PATIENCE_SECONDS, until

SLEEPER = (sys.executable, "-I", "-S", "-c", "import signal; signal.pause()")


def sleeper(name: str = "sleeper", argv: tuple[str, ...] = SLEEPER) -> Program:
    return Program(name=name, argv=argv, address="")


@pytest.fixture
async def changes() -> asyncio.Queue[str]:
    """What a keeper reported: "changed", "restarted"."""
    return asyncio.Queue()


@pytest.fixture
async def keeper(tmp_path: Path, changes: asyncio.Queue[str]) -> AsyncIterator[Keeper]:
    """A keeper of a program that does nothing."""
    made = keeper_of(sleeper(), tmp_path, changes)
    yield made
    await made.end()


def keeper_of(
    program: Program,
    data_dir: Path,
    changes: asyncio.Queue[str],
    restarted: Callable[[Keeper], Awaitable[None]] | None = None,
) -> Keeper:
    async def report(_: Keeper) -> None:
        changes.put_nowait("restarted")

    return Keeper(
        program,
        data_dir,
        child_environment(os.environ),
        on_change=lambda: changes.put_nowait("changed"),
        on_restart=restarted or report,
        on_failure=lambda error: changes.put_nowait(f"failed: {error}"),
    )


async def next_restart(changes: asyncio.Queue[str]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await changes.get() != "restarted":
            pass


class TestKeeper:
    """One program kept running."""

    async def test_a_program_that_is_killed_runs_again(self, keeper: Keeper, changes: asyncio.Queue[str]) -> None:
        await keeper.begin()
        former = keeper.pid
        assert former is not None
        os.kill(former, signal.SIGKILL)
        await next_restart(changes)
        assert keeper.pid not in (None, former)

    async def test_a_renewed_program_is_another_process(self, keeper: Keeper, changes: asyncio.Queue[str]) -> None:
        await keeper.begin()
        former = keeper.pid
        await keeper.renew()
        await next_restart(changes)
        assert keeper.pid not in (None, former)

    async def test_what_a_dead_program_had_started_is_gone_before_it_runs_again(
        self, tmp_path: Path, changes: asyncio.Queue[str]
    ) -> None:
        child = "import subprocess, sys, signal; subprocess.Popen(sys.argv[1:], start_new_session=True); signal.pause()"
        keeper = keeper_of(sleeper(argv=(sys.executable, "-c", child, *SLEEPER)), tmp_path, changes)
        try:
            await keeper.begin()
            await until(lambda: len(marked(tmp_path)) == 2)
            former = {process.pid for process in marked(tmp_path)}
            assert keeper.pid is not None
            os.kill(keeper.pid, signal.SIGKILL)
            await next_restart(changes)
            assert not former & {process.pid for process in marked(tmp_path)}
        finally:
            await keeper.end()
        assert marked(tmp_path) == []

    async def test_it_ends_while_it_is_started_again_whatever_its_client_takes_that_for(
        self, tmp_path: Path, changes: asyncio.Queue[str]
    ) -> None:
        looks = 0

        async def ready() -> None:
            nonlocal looks
            looks += 1
            if looks == 2:
                with contextlib.suppress(asyncio.CancelledError):  # as for a time-out of its own
                    await asyncio.Event().wait()

        keeper = keeper_of(replace(sleeper(), ready=ready), tmp_path, changes)
        await keeper.begin()
        assert keeper.pid is not None
        os.kill(keeper.pid, signal.SIGKILL)
        await until(lambda: looks == 2)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await keeper.end()
        assert marked(tmp_path) == []

    async def test_what_cannot_be_ended_yet_is_waited_for(
        self, keeper: Keeper, changes: asyncio.Queue[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where the kernel still writes for it: no reason to give the whole system up."""
        busy = iter([ProcessError("processes do not end, even on SIGKILL")])

        def end(data_dir: Path, role: str | None = None) -> int:
            for error in busy:
                raise error
            return end_marked(data_dir, role)

        await keeper.begin()
        monkeypatch.setattr("actors.supervision.keeper.end_marked", end)
        assert keeper.pid is not None
        os.kill(keeper.pid, signal.SIGKILL)
        await next_restart(changes)
        assert keeper.pid is not None

    async def test_a_renewal_during_a_start_hides_no_later_death(
        self, tmp_path: Path, changes: asyncio.Queue[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        may_be_ready = asyncio.Event()

        async def ready() -> None:
            assert may_be_ready.is_set()

        may_be_ready.set()
        keeper = keeper_of(replace(sleeper(), ready=ready), tmp_path, changes)
        try:
            await keeper.begin()
            may_be_ready.clear()
            former = keeper.pid
            assert former is not None
            os.kill(former, signal.SIGKILL)
            await until(lambda: keeper.pid not in (None, former))
            starting = keeper.pid
            await keeper.renew()
            await until(lambda: keeper.pid not in (None, starting))
            may_be_ready.set()
            await next_restart(changes)
            caplog.clear()
            assert keeper.pid is not None
            os.kill(keeper.pid, signal.SIGKILL)
            await next_restart(changes)
            assert "starting it again" in caplog.text
        finally:
            await keeper.end()

    async def test_a_keeper_that_fails_itself_says_so(self, tmp_path: Path, changes: asyncio.Queue[str]) -> None:
        async def broken(_: Keeper) -> None:
            raise RuntimeError("a bug")

        async def failures() -> None:
            while await changes.get() != "failed: a bug":
                pass

        keeper = keeper_of(sleeper(), tmp_path, changes, restarted=broken)
        try:
            await keeper.begin()
            assert keeper.pid is not None
            os.kill(keeper.pid, signal.SIGKILL)
            await asyncio.wait_for(failures(), PATIENCE_SECONDS)
        finally:
            await keeper.end()

    async def test_a_program_that_ends_at_the_start_is_an_error_with_its_log(
        self, tmp_path: Path, changes: asyncio.Queue[str]
    ) -> None:
        async def never() -> None:
            raise ConnectionError

        program = replace(
            sleeper("broken", (sys.executable, "-c", "raise SystemExit('no luck today')")),
            ready=never,
            log=tmp_path / "broken.log",
        )
        with pytest.raises(ProcessError, match=r"(?s)broken ended with exit code 1.*no luck today"):
            await keeper_of(program, tmp_path, changes).begin()

    async def test_a_program_that_will_not_stop_is_killed(self, tmp_path: Path, changes: asyncio.Queue[str]) -> None:
        stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
        log = tmp_path / "stubborn.log"

        async def ready() -> None:
            assert log.read_text()

        program = replace(sleeper("stubborn", (sys.executable, "-c", stubborn)), stop_seconds=0.2, log=log, ready=ready)
        keeper = keeper_of(program, tmp_path, changes)
        await keeper.begin()
        await keeper.end()
        assert keeper.pid is None
        assert marked(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ties a child to its parent on Linux only")
async def test_a_child_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    source = """
import asyncio, os, sys
from persistence.embedded.process import Child, Program, child_environment
async def main():
    program = Program(name="child", argv=tuple(sys.argv[1:]), address="")
    child = await Child.start(program, child_environment(os.environ))
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, *SLEEPER, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_what_cannot_be_stopped_keeps_nothing_else_from_being(caplog: pytest.LogCaptureFixture) -> None:
    stopped = asyncio.Event()

    async def broken() -> None:
        raise ProcessError("processes do not end, even on SIGKILL")

    async def later() -> None:
        await asyncio.sleep(0)
        stopped.set()

    await each_of(broken(), later())
    assert stopped.is_set()
    assert "a part could not be stopped" in caplog.text


async def test_a_note_that_finds_no_room_is_written_later_and_keeps_nothing_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, where what died has to be started again all the same."""
    full = iter([OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])

    def no_room_at_first(data_dir: Path, run: RunNote) -> None:
        for error in full:
            raise error
        note(data_dir, run)

    monkeypatch.setattr("actors.supervision.supervisor.NOTE_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("actors.supervision.supervisor.note", no_room_at_first)
    Supervisor(Settings(data_dir=str(tmp_path)))._note()
    assert not (tmp_path / "run.json").exists()
    await until((tmp_path / "run.json").exists)


async def test_marked_finds_only_the_processes_of_its_data_directory(tmp_path: Path) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    one, other = keeper_of(sleeper(), tmp_path / "one", queue), keeper_of(sleeper(), tmp_path / "other", queue)
    try:
        await together(one.begin(), other.begin())
        assert [process.pid for process in marked(tmp_path / "one")] == [one.pid]
        assert end_marked(tmp_path / "one") == 1
        assert [process.pid for process in marked(tmp_path / "other")] == [other.pid]
    finally:
        await together(one.end(), other.end())


def test_a_taken_port_is_named_with_who_uses_it_and_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = rf"port {port} on 127\.0\.0\.1 is in use by pid {os.getpid()} .*--port"
        with pytest.raises(AddressError, match=message), listening("127.0.0.1", port):
            pass


def test_a_port_is_free_again_as_soon_as_it_is_let_go() -> None:
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    with listening("127.0.0.1", port):
        pass


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(AddressError, match=r"--host no-such-host\.invalid"), listening("no-such-host.invalid", 0):
        pass


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80")],
)
def test_the_local_address_of_a_server_is_one_that_can_be_reached(host: str, url: str) -> None:
    assert local_url(host, 80) == url


async def test_an_outside_service_that_is_away_is_named_with_its_variable_but_not_its_password(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=str(tmp_path),
        port=0,
        database_url="postgresql://me:hush@127.0.0.1:1/x",
        redis_url="redis://127.0.0.1:1",
        kafka_bootstrap_servers="127.0.0.1:1",
        ray_address="127.0.0.1:1",
    )
    with pytest.raises(StartError, match="cannot be reached") as failure:
        await Supervisor(settings).run()
    assert "hush" not in str(failure.value)
    assert marked(tmp_path) == []


EVERY_SECRET = {
    name: f"postgresql://secret-{name}/x" if name == "database_url" else f"secret-{name}" for name in SECRETS
}


@pytest.mark.parametrize("kind", NEEDED)
def test_a_process_is_given_the_secrets_that_it_needs_and_a_role_of_its_own(tmp_path: Path, kind: str) -> None:
    supervisor = Supervisor(
        Settings(data_dir=str(tmp_path), **EVERY_SECRET), environ=Settings(**EVERY_SECRET).to_environment()
    )
    supervisor._has_roles = True
    if kind == "owner":  # which its callers start
        return
    given = supervisor._environments.of_ours(kind)
    assert {name for name in SECRETS if f"secret-{name}" in repr(given)} == NEEDED[kind] - {"derived_keys"}
    if "database_url" in NEEDED[kind]:
        assert given["DATABASE_URL"].endswith(f"?role={DATABASE_ROLES[kind]}")


# Which process is given the secret itself, or keys of its own for which purposes.
GIVEN = {
    "worker": "the secret",
    "background": {"sandbox", "audit/heads"},
    "mails": {"tickets/ed25519"},
    "sandbox": {"sandbox"},
}


@pytest.mark.parametrize("kind", NEEDED)
def test_a_process_that_signs_one_thing_is_given_the_key_for_that_and_not_the_secret(kind: str) -> None:
    whole = Settings(secret="a secret", previous_secret="a former one", derived_keys="somebody else's")
    given = Settings.from_environment(whole.for_process(kind).to_environment())
    if GIVEN.get(kind) == "the secret":
        assert (given.secrets, given.derived_keys) == (whole.secrets, "")
        return
    assert (given.secret, given.previous_secret) == ("", "")
    purposes = GIVEN.get(kind, set())
    for purpose in (TICKETS, AUDIT_HEADS, SANDBOX):
        if purpose in purposes:
            assert given.keys_for(purpose) == whole.keys_for(purpose)
        else:
            with pytest.raises((SettingsError, KeyError)):
                given.keys_for(purpose)


def test_an_owner_is_given_its_own_role_and_secrets_whoever_starts_it() -> None:
    callers = replace_settings(
        Settings(**EVERY_SECRET), database_url="postgresql://secret-database_url/x?role=boxoffice_api"
    )
    given = _for_owners(callers)
    assert given.database_url == "postgresql://secret-database_url/x?role=boxoffice_owner"
    environment = repr(given.to_environment())
    assert {name for name in SECRETS if f"secret-{name}" in environment} == NEEDED["owner"]
    assert _for_owners(Settings(database_url="postgresql://h/x")).database_url == "postgresql://h/x"


async def test_nothing_serves_before_what_must_be_there_is_prepared(
    tmp_path: Path, database_url: str, redis_url: str, kafka_servers: str, ray_address: str
) -> None:
    running: list[str] = []

    async def prepare(settings: Settings) -> None:
        running.extend(part.name for part in supervisor.parts())
        raise StartError("the administrator cannot be made")

    settings = Settings(
        data_dir=str(tmp_path),
        port=0,
        database_url=database_url,
        redis_url=redis_url,
        kafka_bootstrap_servers=kafka_servers,
        ray_address=ray_address,
    )
    supervisor = Supervisor(settings, prepare=prepare)
    with pytest.raises(StartError, match="the administrator cannot be made"):
        await supervisor.run()
    assert sorted(running) == ["kafka", "postgres", "ray", "redis"], "the services elsewhere, and nothing of ours"
    assert marked(tmp_path) == []


async def test_certificates_that_cannot_be_read_are_named_at_the_start(
    tmp_path: Path, database_url: str, redis_url: str, kafka_servers: str
) -> None:
    settings = Settings(
        data_dir=str(tmp_path),
        port=0,
        database_url=database_url,
        redis_url=redis_url,
        kafka_bootstrap_servers=kafka_servers,
        sandbox_url="http://127.0.0.1:9",
        secret="a secret of at least 32 characters",
        node="a",
        node_certificate="no.pem",
        node_private_key="no.pem",
        node_authority="no.pem",
    )
    with pytest.raises(StartError, match=r"BOXOFFICE_NODE_CERTIFICATE.*No such file"):
        await Supervisor(settings).run()
    assert marked(tmp_path) == []


async def test_a_secret_that_is_too_short_ends_the_start_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "secret").write_text("hush")
    for directory, given, told in (("new", "hush", "BOXOFFICE_SECRET must"), ("cut", "", "secret is cut off")):
        supervisor = Supervisor(Settings(data_dir=str(tmp_path / directory), port=0, secret=given))
        with pytest.raises(StartError, match=told) as failure:
            await supervisor.run()
        assert "hush" not in str(failure.value)
        assert supervisor.parts() == []


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("toss", "BOXOFFICE_PROVIDER=toss needs BOXOFFICE_TOSS_SECRET_KEY$"),
        ("stripe", "needs BOXOFFICE_STRIPE_API_KEY and BOXOFFICE_STRIPE_WEBHOOK_SECRETS$"),
    ],
)
async def test_a_provider_without_its_keys_ends_the_start_before_anything_runs(
    tmp_path: Path, provider: Literal["toss", "stripe"], told: str
) -> None:
    supervisor = Supervisor(Settings(data_dir=str(tmp_path), port=0, provider=provider))
    with pytest.raises(StartError, match=told):
        await supervisor.run()
    assert supervisor.parts() == []


async def test_a_start_that_is_called_off_leaves_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor(Settings(data_dir=str(tmp_path), port=0))
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(marked(tmp_path)) >= 3)
    supervisor.stop()
    await running
    assert marked(tmp_path) == []
    assert not (tmp_path / "run.json").exists()


@pytest.fixture(scope="module")
async def own(make_stack: MakeStack) -> AsyncIterator[Stack]:
    """A system that may be broken: each test leaves it running."""
    async with make_stack(workers=2) as stack:
        yield stack


@pytest.mark.stack
class TestStack:
    """The whole system, its parts killed one after another."""

    @pytest.mark.parametrize("part", ["redis", "kafka", "postgres", "sandbox", "background", "worker-1"])
    async def test_a_part_that_is_killed_comes_back(self, own: Stack, part: str) -> None:
        former = await own.kill(part)
        await own.replaced(part, former)
        await own.answers()

    async def test_all_our_programs_show_that_they_live(self, own: Stack) -> None:
        services = {"postgres", "redis", "kafka", "ray"}
        ours = {name: run_directory(own.data_dir) / f"{name}.pulse" for name in own.run.processes.keys() - services}
        assert len(ours) == 6
        for file in ours.values():
            first = file.read_bytes()
            await until(lambda file=file, first=first: file.read_bytes() != first)

    @pytest.mark.long
    async def test_parts_that_are_paused_are_replaced(self, own: Stack) -> None:
        former = own.run.processes
        paused = ("background", "receivers", "mails", "sandbox", "worker-1")
        for part in paused:
            os.kill(former[part], signal.SIGSTOP)
        for part in paused:
            await own.replaced(part, former[part])
        await own.answers()

    async def test_a_worker_that_dies_refuses_no_connection(self, own: Stack) -> None:
        async with own.client() as client:
            former = await own.kill("worker-2")
            for _ in range(50):  # each on a connection of its own, so that the kernel has to find somebody to take it
                assert (await client.get("/healthz", headers={"Connection": "close"})).status_code == httpx.codes.OK
            await own.replaced("worker-2", former)

    async def test_a_guard_that_is_killed_is_followed_by_another(self, own: Stack) -> None:
        def guards() -> set[int]:
            return {each.pid for each in marked(own.data_dir) if str(GUARD) in words_of(each)}

        (former,) = guards()
        os.kill(former, signal.SIGKILL)
        await until(lambda: len(guards() - {former}) == 1)

    @pytest.mark.long
    async def test_when_ray_is_killed_everything_connected_to_it_is_started_anew(self, own: Stack) -> None:
        former = own.run.processes
        await own.kill("ray")
        for part in ("ray", "worker-1", "worker-2", "background"):
            await own.replaced(part, former[part])
        await own.answers()

    async def test_a_stop_ends_everything_with_exit_code_0_and_a_start_finds_the_data(self, own: Stack) -> None:
        account = {"email": "stays@tests.example", "password": "stays where it is"}
        async with own.client() as client:
            assert (await client.post("/v1/accounts", json=account)).status_code == httpx.codes.CREATED
        assert await own.stop() == 0, own.log.read_text()
        assert own.remains() == []
        await own.start()
        async with own.client() as client:
            assert (await client.post("/v1/sessions", json=account)).status_code == httpx.codes.CREATED

    @pytest.mark.long
    async def test_kill_9_of_the_supervisor_leaves_no_process_and_a_start_works(self, own: Stack) -> None:
        await own.kill_supervisor()
        await until(lambda: not own.remains())
        await own.start()
        await own.answers()

    async def test_what_kill_9_of_everything_leaves_is_cleaned_at_the_next_start(self, own: Stack) -> None:
        await own.kill_all()
        assert (own.data_dir / "postgres" / "postmaster.pid").exists()
        await own.start()
        connection = await asyncpg.connect(own.database_url)
        await connection.close()
