"""A place in a waiting room as its account sees it: how many are ahead, for about how long, when to look again."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct, field

from persistence.database.moments import rfc3339
from persistence.seats.line import PASS_MS, Doors, Standing

MIN_LOOK_SECONDS, MAX_LOOK_SECONDS = 1, 15
LOOKS = 4  # of somebody while they wait, or more where that takes minutes


class QueuePlaceView(Struct, frozen=True, kw_only=True):
    """A place in the line before a schedule.

    `position`, `ahead` and `estimated_wait_seconds` are null before the sale opens, when places are drawn by lot, and
    once one is admitted; `estimated_wait_seconds` also while every place is held or sold: nobody is let in before one
    comes back, and nobody knows when. `pass` goes into the `Queue-Pass` of whatever holds seats; it is null while one
    waits, and where none is needed: the schedule has no waiting room, or a box office asks.
    """

    ticket: str
    schedule_id: str
    status: Annotated[str, Meta(description="`waiting` or `admitted`", examples=["waiting"])]
    position: int | None
    ahead: int | None
    waiting: Annotated[int, Meta(description="How many stand in line.")]
    estimated_wait_seconds: int | None
    look_again_seconds: int
    opens_at: str | None
    queue_pass: str | None = field(name="pass")
    pass_expires_at: str | None


QUEUE_EXAMPLE = {
    "ticket": "AZnznBHSeg-MjlHQx7mgEUJ5-HbQoAAA6mHkXo1-4tpxb0n7mZyUDg",
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "status": "waiting",
    "position": 1_841,
    "ahead": 1_840,
    "waiting": 9_206,
    "estimated_wait_seconds": 37,
    "look_again_seconds": 9,
    "opens_at": "2026-12-01T05:00:00.000+00:00",
    "pass": None,
    "pass_expires_at": None,
}
ADMITTED_EXAMPLE = QUEUE_EXAMPLE | {
    "status": "admitted",
    "position": None,
    "ahead": None,
    "estimated_wait_seconds": None,
    "look_again_seconds": MAX_LOOK_SECONDS,
    "pass": "AAABm2gR4nDq0c4xwYV7mZkQdH3B5v2s",
    "pass_expires_at": "2026-12-01T05:10:37.204+00:00",
}


def estimated_wait_seconds(ahead: int, standing: Standing, doors: Doors) -> int | None:
    """About how long somebody waits with so many ahead: free places are filled as fast as may be, and then people come
    in as fast as lately, or at least as fast as passes end. None while nobody may be in."""
    if doors.shopping_at_once == 0:
        return None
    free = max(0, doors.shopping_at_once - standing.shopping)
    slowest = doors.shopping_at_once * 1000 / PASS_MS
    lately = min(doors.admitted_per_second, max(standing.flow, slowest))
    at_once = min(ahead + 1, free)
    return math.ceil(at_once / doors.admitted_per_second + (ahead + 1 - at_once) / lately)


def look_again_seconds(standing: Standing, doors: Doors, wait_seconds: int | None) -> int:
    """When to look again: often enough to be in time, and seldom enough that looking costs nobody anything."""
    if standing.now_ms < doors.opens_ms:
        wanted = math.ceil((doors.opens_ms - standing.now_ms) / 1000)
    else:
        wanted = MAX_LOOK_SECONDS if wait_seconds is None else wait_seconds // LOOKS
    return min(MAX_LOOK_SECONDS, max(MIN_LOOK_SECONDS, wanted))


def queue_place_view(
    schedule_id: str, ticket: str, standing: Standing, doors: Doors, queue_pass: str | None
) -> QueuePlaceView:
    """Somebody's place as it is now; `queue_pass` is for whoever is in."""
    ahead = None if standing.now_ms < doors.opens_ms else standing.ahead
    wait_seconds = None if ahead is None else estimated_wait_seconds(ahead, standing, doors)
    return QueuePlaceView(
        ticket=ticket,
        schedule_id=schedule_id,
        status="admitted" if standing.ahead is None else "waiting",
        position=None if ahead is None else ahead + 1,
        ahead=ahead,
        waiting=standing.waiting,
        estimated_wait_seconds=wait_seconds,
        look_again_seconds=look_again_seconds(standing, doors, wait_seconds),
        opens_at=rfc3339(doors.opens_ms) if doors.opens_ms else None,
        queue_pass=queue_pass,
        pass_expires_at=None if queue_pass is None or standing.pass_ends_ms is None else rfc3339(standing.pass_ends_ms),
    )
