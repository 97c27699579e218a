"""What `boxoffice events tail` follows: what happens from now on, without reading all that ever happened."""

from __future__ import annotations

import asyncio

import pytest

from api.command_line import events_report
from api.command_line.events_report import tail
from persistence.journal import heads
from persistence.journal.placement import OneMachine, Placement
from tests.api.conftest import Worker
from tests.support.sale import hold, open_sale
from tests.support.waiting import PATIENCE_SECONDS


async def test_whatever_begins_to_move_is_followed(fresh_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that rested when it began, and one that was not there."""
    monkeypatch.setattr(events_report, "FOLLOW_SECONDS", 0.01)
    old = await open_sale(fresh_worker.http)
    await fresh_worker.as_superuser("UPDATE schedule_heads SET resting = true")
    began, reads = asyncio.Event(), []
    not_resting, of_all = heads.not_resting, heads.of_all

    async def counted(pool: object, *arguments: object) -> object:
        reads.append(arguments)
        return await of_all(pool, *arguments)  # type: ignore[arg-type]  # handed on as they are

    async def awake(pool: object) -> object:
        began.set()
        return await not_resting(pool)  # type: ignore[arg-type]  # handed on as it is

    monkeypatch.setattr(heads, "of_all", counted)
    monkeypatch.setattr(heads, "not_resting", awake)
    settings = fresh_worker.office.settings
    told: list[str] = []

    async def follow() -> None:
        async for line in tail(settings, None, None, follow=True):
            told.append(line)
            if len({each.split()[2] for each in told}) == 2:
                return

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await began.wait()
        await Placement(fresh_worker.office.pool, OneMachine(1)).host_of(old.schedule_id)  # as its first request does
        customer = await fresh_worker.sign_up()
        await hold(fresh_worker.http, old, customer, old.seats[0])
        new = await open_sale(fresh_worker.http)
        await hold(fresh_worker.http, new, customer, new.seats[0])
    assert {each.split()[2] for each in told} == {old.schedule_id, new.schedule_id}, told
    assert len(reads) == 2, "once to know how far each stands, and once to tell of what has happened since"
