"""One API worker process: `python -m api.worker`.

Under `boxoffice up` it serves the listening socket it inherits and says when it does; started on its own, with the
outside services' variables set, it listens by itself. SIGTERM lets requests under way finish for 5 seconds.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors import telemetry
from actors.entries import LISTEN_FD_VARIABLE, READY_FILE_VARIABLE, listening
from actors.settings import Settings
from api.app import create_app
from persistence.embedded.instance import ROLE_VARIABLE

GRACE_SECONDS = 5
KEEP_ALIVE_SECONDS = 75  # longer than the 60 s after which common load balancers drop an idle connection themselves
SERVER_ERROR = 500


class ErrorLine:
    """Logs one line for each answer that is our own fault; all others are counted, not logged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= SERVER_ERROR:
                telemetry.logger.warning(
                    "%s %s → %d after %.0f ms",
                    scope["method"],
                    scope["path"],
                    message["status"],
                    (time.monotonic() - started) * 1000,
                )
            await send(message)

        await self._app(scope, receive, watched)


class Worker(uvicorn.Server):
    """A uvicorn server that makes `ready_file` once its application has started and it accepts connections."""

    def __init__(self, config: uvicorn.Config, ready_file: Path | None) -> None:
        super().__init__(config)
        self._ready_file = ready_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)  # Ray, joined by the application, had put a stack trace in front
        gc.collect()
        gc.freeze()  # what the start has made stays: a full collection need not walk through it while others wait
        if self.started and self._ready_file is not None:
            self._ready_file.touch()


def serve(settings: Settings, listener: socket.socket, ready_file: Path | None) -> None:
    """Serves the API on `listener` until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        ErrorLine(create_app(settings)),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Worker(config, ready_file)
    server.run(sockets=[listener])
    if not server.started:
        raise SystemExit(3)  # the application did not start; the log says why


def main() -> None:
    """The process entry: reads the environment, sets up logging, serves."""
    settings = Settings.from_environment()
    telemetry.configure(settings, os.environ.get(ROLE_VARIABLE, "worker"))
    ready_file = os.environ.get(READY_FILE_VARIABLE)
    inherited = os.environ.get(LISTEN_FD_VARIABLE)
    if inherited is not None:
        serve(settings, socket.socket(fileno=int(inherited)), Path(ready_file) if ready_file else None)
        return
    with listening(settings.host, settings.port) as listener:
        serve(settings, listener, Path(ready_file) if ready_file else None)


if __name__ == "__main__":
    main()
