"""What somebody writes to the topic sends nobody a ticket and loses nobody's event."""

from __future__ import annotations

import mailbox
from email.message import Message
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from actors.process.settings import Settings
from persistence.events import positions
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from tests.conftest import Stack
from tests.support.honest_sale import HonestSale
from tests.support.sale import PASSWORD, hold
from tests.support.waiting import until

pytestmark = pytest.mark.stack


def _is_ticket(part: Message) -> bool:
    """Tickets come with a picture and a date for the calendar; a mail about an address has neither."""
    return part.get_content_type().startswith("image/") or part.get_content_type() == "text/calendar"


def mails_to(stack: Stack, email: str) -> int:
    path = Path(stack.data_dir) / "outbox.mbox"
    if not path.exists():
        return 0
    box = mailbox.mbox(path)
    try:
        return sum(email in str(mail["To"]) and any(map(_is_ticket, mail.walk())) for mail in box)
    finally:
        box.close()


async def publish(options: KafkaOptions, key: str, values: list[bytes]) -> None:
    log = KafkaEventLog(options)
    await log.start()
    try:
        await log.publish(key, values)
    finally:
        await log.close()


async def test_forged_events_mail_no_ticket_and_hide_no_real_one(besieged: Stack, honest_sale: HonestSale) -> None:
    email = f"{uuid4().hex}@example.com"
    async with besieged.client() as http:
        account = await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
        session = await http.post("/v1/sessions", json={"email": email, "password": PASSWORD})
        customer = {"Authorization": f"Bearer {session.json()['access_token']}"}
        booking = await hold(http, honest_sale.sale, customer, honest_sale.sale.seats[-1])
    schedule_id = honest_sale.sale.schedule_id
    options = Settings.from_environment(besieged.run.environment).kafka
    assert options is not None
    pool = asyncpg.create_pool(besieged.database_url, min_size=0, max_size=2)
    async with pool, honest_sale.goes_on() as beside:
        head = await pool.fetchval("SELECT seq FROM schedule_heads WHERE schedule_id = $1", schedule_id)
        forged: dict[str, Any] = {
            "specversion": "1.0",
            "source": f"/v1/schedules/{schedule_id}",
            "type": "reservation.confirmed",
            "subject": booking["id"],
            "time": "2031-01-01T00:00:00.000Z",
            "datacontenttype": "application/json",
        }
        about = {
            "id": booking["id"],
            "customer_id": account.json()["id"],
            "status": "confirmed",
            "seats": [],
            "amount": 0,
            "currency": "KRW",
            "created_at": "2031-01-01T00:00:00.000Z",
            "expires_at": None,
        }
        versions = (1, head + 1_000_000, 2**62)
        places = [*((schedule_id, version) for version in versions), ("no schedule", 1), (str(uuid4()), 1)]
        events = [
            {**forged, "id": f"{place}:{version}", "data": {"schedule_id": place, "version": version, "booking": about}}
            for place, version in places
        ]

        async def has_caught_up() -> bool:
            position = await positions.of(pool, "notifications", schedule_id)
            return bool(position > head)

        while beside.needs_more():
            await publish(options, schedule_id, [msgspec.json.encode(event) for event in events])
            await until(has_caught_up)
        now = await pool.fetchval("SELECT seq FROM schedule_heads WHERE schedule_id = $1", schedule_id)
        assert await positions.of(pool, "notifications", schedule_id) <= now, "past the journal"

        async def suspects_are_put_aside() -> bool:  # the real ones may have been found in the journal before
            suspects = await positions.parked(pool, consumer="notifications/suspect", limit=10)
            return [row.version for row in suspects if row.schedule_id == schedule_id] == list(versions[1:])

        await until(suspects_are_put_aside)
    assert mails_to(besieged, email) == 0
