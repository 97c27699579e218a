"""Says once a second what waits in this process for owners of schedules."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from actors.gateway.gateway import Gateway
from actors.process.clock import Clock
from persistence.operations.board import VitalsBoard
from persistence.operations.vitals import WorkerVitals

TELL_SECONDS = 1.0


async def tell(gateway: Gateway[Any], board: VitalsBoard, clock: Clock, node: str) -> None:
    """For ever. `node`: this machine's name, if it is in a cluster."""
    pid = os.getpid()
    name = f"worker {pid}@{node}" if node else f"worker {pid}"
    while True:
        vitals = WorkerVitals(
            name=name,
            pid=pid,
            at_ms=clock.now_ms(),
            unanswered=gateway.unanswered,
            waiting=gateway.waiting,
        )
        await board.say(vitals)
        await asyncio.sleep(TELL_SECONDS)
