"""Has every process of owners of this machine there, and answering, as long as the machine is in a cluster.

Other machines can neither start nor end a process here, so whoever they wait for is looked after by this one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Generic, Protocol

from actors.gateway.gateway import OwnerLost, OwnerT

PAUSE_SECONDS = 0.5  # between two questions to a process that answers
AGAIN_SECONDS = 0.1
SILENT_SECONDS = 3.0

logger = logging.getLogger(__name__)


class Local(Protocol[OwnerT]):
    """Where the processes come from (`actors.gateway.ray_owners.RayOwners`)."""

    async def find(self, name: str) -> OwnerT: ...

    async def replace(self, name: str, owner: OwnerT) -> None: ...


class Keeping(Generic[OwnerT]):
    """Asks each process again and again."""

    def __init__(self, local: Local[OwnerT], names: Sequence[str], silent_seconds: float = SILENT_SECONDS) -> None:
        self._local = local
        self._names = names
        self._silent = silent_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep(name)) for name in self._names]
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _keep(self, name: str) -> None:
        while True:
            try:
                owner = await self._local.find(name)
            except OwnerLost as error:
                logger.info("%s is not there: %s", name, error)
            else:
                await self._until_lost(name, owner)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _until_lost(self, name: str, owner: OwnerT) -> None:
        try:
            while True:
                async with asyncio.timeout(self._silent):
                    await owner.inspect("")  # nothing is called so: only whether it answers counts
                await asyncio.sleep(PAUSE_SECONDS)
        except OwnerLost as error:
            logger.warning("%s is gone: %s", name, error)
        except TimeoutError:
            logger.warning("%s is silent and is replaced", name)
            await self._local.replace(name, owner)
        finally:
            owner.close()
