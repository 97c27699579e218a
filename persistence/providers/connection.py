"""One provider's HTTP connections: every call ends within its time, with an answer or with `Unknown`.

What the network does is never raised. Nothing that is sent or answered is logged, as it may carry card tokens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from persistence.database.held import holds_none
from persistence.providers.provider import Unknown

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 100  # per process
IDLE_SECONDS = 5.0  # an unused connection is closed by us, before the other end does and a charge is lost in it


# Far above the longest honest one, 5,000 movements of money in a page; whoever sends without end fills no memory.
MAX_ANSWER_BYTES = 16 * 2**20


class Answer(Struct, frozen=True):
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]  # their names in any case
    body: bytes

    @property
    def refuses(self) -> bool:
        """Whether the other end says that it was the request's fault."""
        return 400 <= self.status < 500


class Connection:
    """A pool of kept-alive connections to one base URL, which is empty where paths are whole URLs."""

    def __init__(
        self, name: str, url: str, timeout_seconds: float, *, headers: Mapping[str, str] | None = None
    ) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._timeout = ClientTimeout(total=timeout_seconds)
        self._headers = headers
        self._session: ClientSession | None = None
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
    ) -> Answer | Unknown:
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
    ) -> Answer | Unknown:
        """Sends; for callers that hold a lane."""
        holds_none("a call to a payment provider")
        try:
            async with self._opened().request(
                method, self._url + path, data=content, headers=headers, params=params, allow_redirects=False
            ) as response:
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        logger.error("%s gave an answer without end", self._name)
                        return Unknown("an answer without end")
                return Answer(response.status, response.headers, bytes(body))
        except (ClientError, HttpProcessingError, TimeoutError) as error:
            logger.warning("%s gave no answer: %s", self._name, type(error).__name__)
            return Unknown(type(error).__name__)

    def _opened(self) -> ClientSession:
        if self._session is None:  # it belongs to the loop that runs now
            self._session = ClientSession(
                connector=TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_SECONDS),
                cookie_jar=DummyCookieJar(),
                headers=self._headers,
                timeout=self._timeout,
                trust_env=False,  # a proxy variable of the machine must not lead payments elsewhere
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
