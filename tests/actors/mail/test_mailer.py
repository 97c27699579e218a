"""Mails leave the outbox at most once, say the right thing, and nobody reads an address where it does not belong."""

from __future__ import annotations

import asyncio
import itertools
import logging
import mailbox
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import icalendar
import pytest

from actors.mail import mailer, transport
from actors.mail.composing import Postmark
from actors.mail.mailer import AGAIN_SECONDS, LANES, MAILS_PER_HOUR_UNCONFIRMED, Mailer
from actors.mail.texts import KINDS, money_text, seat_lines, time_text
from actors.mail.tickets import Ticket, ticket_code, ticket_key
from actors.mail.transport import (
    EMBEDDED_SENDER,
    OUTBOX,
    MailAway,
    Outbox,
    SmtpServer,
    SmtpTransport,
    Transport,
    open_transport,
    scrubbed,
    sender_of,
)
from actors.process.clock import SystemClock
from actors.process.settings import Settings, SettingsError
from persistence.bookings.numbers import number_of
from persistence.database.roles import RECEIVER, with_role
from persistence.notifications import outbox
from persistence.notifications.outbox import BookingFacts, Facts, NewNotification, Seat
from persistence.providers.minor_units import exponent
from tests.support.mail.server import SENDER, MailServer, mail_server
from tests.support.waiting import turns, until

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


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=6) as pool,
        asyncpg.create_pool(with_role(database_url, RECEIVER), min_size=0, max_size=6) as own_pool,
    ):
        desk = Desk(pool, own_pool)
        await desk.account(CUSTOMER, EMAIL, "ko", "김민지")
        await pool.execute(
            "INSERT INTO venues (id, organizer_id, name, seating_plan, plan_digest, capacity)"
            " VALUES ($1, $1, '세종 대극장', '{}', '-', 1)",
            CUSTOMER,
        )
        await pool.execute(
            "INSERT INTO performances (id, organizer_id, title, venue_id, duration_minutes)"
            " VALUES ($1, $1, $2, $1, 150)",
            CUSTOMER,
            "카르멘 <Carmen>\nact 2",
        )
        await pool.execute(
            "INSERT INTO schedules (id, performance_id, venue_id, starts_at, currency, prices, hold_seconds)"
            " VALUES ($1, $2, $2, $3, 'KRW', '{}', 600)",
            SCHEDULE,
            CUSTOMER,
            STARTS_AT,
        )
        yield desk


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as running:
        yield running


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


# --- at most once -----------------------------------------------------------------------------------------------------
async def test_mail_is_sent_once_to_the_address_the_account_has_now(desk: Desk, server: MailServer) -> None:
    mail_id = await desk.put()
    await desk.pool.execute("UPDATE accounts SET email = 'new@example.com'")
    assert await desk.send(server.transport()) == 1
    assert await desk.send(server.transport()) == 0
    (mail,) = server.mails
    assert server.recipients == ["new@example.com"]
    assert str(mail["Message-ID"]) == f"<{mail_id}@{SENDER.domain}>"
    assert str(mail["From"]) == str(SENDER)
    row = await desk.row(mail_id)
    assert (row["status"], row["attempts"], row["error"]) == ("sent", 1, None)
    assert row["sent_at"] is not None


async def test_row_is_durably_being_sent_before_the_server_has_the_mail(desk: Desk, server: MailServer) -> None:
    mail_id = await desk.put()
    seen: list[str] = []

    async def look() -> None:
        seen.append(await desk.status(mail_id))

    server.before_reply = look
    await desk.send(server.transport())
    assert seen == ["sending"]
    assert await desk.status(mail_id) == "sent"


async def test_what_was_read_is_not_sent_once_the_address_is_another_or_somebody_else_has_it(desk: Desk) -> None:
    mail_id = await desk.put()
    (row,) = [row for lane in range(LANES) for row in await outbox.waiting(desk.pool, lane, LANES, 10)]
    await desk.pool.execute("UPDATE accounts SET email = 'new@example.com'")
    assert not await outbox.claim(desk.own_pool, row)
    await desk.pool.execute("UPDATE accounts SET email = '', deleted_at = now()")
    assert not await outbox.claim(desk.own_pool, row)
    await desk.pool.execute("UPDATE accounts SET email = $1, deleted_at = NULL", EMAIL)
    assert await desk.status(mail_id) == "pending"
    assert await outbox.claim(desk.own_pool, row)
    assert not await outbox.claim(desk.own_pool, row)


async def test_of_many_that_are_due_only_one_is_in_doubt_while_it_is_handed_over(
    desk: Desk, server: MailServer
) -> None:
    ids = [await desk.put() for _ in range(4)]
    seen: list[list[str]] = []

    async def look() -> None:
        seen.append([await desk.status(each) for each in ids])

    server.before_reply = look
    await desk.send(server.transport())
    assert seen == [["sent"] * n + ["sending"] + ["pending"] * (3 - n) for n in range(4)]


async def test_mail_whose_sender_died_is_unknown_and_not_sent_again(
    desk: Desk, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    mail_id = await desk.put()
    (row,) = [row for lane in range(LANES) for row in await outbox.waiting(desk.pool, lane, LANES, 10)]
    assert await outbox.claim(desk.pool, row)
    await desk.mailer(server.transport()).give_up_silent()
    assert await desk.status(mail_id) == "sending", "its sender may still be at it"
    await desk.pool.execute("UPDATE notifications SET due_at = now() - interval '301 seconds'")
    assert await desk.mailer(server.transport()).give_up_silent() == 1
    assert await desk.status(mail_id) == "unknown"
    assert await desk.send(server.transport()) == 0
    assert server.mails == []
    assert mail_id in caplog.text


async def test_server_that_falls_silent_with_the_mail_leaves_it_unknown(desk: Desk, server: MailServer) -> None:
    mail_id = await desk.put()
    server.on_content = ["hang up"]
    await desk.send(server.transport())
    row = await desk.row(mail_id)
    assert (row["status"], row["sent_at"]) == ("unknown", None)
    await desk.hurry()
    assert await desk.send(server.transport()) == 0


async def test_server_that_never_answers_leaves_it_unknown(desk: Desk, server: MailServer) -> None:
    mail_id = await desk.put()
    answer = asyncio.Event()

    async def wait() -> None:
        await answer.wait()

    server.before_reply = wait
    sending = asyncio.create_task(desk.send(server.transport(), send_seconds=0.2))
    await until(lambda: desk.is_status(mail_id, "unknown"))
    answer.set()
    await sending
    assert (await desk.row(mail_id))["error"] == "no answer in time"


async def test_several_mailers_at_once_send_each_mail_once_and_a_customer_s_in_order(
    desk: Desk, server: MailServer
) -> None:
    customers = [str(uuid5(UUID(CUSTOMER), str(number))) for number in range(12)]
    for number, customer in enumerate(customers):
        await desk.account(customer, f"c{number}@example.com")
    ids = [
        await desk.put(kind, customer) for kind in ("confirmed", "seats_changed", "refunded") for customer in customers
    ]
    mailers = [desk.mailer(server.transport()) for _ in range(2)]
    tasks = [asyncio.create_task(each.run(desk.stop)) for each in mailers]
    await until(lambda: len(server.mails) == len(ids))
    desk.stop.set()
    await asyncio.gather(*tasks)
    assert sorted(str(mail["Message-ID"]) for mail in server.mails) == sorted(
        f"<{each}@{SENDER.domain}>" for each in ids
    )
    assert {await desk.status(each) for each in ids} == {"sent"}


async def test_one_mailer_sends_a_customer_s_mails_in_the_order_of_what_happened(
    desk: Desk, server: MailServer
) -> None:
    kinds = ["confirmed", "seats_changed", "partially_refunded", "refunded"]
    ids = [await desk.put(kind) for kind in kinds]
    await desk.pool.execute("UPDATE notifications SET due_at = '2026-01-01Z'")
    task = asyncio.create_task(desk.mailer(server.transport()).run(desk.stop))
    await until(lambda: len(server.mails) == len(kinds))
    desk.stop.set()
    await task
    assert [str(mail["Message-ID"]) for mail in server.mails] == [f"<{each}@{SENDER.domain}>" for each in ids]


# --- refusals ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("script", ["on_recipient", "on_content"])
async def test_temporary_refusal_is_tried_again_ever_later_and_fails_in_the_end(
    desk: Desk, server: MailServer, script: str
) -> None:
    mail_id = await desk.put()
    for pause in AGAIN_SECONDS:
        setattr(server, script, ["451 4.7.1 try later"])
        before = await desk.pool.fetchval("SELECT now()")
        assert await desk.send(server.transport()) == 1
        row = await desk.row(mail_id)
        assert (row["status"], row["error"]) == ("pending", "451 4.7.1 try later")
        assert pause <= (row["due_at"] - before).total_seconds() < pause + 60
        assert await desk.send(server.transport()) == 0, "not before its time"
        await desk.hurry()
    setattr(server, script, ["451 4.7.1 try later"])
    await desk.send(server.transport())
    row = await desk.row(mail_id)
    assert (row["status"], row["attempts"]) == ("failed", len(AGAIN_SECONDS) + 1)
    assert server.mails == []


async def test_temporary_refusal_is_forgotten_once_the_mail_is_taken(desk: Desk, server: MailServer) -> None:
    mail_id = await desk.put()
    server.on_recipient = ["450 4.2.0 greylisted"]
    await desk.send(server.transport())
    await desk.hurry()
    await desk.send(server.transport())
    row = await desk.row(mail_id)
    assert (row["status"], row["attempts"], row["error"]) == ("sent", 2, None)
    assert len(server.mails) == 1


@pytest.mark.parametrize("script", ["on_recipient", "on_content"])
async def test_permanent_refusal_fails_at_once_does_not_hold_up_the_next_and_keeps_the_address_secret(
    desk: Desk, server: MailServer, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused, taken = await desk.put(), await desk.put()
    setattr(server, script, [f"550 5.1.1 <{EMAIL}>: no such user"])
    assert await desk.send(server.transport()) == 2
    row = await desk.row(refused)
    assert (row["status"], row["attempts"], row["error"]) == ("failed", 1, "550 5.1.1 … no such user")
    assert await desk.status(taken) == "sent"
    assert "no such user" in caplog.text
    assert EMAIL not in "\n".join(line.getMessage() for line in caplog.records if line.name.startswith("actors"))


async def test_mails_wait_untouched_while_there_is_no_server_and_leave_when_it_is_back(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailer, "AWAY_SECONDS", (0.05,))
    monkeypatch.setattr(mailer, "POLL_SECONDS", 0.02)
    async with mail_server() as server:
        transport = server.transport()
    ids = [await desk.put() for _ in range(3)]
    task = asyncio.create_task(desk.mailer(transport).run(desk.stop))
    await until(lambda: "no mail can be handed over" in caplog.text)
    rows = [await desk.row(each) for each in ids]
    assert {(row["status"], row["attempts"]) for row in rows} == {("pending", 0)}
    async with mail_server(server.port) as back:
        await until(lambda: len(back.mails) == 3)
        desk.stop.set()
        await task
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == 1, "once per outage"


async def test_mail_that_cannot_be_written_fails_and_the_others_go_on(
    desk: Desk, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await desk.put(bookings=[])  # a ticket for nothing
    whole = await desk.put()
    await desk.send(server.transport())
    row = await desk.row(broken)
    assert row["status"] == "failed"
    assert row["error"].startswith("cannot be written")
    assert await desk.status(whole) == "sent"


# --- mails nobody needs -----------------------------------------------------------------------------------------------
async def test_deleted_account_gets_no_mail(desk: Desk, server: MailServer) -> None:
    mail_id = await desk.put()
    await desk.pool.execute("UPDATE accounts SET deleted_at = now(), email = ''")
    await desk.send(server.transport())
    row = await desk.row(mail_id)
    assert (row["status"], row["error"]) == ("skipped", "the account was deleted")
    assert server.mails == []


async def test_ticket_is_not_sent_after_the_performance_but_a_refund_is_told(desk: Desk, server: MailServer) -> None:
    ticket, refund = await desk.put(), await desk.put("refunded")
    await desk.pool.execute("UPDATE schedules SET starts_at = now() - interval '151 minutes'")
    await desk.send(server.transport())
    assert [await desk.status(each) for each in (ticket, refund)] == ["skipped", "sent"]


async def test_ticket_bought_at_the_last_moment_is_sent_while_the_performance_is_on(
    desk: Desk, server: MailServer
) -> None:
    ticket = await desk.put()
    await desk.pool.execute("UPDATE schedules SET starts_at = now() - interval '10 minutes'")
    await desk.send(server.transport())
    assert await desk.status(ticket) == "sent"


async def test_of_two_moves_only_the_last_is_told(desk: Desk, server: MailServer) -> None:
    former, between = (STARTS_AT - timedelta(days=days) for days in (2, 1))
    outdated = await desk.put("schedule_changed", starts_at=between.isoformat(), former_starts_at=former.isoformat())
    valid = await desk.put("schedule_changed", starts_at=STARTS_AT.isoformat(), former_starts_at=between.isoformat())
    await desk.send(server.transport())
    assert [await desk.status(each) for each in (outdated, valid)] == ["skipped", "sent"]
    (mail,) = server.mails
    assert "2099년 11월 21일(토) 19:30 (한국 시간)" in part(mail, "plain")
    assert "2099년 11월 22일(일) 19:30 (한국 시간)" in part(mail, "plain")


async def test_who_has_had_enough_mails_gets_the_rest_later(desk: Desk, server: MailServer) -> None:
    ids = [await desk.put("cancelled") for _ in range(MAILS_PER_HOUR_UNCONFIRMED + 3)]
    await desk.send(server.transport())
    assert len(server.mails) == MAILS_PER_HOUR_UNCONFIRMED
    rows = [await desk.row(each) for each in ids]
    assert [row["status"] for row in rows] == ["sent"] * MAILS_PER_HOUR_UNCONFIRMED + ["pending"] * 3
    assert {row["attempts"] for row in rows[MAILS_PER_HOUR_UNCONFIRMED:]} == {0}, "nobody has refused them"
    await desk.pool.execute("UPDATE notifications SET sent_at = sent_at - interval '1 hour'")
    await desk.hurry()
    await desk.send(server.transport())
    assert len(server.mails) == len(ids)


async def test_whoever_makes_mails_without_end_costs_the_others_one_look(desk: Desk, server: MailServer) -> None:
    """What is beyond enough is put off together, not one by one, before others' turn; and their order stays."""
    ids = [await desk.put("cancelled") for _ in range(MAILS_PER_HOUR_UNCONFIRMED + 50)]
    assert await desk.send(server.transport()) == MAILS_PER_HOUR_UNCONFIRMED + 1
    rows = [await desk.row(each) for each in ids[MAILS_PER_HOUR_UNCONFIRMED:]]
    assert {row["status"] for row in rows} == {"pending"}
    assert len({row["due_at"] for row in rows}) == 1
    await desk.pool.execute("UPDATE notifications SET sent_at = sent_at - interval '1 hour'")
    await desk.hurry()
    await desk.send(server.transport())
    sent = [await desk.status(each) for each in ids]
    assert sent == ["sent"] * 2 * MAILS_PER_HOUR_UNCONFIRMED + ["pending"] * (50 - MAILS_PER_HOUR_UNCONFIRMED)


async def test_links_that_somebody_waits_for_wait_for_no_mail_about_bookings(desk: Desk) -> None:
    for _ in range(5):
        await desk.put("cancelled")
    await desk.pool.execute(
        "INSERT INTO notifications (id, version, customer_id, kind, facts, status)"
        " VALUES (gen_random_uuid(), 0, $1, 'password_reset', '{}', 'pending')",
        CUSTOMER,
    )
    first = await outbox.waiting(desk.pool, 0, LANES, 10)
    assert [each.row.kind for each in first] == ["password_reset"]


async def test_a_confirmed_address_takes_more(desk: Desk, server: MailServer) -> None:
    await desk.pool.execute("UPDATE accounts SET email_confirmed_at = now()")
    for _ in range(MAILS_PER_HOUR_UNCONFIRMED + 3):
        await desk.put("cancelled")
    await desk.send(server.transport())
    assert len(server.mails) == MAILS_PER_HOUR_UNCONFIRMED + 3


async def test_another_account_with_the_same_address_makes_it_no_more(desk: Desk, server: MailServer) -> None:
    for _ in range(MAILS_PER_HOUR_UNCONFIRMED):
        await desk.put("cancelled")
    await desk.send(server.transport())
    await desk.pool.execute("UPDATE accounts SET deleted_at = now(), email = ''")
    again = str(uuid5(UUID(CUSTOMER), "again"))
    await desk.account(again, EMAIL.upper())
    await desk.put("cancelled", again)
    await desk.send(server.transport())
    assert len(server.mails) == MAILS_PER_HOUR_UNCONFIRMED


async def test_an_account_that_changes_its_address_again_and_again_makes_it_no_more(
    desk: Desk, server: MailServer
) -> None:
    for number in range(MAILS_PER_HOUR_UNCONFIRMED + 3):
        await desk.pool.execute("UPDATE accounts SET email = $1", f"stranger{number}@example.com")
        await desk.put("cancelled")
        await desk.send(server.transport())
    assert len(server.mails) == MAILS_PER_HOUR_UNCONFIRMED


# --- what a mail says -------------------------------------------------------------------------------------------------
async def test_confirmation_has_text_html_calendar_entry_and_ticket(desk: Desk, server: MailServer) -> None:
    await desk.put()
    await desk.send(server.transport())
    (mail,) = server.mails
    assert str(mail["Subject"]) == "[예매 완료] 카르멘 <Carmen> act 2"
    assert (mail["To"].addresses[0].display_name, mail["Content-Language"]) == ("김민지", "ko")
    assert mail.get_content_type() == "multipart/mixed"
    plain, html = part(mail, "plain"), part(mail, "html")
    for text in ("예매가 완료되었습니다", "세종 대극장", "1층 A열 1번 (R석)", "300,000원", number_of(BOOKING)):
        assert text in plain
        assert text in html
    assert "&lt;Carmen&gt;" in html
    assert "<Carmen>" not in html
    assert "http" not in html, "nothing is loaded from elsewhere"
    assert ticket_code(KEY, Ticket(booking_id=BOOKING, schedule_id=SCHEDULE, places=2)) in plain.splitlines()
    names = [attachment.get_filename() for attachment in mail.iter_attachments()]
    assert names == ["ticket.png", "ticket.ics"]
    pictures = [each for each in mail.walk() if each.get_content_type() == "image/png"]
    assert [each.get_content_disposition() for each in pictures] == ["inline", "attachment"]
    assert len({each.get_payload(decode=True) for each in pictures}) == 1
    assert f'src="cid:{str(pictures[0]["Content-ID"]).strip("<>")}"' in html


async def test_calendar_entry_names_the_booking_and_a_later_mail_replaces_and_cancels_it(
    desk: Desk, server: MailServer
) -> None:
    await desk.put()
    await desk.put("partially_refunded", bookings=[BookingFacts(id=BOOKING, seats=SEATS[:1])], given_back=SEATS[1:])
    await desk.put("refunded", bookings=[BookingFacts(id=BOOKING, seats=[])], given_back=SEATS)
    await desk.send(server.transport())
    calendars = [calendar_of(mail) for mail in server.mails]
    assert [str(each["method"]) for each in calendars] == ["PUBLISH", "PUBLISH", "CANCEL"]
    entries = [each.walk("VEVENT")[0] for each in calendars]
    assert {str(each["uid"]) for each in entries} == {BOOKING}
    assert [str(each["status"]) for each in entries] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    sequences = [int(each["sequence"]) for each in entries]
    assert sequences == sorted(set(sequences)), "rising"
    assert (entries[0].decoded("dtstart"), entries[0].decoded("dtend")) == (
        STARTS_AT,
        STARTS_AT + timedelta(minutes=150),
    )
    assert str(entries[0]["location"]) == "세종 대극장"
    assert all(entry[name] for entry in entries for name in ("dtstamp", "organizer", "summary", "description"))


async def test_moved_start_updates_the_calendar_of_what_is_sold_only(desk: Desk, server: MailServer) -> None:
    bookings = [BookingFacts(id=BOOKING, seats=[]), BookingFacts(id=SCHEDULE, seats=[], sold=False)]
    times = {"starts_at": STARTS_AT.isoformat(), "former_starts_at": (STARTS_AT - timedelta(days=1)).isoformat()}
    await desk.put("schedule_changed", bookings=bookings, amount=0, **times)
    await desk.send(server.transport())
    (mail,) = server.mails
    assert [str(each["uid"]) for each in calendar_of(mail).walk("VEVENT")] == [BOOKING]
    assert all(number_of(each.id) in part(mail, "plain") for each in bookings)


@pytest.mark.parametrize("kind", ["cancelled", "schedule_cancelled"])
async def test_hold_that_ended_unpaid_has_no_calendar_entry_to_cancel(
    desk: Desk, server: MailServer, kind: str
) -> None:
    await desk.put(kind, bookings=[BookingFacts(id=BOOKING, seats=SEATS, sold=False)], amount=0, reason="ill")
    await desk.send(server.transport())
    (mail,) = server.mails
    assert list(mail.iter_attachments()) == []
    assert "결제된 금액이 없어" in part(mail, "plain")
    assert "사유: ill" in part(mail, "plain")


async def test_refund_says_which_seats_what_comes_back_and_the_fee_in_the_account_s_language(
    desk: Desk, server: MailServer
) -> None:
    english = str(uuid5(UUID(CUSTOMER), "english"))
    await desk.account(english, "jo@example.com")
    left = [BookingFacts(id=BOOKING, seats=SEATS[:1])]
    await desk.put("partially_refunded", english, bookings=left, given_back=SEATS[1:], amount=120_000, fee=30_000)
    await desk.put("refunded", english, bookings=[BookingFacts(id=BOOKING, seats=[])], given_back=SEATS, amount=0)
    await desk.send(server.transport())
    first, second = (part(mail, "plain") for mail in server.mails)
    assert "Hello,\n" in first
    assert "Seats you keep: 1층, row A, seat 1 (R석)" in first
    assert "Seats given back: 1층, row A, seat 2 (R석)" in first
    assert "Refund: ₩120,000" in first
    assert "Cancellation fee: ₩30,000" in first
    assert "business days" in first
    assert "no amount is left" in second


async def test_refund_of_seats_handed_on_speaks_of_money_only_to_who_paid(desk: Desk, server: MailServer) -> None:
    english = str(uuid5(UUID(CUSTOMER), "english"))
    await desk.account(english, "jo@example.com")
    ended = [BookingFacts(id=BOOKING, seats=[])]
    for kind in ("refunded", "schedule_cancelled"):
        await desk.put(kind, english, bookings=ended, given_back=SEATS, amount=0, paid_by_another=True)
    await desk.put("payer_refunded", english, bookings=[], given_back=SEATS, amount=120_000, fee=30_000)
    await desk.send(server.transport())
    *theirs, payer_s = (part(mail, "plain") for mail in server.mails)
    for text in theirs:
        assert "goes to who paid" in text
        assert not any(words in text for words in ("₩", "nothing to refund", "no amount is left"))
    assert all(words in payer_s for words in ("Refund: ₩120,000", "Cancellation fee: ₩30,000", "business days"))
    assert list(server.mails[2].iter_attachments()) == [], "their own seats stay in the calendar"


@pytest.mark.parametrize("language", ["ko", "en"])
async def test_every_kind_of_mail_can_be_written(desk: Desk, server: MailServer, language: str) -> None:
    await desk.pool.execute("UPDATE accounts SET email_confirmed_at = now()")
    await desk.pool.execute("UPDATE accounts SET language = $1", language)
    times = {"starts_at": STARTS_AT.isoformat(), "former_starts_at": STARTS_AT.isoformat()}
    for kind in KINDS:
        await desk.put(kind, given_back=[PIT, PIT], **times)
    await desk.pool.execute("UPDATE notifications SET due_at = '2026-01-01Z'")
    await desk.send(server.transport())
    for (kind, both), mail in zip(KINDS.items(), server.mails, strict=True):
        words = both.ko if language == "ko" else both.en
        assert str(mail["Subject"]).startswith(words.subject.partition("{")[0]), kind
        assert str(mail["Content-Language"]) == language
        assert [each.defects for each in mail.walk() if each.defects] == [], kind
        assert max(map(len, mail.as_bytes().splitlines())) <= 998, "RFC 5322"
        for text in (part(mail, "plain"), part(mail, "html")):
            assert words.heading in text
            assert words.lead in text
            assert "{" not in text


@pytest.mark.parametrize(
    ("at", "time_zone", "language", "text"),
    [
        (STARTS_AT, "Asia/Seoul", "en", "Sunday, 22 November 2099, 19:30 (Korean time)"),
        (STARTS_AT, "Asia/Seoul", "ko", "2099년 11월 22일(일) 19:30 (한국 시간)"),
        (STARTS_AT, "Europe/Berlin", "ko", "2099년 11월 22일(일) 11:30 (Berlin 시간)"),
        (STARTS_AT, "America/New_York", "en", "Sunday, 22 November 2099, 05:30 (New York time)"),
        (STARTS_AT, "UTC", "en", "Sunday, 22 November 2099, 10:30 (UTC)"),
        (datetime(2026, 1, 1, 16, tzinfo=UTC), "Asia/Seoul", "en", "Friday, 2 January 2026, 01:00 (Korean time)"),
    ],
)
def test_times_say_which_zone_they_are_in(at: datetime, time_zone: str, language: str, text: str) -> None:
    assert time_text(at, time_zone, language) == text


@pytest.mark.parametrize(
    ("amount", "currency", "language", "text"),
    [
        (55_000, "KRW", "ko", "55,000원"),
        (55_000, "KRW", "en", "₩55,000"),
        (0, "KRW", "ko", "0원"),
        (123_456, "USD", "en", "USD 1,234.56"),
        (5, "EUR", "ko", "EUR 0.05"),
        (1_500, "JPY", "en", "JPY 1,500"),
        (1_234_567, "KWD", "en", "KWD 1,234.567"),
    ],
)
def test_money_has_the_decimals_of_its_currency(amount: int, currency: str, language: str, text: str) -> None:
    assert money_text(amount, currency, language) == text
    assert exponent(currency) in (0, 2, 3)


def test_seats_are_named_and_places_of_a_standing_area_are_counted() -> None:
    assert seat_lines([*SEATS, PIT, PIT], "ko") == ["1층 A열 1번 (R석)", "1층 A열 2번 (R석)", "Pit (스탠딩) × 2"]
    named = Seat(zone="2층", row="B열", number="3번", category="S석", price=1)
    assert seat_lines([named], "ko") == ["2층 B열 3번 (S석)"]


# --- transports -------------------------------------------------------------------------------------------------------
async def test_embedded_default_is_a_private_mbox_that_python_reads_and_a_line_in_the_log(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    transport = open_transport(Settings(data_dir=str(tmp_path)))
    assert transport.sender == EMBEDDED_SENDER
    ids = [await desk.put(), await desk.put("refunded")]
    await desk.send(transport)
    path = tmp_path / OUTBOX
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    box = mailbox.mbox(path)
    assert sorted(str(mail["Message-ID"]) for mail in box) == sorted(f"<{each}@localhost>" for each in ids)
    box.close()
    lines = [line.getMessage() for line in caplog.records if line.name == "actors.mail.mailer"]
    assert f"mail sent: confirmed, booking {BOOKING}, [예매 완료] 카르멘 <Carmen> act 2" in lines
    assert EMAIL not in caplog.text


async def test_mbox_goes_on_after_a_writer_that_died_in_the_middle(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / OUTBOX
    path.write_bytes(b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nSubject: torn\n\nhalf a li")
    await desk.put()
    await desk.send(Outbox(path, EMBEDDED_SENDER))
    box = mailbox.mbox(path)
    assert [str(mail["Subject"]) == "torn" for mail in box] == [True, False]
    box.close()


@asynccontextmanager
async def locked_elsewhere(path: Path) -> AsyncIterator[None]:
    """A mail program has the file locked within the block."""
    holder = await asyncio.create_subprocess_exec(
        "python3",
        "-c",
        f"import mailbox, sys; box = mailbox.mbox({str(path)!r}); box.lock(); print('locked', flush=True);"
        " sys.stdin.read(); box.unlock()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"locked\n"
    try:
        yield
    finally:
        holder.stdin.close()
        await holder.wait()


async def test_mbox_waits_for_whoever_has_it_locked(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / OUTBOX
    async with locked_elsewhere(path):
        mail_id = await desk.put()
        sending = asyncio.create_task(desk.send(Outbox(path, EMBEDDED_SENDER)))
        await until(lambda: desk.is_status(mail_id, "sending"))
        assert path.read_bytes() == b""
    await sending
    assert await desk.status(mail_id) == "sent"


async def test_mails_that_wait_together_for_the_mbox_do_not_overwrite_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = transport._gap

    def slowly(descriptor: int, end: int) -> bytes:
        time.sleep(0.001)  # the disk is slow: others come to the same end of the file meanwhile
        return gap(descriptor, end)

    monkeypatch.setattr(transport, "_gap", slowly)
    path, subjects = tmp_path / OUTBOX, [f"mail {number}" for number in range(20)]
    file = Outbox(path, EMBEDDED_SENDER)
    async with locked_elsewhere(path):
        sending = [
            asyncio.create_task(file.send(f"Subject: {subject}\r\n\r\nSo be it.\r\n".encode(), EMAIL))
            for subject in subjects
        ]
        await turns(2)
    await asyncio.gather(*sending)
    box = mailbox.mbox(path)
    assert sorted(str(mail["Subject"]) for mail in box) == sorted(subjects)
    box.close()


async def test_mbox_that_cannot_be_written_leaves_the_mail_for_later(desk: Desk, tmp_path: Path) -> None:
    mail_id = await desk.put()
    await desk.send(Outbox(tmp_path / "nowhere" / OUTBOX, EMBEDDED_SENDER))
    row = await desk.row(mail_id)
    assert (row["status"], row["attempts"]) == ("pending", 1)
    assert "No such file" in row["error"]


async def test_address_beyond_ascii_goes_to_a_server_that_takes_it(desk: Desk, server: MailServer) -> None:
    await desk.pool.execute("UPDATE accounts SET email = '민지@example.com'")
    await desk.put()
    await desk.send(server.transport())
    assert server.recipients == ["민지@example.com"]


async def test_domain_beyond_ascii_is_sent_as_every_server_takes_it(desk: Desk, server: MailServer) -> None:
    await desk.pool.execute("UPDATE accounts SET email = 'minji@한국.kr'")
    await desk.put()
    await desk.send(server.transport())
    assert server.recipients == ["minji@xn--3e0b707e.kr"]


async def test_no_mail_goes_in_the_clear_where_tls_is_required(server: MailServer) -> None:
    strict = SmtpTransport(SmtpServer.parse(f"{server.url}?starttls=required"), SENDER, timeout_seconds=5)
    with pytest.raises(MailAway):
        async with strict.opened():
            raise AssertionError("it must not open")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 587, None, None, False, None)),
        ("smtp://mail.example.com:25?starttls=off", ("mail.example.com", 25, None, None, False, False)),
        ("smtp://u:p%40ss@mail.example.com", ("mail.example.com", 587, "u", "p@ss", False, True)),
        ("smtp://u:p@mail.example.com?starttls=off", ("mail.example.com", 587, "u", "p", False, False)),
        ("smtp://u:p@127.0.0.1:1025", ("127.0.0.1", 1025, "u", "p", False, None)),
        ("smtps://u@mail.example.com", ("mail.example.com", 465, "u", "", True, False)),
    ],
)
def test_smtp_urls(url: str, server: tuple[object, ...]) -> None:
    parsed = SmtpServer.parse(url)
    found = (parsed.host, parsed.port, parsed.username, parsed.password, parsed.tls, parsed.start_tls)
    assert found == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtp://mail.example.com:99999",
        "smtp://u:hunter2@mail.example.com?starttls=maybe",
        "smtp://mail.example.com?tls=1",
        "smtps://mail.example.com?starttls=required",
    ],
)
def test_unfit_smtp_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        SmtpServer.parse(url)
    assert "BOXOFFICE_SMTP_URL" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_settings_choose_the_transport_and_the_sender() -> None:
    assert sender_of("Boxoffice <tickets@example.com>") == Address("Boxoffice", "tickets", "example.com")
    assert sender_of("tickets@example.com").addr_spec == "tickets@example.com"
    chosen = open_transport(Settings(smtp_url="smtp://mail.example.com", mail_from="tickets@example.com"))
    assert (chosen.name, chosen.sender.addr_spec) == ("mail.example.com:587", "tickets@example.com")
    for wrong in (Settings(smtp_url="smtp://mail.example.com"), Settings(mail_from="nobody")):
        with pytest.raises(SettingsError):
            open_transport(wrong)
    assert "hunter2" not in repr(Settings(smtp_url="smtp://u:hunter2@mail.example.com"))


def test_errors_are_told_without_addresses() -> None:
    assert scrubbed("550 5.1.1 <a.b@c.example>:\n no such user a@b") == "550 5.1.1 … no such user …"
