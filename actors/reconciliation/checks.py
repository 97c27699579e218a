"""What an examination says: named checks, each with what was expected, what was found, and who is to blame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec
from msgspec import UNSET, Struct, UnsetType

from persistence.reconciliation.told import Part, Told, named, say

OFFENDERS_SHOWN = 20


class Name(StrEnum):
    """Every check there is. Stable: what repair, alarms and an admin's habits go by; only ever added to."""

    JOURNAL_IS_WHOLE = "journal_is_whole"
    MEMORY_EQUALS_JOURNAL = "memory_equals_journal"
    SNAPSHOT_EQUALS_JOURNAL = "snapshot_equals_journal"
    SEAT_MAP_EQUALS_JOURNAL = "seat_map_equals_journal"
    SCHEDULE_EQUALS_JOURNAL = "schedule_equals_journal"
    BOOKINGS_EQUAL_JOURNAL = "bookings_equal_journal"
    PAYMENTS_EQUAL_JOURNAL = "payments_equal_journal"
    CANCELLATIONS_EQUAL_JOURNAL = "cancellations_equal_journal"
    REFUNDS_EQUAL_JOURNAL = "refunds_equal_journal"
    SEATS_SOLD_ONCE = "seats_sold_once"
    SOLD_SEATS_EQUAL_BOOKINGS = "sold_seats_equal_bookings"
    MONEY_IS_CONSERVED = "money_is_conserved"
    PAYMENTS_HAVE_AN_OUTCOME = "payments_have_an_outcome"
    REFUNDS_ARE_PAID_OUT = "refunds_are_paid_out"
    HOLDS_END_IN_TIME = "holds_end_in_time"
    PUBLISHED_EQUALS_HEAD = "published_equals_head"
    EVENTS_EQUAL_JOURNAL = "events_equal_journal"
    PROVIDER_BOOKS_AGREE = "provider_books_agree"
    PROJECTIONS_EQUAL_JOURNAL = "projections_equal_journal"
    CAN_BE_EXAMINED = "can_be_examined"
    AUDIT_LOG_IS_WHOLE = "audit_log_is_whole"


def equal_journal(table: str) -> Name:
    """The check that a table's rows are as the journal says."""
    return Name(f"{table}_equal_journal")


class CheckParts(Struct, frozen=True, kw_only=True):
    """What the sentences of a check are made of, for whoever says them in another language."""

    expected: tuple[Part, ...]
    actual: tuple[Part, ...]
    offenders: tuple[tuple[Part, ...], ...]


class Check(Struct, frozen=True, kw_only=True):
    """One thing that must hold."""

    name: str  # a `Name`; a stored finding may bear one that is no longer given
    holds: bool
    expected: str
    actual: str
    offenders: tuple[str, ...] = ()  # the first of them
    parts: CheckParts | UnsetType = UNSET  # of what does not hold: what holds nobody reads


class Report(Struct, frozen=True, kw_only=True):
    """All checks of a schedule at one version."""

    schedule_id: str
    version: int
    checked_ms: int
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    @property
    def failing(self) -> frozenset[str]:
        """The names of the checks that do not hold."""
        return frozenset(check.name for check in self.checks if not check.holds)


def checked(
    name: Name, expected: Told, actual: Told, offenders: Iterable[Told] = (), *, holds: bool | None = None
) -> Check:
    """A check that holds if what was found is what was expected and nobody is to blame, unless told otherwise."""
    first = tuple(offenders)
    if holds is None:
        holds = expected == actual and not first
    first = first[:OFFENDERS_SHOWN]
    parts = CheckParts(
        expected=expected.parts, actual=actual.parts, offenders=tuple(offender.parts for offender in first)
    )
    return Check(
        name=name,
        holds=holds,
        expected=str(expected),  # a text and no more, as it is kept and sent
        actual=str(actual),
        offenders=tuple(map(str, first)),
        parts=UNSET if holds else parts,
    )


def none_of(name: Name, offenders: Sequence[str]) -> Check:
    """A check that holds if there are no offenders."""
    found = named(len(offenders)) if offenders else say("none")
    return checked(name, say("none"), found, map(named, offenders))


def prefixed(check: Check, number: int, beginning: Told) -> Check:
    """The check with one of its offenders told with something before it."""
    offenders = list(check.offenders)
    offenders[number] = f"{beginning}: {offenders[number]}"
    parts = check.parts
    if not isinstance(parts, UnsetType):
        of_each = list(parts.offenders)
        of_each[number] = (*beginning.parts, *of_each[number])
        parts = msgspec.structs.replace(parts, offenders=tuple(of_each))
    return msgspec.structs.replace(check, offenders=tuple(offenders), parts=parts)
