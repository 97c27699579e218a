"""Compares everything that knows about one schedule, and what buyers were promised, with a replay of its journal.

The replay starts from the first record and trusts nothing else: not the snapshots, the tables, the owner's memory, the
seat map, or what arrived on Kafka. The sale must be over and its owner at rest. Every check says what was expected,
what was found, and which bookings, seats or versions are wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import asyncpg
from msgspec import Struct

from engine.booking import LIVE, Booking
from engine.seating_plan import SeatingPlan
from engine.snapshot import SnapshotError, state_hash
from engine.snapshot import decode as decode_snapshot
from engine.state import BLOCKED, FREE, HELD, SOLD, ScheduleState, apply
from loadtest.buyers import SOLD as PAID
from loadtest.buyers import Ledger
from loadtest.http_client import Client
from persistence.events.cloud_events import EventError, decode, render
from persistence.events.log import EventLog, Message
from persistence.journal import history
from persistence.journal.journal import Journal, PostgresJournal
from persistence.providers.provider import NEVER_CHARGED_AFTER_MS

CHUNK = 5_000  # journal records read at a time
# Within which everything that follows the journal must have caught up. The slowest is a payment that never got as far
# as the provider: it is given up only when no charge can come any more.
REST_SECONDS = NEVER_CHARGED_AFTER_MS / 1000 + 30.0
OFFENDERS_KEPT = 10
AREA_NAMES = {FREE: "left", HELD: "held", SOLD: "sold", BLOCKED: "blocked"}
STATE_NAMES = {FREE: "free", HELD: "held", SOLD: "sold", BLOCKED: "blocked"}


TAKEN = ("approved", "partially_refunded", "refunded")  # payments whose money has come


class AuditError(RuntimeError):
    """The audit could not be made."""


class Check(Struct, frozen=True):
    """One thing that must hold."""

    name: str
    expected: str
    actual: str
    offenders: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.expected == self.actual and not self.offenders


class Replay(Struct):
    """The journal, replayed from its first record."""

    state: ScheduleState
    bookings: dict[str, Booking]  # every booking there ever was, as it is now
    events: list[bytes]  # what each record must look like on Kafka; version 1 first

    @property
    def plan(self) -> SeatingPlan:
        return self.state.plan

    def owners(self) -> dict[str, list[str]]:
        """Seat id → the live bookings that own it."""
        owners: dict[str, list[str]] = {}
        for booking in self.bookings.values():
            if booking.status in LIVE:
                for index in booking.seats:
                    owners.setdefault(self.plan.ids[index], []).append(booking.id)
        return owners


class Sources(Struct):
    """Where the copies are."""

    schedule_id: str
    client: Client  # logged in as an admin
    pool: asyncpg.Pool[Any]
    log: EventLog


async def audit(sources: Sources, ledger: Ledger, *, sold_out: bool) -> list[Check]:
    """Every check, in the order in which a reader wants them. With `sold_out` not a place may be left."""
    journal = PostgresJournal(sources.pool)
    await _wait(lambda: _at_rest(sources))
    replay = await replayed(journal, sources.schedule_id)
    tables = await _rows(sources)
    owner = await _get(sources, f"/v1/admin/actors/{sources.schedule_id}")
    return [
        *([check_sold_out(replay)] if sold_out else []),
        *check_ownership(replay, tables["bookings"]),
        *check_promises(ledger, tables),
        *check_money(tables),
        check_bookings(replay, tables["bookings"]),
        await check_recovery(journal, sources.schedule_id, replay),
        Check("the owner's memory is at the journal's head", str(replay.state.seq), str(owner["version"])),
        Check("the owner's memory agrees with the replay", state_hash(replay.state), str(owner["state_hash"])),
        await check_seat_map(sources, replay),
        await check_figures(sources, replay),
        await check_reconciliation(sources),
        *check_events(replay, await sources.log.read_all(sources.schedule_id)),
    ]


async def replayed(journal: Journal, schedule_id: str) -> Replay:
    """The whole journal through the engine."""
    plan = await journal.plan(schedule_id)
    replay = Replay(ScheduleState(plan), {}, [])
    while records := await journal.read(schedule_id, replay.state.seq, CHUNK):
        for record in records:
            booking = apply(replay.state, record)
            if booking is not None:
                replay.bookings[booking.id] = booking
            replay.events.append(render(schedule_id, record, booking, replay.state.plan))
        await asyncio.sleep(0)  # thousands of records: let the clock of others tick
    return replay


async def check_recovery(journal: Journal, schedule_id: str, replay: Replay) -> Check:
    """What the next owner would begin with. It would do without a snapshot that is damaged; here that is an error."""
    name, due = "snapshot and tail agree with the replay", state_hash(replay.state)
    try:
        stored = await journal.snapshot(schedule_id, replay.state.seq)
        if stored is not None:
            decode_snapshot(await journal.plan(schedule_id), stored[1])
    except SnapshotError as error:
        return Check(name, due, f"the snapshot cannot be read: {error}")
    recovered = await history.latest(journal, schedule_id)
    assert recovered is not None, "the schedule was there a moment ago"
    return Check(name, due, state_hash(recovered))


def check_sold_out(replay: Replay) -> Check:
    """Every place of the house belongs to a paid booking."""
    sold = sum(len(booking.seats) for booking in replay.bookings.values() if booking.sold)
    return Check("places sold", str(replay.plan.capacity), str(sold))


def check_ownership(replay: Replay, bookings: Iterable[Mapping[str, Any]]) -> list[Check]:
    """No seat has two owners, in the journal or in the tables; standing room is not overfull."""
    by_table: dict[str, list[str]] = {}
    for row in bookings:
        if row["status"] in ("held", "confirmed", "partially_refunded"):
            for seat in row["seats"]:
                by_table.setdefault(seat, []).append(str(row["id"]))
    capacity = {area.id: area.capacity for area in replay.plan.areas}
    checks = []
    for where, owners in (("journal", replay.owners()), ("tables", by_table)):
        twice = [f"{seat}: {', '.join(who[:3])}" for seat, who in owners.items() if len(who) > capacity.get(seat, 1)]
        checks.append(_none(f"seats sold twice ({where})", twice))
    return checks


def check_promises(ledger: Ledger, tables: Mapping[str, list[Any]]) -> list[Check]:
    """Whatever was acknowledged to a buyer is so, and nobody owns what nobody was promised."""
    rows = {str(row["id"]): row for row in tables["bookings"]}
    paid = {str(row["booking_id"]): str(row["id"]) for row in tables["payments"] if row["status"] in TAKEN}
    back: Counter[str] = Counter()
    for refund in tables["refunds"]:
        back[str(refund["booking_id"])] += refund["amount"]
    lost, changed, unpaid, revived, kept = [], [], [], [], []
    for promise in ledger.promises.values():
        row = rows.get(promise.booking_id)
        if row is None:
            lost.append(promise.booking_id)
        elif (Counter(row["seats"]), row["amount"]) != (Counter(promise.seats), promise.amount):
            changed.append(promise.booking_id)
        elif promise.status in PAID and row["status"] != promise.status:
            unpaid.append(f"{promise.booking_id} is {row['status']}")
        elif promise.status in PAID and promise.payment_id not in (None, paid.get(promise.booking_id)):
            unpaid.append(f"{promise.booking_id} without its payment")
        elif promise.status in ("cancelled", "refunded") and row["status"] != promise.status:
            revived.append(f"{promise.booking_id} is {row['status']}")
        if back[promise.booking_id] != promise.refunded:
            kept.append(f"{promise.booking_id}: {back[promise.booking_id]} of {promise.refunded}")
    nobodys = [booking_id for booking_id in rows if booking_id not in ledger.promises]
    return [
        _none("acknowledged holds lost", lost),
        _none("bookings with other seats or another amount than acknowledged", changed),
        _none("paid bookings without their seats", unpaid),
        _none("cancelled or refunded bookings that live on", revived),
        _none("refunds of another amount than acknowledged", kept),
        _none("bookings nobody was told of", nobodys),
    ]


def check_money(tables: Mapping[str, list[Any]]) -> list[Check]:
    """Each paid booking is paid once; what was taken is in seats that are owned, was given back, or is a fee."""
    value = {str(row["id"]): row["amount"] for row in tables["bookings"] if row["status"] in PAID}
    rest: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for row in tables["payments"]:
        if row["status"] in TAKEN:
            rest[str(row["booking_id"])] += row["amount"]
            times[str(row["booking_id"])] += 1
    for row in tables["refunds"]:
        rest[str(row["booking_id"])] -= row["amount"] + row["fee"]
    wrong = [f"{each}: {rest[each]} of {amount}" for each, amount in value.items() if rest[each] != amount]
    stray = [f"{each}: {rest[each]}" for each in rest if each not in value and rest[each]]
    doubt = [str(row["id"]) for row in (*tables["payments"], *tables["refunds"]) if row["status"] == "requested"]
    return [
        _none("paid bookings whose money is not what their seats cost", wrong),
        _none("bookings paid more than once", [booking_id for booking_id, count in times.items() if count > 1]),
        _none("money kept for bookings without seats", stray),
        _none("payments and refunds without an outcome", doubt),
    ]


def check_bookings(replay: Replay, bookings: Iterable[Mapping[str, Any]]) -> Check:
    """The table says of every booking what the journal says."""
    expected = {booking.id: _facts_of(booking, replay.plan) for booking in replay.bookings.values()}
    actual = {str(row["id"]): _facts_in(row) for row in bookings}
    differing = [each for each in {*expected, *actual} if expected.get(each) != actual.get(each)]
    return Check(
        "bookings in the tables agree with the replay", f"{len(expected)}", f"{len(actual)}", _some(sorted(differing))
    )


async def check_seat_map(sources: Sources, replay: Replay) -> Check:
    """What everybody is shown is what the journal says."""
    shown: dict[str, Any] = {}

    async def caught_up() -> bool:
        shown.update(await _get(sources, f"/v1/schedules/{sources.schedule_id}/seats"))
        return bool(shown["version"] >= replay.state.seq)

    await _wait(caught_up)
    state, plan = replay.state, replay.plan
    expected = {plan.ids[index]: STATE_NAMES[state.seats[index]] for index in range(plan.size)}
    actual = {seat["id"]: seat["state"] for seat in shown["seats"]}
    for area, counts in zip(plan.areas, state.areas, strict=True):
        expected |= {f"{area.id} {name}": str(counts[each]) for each, name in AREA_NAMES.items()}
    for area in shown["areas"]:
        actual |= {f"{area['id']} {name}": str(area[name]) for name in AREA_NAMES.values()}
    differing = [seat for seat in {*expected, *actual} if expected.get(seat) != actual.get(seat)]
    return Check(
        "the seat map agrees with the replay",
        f"version {state.seq}: {_tally(expected.values())}",
        f"version {shown['version']}: {_tally(actual.values())}",
        _some(sorted(differing)),
    )


async def check_figures(sources: Sources, replay: Replay) -> Check:
    """What its organizer is shown is what the journal says: places and their worth by category, and the money."""
    url = f"/v1/organizer/schedules/{sources.schedule_id}"
    sales: dict[str, Any] = {}

    async def caught_up() -> bool:
        sales.update(await _get(sources, f"{url}/sales?by=day"))
        return bool(sales["up_to_version"] >= replay.state.seq)

    await _wait(caught_up)
    settled = await _get(sources, f"{url}/settlement")
    return compared_figures(replay, sales, settled)


def compared_figures(replay: Replay, sales: Mapping[str, Any], settled: Mapping[str, Any]) -> Check:
    """The same by an organizer's figures and settlement, as the API answers them."""
    places: Counter[str] = Counter()
    worth: Counter[str] = Counter()
    for booking in replay.bookings.values():
        if booking.sold:
            for index, price in zip(booking.seats, booking.prices, strict=True):
                category = replay.plan.categories[replay.plan.category_of[index]]
                places[category] += 1
                worth[category] += price
    kept = sum(refund.fee for booking in replay.bookings.values() for refund in booking.refunds)
    expected = {name: (places[name], worth[name]) for name in replay.plan.categories if places[name]}
    shown = {name: (each["sold"] - each["refunded"], each["revenue"]) for name, each in sales["by_category"].items()}
    actual = {name: each for name, each in shown.items() if each != (0, 0)}
    differing = [name for name in {*expected, *actual} if expected.get(name) != actual.get(name)]
    return Check(
        "the organizer's figures agree with the replay",
        f"version {replay.state.seq}: {sum(places.values())} sold, {sum(worth.values()) + kept} left",
        f"version {sales['up_to_version']}: {sum(sold for sold, _ in shown.values())} sold, {settled['net']} left",
        _some(sorted(differing)),
    )


async def check_reconciliation(sources: Sources) -> Check:
    """The system's own reconciliation, which an operator would look at, says the same."""
    report = await _get(sources, f"/v1/admin/schedules/{sources.schedule_id}/reconciliation")
    failing = [check["name"] for check in report["checks"] if not check["holds"]]
    every = len(report["checks"])
    actual = f"{every - len(failing)} checks hold"
    return Check("the system's own reconciliation", f"{every} checks hold", actual, _some(failing))


def check_events(replay: Replay, messages: Iterable[Message]) -> list[Check]:
    """What arrived on Kafka, without duplicates, is the journal: every version once, in order, saying the same."""
    first: dict[int, bytes] = {}
    order: list[int] = []
    unreadable: list[str] = []
    duplicates = 0
    for message in messages:
        try:
            version = decode(message.value).data.version
        except EventError as error:
            unreadable.append(f"{message.partition}/{message.offset}: {error}")
            continue
        if version in first:
            duplicates += 1
            continue
        first[version] = message.value
        order.append(version)
    head = len(replay.events)
    missing = [str(version) for version in range(1, head + 1) if version not in first]
    late = [f"{after} after {before}" for before, after in pairwise(order) if after < before]
    differing = [
        str(version) for version, value in first.items() if version > head or value != replay.events[version - 1]
    ]
    return [
        Check(f"events on Kafka ({duplicates} duplicates dropped)", f"1..{head}", _range(order), _some(missing)),
        _none("events on Kafka out of order", late),
        _none("events on Kafka that differ from the journal", [*differing, *unreadable]),
    ]


async def _rows(sources: Sources) -> dict[str, list[Any]]:
    return {
        table: await sources.pool.fetch(f"SELECT * FROM {table} WHERE schedule_id = $1", sources.schedule_id)  # noqa: S608  # constants
        for table in ("bookings", "payments", "refunds")
    }


async def _at_rest(sources: Sources) -> bool:
    """Whether the schedule is at rest: all it journaled is published, no payment or refund is without an outcome."""
    return bool(
        await sources.pool.fetchval(
            "SELECT published_seq = seq AND oldest_payment_ms IS NULL AND NOT EXISTS"
            " (SELECT FROM refunds WHERE schedule_id = $1 AND status = 'requested')"
            " FROM schedule_heads WHERE schedule_id = $1",
            sources.schedule_id,
        )
    )


async def _get(sources: Sources, path: str) -> dict[str, Any]:
    answer = await sources.client.request("GET", path)
    if answer.status != 200:
        raise AuditError(f"GET {path}: {answer.status} {answer.body[:300].decode(errors='replace')}")
    value: dict[str, Any] = answer.json()
    return value


async def _wait(reached: Callable[[], Awaitable[bool]]) -> None:
    """Waits until it is so; if it never comes to that, the checks say what is wrong."""
    deadline = time.monotonic() + REST_SECONDS
    while not await reached() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


def _facts_of(booking: Booking, plan: SeatingPlan) -> tuple[object, ...]:
    seats = tuple(plan.ids[index] for index in booking.seats)
    status = booking.status.name.lower()
    return booking.customer_id, status, seats, booking.prices, booking.amount, booking.currency, booking.version


def _facts_in(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        str(row["customer_id"]),
        row["status"],
        tuple(row["seats"]),
        tuple(row["prices"]),
        row["amount"],
        row["currency"],
        row["version"],
    )


def _none(name: str, offenders: Sequence[str]) -> Check:
    return Check(name, "0", str(len(offenders)), _some(offenders))


def _some(offenders: Sequence[str]) -> tuple[str, ...]:
    return tuple(offenders[:OFFENDERS_KEPT])


def _range(versions: Sequence[int]) -> str:
    return f"{min(versions)}..{max(versions)}" if versions else "nothing"


def _tally(values: Iterable[str]) -> str:
    return ", ".join(f"{count} {value}" for value, count in sorted(Counter(values).items()))
