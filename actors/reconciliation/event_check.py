"""Whether what is on Kafka of a schedule is its journal: every version, in order, saying the same.

Reads the whole topic, so it is done when asked for and not continuously. A consumer drops what it has seen; so
repetitions are allowed, and the versions are in order if 1, 2, 3 … can be read off one after another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from actors.reconciliation.checks import Check, Name, Report, checked
from actors.reconciliation.reconciler import Reconciler
from engine.events import Record
from engine.state import ScheduleState, apply
from persistence.events.cloud_events import EventError, decode, render
from persistence.events.log import EventLog, LogUnavailable, Message
from persistence.journal import heads
from persistence.journal.history import know_plans
from persistence.journal.journal import Journal
from persistence.reconciliation.told import Told, joined, say

CHUNK = 500  # records rendered at a time


class Topic(Struct):
    """One schedule's events as they are in the log."""

    said: dict[int, bytes]  # version → what its first event says
    in_order: int  # up to this version they can be read off one after another
    unreadable: list[Told]
    repeated: int


class Comparison(Struct, frozen=True):
    """What came of it."""

    check: Check
    missing_from: int | None  # the first version that is not there, or not after the one it follows
    differing: tuple[int, ...]


async def compare_events(reconciler: Reconciler, log: EventLog, schedule_id: str, published_seq: int) -> Comparison:
    """The log against the journal, up to the watermark and whatever is there beyond it. Raises `LogUnavailable`.

    `published_seq` was read before: what it covers must be there, what is there beyond it must be right.
    """
    messages = await log.read_all(schedule_id)
    topic = await asyncio.to_thread(_read, messages)
    last = max(published_seq, max(topic.said, default=0))
    state = ScheduleState(await reconciler.journal.plan(schedule_id))
    differing = await _differing(reconciler.journal, schedule_id, state, last, topic.said)
    missing = [version for version in range(1, published_seq + 1) if version not in topic.said]
    wrong = [say("event_missing", version=version) for version in missing]
    if topic.in_order < published_seq and topic.in_order + 1 in topic.said:
        wrong.insert(0, say("event_out_of_order", version=topic.in_order + 1, before=topic.in_order))
    wrong += [say("event_otherwise", version=version) for version in differing]
    wrong += topic.unreadable
    actual = joined(
        say("events_there", there=published_seq - len(missing), all=published_seq),
        say("events_repeated", count=topic.repeated),
        *([say("events_differ", count=len(differing))] if differing else ()),
    )
    if missing and missing[-1] == len(missing):
        actual = joined(actual, say("topic_begins_after", version=missing[-1]), by="; ")
    check = checked(
        Name.EVENTS_EQUAL_JOURNAL,
        say("versions_in_order", version=published_seq),
        actual,
        wrong,
        holds=not wrong,
    )
    return Comparison(check, topic.in_order + 1 if topic.in_order < published_seq else None, tuple(differing))


async def with_events(report: Report, pool: Any, reconciler: Reconciler, log: EventLog) -> Report:
    """The report, and whether the log agrees with the journal. A log that is away is said to be.

    A journal that cannot be replayed has nothing to be compared with.
    """
    if Name.JOURNAL_IS_WHOLE in report.failing:
        return report
    published_seq = (await heads.of_schedule(pool, report.schedule_id)).announced
    try:
        check = (await compare_events(reconciler, log, report.schedule_id, published_seq)).check
    except LogUnavailable as error:
        check = checked(
            Name.EVENTS_EQUAL_JOURNAL,
            say("versions_in_order", version=published_seq),
            say("unreadable_now", error=error),
        )
    return msgspec.structs.replace(report, checks=(*report.checks, check))


def _read(messages: Sequence[Message]) -> Topic:
    topic = Topic({}, 0, [], 0)
    for message in messages:
        try:
            version = decode(message.value).data.version
        except EventError as error:
            where = {"partition": message.partition, "offset": message.offset}
            topic.unreadable.append(say("event_unreadable", **where, error=error))
            continue
        topic.repeated += version in topic.said
        topic.said.setdefault(version, message.value)
        topic.in_order += version == topic.in_order + 1
    return topic


async def _differing(
    journal: Journal, schedule_id: str, state: ScheduleState, last: int, said: Mapping[int, bytes]
) -> list[int]:
    """The versions of which the log says something else than the journal, or of which the journal knows nothing."""
    differing: list[int] = []
    while state.seq < last and (records := await journal.read(schedule_id, state.seq, min(CHUNK, last - state.seq))):
        await know_plans(journal, schedule_id, state, records)
        differing += await asyncio.to_thread(_unlike, schedule_id, state, records, said)
    return [*differing, *sorted(version for version in said if not 1 <= version <= state.seq)]


def _unlike(schedule_id: str, state: ScheduleState, records: Sequence[Record], said: Mapping[int, bytes]) -> list[int]:
    unlike = []
    for record in records:
        due, event = render(schedule_id, record, apply(state, record), state.plan), said.get(record.seq)
        if event not in (None, due) and not _agree(msgspec.json.decode(event), msgspec.json.decode(due)):
            unlike.append(record.seq)
    state.dirty.clear()
    state.touched.clear()
    return unlike


def _agree(one: Any, other: Any) -> bool:
    """Whether two events say the same as far as both say it: another release may know more fields, or fewer."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_agree(one[name], other[name]) for name in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_agree, one, other))
    return bool(one == other)
