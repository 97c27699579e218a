"""A test run that is ended in the middle, by whatever signal, leaves nothing of Ray."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from persistence.embedded.instance import marked
from tests.support.services.guarded_ray import marked_as
from tests.support.waiting import PATIENCE_SECONDS, until

RUN = """
import asyncio, sys
from pathlib import Path
from tests.support.services.guarded_ray import guarded_ray

async def main():
    async with guarded_ray(Path(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def run_with_ray(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has Ray as test runs have it."""
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, str(tmp_path)),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert run.stdout is not None
    yield run
    if run.returncode is None:
        run.kill()
        await run.wait()


def names(tmp_path: Path) -> set[str]:
    return {process.name() for process in marked(marked_as(tmp_path))}


async def test_a_killed_test_run_leaves_nothing_of_ray(
    run_with_ray: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    assert run_with_ray.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await run_with_ray.stdout.readline() == b"ready\n"
    assert {"gcs_server", "raylet", "tail"} <= names(tmp_path)
    run_with_ray.send_signal(signal.SIGKILL)
    await run_with_ray.wait()
    await until(lambda: not marked(marked_as(tmp_path)))
