"""What an examination says: named checks, each with what was expected, what was found, and who is to blame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

OFFENDERS_SHOWN = 20


class Check(Struct, frozen=True, kw_only=True):
    """One thing that must hold."""

    name: str  # stable: what `repair` and alarms go by
    holds: bool
    expected: str
    actual: str
    offenders: tuple[str, ...] = ()  # the first of them


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
    name: str, expected: str, actual: str, offenders: Iterable[str] = (), *, holds: bool | None = None
) -> Check:
    """A check that holds if what was found is what was expected and nobody is to blame, unless told otherwise."""
    first = tuple(offenders)
    if holds is None:
        holds = expected == actual and not first
    return Check(name=name, holds=holds, expected=expected, actual=actual, offenders=first[:OFFENDERS_SHOWN])


def none_of(name: str, offenders: Sequence[str]) -> Check:
    """A check that holds if there are no offenders."""
    return checked(name, "none", str(len(offenders)) if offenders else "none", offenders)
