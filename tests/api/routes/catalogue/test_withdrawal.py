"""A deleted schedule over HTTP: gone for everybody, at once, whatever state its sale was in; and gone as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
import sqlalchemy as sa

from actors.gateway.telling import Telling
from engine.events import Withdrawn, decode_event
from persistence.database.tables import journal, schedule_heads, schedules
from persistence.journal import overruling
from tests.api.conftest import Worker
from tests.support.sale import Sale, hold, open_sale, paid_booking, problem, refund, sign_up
from tests.support.waiting import PATIENCE_SECONDS

READS = ("", "/seats", "/availability", "/layout", "/states", "/stream")


async def delete(worker: Worker, sale: Sale, what: str = "schedules") -> httpx.Response:
    its_id = sale.schedule_id if what == "schedules" else sale.performance_id
    return await worker.http.delete(f"/v1/{what}/{its_id}", headers=sale.organizer)


async def never_opened(worker: Worker) -> Sale:
    return await open_sale(worker.http, sale_opens_at=(datetime.now(UTC) + timedelta(days=1)).isoformat())


async def on_sale(worker: Worker) -> Sale:
    return await open_sale(worker.http)


async def closed(worker: Worker) -> Sale:
    sale = await open_sale(worker.http)
    return await changed(worker, sale, sale_closes_at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())


async def moved(worker: Worker) -> Sale:
    sale = await open_sale(worker.http)
    return await changed(worker, sale, starts_at=(sale.starts_at + timedelta(hours=1)).isoformat())


async def cancelled(worker: Worker) -> Sale:
    sale = await open_sale(worker.http)
    url = f"/v1/organizer/schedules/{sale.schedule_id}/cancellation"
    assert (await worker.http.post(url, json={"reason": "ill"}, headers=sale.organizer)).status_code == 202
    return sale


async def changed(worker: Worker, sale: Sale, **wanted: Any) -> Sale:
    answer = await worker.http.patch(f"/v1/schedules/{sale.schedule_id}", json=wanted, headers=sale.organizer)
    assert answer.status_code == 200, answer.text
    return sale


STATES: list[Callable[[Worker], Awaitable[Sale]]] = [never_opened, on_sale, closed, moved, cancelled]


@pytest.mark.parametrize("what", ["schedules", "performances"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_in_every_state_of_its_sale_a_deleted_schedule_is_gone_at_once(
    worker: Worker, state: Callable[[Worker], Awaitable[Sale]], what: str
) -> None:
    sale, customer = await state(worker), await worker.sign_up()
    before = None
    if state is on_sale:  # a booking that has ended, and an owner in memory
        before = await hold(worker.http, sale, customer, "A-1")
        assert (await worker.http.delete(f"/v1/bookings/{before['id']}", headers=customer)).status_code == 201
    url = f"/v1/schedules/{sale.schedule_id}"
    for read in READS[:-1]:  # so that a worker has everything in its caches
        assert (await worker.http.get(url + read)).status_code == 200
    assert (await delete(worker, sale, what)).status_code == 204

    for read in READS:
        problem(await worker.http.get(url + read), 404, "schedule_not_found")
    for wish in ({"seats": ["A-1"]}, {"seats": ["nowhere"]}, {"quantity": 2}):
        problem(await worker.http.post(sale.bookings_url, json=wish, headers=customer), 404, "schedule_not_found")
    change = {"hold_seconds": 60}
    problem(await worker.http.patch(url, json=change, headers=sale.organizer), 404, "schedule_not_found")
    cancellation = f"/v1/organizer/schedules/{sale.schedule_id}/cancellation"
    answer = await worker.http.post(cancellation, json={"reason": "ill"}, headers=sale.organizer)
    problem(answer, 404, "schedule_not_found")
    blocks = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    answer = await worker.http.post(blocks, json={"seats": ["A-1"], "reason": "x"}, headers=sale.organizer)
    problem(answer, 404, "schedule_not_found")
    problem(await delete(worker, sale), 404, "schedule_not_found")
    if before is not None:
        booking = f"/v1/bookings/{before['id']}"
        pay = {"method": {"type": "card", "token": "tok_approve"}}
        for method, path, body in (
            ("POST", f"{booking}/payments", pay),
            ("POST", f"{booking}/extension", None),
            ("PATCH", booking, {"seats": ["A-2"]}),
        ):
            answer = await worker.http.request(method, path, json=body, headers=customer)
            problem(answer, 404, "schedule_not_found")
        assert (await worker.http.get(booking, headers=customer)).json()["status"] == "cancelled"


async def test_a_deleted_schedule_is_withdrawn_in_its_journal(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    assert (await delete(worker, sale)).status_code == 204
    async with worker.office.database.connect() as connection:
        newest = sa.select(journal.c.payload).where(journal.c.schedule_id == sale.schedule_id)
        payload = (await connection.execute(newest.order_by(journal.c.seq.desc()).limit(1))).scalar_one()
        head = sa.select(schedule_heads).where(schedule_heads.c.schedule_id == sale.schedule_id)
        row = (await connection.execute(head)).one()
    assert decode_event(payload) == Withdrawn("organizer")
    assert (row.seq, row.epoch, row.overruled_at) == (2, 0, None)  # nobody was started for it, and all are told
    report = await worker.office.reconciler.examine(sale.schedule_id)
    assert report.holds, report.failing


async def test_a_row_that_says_something_else_than_the_journal_is_named(worker: Worker) -> None:
    sale, other = await open_sale(worker.http), await open_sale(worker.http)
    assert (await delete(worker, sale)).status_code == 204
    async with worker.office.database.begin() as connection:
        for schedule_id, deleted_at in ((sale.schedule_id, None), (other.schedule_id, datetime.now(UTC))):
            row = schedules.update().where(schedules.c.id == schedule_id)
            await connection.execute(row.values(deleted_at=deleted_at))
    for schedule_id in (sale.schedule_id, other.schedule_id):
        report = await worker.office.reconciler.examine(schedule_id)
        assert report.failing == {"schedule_equals_journal"}


async def test_a_stream_that_is_open_ends(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    url = f"/v1/schedules/{sale.schedule_id}"
    begun = asyncio.Event()

    async def watch() -> None:
        async with http.stream("GET", f"{url}/stream") as response:
            async for line in response.aiter_lines():
                if line.startswith("event: snapshot"):
                    begun.set()

    watchers = [asyncio.create_task(watch()) for _ in range(6)]  # over both workers, as a rule
    await begun.wait()
    assert (await http.delete(url, headers=sale.organizer)).status_code == 204
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*watchers)
    problem(await http.get(f"{url}/stream"), 404, "schedule_not_found")


async def test_on_a_running_system_every_worker_knows_at_once_and_a_refund_is_told_the_truth(
    http: httpx.AsyncClient,
) -> None:
    sale, customer = await open_sale(http), await sign_up(http)
    _, payment = await paid_booking(http, sale, customer, "A-1")
    assert (await refund(http, payment, customer)).status_code == 201
    booking = await hold(http, sale, customer, "A-2")
    assert (await http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).status_code == 201
    url = f"/v1/schedules/{sale.schedule_id}"
    await asyncio.gather(*(http.get(f"{url}/seats") for _ in range(20)))
    assert (await http.delete(url, headers=sale.organizer)).status_code == 204
    answers = await asyncio.gather(
        *(http.get(f"{url}/{page}") for page in ("seats", "availability", "states") for _ in range(10)),
        *(http.post(sale.bookings_url, json={"seats": ["A-1"]}, headers=customer) for _ in range(10)),
    )
    for answer in answers:
        problem(answer, 404, "schedule_not_found")
    problem(await refund(http, payment, customer), 409, "already_refunded")


# --- all or nothing ---------------------------------------------------------------------------------------------------
async def series(worker: Worker, count: int) -> tuple[Sale, list[str]]:
    """A performance with this many further schedules, and their ids."""
    sale = await open_sale(worker.http)
    body = {
        "starts_at": (sale.starts_at + timedelta(days=400)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
        "recurrence": f"FREQ=DAILY;COUNT={count}",
    }
    url = f"/v1/performances/{sale.performance_id}/schedules"
    made = await worker.http.post(url, json=body, headers=sale.organizer)
    assert made.status_code == 201, made.text
    ids = [made.json()["id"], *(each["id"] for each in made.json()["recurring"])]
    return sale, [sale.schedule_id, *ids]


async def test_a_series_is_deleted_whole_and_starts_no_owner(worker: Worker) -> None:
    sale, ids = await series(worker, 40)
    assert (await delete(worker, sale, "performances")).status_code == 204
    assert not any(worker.has_owner(each) for each in ids)
    async with worker.office.database.connect() as connection:
        heads = sa.select(schedule_heads.c.seq, schedule_heads.c.epoch, schedule_heads.c.overruled_at)
        rows = (await connection.execute(heads.where(schedule_heads.c.schedule_id.in_(ids)))).all()
    assert rows == [(2, 0, None)] * 41


async def terms_shown(worker: Worker, schedule_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await worker.http.get(f"/v1/schedules/{schedule_id}")).json()
    del shown["seats_left"]  # follows a moment later
    return shown


async def test_one_booking_keeps_every_schedule_of_the_performance_as_it_was(worker: Worker) -> None:
    sale, ids = await series(worker, 16)
    customer = await worker.sign_up()
    booked = await worker.http.post(f"/v1/schedules/{ids[9]}/bookings", json={"seats": ["A-1"]}, headers=customer)
    assert booked.status_code == 201
    read = [await terms_shown(worker, each) for each in ids]
    problem(await delete(worker, sale, "performances"), 409, "performance_has_bookings")
    again = [await terms_shown(worker, each) for each in ids]
    assert again == read
    assert {each["sale_closes_at"] for each in again} == {None}
    for each in ids:
        report = await worker.office.reconciler.examine(each)
        assert report.holds, report.failing


async def test_a_delete_that_fails_in_the_middle_changes_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, ids = await series(worker, 5)

    async def fails(*_: object, **__: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr("api.routes.catalogue.performances.performances.delete_performance", fails)
        assert (await delete(worker, sale, "performances")).status_code == 503
    for each in ids:
        assert (await worker.http.get(f"/v1/schedules/{each}")).json()["sale_closes_at"] is None
    assert (await delete(worker, sale, "performances")).status_code == 204


async def test_who_dies_after_deleting_is_stood_in_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    taken = await hold(worker.http, sale, customer, "A-1", "A-2")
    assert (await worker.http.delete(f"/v1/bookings/{taken['id']}", headers=customer)).status_code == 201

    async def dies(*_: object) -> None:
        raise RuntimeError("the worker is gone")

    with monkeypatch.context() as patch:
        patch.setattr("api.routes.catalogue.schedules.announce", dies)
        assert (await delete(worker, sale)).status_code == 500
    office = worker.office
    assert worker.has_owner(sale.schedule_id)
    assert await overruling.untold(office.pool, older_than_seconds=0)
    telling = Telling(office.pool, office.gateway, office.seat_cache)
    assert await telling.run_once(older_than_seconds=0) == 1
    assert await overruling.untold(office.pool, older_than_seconds=0) == []
    assert not worker.has_owner(sale.schedule_id)
    problem(
        await worker.http.post(sale.bookings_url, json={"seats": ["A-1"]}, headers=customer), 404, "schedule_not_found"
    )


async def test_an_owner_that_was_not_told_yet_answers_no_success(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is deposed by the record itself: its next commit fails, and whoever asked is answered by the next owner."""
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    taken = await hold(worker.http, sale, customer, "A-1")
    assert (await worker.http.delete(f"/v1/bookings/{taken['id']}", headers=customer)).status_code == 201

    async def dies(*_: object) -> None:
        raise RuntimeError("the worker is gone")

    with monkeypatch.context() as patch:
        patch.setattr("api.routes.catalogue.schedules.announce", dies)
        assert (await delete(worker, sale)).status_code == 500
    assert worker.has_owner(sale.schedule_id)
    answer = await worker.http.post(sale.bookings_url, json={"seats": ["B-1"]}, headers=customer)
    problem(answer, 404, "schedule_not_found")
