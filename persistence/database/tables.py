"""Every table of the system, and why it is there. Migrations in `migrations/` bring a database to this shape.

Four groups: what a schedule's owner writes in its group commit (`schedule_heads`, `journal`, `snapshots` and the
current tables `bookings`, `payments`, `refunds`, `cancellations`), what the routes write (accounts, sessions, links,
venues, performances, schedules), what receiving services write (`consumer_positions`, `parked_events`, `sales`,
`notifications`), and bookkeeping (`idempotency_keys`, `audit_log`, `reconciliations`). Ids are UUIDv7, times
`timestamptz`, money integer minor units.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, TSVECTOR

UUID = postgresql.UUID(as_uuid=False)
TIME = TIMESTAMP(timezone=True)
NOW = text("now()")
CLOCK = text("clock_timestamp()")  # of this moment, whenever the transaction began

DEFAULT_REFUND_POLICY = (
    """'[{"days_before": 10, "fee_percent": 0}, {"days_before": 7, "fee_percent": 10},"""
    """ {"days_before": 3, "fee_percent": 20}, {"days_before": 0, "fee_percent": 30}]'"""
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# --- accounts ---------------------------------------------------------------------------------------------------------
accounts = Table(
    "accounts",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("email", Text, nullable=False),  # as the owner wrote it; compared in lower case
    Column("password_hash", Text, nullable=False),  # Argon2id
    Column("name", Text),
    Column("role", Text, nullable=False),  # customer | box_office | organizer | admin
    Column("language", Text, nullable=False, server_default="en"),  # ko | en: what is written to its owner
    Column("email_confirmed_at", TIME),  # since when it is known that mails to `email` reach its owner
    Column("locked_at", TIME),  # an admin lets nobody in
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Column("deleted_at", TIME),
    Index("uq_accounts_email_lower", text("lower(email)"), unique=True, postgresql_where=text("deleted_at IS NULL")),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("account_id", UUID, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("refresh_hash", LargeBinary, nullable=False, unique=True),  # SHA-256 of the current refresh token
    Column("previous_hash", LargeBinary),  # of the one before, while it may still be shown once more
    Column("browser", Boolean, nullable=False, server_default=sa.false()),  # the refresh token is in a cookie
    Column("client", Text),  # what the program that logged in calls itself
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("used_at", TIME, nullable=False, server_default=NOW),  # when the refresh token was last exchanged
    Column("expires_at", TIME, nullable=False),
    Column("revoked_at", TIME),
    Index("ix_sessions_revoked_at", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")),
)

account_links = Table(
    "account_links",
    metadata,
    # Links that were, or will be, mailed to an account's owner. The token exists in the mail alone.
    Column("id", UUID, primary_key=True),  # the mail's, too
    Column("account_id", UUID, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("purpose", Text, nullable=False),  # password_reset | email_confirmation
    Column("token_hash", LargeBinary, unique=True),  # SHA-256; NULL until the mail is written
    Column("created_at", TIME, nullable=False),
    Column("expires_at", TIME),  # NULL until the mail is written
)

# --- catalogue --------------------------------------------------------------------------------------------------------
venues = Table(
    "venues",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("organizer_id", UUID, ForeignKey("accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("city", Text),
    Column("address", Text),
    Column("time_zone", Text, nullable=False, server_default="Asia/Seoul"),  # IANA: what the clocks there show
    Column("words", TSVECTOR, nullable=False, server_default=text("''")),  # see persistence/database/words.py
    Column("seating_plan", JSONB, nullable=False),  # the pretix document as it was sent
    Column("packed_plan", LargeBinary),  # the same, read already (engine/stored_plan.py); NULL: not made yet
    Column("plan_number", Integer, nullable=False, server_default="0"),  # how often it has been replaced
    Column("plan_digest", Text, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("shared", Boolean, nullable=False, server_default=sa.false()),  # other organizers may play there, too
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Index("ix_venues_words", "words", postgresql_using="gin"),
)

# Who may play in a venue that is not shared: whose confirmed e-mail or whose id this is. Neither need be an account's.
venue_grants = Table(
    "venue_grants",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("venue_id", UUID, ForeignKey("venues.id"), nullable=False),
    Column("email", Text, index=True),  # in small letters
    Column("organizer_id", UUID, index=True),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    sa.CheckConstraint("num_nonnulls(email, organizer_id) = 1", name="one_or_the_other"),
    sa.UniqueConstraint("venue_id", "email"),
    sa.UniqueConstraint("venue_id", "organizer_id"),
)

former_plans = Table(
    "former_plans",
    metadata,
    # What a venue's plan took the place of: journals number their places by it.
    Column("venue_id", UUID, ForeignKey("venues.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("seating_plan", JSONB, nullable=False),
    Column("packed_plan", LargeBinary),
    Column("replaced_at", TIME, nullable=False),
)

performances = Table(
    "performances",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("organizer_id", UUID, ForeignKey("accounts.id"), nullable=False),
    Column("venue_id", UUID, ForeignKey("venues.id")),
    Column("title", Text, nullable=False),
    Column("title_en", Text),  # for those who read English, where it was given
    Column("description", Text),
    Column("description_en", Text),
    Column("category", Text),
    Column("picture_url", Text),
    Column("words", TSVECTOR, nullable=False, server_default=text("''")),  # see persistence/database/words.py
    Column("duration_minutes", Integer),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Column("deleted_at", TIME),
    Index(
        "uq_performances_organizer_title",
        "organizer_id",
        text("lower(title)"),
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("ix_performances_words", "words", postgresql_using="gin"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("performance_id", UUID, ForeignKey("performances.id"), nullable=False, index=True),
    Column("venue_id", UUID, ForeignKey("venues.id"), nullable=False),
    Column("first_plan", Integer, nullable=False, server_default="0"),  # of the venue's, with which it was opened
    Column("plan_number", Integer, nullable=False, server_default="0"),  # by which it is sold
    Column("starts_at", TIME, nullable=False),
    Column("currency", Text, nullable=False),
    Column("prices", JSONB, nullable=False),  # category → minor units; null: not for sale
    Column("sale_opens_at", TIME),
    Column("sale_closes_at", TIME),
    Column("max_seats_per_customer", Integer),
    Column("hold_seconds", Integer, nullable=False),
    Column("waiting_room", Boolean, nullable=False, server_default=sa.false()),
    # [{days_before, fee_percent}], see engine/refund_policy.py; the default was in force before it could be set.
    Column("refund_policy", JSONB, nullable=False, server_default=text(DEFAULT_REFUND_POLICY)),
    Column("refund_when_moved", Boolean, nullable=False, server_default=sa.true()),
    Column("transferable", Boolean, nullable=False, server_default=sa.true()),
    Column("cancelled_at", TIME),  # the performance will not take place
    Column("cancellation_reason", Text),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Column("deleted_at", TIME),
    Index("ix_schedules_venue_id_starts_at", "venue_id", "starts_at"),  # is the house free at that time?
    Index("ix_schedules_sale_opens_at", "sale_opens_at", postgresql_where=text("sale_opens_at IS NOT NULL")),
)

# --- written by the schedule's owner, in one transaction per group commit ---------------------------------------------
schedule_heads = Table(
    "schedule_heads",
    metadata,
    Column("schedule_id", UUID, primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # raised by every activation: the fence
    Column("seq", BigInteger, nullable=False),  # the journal's last sequence number
    Column("published_seq", BigInteger, nullable=False, server_default="0"),  # everything up to here is on Kafka
    Column("snapshot_seq", BigInteger, nullable=False, server_default="0"),
    Column("next_deadline_ms", BigInteger),  # when the next hold expires; NULL: none
    Column("oldest_payment_ms", BigInteger),  # when the oldest payment without an outcome was requested; NULL: none
    Column("host", Text),  # the process that its owner lives in, see persistence/journal/placement.py; NULL: none yet
    # Since when it is to have a process to itself, because an administrator says so, and because it is found to keep
    # one busy: see persistence/journal/own_process.py.
    Column("dedicated_at", TIME),
    Column("hot_at", TIME),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    # Since when a record written past the owner is to be told to it and to readers; NULL: all are told.
    Column("overruled_at", TIME),
    # It has no place, nothing of it is due, and receiving services have all of it: what looks for something due passes
    # it by, however many have been played. See persistence/events/positions.py.
    Column("resting", Boolean, nullable=False, server_default=text("false")),
    Index("ix_schedule_heads_overruled_at", "overruled_at", postgresql_where=text("overruled_at IS NOT NULL")),
    # No index on the columns that every group commit changes: updates stay HOT, and there is one row per schedule.
    Index("ix_schedule_heads_not_resting", "schedule_id", postgresql_where=text("NOT resting")),
    Index("ix_schedule_heads_host", "host", postgresql_where=text("host IS NOT NULL")),
    Index(
        "ix_schedule_heads_marked",
        "schedule_id",
        postgresql_where=text("dedicated_at IS NOT NULL OR hot_at IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "50"},
)

journal = Table(
    "journal",
    metadata,
    Column("schedule_id", UUID, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("booking_id", UUID),
    Column("request_id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # msgpack, see engine/events.py
    # On what terms a booking was made: a few rows of the thousands of a schedule.
    Index(
        "ix_journal_terms",
        "schedule_id",
        "seq",
        postgresql_where=text("type IN ('schedule.opened', 'schedule.terms_changed', 'schedule.plan_changed')"),
    ),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("schedule_id", UUID, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("payload", LargeBinary, nullable=False),  # see engine/snapshot.py; compressed with Zstandard
    Column("created_at", TIME, nullable=False, server_default=NOW),
)

bookings = Table(
    "bookings",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("schedule_id", UUID, nullable=False),
    Column("customer_id", UUID, nullable=False),
    # held | confirmed | cancelled | expired | refunded | partially_refunded | transferred
    Column("status", Text, nullable=False),
    Column("seats", ARRAY(Text), nullable=False),  # seat ids, in the booking's order
    Column("prices", ARRAY(BigInteger), nullable=False),  # parallel to seats
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("version", BigInteger, nullable=False),  # journal seq of the last change
    Column("created_at", TIME, nullable=False),
    Column("expires_at", TIME),
    Column("payment_id", UUID),  # the latest attempt
    Column("origin_id", UUID),  # the booking that was paid for, where the seats have come from another customer
    Column("archived_at", TIME),  # put away by an admin: `persistence.bookings.bookings.archive`
    Index("ix_bookings_customer_id_id", "customer_id", "id"),
    Index("ix_bookings_schedule_id_status", "schedule_id", "status"),
    Index("ix_bookings_origin_id", "origin_id", postgresql_where=text("origin_id IS NOT NULL")),
    # See persistence/bookings/numbers.py. Holds come and go by the thousand, and nobody reads out their numbers.
    Index(
        "ix_bookings_number",
        text('"right"(id::text, 9)'),
        postgresql_where=text("status IN ('confirmed', 'partially_refunded', 'refunded', 'transferred')"),
    ),
)
transfers = Table(
    "transfers",
    metadata,
    # Seats that somebody offers to another customer; only what was accepted stands in the journal.
    Column("id", UUID, primary_key=True),
    Column("booking_id", UUID, nullable=False, index=True),
    Column("schedule_id", UUID, nullable=False),
    Column("from_customer_id", UUID, nullable=False, index=True),
    Column("to_email", Text, index=True),  # in small letters; NULL once it need not be known any more
    Column("to_customer_id", UUID),  # who has accepted
    Column("to_booking_id", UUID, nullable=False),  # theirs, if they accept
    Column("seats", ARRAY(Text), nullable=False),
    Column("status", Text, nullable=False),  # offered | accepting | accepted | declined | withdrawn
    Column("created_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("ended_at", TIME),
)
booking_blocks = sa.Sequence("booking_blocks", metadata=metadata)  # of booking numbers: one for each process and block

payments = Table(
    "payments",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("booking_id", UUID, nullable=False, index=True),
    Column("schedule_id", UUID, nullable=False, index=True),
    Column("customer_id", UUID, nullable=False, index=True),
    Column("status", Text, nullable=False),  # requested | approved | declined | partially_refunded | refunded
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("reference", Text),
    Column("reason", Text),
    Column("requested_at", TIME, nullable=False),
    Column("settled_at", TIME),
    Index("ix_payments_requested", "requested_at", postgresql_where=text("status = 'requested'")),
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("payment_id", UUID, nullable=False, index=True),
    Column("booking_id", UUID, nullable=False, index=True),
    Column("schedule_id", UUID, nullable=False, index=True),
    Column("customer_id", UUID, nullable=False),
    Column("status", Text, nullable=False),  # requested | completed
    Column("amount", BigInteger, nullable=False),  # what the customer gets
    Column("fee", BigInteger, nullable=False),  # what is kept
    Column("currency", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("seats", ARRAY(Text), nullable=False),  # empty where money came without seats
    Column("reference", Text),
    Column("reason", Text),
    Column("by", Text, nullable=False),
    Column("requested_at", TIME, nullable=False),
    Column("settled_at", TIME),
    Index("ix_refunds_requested", "requested_at", postgresql_where=text("status = 'requested'")),
)

cancellations = Table(
    "cancellations",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("booking_id", UUID, nullable=False, unique=True),
    Column("schedule_id", UUID, nullable=False),
    Column("customer_id", UUID, nullable=False, index=True),
    Column("reason", Text),
    Column("by", Text, nullable=False),
    Column("cancelled_at", TIME, nullable=False),
)

# --- bookkeeping ------------------------------------------------------------------------------------------------------
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    # Answers to POSTs that do not go through a schedule's owner; those keep theirs in the journal.
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("account_id", UUID),  # whom the answer tells about, where that is not its owner
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Index("ix_idempotency_keys_account_id", "account_id", postgresql_where=text("account_id IS NOT NULL")),
    Index("ix_idempotency_keys_created_at", "created_at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    # A chain: see persistence/audit/chain.py. No defaults, so that nothing gets in beside it.
    Column("id", UUID, primary_key=True),
    Column("seq", BigInteger, nullable=False, unique=True),  # 1, 2, 3 … without gaps
    Column("at", TIME, nullable=False),
    Column("account_id", UUID, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("previous_hash", LargeBinary, nullable=False),  # SHA-256 of entry seq - 1
    Column("hash", LargeBinary, nullable=False),  # SHA-256 of this entry, previous_hash included
    Index("ix_audit_log_account_id_seq", "account_id", "seq"),
    Index("ix_audit_log_subject_seq", "subject", "seq"),
)

audit_head = Table(
    "audit_head",
    metadata,
    # One row, locked by whoever writes an entry: so they are written, and committed, one after another.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),  # the last entry's; 0: there is none
    Column("hash", LargeBinary, nullable=False),  # the last entry's
    Column("at", TIME, nullable=False),  # the last entry's
    sa.CheckConstraint("id = 1", name="one_row"),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    # The latest finding about each schedule, and about the whole.
    Column("subject", Text, primary_key=True),  # a schedule's id, or "overall"
    Column("version", BigInteger, nullable=False),  # the journal's position it was made at
    Column("checked_at", TIME, nullable=False),
    Column("holds", Boolean, nullable=False),
    Column("checks", JSONB, nullable=False),  # [{name, expected, actual, offenders}]
    Index("ix_reconciliations_failing", "subject", postgresql_where=text("NOT holds")),
)

# --- the door ---------------------------------------------------------------------------------------------------------
check_ins = Table(
    "check_ins",
    metadata,
    # Every code that was read, as it was judged. Rows are only ever added.
    Column("id", UUID, primary_key=True),  # the door's own, so that a batch sent again is recognised
    Column("schedule_id", UUID, nullable=False),
    Column("booking_id", UUID),  # NULL: not a code of ours
    Column(
        "result", Text, nullable=False
    ),  # admitted | already_in | refunded | replaced | other_schedule | not_genuine
    Column("places", Integer, nullable=False),  # let in; 0 unless admitted
    Column("seat", Text),  # the one place the code was for; NULL: for its whole booking
    Column("gate", Text),
    Column("at", TIME, nullable=False),  # by the door's clock
    Column("received_at", TIME, nullable=False, server_default=NOW),
    Column("version", BigInteger, nullable=False),  # of the schedule, when it was judged
    Column("staff", Text, nullable=False),  # account:<id> | door:<id>
    Column("answer", JSONB, nullable=False),
    Index("ix_check_ins_schedule_id_result", "schedule_id", "result"),
    Index("ix_check_ins_booking_id", "booking_id", postgresql_where=text("result = 'admitted'")),
)

check_in_undos = Table(
    "check_in_undos",
    metadata,
    Column("check_in_id", UUID, ForeignKey("check_ins.id"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("staff", Text, nullable=False),
    Column("at", TIME, nullable=False),
)

giving_back = Table(
    "giving_back",
    metadata,
    # Customers who are giving seats back at this moment, for the door.
    Column("id", UUID, primary_key=True),
    Column("booking_id", UUID, nullable=False, index=True),
    Column("lapses_at", TIME, nullable=False),
)

door_staff = Table(
    "door_staff",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("schedule_id", UUID, ForeignKey("schedules.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),  # SHA-256
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("expires_at", TIME, nullable=False),
    Column("ended_at", TIME),  # the link was taken back
)

# --- written by receiving services, each in the transaction that moves its position -----------------------------------
consumer_positions = Table(
    "consumer_positions",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("schedule_id", UUID, primary_key=True),
    Column("version", BigInteger, nullable=False),  # the last event of the schedule that was taken
    Column("updated_at", TIME, nullable=False, server_default=NOW),
)

parked_events = Table(
    "parked_events",
    metadata,
    # What a service could not digest; the others went on.
    Column("consumer", Text, primary_key=True),
    Column("schedule_id", UUID, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("value", LargeBinary, nullable=False),  # the CloudEvent
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("parked_at", TIME, nullable=False, server_default=NOW),
)

sales = Table(
    "sales",
    metadata,
    # Places and money by the minute in which it happened.
    Column("schedule_id", UUID, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("minute", TIME, primary_key=True),
    Column("held", BigInteger, nullable=False),
    Column("expired", BigInteger, nullable=False),  # of those held, in that minute
    Column("cancelled", BigInteger, nullable=False),
    Column("sold", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("revenue", BigInteger, nullable=False),  # prices of places sold, less those of places refunded
    Column("fees", BigInteger, nullable=False),  # kept when places were refunded
)

sales_bookings = Table(
    "sales_bookings",
    metadata,
    # What `sales` has to know of a live booking to tell what an event changes.
    Column("booking_id", UUID, primary_key=True),
    Column("schedule_id", UUID, nullable=False, index=True),
    Column("booking", JSONB, nullable=False),  # {sold, places: [[id, category, price]]}
)

notifications = Table(
    "notifications",
    metadata,
    # What customers are to be told, and whether they were. No addresses: they are read when a mail is sent.
    Column("id", UUID, primary_key=True),  # follows from schedule, version, customer and kind: one row per fact
    Column("schedule_id", UUID),  # NULL: it is about the account
    Column("version", BigInteger, nullable=False),  # of the event it tells of; 0: of none
    Column("customer_id", UUID, nullable=False),
    Column("booking_id", UUID),  # NULL where it tells of several
    Column("kind", Text, nullable=False),
    Column("facts", JSONB, nullable=False),  # see persistence/notifications/outbox.py
    Column("status", Text, nullable=False),  # pending | sending | sent | failed | skipped | unknown
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("due_at", TIME, nullable=False, server_default=NOW),  # pending: not before; sending: handed over then
    Column("sent_at", TIME),
    Column("address_digest", LargeBinary),  # keyed; tells for a day how many mails an address was sent
    Index("ix_notifications_created_at_id", "created_at", "id"),
    Index("ix_notifications_customer_id_created_at", "customer_id", "created_at"),
    Index(
        "ix_notifications_address_digest",
        "address_digest",
        "sent_at",
        postgresql_where=text("address_digest IS NOT NULL"),
    ),
    Index("ix_notifications_open", "due_at", postgresql_where=text("status IN ('pending', 'sending')")),
)

notifications_start = Table(
    "notifications_start",
    metadata,
    # One row: what happened before is never told, however often the events are read anew.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", TIME, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

# --- several machines -------------------------------------------------------------------------------------------------
nodes = Table(
    "nodes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("incarnation", Text, nullable=False),  # another one each time the machine is started
    Column("address", Text, nullable=False),  # where other machines reach its processes
    Column("processes", Integer, nullable=False),  # of owners, at most
    Column("state", Text, nullable=False),  # starting | serving | draining
    Column("joined_at", TIME, nullable=False, server_default=CLOCK),
    Column("beat_at", TIME, nullable=False, server_default=CLOCK),  # when it was last heard of
    Column("known_by", ARRAY(Text), nullable=False, server_default="{}"),  # marks of the keys that it knows
    postgresql_with={"fillfactor": "50"},
)

owner_processes = Table(
    "owner_processes",
    metadata,
    # Where each is called from other machines. What has ended stays, until another of its name begins.
    Column("name", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("token", Text, nullable=False),  # another one each time it is started
    Column("started_at", TIME, nullable=False, server_default=CLOCK),
)

leases = Table(
    "leases",
    metadata,
    # Work that one process of the cluster does at a time, see persistence/journal/leases.py.
    Column("work", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", TIME, nullable=False),
    postgresql_with={"fillfactor": "50"},
)
