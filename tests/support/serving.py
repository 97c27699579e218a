"""An ASGI application over real HTTP, in this process, for tests of what talks to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Response

from tests.support.waiting import until


@contextlib.asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """The app on a free port of its own; yields its base URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1, ws="none", loop="asyncio")
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())  # `serve` would take the test run's signal handlers
    try:
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


def saying(body: bytes, status: int = 200) -> FastAPI:
    """Answers everything with the same."""
    app = FastAPI()
    app.router.default = Response(body, status)
    return app
