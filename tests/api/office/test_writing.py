"""Slow writes: one account waits for itself, and nobody waits for something far away with a connection in hand."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from api.http.problems import Problem
from api.office.writing import AT_ONCE_PER_ACCOUNT, WAITING_PER_ACCOUNT
from engine.commands import Expire
from persistence.catalogue import venues
from tests.api.conftest import Worker
from tests.support.sale import open_sale, problem, until
from tests.support.waiting import PATIENCE_SECONDS


async def test_an_account_writes_so_much_at_once_and_others_do_not_wait_for_it(worker: Worker) -> None:
    writing, go_on, begun = worker.office.writing, asyncio.Event(), 0

    async def write(account: str) -> None:
        nonlocal begun
        async with writing.begin(account):
            begun += 1
            await go_on.wait()

    room = AT_ONCE_PER_ACCOUNT + WAITING_PER_ACCOUNT
    mine = [asyncio.create_task(write("ann")) for _ in range(room)]
    await until(lambda: begun == AT_ONCE_PER_ACCOUNT)
    with pytest.raises(Problem) as refused:
        await write("ann")
    assert (refused.value.code, refused.value.facts) == ("rate_limited", {"retry_after": 2})
    another = asyncio.create_task(write("bob"))
    await until(lambda: begun == AT_ONCE_PER_ACCOUNT + 1)
    go_on.set()
    await asyncio.gather(*mine, another)
    assert begun == room + 1
    assert not writing._writing
    assert not writing._places


async def test_forty_changes_at_once_leave_connections_to_everybody_else(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    url = f"/v1/schedules/{sale.schedule_id}"
    changes = [
        asyncio.create_task(worker.http.patch(url, json={"hold_seconds": 60 + number}, headers=sale.organizer))
        for number in range(40)
    ]
    for _ in range(20):
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await worker.http.get("/v1/bookings", headers=customer)).status_code == 200
    answers = await asyncio.gather(*changes)
    changed = [answer for answer in answers if answer.status_code == 200]
    assert len(changed) >= WAITING_PER_ACCOUNT
    for answer in answers:
        if answer.status_code != 200:
            assert problem(answer, 429, "rate_limited")["retry_after"] == 2
    assert (await worker.http.get(url)).json()["hold_seconds"] in range(60, 100)


async def test_a_call_to_an_owner_with_a_connection_in_hand_is_a_bug_that_raises(worker: Worker) -> None:
    office, sale = worker.office, await open_sale(worker.http)
    async with office.database.connect():
        with pytest.raises(AssertionError, match="held across a call to a schedule's owner"):
            await office.gateway.send(sale.schedule_id, Expire(), request_id="")
        with pytest.raises(AssertionError, match="held across waiting for a second one"):
            async with office.writing.transaction():
                raise AssertionError("there was a second one")
        with pytest.raises(AssertionError, match="held across reading a schedule's seats"):
            await office.seat_views.view(sale.schedule_id)
    await office.gateway.send(sale.schedule_id, Expire(), request_id="")  # given back: nothing is held


async def test_a_lock_is_not_waited_for_without_end(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    async with worker.office.database.begin() as connection:
        await venues.lock_venue(connection, sale.venue_id)
        rename = asyncio.create_task(
            worker.http.patch(f"/v1/venues/{sale.venue_id}", json={"name": "Other"}, headers=sale.organizer)
        )
        answer = await rename
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert (await connection.execute(sa.text("SHOW lock_timeout"))).scalar_one() == "4s"
