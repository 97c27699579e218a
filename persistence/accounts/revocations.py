"""How every worker learns at once that a session was revoked.

The row in Postgres is the truth. Guarantee: when `Revocations.announce` returns, no worker lets the session's access
tokens through any more. Workers that are subscribed acknowledge, and look at the rows every second all the same:
whoever revokes may be the one who cannot reach Redis. One that is not subscribed (Redis away, connection lost) asks the
row itself and believes an answer for `ROW_TRUST_SECONDS`; where an acknowledgement is missing, `announce` waits out the
time in which a worker must have noticed that and asked, or looked. What a worker missed it reads from Postgres before
it trusts its own memory again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from cachetools import LRUCache
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from persistence.database.asked_once import latest_within
from persistence.database.away import Outage, is_away
from persistence.database.ending_tasks import end
from persistence.database.held import holds_none
from persistence.database.redis_clients import redis_client
from persistence.database.tables import sessions

CHANNEL = "boxoffice:sessions:revoked"
ACK_SECONDS = 0.5  # how long a log-out waits for the other workers
ROW_TRUST_SECONDS = 1.0
ROWS_REMEMBERED = 10_000
PING_SECONDS = 1.0
LOOK_SECONDS = 1.0
LOOK_BACK_SECONDS = 60.0  # clocks of machines apart, and transactions that take their time
# By then a worker whose connection is dead without knowing it has missed a ping, and asked the row since; and one whose
# connection is not has looked.
UNACKNOWLEDGED_SECONDS = 2 * PING_SECONDS + ROW_TRUST_SECONDS
CONNECT_SECONDS = 1.0
RECONNECT_SECONDS = 0.5

logger = logging.getLogger(__name__)


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """What goes over the channel."""

    sessions: list[str]
    nonce: str
    reply_to: str  # the channel that waits for acknowledgements


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


class Revocations:
    """One worker's knowledge of revoked sessions whose access tokens have not expired yet. `start` it, `stop` it."""

    def __init__(
        self, database: AsyncEngine, redis_url: str, *, now_ms: Callable[[], int], token_seconds: int, worker: str
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._token_ms = token_seconds * 1000
        self._own_channel = f"{CHANNEL}:{worker}:{secrets.token_hex(8)}"
        # No retry: a subscription that reconnects by itself would hide that messages were missed.
        self._redis = redis_client(redis_url, timeout_seconds=CONNECT_SECONDS, retries=0)
        self._revoked: OrderedDict[str, int] = OrderedDict()  # session id → when its last token has expired
        # Session id → (revoked, when it was read).
        self._rows: LRUCache[str, tuple[bool, int]] = latest_within(ROWS_REMEMBERED)
        self._awaited: dict[str, _Acknowledgements] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._first_attempt = asyncio.Event()
        self.live = False  # subscribed, and everything missed was read from Postgres

    async def start(self) -> None:
        """Begins to listen. Returns when the first attempt is through, successful or not."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look())]
        await self._first_attempt.wait()

    async def stop(self) -> None:
        """Stops listening and lets go of connections."""
        await end(self._tasks)
        await self._redis.aclose()

    async def is_revoked(self, session_id: str) -> bool:
        """Whether the session's tokens are to be refused. Costs a look-up in memory while Redis is there."""
        if session_id in self._revoked:
            return True
        if self.live:
            return False
        now_ms = self._now_ms()
        known = self._rows.get(session_id)
        if known is None or now_ms - known[1] >= ROW_TRUST_SECONDS * 1000:
            known = (await self._row_is_revoked(session_id), now_ms)
            self._rows[session_id] = known
        return known[0]

    async def announce(self, session_ids: Iterable[str]) -> None:
        """Tells every worker, after the rows were committed; returns when all know or must have asked Postgres."""
        ids = list(session_ids)
        if not ids:
            return
        self._remember(ids)
        if not await self._acknowledged_by_all(ids):
            logger.warning(
                "a revocation was not acknowledged by every worker; waiting until they must have asked Postgres"
            )
            await asyncio.sleep(UNACKNOWLEDGED_SECONDS)

    async def _acknowledged_by_all(self, ids: list[str]) -> bool:
        holds_none("telling all workers of a log-out")
        if not self.live:
            return False  # nobody would hear the acknowledgements
        message = _Message(ids, secrets.token_hex(8), self._own_channel)
        awaited = self._awaited[message.nonce] = _Acknowledgements()
        try:
            async with asyncio.timeout(ACK_SECONDS):
                awaited.expect(await self._redis.publish(CHANNEL, _encode(message)))
                await awaited.complete.wait()
                return True
        except (TimeoutError, RedisError, OSError):
            return False
        finally:
            del self._awaited[message.nonce]

    async def _row_is_revoked(self, session_id: str) -> bool:
        async with self._database.connect() as connection:
            query = sa.select(sessions.c.revoked_at.is_not(None)).where(sessions.c.id == session_id)
            revoked = (await connection.execute(query)).scalar_one_or_none()
        return revoked is None or bool(revoked)

    # --- looking ------------------------------------------------------------------------------------------------------
    async def _look(self) -> None:
        """For ever: hears of what nobody could tell."""
        outage = Outage("the look at revocations", logger)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self.live:
                continue  # rows decide
            try:
                await self._read(LOOK_BACK_SECONDS)
                outage.over()
            except Exception as error:  # noqa: BLE001  # the same as for `_listen`
                outage.met(error, foreseen=is_away(error))

    async def _read(self, seconds: float) -> None:
        """Remembers what was revoked lately."""
        since = datetime.fromtimestamp(self._now_ms() / 1000 - seconds, UTC)
        async with self._database.connect() as connection:
            query = sa.select(sessions.c.id).where(sessions.c.revoked_at > since)
            self._remember((await connection.execute(query)).scalars())

    # --- listening ----------------------------------------------------------------------------------------------------
    async def _listen(self) -> None:
        outage = Outage("listening for revocations, which are read from rows meanwhile,", logger)
        while True:
            try:
                pubsub = self._redis.pubsub()
                try:
                    await self._subscribe(pubsub)
                    outage.over()
                    await self._receive(pubsub)
                finally:
                    self.live = False
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis has no types here
            except Exception as error:  # noqa: BLE001  # ending the task would have rows decide for ever: safe, and slow
                outage.met(error, foreseen=isinstance(error, RedisError) or is_away(error))
            finally:
                self._first_attempt.set()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _subscribe(self, pubsub: PubSub) -> None:
        await pubsub.subscribe(CHANNEL, self._own_channel)
        confirmed = 0
        while confirmed < 2:
            message = await pubsub.get_message(timeout=CONNECT_SECONDS)
            if message is None:
                raise OSError("no answer to SUBSCRIBE")
            confirmed += message["type"] == "subscribe"
        # Only now: what is revoked from here on is announced, what was revoked before has its row.
        await self._read(self._token_ms / 1000)
        self._rows.clear()
        self.live = True
        self._first_attempt.set()

    async def _receive(self, pubsub: PubSub) -> None:
        silent = False
        while True:
            message = await pubsub.get_message(timeout=PING_SECONDS)
            if message is None:
                if silent:
                    raise OSError("Redis does not answer")
                silent = True
                await pubsub.ping()
                continue
            silent = False
            if message["type"] == "message":
                await self._handle(message)

    async def _handle(self, message: dict[str, Any]) -> None:
        if message["channel"] == self._own_channel.encode():
            awaited = self._awaited.get(message["data"].decode())
            if awaited is not None:
                awaited.add()
            return
        try:
            revoked = _decode(message["data"])
        except msgspec.MsgspecError:
            logger.warning("something else than a revocation was published on %s", CHANNEL)
            return
        self._remember(revoked.sessions)
        await self._redis.publish(revoked.reply_to, revoked.nonce)

    def _remember(self, ids: Iterable[str]) -> None:
        now_ms = self._now_ms()
        for session_id in ids:
            self._revoked[session_id] = now_ms + self._token_ms
            self._revoked.move_to_end(session_id)
        while self._revoked and next(iter(self._revoked.values())) < now_ms:
            self._revoked.popitem(last=False)


class _Acknowledgements:
    """Counts them; they may come before it is known how many there must be."""

    def __init__(self) -> None:
        self.complete = asyncio.Event()
        self._expected: int | None = None
        self._received = 0

    def expect(self, count: int) -> None:
        self._expected = count
        self._settle()

    def add(self) -> None:
        self._received += 1
        self._settle()

    def _settle(self) -> None:
        if self._expected is not None and self._received >= self._expected:
            self.complete.set()
