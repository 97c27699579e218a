"""What goes wrong inside is answered with a problem document, once."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import answer
from api.views.failures import problem_of_error


class Rescue:
    """Answers whatever goes wrong further in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noticed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noticed)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception as error:
            if begun or scope["type"] != "http":
                raise  # only the connection's end can tell the client
            await answer(problem_of_error(error), Request(scope))(scope, receive, send)
