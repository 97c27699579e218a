"""A baseline's route without the framework's general machinery, as our hot routes have it (`api/server/express.py`).

Without this, a comparison of the stores behind the route would also be one of the ways in. Whatever is unusual about a
request takes the long way.
"""

from __future__ import annotations

import re

from fastapi import FastAPI, HTTPException, Request
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send

from loadtest.baselines.app import Wish, booking_of

PATH = re.compile(r"/v1/schedules/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/bookings", re.ASCII)


class ShortWay:
    """The application, with a well-formed booking handed straight to the function behind its route."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        matched = PATH.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if matched is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        scope["app"] = self._app
        request = Request(scope, receive)
        try:
            if message.get("more_body", False):
                raise ValueError("a body in pieces")
            customer_id = await self._app.state.customers(request)
            wish = Wish.model_validate_json(message.get("body", b""))
            response = await booking_of(request, matched[1], wish, customer_id)
        except (HTTPException, ValidationError, ValueError):
            await self._app(scope, _again(message, receive), send)
            return
        await response(scope, receive, send)


def _again(message: Message, receive: Receive) -> Receive:
    """Receives the message once more, then what comes after it."""
    before = [message]

    async def received() -> Message:
        return before.pop() if before else await receive()

    return received
