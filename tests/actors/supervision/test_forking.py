"""A program that is forked is like one that was started: its own process, environment, output and exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from actors.supervision import programs, ray_head
from actors.supervision.fork_server import MESSAGE_BYTES
from actors.supervision.forking import Forking
from persistence.embedded.process import ProcessError, Program, child_environment
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are forked on Linux only")

PROGRAM = """
import atexit, os, sys

class Part:
    def __del__(self, write=os.write):
        write(1, b"taken apart\\n")

sys.part = Part()

def main():
    word, *arguments = sys.argv[1:]
    if word == "say":
        print(*(os.environ.get(name, "-") for name in arguments), flush=True)
    elif word == "end":
        atexit.register(print, "said at the end")
    elif word == "exit":
        sys.exit(int(arguments[0]))
    elif word == "raise":
        raise RuntimeError("no luck today")
    elif word == "ids":
        import ray, random, secrets, uuid_utils
        print(ray.NodeID.from_random().hex(), uuid_utils.uuid7(), random.random(), secrets.token_hex(), flush=True)
    else:
        print("here", flush=True)
        import signal
        signal.pause()
"""


OURS = (
    ray_head.MODULE,
    programs.WORKER,
    programs.BACKGROUND,
    programs.SANDBOX,
    programs.RECEIVERS,
    programs.MAILS,
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """In which there are two programs: `sample`, and `broken`, which cannot be imported."""
    (tmp_path / "sample.py").write_text(PROGRAM)
    (tmp_path / "broken.py").write_text("raise ImportError('it is not whole')")
    return child_environment(os.environ, PYTHONPATH=f"{tmp_path}:{os.getcwd()}", SEEN="by the server")


@pytest.fixture
async def forking(environment: dict[str, str]) -> AsyncIterator[Forking]:
    """A fork server that has `sample` imported."""
    made = Forking(environment, ["sample"])
    yield made
    await made.end()


def program(tmp_path: Path, *arguments: str, module: str = "sample") -> Program:
    log = tmp_path / f"{'-'.join(arguments)}.log"

    async def ready() -> None:
        assert log.read_text()

    argv = (sys.executable, "-m", module, *arguments)
    return Program(name=arguments[0], argv=argv, module=module, address="", log=log, ready=ready)


async def output(forking: Forking, asked: Program, environment: dict[str, str]) -> str:
    child = await forking.start(asked, environment)
    await child.wait()
    assert asked.log is not None
    return asked.log.read_text()


async def ended(process: psutil.Process) -> None:
    await until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


async def test_a_fork_has_its_own_environment_arguments_and_log(forking: Forking, tmp_path: Path) -> None:
    said = await output(forking, program(tmp_path, "say", "MINE", "SEEN"), {"MINE": "given to it"})
    assert said == "given to it -\n"


async def test_a_fork_is_a_process_of_its_own_with_its_own_name(forking: Forking, tmp_path: Path) -> None:
    child = await forking.start(program(tmp_path, "wait"), {})
    await child.until_ready()
    assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid
    assert psutil.Process(child.pid).name() == "wait"
    await child.stop()
    assert child.returncode == -signal.SIGTERM


@pytest.mark.parametrize(("arguments", "code"), [(("exit", "0"), 0), (("exit", "3"), 3), (("raise",), 1)])
async def test_how_a_fork_ended_is_known(
    forking: Forking, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    child = await forking.start(program(tmp_path, *arguments), {})
    assert await child.wait() == code


async def test_a_fork_that_has_ended_does_what_is_registered_for_its_end_and_is_not_taken_apart(
    forking: Forking, tmp_path: Path
) -> None:
    """That would write to all that it shares with the others: for seconds, and whoever stops the system waits."""
    child = await forking.start(asked := program(tmp_path, "end"), {})
    assert await child.wait() == 0
    assert asked.log is not None
    assert asked.log.read_text() == "said at the end\n"


async def test_what_a_fork_raises_is_in_its_log(forking: Forking, tmp_path: Path) -> None:
    assert "RuntimeError: no luck today" in await output(forking, program(tmp_path, "raise"), {})


async def test_a_program_that_cannot_be_imported_is_an_error_and_others_are_forked_after_it(
    forking: Forking, tmp_path: Path
) -> None:
    with pytest.raises(ProcessError, match="it is not whole"):
        await forking.start(program(tmp_path, "exit", "0", module="broken"), {})
    assert await (await forking.start(program(tmp_path, "exit", "0"), {})).wait() == 0


async def test_whoever_waits_to_give_an_order_when_the_server_dies_is_told(forking: Forking, tmp_path: Path) -> None:
    """Nobody would answer it: it would be waited for without end, and the program be missed."""
    await forking.begin()
    async with forking._ordering:  # somebody else's order is on its way
        asked = asyncio.create_task(forking.start(program(tmp_path, "exit", "0"), {}))
        await asyncio.sleep(0)
        assert forking.pid is not None
        os.kill(forking.pid, signal.SIGKILL)
        await until(lambda: forking._channel is None)
    with pytest.raises(ProcessError, match="the fork server is gone"):
        await asked
    assert await (await forking.start(program(tmp_path, "exit", "0"), {})).wait() == 0


async def test_an_environment_that_is_too_long_is_an_error_and_ends_nobody_else(
    forking: Forking, tmp_path: Path
) -> None:
    first = await forking.start(program(tmp_path, "wait"), {})
    await first.until_ready()
    for size in (MESSAGE_BYTES, 4 * MESSAGE_BYTES):
        with pytest.raises(ProcessError, match="environment and arguments take"):
            await forking.start(program(tmp_path, "say", "LONG"), {"LONG": "x" * size})
    assert first.alive
    assert await (await forking.start(program(tmp_path, "exit", "0"), {})).wait() == 0
    await first.stop()


async def test_no_two_forks_draw_the_same_ids(environment: dict[str, str], tmp_path: Path) -> None:
    """Whatever drew at random while it was imported would have all forks go on from there alike."""
    forking = Forking(environment, [*OURS, "sample"])
    try:
        asked = [program(tmp_path, "ids", str(number)) for number in range(2)]
        found = [(await output(forking, each, environment)).split() for each in asked]
    finally:
        await forking.end()
    assert [len(ids) for ids in found] == [4, 4]
    assert not {*found[0]} & {*found[1]}


async def test_a_fork_dies_with_the_server_and_another_server_forks_it_again(forking: Forking, tmp_path: Path) -> None:
    first = await forking.start(program(tmp_path, "wait"), {})
    await first.until_ready()
    assert forking.pid is not None
    os.kill(forking.pid, signal.SIGKILL)
    assert await first.wait() == -signal.SIGKILL
    second = await forking.start(program(tmp_path, "wait"), {})
    await second.until_ready()
    assert second.pid != first.pid
    await second.stop()


async def test_a_server_that_is_stopped_is_missed_by_nobody_until_it_is_needed_and_then_replaced(
    environment: dict[str, str], tmp_path: Path
) -> None:
    forking = Forking(environment, ["sample"], silent_seconds=0.2)
    try:
        for need in ("another program", "word of one that has ended"):
            first, second = [await forking.start(program(tmp_path, "wait"), {}) for _ in range(2)]
            await first.until_ready()
            former = forking.pid
            assert former is not None
            os.kill(former, signal.SIGSTOP)
            if need == "another program":
                with pytest.raises(ProcessError, match="the fork server is gone"):
                    await forking.start(program(tmp_path, "wait"), {})
            else:
                os.kill(second.pid, signal.SIGKILL)
            assert {await first.wait(), await second.wait()} == {-signal.SIGKILL}
            await until(lambda former=former: forking.pid != former)  # type: ignore[misc]  # a default that is never given
        third = await forking.start(program(tmp_path, "wait"), {})
        await third.stop()
    finally:
        await forking.end()


async def test_a_server_that_is_stopped_keeps_nobody_from_stopping(environment: dict[str, str], tmp_path: Path) -> None:
    forking = Forking(environment, ["sample"], silent_seconds=0.2)
    child = await forking.start(program(tmp_path, "wait"), {})
    assert forking.pid is not None
    os.kill(forking.pid, signal.SIGSTOP)
    await child.stop()
    await forking.end()


async def test_a_fork_dies_with_whoever_asked_for_it(environment: dict[str, str]) -> None:
    source = """
import asyncio, os, sys
from actors.supervision.forking import Forking
from persistence.embedded.process import Program, child_environment
async def main():
    forking = Forking(child_environment(os.environ), [])
    program = Program(name="wait", argv=("python", "-m", "sample", "wait"), module="sample", address="")
    child = await forking.start(program, {})
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", source), stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    fork = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    await ended(fork)


async def test_what_our_programs_import_opens_nothing_and_starts_no_thread() -> None:
    """Else a fork would begin with a connection that is also another's, or with a lock that nobody lets go of."""
    source = """
import importlib, os, sys
def held():
    return {os.path.realpath(path) for path in map("/proc/self/fd/{}".format, range(3, 100)) if os.path.lexists(path)}
before = held()
for module in sys.argv[1:]:
    importlib.import_module(module)
print(len(os.listdir("/proc/self/task")), *(held() - before))
"""
    child = await asyncio.create_subprocess_exec(*(sys.executable, "-c", source, *OURS), stdout=asyncio.subprocess.PIPE)
    assert (await child.communicate())[0].split() == [b"1"]
