"""A worker in front of whose dates people wait, and the people, as tests of waiting rooms have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import msgspec
from redis.asyncio import Redis

from api.office.tokens import Account
from persistence.seats.redis_line import KEY, PARTS, RedisLine
from tests.api.conftest import Worker
from tests.support.clocks import MovableClock
from tests.support.sale import Sale, problem, read


class Clock(MovableClock):
    """Stands still as long as a test wants it to: a crowd takes its time to come."""

    def __init__(self) -> None:
        super().__init__()
        self.stands_at_ms: int | None = None

    def stop(self, at: str) -> None:
        self.stands_at_ms = round(datetime.fromisoformat(at).timestamp() * 1000)

    def now_ms(self) -> int:
        return super().now_ms() if self.stands_at_ms is None else self.stands_at_ms


class House:
    """A worker whose line goes by a clock that can be set forward, and lets in as many at a time as a test likes."""

    def __init__(self, worker: Worker, redis_url: str) -> None:
        self.worker = worker
        self.http = worker.http
        self.redis_url = redis_url
        self.clock = Clock()
        self.line = RedisLine(redis_url, now_ms=self.clock.now_ms)
        self.change(clock=self.clock, line=self.line)
        self.let_in(1_000)

    def change(self, **pieces: Any) -> None:
        """Works with other pieces from now on."""
        self.worker.app.state.office = replace(self.worker.office, **pieces)

    def let_in(self, shopping_at_once: int, *, admitted_per_second: float = 1_000.0) -> None:
        settings = msgspec.structs.replace(
            self.worker.office.settings,
            shopping_at_once=shopping_at_once,
            admitted_per_second=admitted_per_second,
        )
        self.change(settings=settings)

    def person(self, role: str = "customer") -> Person:
        """Somebody who is logged in."""
        account = Account(str(uuid4()), role, str(uuid4()))
        return Person(self, account.id, {"Authorization": f"Bearer {self.worker.office.tokens.access_token(account)}"})

    async def set(self, sale: Sale, **terms: Any) -> None:
        answer = await self.http.patch(f"/v1/schedules/{sale.schedule_id}", json=terms, headers=sale.organizer)
        assert answer.status_code == 200, answer.text

    async def ask(self, sale: Sale, headers: Mapping[str, str]) -> int:
        """How the wish for one place is answered."""
        return (await self.http.post(sale.bookings_url, json={"quantity": 1}, headers=headers)).status_code

    async def queue_of(self, sale: Sale) -> dict[str, int] | None:
        """What its organizer sees of the line."""
        figures = await read(self.http, f"/v1/organizer/schedules/{sale.schedule_id}/sales", sale.organizer)
        found: dict[str, int] | None = figures["queue"]
        return found

    async def lose_lines(self, sale: Sale) -> None:
        """Redis comes back empty."""
        async with Redis.from_url(self.redis_url) as redis:
            await redis.delete(*(KEY % sale.schedule_id + part for part in PARTS))


class Person:
    """Somebody in front of a house."""

    def __init__(self, house: House, id_: str, headers: dict[str, str]) -> None:
        self.house = house
        self.id = id_
        self.headers = headers
        self.location = ""
        self.queue_pass: str | None = None

    async def join(self, sale: Sale) -> dict[str, Any]:
        answer = await self.house.http.post(f"/v1/schedules/{sale.schedule_id}/queue", headers=self.headers)
        assert answer.status_code == 201, answer.text
        self.location = answer.headers["Location"]
        return self._told(answer)

    async def look(self) -> dict[str, Any]:
        answer = await self.house.http.get(self.location, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return self._told(answer)

    async def cannot_look(self, status: int, code: str) -> dict[str, Any]:
        return problem(await self.house.http.get(self.location, headers=self.headers), status, code)

    def _told(self, answer: httpx.Response) -> dict[str, Any]:
        place: dict[str, Any] = answer.json()
        self.queue_pass = place["pass"] or self.queue_pass
        assert (place["pass"] is None) == (place["pass_expires_at"] is None)
        return place

    @property
    def with_pass(self) -> dict[str, str]:
        assert self.queue_pass is not None
        return self.headers | {"Queue-Pass": self.queue_pass}


def groups_of(people: Sequence[Person]) -> list[Sequence[Person]]:
    return [people[start : start + 50] for start in range(0, len(people), 50)]


def before(at: str, seconds: float) -> str:
    return (datetime.fromisoformat(at) - timedelta(seconds=seconds)).isoformat()


def later(**ahead: int) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()
