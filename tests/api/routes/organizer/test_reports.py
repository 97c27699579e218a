"""What people report about systems like this, tried here over HTTP: each by its number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.background.endings import Endings
from actors.money.refunding import Refunding
from api.sandbox.server import create_sandbox
from persistence.catalogue import performances
from tests.api.conftest import OpenLocal, Worker, local_settings
from tests.support.clocks import MovableClock
from tests.support.sale import (
    Sale,
    begin,
    hold,
    open_sale,
    paid_booking,
    pay,
    problem,
    read,
    refund,
    seat_ids,
    sign_up,
    small_plan,
)
from tests.support.services.databases import Databases
from tests.support.services.serving import serve


@pytest.fixture(scope="module")
async def worker(
    databases: Databases,
    redis_url: str,
    open_local: OpenLocal,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Worker]:
    """A worker where people pay."""
    ledger = tmp_path_factory.mktemp("sandbox") / "sandbox.sqlite3"
    async with databases.lent() as url:
        settings = local_settings(url, redis_url)
        async with (
            serve(create_sandbox(settings.sandbox_secrets[0], ledger, "http://127.0.0.1:9/nowhere")) as sandbox_url,
            open_local(replace(settings, sandbox_url=sandbox_url)) as opened,
        ):
            yield opened


@pytest.fixture(scope="module")
def http(worker: Worker) -> httpx.AsyncClient:
    return worker.http


async def patch(http: httpx.AsyncClient, sale: Sale, **wanted: Any) -> dict[str, Any]:
    answer = await http.patch(f"/v1/schedules/{sale.schedule_id}", json=wanted, headers=sale.organizer)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def soon(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


# --- 4: a longer performance ------------------------------------------------------------------------------------------
async def test_report_04_a_performance_does_not_grow_into_what_comes_after_it(worker: Worker) -> None:
    sale = await open_sale(worker.http)  # 90 minutes
    other = await worker.http.post(
        "/v1/performances", json={"title": f"After {sale.schedule_id}", "duration_minutes": 60}, headers=sale.organizer
    )
    body = {
        "starts_at": (sale.starts_at + timedelta(minutes=120)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
    }
    url = f"/v1/performances/{other.json()['id']}/schedules"
    after = await worker.http.post(url, json=body, headers=sale.organizer)
    assert after.status_code == 201
    mine = f"/v1/performances/{sale.performance_id}"
    for method, change in (
        ("PATCH", {"duration_minutes": 180}),
        ("PATCH", {"duration_minutes": 121}),
        ("PUT", {"title": f"Longer {sale.schedule_id}", "duration_minutes": 150}),
    ):
        answer = await worker.http.request(method, mine, json=change, headers=sale.organizer)
        assert problem(answer, 409, "schedule_conflict")["conflicts_with"] == [after.json()["id"]]
    assert (await worker.http.get(mine)).json()["duration_minutes"] == 90
    fits = await worker.http.patch(mine, json={"duration_minutes": 120}, headers=sale.organizer)
    assert fits.json()["duration_minutes"] == 120


async def test_report_04_nor_into_its_own_next_date(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    body = {
        "starts_at": (sale.starts_at + timedelta(minutes=100)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
    }
    mine = f"/v1/performances/{sale.performance_id}"
    assert (await worker.http.post(f"{mine}/schedules", json=body, headers=sale.organizer)).status_code == 201
    answer = await worker.http.patch(mine, json={"duration_minutes": 101}, headers=sale.organizer)
    problem(answer, 409, "schedule_conflict")


# --- 5: what has begun ------------------------------------------------------------------------------------------------
async def test_report_05_nothing_is_paid_or_given_up_for_what_has_begun(http: httpx.AsyncClient) -> None:
    sale, customer = await open_sale(http), await sign_up(http)
    _, payment = await paid_booking(http, sale, customer, "A-1")
    booking = await hold(http, sale, customer, "A-2")
    await begin(http, sale)
    problem(await pay(http, booking, customer), 409, "sale_closed")
    problem(await http.post(f"/v1/bookings/{booking['id']}/extension", headers=customer), 409, "sale_closed")
    problem(await http.post(sale.bookings_url, json={"seats": ["B-1"]}, headers=customer), 409, "sale_closed")
    problem(await refund(http, payment, customer), 409, "not_refundable")


# --- 6: a start that was moved ----------------------------------------------------------------------------------------
async def test_report_06_who_booked_before_the_start_was_moved_gets_everything_back(http: httpx.AsyncClient) -> None:
    sale, early, late = await open_sale(http), await sign_up(http), await sign_up(http)
    _, payment = await paid_booking(http, sale, early, "A-1", "A-2")
    await patch(http, sale, starts_at=soon(days=2))
    _, second = await paid_booking(http, sale, late, "A-3")
    quote = await read(http, f"/v1/payments/{payment['id']}/refund_quote", early)
    assert (quote["fee"], quote["amount"]) == (0, 300_000)
    given = (await refund(http, payment, early, "A-1")).json()
    assert (given["fee"], given["amount"]) == (0, 150_000)
    given = (await refund(http, second, late)).json()
    assert (given["fee"], given["amount"]) == (45_000, 105_000)


async def test_report_06_unless_it_was_never_promised(http: httpx.AsyncClient) -> None:
    sale, customer = await open_sale(http, refund_when_moved=False), await sign_up(http)
    _, payment = await paid_booking(http, sale, customer, "A-1")
    await patch(http, sale, starts_at=soon(days=2), refund_when_moved=True)  # a promise for those who book now
    assert (await refund(http, payment, customer)).json()["fee"] == 45_000


# --- 7: limits --------------------------------------------------------------------------------------------------------
async def test_report_07_a_lowered_limit_refuses_no_exchange_that_adds_no_seat(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http, max_seats_per_customer=4), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1", "A-2", "A-3", "A-4")
    await patch(worker.http, sale, max_seats_per_customer=2)
    url = f"/v1/bookings/{booking['id']}"
    answer = await worker.http.patch(url, json={"seats": ["A-1", "A-2", "A-3", "A-5"]}, headers=customer)
    assert answer.status_code == 200, answer.text
    assert seat_ids(answer.json()) == ["A-1", "A-2", "A-3", "A-5"]
    more = await worker.http.patch(url, json={"seats": ["A-1", "A-2", "A-3", "A-5", "A-6"]}, headers=customer)
    problem(more, 409, "customer_limit_reached")


# --- 12: what costs nothing -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("body", [None, {}, {"method": {"type": "card", "token": "tok_approve"}}])
async def test_report_12_what_costs_nothing_is_confirmed_without_a_card(
    worker: Worker, body: dict[str, Any] | None
) -> None:
    sale = await open_sale(worker.http, prices={"VIP": 0, "Standard": 55_000})
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    answer = await worker.http.post(f"/v1/bookings/{booking['id']}/payments", json=body, headers=customer)
    assert (answer.status_code, answer.json()["booking"]["status"]) == (201, "confirmed"), answer.text


async def test_report_12_what_costs_something_is_not(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    for body in ({}, None):
        answer = await worker.http.post(f"/v1/bookings/{booking['id']}/payments", json=body, headers=customer)
        assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == ["method"]
    assert (await read(worker.http, f"/v1/bookings/{booking['id']}", customer))["status"] == "held"


@pytest.mark.parametrize("how", ["given back", "cancelled"])
async def test_report_12_the_free_rest_of_a_mixed_booking_is_not_stuck(http: httpx.AsyncClient, how: str) -> None:
    sale, customer = await open_sale(http, prices={"VIP": 150_000, "Standard": 0}), await sign_up(http)
    booking, payment = await paid_booking(http, sale, customer, "A-1", "C-1")
    assert (await refund(http, payment, customer, "A-1")).status_code == 201
    if how == "given back":
        rest = await refund(http, payment, customer)
        assert (rest.status_code, rest.json()["amount"]) == (201, 0), rest.text
    else:
        rest = await http.delete(f"/v1/bookings/{booking['id']}", headers=customer)
        assert rest.status_code == 201, rest.text
    assert (await read(http, f"/v1/bookings/{booking['id']}", customer))["status"] in ("refunded", "cancelled")
    await hold(http, sale, await sign_up(http), "A-1", "C-1")


# --- 14: not for sale -------------------------------------------------------------------------------------------------
async def test_report_14_a_category_may_be_not_for_sale(worker: Worker) -> None:
    plan = small_plan(standing=20)
    sale = await open_sale(worker.http, plan=plan, prices={"VIP": 150_000, "Standard": None, "Standing": None})  # type: ignore[dict-item]  # what may be free is not priced
    customer = await worker.sign_up()
    shown = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()
    assert shown["prices"] == {"VIP": 150_000, "Standard": None, "Standing": None}
    assert shown["seats_left"] == shown["capacity"] == {"VIP": 20, "Standard": 0, "Standing": 0}
    seats = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}/seats")).json()["seats"]
    assert {seat["price"] for seat in seats if seat["category"] == "Standard"} == {None}
    for wish in ({"seats": ["C-1"]}, {"seats": ["A-1", "C-1"]}, {"seats": ["floor"]}):
        answer = await worker.http.post(sale.bookings_url, json=wish, headers=customer)
        problem(answer, 409, "seats_unavailable")
    none = await worker.http.post(sale.bookings_url, json={"quantity": 1, "category": "Standard"}, headers=customer)
    assert problem(none, 409, "not_enough_seats")["available"] == 0
    best = await hold(worker.http, sale, customer, quantity=20)
    assert {seat["category"] for seat in best["seats"]} == {"VIP"}
    assert (await patch(worker.http, sale, prices={"VIP": 1, "Standard": 2, "Standing": 3}))["prices"]["Standard"] == 2
    await hold(worker.http, sale, customer, "C-1", "floor")


# --- 15: a whole performance ------------------------------------------------------------------------------------------
async def test_report_15_a_whole_performance_is_cancelled_in_one_call(worker: Worker) -> None:
    http = worker.http
    sale, customer = await open_sale(http), await sign_up(http)
    body = {
        "starts_at": (sale.starts_at + timedelta(days=400)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
        "recurrence": "FREQ=DAILY;COUNT=5",
    }
    made = await http.post(f"/v1/performances/{sale.performance_id}/schedules", json=body, headers=sale.organizer)
    assert made.status_code == 201, made.text
    booking, _ = await paid_booking(http, sale, customer, "A-1", "A-2")
    held = await hold(http, sale, customer, "A-3")
    url = f"/v1/organizer/performances/{sale.performance_id}/cancellation"
    preview = await http.post(url, params={"preview": "true"}, headers=sale.organizer)
    assert (preview.status_code, preview.json()) == (
        200,
        {
            "performance_id": sale.performance_id,
            "schedules": 6,
            "to_be_given_back": [{"currency": "KRW", "unpaid": 1, "paid": 1, "places": 3, "amount": 300_000}],
        },
    )
    assert (await read(http, f"/v1/schedules/{sale.schedule_id}", {}))["cancelled_at"] is None
    stranger = await sign_up(http, "organizer")
    problem(await http.post(url, json={"reason": "x"}, headers=stranger), 404, "performance_not_found")
    problem(await http.post(url, headers=sale.organizer), 422, "validation_failed")

    keyed, why = sale.organizer | {"Idempotency-Key": "flooded"}, {"reason": "the theatre is flooded"}
    answer, again = await http.post(url, json=why, headers=keyed), await http.post(url, json=why, headers=keyed)
    assert (answer.status_code, answer.headers["location"]) == (202, url), answer.text
    assert (again.status_code, again.content, again.headers["location"]) == (202, answer.content, url)
    problem(await http.post(url, json={"reason": "another"}, headers=keyed), 422, "idempotency_key_reused")
    assert (answer.json()["schedules_cancelled"], answer.json()["schedules_upcoming"]) == (6, 0)
    problem(await http.post(sale.bookings_url, json={"seats": ["B-1"]}, headers=customer), 409, "schedule_cancelled")

    office, later = worker.office, MovableClock()
    later.ahead_ms = 3_600_000
    (provider,) = office.providers.values()
    assert await Endings(office.database, office.gateway, office.clock).run_once() == 2
    assert not (await read(http, url, sale.organizer))["finished"]
    assert await Refunding(office.database, office.gateway, provider, later).run_once() == 1
    progress = await read(http, url, sale.organizer)
    (back,) = progress["given_back"]
    assert progress["finished"]
    assert (back["currency"], back["pending"], back["completed"], back["amount_refunded"]) == ("KRW", 0, 1, 300_000)
    assert (await read(http, f"/v1/bookings/{booking['id']}", customer))["status"] == "refunded"
    assert (await read(http, f"/v1/bookings/{held['id']}", customer))["status"] == "cancelled"


async def test_nobody_who_only_looks_waits_for_who_changes_the_performance(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    url = f"/v1/organizer/performances/{sale.performance_id}/cancellation"
    async with worker.office.database.begin() as connection:
        await performances.performance(connection, sale.performance_id, lock=True)
        looks = (
            worker.http.get(url, headers=sale.organizer),
            worker.http.post(url, params={"preview": "true"}, headers=sale.organizer),
        )
        answers = await asyncio.gather(*map(asyncio.ensure_future, looks))  # by themselves: none holds our connection
    assert [each.status_code for each in answers] == [200, 200], "who waits for too long is told 503"


async def test_report_15_all_dates_are_cancelled_or_none_and_no_owner_is_started(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = await open_sale(worker.http)
    url = f"/v1/organizer/performances/{sale.performance_id}/cancellation"

    async def fails(*_: object, **__: object) -> None:
        raise ConnectionError("the connection was lost")

    with monkeypatch.context() as patched:
        patched.setattr("api.routes.catalogue.cancelled_performances.record_in", fails)
        assert (await worker.http.post(url, json={"reason": "x"}, headers=sale.organizer)).status_code >= 500
    assert (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()["cancelled_at"] is None
    first, again = await asyncio.gather(
        *(worker.http.post(url, json={"reason": "x"}, headers=sale.organizer) for _ in range(2))
    )
    assert {first.status_code, again.status_code} == {202}
    assert not worker.has_owner(sale.schedule_id)
    log = await worker.office.reconciler.examine(sale.schedule_id)
    assert log.holds, log.failing
