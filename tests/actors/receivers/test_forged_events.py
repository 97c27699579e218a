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
from tests.actors.receivers.story import CONFIRMED, House, forged, house, turn
from tests.engine.plans.houses import ANN, EVE, NOW
from tests.persistence.journal.test_journal import PLAN, SCHEDULE, ident

__all__ = ["house"]  # the fixture


async def suspects(house: House) -> list[tuple[int, str]]:
    rows = await positions.parked(house.pool, consumer="sales/suspect", limit=200)
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
    house: House, changes: dict[str, Any]
) -> None:
    told = house.messages(*range(1, len(house.events) + 1))
    assert b"reservation.confirmed" in told[CONFIRMED - 1].value
    told[CONFIRMED - 1] = forged(house, CONFIRMED, **changes)
    await house.hearing.receive(told)
    assert await suspects(house) == [(CONFIRMED, "the journal says otherwise")]
    assert await house.position() == len(house.events)
    assert await house.checksum() == await house.right()


async def test_who_tells_of_what_comes_later_makes_the_service_look_and_no_more(house: House) -> None:
    await house.hearing.receive([forged(house, CONFIRMED, data__booking__customer_id=EVE)])
    assert await house.position() == CONFIRMED
    await house.hearing.receive(house.messages(*range(1, len(house.events) + 1)))
    assert await house.checksum() == await house.right()


async def test_a_version_beyond_the_journal_moves_nothing_and_the_real_one_is_taken_when_it_comes(
    house: House,
) -> None:
    head = len(house.events)
    beyond = forged(house, CONFIRMED, id=f"{SCHEDULE}:{head + 1}", data__version=head + 1)
    await house.hearing.receive([*house.messages(1, 2), beyond, forged(house, 2, data__version=2**62)])
    assert await house.position() == 2
    assert await suspects(house) == [
        (head + 1, "the journal does not go so far"),
        (2**62, "the journal does not go so far"),
    ]
    state = await history.state_at(house.journal, SCHEDULE, PLAN, head)
    steps = turn(state, c.HoldSeats(ident(9), ANN, ("B-2",)), NOW + 10**9)
    claim = await house.journal.claim(SCHEDULE)
    await house.journal.append(claim, PLAN, Batch(list(steps), published_seq=steps[-1].record.seq))
    house.events += [render(SCHEDULE, step.record, step.booking, PLAN) for step in steps]
    await house.hearing.receive(house.messages(head + 1))
    assert await house.position() == head + 1
    assert await house.checksum() == await house.right()


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
async def test_what_has_no_place_is_passed_over_and_stops_nothing(house: House, changes: dict[str, Any]) -> None:
    await house.hearing.receive([forged(house, 2, **changes), *house.messages(1, 2, 3)])
    assert await house.position() == 3


async def test_an_event_of_no_schedule_is_put_aside(house: House) -> None:
    nowhere = ident(4711)
    await house.hearing.receive([forged(house, 2, data__schedule_id=nowhere), *house.messages(1)])
    (row,) = await positions.parked(house.pool, consumer="sales/suspect", limit=10)
    assert (row.schedule_id, row.error) == (nowhere, "there is no such schedule")
    assert await house.position() == 1


async def test_what_is_not_believed_fills_no_table_and_is_never_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "SUSPECTS_KEPT", 3)
    head = len(house.events)
    for version in range(head + 1, head + 10):
        await house.hearing.receive([forged(house, 2, data__version=version)])
    assert [version for version, _ in await suspects(house)] == [head + 1, head + 2, head + 3]
    assert await retry(house.pool, house.service, SCHEDULE, head + 1) is None
