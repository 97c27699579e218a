"""What the journal says otherwise is not believed: it is put aside, and the real event taken."""

from __future__ import annotations

from typing import Any

import pytest

from actors.receivers.taker import retry
from engine import commands as c
from persistence.events import positions
from persistence.events.cloud_events import render
from persistence.journal import history
from persistence.journal.journal import Batch
from tests.actors.receivers.story import CONFIRMED, Story, forged, story, turn
from tests.engine.plans.houses import ANN, EVE, NOW
from tests.persistence.journal.test_journal import PLAN, SCHEDULE, ident

__all__ = ["story"]  # the fixture


async def suspects(story: Story) -> list[tuple[int, str]]:
    rows = await positions.parked(story.pool, consumer="sales/suspect", limit=200)
    return [(row.version, row.error) for row in rows]


@pytest.mark.parametrize(
    "changes",
    [
        {"data__booking__customer_id": EVE},
        {"data__booking__amount": 1},
        {"data__booking__seats": []},
        {"type": "reservation.held"},
        {"type": "something.else"},
        {"time": "2030-01-01T00:00:00.000Z"},
    ],
)
async def test_an_event_that_the_journal_says_otherwise_is_put_aside_and_the_real_one_taken(
    story: Story, changes: dict[str, Any]
) -> None:
    told = story.messages(*range(1, len(story.events) + 1))
    assert b"reservation.confirmed" in told[CONFIRMED - 1].value
    told[CONFIRMED - 1] = forged(story, CONFIRMED, **changes)
    await story.hearing.receive(told)
    assert await suspects(story) == [(CONFIRMED, "the journal says otherwise")]
    assert await story.position() == len(story.events)
    assert await story.checksum() == await story.right()


async def test_who_tells_of_what_comes_later_makes_the_service_look_and_no_more(story: Story) -> None:
    await story.hearing.receive([forged(story, CONFIRMED, data__booking__customer_id=EVE)])
    assert await story.position() == CONFIRMED
    await story.hearing.receive(story.messages(*range(1, len(story.events) + 1)))
    assert await story.checksum() == await story.right()


async def test_a_version_beyond_the_journal_moves_nothing_and_the_real_one_is_taken_when_it_comes(
    story: Story,
) -> None:
    head = len(story.events)
    beyond = forged(story, CONFIRMED, id=f"{SCHEDULE}:{head + 1}", data__version=head + 1)
    await story.hearing.receive([*story.messages(1, 2), beyond, forged(story, 2, data__version=2**62)])
    assert await story.position() == 2
    assert await suspects(story) == [
        (head + 1, "the journal does not go so far"),
        (2**62, "the journal does not go so far"),
    ]
    state = await history.state_at(story.journal, SCHEDULE, PLAN, head)
    steps = turn(state, c.HoldSeats(ident(9), ANN, ("B-2",)), NOW + 10**9)
    claim = await story.journal.claim(SCHEDULE)
    await story.journal.append(claim, PLAN, Batch(list(steps), published_seq=steps[-1].record.seq))
    story.events += [render(SCHEDULE, step.record, step.booking, PLAN) for step in steps]
    await story.hearing.receive(story.messages(head + 1))
    assert await story.position() == head + 1
    assert await story.checksum() == await story.right()


@pytest.mark.parametrize(
    "changes",
    [
        {"data__schedule_id": "not an id"},
        {"data__schedule_id": SCHEDULE.replace("-", "")},
        {"data__version": 0},
        {"data__version": -1},
        {"data__version": 2**63},
        {"data__version": 10**30},
    ],
)
async def test_what_has_no_place_is_passed_over_and_stops_nothing(story: Story, changes: dict[str, Any]) -> None:
    await story.hearing.receive([forged(story, 2, **changes), *story.messages(1, 2, 3)])
    assert await story.position() == 3


async def test_an_event_of_no_schedule_is_put_aside(story: Story) -> None:
    nowhere = ident(4711)
    await story.hearing.receive([forged(story, 2, data__schedule_id=nowhere), *story.messages(1)])
    (row,) = await positions.parked(story.pool, consumer="sales/suspect", limit=10)
    assert (row.schedule_id, row.error) == (nowhere, "there is no such schedule")
    assert await story.position() == 1


async def test_what_is_not_believed_fills_no_table_and_is_never_tried_again(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "SUSPECTS_KEPT", 3)
    head = len(story.events)
    for version in range(head + 1, head + 10):
        await story.hearing.receive([forged(story, 2, data__version=version)])
    assert [version for version, _ in await suspects(story)] == [head + 1, head + 2, head + 3]
    assert await retry(story.pool, story.service, SCHEDULE, head + 1) is None
