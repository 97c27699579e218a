"""What is in no table, against the journal at its own version: owner's memory, newest snapshot, readers' seat map."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b

import asyncpg
import msgspec

from actors.reconciliation.checks import Check, Name, checked
from actors.reconciliation.following import READ, UNFIT, Followed
from actors.wire.messages import Inspection
from engine.events import Record, decode_event
from engine.seating_plan import SeatingPlan
from engine.snapshot import Snapshot, SnapshotError, decode, state_hash
from engine.state import Remembered, apply
from persistence.database.pools import Connection
from persistence.journal.heads import Head
from persistence.journal.journal import decompressed
from persistence.reconciliation.table_mirror import Mirror
from persistence.reconciliation.told import NOTHING, Told, joined, named, say
from persistence.seats.cache import SeatView
from persistence.seats.from_journal import view_of

SHOWN_WITHIN_MS = 60_000  # readers are told within 50 ms of a commit, or as soon as the cache is back
_decode_request = msgspec.msgpack.Decoder(tuple[str, Remembered]).decode


def check_memory(memory: Inspection, expected: Told, actual: Told) -> Check:
    owner = () if expected == actual else (say("owner", epoch=memory.epoch, pid=memory.pid),)
    return checked(Name.MEMORY_EQUALS_JOURNAL, expected, actual, owner)


async def check_snapshot(
    connection: Connection, schedule_id: str, followed: Followed, seq: int, payload: bytes
) -> Check:
    """The newest snapshot, unless it was found right before; one that the mirror has left behind is led on to it."""
    mirror = followed.mirror
    if followed.snapshot == (seq, _digest(payload)):
        return _judged(followed, seq, payload, NOTHING)
    rows = await connection.fetch(READ, schedule_id, seq, mirror.seq - seq)
    due = mirror.fingerprint.hexdigest()
    wrong = await asyncio.to_thread(_wrong_snapshot, mirror.plan, payload, due, rows)
    return _judged(followed, seq, payload, wrong)


def _judged(followed: Followed, seq: int, payload: bytes, wrong: Told) -> Check:
    if not wrong:
        followed.snapshot = (seq, _digest(payload))
    expected = say("state_of_version", version=seq)
    offenders = (say("snapshot", version=seq),) if wrong else ()
    return checked(Name.SNAPSHOT_EQUALS_JOURNAL, expected, wrong or expected, offenders)


def _wrong_snapshot(plan: SeatingPlan, payload: bytes, due: str, rows: Sequence[asyncpg.Record]) -> Told:
    """What is wrong with a snapshot; `due` is the hash it has to come to with these records."""
    try:
        state = decode(plan, _without_requests(decompressed(payload)))
        for seq, at_ms, event, request_id, fingerprint, *_ in rows:
            apply(state, Record(seq, at_ms, decode_event(event), request_id, fingerprint))
        return NOTHING if state_hash(state) == due else say("another_state")
    except (SnapshotError, msgspec.DecodeError) as error:
        return say("unreadable", error=error)
    except UNFIT as error:
        return say("another_state_because", error=repr(error))


def _without_requests(payload: bytes) -> bytes:
    """The snapshot less the requests it remembers, most of it and no part of the hash, after a look at each of them.

    To decode it whole would hold up the other threads, the loop's among them, for a fifth of a second.
    """
    parts = msgspec.msgpack.decode(payload, type=list[msgspec.Raw])
    place = 1 + Snapshot.__struct_fields__.index("requests")  # its tag comes first
    for each in msgspec.msgpack.decode(parts[place], type=list[msgspec.Raw]) if place < len(parts) else ():
        _decode_request(each)
    return msgspec.msgpack.encode([*parts[:place], [], *parts[place + 1 :]])


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=16).digest()


async def check_view(connection: Connection, mirror: Mirror, view: SeatView, head: Head, now_ms: int) -> Check:
    """What readers are shown is what the journal says."""
    due, plan = view_of(view.schedule_id, mirror.state), mirror.state.plan
    if (view.plan_number, len(view.states), len(view.areas)) != (plan.number, len(due.states), len(due.areas)):
        actual = say("plan_seats", plan=view.plan_number, seats=len(view.states))
        return checked(Name.SEAT_MAP_EQUALS_JOURNAL, say("plan_seats", plan=plan.number, seats=plan.size), actual)
    delta = view.since(due)
    wrong = [plan.ids[index] for index, _ in delta.seats] + [plan.areas[number].id for number, _ in delta.areas]
    expected = say("version", version=view.version)
    if wrong:
        actual = joined(expected, say("places_differ", count=len(wrong)))
        return checked(Name.SEAT_MAP_EQUALS_JOURNAL, expected, actual, map(named, wrong))
    return await check_outside(connection, view, head, now_ms)


async def check_outside(connection: Connection, view: SeatView, head: Head, now_ms: int) -> Check:
    """A seat map that cannot be compared, or need not: it may be behind for a moment, and never ahead."""
    name, expected = Name.SEAT_MAP_EQUALS_JOURNAL, say("version", version=head.seq)
    actual = say("version", version=view.version)
    if view.version >= head.seq:
        return checked(name, expected, actual)
    at_ms = await connection.fetchval(
        "SELECT at_ms FROM journal WHERE schedule_id = $1 AND seq = $2", view.schedule_id, view.version + 1
    )
    on_its_way = at_ms is None or now_ms - at_ms < SHOWN_WITHIN_MS
    found = joined(actual, say("on_its_way")) if on_its_way else actual
    return checked(name, expected, found, holds=on_its_way)
