"""How often one may try. Off when `BOXOFFICE_FAIR_USE=off`.

Log-ins and sign-ups are counted in Redis, so that more workers do not mean more tries; while Redis is away each worker
counts for itself. Bookings are counted per worker in memory: the hot path waits for nobody.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from starlette.requests import Request

from api.http.problems import Problem

# A person mistypes a password a few times; guessing needs thousands of tries.
LOG_IN_PER_EMAIL_AND_ADDRESS = parse("10/minute")
# A mail may be late, or in the wrong folder; nobody asks for a tenth one in an hour.
MAILS_PER_TARGET, MAILS_PER_ADDRESS = parse("10/hour"), parse("30/hour")
# Whole offices and mobile networks share one address.
SIGN_UP_PER_ADDRESS = parse("60/minute")
# Quick fingers in a hot sale make two tries a second; this leaves them room on every single worker.
BOOKINGS_PER_WINDOW, BOOKING_WINDOW_SECONDS = 50, 10

KEYS = "boxoffice:limits"
REDIS_TIMEOUT_SECONDS = 0.5
REDIS_PAUSE_SECONDS = 1.0  # after a failure Redis is left alone for so long

logger = logging.getLogger(__name__)


def address_of(request: Request) -> str:
    """The address a request comes from; empty where there is none."""
    return request.client.host if request.client else ""


class Limits:
    """The counters of one worker. Every method raises `Problem("rate_limited")` with the seconds to wait."""

    def __init__(self, redis_url: str, *, enabled: bool) -> None:
        self._enabled = enabled
        self._pool = ConnectionPool.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        # The address is the pool's; the library wants one that it can read.
        options: dict[str, Any] = {"connection_pool": self._pool}
        storage = RedisStorage("async+redis://pool:6379", implementation="redispy", key_prefix=KEYS, **options)
        self._shared = FixedWindowRateLimiter(storage)
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._redis_paused_until = 0.0
        self._bookings: dict[str, int] = {}
        self._window_ends = 0.0

    async def log_in(self, email: str, address: str) -> None:
        """Counts a try to log in."""
        await self._hit(LOG_IN_PER_EMAIL_AND_ADDRESS, "log-in", _digest(email.lower()), address)

    async def sign_up(self, address: str) -> None:
        """Counts a try to sign up."""
        await self._hit(SIGN_UP_PER_ADDRESS, "sign-up", address)

    async def mail(self, target: str, address: str) -> None:
        """Counts a wish to have a mail sent to an e-mail, or an account, registered or not."""
        await self._hit(MAILS_PER_ADDRESS, "mails", address)
        await self._hit(MAILS_PER_TARGET, "mail", _digest(target.lower()))

    def booking(self, account_id: str) -> None:
        """Counts a try to book."""
        if not self._enabled:
            return
        now = time.monotonic()
        if now >= self._window_ends:
            self._bookings.clear()
            self._window_ends = now + BOOKING_WINDOW_SECONDS
        tries = self._bookings[account_id] = self._bookings.get(account_id, 0) + 1
        if tries > BOOKINGS_PER_WINDOW:
            raise Problem("rate_limited", retry_after=max(1, math.ceil(self._window_ends - now)))

    async def close(self) -> None:
        """Lets go of connections."""
        await self._pool.disconnect()

    async def _hit(self, limit: RateLimitItem, *names: str) -> None:
        if not self._enabled:
            return
        if time.monotonic() >= self._redis_paused_until:
            try:
                await _count(self._shared, limit, names)
                return
            except (RedisError, OSError) as error:
                self._redis_paused_until = time.monotonic() + REDIS_PAUSE_SECONDS
                logger.warning("counting tries in this worker alone until Redis is back: %s", error)
        await _count(self._own, limit, names)


async def _count(limiter: FixedWindowRateLimiter, limit: RateLimitItem, names: tuple[str, ...]) -> None:
    if not await limiter.hit(limit, *names):
        window = await limiter.get_window_stats(limit, *names)
        raise Problem("rate_limited", retry_after=max(1, math.ceil(window.reset_time - time.time())))


def _digest(email: str) -> str:
    """E-mails are nobody's business in Redis."""
    return hashlib.blake2b(email.encode(), digest_size=12).hexdigest()
