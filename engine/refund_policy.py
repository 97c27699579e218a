"""What a customer gets back for a seat given up: all of it, less a fee that grows as the performance comes near.

Exact to what can be paid: the fee is reckoned seat by seat and rounded down, so that refunds of single seats add up to
the refund of all of them, and whoever gives a seat up never pays a fraction more than the percentage says.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

MINUTE_MS = 60 * 1000
DAY_MS = 24 * 60 * MINUTE_MS

# What cards can be charged and given in these is no single minor unit: of a thousandth the last digit is 0, and the
# fifths of an ariary, which are written as hundredths, are gone from use.
STEPS = {**dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 10), "MGA": 100}


class RefundStep(Struct, frozen=True, array_like=True):
    """Until so many days before the start, this is what giving a seat up costs."""

    days_before: int  # calendar days where it is played, each to its end; 0: until the start
    fee_percent: int  # of the seat's price, 0 to 100


# How many minutes the clocks of the venue are ahead of UTC, since when: of the year before the start. Empty in terms
# that were made before venues had time zones, for which a day is 24 hours, counted back from the start.
Clocks = tuple[tuple[int, int], ...]
RefundPolicy = tuple[RefundStep, ...]  # from the earliest to the latest; empty: a paid seat is final

# The scale that ticket agencies in Korea use: free until 10 days before, then 10, 20 and 30 %, nothing from the start.
DEFAULT_POLICY: RefundPolicy = (RefundStep(10, 0), RefundStep(7, 10), RefundStep(3, 20), RefundStep(0, 30))


def fee_percent(policy: RefundPolicy, starts_at_ms: int, now_ms: int, clocks: Clocks = ()) -> int | None:
    """What giving a seat up costs at this moment; None where it is too late for that."""
    if now_ms >= starts_at_ms:
        return None
    steps = deadlines(policy, starts_at_ms, clocks)
    return next((percent for until_ms, percent in steps if now_ms <= until_ms), None)


def deadlines(policy: RefundPolicy, starts_at_ms: int, clocks: Clocks = ()) -> list[tuple[int, int]]:
    """Until when giving a seat up costs how many percent, step by step."""
    return [(_deadline_ms(step.days_before, starts_at_ms, clocks), step.fee_percent) for step in policy]


def last_moment_ms(policy: RefundPolicy, starts_at_ms: int, clocks: Clocks = ()) -> int | None:
    """Until when a seat can be given up at all; None where it never can."""
    return _deadline_ms(policy[-1].days_before, starts_at_ms, clocks) if policy else None


def _deadline_ms(days_before: int, starts_at_ms: int, clocks: Clocks) -> int:
    """The end of the day that lies so many days before the start, as the clocks there tell days; 0: the start."""
    if not clocks or not days_before:
        return starts_at_ms - days_before * DAY_MS
    shown = starts_at_ms + _ahead_ms(clocks, lambda minutes: starts_at_ms)
    midnight = shown - shown % DAY_MS - (days_before - 1) * DAY_MS
    return midnight - _ahead_ms(clocks, lambda ahead_ms: midnight - ahead_ms)


def _ahead_ms(clocks: Clocks, at_ms: Callable[[int], int]) -> int:
    """How far the clocks are ahead of UTC at a moment that may itself depend on it."""
    for since_ms, minutes in reversed(clocks):
        if at_ms(minutes * MINUTE_MS) >= since_ms:
            return minutes * MINUTE_MS
    return clocks[0][1] * MINUTE_MS


def step_of(currency: str) -> int:
    """What prices and what goes back are whole multiples of, in minor units."""
    return STEPS.get(currency, 1)


def fee_of(price: int, percent: int, step: int = 1) -> int:
    """The fee for one seat, in minor units, rounded down: to whole steps, where the price is made of them."""
    fee = price * percent // 100
    return fee if price % step else fee - fee % step
