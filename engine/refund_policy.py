"""What a customer gets back for a seat given up: all of it, less a fee that grows as the performance comes near.

Exact to the minor unit: the fee is reckoned seat by seat and rounded down, so that refunds of single seats add up to
the refund of all of them, and whoever gives a seat up never pays a fraction more than the percentage says.
"""

from __future__ import annotations

from msgspec import Struct

DAY_MS = 24 * 60 * 60 * 1000


class RefundStep(Struct, frozen=True, array_like=True):
    """Until so many days before the start, this is what giving a seat up costs."""

    days_before: int  # of 24 hours each, counted back from the start
    fee_percent: int  # of the seat's price, 0 to 100


RefundPolicy = tuple[RefundStep, ...]  # from the earliest to the latest; empty: a paid seat is final

# The scale that ticket agencies in Korea use: free until 10 days before, then 10, 20 and 30 %, nothing from the start.
DEFAULT_POLICY: RefundPolicy = (RefundStep(10, 0), RefundStep(7, 10), RefundStep(3, 20), RefundStep(0, 30))


def fee_percent(policy: RefundPolicy, starts_at_ms: int, now_ms: int) -> int | None:
    """What giving a seat up costs at this moment; None where it is too late for that."""
    left_ms = starts_at_ms - now_ms
    if left_ms <= 0:
        return None
    return next((step.fee_percent for step in policy if left_ms >= step.days_before * DAY_MS), None)


def deadlines(policy: RefundPolicy, starts_at_ms: int) -> list[tuple[int, int]]:
    """Until when giving a seat up costs how many percent, step by step."""
    return [(starts_at_ms - step.days_before * DAY_MS, step.fee_percent) for step in policy]


def last_moment_ms(policy: RefundPolicy, starts_at_ms: int) -> int | None:
    """Until when a seat can be given up at all; None where it never can."""
    return starts_at_ms - policy[-1].days_before * DAY_MS if policy else None


def fee_of(price: int, percent: int) -> int:
    """The fee for one seat, in minor units, rounded down."""
    return price * percent // 100
