"""What an answer to a hold says of its schedule is looked up for many at a time, and for none twice in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.office.booked import KEPT_SECONDS, BookedSchedules
from persistence.bookings.booked_schedules import BookedSchedule

NAMES = [f"schedule-{number}" for number in range(50)]


class Counted(BookedSchedules):
    """Notes what is read, and each reading takes until it is let."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(cast(AsyncEngine, None), now=lambda: self.now)
        self.readings: list[set[str]] = []
        self.unknown: set[str] = set()
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, ids: Collection[str]) -> dict[str, BookedSchedule]:
        self.readings.append(set(ids))
        await self.gate.wait()
        if self.away:
            raise ConnectionRefusedError
        return {name: cast(BookedSchedule, f"{name} at {self.now}") for name in ids if name not in self.unknown}


async def test_what_is_missed_at_the_same_time_is_read_together() -> None:
    booked = Counted()
    found = await asyncio.gather(*(booked.known(name) for name in NAMES))
    assert [str(each) for each in found] == [f"{name} at 0.0" for name in NAMES]
    assert booked.readings == [set(NAMES)]


async def test_what_is_missed_during_a_reading_is_read_in_the_next() -> None:
    booked = Counted()
    booked.gate.clear()
    first = asyncio.create_task(booked.known(NAMES[0]))
    while not booked.readings:
        await asyncio.sleep(0)
    others = asyncio.gather(*(booked.known(name) for name in NAMES))
    await asyncio.sleep(0)
    booked.gate.set()
    await asyncio.gather(first, others)
    assert booked.readings == [{NAMES[0]}, set(NAMES[1:])]


async def test_it_is_read_again_after_some_seconds_and_what_is_not_there_harms_no_other() -> None:
    booked = Counted()
    booked.unknown = {NAMES[1]}
    assert [str(await booked.known(NAMES[0])), await booked.known(NAMES[1])] == [f"{NAMES[0]} at 0.0", None]
    booked.now = KEPT_SECONDS
    assert str(await booked.known(NAMES[0])) == f"{NAMES[0]} at {KEPT_SECONDS}"


async def test_while_it_cannot_be_read_it_is_as_it_was_last() -> None:
    """Also that a date has a waiting room: nobody comes past it by the database's being away for a moment."""
    booked = Counted()
    await booked.known(NAMES[0])
    booked.now, booked.away = 10 * KEPT_SECONDS, True
    assert [str(await booked.known(NAMES[0])), await booked.known(NAMES[1])] == [f"{NAMES[0]} at 0.0", None]


async def test_news_of_what_is_known_is_not_waited_for_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.office.booked.PATIENCE_SECONDS", 0.0)
    booked = Counted()
    before = await booked.known(NAMES[0])
    booked.now += KEPT_SECONDS
    booked.gate.clear()  # a connection that sends into the void
    assert await booked.known(NAMES[0]) == before
    unknown = asyncio.create_task(booked.known(NAMES[1]))
    booked.gate.set()
    assert str(await unknown) == f"{NAMES[1]} at {KEPT_SECONDS}"
