"""Mails leave the outbox at most once, and whom nobody can reach, or who needs none, holds nobody up."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from uuid import UUID, uuid5

import pytest

from actors.mail import mailer
from actors.mail.mailer import AGAIN_SECONDS, LANES, MAILS_PER_HOUR_UNCONFIRMED
from persistence.notifications import outbox
from tests.support.mail.desk import CUSTOMER, EMAIL, STARTS_AT, Desk, part
from tests.support.mail.server import SENDER, MailServer, mail_server
from tests.support.waiting import until


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
