"""A deleted account leaves nothing that says who it was, in no table; and nothing is kept longer than it is of use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from actors.background.retention import Retention
from engine.commands import ApprovePayment, RequestPayment
from persistence.accounts import erasure
from persistence.database import tables
from persistence.notifications import outbox
from persistence.notifications.outbox import Facts, NewNotification
from tests.api.conftest import PASSWORD, Worker
from tests.api.routes.door.test_check_ins import Door, one
from tests.support.clocks import MovableClock
from tests.support.mail.mailbox import Mailbox
from tests.support.sale import hold, open_sale, problem

NAME = "Seo-yeon Unmistakable"


async def where(worker: Worker, *texts: str) -> list[str]:
    """Every table and column in which one of the texts stands, in whatever case and encoding."""
    found = []
    async with worker.office.database.connect() as connection:
        for table in tables.metadata.sorted_tables:
            for row in (await connection.execute(sa.select(table))).mappings():
                for column, value in row.items():
                    content = value if isinstance(value, bytes) else repr(value).encode()
                    shown = content.decode("utf-8", errors="replace").lower()
                    found += [f"{table.name}.{column}" for text in texts if text.lower() in shown]
    return found


async def test_nothing_of_a_deleted_account_is_left_in_the_whole_database(worker: Worker) -> None:
    http, email = worker.http, f"unmistakable-{uuid4().hex}@example.com"
    door = Door(worker, await open_sale(http))
    # Signs up, twice with one key; logs in with a program and with a browser that say whose they are.
    body = {"email": email, "password": PASSWORD, "name": NAME}
    key = {"Idempotency-Key": uuid4().hex}
    for _ in range(2):
        assert (await http.post("/v1/accounts", json=body, headers=key)).status_code == 201
    account_id = await worker.office.pool.fetchval("SELECT id::text FROM accounts WHERE email = $1", email)
    agent = {"User-Agent": f"{NAME}'s telephone", "Sec-Fetch-Site": "same-origin"}
    credentials = {"email": email, "password": PASSWORD}
    session = (await http.post("/v1/sessions", json=credentials, headers=agent)).json()
    await http.post("/v1/sessions/browser", json=credentials, headers=agent)
    http.cookies.clear()
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    # May play in somebody's venue, by their e-mail and by their id.
    venue = f"/v1/venues/{door.sale.venue_id}/grants"
    for to in ({"email": email.upper()}, {"organizer_id": account_id}):
        assert (await http.post(venue, json=to, headers=door.sale.organizer)).status_code == 201
    # Buys, is let in and told about it, gives one booking up, has links mailed and confirms the address.
    door.customer = headers
    booking = await hold(http, door.sale, headers, *door.sale.fresh(2))
    payment_id = worker.office.clock.new_id()
    await door.done(RequestPayment(booking["id"], account_id, payment_id, "sandbox"))
    await door.done(ApprovePayment(booking["id"], payment_id, "ref"))
    door.booking_id = booking["id"]
    (seen,) = await door.read(one(door.code(2)))
    assert seen["name"] == NAME
    await door.read(one(door.code(2)))
    other = await hold(http, door.sale, headers, *door.sale.fresh(1))
    await http.delete(f"/v1/bookings/{other['id']}", headers=headers)
    await http.post("/v1/password-resets", json={"email": email})
    told = NewNotification(
        schedule_id=door.sale.schedule_id,
        version=3,
        customer_id=account_id,
        booking_id=booking["id"],
        kind="cancelled",
        facts=Facts(amount=1),
    )
    await outbox.add(worker.office.pool, [told])
    mailbox = Mailbox(worker.office.pool)
    token = await mailbox.token(email, "/email-confirmations/")
    await http.post(f"/v1/email-confirmations/{token}")
    # An admin looks after the account.
    admin = await worker.sign_up()
    admin_email = (await http.get("/v1/accounts/me", headers=admin)).json()["email"]
    await worker.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE email = $1", admin_email)
    admin = await worker.log_in(admin_email)
    for locked in (True, False):
        await http.patch(f"/v1/admin/accounts/{account_id}", json={"locked": locked}, headers=admin)
    headers = await worker.log_in(email)

    places = set(await where(worker, email, NAME))
    assert {"accounts.email", "accounts.name", "idempotency_keys.body", "sessions.client", "check_ins.answer"} <= places
    problem(await http.delete("/v1/accounts/me", headers=headers), 409, "account_has_bookings")
    await worker.office.pool.execute("UPDATE schedules SET starts_at = now() - interval '1 day'")
    assert (await http.delete("/v1/accounts/me", headers=headers)).status_code == 204
    assert await where(worker, email, NAME) == []
    assert (await http.get(venue, headers=door.sale.organizer)).json()["items"] == []


async def test_a_key_used_before_the_account_was_deleted_signs_up_anew(worker: Worker) -> None:
    email, key = f"{uuid4().hex}@example.com", {"Idempotency-Key": uuid4().hex}
    body = {"email": email, "password": PASSWORD}
    first = (await worker.http.post("/v1/accounts", json=body, headers=key)).json()
    assert (await worker.http.post("/v1/accounts", json=body, headers=key)).json() == first
    await worker.http.delete("/v1/accounts/me", headers=await worker.log_in(email))
    assert (await worker.http.post("/v1/accounts", json=body, headers=key)).json()["id"] != first["id"]


# --- by time ----------------------------------------------------------------------------------------------------------
async def purged(worker: Worker, after: timedelta) -> dict[str, int]:
    return dict(await Retention(worker.office.database, MovableClock(int(after.total_seconds() * 1000))).purge())


async def test_what_nobody_will_ask_for_is_dropped_in_its_time_and_not_before(fresh_worker: Worker) -> None:
    http = fresh_worker.http
    email = f"{uuid4().hex}@example.com"
    body = {"email": email, "password": PASSWORD}
    await http.post("/v1/accounts", json=body, headers={"Idempotency-Key": "a-key"})
    await fresh_worker.log_in(email)
    ended = await fresh_worker.log_in(email)
    await http.delete("/v1/sessions/current", headers=ended)
    await Mailbox(fresh_worker.office.pool).of(email)  # a confirmation is sent, its link is good for three days

    async def kept() -> dict[str, int]:
        counted = {}
        async with fresh_worker.office.database.connect() as connection:
            for table in (tables.idempotency_keys, tables.sessions, tables.account_links, tables.notifications):
                query = sa.select(sa.func.count()).select_from(table)
                counted[table.name] = (await connection.execute(query)).scalar_one()
        return counted

    everything = {"idempotency_keys": 1, "sessions": 2, "account_links": 1, "notifications": 1}
    assert await kept() == everything
    hour = timedelta(hours=1)
    steps: list[tuple[timedelta, dict[str, int]]] = [
        (timedelta(0), {}),
        (timedelta(days=1) + hour, {"sessions": 1}),  # the one that was logged out of
        (timedelta(days=2) + hour, {"idempotency_keys": 0}),
        (timedelta(days=4) + hour, {"account_links": 0}),
        (timedelta(days=31) + hour, {"sessions": 0}),
        (timedelta(days=90) + hour, {"notifications": 0}),
    ]
    for after, gone in steps:
        await purged(fresh_worker, after - 2 * hour if gone else after)
        assert await kept() == everything, after
        await purged(fresh_worker, after)
        everything |= gone
        assert await kept() == everything, after


async def test_what_an_address_was_sent_is_not_known_for_longer_than_a_day(fresh_worker: Worker) -> None:
    email = f"{uuid4().hex}@example.com"
    await fresh_worker.http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
    told = NewNotification(
        schedule_id=str(uuid4()), version=1, customer_id=str(uuid4()), booking_id=None, kind="cancelled", facts=Facts()
    )
    await outbox.add(fresh_worker.office.pool, [told])
    await fresh_worker.office.pool.execute(
        "UPDATE notifications SET status = 'sent', sent_at = now(), address_digest = '\\x01' WHERE id = $1", told.id
    )
    digests = "SELECT count(*) FROM notifications WHERE address_digest IS NOT NULL"
    await purged(fresh_worker, timedelta(hours=23))
    assert await fresh_worker.office.pool.fetchval(digests) == 1
    await purged(fresh_worker, timedelta(hours=25))
    assert await fresh_worker.office.pool.fetchval(digests) == 0


async def test_mails_that_are_still_to_be_sent_are_never_dropped(fresh_worker: Worker) -> None:
    await fresh_worker.http.post("/v1/accounts", json={"email": "late@example.com", "password": PASSWORD})
    await purged(fresh_worker, timedelta(days=365))
    assert await fresh_worker.office.pool.fetchval("SELECT count(*) FROM notifications WHERE status = 'pending'") == 1


async def test_what_was_dropped_is_not_told_again_when_the_events_are_read_anew(fresh_worker: Worker) -> None:
    pool = fresh_worker.office.pool
    async with pool.acquire() as connection:
        first = await outbox.started(connection, datetime.now(UTC) - timedelta(days=1))
    await purged(fresh_worker, timedelta(days=200))
    async with pool.acquire() as connection:
        since = await outbox.started(connection, datetime.now(UTC))
    assert since - first > timedelta(days=100), "what happened before is never told"


@pytest.mark.parametrize("name", [each for each in dir(erasure) if each.isupper()])
def test_nothing_is_kept_for_more_than_a_quarter(name: str) -> None:
    value: Any = getattr(erasure, name)
    assert timedelta(0) < value <= timedelta(days=90)
