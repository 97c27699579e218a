"""A worker that is told to stop answers everybody it has begun with, in time and in kind."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from actors.process.settings import Settings
from actors.supervision import programs
from api.http.corked import Protocol
from api.office import under_way
from api.server import worker
from api.server.watch import Watch
from tests.support.sale import problem
from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]


async def test_who_still_waits_when_the_worker_stops_is_told_to_come_again() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        str(listener.fileno()),
        pass_fds=[listener.fileno()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        assert server.stdout is not None
        async with httpx.AsyncClient(
            base_url=base_url, timeout=PATIENCE_SECONDS, trust_env=False, verify=False
        ) as http:
            waiting = [asyncio.create_task(http.post("/never")) for _ in range(3)]
            async with asyncio.timeout(PATIENCE_SECONDS):
                for _ in waiting:
                    await server.stdout.readline()
            server.terminate()
            for answer in await asyncio.gather(*waiting):
                problem(answer, 503, "overloaded")
                assert int(answer.headers["retry-after"]) >= 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.wait()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
        listener.close()


def test_every_patience_fits_into_the_next() -> None:
    """A worker has turned everybody away, and let go of what it holds, before the supervisor's patience ends."""
    patience = programs.WORKER_GRACE_SECONDS + worker.LAST_WORDS_SECONDS + under_way.LAST_STEPS_SECONDS
    assert patience < programs.WORKER_STOP_SECONDS
    assert Settings().call_timeout_seconds < programs.WORKER_GRACE_SECONDS, "an owner that died is noticed in time"
    compose = (ROOT / "docker-compose.yml").read_text()
    assert int(compose.rpartition("stop_grace_period: ")[2].partition("s")[0]) > programs.WORKER_STOP_SECONDS


def serve(descriptor: int) -> None:
    """What the test above runs: a worker with a route that never answers, and little patience."""
    app = FastAPI()

    @app.post("/never")
    async def never() -> None:
        print("begun", flush=True)  # noqa: T201  # what the test above waits for
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "WORKER_GRACE_SECONDS", 0.1)
        config = uvicorn.Config(Watch(app), loop="uvloop", http=Protocol, log_config=None, lifespan="off")
        worker.Worker(config, None, lambda: None).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
