"""What mails say: to whom, in which language, and with which entry of a calendar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest

from actors.mail.texts import (
    KINDS,
    KINDS_WITHOUT_MONEY,
    SUBJECT_CHARACTERS,
    money_text,
    seat_lines,
    subject_text,
    time_text,
    words_of,
)
from actors.mail.tickets import Ticket, ticket_code
from persistence.bookings.numbers import number_of
from persistence.notifications.outbox import BookingFacts, Seat
from persistence.providers.minor_units import exponent
from tests.support.mail.desk import (
    BOOKING,
    CUSTOMER,
    KEY,
    ORIGIN,
    PIT,
    SCHEDULE,
    SEATS,
    STARTS_AT,
    Desk,
    calendar_of,
    part,
)
from tests.support.mail.server import MailServer


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
    loaded = re.findall(r"\b(?:src|srcset|background|url)[=(]\"?'?(\w+):", html)
    assert loaded == ["cid"], "nothing is loaded from elsewhere"
    links = set(re.findall(r'http[^\s"<]*', plain + html))
    assert links == {f"{ORIGIN}/b/{BOOKING}"}, "the one link leads to the booking"
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
    ended = [BookingFacts(id=BOOKING, seats=[])]
    await desk.put("refunded", english, bookings=ended, given_back=SEATS, amount=0, fee=300_000)
    await desk.send(server.transport())
    first, second = (part(mail, "plain") for mail in server.mails)
    assert "Hello,\n" in first
    assert "Seats you keep: 1층, row A, seat 1 (R석)" in first
    assert "Seats given back: 1층, row A, seat 2 (R석)" in first
    assert "Refund: ₩120,000" in first
    assert "Cancellation fee: ₩30,000" in first
    assert "business days" in first
    assert "no amount is left" in second


@pytest.mark.parametrize(("by", "said"), [("customer", "no amount is left"), ("admin", "is not given back")])
@pytest.mark.parametrize("kind", ["refunded", "partially_refunded"])
async def test_seats_that_nothing_comes_back_for_are_not_called_refunded(
    desk: Desk, server: MailServer, kind: str, by: str, said: str
) -> None:
    english, seats = str(uuid5(UUID(CUSTOMER), "english")), SEATS[:1] if kind == "partially_refunded" else []
    await desk.account(english, "jo@example.com")
    left = [BookingFacts(id=BOOKING, seats=seats)]
    await desk.put(kind, english, bookings=left, given_back=SEATS[1:], amount=0, fee=150_000, by=by)
    await desk.send(server.transport())
    (mail,) = server.mails
    text = part(mail, "plain")
    assert said in text
    assert "Cancellation fee: ₩150,000" in text
    assert "refunded" not in mail["Subject"]


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
    for kind in KINDS:
        await desk.put(kind, given_back=[PIT, PIT], **TIMES)
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


TIMES = {"starts_at": STARTS_AT.isoformat(), "former_starts_at": STARTS_AT.isoformat()}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_korean_mail_has_no_english_in_it(desk: Desk, server: MailServer, kind: str) -> None:
    await desk.pool.execute("UPDATE performances SET title = '카르멘'")
    await desk.put(kind, given_back=SEATS, reason="출연자의 건강 문제", by="organizer", fee=1_000, **TIMES)
    await desk.send(server.transport())
    (mail,) = server.mails
    text = f"{mail['Subject']}\n{part(mail, 'plain')}"
    for ours in (*re.findall(r"^(?:https?://\S+|[\w-]{132})$", text, re.MULTILINE), number_of(BOOKING), "QR"):
        text = text.replace(ours, "")
    assert re.findall(r"[A-Za-z]{2,}", text) == []


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_mail_says_what_where_and_when_and_where_to_see_it(
    desk: Desk, server: MailServer, kind: str, language: str
) -> None:
    await desk.pool.execute("UPDATE accounts SET language = $1", language)
    await desk.pool.execute("UPDATE venues SET city = '서울', address = '종로구 세종대로 175'")
    await desk.put(kind, given_back=SEATS, **TIMES)
    await desk.send(server.transport())
    (mail,) = server.mails
    for text in (part(mail, "plain"), part(mail, "html")):
        assert "카르멘" in text
        assert "세종 대극장" in text
        assert "서울 종로구 세종대로 175" in text
        assert time_text(STARTS_AT, "Asia/Seoul", language) in text
        assert f"{ORIGIN}/{'bookings' if kind == 'transfer_offered' else f'b/{BOOKING}'}" in text


async def test_a_mail_about_several_bookings_leads_to_all_of_them(desk: Desk, server: MailServer) -> None:
    bookings = [BookingFacts(id=BOOKING, seats=[]), BookingFacts(id=SCHEDULE, seats=[])]
    await desk.put("schedule_changed", bookings=bookings, amount=0, **TIMES)
    await desk.send(server.transport())
    (mail,) = server.mails
    assert re.findall(r"http\S+", part(mail, "plain")) == [f"{ORIGIN}/bookings"]


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("kind", [*KINDS, *KINDS_WITHOUT_MONEY])
def test_a_subject_is_read_whole_in_a_list_of_mails(kind: str, language: str) -> None:
    for amount in (0, 1):
        subject = words_of(kind, language, amount).subject
        long = subject_text(subject, "The Threepenny Opera, with everybody who ever sang in it" * 4)
        assert SUBJECT_CHARACTERS - 1 <= len(long) <= SUBJECT_CHARACTERS
        assert "The Threepenny Opera" in long, "what is left of a title says which it is"
        assert long.endswith("…")
        assert subject_text(subject, "카르멘") == subject.format(title="카르멘")


@pytest.mark.parametrize("kind", ["refunded", "partially_refunded"])
async def test_seats_that_cost_nothing_are_given_back_without_a_word_of_money(
    desk: Desk, server: MailServer, kind: str
) -> None:
    await desk.put(kind, given_back=SEATS, amount=0, fee=0, by="customer")
    await desk.send(server.transport())
    (mail,) = server.mails
    text = part(mail, "plain")
    assert "결제된 금액이 없어" in text
    assert not any(words in text for words in ("환불 규정", "0원", "환불 금액:"))


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
