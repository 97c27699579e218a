"""What customers are told: one mail per fact, none about what is no news, and none twice."""

from __future__ import annotations

import asyncio
import mailbox
import os
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from actors.mail.transport import OUTBOX
from actors.process.settings import Settings
from actors.receivers.notifications import LOOK_BACK, Notifications
from actors.receivers.taker import Taker
from actors.supervision.programs import MAILS, RECEIVERS, words_of
from engine.commands import (
    AnyCommand,
    Cancel,
    CancelSchedule,
    Change,
    ChangeTerms,
    CompleteRefund,
    EndBookings,
    Expire,
    Refund,
    ReturnPayment,
)
from engine.events import Terms
from engine.refund_policy import DAY_MS
from engine.refusals import Refusal
from persistence.database.pools import Connection
from persistence.database.roles import RECEIVER, with_role
from persistence.events import positions
from persistence.events.from_journal import JournalFeed
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from persistence.journal.journal import PostgresJournal
from persistence.notifications import outbox
from persistence.notifications.outbox import Facts
from tests.support.money.till import FEE, HOLD_MS, STARTS_IN_DAYS, VIP, Till, open_till
from tests.support.services.databases import execute
from tests.support.waiting import PATIENCE_SECONDS, until

ROOT = Path(__file__).parents[3]
DAY = LOOK_BACK.total_seconds() * 1000


class Told:
    """The service on one sale, and what it has put into the outbox."""

    def __init__(self, till: Till, pool: asyncpg.Pool[Any]) -> None:
        self.till = till
        self.pool = pool
        self.journal = PostgresJournal(pool)
        self.service = Notifications(till.clock)
        self.taker = Taker(self.service, pool, self.journal)

    async def catch_up(self) -> int:
        """Takes what has happened; gives how many events that were."""
        head = await self.pool.fetchval("SELECT seq FROM schedule_heads WHERE schedule_id = $1", self.till.schedule_id)
        return await self.taker.catch_up(self.till.schedule_id, head)

    async def rows(self) -> list[asyncpg.Record]:
        return await self.pool.fetch("SELECT * FROM notifications ORDER BY version, customer_id")

    async def kinds(self) -> list[str]:
        """Of all mails to be, once everything that happened was taken."""
        await self.catch_up()
        return [row["kind"] for row in await self.rows()]

    async def facts(self, kind: str) -> Facts:
        (row,) = [row for row in await self.rows() if row["kind"] == kind]
        return msgspec.json.decode(row["facts"], type=Facts)

    async def move(self, days: float = STARTS_IN_DAYS, **changes: Any) -> None:
        """The schedule's terms as they are, but for the day it starts and `changes`."""
        starts_at_ms = self.till.clock.now_ms() + int(days * DAY_MS)
        terms = Terms("KRW", {"VIP": VIP, "Standard": 55_000}, starts_at_ms, 0, starts_at_ms, 0, HOLD_MS)
        await self.done(ChangeTerms(msgspec.structs.replace(terms, **changes)))

    async def done(self, command: AnyCommand) -> None:
        answer = await self.till.send(command)
        assert not isinstance(answer, Refusal), answer


@pytest.fixture
async def till(database_url: str) -> AsyncIterator[Till]:
    async with open_till(database_url) as opened:
        yield opened


@pytest.fixture
async def told(till: Till, database_url: str) -> AsyncIterator[Told]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=3) as pool:
        yield Told(till, pool)


def places(facts: Sequence[outbox.Seat]) -> list[str]:
    return [f"{seat.row}-{seat.number}" for seat in facts]


# --- what is told -----------------------------------------------------------------------------------------------------
async def test_confirmed_booking_is_told_with_its_seats_and_what_they_cost(told: Told) -> None:
    booking, _ = await told.till.paid("A-1", "A-2")
    assert await told.kinds() == ["confirmed"]
    (row,) = await told.rows()
    assert (str(row["customer_id"]), str(row["booking_id"])) == (told.till.customer, booking.id)
    assert (row["status"], row["attempts"], row["error"], row["sent_at"]) == ("pending", 0, None, None)
    facts = await told.facts("confirmed")
    assert (facts.amount, facts.currency, facts.bookings[0].id) == (2 * VIP, "KRW", booking.id)
    assert places(facts.bookings[0].seats) == ["A-1", "A-2"]


async def test_holds_that_come_to_nothing_and_declined_payments_are_not_told(told: Told) -> None:
    let_go = await told.till.hold("A-1")
    await told.done(Cancel(let_go.id, told.till.clock.new_id(), told.till.customer, "a cold"))
    await told.till.given_up("A-2")
    changed = await told.till.hold("A-3")
    await told.done(Change(changed.id, told.till.customer, ("A-4",)))
    told.till.clock.ahead_ms += HOLD_MS + 1
    await told.done(Expire())
    assert await told.kinds() == []


async def test_a_hold_that_somebody_else_ends_is_told_once_with_the_reason(told: Told) -> None:
    booking = await told.till.hold("A-1")
    await told.done(Cancel(booking.id, told.till.clock.new_id(), "", "seat broken", "organizer"))
    assert await told.kinds() == ["cancelled"]
    facts = await told.facts("cancelled")
    assert (facts.reason, facts.amount, facts.bookings[0].sold) == ("seat broken", 0, False)


async def test_refund_is_told_when_it_is_owed_and_not_again_when_the_money_has_left(told: Told) -> None:
    booking, payment_id = await told.till.paid("A-1")
    refund_id = told.till.clock.new_id()
    await told.done(Refund(booking.id, told.till.customer, refund_id, payment_id, reason="a cold"))
    await told.done(CompleteRefund(refund_id, payment_id, VIP - FEE, "KRW", "back"))
    assert await told.kinds() == ["confirmed", "refunded"]
    facts = await told.facts("refunded")
    assert (facts.amount, facts.fee, facts.reason) == (VIP - FEE, FEE, "")
    assert (places(facts.given_back), facts.bookings[0].seats, facts.bookings[0].sold) == (["A-1"], [], True)


async def test_refund_of_some_seats_is_told_with_those_that_are_left(told: Told) -> None:
    booking, payment_id = await told.till.paid("A-1", "A-2")
    command = Refund(booking.id, "", told.till.clock.new_id(), payment_id, ("A-2",), "seat broken", "admin", 0)
    await told.done(command)
    assert await told.kinds() == ["confirmed", "partially_refunded"]
    facts = await told.facts("partially_refunded")
    assert (places(facts.bookings[0].seats), places(facts.given_back)) == (["A-1"], ["A-2"])
    assert (facts.amount, facts.fee, facts.reason) == (VIP, 0, "seat broken")


async def test_seats_exchanged_in_a_sold_booking_are_told(told: Told) -> None:
    booking, _ = await told.till.paid("A-1")
    await told.done(Change(booking.id, told.till.customer, ("A-2",)))
    assert await told.kinds() == ["confirmed", "seats_changed"]
    assert places((await told.facts("seats_changed")).bookings[0].seats) == ["A-2"]


async def test_money_that_came_too_late_is_told(told: Told) -> None:
    booking, payment_id = await told.till.given_up("A-1")
    late = (booking.id, told.till.customer, payment_id, VIP, "KRW", "sandbox", "ref", told.till.clock.new_id())
    await told.done(ReturnPayment(*late))
    assert await told.kinds() == ["payment_returned"]
    assert (await told.facts("payment_returned")).amount == VIP
    assert {str(row["customer_id"]) for row in await told.rows()} == {told.till.customer}


async def test_late_money_of_a_booking_the_event_leaves_out_goes_to_its_owner(told: Told) -> None:
    booking, payment_id = await told.till.given_up("A-1")
    late = (booking.id, told.till.customer, payment_id, VIP, "KRW", "sandbox", "ref", told.till.clock.new_id())
    await told.done(ReturnPayment(*late))
    head = await told.pool.fetchval("SELECT seq FROM schedule_heads")
    chunks = JournalFeed(told.journal).events(told.till.schedule_id, 0, head)
    (event,) = [event async for chunk in chunks for event in chunk if event.type == "payment.late"]
    bare = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, booking=msgspec.UNSET))
    async with told.pool.acquire() as connection, connection.transaction():
        await told.service.take(connection, [bare])
    (row,) = await told.rows()
    assert (row["kind"], str(row["customer_id"])) == ("payment_returned", told.till.customer)


# --- schedules --------------------------------------------------------------------------------------------------------
async def test_moved_start_is_told_once_to_each_customer_with_a_live_booking(told: Told) -> None:
    till, first = told.till, told.till.customer
    one, _ = await till.paid("A-1")
    two = await till.hold("A-2")
    second = till.customer = till.clock.new_id()
    gone, payment_id = await till.paid("A-3")
    await told.done(Refund(gone.id, second, till.clock.new_id(), payment_id))
    third = till.customer = till.clock.new_id()
    await till.paid("A-4")
    await told.move(days=6)
    moved_ms = till.clock.now_ms()
    await until(lambda: till.clock.now_ms() > moved_ms)  # whoever books in the same millisecond is told, too
    await till.paid("B-1")  # by one who knows the new time
    moved = [row for row in await told.rows() if row["kind"] == "schedule_changed"]
    assert moved == []
    await told.catch_up()
    moved = [row for row in await told.rows() if row["kind"] == "schedule_changed"]
    assert sorted(str(row["customer_id"]) for row in moved) == sorted([first, third])
    facts = {str(row["customer_id"]): msgspec.json.decode(row["facts"], type=Facts) for row in moved}
    assert [(each.id, each.sold) for each in facts[first].bookings] == [(one.id, True), (two.id, False)]
    assert facts[first].former_starts_at < facts[first].starts_at
    assert len(facts[third].bookings) == 1


async def test_other_terms_at_the_same_time_are_not_told(told: Told) -> None:
    await told.till.paid("A-1")
    starts_at_ms = await told.pool.fetchval("SELECT (extract(epoch from starts_at) * 1000)::bigint FROM schedules")
    await told.move(starts_at_ms=starts_at_ms, prices={"VIP": 1, "Standard": 1})
    assert await told.kinds() == ["confirmed"]


async def test_cancelled_schedule_is_told_by_one_mail_per_booking_that_says_what_comes_back(told: Told) -> None:
    till = told.till
    paid, _ = await till.paid("A-1", "A-2")
    till.customer = till.clock.new_id()
    held = await till.hold("A-3")
    await told.done(CancelSchedule("the singer is ill", "organizer"))
    await told.done(EndBookings((till.clock.new_id(), till.clock.new_id())))
    assert await told.kinds() == ["confirmed", "schedule_cancelled", "schedule_cancelled"]
    rows = {
        str(row["booking_id"]): msgspec.json.decode(row["facts"], type=Facts)
        for row in await told.rows()
        if row["kind"] == "schedule_cancelled"
    }
    assert rows.keys() == {paid.id, held.id}
    assert (rows[paid.id].amount, rows[paid.id].fee, rows[paid.id].reason) == (2 * VIP, 0, "the singer is ill")
    assert (rows[held.id].amount, rows[held.id].reason) == (0, "the singer is ill")


async def test_refund_before_the_schedule_was_cancelled_says_nothing_of_that(told: Told) -> None:
    booking, payment_id = await told.till.paid("A-1")
    await told.done(Refund(booking.id, told.till.customer, told.till.clock.new_id(), payment_id))
    told.till.clock.ahead_ms += 10
    await told.done(CancelSchedule("the singer is ill", "organizer"))
    assert await told.kinds() == ["confirmed", "refunded"]


# --- once, and only what is news --------------------------------------------------------------------------------------
async def test_events_that_are_read_anew_make_no_second_mail(told: Told) -> None:
    booking, payment_id = await told.till.paid("A-1")
    await told.done(Refund(booking.id, told.till.customer, told.till.clock.new_id(), payment_id))
    first = await told.kinds()
    before = await told.rows()
    await told.service.forget(told.pool, told.till.schedule_id)  # type: ignore[arg-type]  # a pool will do
    await positions.forget(told.pool, told.service.name)
    assert await told.catch_up() > 0
    assert await told.rows() == before
    assert first == ["confirmed", "refunded"]


async def test_service_that_starts_on_a_long_history_tells_only_the_last_day(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await told.till.paid("A-1")
    told.till.clock.ahead_ms += int(DAY) + 1
    await told.till.paid("A-2")
    await told.catch_up()
    (row,) = await told.rows()
    assert places(msgspec.json.decode(row["facts"], type=Facts).bookings[0].seats) == ["A-2"]
    assert "1 events from before" in caplog.text
    await positions.forget(told.pool, told.service.name)
    await told.catch_up()
    assert len(await told.rows()) == 1, "nor when it begins anew"


async def test_service_that_was_away_for_days_tells_everything_that_happened_meanwhile(told: Told) -> None:
    await told.taker.repair()  # it has begun, be there nothing to tell
    await told.till.paid("A-1")
    told.till.clock.ahead_ms += 3 * int(DAY)
    assert await told.kinds() == ["confirmed"]


async def test_a_beginning_that_was_undone_is_none(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    started = outbox.started

    async def undone(connection: Connection, at: datetime) -> datetime:
        await started(connection, at)
        raise ConnectionError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "started", undone)
        with pytest.raises(ConnectionError):
            await told.taker.repair()
    await told.taker.repair()
    await told.till.paid("A-1")
    told.till.clock.ahead_ms += 3 * int(DAY)
    assert await told.kinds() == ["confirmed"]


async def test_events_in_one_batch_make_the_same_mails_as_one_by_one(told: Told) -> None:
    booking, payment_id = await told.till.paid("A-1", "A-2")
    await told.done(Refund(booking.id, "", told.till.clock.new_id(), payment_id, ("A-1",)))
    await told.done(CancelSchedule("ill", "organizer"))
    await told.done(EndBookings((told.till.clock.new_id(),)))
    assert await told.kinds() == ["confirmed", "partially_refunded", "schedule_cancelled"]
    at_once = [(row["id"], row["facts"]) for row in await told.rows()]
    await told.pool.execute("TRUNCATE notifications, consumer_positions")
    for version in range(1, await told.pool.fetchval("SELECT seq FROM schedule_heads") + 1):
        assert await told.taker.catch_up(told.till.schedule_id, version) == 1
    assert [(row["id"], row["facts"]) for row in await told.rows()] == at_once


# --- the process ------------------------------------------------------------------------------------------------------
async def test_processes_mail_what_is_published_and_stop_when_told(
    till: Till, database_url: str, kafka_servers: str, tmp_path: Path
) -> None:
    await execute(
        database_url,
        "INSERT INTO accounts (id, email, password_hash, name, role, language) VALUES"
        f" ('{till.customer}', 'minji@example.com', '-', '김민지', 'customer', 'ko')",
    )
    await till.paid("A-1")
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        await execute(database_url, "UPDATE schedule_heads SET published_seq = seq, updated_at = now()")
        feed = JournalFeed(PostgresJournal(pool))
        head = await pool.fetchval("SELECT seq FROM schedule_heads")
        events = [event async for chunk in feed.events(till.schedule_id, 0, head) for event in chunk]
    options = KafkaOptions(servers=kafka_servers, topic="test-notifications")
    log = KafkaEventLog(options)
    await log.publish(till.schedule_id, [msgspec.json.encode(event) for event in events])
    await log.close()
    settings = Settings(
        data_dir=str(tmp_path),
        database_url=with_role(database_url, RECEIVER),
        kafka_bootstrap_servers=kafka_servers,
        topic=options.topic,
        secret="a secret of at least 32 characters",
    )
    with (tmp_path / "log").open("w") as output:
        processes = [
            await asyncio.create_subprocess_exec(
                *words_of(module), env=os.environ | settings.to_environment(), stderr=output, cwd=ROOT
            )
            for module in (RECEIVERS, MAILS)
        ]
    try:
        async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool:

            async def sent() -> bool:
                assert [each.returncode for each in processes] == [None, None], (tmp_path / "log").read_text()
                return await pool.fetchval("SELECT count(*) FROM notifications WHERE status = 'sent'") == 1

            await until(sent)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert [await process.wait() for process in processes] == [0, 0], (tmp_path / "log").read_text()
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    box = mailbox.mbox(tmp_path / OUTBOX)
    (mail,) = list(box)
    box.close()
    assert "김민지" in str(mail["To"]) or "=?utf-8?" in str(mail["To"])
    assert "minji" not in (tmp_path / "log").read_text()
