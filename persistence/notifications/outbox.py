"""The outbox of mails: what customers are to be told, written with the position of the service that found it out.

A row's id follows from the fact and its customer, so a fact told twice makes one row. A row is `sending`, durably,
before anybody hands it to a mail server: whoever dies then leaves it `unknown`, and nobody sends it again unasked.
No row holds an address: who the customer is, is read when the mail is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.catalogue.performances import DEFAULT_DURATION_MINUTES as _MINUTES
from persistence.database.conditions import BOUGHT, LIVE
from persistence.database.pools import Connection
from persistence.database.tables import notifications

STATUSES = ("pending", "sending", "sent", "failed", "skipped", "unknown")
RETRYABLE = ("failed", "unknown")


class Seat(Struct, frozen=True, kw_only=True):
    """A place, and what it was sold for in minor units."""

    zone: str
    row: str  # empty in a standing area
    number: str
    category: str
    price: int


class BookingFacts(Struct, frozen=True, kw_only=True):
    """A booking as it was after the event."""

    id: str
    seats: list[Seat]
    sold: bool = True  # or was, until it ended


class Facts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a mail tells, beside what the catalogue says about the performance."""

    bookings: list[BookingFacts] = []
    currency: str = ""
    amount: int = 0  # paid: what the seats cost; given back: what the customer gets
    fee: int = 0  # kept of what was given back
    given_back: list[Seat] = []
    by: str = ""  # customer | organizer | admin | system
    reason: str = ""
    starts_at: str = ""  # RFC 3339; where the start was moved, the new one
    former_starts_at: str = ""
    paid_by_another: bool = False  # who gets the money, and is told so


class NewNotification(Struct, frozen=True, kw_only=True):
    """One mail to be."""

    schedule_id: str
    version: int
    customer_id: str
    booking_id: str | None
    kind: str
    facts: Facts

    @property
    def id(self) -> str:
        return str(uuid5(UUID(self.schedule_id), f"{self.version} {self.customer_id} {self.kind}"))


class Outgoing(Struct, frozen=True, kw_only=True):
    """A row that is to be sent."""

    id: str
    schedule_id: str | None  # None: it is about the account
    version: int
    customer_id: str
    booking_id: str | None
    kind: str
    facts: Facts
    attempts: int  # made before


class Recipient(Struct, frozen=True, kw_only=True):
    """Who gets a mail, read at the last moment. Never logged."""

    email: str
    name: str | None
    language: str  # ko | en
    confirmed: bool  # it is known that mails reach them


def where_of(city: str | None, address: str | None) -> str:
    """A venue's address, as far as somebody has said it."""
    city, address = city or "", address or ""
    return address if city in address else f"{city} {address}".strip()


class Occasion(Struct, frozen=True, kw_only=True):
    """What the catalogue says now about the schedule of a mail."""

    title: str
    title_en: str | None
    venue: str
    time_zone: str  # the venue's, IANA
    starts_at: datetime
    duration_minutes: int
    currency: str
    city: str | None
    address: str | None

    def title_in(self, language: str) -> str:
        """What it is called there, where it was said."""
        return self.title_en if language == "en" and self.title_en else self.title

    @property
    def where(self) -> str:
        return where_of(self.city, self.address)

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(minutes=self.duration_minutes)


class Waiting(Struct, frozen=True):
    """A row that is due, with what its mail is to be written from."""

    row: Outgoing
    recipient: Recipient | None  # None once the account was deleted
    occasion: Occasion | None  # deleted from the catalogue or not; None: the mail is about the account


class Settled(Struct, frozen=True, kw_only=True):
    """What has become of a row that was being sent."""

    id: str
    status: str
    error: str | None = None
    address_digest: bytes | None = None


class NotificationRow(Struct, frozen=True, kw_only=True):
    """A row as admins see it."""

    id: str
    kind: str
    status: str
    schedule_id: str | None
    version: int
    booking_id: str | None
    customer_id: str
    attempts: int
    error: str | None
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None


# --- the receiving service --------------------------------------------------------------------------------------------
_START = "SELECT at FROM notifications_start"


async def started(connection: Connection, at: datetime) -> datetime:
    """Since when customers are told: the `at` of the first call ever."""
    first: datetime | None = await connection.fetchval(_START)
    if first is None:
        await connection.execute("INSERT INTO notifications_start VALUES (1, $1) ON CONFLICT (id) DO NOTHING", at)
        first = await connection.fetchval(_START)
    assert first is not None
    return first


async def add(connection: Connection, fresh: Sequence[NewNotification]) -> int:
    """Adds what is not there yet. Returns how many rows that were."""
    if not fresh:
        return 0
    done = await connection.execute(
        "INSERT INTO notifications (id, schedule_id, version, customer_id, booking_id, kind, facts, status)"
        " SELECT *, 'pending' FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[],"
        " $7::jsonb[]) ON CONFLICT (id) DO NOTHING",
        [each.id for each in fresh],
        [each.schedule_id for each in fresh],
        [each.version for each in fresh],
        [each.customer_id for each in fresh],
        [each.booking_id for each in fresh],
        [each.kind for each in fresh],
        [msgspec.json.encode(each.facts).decode() for each in fresh],
    )
    return int(str(done).rpartition(" ")[2])


async def cancelled_at(connection: Connection, schedule_id: str) -> datetime | None:
    """When the schedule was cancelled, if it was."""
    query = "SELECT cancelled_at FROM schedules WHERE id = $1"
    found: datetime | None = await connection.fetchval(query, schedule_id)
    return found


async def customer_of(connection: Connection, booking_id: str) -> str | None:
    """Whose booking it is."""
    query = "SELECT customer_id::text FROM bookings WHERE id = $1"
    found: str | None = await connection.fetchval(query, booking_id)
    return found


async def live_bookings(connection: Connection, schedule_id: str, made_by: datetime) -> dict[str, list[BookingFacts]]:
    """Bookings that are live now and were made by then: customer → theirs, oldest first, without their seats."""
    rows = await connection.fetch(
        "SELECT customer_id::text, id::text, status = ANY($4::text[]) FROM bookings"
        " WHERE schedule_id = $1 AND status = ANY($2::text[]) AND created_at <= $3 ORDER BY id",
        schedule_id,
        LIVE,
        made_by,
        BOUGHT,
    )
    found: dict[str, list[BookingFacts]] = {}
    for customer_id, booking_id, sold in rows:
        found.setdefault(customer_id, []).append(BookingFacts(id=booking_id, seats=[], sold=sold))
    return found


async def terms_before(connection: Connection, schedule_id: str, version: int) -> bytes | None:
    """The journal's last event before a version that says when the schedule starts."""
    payload: bytes | None = await connection.fetchval(
        "SELECT payload FROM journal WHERE schedule_id = $1 AND seq < $2"
        " AND type IN ('schedule.opened', 'schedule.terms_changed') ORDER BY seq DESC LIMIT 1",
        schedule_id,
        version,
    )
    return payload


# --- the mailer -------------------------------------------------------------------------------------------------------
# Mails about an account, whose links somebody waits for, have the first lane to themselves. A customer's mails about
# bookings are all in one lane, so that they leave in the order of what happened.
_DUE = (
    "status = 'pending' AND due_at <= now() AND $1 ="
    " CASE WHEN schedule_id IS NULL THEN 0 ELSE 1 + (hashtext(customer_id::text) & 2147483647) % ($2 - 1) END"
)

_WAITING = f"""
SELECT t.id::text, t.schedule_id::text, t.version, t.customer_id::text, t.booking_id::text, t.kind, t.facts::text,
       t.attempts,
       a.email, a.name, a.language, a.email_confirmed_at IS NOT NULL,
       p.title, p.title_en, v.name, v.time_zone, s.starts_at, coalesce(p.duration_minutes, $3), s.currency,
       v.city, v.address
  FROM (SELECT * FROM notifications WHERE {_DUE} ORDER BY due_at, created_at, version LIMIT $4) t
  LEFT JOIN accounts a ON a.id = t.customer_id AND a.deleted_at IS NULL
  LEFT JOIN (schedules s JOIN performances p ON p.id = s.performance_id JOIN venues v ON v.id = s.venue_id)
    ON s.id = t.schedule_id
 ORDER BY t.due_at, t.created_at, t.version
"""  # noqa: S608  # constants
_ROW, _TO = len(Outgoing.__struct_fields__), len(Recipient.__struct_fields__)


async def waiting(connection: Connection, lane: int, lanes: int, limit: int) -> list[Waiting]:
    """The next rows that are due in a lane. Nobody has them yet: whoever `claim`s one does."""
    return [_waiting(list(found)) for found in await connection.fetch(_WAITING, lane, lanes, _MINUTES, limit)]


def _waiting(values: list[Any]) -> Waiting:
    row, to, of = values[:_ROW], values[_ROW : _ROW + _TO], values[_ROW + _TO :]
    found = dict(zip(Outgoing.__struct_fields__, row, strict=True))
    outgoing = Outgoing(**found | {"facts": msgspec.json.decode(found["facts"], type=Facts)})
    recipient = None if to[0] is None else Recipient(**dict(zip(Recipient.__struct_fields__, to, strict=True)))
    assert of[0] is not None or outgoing.schedule_id is None, "a schedule that has events has a row"
    occasion = None if of[0] is None else Occasion(**dict(zip(Occasion.__struct_fields__, of, strict=True)))
    return Waiting(outgoing, recipient, occasion)


_SETTLE = """
UPDATE notifications SET status = $1::text, error = $2, sent_at = CASE WHEN $1 = 'sent' THEN now() END,
       address_digest = $3
 WHERE id = $4 AND status = 'sending'
"""
_CLAIM = """
UPDATE notifications SET status = 'sending', due_at = now(), attempts = attempts + 1, error = NULL
 WHERE id = ${id} AND status = 'pending' AND due_at <= now()
   AND (SELECT a.email FROM accounts a WHERE a.id = customer_id AND a.deleted_at IS NULL) IS NOT DISTINCT FROM ${email}
RETURNING true
"""
_CLAIM_ONE = _CLAIM.format(id=1, email=2)
_CLAIM_NEXT = f"WITH settled AS ({_SETTLE}) {_CLAIM.format(id=5, email=6)}"


async def claim(connection: Connection, next_one: Waiting, last: Settled | None = None) -> bool:
    """Marks a row as `sending`, unless somebody else has it or its customer has another address than was read. With
    it, in the same transaction, what has become of the row before: a statement of its own for that would cost as much
    as writing a mail.
    """
    of_next = (next_one.row.id, None if next_one.recipient is None else next_one.recipient.email)
    if last is None:
        return bool(await connection.fetchval(_CLAIM_ONE, *of_next))
    return bool(await connection.fetchval(_CLAIM_NEXT, *_values(last), *of_next))


async def settle(connection: Connection, settled: Settled) -> None:
    """Records what has become of a row that was being sent."""
    await connection.execute(_SETTLE, *_values(settled))


def _values(settled: Settled) -> tuple[object, ...]:
    return settled.status, settled.error, settled.address_digest, settled.id


_SENT_WITHIN = """
SELECT (SELECT count(*) FROM notifications WHERE customer_id = who.customer_id
           AND created_at > now() - interval '1 day' AND sent_at > now() - make_interval(secs => $3)),
       (SELECT count(*) FROM notifications WHERE address_digest = who.digest
           AND sent_at > now() - make_interval(secs => $3))
  FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS who (customer_id, digest, number) ORDER BY number
"""


async def sent_within(
    connection: Connection, who: Sequence[tuple[str, bytes]], seconds: float
) -> list[tuple[int, int]]:
    """How many mails each of these accounts was sent so lately, and its address."""
    customers, digests = [customer_id for customer_id, _ in who], [digest for _, digest in who]
    return [(row[0], row[1]) for row in await connection.fetch(_SENT_WITHIN, customers, digests, seconds)]


async def put_off(connection: Connection, notification_id: str, seconds: float, error: str) -> None:
    """Gives a row that was clearly refused back, not to be tried for so long."""
    await connection.execute(
        "UPDATE notifications SET status = 'pending', due_at = now() + make_interval(secs => $2), error = $3"
        " WHERE id = $1 AND status = 'sending'",
        notification_id,
        seconds,
        error,
    )


async def put_off_all(connection: Connection, customer_id: str, seconds: float, error: str) -> None:
    """Has all of a customer's that are due tried later: others wait for none of them."""
    await connection.execute(
        "UPDATE notifications SET due_at = now() + make_interval(secs => $2), error = $3"
        " WHERE customer_id = $1 AND schedule_id IS NOT NULL AND status = 'pending' AND due_at <= now()",
        customer_id,
        seconds,
        error,
    )


async def give_up_silent(connection: Connection, older_than_seconds: float) -> list[tuple[str, str]]:
    """Rows whose sender has not been heard of for so long are `unknown` from now on. Gives their ids and kinds."""
    rows = await connection.fetch(
        "UPDATE notifications SET status = 'unknown', error = 'whoever sent it was not heard of again'"
        " WHERE status = 'sending' AND due_at < now() - make_interval(secs => $1) RETURNING id::text, kind",
        older_than_seconds,
    )
    return [(row["id"], row["kind"]) for row in rows]


# --- admins -----------------------------------------------------------------------------------------------------------
_COLUMNS = tuple(notifications.c[name] for name in NotificationRow.__struct_fields__)


async def page(
    connection: AsyncConnection,
    *,
    status: str | None = None,
    schedule_id: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> list[NotificationRow]:
    """Newest first, starting after `before`."""
    query = sa.select(*_COLUMNS).order_by(notifications.c.created_at.desc(), notifications.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(notifications.c.status == status)
    if schedule_id is not None:
        query = query.where(notifications.c.schedule_id == schedule_id)
    if before is not None:
        key = sa.tuple_(sa.literal(before[0]), sa.cast(before[1], notifications.c.id.type))
        query = query.where(sa.tuple_(notifications.c.created_at, notifications.c.id) < key)
    return [_row(row._mapping) for row in await connection.execute(query)]


async def locked(connection: AsyncConnection, notification_id: str) -> NotificationRow | None:
    """The row, kept to this transaction until it ends."""
    query = sa.select(*_COLUMNS).where(notifications.c.id == notification_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _row(row._mapping)


async def send_again(connection: AsyncConnection, notification_id: str) -> NotificationRow:
    """Puts a row that `locked` has given back into the outbox."""
    statement = (
        notifications.update()
        .where(notifications.c.id == notification_id, notifications.c.status.in_(RETRYABLE))
        .values(status="pending", attempts=0, error=None, due_at=sa.func.now())
        .returning(*_COLUMNS)
    )
    return _row((await connection.execute(statement)).one()._mapping)


def _row(values: Mapping[Any, Any]) -> NotificationRow:
    return NotificationRow(**dict(values))
