"""Who may come in is judged from the headers; a body is read afterwards, whole, and never at others' cost."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from starlette.types import Message

from actors.process.garbage import spare_what_is_here
from api.http.large_bodies import BODY_LIMIT
from api.routes.catalogue.venues import PLAN_BYTES
from api.server.admission import LARGE_AT_ONCE
from tests.api.conftest import Worker
from tests.support.sale import open_sale, problem, small_plan
from tests.support.waiting import until

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"
STALL_CPU_SECONDS = 0.08  # reading the plan below in one go takes 0.1, and letting go of it 0.04
JSON = {"Content-Type": "application/json"}


class Reading:
    """A request whose body nobody has sent yet, and what it is answered."""

    def __init__(self, worker: Worker, method: str, path: str, headers: dict[str, str], length: int) -> None:
        self.reads = 0
        self.sent: list[Message] = []
        self.ends = asyncio.Event()
        named = headers | JSON | {"Content-Length": str(length)}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        }
        self._app: Callable[..., Awaitable[None]] = worker.app
        self._scope = scope

    async def run(self) -> int:
        await self._app(self._scope, self._receive, self._send)
        return self.status

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"]) if self.sent else 0

    async def _receive(self) -> Message:
        self.reads += 1
        await self.ends.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def test_no_body_is_read_from_who_may_not_send_one(worker: Worker) -> None:
    """Every operation that somebody must be logged in for, without a token and with each role it is not for."""
    tokens = {role: await worker.sign_up(role) for role in ("customer", "organizer")}
    walked = 0
    for entry in worker.app.directory.entries:  # type: ignore[attr-defined]  # what goes round an application is one to its caller
        for method in entry.methods - {"GET"}:
            path = entry.route.path.format(**dict.fromkeys(entry.route.param_convertors, NOWHERE))
            for role, headers in {"nobody": {}, **tokens}.items():
                allowed = all(not caller.roles or role in caller.roles for caller in entry.callers)
                if not entry.callers or (allowed and role != "nobody"):
                    continue
                reading = Reading(worker, method, path, headers, 1_000)
                assert await reading.run() == (401 if role == "nobody" else 403), (method, path, role)
                assert reading.reads == 0, (method, path, role)
                walked += 1
    assert walked > 40


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("br", 415), ("identity", 201), ("", 201)])
async def test_a_body_is_taken_as_it_is_or_not_at_all(worker: Worker, coding: str, status: int) -> None:
    """By the short way and by the long one: what is small and compressed may be endless."""
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    for path in (sale.bookings_url, sale.bookings_url + "?the=long+way"):
        headers = customer | JSON | {"Content-Encoding": coding}
        answer = await worker.http.post(path, content=b'{"quantity": 1}', headers=headers)
        assert answer.status_code == status, answer.text
        if status == 415:
            problem(answer, 415, "unsupported_media_type")


async def test_only_routes_for_a_role_take_large_bodies(worker: Worker) -> None:
    large = [entry for entry in worker.app.directory.entries if entry.body_limit > BODY_LIMIT]  # type: ignore[attr-defined]  # the same
    assert {entry.route.path for entry in large} == {
        "/v1/venues",
        "/v1/venues/preview",
        "/v1/venues/{venue_id}",
        "/v1/venues/{venue_id}/seating-plan",
        "/v1/schedules/{schedule_id}/bookings",
    }
    assert all(caller.roles for entry in large for caller in entry.callers)
    assert all(entry.callers for entry in large)


async def test_of_large_bodies_few_are_taken_at_a_time_and_one_of_each_account(worker: Worker) -> None:
    organizers = [await worker.sign_up("organizer") for _ in range(LARGE_AT_ONCE + 1)]

    def upload(headers: dict[str, str]) -> Reading:
        return Reading(worker, "POST", "/v1/venues", headers, PLAN_BYTES)

    waiting = [upload(headers) for headers in organizers[:LARGE_AT_ONCE]]
    running = [asyncio.create_task(waiting[0].run())]
    await until(lambda: waiting[0].reads > 0)
    assert await upload(organizers[0]).run() == 503, "a second one of the same account"
    running += [asyncio.create_task(each.run()) for each in waiting[1:]]
    await until(lambda: all(each.reads for each in waiting))
    assert await upload(organizers[-1]).run() == 503
    small = await worker.http.post("/v1/performances", json={"title": "Carmen"}, headers=organizers[-1])
    assert small.status_code == 201
    for each in waiting:
        each.ends.set()
    await asyncio.gather(*running)
    again = upload(organizers[-1])
    running = [asyncio.create_task(again.run())]
    await until(lambda: again.reads > 0)
    again.ends.set()
    await asyncio.gather(*running)


@pytest.mark.parametrize("way", ["", "?the=long+way"])
async def test_what_a_body_cut_off_asks_for_is_not_done(worker: Worker, way: str) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    reading = Reading(worker, "POST", sale.bookings_url, customer, 400)
    reading._scope["query_string"] = way[1:].encode()
    pieces: list[Message] = [{"type": "http.request", "body": b'{"quantity": 1}', "more_body": True}]

    async def receive() -> Message:
        return pieces.pop() if pieces else {"type": "http.disconnect"}

    reading._receive = receive  # type: ignore[method-assign]  # a body that comes as slowly as wanted
    await reading.run()
    assert reading.sent == []
    assert (await worker.http.get("/v1/bookings", headers=customer)).json()["items"] == []


@pytest.fixture
def as_in_a_worker() -> Iterator[None]:
    """Garbage is looked for as seldom as in a worker process."""
    before = gc.get_threshold()
    spare_what_is_here()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("as_in_a_worker")
async def test_a_large_plan_is_read_while_everything_else_goes_on(worker: Worker) -> None:
    """What the loop's turns cost is told by this process's own CPU time, so that busy neighbours do not count."""
    organizer = await worker.sign_up("organizer")
    plan = small_plan(rows=26, seats_per_row=40)
    zones = [plan["zones"][0] | {"name": f"Zone {number}", "rows": renamed(plan, number)} for number in range(50)]
    body = json.dumps({"name": "A large house", "seating_plan": plan | {"zones": zones}}).encode()
    assert len(body) > 5_000_000
    longest, done = 0.0, False

    async def turn() -> None:
        nonlocal longest
        while not done:
            before = time.process_time()
            await asyncio.sleep(0.001)  # a turn of the loop, and not all of them
            longest = max(longest, time.process_time() - before)

    turning = asyncio.create_task(turn())
    await until(lambda: longest > 0)
    longest = 0.0
    answer = await worker.http.post("/v1/venues", content=body, headers=organizer | JSON)
    done = True
    await turning
    assert answer.status_code == 201, answer.text
    assert longest < STALL_CPU_SECONDS
    plan_back = (await worker.http.get(f"/v1/venues/{answer.json()['id']}")).json()["seating_plan"]
    assert plan_back == json.loads(body)["seating_plan"]
    problem(await worker.http.post("/v1/venues", content=body[:-1], headers=organizer | JSON), 400, "malformed_json")


def renamed(plan: dict[str, Any], number: int) -> list[dict[str, Any]]:
    return [
        row | {"seats": [seat | {"seat_guid": f"{number}-{seat['seat_guid']}"} for seat in row["seats"]]}
        for row in plan["zones"][0]["rows"]
    ]
