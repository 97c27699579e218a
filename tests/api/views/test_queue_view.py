"""What somebody in line is told: how long it takes, and when to look again."""

from __future__ import annotations

import msgspec
import pytest

from api.views.queue import estimated_wait_seconds, look_again_seconds, queue_place_view
from persistence.seats.line import Doors, Standing

OPENS = 1_800_000_000_000
DOORS = Doors(opens_ms=OPENS, closes_ms=OPENS + 10**9, admitted_per_second=50, shopping_at_once=1_000)


def standing(ahead: int | None = None, *, seconds: float = 60, shopping: int = 0, flow: float = 10) -> Standing:
    """Somebody's, so long after the opening."""
    return Standing(
        now_ms=OPENS + round(seconds * 1000),
        score=0.5,
        ahead=ahead,
        pass_ends_ms=None,
        waiting=0,
        shopping=shopping,
        flow=flow,
    )


@pytest.mark.parametrize(
    ("ahead", "shopping", "flow", "seconds"),
    [
        (0, 0, 10, 1),
        (999, 0, 10, 20),  # there is room for all of them
        (1_000, 0, 10, 21),  # and the next one waits for somebody to go
        (1_999, 0, 10, 120),
        (99, 1_000, 10, 10),
        (99, 1_000, 1_000, 2),  # nobody is let in faster than may be
        (99, 1_000, 0, 60),  # nor more slowly than passes end
    ],
)
def test_the_wait_is_reckoned_by_the_room_there_is_and_how_fast_people_came_in_lately(
    ahead: int, shopping: int, flow: float, seconds: int
) -> None:
    assert estimated_wait_seconds(ahead, standing(ahead, shopping=shopping, flow=flow), DOORS) == seconds


def test_nobody_knows_how_long_it_takes_while_nobody_may_be_in_and_all_look_seldom() -> None:
    for flow in (0.0, 10.0):  # long ago or just now
        doors = msgspec.structs.replace(DOORS, shopping_at_once=0)
        place = queue_place_view("schedule", "ticket", standing(0, shopping=1, flow=flow), doors, None)
        assert (place.position, place.estimated_wait_seconds, place.look_again_seconds) == (1, None, 15)


@pytest.mark.parametrize(
    ("after_the_opening", "wait_seconds", "look_again"),
    [(-3_600, None, 15), (-7.2, None, 8), (-0.001, None, 1), (0, 3, 1), (0, 40, 10), (0, 4_000, 15), (0, None, 15)],
)
def test_one_looks_again_in_time_and_not_too_often(
    after_the_opening: float, wait_seconds: int | None, look_again: int
) -> None:
    assert look_again_seconds(standing(0, seconds=after_the_opening), DOORS, wait_seconds) == look_again


def test_before_the_opening_nobody_is_told_a_place() -> None:
    place = queue_place_view("schedule", "ticket", standing(7, seconds=-1), DOORS, None)
    assert (place.status, place.ahead, place.position, place.estimated_wait_seconds) == ("waiting", None, None, None)
    place = queue_place_view("schedule", "ticket", standing(7, seconds=0), DOORS, None)
    assert (place.status, place.ahead, place.position) == ("waiting", 7, 8)
