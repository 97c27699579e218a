"""How often one may try. Off when `BOXOFFICE_FAIR_USE=off`.

Tries to get in are counted in Redis, so that more workers do not mean more tries; while Redis is away each worker
counts for itself. Commands are counted per worker in memory: the hot path waits for nobody.

Who guesses a password is slowed down three times: at this account from this place, from this place at all, and at this
account from any place it was never logged in from. The last cannot shut its owner out: where they have logged in
before, and where they have set a new password by mail, it does not count.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from redis.exceptions import RedisError

from api.http.addresses import place_of
from api.http.problems import Problem
from persistence.accounts.tries import Bucket, MemoryTries, RedisTries, Tries

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
# Pairs of tries and seconds. A person mistypes a password a few times; guessing needs thousands of tries. Of each row
# the later bucket takes longer to empty, so that whoever goes on waits ever longer.
GUESSES_AT_ACCOUNT_FROM_PLACE = ((10, MINUTE), (30, HOUR), (100, DAY))
GUESSES_AT_ACCOUNT = ((20, 10 * MINUTE), (60, 6 * HOUR), (200, DAY))
# Whole offices and mobile networks are one place, and some of their people mistype.
GUESSES_FROM_PLACE = ((30, MINUTE), (300, HOUR))
LOG_INS_FROM_PLACE = ((300, MINUTE),)
SIGN_UPS_FROM_PLACE = ((60, MINUTE), (600, HOUR))
# Everybody's together: what no crowd mistypes, however large the sale.
GUESSES = ((6_000, MINUTE),)
# A mail may be late, or in the wrong folder; nobody asks for a tenth one in an hour.
MAILS_TO_TARGET = ((10, HOUR),)
MAILS_FROM_PLACE = ((30, HOUR), (100, DAY))
KNOWN_SECONDS = 90 * DAY  # as long as a session lives

# Commands of an account, by role, and of strangers at one place, on each worker in a window. Quick fingers in a hot
# sale make two or three a second; door staff and organizers' programs work through lists; a box office buys for many.
WINDOW_SECONDS = 10
COMMANDS_PER_WINDOW = {"customer": 100, "box_office": 3_000, "organizer": 300, "admin": 300, "door": 300}
STRANGERS_COMMANDS_PER_WINDOW = 300

REDIS_PAUSE_SECONDS = 1.0  # after a failure Redis is left alone for so long

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Attempt:
    """A try to log in, counted as a failure until it has succeeded."""

    def __init__(self, limits: Limits, known_key: str, buckets: Sequence[Bucket]) -> None:
        self._limits = limits
        self._known_key = known_key
        self._buckets = buckets

    async def succeeded(self) -> None:
        """Takes the failure back; from this place the account is known now."""
        await self._limits.forgive(self._buckets, self._known_key)


class Limits:
    """The counters of one worker. Every method raises `Problem("rate_limited")` with the seconds to wait."""

    def __init__(self, redis_url: str, *, enabled: bool) -> None:
        self._enabled = enabled
        self._shared: Tries = RedisTries(redis_url)
        self._own: Tries = MemoryTries()
        self._redis_paused_until = 0.0
        self._commands: dict[str, int] = {}
        self._window_ends = 0.0

    # --- tries to get in ----------------------------------------------------------------------------------------------
    async def log_in(self, email: str, address: str) -> Attempt:
        """Counts a try to log in."""
        account, place = _digest(email.lower()), _digest(place_of(address))
        known_key = f"{account}:{place}"
        if not self._enabled:
            return Attempt(self, known_key, ())
        guesses = _buckets(f"pair:{account}:{place}", GUESSES_AT_ACCOUNT_FROM_PLACE)
        if not await self._ask(lambda tries: tries.knows(known_key)):
            guesses += _buckets(f"place:{place}", GUESSES_FROM_PLACE)
            guesses += _buckets(f"account:{account}", GUESSES_AT_ACCOUNT)
            guesses += _buckets("all", GUESSES)
        await self._count([*_buckets(f"log-ins:{place}", LOG_INS_FROM_PLACE), *guesses])
        return Attempt(self, known_key, guesses)

    async def guess(self, account_id: str, address: str) -> Attempt:
        """Counts a try to name the password of an account that is logged in."""
        place = _digest(place_of(address))
        if not self._enabled:
            return Attempt(self, "", ())
        guesses = _buckets(f"own:{account_id}", GUESSES_AT_ACCOUNT_FROM_PLACE)
        guesses += _buckets(f"place:{place}", GUESSES_FROM_PLACE)
        await self._count(guesses)
        return Attempt(self, "", guesses)

    async def sign_up(self, address: str) -> None:
        """Counts a try to sign up."""
        await self._count(_buckets(f"sign-ups:{_digest(place_of(address))}", SIGN_UPS_FROM_PLACE))

    async def mail(self, target: str, address: str) -> None:
        """Counts a wish to have a mail sent to an e-mail, or an account, registered or not."""
        from_place = _buckets(f"mails-from:{_digest(place_of(address))}", MAILS_FROM_PLACE)
        await self._count([*from_place, *_buckets(f"mails-to:{_digest(target.lower())}", MAILS_TO_TARGET)])

    async def came_by_mail(self, email: str, address: str) -> None:
        """The account's owner is at this place: they have opened a link in a mail to it."""
        await self.forgive((), f"{_digest(email.lower())}:{_digest(place_of(address))}")

    async def forgive(self, buckets: Sequence[Bucket], known_key: str) -> None:
        """Takes a try back, and remembers from where an account is used."""
        if not self._enabled:
            return
        if buckets:
            await self._ask(lambda tries: tries.forgive(buckets))
        if known_key:
            await self._ask(lambda tries: tries.remember(known_key, KNOWN_SECONDS))

    # --- commands -----------------------------------------------------------------------------------------------------
    def command(self, account_id: str, role: str) -> None:
        """Counts a request that changes something."""
        self._count_command(account_id, COMMANDS_PER_WINDOW[role])

    def strangers_command(self, address: str) -> None:
        """Counts a request that changes something, of somebody who is not logged in."""
        self._count_command(place_of(address), STRANGERS_COMMANDS_PER_WINDOW)

    def _count_command(self, whose: str, limit: int) -> None:
        if not self._enabled:
            return
        now = time.monotonic()
        if now >= self._window_ends:
            self._commands.clear()
            self._window_ends = now + WINDOW_SECONDS
        tries = self._commands[whose] = self._commands.get(whose, 0) + 1
        if tries > limit:
            raise Problem("rate_limited", retry_after=max(1, math.ceil(self._window_ends - now)))

    async def close(self) -> None:
        """Lets go of connections."""
        await self._shared.close()

    async def _count(self, buckets: Sequence[Bucket]) -> None:
        if not self._enabled:
            return
        wait = await self._ask(lambda tries: tries.count(buckets))
        if wait:
            raise Problem("rate_limited", retry_after=wait)

    async def _ask(self, ask: Callable[[Tries], Awaitable[T]]) -> T:
        """What all workers together have counted; what this one has, while Redis is away."""
        if time.monotonic() >= self._redis_paused_until:
            try:
                return await ask(self._shared)
            except (RedisError, OSError) as error:
                self._redis_paused_until = time.monotonic() + REDIS_PAUSE_SECONDS
                logger.warning("counting tries in this worker alone until Redis is back: %s", error)
        return await ask(self._own)


def _buckets(key: str, rows: Sequence[tuple[int, int]]) -> list[Bucket]:
    return [Bucket(key, limit, seconds) for limit, seconds in rows]


def _digest(text: str) -> str:
    """E-mails and addresses are nobody's business in Redis."""
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
