"""Writes a mail: in the customer's language, as plain text and as HTML, with a ticket and an entry for the calendar.

Everything in it comes from the notification's facts, the catalogue and the account, so that the same row makes the same
mail but for its date. The HTML loads nothing from elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.utils import format_datetime
from html import escape

from email_validator import EmailNotValidError, validate_email
from msgspec import Struct
from msgspec.structs import replace

from actors.mail import calendars, links, mime, qr, texts
from actors.mail.plain import person, plain
from actors.mail.texts import chosen, label, money_text, seat_lines, time_text, words_of
from actors.mail.tickets import Ticket, TicketKey, ticket_code
from actors.process.clock import Clock
from actors.process.keys import derived
from persistence.accounts.links import Purpose
from persistence.bookings.numbers import number_of
from persistence.database.moments import moment
from persistence.notifications.outbox import BookingFacts, Facts, Occasion, Outgoing, Recipient, Seat

WITH_TICKET = ("confirmed", "seats_changed", "partially_refunded", "taken_over", "partly_handed_on")
IN_CALENDAR = (*WITH_TICKET, "schedule_changed")
OUT_OF_CALENDAR = ("refunded", "cancelled", "schedule_cancelled", "handed_on")
HANDED_ON = ("handed_on", "partly_handed_on")
WITH_REFUND = ("refunded", "partially_refunded", "payer_refunded", "payment_returned")
AFTERWARDS: Mapping[str, tuple[str, str]] = {
    "confirmed": texts.IF_NOT_COMING,
    "schedule_changed": texts.IF_NOT_COMING_THEN,
    "transfer_offered": texts.OFFER_NOT_WANTED,
}
QR_CID = "ticket-qr"
QR_SHOWN = 260
DIGEST_BYTES = 16

FONT = "font-family:-apple-system,'Apple SD Gothic Neo','Malgun Gothic','Noto Sans KR',Segoe UI,Roboto,sans-serif"


class Letter(Struct, frozen=True, kw_only=True):
    """What a mail says, before it is plain text or HTML."""

    subject: str
    heading: str
    greeting: str
    lead: str
    rows: list[tuple[str, list[str]]]  # label, lines
    note: str  # what whoever has read so far would ask next
    on_behalf: str  # why it was sent
    caption: str = ""  # of the ticket
    action: tuple[str, str] | None = None  # what a link does, and the link
    hint: str = ""  # how long the link does it


class Mail(Struct, frozen=True, kw_only=True):
    """A mail as it goes to a server, the address it goes to, and what it is about."""

    content: bytes
    to: str
    subject: str


class Postmark:
    """Writes mails from one sender. `origin` is where the pages are that links lead to."""

    def __init__(self, sender: Address, key: TicketKey, clock: Clock, origin: str) -> None:
        self._sender = sender
        self._key = key
        self._address_key = derived(key.private.private_bytes_raw().hex(), "mailed addresses")
        self._clock = clock
        self._origin = origin
        self._from = mime.header("From", sender)

    def now(self) -> datetime:
        return moment(self._clock.now_ms())

    def digest(self, email: str) -> bytes:
        """Tells one address from another, to whoever has our key."""
        return hmac.digest(self._address_key, email.lower().encode(), "sha256")[:DIGEST_BYTES]

    def compose(self, row: Outgoing, recipient: Recipient, occasion: Occasion) -> Mail:
        """The mail of a row that was taken to be sent."""
        row, occasion = presentable(row, occasion)
        written = letter(row, recipient, occasion)
        written = replace(written, action=self._action(row, recipient.language))
        code = None
        if row.kind in WITH_TICKET:
            (booking,) = row.facts.bookings
            assert row.schedule_id is not None, "a ticket is for a schedule"
            ticket = Ticket(booking_id=booking.id, schedule_id=row.schedule_id, places=len(booking.seats))
            code = ticket_code(self._key, ticket)
        picture = None if code is None else qr.png(code)
        parts = [_readable(written, recipient.language, code, picture)]
        if picture is not None:
            parts.append(mime.leaf("image/png", picture, _named("attachment", "ticket.png")))
        parts += self._calendars(row, recipient.language, occasion)
        content = parts[0] if len(parts) == 1 else mime.multipart("mixed", parts)
        return self._mail(row, recipient, written.subject, content)

    def _action(self, row: Outgoing, language: str) -> tuple[str, str] | None:
        """Where what the mail tells is seen, and what can be done about it."""
        if row.kind == "transfer_offered":  # there is no such booking yet
            return chosen(texts.SEE_OFFER, language), f"{self._origin}/bookings"
        ids = [booking.id for booking in row.facts.bookings] or ([row.booking_id] if row.booking_id else [])
        if len(ids) == 1:
            return chosen(texts.SEE_BOOKING, language), f"{self._origin}/b/{ids[0]}"
        return chosen(texts.SEE_BOOKINGS, language), f"{self._origin}/bookings"

    def compose_link(self, row: Outgoing, recipient: Recipient, purpose: Purpose, token: str) -> Mail:
        """The mail that carries a link with the token."""
        language = recipient.language
        words = links.words_of(purpose, language)
        written = Letter(
            subject=words.subject,
            heading=words.heading,
            greeting=links.greeting(language),
            lead=words.lead,
            rows=[],
            note="",
            on_behalf=chosen(links.ON_BEHALF, language),
            action=(words.action, f"{self._origin}{links.MAILS[purpose].path}{token}"),
            hint=words.note,
        )
        return self._mail(row, recipient, written.subject, _readable(written, language))

    def _mail(self, row: Outgoing, recipient: Recipient, subject: str, content: bytes) -> Mail:
        to, subject = sendable(recipient.email), " ".join(subject.split())
        head = (
            mime.plain("Message-ID", f"<{row.id}@{self._sender.domain}>"),
            mime.plain("Date", format_datetime(self.now())),
            self._from,
            mime.recipient(person(recipient.name), to),  # one, whatever the name is
            mime.subject(subject),
            mime.plain("Auto-Submitted", "auto-generated"),  # RFC 3834: no answering machine answers it
            mime.plain("MIME-Version", "1.0"),
            mime.plain("Content-Language", recipient.language),
        )
        return Mail(content=b"".join((*head, content)), to=to, subject=subject)

    def _calendars(self, row: Outgoing, language: str, occasion: Occasion) -> list[bytes]:
        """The calendar entries of the bookings that are, or were, the customer's for good (RFC 5545, RFC 5546)."""
        sold = [booking for booking in row.facts.bookings if booking.sold]
        if not sold or row.kind not in (*IN_CALENDAR, *OUT_OF_CALENDAR):
            return []
        method = "CANCEL" if row.kind in OUT_OF_CALENDAR else "PUBLISH"
        entries = [self._entry(row, booking, language, occasion) for booking in sold]
        made = calendars.calendar(entries, method=method, now=self.now(), organizer=self._sender.addr_spec)
        kind = f'text/calendar; method="{method}"; charset="utf-8"'
        return [mime.leaf(kind, made, _named("attachment", "ticket.ics"))]

    def _entry(self, row: Outgoing, booking: BookingFacts, language: str, occasion: Occasion) -> calendars.Entry:
        """One booking's entry. A newer mail has a higher sequence, whatever order they arrive in."""
        return calendars.Entry(
            uid=booking.id,
            sequence=row.version,
            starts_at=occasion.starts_at,
            ends_at=occasion.ends_at,
            time_zone=occasion.time_zone,
            title=occasion.title_in(language),
            venue=occasion.venue,
            where=occasion.where,
            lines=[
                f"{label('booking', language)}: {number_of(booking.id)}",
                *seat_lines(booking.seats, language),
            ],
        )


def sendable(email: str) -> str:
    """The address as a mail server takes it: in ASCII, unless its part before the @ is not."""
    if email.isascii():
        return email
    try:
        return validate_email(email, check_deliverability=False, test_environment=True).ascii_email or email
    except EmailNotValidError:
        return email  # whatever is wrong with it, the mail server says


def _named(disposition: str, filename: str) -> str:
    return f'Content-Disposition: {disposition}; filename="{filename}"'


def _readable(written: Letter, language: str, code: str | None = None, picture: bytes | None = None) -> bytes:
    """The mail as text and as HTML, whichever is liked, with the picture that the HTML shows."""
    html = mime.text(mime.HTML, html_text(written, code, language))
    if picture is not None:
        shown = mime.leaf("image/png", picture, f"Content-ID: <{QR_CID}>", _named("inline", "qr.png"))
        html = mime.multipart("related", [html, shown])
    return mime.multipart("alternative", [mime.text(mime.PLAIN, plain_text(written, code)), html])


# --- what it says -----------------------------------------------------------------------------------------------------
def letter(row: Outgoing, recipient: Recipient, occasion: Occasion) -> Letter:
    """What a row says to its customer."""
    language = recipient.language
    words = words_of(row.kind, language, row.facts.amount)
    name = person(recipient.name)
    greeting = chosen(texts.GREETING_BY_NAME, language).format(name=name) if name else chosen(texts.GREETING, language)
    places = sum(len(booking.seats) for booking in row.facts.bookings)
    return Letter(
        subject=texts.subject_text(words.subject, occasion.title_in(language)),
        heading=words.heading,
        greeting=greeting,
        lead=words.lead,
        rows=_rows(row, occasion, language),
        note=chosen(_note(row.kind, row.facts), language),
        on_behalf=chosen(texts.ON_BEHALF_OF_OFFER if row.kind == "transfer_offered" else texts.ON_BEHALF, language),
        caption=chosen(texts.TICKET_CAPTION, language).format(places=places),
    )


def presentable(row: Outgoing, occasion: Occasion) -> tuple[Outgoing, Occasion]:
    """What others have typed, made fit to stand in a mail of ours."""
    facts = replace(
        row.facts,
        bookings=[replace(each, seats=_presentable(each.seats)) for each in row.facts.bookings],
        given_back=_presentable(row.facts.given_back),
        reason=plain(row.facts.reason),
    )
    title_en = None if occasion.title_en is None else plain(occasion.title_en)
    said = replace(
        occasion,
        title=plain(occasion.title),
        title_en=title_en,
        venue=plain(occasion.venue),
        city=plain(occasion.city or ""),
        address=plain(occasion.address or ""),
    )
    return replace(row, facts=facts), said


def _presentable(seats: list[Seat]) -> list[Seat]:
    return [
        replace(
            seat,
            zone=plain(seat.zone),
            row=plain(seat.row),
            number=plain(seat.number),
            category=plain(seat.category),
        )
        for seat in seats
    ]


def _rows(row: Outgoing, occasion: Occasion, language: str) -> list[tuple[str, list[str]]]:
    facts, currency = row.facts, row.facts.currency or occasion.currency

    def time_of(at: datetime) -> str:
        return time_text(at, occasion.time_zone, language)

    venue = [occasion.venue, occasion.where] if occasion.where else [occasion.venue]
    rows = [("performance", [occasion.title_in(language)]), ("venue", venue)]
    if row.kind == "schedule_changed":
        rows.append(("former_starts_at", [time_of(datetime.fromisoformat(facts.former_starts_at))]))
        rows.append(("new_starts_at", [time_of(datetime.fromisoformat(facts.starts_at))]))
    else:
        rows.append(("starts_at", [time_of(occasion.starts_at)]))
    numbers = [number_of(booking.id) for booking in facts.bookings]
    if row.kind == "transfer_offered":  # there is no such booking yet
        rows.append(("open_until", [time_of(datetime.fromisoformat(facts.starts_at))]))
    else:
        rows.append(("booking", numbers or ([number_of(row.booking_id)] if row.booking_id else [])))
    kept = [seat for booking in facts.bookings for seat in booking.seats]
    rows.append(("seats_left" if facts.given_back else "seats", seat_lines(kept, language)))
    gone = "seats_handed_on" if row.kind in HANDED_ON else "seats_given_back"
    rows.append((gone, seat_lines(facts.given_back, language)))
    if row.kind in ("confirmed", "seats_changed"):
        rows.append(("paid", [money_text(facts.amount, currency, language)]))
    elif not facts.paid_by_another and (facts.amount or facts.fee):
        rows.append(("refund", [money_text(facts.amount, currency, language)]))
        if facts.fee:
            rows.append(("fee", [money_text(facts.fee, currency, language)]))
    if facts.reason:
        rows.append(("reason", [facts.reason]))
    return [(label(name, language), lines) for name, lines in rows if lines]


def _note(kind: str, facts: Facts) -> tuple[str, str]:
    """What whoever has read the rest would ask next."""
    if facts.paid_by_another:
        return texts.REFUND_TO_PAYER
    if kind in WITH_REFUND or kind == "schedule_cancelled":
        if facts.amount:
            return texts.REFUND_ON_ITS_WAY
        if not facts.fee:  # seats that cost nothing, or were never paid for
            return texts.NOTHING_CHARGED
        return texts.KEPT if facts.by in ("organizer", "admin") else texts.NO_REFUND
    return AFTERWARDS.get(kind, ("", ""))


# --- how it looks -----------------------------------------------------------------------------------------------------
def plain_text(written: Letter, code: str | None) -> str:
    """The mail for those who read text."""
    parts = [written.greeting, f"{written.heading}\n\n{written.lead}"]
    if written.rows:
        parts.append("\n".join(_plain_row(name, lines) for name, lines in written.rows))
    parts += [written.note] if written.note else []
    if written.action is not None:
        parts.append("{}:\n{}".format(*written.action))
    parts += [written.hint] if written.hint else []
    if code is not None:
        parts.append(f"{written.caption}\n{code}")
    parts.append(f"-- \n{written.on_behalf}")
    return "\n\n".join(parts) + "\n"


def _plain_row(name: str, lines: list[str]) -> str:
    if len(lines) == 1:
        return f"{name}: {lines[0]}"
    return "\n".join([f"{name}:", *(f"  {line}" for line in lines)])


def html_text(written: Letter, code: str | None, language: str) -> str:
    """The mail for everybody else: one column that fits a telephone."""
    rows = "".join(
        f'<tr><th style="{FONT};text-align:left;vertical-align:top;padding:8px 16px 8px 0;color:#5f6368;'
        f'font-weight:normal;font-size:14px;white-space:nowrap">{escape(name)}</th>'
        f'<td style="{FONT};padding:8px 0;color:#202124;font-size:15px;word-break:break-word">'
        f"{'<br>'.join(escape(line) for line in lines)}</td></tr>"
        for name, lines in written.rows
    )
    note, hint = (_paragraph(text, "#202124", 15) if text else "" for text in (written.note, written.hint))
    button = "" if written.action is None else _button(*written.action)
    ticket = ""
    if code is not None:
        ticket = (
            '<div style="text-align:center;padding:24px 0 8px;border-top:1px dashed #c4c7cc;margin-top:16px">'
            f'<img src="cid:{QR_CID}" width="{QR_SHOWN}" height="{QR_SHOWN}" alt="{escape(code)}"'
            ' style="max-width:100%;word-break:break-all;font-size:12px">'
            f"{_paragraph(written.caption, '#5f6368', 13)}</div>"
        )
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(written.subject)}</title></head>"
        '<body style="margin:0;padding:24px 12px;background:#f1f3f4">'
        '<div style="max-width:560px;margin:0 auto;background:#ffffff;border-radius:8px;padding:28px 28px 20px">'
        f'<h1 style="{FONT};font-size:21px;line-height:1.4;margin:0 0 16px;color:#202124">'
        f"{escape(written.heading)}</h1>"
        f"{_paragraph(written.greeting, '#202124', 15)}{_paragraph(written.lead, '#202124', 15)}"
        f'<table role="presentation" style="border-collapse:collapse;width:100%;margin:8px 0">{rows}</table>'
        f"{note}{button}{hint}{ticket}"
        f"{_paragraph(written.on_behalf, '#80868b', 12)}"
        "</div></body></html>"
    )


def _button(text: str, url: str) -> str:
    return (
        f'<p style="margin:8px 0 20px"><a href="{escape(url)}" style="{FONT};display:inline-block;padding:12px 20px;'
        f'border-radius:6px;background:#1a56db;color:#ffffff;text-decoration:none;font-size:15px">{escape(text)}</a></p>'
        f"{_paragraph(url, '#5f6368', 12)}"
    )


def _paragraph(text: str, color: str, size: int) -> str:
    return f'<p style="{FONT};font-size:{size}px;line-height:1.6;margin:0 0 12px;color:{color}">{escape(text)}</p>'
