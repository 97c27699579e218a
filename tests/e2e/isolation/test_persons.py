"""What says who somebody is: gone when they go, mailed to nobody else, found in the log by an address and an id."""

from __future__ import annotations

import json
import mailbox
from email.utils import getaddresses
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from api.http.security_log import QUIET_SECONDS
from api.office.limits import MAILS_TO_TARGET
from tests.conftest import Stack
from tests.support.honest_sale import HonestSale
from tests.support.sale import PASSWORD, hold, log_in, problem

pytestmark = pytest.mark.stack


async def test_who_goes_leaves_nothing_behind(
    besieged: Stack, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    """Somebody comes, holds, gives back and goes, again and again, with the same keys."""
    name = f"Unmistakable {uuid4().hex}"
    gone = []
    async with honest_sale.goes_on() as beside:
        while beside.needs_more() or not gone:
            email = f"{uuid4().hex}@example.com"
            body = {"email": email, "password": PASSWORD, "name": name}
            made = await attacker.post("/v1/accounts", json=body, headers={"Idempotency-Key": uuid4().hex})
            if made.status_code == 429:
                continue
            customer = await log_in(attacker, {"email": email, "password": PASSWORD})
            booking = await hold(attacker, honest_sale.sale, customer, honest_sale.sale.seats[-4])
            assert (await attacker.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
            left = await attacker.request(
                "DELETE", "/v1/accounts/me", json={"current_password": PASSWORD}, headers=customer
            )
            assert left.status_code == 204, left.text
            gone.append(email)
    assert await tables_with(besieged, name, *gone) == []


async def tables_with(stack: Stack, *texts: str) -> list[str]:
    """Every table that has one of the texts in a row."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [
            row["tablename"]
            for row in tables
            if await connection.fetchval(
                f"SELECT EXISTS (SELECT 1 FROM {row['tablename']} AS r, unnest($1::text[]) AS t"  # its own
                " WHERE strpos(r::text, t) > 0)",
                list(texts),
            )
        ]
    finally:
        await connection.close()


async def test_mail_is_no_weapon(besieged: Stack, attacker: httpx.AsyncClient, honest_sale: HonestSale) -> None:
    """A name that would be recipients, and links asked for without end: one recipient a mail, and few mails."""
    victim, other = (f"{uuid4().hex[:8]}@bank.example" for _ in range(2))
    named = {"email": victim, "password": PASSWORD, "name": f'"{other}, somebody" <{other}>'}
    assert (await attacker.post("/v1/accounts", json=named)).status_code == 201
    session = await log_in(attacker, {"email": victim, "password": PASSWORD})
    statuses = set()
    async with honest_sale.goes_on() as beside:
        while beside.needs_more() or 429 not in statuses:
            for path, headers, body in (
                ("/v1/password-resets", {}, {"email": victim}),
                ("/v1/email-confirmations", session, {}),
            ):
                statuses.add((await attacker.post(path, json=body, headers=headers)).status_code)
    assert statuses == {202, 429}
    ((limit, _),) = MAILS_TO_TARGET
    connection = await asyncpg.connect(besieged.database_url)
    ours = "SELECT count(*) FROM notifications JOIN accounts a ON a.id = customer_id WHERE a.email = $1"
    made = await connection.fetchval(ours, victim)
    await connection.close()
    assert 1 <= made <= limit + 1, "and the one that a new account gets"
    assert all(to == [victim] for to in recipients(besieged, victim))
    assert recipients(besieged, other) == []


def recipients(stack: Stack, email: str) -> list[list[str]]:
    """To whom each mail went that has the address among its recipients."""
    path = Path(stack.data_dir) / "outbox.mbox"
    if not path.exists():
        return []
    box = mailbox.mbox(path)
    try:
        found = [
            [address for _, address in getaddresses(mail.get_all("To", []) + mail.get_all("Cc", []))] for mail in box
        ]
    finally:
        box.close()
    return [to for to in found if any(email in address for address in to)]


async def test_who_tries_is_found_in_the_log_and_writes_none_of_its_lines(
    besieged: Stack, address: str, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    """Refused log-ins by an address, each answer with an id of its own, whatever its sender called it."""
    mark = uuid4().hex
    forged = {"User-Agent": f"{mark}\\n2031 [info] logged_in", "X-Request-Id": mark, "X-Forwarded-For": "8.8.8.8"}
    ids = []
    async with honest_sale.goes_on() as beside:
        while beside.needs_more() or not ids:
            body = {"email": f"{mark}@example.com", "password": "a wrong password"}
            answer = await attacker.post("/v1/sessions", json=body, headers=forged)
            document = problem(answer, answer.status_code, json.loads(answer.text)["code"])
            assert document["request_id"] == answer.headers["x-request-id"]
            ids.append(document["request_id"])
    assert len({*ids}) == len(ids)
    lines = [line for line in besieged.log.read_text().splitlines() if address in line and "log_in_refused" in line]
    assert any(ids[0] in line for line in lines), f"told at once, and again after {QUIET_SECONDS} s"
    text = besieged.log.read_text()
    assert mark not in text
    assert "8.8.8.8" not in text
