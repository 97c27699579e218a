"""Every route that takes a date, asked of one that was cancelled, has begun or was withdrawn: a walk over the API's own
document, so that none can be left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec import Struct

from tests.api.conftest import Worker
from tests.support.sale import Sale, begin, open_sale, problem

METHODS = ("get", "post", "put", "patch", "delete")
WISH = {"seats": ["A-1"]}
BLOCK = {"seats": ["A-2"], "reason": "camera"}


class Asked(Struct, frozen=True):
    """What is asked for, and what it comes to: a status, or the code of a refusal."""

    cancelled: int | str
    begun: int | str
    withdrawn: int | str = 404
    body: Any = None
    who: str = "organizer"  # customer | organizer | admin


def read(withdrawn: int = 404, who: str = "organizer") -> Asked:
    return Asked(200, 200, withdrawn, who=who)


OFF, CLOSED = "schedule_cancelled", "sale_closed"
SCHEDULE, ORGANIZER, ADMIN = (f"/v1{part}/schedules/{{schedule_id}}" for part in ("", "/organizer", "/admin"))
# In this order: what takes the date away comes last.
ROUTES: dict[tuple[str, str], Asked] = {
    ("get", SCHEDULE): read(),
    ("get", f"{SCHEDULE}/seats"): read(),
    ("get", f"{SCHEDULE}/layout"): read(),
    ("get", f"{SCHEDULE}/states"): read(),
    ("get", f"{SCHEDULE}/availability"): read(),
    ("post", f"{SCHEDULE}/bookings"): Asked(OFF, CLOSED, body=WISH, who="customer"),
    ("post", f"{SCHEDULE}/bookings:batch"): Asked(OFF, CLOSED, "schedule_not_found", WISH, "customer"),
    ("post", f"{SCHEDULE}/queue"): Asked(OFF, CLOSED, who="customer"),
    ("patch", SCHEDULE): Asked(
        OFF, 200, body={"prices": {"VIP": 1, "Standard": 1}}
    ),  # it may begin later than it was to
    ("post", f"{ORGANIZER}/blocks"): Asked(OFF, CLOSED, body=BLOCK),
    ("delete", f"{ORGANIZER}/blocks"): Asked(OFF, CLOSED, body={"seats": ["A-2"]}),
    ("get", f"{ORGANIZER}/blocks"): read(),
    ("get", f"{ORGANIZER}/bookings"): read(),
    ("get", f"{ORGANIZER}/bookings.csv"): read(),
    ("get", f"{ORGANIZER}/sales"): read(),
    ("get", f"{ORGANIZER}/sales.csv"): read(),
    ("get", f"{ORGANIZER}/settlement"): read(),
    ("get", f"{ORGANIZER}/history"): read(),
    ("post", f"{ORGANIZER}/bookings/{{booking_id}}/cancellation"): Asked(404, 404, body={"reason": "x"}),
    # Somebody tells those who come all the same that it is off.
    ("post", f"{SCHEDULE}/door-staff"): Asked(201, 201, body={"name": "Jiwoo"}),
    ("get", f"{SCHEDULE}/door-staff"): read(),
    ("delete", f"{SCHEDULE}/door-staff/{{staff_id}}"): Asked(404, 404),
    ("delete", f"{SCHEDULE}/door-staff"): Asked(204, 204),
    ("post", f"{SCHEDULE}/check-ins"): Asked(200, 200, body=[{"code": "none of ours"}]),
    ("get", f"{SCHEDULE}/check-ins"): read(),
    ("get", f"{ADMIN}/journal"): read(200, "admin"),
    ("get", f"{ADMIN}/reconciliation"): read(200, "admin"),
    ("post", f"{ADMIN}/reconciliation"): read(200, "admin"),
    ("patch", ADMIN): Asked(200, 200, 200, {"dedicated": False}, "admin"),
    ("get", "/v1/admin/actors/{schedule_id}"): read(200, "admin"),
    ("post", "/v1/admin/parked-events/{service}/{schedule_id}/{version}/retry"): Asked(404, 404, who="admin"),
    ("get", f"{ORGANIZER}/cancellation"): Asked(200, "schedule_not_cancelled"),
    ("post", f"{ORGANIZER}/cancellation"): Asked(202, 202, body={"reason": "ill"}),  # it may be broken off
    ("delete", SCHEDULE): Asked(204, 204),
}
ENDLESS = {("get", f"{SCHEDULE}/stream")}  # `test_withdrawal.py` has it


def test_the_routes_are_all_that_take_a_date(worker: Worker) -> None:
    paths: dict[str, dict[str, Any]] = worker.app.openapi()["paths"]
    found = {
        (method, path) for path, of in paths.items() if "{schedule_id}" in path for method in METHODS if method in of
    }
    assert found == ROUTES.keys() | ENDLESS


@pytest.fixture(scope="module")
async def admin(worker: Worker) -> dict[str, str]:
    await worker.sign_up()
    email = f"{uuid4().hex}@example.com"
    body = {"email": email, "password": "correct horse battery", "role": "customer"}
    assert (await worker.http.post("/v1/accounts", json=body)).status_code == 201
    await worker.as_superuser(f"UPDATE accounts SET role = 'admin' WHERE email = '{email}'")
    return await worker.log_in(email)


@pytest.mark.parametrize("state", ["cancelled", "begun", "withdrawn"])
async def test_of_a_date_that_is_over_nothing_is_sold_or_changed(
    worker: Worker, admin: dict[str, str], state: str
) -> None:
    sale = await open_sale(worker.http, starts_at=(datetime.now(UTC) + timedelta(days=3)).isoformat())
    blocks = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    assert (await worker.http.post(blocks, json=BLOCK, headers=sale.organizer)).status_code == 201
    await over(worker, sale, state)
    people = {"customer": await worker.sign_up(), "organizer": sale.organizer, "admin": admin}
    wrong = {}
    for (method, path), asked in ROUTES.items():
        answer = await ask(worker, sale, method, path, asked, people[asked.who])
        expected = getattr(asked, state)
        found = code_of(answer) if isinstance(expected, str) else answer.status_code
        if found != expected:
            wrong[method, path] = (found, answer.text[:200])
        if answer.status_code == 404 and path.startswith(SCHEDULE) and "staff_id" not in path:
            problem(answer, 404, "schedule_not_found")
    assert wrong == {}


async def over(worker: Worker, sale: Sale, state: str) -> None:
    """Has the date be so."""
    url = f"/v1/organizer/schedules/{sale.schedule_id}/cancellation"
    if state == "begun":
        await begin(worker.http, sale)
    elif state == "cancelled":
        assert (await worker.http.post(url, json={"reason": "ill"}, headers=sale.organizer)).status_code == 202
    else:
        gone = await worker.http.delete(f"/v1/schedules/{sale.schedule_id}", headers=sale.organizer)
        assert gone.status_code == 204, gone.text


async def ask(
    worker: Worker, sale: Sale, method: str, path: str, asked: Asked, headers: dict[str, str]
) -> httpx.Response:
    ids = {"booking_id": str(uuid4()), "staff_id": str(uuid4()), "service": "sales", "version": "1"}
    url = path.format(schedule_id=sale.schedule_id, **ids)
    if not path.endswith(":batch"):
        body = [each | {"id": str(uuid4())} for each in asked.body] if isinstance(asked.body, list) else asked.body
        return await worker.http.request(method, url, json=body, headers=headers)
    lines = headers | {"Content-Type": "application/x-ndjson"}
    return await worker.http.request(method, url, content=json.dumps(asked.body | {"id": "one"}), headers=lines)


def code_of(answer: httpx.Response) -> str | None:
    """The code of a refusal; of a batch that of its only line."""
    document = answer.json()
    if answer.headers["content-type"] == "application/x-ndjson":
        document = document["problem"]
    code: str | None = document.get("code")
    return code
