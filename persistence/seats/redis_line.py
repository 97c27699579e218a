"""The line in Redis. See `persistence.seats.line` for what it promises.

All that a look may change is changed by one script, so that it makes no difference by which worker somebody looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from redis.exceptions import RedisError

from persistence.database.held import holds_none
from persistence.database.redis_clients import redis_client
from persistence.seats.line import (
    ABSENT_MS,
    BACK_MS,
    FLOW_MS,
    PASS_MS,
    PASSED_OVER_AT_ONCE,
    TURN_MS,
    Counts,
    Doors,
    LineUnavailable,
    Standing,
)

# The number is the format's. What stands in braces keeps a line's keys at one place of a cluster of Redis.
KEY = "boxoffice:line:1:{%s}:"
PARTS = ("line", "places", "seen", "turns", "passes", "over", "gate")
TTL_SECONDS = 24 * 60 * 60  # after the last look; whoever comes later has a ticket
TIMEOUT_SECONDS = 1.0
CALLS_AT_ONCE = 32  # each has a connection; Redis does one at a time
CALL = "a call to Redis"

# ARGV: account, lot, the ticket's place (empty: joins), now (empty: by Redis' clock), then the doors and the constants.
SHOW_UP = """
local line, places, seen, turns, passes, over, gate = unpack(KEYS)
local account, lot, score, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local opens, closes, rate, burst, first_flow, at_once = unpack(ARGV, 5, 10)
local turn_ms, pass_ms, absent_ms, back_ms, flow_ms, passed_over_at_once, ttl = unpack(ARGV, 11, 17)
opens, closes, rate, burst = tonumber(opens), tonumber(closes), tonumber(rate), tonumber(burst)
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

redis.call('ZREMRANGEBYSCORE', turns, '-inf', now)
redis.call('ZREMRANGEBYSCORE', passes, '-inf', now)
redis.call('HSETNX', gate, 'made', now)
local made, at, tokens, flow = unpack(redis.call('HMGET', gate, 'made', 'at', 'tokens', 'flow'))
at, tokens = tonumber(at or opens), tonumber(tokens or 0)

if not redis.call('ZSCORE', turns, account) and not redis.call('ZSCORE', passes, account) then
  local place, gone = redis.call('HGET', places, account), redis.call('HGET', over, account)
  local stands = place or not score or not gone or score > tonumber(gone)
  if stands and not place and score and now < made + back_ms then
    at, tokens = math.max(made + back_ms, opens), 0
    redis.call('HSET', gate, 'at', at, 'tokens', 0)
  end
  if stands then
    place = tonumber(place or score or now + lot)
    if now < opens then place = lot end
    redis.call('HDEL', over, account)
    redis.call('ZADD', line, place, account)
    redis.call('HSET', places, account, string.format('%.17g', place))
    redis.call('HSET', seen, account, now)
  end
end

if opens <= now and now < closes then
  local elapsed = math.max(0, now - at)
  flow = flow and flow * math.exp(-elapsed / flow_ms) or first_flow
  tokens = math.min(burst, tokens + elapsed * rate / 1000)
  local room = math.min(math.floor(tokens), at_once - redis.call('ZCARD', turns))
  local passed_over = 0
  while room > 0 and passed_over < tonumber(passed_over_at_once) do
    local first = redis.call('ZPOPMIN', line)
    if #first == 0 then break end
    local last_look = tonumber(redis.call('HGET', seen, first[1]) or 0)
    redis.call('HDEL', seen, first[1])
    if last_look < now - absent_ms then
      passed_over = passed_over + 1
    else
      redis.call('ZADD', turns, now + turn_ms, first[1])
      redis.call('HSET', over, first[1], first[2])
      redis.call('HDEL', places, first[1])
      room, tokens, flow = room - 1, tokens - 1, flow + 1000 / flow_ms
    end
  end
  redis.call('HSET', gate, 'at', math.max(at, now), 'tokens', string.format('%.17g', tokens),
    'flow', string.format('%.17g', flow))
end

local ends = redis.call('ZSCORE', passes, account)
if not ends and redis.call('ZSCORE', turns, account) then
  ends = math.min(now + pass_ms, closes)
  redis.call('ZADD', turns, ends, account)
  redis.call('ZADD', passes, ends, account)
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ttl) end
return {
  now,
  redis.call('HGET', places, account) or redis.call('HGET', over, account) or '0',
  redis.call('ZRANK', line, account),
  ends and tonumber(ends),
  redis.call('ZCARD', line),
  redis.call('ZCARD', turns),
  string.format('%.17g', flow or first_flow),
}
"""
# ARGV: account, its ticket's place, TTL.
LEAVE = """
local line, places, seen, turns, passes, over = unpack(KEYS)
local account, gone = ARGV[1], tonumber(ARGV[2])
for _, key in ipairs({places, over}) do
  gone = math.max(gone, tonumber(redis.call('HGET', key, account) or gone))
end
redis.call('HSET', over, account, string.format('%.17g', gone))
redis.call('EXPIRE', over, ARGV[3])
for _, key in ipairs({line, turns, passes}) do redis.call('ZREM', key, account) end
for _, key in ipairs({places, seen}) do redis.call('HDEL', key, account) end
"""
# ARGV: now (empty: by Redis' clock).
COUNTS = """
local line, turns, now = KEYS[1], KEYS[4], tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
return {redis.call('ZCARD', line), redis.call('ZCOUNT', turns, '(' .. string.format('%.17g', now), '+inf')}
"""


class RedisLine:
    """Lines in Redis: a handful of keys for each schedule."""

    def __init__(self, redis_url: str, *, now_ms: Callable[[], int] | None = None) -> None:
        """By Redis' clock, which all machines have in common, unless there is another."""
        self._redis = redis_client(redis_url, timeout_seconds=TIMEOUT_SECONDS, retries=1)
        self._now_ms = now_ms
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)
        self._show_up = self._redis.register_script(SHOW_UP)
        self._leave = self._redis.register_script(LEAVE)
        self._counts = self._redis.register_script(COUNTS)

    async def join(self, schedule_id: str, account_id: str, lot: float, doors: Doors) -> Standing:
        return await self._shown(schedule_id, account_id, lot, "", doors)

    async def look(self, schedule_id: str, account_id: str, lot: float, score: float, doors: Doors) -> Standing:
        return await self._shown(schedule_id, account_id, lot, repr(score), doors)

    async def leave(self, schedule_id: str, account_id: str, score: float) -> None:
        args: list[str | int] = [account_id, repr(score), TTL_SECONDS]
        await self._told(self._leave(keys=_keys(schedule_id), args=args))

    async def has_seats(self, schedule_id: str, account_id: str) -> None:
        await self._told(self._redis.zrem(KEY % schedule_id + "turns", account_id))

    async def counts(self, schedule_id: str) -> Counts:
        asked = self._counts(keys=_keys(schedule_id), args=[self._now()])
        waiting, shopping = cast(list[int], await self._told(asked))
        return Counts(waiting=waiting, shopping=shopping)

    async def close(self) -> None:
        await self._redis.aclose()

    def _now(self) -> int | str:
        return "" if self._now_ms is None else self._now_ms()

    async def _shown(self, schedule_id: str, account_id: str, lot: float, score: str, doors: Doors) -> Standing:
        rates = [repr(rate) for rate in (doors.admitted_per_second, doors.burst, doors.first_flow)]
        limits = (TURN_MS, PASS_MS, ABSENT_MS, BACK_MS, FLOW_MS, PASSED_OVER_AT_ONCE, TTL_SECONDS)
        args = [
            account_id,
            repr(lot),
            score,
            self._now(),
            doors.opens_ms,
            doors.closes_ms,
            *rates,
            doors.shopping_at_once,
        ]
        found = cast(
            list[int | bytes | None], await self._told(self._show_up(keys=_keys(schedule_id), args=[*args, *limits]))
        )
        now_ms, place, ahead, ends, waiting, shopping, flow = found
        return Standing(
            now_ms=cast(int, now_ms),
            score=float(cast(bytes, place)),
            ahead=cast(int | None, ahead),
            pass_ends_ms=cast(int | None, ends),
            waiting=cast(int, waiting),
            shopping=cast(int, shopping),
            flow=float(cast(bytes, flow)),
        )

    async def _told(self, answer: Awaitable[object]) -> object:
        """What Redis answers. Raises `LineUnavailable`."""
        holds_none(CALL)
        try:
            async with self._places:
                return await answer
        except (RedisError, OSError) as error:
            raise LineUnavailable(f"the line cannot be reached: {error}") from error


def _keys(schedule_id: str) -> list[str]:
    return [KEY % schedule_id + part for part in PARTS]
