"""What does nothing any more is ended, and what is merely busy never: by what the kernel says, one row a case."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import psutil
import pytest

from actors.supervision import life
from actors.supervision.keeper import Keeper
from actors.supervision.life import LOOK_SECONDS, SILENT_LOOKS, Life, Sign, sign_of
from persistence.embedded.instance import remove_run_directory
from persistence.embedded.process import Program, child_environment
from tests.support.waiting import until

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is judged")
MANY = 10_000


def still(status: str) -> Iterable[Sign]:
    return itertools.repeat(Sign(status, 7, 1.0))


def having(seconds: float, status: str = psutil.STATUS_RUNNING) -> Iterable[Sign]:
    """So much of the processor between two looks."""
    return (Sign(status, number, number * seconds) for number in itertools.count())


def found(beats: Iterable[int], signs: Iterable[Sign], looks: int = MANY) -> tuple[int, str] | None:
    """At which look it is found to be as good as dead, counted from the first, and what is the matter."""
    pulse, sign = iter(beats), iter(signs)
    one = Life(lambda: next(pulse), lambda: next(sign))
    for number in range(looks):
        if (matter := one.look()) is not None:
            return number, matter
    return None


NO_MORE = [1, *itertools.repeat(1, MANY)]
ROWS: dict[str, tuple[Iterable[int], Iterable[Sign], str | None]] = {
    "paused": (NO_MORE, still(psutil.STATUS_STOPPED), "has done nothing for 30 s"),
    "waiting for what never comes": (NO_MORE, still(psutil.STATUS_SLEEPING), "has done nothing for 30 s"),
    "going round within one turn": (NO_MORE, having(LOOK_SECONDS), "has not come round for 62 s of the processor"),
    "waiting for the processor": (NO_MORE, still(psutil.STATUS_RUNNING), None),
    "waiting for a disk": (NO_MORE, still(psutil.STATUS_DISK_SLEEP), None),
    "being debugged": (NO_MORE, still(psutil.STATUS_TRACING_STOP), None),
    "looking up now and then": (NO_MORE, (Sign(psutil.STATUS_SLEEPING, n // 10, 1.0) for n in itertools.count()), None),
    "coming round in time": ([*range(1, 256)] * 40, still(psutil.STATUS_STOPPED), None),
    "coming round late": (
        itertools.chain.from_iterable(itertools.repeat(1 + n % 255, SILENT_LOOKS) for n in range(MANY)),
        still(psutil.STATUS_SLEEPING),
        None,
    ),
    "not begun": (itertools.repeat(0), still(psutil.STATUS_STOPPED), None),
}


@pytest.mark.parametrize(("beats", "signs", "matter"), ROWS.values(), ids=ROWS)
def test_only_what_does_nothing_or_never_comes_round_is_ended(
    beats: Iterable[int], signs: Iterable[Sign], matter: str | None
) -> None:
    seen = found(beats, signs)
    assert (None if seen is None else seen[1]) == matter


def test_what_gets_little_of_the_processor_has_all_the_longer() -> None:
    """A machine with forty who want its two processors gives a nice one a thousandth."""
    seen = found(NO_MORE, having(LOOK_SECONDS / 1_000))
    assert seen is None, "not within five hours"
    assert found(NO_MORE, having(LOOK_SECONDS / 20)) is not None


@linux
def test_a_sign_is_that_of_the_thread_the_loop_runs_in() -> None:
    before = sign_of(os.getpid())
    while sign_of(os.getpid()).seconds - before.seconds < 0.05:
        pass
    after = sign_of(os.getpid())
    assert after.status == psutil.STATUS_RUNNING
    assert after.seconds < psutil.Process().cpu_times().user + psutil.Process().cpu_times().system + 0.1
    assert after.switches >= before.switches


BEATING = """
import asyncio, pathlib, sys, time
from actors.process import pulse

def busy(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass

async def main():
    pulse.begin()
    await asyncio.sleep(0)
    {then}
    await asyncio.Event().wait()

asyncio.run(main())
"""
Made = Callable[[str], Keeper]


@pytest.fixture
async def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    """Keepers of a program of ours that does this after its first beat; they lose patience soon."""
    monkeypatch.setattr(life, "LOOK_SECONDS", 0.4)
    monkeypatch.setattr(life, "SILENT_LOOKS", 3)  # longer than from one beat to the next
    made: list[Keeper] = []

    async def on_restart(_: Keeper) -> None: ...

    def make(then: str) -> Keeper:
        keeper = Keeper(
            Program(
                name="ours",
                argv=(sys.executable, "-c", BEATING.format(then=then), str(tmp_path / "done")),
                address="",
                module="ours",
            ),
            tmp_path,
            child_environment(os.environ, PYTHONPATH=os.getcwd()),
            on_change=lambda: None,
            on_restart=on_restart,
            on_failure=lambda error: None,
        )
        made.append(keeper)
        return keeper

    yield make
    for keeper in made:
        await keeper.end()
    remove_run_directory(tmp_path)


def beats(keeper: Keeper) -> bool:
    return keeper._life is not None and keeper._life._pulse() != 0


@linux
@pytest.mark.parametrize("stuck", ["paused", "waits for ever"])
async def test_a_program_that_does_nothing_any_more_is_replaced(
    kept: Made, caplog: pytest.LogCaptureFixture, stuck: str
) -> None:
    keeper = kept("pass" if stuck == "paused" else "time.sleep(1e6)")
    await keeper.begin()
    former = keeper.pid
    assert former is not None
    await until(lambda: beats(keeper))
    if stuck == "paused":
        os.kill(former, signal.SIGSTOP)
    await until(lambda: keeper.pid not in (None, former))
    assert f"ours (pid {former}) has done nothing for 1.2 s, and is ended" in caplog.text


@linux
async def test_a_program_that_never_comes_round_is_replaced(
    kept: Made, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "SPINNING_SECONDS", 0.5)
    keeper = kept("busy(1e6)")
    await keeper.begin()
    former = keeper.pid
    await until(lambda: keeper.pid not in (None, former))
    assert "of the processor, and is ended" in caplog.text


@linux
async def test_a_program_that_is_busy_for_longer_than_one_may_be_silent_is_left_alone(
    kept: Made, tmp_path: Path
) -> None:
    keeper = kept("busy(1.5); pathlib.Path(sys.argv[1]).touch()")
    await keeper.begin()
    former = keeper.pid
    await until((tmp_path / "done").exists)
    assert keeper.pid == former


@linux
async def test_a_program_that_is_paused_for_a_moment_goes_on(kept: Made) -> None:
    keeper = kept("pass")
    await keeper.begin()
    await until(lambda: beats(keeper))
    former = keeper.pid
    assert former is not None
    os.kill(former, signal.SIGSTOP)
    await until(lambda: keeper._life is not None and keeper._life._silent >= 1)
    os.kill(former, signal.SIGCONT)
    await until(lambda: keeper._life is not None and keeper._life._missed is None)
    assert keeper.pid == former
