"""One API worker process: `python -m api.server.worker`.

Under `boxoffice up` it serves the listening socket it inherits and says when it does; started on its own, with the
outside services' variables set, it listens by itself. SIGTERM has one owner, the server: it ends streams, lets requests
under way finish for `WORKER_GRACE_SECONDS`, and answers those that still wait with 503 and `Retry-After`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvicorn

from actors.process import garbage, pulse, telemetry
from actors.process.settings import Settings
from actors.supervision.programs import LISTEN_FD_VARIABLE, READY_FILE_VARIABLE, WORKER_GRACE_SECONDS, listening
from api.routes.catalogue.seats import end_streams
from api.server.app import create_app
from api.server.connections import Bounds, Connections, open_files
from persistence.embedded.instance import ROLE_VARIABLE

LAST_WORDS_SECONDS = 1.0  # for those who are turned away to take their answer


class Worker(uvicorn.Server):
    """A uvicorn server that makes `ready_file` once its application has started and it accepts connections.

    `leave` is called as soon as it is told to stop, before it waits for open answers.
    """

    def __init__(self, config: uvicorn.Config, ready_file: Path | None, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready_file = ready_file
        self._leave = leave

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves, and says so in the ready file, once the application is up."""
        await super().startup(sockets)
        garbage.spare_what_is_here()
        pulse.begin()
        if self.started and self._ready_file is not None:
            self._ready_file.touch()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Gives what is under way `WORKER_GRACE_SECONDS`, turns away what is left, and lets go of everything."""
        self._leave()
        turning_away = asyncio.get_running_loop().call_later(WORKER_GRACE_SECONDS, self._turn_away)
        await super().shutdown(sockets)
        turning_away.cancel()

    def _turn_away(self) -> None:
        """Calls off what is still under way; `Watch` has an answer for it."""
        for task in list(self.server_state.tasks):
            task.cancel("the server is stopping")


def bounds_of(settings: Settings) -> Bounds:
    """How many connections a worker has at most."""
    return Bounds(
        total=open_files(settings.connections),
        per_address=settings.connections_per_address if settings.fair_use else 0,
        proxies=settings.proxies,
    )


def serve(settings: Settings, listener: socket.socket, ready_file: Path | None) -> None:
    """Serves the API on `listener` until SIGTERM or SIGINT."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Connections(bounds_of(settings)),  # type: ignore[arg-type]  # only ever called, as a class would be
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(WORKER_GRACE_SECONDS + LAST_WORDS_SECONDS),
    )
    server = Worker(config, ready_file, partial(end_streams, app))
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
