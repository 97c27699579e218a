"""People at one machine, who stay there whatever it says, and mind how long they are kept waiting.

A crowd (`tests.cluster.crowd`) goes where it is served; these find out how a machine that is in trouble treats those
who know no other. Each does one thing again and again: see what is free, look at their bookings, hold a seat, log in.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import httpx
from msgspec import Struct

from loadtest.http_client import Answer, Client, ConnectionLost
from tests.cluster.machines import Cluster
from tests.support.sale import PASSWORD, Sale

PAUSE_SECONDS = 0.1
THINGS = ("sees seats", "looks at bookings", "holds", "logs in", "asks /readyz")
SEEING, LOOKING, HOLDING, COMING_IN, ASKING = THINGS


class Visit(Struct, frozen=True):
    """One request and what came of it; `status` 0: nothing."""

    what: str
    sent: float
    seconds: float
    status: int
    said: str  # the code of a refusal, or why there was no answer
    polite: bool  # an answer, or a request to come again that says when

    @property
    def served(self) -> bool:
        return 200 <= self.status < 500


class Visitors:
    """One for each thing people do, at one machine."""

    def __init__(self, cluster: Cluster, name: str, sale: Sale) -> None:
        self.name = name
        self.visits: list[Visit] = []
        self._url = cluster.machines[name].base_url
        self._sale = sale
        self._email = f"{uuid4().hex}@visitors.example"
        self._token: str | None = None

    @contextlib.asynccontextmanager
    async def coming(self) -> AsyncIterator[Visitors]:
        """They come and go for the time of the block."""
        me = {"email": self._email, "password": PASSWORD}
        client = Client(self._url)
        await client.patient("POST", "/v1/accounts", me)
        self._token = (await client.patient("POST", "/v1/sessions", me)).json()["access_token"]
        client.close()
        seats, bookings = f"/v1/schedules/{self._sale.schedule_id}/availability", self._sale.bookings_url
        things: dict[str, Callable[[Client], Awaitable[Answer]]] = {
            SEEING: lambda client: client.request("GET", seats),
            LOOKING: lambda client: client.request("GET", "/v1/bookings"),
            HOLDING: lambda client: client.request("POST", bookings, {"quantity": 1}, {"Idempotency-Key": uuid4().hex}),
            COMING_IN: lambda client: client.request("POST", "/v1/sessions", me),
            ASKING: lambda client: client.request("GET", "/readyz"),
        }
        visitors = [asyncio.create_task(self._come(what, do)) for what, do in things.items()]
        try:
            yield self
        finally:
            for each in visitors:
                each.cancel()
            await asyncio.gather(*visitors, return_exceptions=True)

    async def _come(self, what: str, do: Callable[[Client], Awaitable[Answer]]) -> None:
        client = Client(self._url)
        client.token = None if what == COMING_IN else self._token
        try:
            while True:
                sent = time.monotonic()
                try:
                    answer = await do(client)
                except ConnectionLost as error:
                    self._note(what, sent, 0, str(error), polite=False)
                else:
                    polite = answer.status < 500 or (
                        answer.status == httpx.codes.SERVICE_UNAVAILABLE
                        and (what == ASKING or "retry-after" in answer.headers)
                    )
                    self._note(what, sent, answer.status, answer.code, polite=polite)
                    if what == HOLDING and answer.status == httpx.codes.CREATED:
                        with contextlib.suppress(ConnectionLost):
                            await client.request("POST", f"/v1/bookings/{answer.json()['id']}/cancellation", {})
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            client.close()

    def _note(self, what: str, sent: float, status: int, said: str, *, polite: bool) -> None:
        self.visits.append(Visit(what, sent, time.monotonic() - sent, status, said, polite))

    # --- judging ------------------------------------------------------------------------------------------------------
    def since(self, moment: float, what: str | None = None) -> list[Visit]:
        """What was asked after the moment."""
        return [each for each in self.visits if each.sent > moment and what in (None, each.what)]

    def has_served_all(self, moment: float) -> bool:
        """Whether each thing was done for somebody who asked after the moment."""
        return {each.what for each in self.since(moment) if each.served} == set(THINGS)

    def served_all_since(self, moment: float) -> bool:
        """Whether everybody was served who asked after the moment."""
        return all(each.served for each in self.since(moment))

    def told(self, since: float) -> str:
        """How often what was said, and how long the longest took, thing by thing."""
        lines = []
        for what in THINGS:
            visits = self.since(since, what)
            said = Counter(f"{each.status} {each.said}".strip() for each in visits)
            longest = max((each.seconds for each in visits), default=0.0)
            lines.append(f"  at {self.name}, who {what}: longest {longest:.2f} s, {dict(said)}")
        return "\n".join(lines)
