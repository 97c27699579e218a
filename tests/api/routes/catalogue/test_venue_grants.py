"""A venue's organizer lets single others play there, learns nothing about accounts by it, and may take it back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.routes.catalogue import venue_grants
from tests.api.conftest import PASSWORD, Worker
from tests.support.mail.mailbox import Mailbox
from tests.support.sale import Sale, open_sale, problem


@pytest.fixture
async def sale(worker: Worker) -> Sale:
    """Somebody's, in a venue of theirs."""
    return await open_sale(worker.http)


class Guest:
    """An organizer with a performance, who would play in somebody else's venue."""

    def __init__(self, worker: Worker, email: str, headers: dict[str, str], organizer_id: str) -> None:
        self._http = worker.http
        self.email, self.headers, self.id = email, headers, organizer_id
        self.performance = ""

    async def plays_at(self, sale: Sale, days: int = 40) -> httpx.Response:
        """Tries to schedule a performance in the sale's venue, some time after it."""
        if not self.performance:
            made = await self._http.post(
                "/v1/performances", json={"title": f"Guests {uuid4().hex}"}, headers=self.headers
            )
            self.performance = made.json()["id"]
        body = {
            "starts_at": (sale.starts_at + timedelta(days=days)).isoformat(),
            "venue_id": sale.venue_id,
            "currency": "KRW",
            "prices": dict(sale.prices),
        }
        return await self._http.post(f"/v1/performances/{self.performance}/schedules", json=body, headers=self.headers)

    async def confirms(self, mailbox: Mailbox) -> None:
        token = await mailbox.token(self.email, "/email-confirmations/")
        assert (await self._http.post(f"/v1/email-confirmations/{token}")).status_code == 204


@pytest.fixture
async def guest(worker: Worker) -> Guest:
    email = f"{uuid4().hex}@example.com"
    body = {"email": email, "password": PASSWORD, "role": "organizer"}
    account = (await worker.http.post("/v1/accounts", json=body)).json()
    return Guest(worker, email, await worker.log_in(email), account["id"])


async def give(worker: Worker, sale: Sale, **to: str) -> dict[str, Any]:
    answer = await worker.http.post(f"/v1/venues/{sale.venue_id}/grants", json=to, headers=sale.organizer)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_whoever_is_granted_a_venue_by_id_plays_there_and_nobody_else(
    worker: Worker, sale: Sale, guest: Guest
) -> None:
    problem(await guest.plays_at(sale), 403, "venue_not_shared")
    await give(worker, sale, organizer_id=guest.id)
    assert (await guest.plays_at(sale)).status_code == 201
    url = f"/v1/performances/{guest.performance}"
    assert (await worker.http.patch(url, json={"venue_id": sale.venue_id}, headers=guest.headers)).is_success
    stranger = await open_sale(worker.http)
    body = {"venue_id": sale.venue_id}
    refused = await worker.http.patch(
        f"/v1/performances/{stranger.performance_id}", json=body, headers=stranger.organizer
    )
    problem(refused, 403, "venue_not_shared")


async def test_a_grant_to_an_address_counts_once_its_owner_has_confirmed_it(
    worker: Worker, sale: Sale, guest: Guest
) -> None:
    """Otherwise whoever signs up with somebody else's address would have their rights."""
    grant = await give(worker, sale, email=guest.email.upper())
    assert (grant["email"], grant["organizer_id"]) == (guest.email, None)
    problem(await guest.plays_at(sale), 403, "venue_not_shared")
    await guest.confirms(Mailbox(worker.office.pool))
    assert (await guest.plays_at(sale)).status_code == 201
    change = {"email": f"{uuid4().hex}@example.com", "current_password": PASSWORD}
    assert (await worker.http.patch("/v1/accounts/me", json=change, headers=guest.headers)).is_success
    problem(await guest.plays_at(sale, days=41), 403, "venue_not_shared")


async def test_a_grant_says_nothing_about_whether_there_is_such_an_account(
    worker: Worker, sale: Sale, guest: Guest
) -> None:
    made = [
        await give(worker, sale, email=guest.email),
        await give(worker, sale, email=f"{uuid4().hex}@example.com"),
        await give(worker, sale, organizer_id=guest.id),
        await give(worker, sale, organizer_id=str(uuid4())),
    ]
    shapes = [{name: value is None for name, value in each.items()} for each in made]
    assert shapes[0] == shapes[1]
    assert shapes[2] == shapes[3]
    listed = await worker.http.get(f"/v1/venues/{sale.venue_id}/grants", headers=sale.organizer)
    assert listed.json()["items"] == made[::-1]


async def test_what_is_taken_back_counts_no_more_and_what_is_scheduled_stays_when_it_is(
    worker: Worker, sale: Sale, guest: Guest
) -> None:
    grant = await give(worker, sale, organizer_id=guest.id)
    schedule = (await guest.plays_at(sale)).json()
    url = f"/v1/venues/{sale.venue_id}/grants/{grant['id']}"
    assert (await worker.http.delete(url, headers=sale.organizer)).status_code == 204
    problem(await worker.http.delete(url, headers=sale.organizer), 404, "venue_grant_not_found")
    problem(await guest.plays_at(sale, days=41), 403, "venue_not_shared")
    assert (await worker.http.get(f"/v1/schedules/{schedule['id']}")).is_success
    # Another time there would be another evening of somebody else's calendar; other terms are not.
    there = f"/v1/schedules/{schedule['id']}"
    later = {"starts_at": (sale.starts_at + timedelta(days=90)).isoformat()}
    for change, status in ((later, 403), ({"hold_seconds": 60}, 200)):
        assert (await worker.http.patch(there, json=change, headers=guest.headers)).status_code == status


async def test_whoever_is_named_twice_has_one_grant(worker: Worker, sale: Sale) -> None:
    email = f"{uuid4().hex}@example.com"
    assert await give(worker, sale, email=email) == await give(worker, sale, email=email.title())


async def test_grants_are_given_seen_and_taken_back_by_the_venue_s_organizer_alone(
    worker: Worker, sale: Sale, guest: Guest
) -> None:
    grant = await give(worker, sale, organizer_id=guest.id)
    url = f"/v1/venues/{sale.venue_id}/grants"
    for headers, status, code in (
        (guest.headers, 404, "venue_not_found"),
        (await worker.sign_up(), 403, "forbidden"),
        ({}, 401, "unauthenticated"),
    ):
        problem(await worker.http.post(url, json={"organizer_id": guest.id}, headers=headers), status, code)
        problem(await worker.http.get(url, headers=headers), status, code)
        problem(await worker.http.delete(f"{url}/{grant['id']}", headers=headers), status, code)
    elsewhere = await open_sale(worker.http)
    theirs = f"/v1/venues/{elsewhere.venue_id}/grants/{grant['id']}"
    problem(await worker.http.delete(theirs, headers=elsewhere.organizer), 404, "venue_grant_not_found")


async def test_a_grant_asked_for_again_by_its_key_is_answered_again(worker: Worker, sale: Sale, guest: Guest) -> None:
    url, key = f"/v1/venues/{sale.venue_id}/grants", sale.organizer | {"Idempotency-Key": "play"}
    first, again = [await worker.http.post(url, json={"organizer_id": guest.id}, headers=key) for _ in range(2)]
    assert (first.status_code, first.content) == (201, again.content)
    assert first.headers["Location"] == f"{url}/{first.json()['id']}"
    other = await worker.http.post(url, json={"organizer_id": str(uuid4())}, headers=key)
    problem(other, 422, "idempotency_key_reused")


async def test_a_grant_is_for_an_address_or_an_id_and_a_venue_has_so_many(
    worker: Worker, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"/v1/venues/{sale.venue_id}/grants"
    both = {"email": "a@example.com", "organizer_id": str(uuid4())}
    for body in ({}, both, {"email": None}, {"email": "nobody"}, {"organizer_id": "1"}):
        problem(await worker.http.post(url, json=body, headers=sale.organizer), 422, "validation_failed")
    monkeypatch.setattr(venue_grants, "GRANTS_PER_VENUE", 1)
    await give(worker, sale, email="a@example.com")
    await give(worker, sale, email="a@example.com")
    refused = await worker.http.post(url, json={"email": "b@example.com"}, headers=sale.organizer)
    assert problem(refused, 409, "venue_grant_limit_reached")["limit"] == 1


async def test_the_audit_log_says_who_granted_and_not_to_whom(worker: Worker, sale: Sale) -> None:
    email = f"{uuid4().hex}@example.com"
    grant = await give(worker, sale, email=email)
    await worker.http.delete(f"/v1/venues/{sale.venue_id}/grants/{grant['id']}", headers=sale.organizer)
    rows = await worker.office.pool.fetch(
        "SELECT action, after::text FROM audit_log WHERE subject = $1 ORDER BY seq", f"venue:{sale.venue_id}"
    )
    assert [row["action"] for row in rows] == ["venue.created", "venue.granted", "venue.grant_taken_back"]
    assert email not in str(rows)
