"""One provider's HTTP connections: every call ends within its time, with an answer or with `Unknown`.

What the network does is never raised. Nothing that is sent or answered is logged, as it may carry card tokens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import httpx
from aiohttp import ClientError
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

from persistence.providers.provider import Unknown

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 100  # per process
LIMITS = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)


class Connection:
    """A pool of kept-alive connections to one base URL."""

    def __init__(
        self,
        name: str,
        url: str,
        timeout_seconds: float,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            auth=auth,
            timeout=httpx.Timeout(timeout_seconds),
            # httpx's own connections are all looked through at every call: most of what a payment cost.
            transport=transport or AiohttpTransport(limits=LIMITS, trust_env=False),
            trust_env=False,  # a proxy variable of the machine must not lead payments elsewhere
        )
        # Whoever sends holds a lane, so that a call's time begins when it has a connection: a crowd waiting for one
        # leaves no payment in doubt.
        self.lanes = asyncio.Semaphore(MAX_CONNECTIONS)

    async def call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response | Unknown:
        """Waits for a lane and sends."""
        async with self.lanes:
            return await self.send(method, path, content=content, headers=headers, params=params)

    async def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response | Unknown:
        """Sends; for callers that hold a lane."""
        try:
            # httpx's timeouts are per read; the whole call must end too, even where bytes trickle in.
            async with asyncio.timeout(self._timeout_seconds):
                return await self._client.request(method, path, content=content, headers=headers, params=params)
        except (httpx.HTTPError, httpx.InvalidURL, ClientError, HttpProcessingError, TimeoutError) as error:
            log.warning("%s gave no answer: %s", self._name, type(error).__name__)
            return Unknown(type(error).__name__)

    async def close(self) -> None:
        await self._client.aclose()
