"""Ray for a test run. However the run ends, nothing of Ray outlives it.

What a killed process started dies with it (`launch.py`); what Ray's head has started in turn would live on, which is
what a guard is for, here as in a running system.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from actors.supervision.guarding import Guarding
from actors.supervision.ray_head import ray_head
from persistence.embedded.instance import INSTANCE_VARIABLE, end_marked, instance_of
from persistence.embedded.process import child_environment, running


def marked_as(data_dir: Path) -> Path:
    """The directory whose mark Ray carries: none of an instance, so that no test's clearing up finds it."""
    return data_dir / "guarded-ray"


@contextlib.asynccontextmanager
async def guarded_ray(data_dir: Path) -> AsyncIterator[str]:
    """A Ray head for the time of the block; its address."""
    program, mark = ray_head(data_dir), marked_as(data_dir)
    guarding = Guarding(instance_of(mark), _raise)
    await guarding.begin()
    try:
        environment = child_environment(os.environ, **{INSTANCE_VARIABLE: instance_of(mark)})
        async with running(program, environment):
            yield program.address
    finally:
        await guarding.leave()
        await asyncio.to_thread(end_marked, mark)  # the guard, too
        await guarding.ended()


def _raise(error: BaseException) -> None:
    raise error
