"""An ASGI application over real HTTP, in this process, for tests of what talks to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from aiohttp import ClientTimeout
from fastapi import FastAPI, Response

from persistence.providers.provider import Provider

IMPATIENT_SECONDS = 0.5  # in which what is asked has arrived, though no answer comes


@contextlib.asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """The app on a free port of its own; yields its base URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1, ws="none", loop="asyncio")
    )
    # `server.serve()` would take the test run's signal handlers, and look ten times a second whether it is to stop.
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    assert server.started, "the application did not start"
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.shutdown()


def saying(body: bytes, status: int = 200) -> FastAPI:
    """Answers everything with the same."""
    app = FastAPI()
    app.router.default = Response(body, status)
    return app


@contextlib.contextmanager
def impatient(provider: Provider) -> Iterator[None]:
    """Meanwhile it takes an answer that does not come within half a second for none."""
    session = provider._connection._opened()  # type: ignore[attr-defined]  # each has one, which is nobody else's business
    usual, session._timeout = session._timeout, ClientTimeout(total=IMPATIENT_SECONDS)
    try:
        yield
    finally:
        session._timeout = usual
