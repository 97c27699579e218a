"""Work that goes on to its end: what becomes of it is told to who waits, and to the log where nobody may."""

from __future__ import annotations

import asyncio
import logging

import pytest

from actors.gateway.gateway import Unavailable
from api.http.problems import Problem
from api.office import under_way
from api.office.plans import UnknownVenue
from api.office.under_way import all_ended, begun, finished
from persistence.journal.journal import JournalUnavailable, UnknownSchedule
from persistence.seats.line import Counts
from tests.api.conftest import OpenLocal, Worker, local_settings
from tests.support.sale import another_date, hold, open_sale, problem


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (Problem("booking_paid"), None),
        (UnknownSchedule("x"), None),
        (UnknownVenue("x"), None),
        (Unavailable("no answer"), logging.WARNING),
        (JournalUnavailable("away"), logging.WARNING),
        (ConnectionRefusedError("away"), logging.WARNING),
        (LookupError("a bug"), logging.ERROR),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
async def test_a_refusal_is_no_failure_and_an_outage_has_no_traceback(
    error: Exception, level: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise error

    with pytest.raises(type(error)):
        await finished(fails())
    told = [(each.levelno, each.exc_info is not None) for each in caplog.records]
    assert told == ([] if level is None else [(level, level == logging.ERROR)])


async def test_whoever_closes_what_it_needs_waits_for_what_was_begun_and_for_what_that_began() -> None:
    ended = []

    async def work(then: int) -> None:
        await asyncio.sleep(0)
        if then:
            begun(work(then - 1))
        ended.append(then)

    begun(work(2))
    await all_ended()
    assert ended == [2, 1, 0]


async def test_what_does_not_end_is_called_off_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(under_way, "LAST_STEPS_SECONDS", 0.01)

    async def lasts() -> None:
        await asyncio.Event().wait()

    task = begun(lasts())
    await all_ended()
    assert task.cancelled()
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert [("lasts" in each, "called off" in each) for each in told] == [(True, True)]


async def test_a_worker_that_stops_ends_what_it_has_begun_before_it_closes_anything(
    database_url: str, redis_url: str, open_local: OpenLocal
) -> None:
    async with open_local(local_settings(database_url, redis_url)) as worker:
        line = worker.office.line

        async def counted() -> Counts:
            await asyncio.sleep(0)
            return await line.counts("nothing")

        task = begun(counted())
    assert await task == Counts(waiting=0, shopping=0)


async def test_a_move_to_a_schedule_that_is_not_there_is_refused_and_nothing_is_logged_as_a_failure(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    gone = await another_date(worker.http, sale)
    away = await worker.http.delete(f"/v1/schedules/{gone.schedule_id}", headers=sale.organizer)
    assert away.status_code == 204
    for nowhere in ("0199f3a0-0000-7000-8000-000000000000", gone.schedule_id):
        wish = {"schedule_id": nowhere, "seats": ["A-1"]}
        answer = await worker.http.patch(f"/v1/bookings/{booking['id']}", json=wish, headers=customer)
        problem(answer, 404, "schedule_not_found")
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
