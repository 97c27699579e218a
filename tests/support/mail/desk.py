"""The outbox of one schedule, as tests of mails fill it and look into it."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import asyncpg
import icalendar

from actors.mail.composing import Postmark
from actors.mail.mailer import LANES, Mailer
from actors.mail.tickets import ticket_key
from actors.mail.transport import (
    Transport,
)
from actors.process.clock import SystemClock
from persistence.notifications import outbox
from persistence.notifications.outbox import BookingFacts, Facts, NewNotification, Seat

SCHEDULE = "01980000-0000-7000-8000-00000000000a"
BOOKING = "01980000-0000-7000-8000-00000000000b"
CUSTOMER = "01980000-0000-7000-8000-00000000000c"
KEY = ticket_key("a secret of at least 32 characters")
EMAIL = "minji@example.com"
ORIGIN = "https://tickets.example.com"
STARTS_AT = datetime(2099, 11, 22, 10, 30, tzinfo=UTC)
SEATS = [
    Seat(zone="1층", row="A", number="1", category="R석", price=150_000),
    Seat(zone="1층", row="A", number="2", category="R석", price=150_000),
]
PIT = Seat(zone="Pit", row="", number="Pit", category="스탠딩", price=99_000)
VERSIONS = itertools.count(7)


class Desk:
    """The outbox of one schedule, and what tests do with it."""

    def __init__(self, pool: asyncpg.Pool[Any], own_pool: asyncpg.Pool[Any]) -> None:
        self.pool = pool
        self.own_pool = own_pool  # under the role that the mailer has
        self.stop = asyncio.Event()

    async def put(self, kind: str = "confirmed", customer: str = CUSTOMER, **facts: Any) -> str:
        """A mail to be; gives its id."""
        known = {"bookings": [BookingFacts(id=BOOKING, seats=SEATS)], "currency": "KRW", "amount": 300_000}
        fresh = NewNotification(
            schedule_id=SCHEDULE,
            version=next(VERSIONS),
            customer_id=customer,
            booking_id=BOOKING,
            kind=kind,
            facts=Facts(**known | facts),
        )
        assert await outbox.add(self.pool, [fresh]) == 1
        return fresh.id

    async def account(self, customer: str, email: str, language: str = "en", name: str | None = None) -> None:
        await self.pool.execute(
            "INSERT INTO accounts (id, email, password_hash, name, role, language) VALUES ($1, $2, '-', $3, $4, $5)",
            customer,
            email,
            name,
            "customer",
            language,
        )

    def mailer(self, transport: Transport, **changes: Any) -> Mailer:
        return Mailer(self.own_pool, transport, Postmark(transport.sender, KEY, SystemClock(), ORIGIN), **changes)

    async def send(self, transport: Transport, **changes: Any) -> int:
        """Works the outbox off once; gives how many rows were dealt with."""
        one = self.mailer(transport, **changes)
        return sum([await one.drain(lane, self.stop) for lane in range(LANES)])

    async def row(self, notification_id: str) -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM notifications WHERE id = $1", notification_id)
        assert row is not None
        return row

    async def status(self, notification_id: str) -> str:
        return str((await self.row(notification_id))["status"])

    async def is_status(self, notification_id: str, status: str) -> bool:
        return await self.status(notification_id) == status

    async def hurry(self) -> None:
        """Lets what was put off be due."""
        await self.pool.execute("UPDATE notifications SET due_at = now() WHERE status = 'pending'")


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def calendar_of(mail: EmailMessage) -> icalendar.Calendar:
    (entry,) = [each for each in mail.iter_attachments() if each.get_filename() == "ticket.ics"]
    calendar = icalendar.Calendar.from_ical(entry.get_payload(decode=True))
    assert isinstance(calendar, icalendar.Calendar)
    assert entry.get_param("method") == str(calendar["method"])
    return calendar
