"""Whether receiving services have what the journal says: how far each has come, and the sales figures line by line.

A service may be behind for a moment. The figures are compared at the very version the service has come to, with what a
`SalesMirror` has counted up to there beside the journal's replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from actors.receivers.names import SALES
from actors.reconciliation.checks import Check, Name, checked
from persistence.database.pools import Connection
from persistence.events import positions
from persistence.events.positions import Standing
from persistence.reconciliation import sales_mirror
from persistence.reconciliation.sales_mirror import SalesMirror
from persistence.reconciliation.told import Told, joined, say
from persistence.sales.figures import FIGURES, LiveBooking, SalesRow

# A service reads what the topic leaves out within 15 s. One that has taken nothing for a minute does not work.
TAKEN_WITHIN_MS = 60_000


class Received(Struct):
    """How far the services have come with a schedule, and what was found wrong of what they have written."""

    standings: Sequence[Standing]
    wrong: list[Told]

    @property
    def sales_version(self) -> int:
        """At which version the sales figures can be compared; 0 where there are none."""
        return next((each.version for each in self.standings if each.consumer == SALES), 0)


async def received(connection: Connection, schedule_id: str) -> Received:
    """The services that have ever taken an event of the schedule."""
    return Received(await positions.standings(connection, schedule_id), [])


async def compare_sales(connection: Connection, schedule_id: str, due: SalesMirror, found: Received) -> None:
    """The sales figures against the journal's, both at one version."""
    actual = await sales_mirror.rows_of(connection, schedule_id)
    found.wrong += _figures({(each.category, each.minute): each for each in due.rows()}, actual)
    digest = await asyncio.to_thread(due.digest)
    if digest != await sales_mirror.live_digest(connection, schedule_id):
        live = await sales_mirror.live_of(connection, schedule_id)
        found.wrong += await asyncio.to_thread(_bookings, due.live, live)


def _figures(due: Mapping[tuple[str, datetime], SalesRow], rows: Sequence[SalesRow]) -> list[Told]:
    wrong = []
    actual = {(each.category, each.minute): each for each in rows}
    for key in sorted(due.keys() | actual.keys()):
        one, other = actual.get(key), due.get(key)
        if one == other:
            continue
        where = {"consumer": SALES, "category": key[0], "minute": f"{key[1]:%Y-%m-%dT%H:%M}"}
        if one is None or other is None:
            wrong.append(say("figures_missing" if one is None else "figures_strange", **where))
            continue
        for name in FIGURES:
            is_now, must_be = getattr(one.figures, name), getattr(other.figures, name)
            if is_now != must_be:
                wrong.append(say("figure_otherwise", **where, name=name, actual=is_now, due=must_be))
    return wrong


def _bookings(due: Mapping[str, LiveBooking], actual: Mapping[str, str]) -> list[Told]:
    wrong = []
    for booking_id in sorted(due.keys() | actual.keys()):
        text = actual.get(booking_id)
        if text is None or booking_id not in due:
            wrong.append(say("live_missing" if text is None else "live_strange", consumer=SALES, booking=booking_id))
        elif not _reads(text, due[booking_id]):
            wrong.append(say("live_otherwise", consumer=SALES, booking=booking_id))
    return wrong


def _reads(text: str, due: LiveBooking) -> bool:
    try:
        return msgspec.json.decode(text, type=LiveBooking) == due
    except msgspec.ValidationError:
        return False


async def check_received(
    connection: Connection, schedule_id: str, found: Received, head: tuple[int, int], now_ms: int
) -> list[Check]:
    """The check, where any service has taken anything. `head`: how far the journal goes, and what of it is published.

    A service may be behind for a moment; and what is not published does not concern it yet.
    """
    if not found.standings:
        return []
    seq, published_seq = head
    wrong, told = list(found.wrong), []
    for each in found.standings:
        told.append(say("consumer_at", consumer=each.consumer, version=each.version))
        if each.version > seq:
            wrong.append(say("consumer_ahead", consumer=each.consumer, version=each.version))
        if each.parked:
            parked = {"count": each.parked, "version": each.first_parked}
            wrong.append(say("consumer_parked", consumer=each.consumer, **parked))
        if each.version < min(seq, published_seq):
            behind = seq - each.version
            told[-1] = joined(told[-1], say("behind", count=behind))
            if await _is_late(connection, schedule_id, each, now_ms):
                wrong.append(say("consumer_idle", consumer=each.consumer, count=behind))
    actual = joined(*told, *([say("wrong", count=len(wrong))] if wrong else ()), by="; ")
    expected = joined(say("up_to_version", version=seq), say("and_what_follows"))
    return [checked(Name.PROJECTIONS_EQUAL_JOURNAL, expected, actual, wrong, holds=not wrong)]


async def _is_late(connection: Connection, schedule_id: str, standing: Standing, now_ms: int) -> bool:
    """Whether the next event has been there, and the service idle, for too long."""
    at_ms = await connection.fetchval(
        "SELECT at_ms FROM journal WHERE schedule_id = $1 AND seq = $2", schedule_id, standing.version + 1
    )
    return at_ms is not None and now_ms - max(at_ms, standing.moved_ms) > TAKEN_WITHIN_MS
