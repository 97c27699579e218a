"""Whatever lies below /v1/admin is for admins: a walk over the API's own document, so that no route can be left out."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Worker
from tests.support.sale import hold, open_sale, problem

METHODS = ("get", "post", "put", "patch", "delete")


def operations(worker: Worker) -> list[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = worker.app.openapi()["paths"]
    return [
        (method.upper(), re.sub(r"\{[^}]+\}", lambda _: str(uuid4()), path))
        for path, methods in paths.items()
        if path.startswith("/v1/admin")
        for method in METHODS
        if method in methods
    ]


async def asked(worker: Worker, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    # A body that suits no route: who may not come in is told so before anybody reads it.
    body = {"nothing": "of the kind"} if method in ("POST", "PUT", "PATCH") else None
    return await worker.http.request(method, path, headers=headers, json=body)


@pytest.mark.parametrize("who", ["nobody", "customer", "organizer", "door staff"])
async def test_nobody_but_an_admin_comes_in(worker: Worker, who: str) -> None:
    expected = (403, "forbidden")
    if who in ("customer", "organizer"):
        headers = await worker.sign_up(who)
    elif who == "nobody":
        headers, expected = {}, (401, "unauthenticated")
    else:
        sale = await open_sale(worker.http)
        url = f"/v1/schedules/{sale.schedule_id}/door-staff"
        link = (await worker.http.post(url, json={"name": "Jiwoo"}, headers=sale.organizer)).json()
        headers, expected = {"Authorization": f"Bearer {link['token']}"}, (401, "unauthenticated")
    walked = operations(worker)
    assert len(walked) > 20, "the document has them"
    for method, path in walked:
        problem(await asked(worker, method, path, headers), *expected)


OWN: tuple[tuple[str, str, Any, int], ...] = (
    ("PATCH", "", {"seats": ["A-2"]}, 200),
    ("POST", "/extension", None, 201),
    ("POST", "/transfers", {"email": "someone@example.com"}, 409),  # nothing is paid for yet
    ("POST", "/payments", {}, 422),  # by what?
    ("POST", "/cancellation", None, 201),
    ("DELETE", "", None, 409),
)


async def test_whose_a_booking_is_it_stays_with_any_role(worker: Worker) -> None:
    """Buying is for customers; what somebody has bought is their own, whatever they become."""
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    url = f"/v1/bookings/{booking['id']}"
    for method, noun, body, _ in OWN:
        other = await worker.http.request(method, url + noun, json=body, headers=sale.organizer)
        problem(other, 404, "booking_not_found")
    me = (await worker.http.get("/v1/accounts/me", headers=customer)).json()
    await worker.as_superuser(f"UPDATE accounts SET role = 'organizer' WHERE id = '{me['id']}'")
    organizer = await worker.log_in(me["email"])
    problem(await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=organizer), 403, "forbidden")
    for method, noun, body, expected in OWN:
        mine = await worker.http.request(method, url + noun, json=body, headers=organizer)
        assert mine.status_code == expected, (method, noun, mine.text)
