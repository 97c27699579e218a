"""Schedules over HTTP: opening them for sale, what they may not be beside, and reading them."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa

from api.http.problems import Problem
from api.selling.schedule_input import check_steps
from engine.events import Opened, decode_event
from persistence.database.tables import journal, schedule_heads
from tests.api.conftest import Worker
from tests.api.routes.catalogue.schedule_requests import NOWHERE, TOMORROW, YESTERDAY, body_of, change, create, fields
from tests.support.sale import PRICES, Sale, hold, open_sale, problem, small_plan, until


# --- opening ----------------------------------------------------------------------------------------------------------
async def test_a_schedule_is_opened_and_read_back(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    answer = await create(worker, sale, max_seats_per_customer=4, hold_seconds=300, waiting_room=False)
    made = answer.json()
    assert (answer.status_code, made.pop("recurring")) == (201, [])
    assert (made["max_seats_per_customer"], made["hold_seconds"], made["waiting_room"]) == (4, 300, False)
    assert (made["currency"], made["prices"]) == ("KRW", {"VIP": PRICES["VIP"], "Standard": PRICES["Standard"]})
    assert made["seats_left"] == made["capacity"] == {"VIP": 20, "Standard": 20}
    assert made["sale"] == {"state": "on_sale", "opens_at": None, "closes_at": made["starts_at"]}
    lasts = datetime.fromisoformat(made["ends_at"]) - datetime.fromisoformat(made["starts_at"])
    assert lasts == timedelta(minutes=90)
    assert (await worker.http.get(f"/v1/schedules/{made['id']}")).json() == made


async def test_a_schedule_and_its_journal_begin_together(worker: Worker) -> None:
    sale = await open_sale(worker.http, hold_seconds=60)
    async with worker.office.database.connect() as connection:
        record = (await connection.execute(sa.select(journal).where(journal.c.schedule_id == sale.schedule_id))).one()
        head = (
            await connection.execute(sa.select(schedule_heads).where(schedule_heads.c.schedule_id == sale.schedule_id))
        ).one()
    event = decode_event(record.payload)
    assert (head.epoch, head.seq, record.seq) == (0, 1, 1)
    assert isinstance(event, Opened)
    assert event.plan_digest == (await worker.office.plans.newest(sale.venue_id)).digest
    assert (event.terms.hold_ms, event.terms.prices) == (60_000, dict(sale.prices))
    assert event.terms.sale_closes_at_ms == event.terms.starts_at_ms == sale.starts_at.timestamp() * 1000


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *(({name: "left out"}, name) for name in ("starts_at", "venue_id", "currency", "prices")),
        ({"starts_at": YESTERDAY}, "starts_at"),
        ({"starts_at": "2031-01-01T10:00:00"}, "starts_at"),
        ({"starts_at": "soon"}, "starts_at"),
        ({"starts_at": 1_900_000_000}, "starts_at"),
        ({"starts_at": "9999-12-31T23:59:59-12:00"}, "starts_at"),
        ({"venue_id": NOWHERE}, "venue_id"),
        ({"venue_id": "none"}, "venue_id"),
        ({"currency": "krw"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "WON"}, "currency"),
        ({"prices": {}}, "prices"),
        ({"prices": {"VIP": 1}}, "prices"),
        ({"prices": {"VIP": 1, "Standard": 1, "Royal": 1}}, "prices"),
        ({"prices": {"VIP": -1, "Standard": 1}}, "prices.VIP"),
        ({"prices": {"VIP": 1.5, "Standard": 1}}, "prices.VIP"),
        ({"prices": {"VIP": 10**19, "Standard": 1}}, "prices.VIP"),
        ({"sale_opens_at": "2099-01-01T00:00:00Z"}, "sale_opens_at"),
        ({"sale_closes_at": "2099-01-01T00:00:00Z"}, "sale_closes_at"),
        ({"sale_opens_at": TOMORROW, "sale_closes_at": TOMORROW}, "sale_opens_at"),
        ({"max_seats_per_customer": 0}, "max_seats_per_customer"),
        ({"hold_seconds": 29}, "hold_seconds"),
        ({"hold_seconds": 3601}, "hold_seconds"),
        ({"hold_seconds": None}, "hold_seconds"),
        ({"recurrence": "FREQ=DAILY"}, "recurrence"),
    ],
)
async def test_what_is_wrong_with_a_schedule_is_named(worker: Worker, wrong: dict[str, Any], field: str) -> None:
    sale = await open_sale(worker.http)
    assert fields(await create(worker, sale, **wrong)) == [field]
    listed = (await worker.http.get(f"/v1/performances/{sale.performance_id}/schedules")).json()["items"]
    assert [item["id"] for item in listed] == [sale.schedule_id]


@pytest.mark.parametrize("provider", ["sandbox", "toss", "stripe"])
def test_prices_are_such_as_the_provider_can_charge(provider: str) -> None:
    check_steps({"VIP": 5_120, "Standard": 0, "Box": None}, "KWD", provider)
    check_steps({"VIP": 5_125}, "KRW", provider)
    with pytest.raises(Problem) if provider == "stripe" else contextlib.nullcontext():
        check_steps({"VIP": 5_125}, "KWD", provider)


async def test_a_seat_may_cost_nothing(worker: Worker) -> None:
    sale = await open_sale(worker.http, prices={"VIP": 0, "Standard": 0})
    booking = await hold(worker.http, sale, await worker.sign_up(), "A-1")
    assert booking["amount"] == 0


async def test_only_the_organizer_opens_schedules(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    url, body = f"/v1/performances/{sale.performance_id}/schedules", body_of(sale)
    problem(await worker.http.post(url, json=body), 401, "unauthenticated")
    problem(await worker.http.post(url, json=body, headers=await worker.sign_up()), 403, "forbidden")
    stranger = await worker.sign_up("organizer")
    problem(await worker.http.post(url, json=body, headers=stranger), 404, "performance_not_found")
    nowhere = f"/v1/performances/{NOWHERE}/schedules"
    problem(await worker.http.post(nowhere, json=body, headers=sale.organizer), 404, "performance_not_found")


async def test_a_repeated_key_opens_once(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    url, headers = f"/v1/performances/{sale.performance_id}/schedules", {"Idempotency-Key": uuid4().hex}
    answers = [await worker.http.post(url, json=body_of(sale), headers={**sale.organizer, **headers}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content


# --- what giving seats back costs -------------------------------------------------------------------------------------
def steps(*pairs: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"days_before": days, "fee_percent": percent} for days, percent in pairs]


async def test_a_schedule_has_the_usual_refund_policy_unless_it_has_its_own(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    url = f"/v1/schedules/{sale.schedule_id}"
    assert (await worker.http.get(url)).json()["refund_policy"] == steps((10, 0), (7, 10), (3, 20), (0, 30))
    own, final = steps((14, 0), (13, 0), (1, 50)), steps()
    made = (await create(worker, sale, refund_policy=own, recurrence="FREQ=DAILY;COUNT=2")).json()
    assert [each["refund_policy"] for each in (made, *made["recurring"])] == [own, own]
    for policy in (own, final):
        assert (await change(worker, sale, refund_policy=policy)).json()["refund_policy"] == policy
        read = (await worker.http.get(url)).json()
        assert (read["refund_policy"], read["cancelled_at"], read["cancellation_reason"]) == (policy, None, None)
    assert (await change(worker, sale, hold_seconds=60)).json()["refund_policy"] == final


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (steps((7, 10), (10, 0)), "refund_policy"),
        (steps((7, 10), (7, 20)), "refund_policy"),
        (steps((7, 10), (3, 5)), "refund_policy"),
        (steps(*((20 - day, 0) for day in range(11))), "refund_policy"),
        (steps((367, 0)), "refund_policy.0.days_before"),
        (steps((-1, 0)), "refund_policy.0.days_before"),
        (steps((1.5, 0)), "refund_policy.0.days_before"),
        (steps((1, 101)), "refund_policy.0.fee_percent"),
        (steps((1, -1)), "refund_policy.0.fee_percent"),
        ([{"days_before": 1}], "refund_policy.0.fee_percent"),
        (None, "refund_policy"),
        ("none", "refund_policy"),
    ],
)
async def test_what_is_wrong_with_a_refund_policy_is_named(worker: Worker, policy: Any, field: str) -> None:
    sale = await open_sale(worker.http)
    assert fields(await create(worker, sale, refund_policy=policy)) == [field]
    assert fields(await change(worker, sale, refund_policy=policy)) == [field]


# --- conflicts --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("minutes", "conflicts"), [(0, True), (89, True), (-89, True), (90, False), (-90, False), (24 * 60, False)]
)
async def test_times_at_a_venue_do_not_overlap(worker: Worker, minutes: int, conflicts: bool) -> None:
    sale = await open_sale(worker.http)
    answer = await create(worker, sale, starts_at=(sale.starts_at + timedelta(minutes=minutes)).isoformat())
    if conflicts:
        assert problem(answer, 409, "schedule_conflict")["conflicts_with"] == [sale.schedule_id]
    else:
        assert answer.status_code == 201


async def test_another_organizers_schedule_at_the_venue_conflicts_as_well(worker: Worker) -> None:
    sale, other = await open_sale(worker.http), await open_sale(worker.http)
    starts_at = sale.starts_at.isoformat()
    await share(worker, sale)
    problem(await create(worker, other, venue_id=sale.venue_id, starts_at=starts_at), 409, "schedule_conflict")


async def share(worker: Worker, sale: Sale, shared: bool = True) -> None:
    url = f"/v1/venues/{sale.venue_id}"
    answer = await worker.http.patch(url, json={"shared": shared}, headers=sale.organizer)
    assert (answer.status_code, answer.json()["shared"]) == (200, shared), answer.text


async def test_a_venue_is_its_organizers_unless_it_is_shared(worker: Worker) -> None:
    sale, other = await open_sale(worker.http), await open_sale(worker.http)
    problem(await create(worker, other, venue_id=sale.venue_id), 403, "venue_not_shared")
    await share(worker, sale)
    made = await create(worker, other, venue_id=sale.venue_id)
    assert made.status_code == 201
    await share(worker, sale, shared=False)
    problem(await create(worker, other, venue_id=sale.venue_id), 403, "venue_not_shared")
    assert (await worker.http.get(f"/v1/schedules/{made.json()['id']}")).is_success  # what is there stays
    body = {"venue_id": sale.venue_id}
    url = f"/v1/performances/{other.performance_id}"
    problem(await worker.http.patch(url, json=body, headers=other.organizer), 403, "venue_not_shared")


async def test_an_organizer_has_so_many_schedules_to_come_and_no_more(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = msgspec.structs.replace(worker.office.settings, schedules_per_organizer=3)
    monkeypatch.setattr(type(worker.office), "settings", settings)
    sale = await open_sale(worker.http)
    assert (
        problem(await create(worker, sale, recurrence="FREQ=DAILY;COUNT=3"), 409, "schedule_limit_reached")["limit"]
        == 3
    )
    assert (await create(worker, sale, recurrence="FREQ=DAILY;COUNT=2")).status_code == 201


async def test_a_performance_is_not_played_twice_at_once(worker: Worker) -> None:
    sale, other = await open_sale(worker.http), await open_sale(worker.http)
    starts_at = sale.starts_at.isoformat()
    await share(worker, other)
    problem(await create(worker, sale, venue_id=other.venue_id, starts_at=starts_at), 409, "schedule_conflict")


async def test_of_many_at_once_one_gets_the_time(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    answers = await asyncio.gather(*(create(worker, sale) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_a_deleted_schedule_gives_its_time_back(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    starts_at = sale.starts_at.isoformat()
    deleted = await worker.http.delete(f"/v1/schedules/{sale.schedule_id}", headers=sale.organizer)
    assert deleted.status_code == 204
    assert (await create(worker, sale, starts_at=starts_at)).status_code == 201


# --- reading ----------------------------------------------------------------------------------------------------------
async def test_schedules_are_listed_by_start_and_page_by_page(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    made = (await create(worker, sale, recurrence="FREQ=DAILY;COUNT=4")).json()
    expected = [sale.schedule_id, made["id"], *(each["id"] for each in made["recurring"])]
    found: list[str] = []
    params = {"limit": "2", "fields": "id"}
    while True:
        page = (await worker.http.get(f"/v1/performances/{sale.performance_id}/schedules", params=params)).json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert found == expected


async def test_seats_left_follow_the_sale(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    url = f"/v1/schedules/{sale.schedule_id}"
    assert (await worker.http.get(url)).json()["seats_left"] == {"VIP": 20, "Standard": 20}
    await hold(worker.http, sale, customer, "A-1", "A-2", "D-1")

    async def shown() -> bool:
        said: dict[str, Any] = (await worker.http.get(url)).json()
        assert said["capacity"] == {"VIP": 20, "Standard": 20}, "who has a seat takes none away"
        return bool(said["seats_left"] == {"VIP": 18, "Standard": 19})

    await until(shown)


async def test_available_means_on_sale_with_seats_left(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=small_plan(rows=2, seats_per_row=1))
    later = (await create(worker, sale, sale_opens_at=TOMORROW)).json()["id"]
    open_ = (await create(worker, sale, starts_at=(sale.starts_at + timedelta(days=500)).isoformat())).json()["id"]
    url = f"/v1/performances/{sale.performance_id}/schedules"
    everything = (await worker.http.get(url)).json()["items"]
    assert [item["id"] for item in everything] == [sale.schedule_id, later, open_]
    assert [item["sale"]["state"] for item in everything] == ["on_sale", "scheduled", "on_sale"]
    await hold(worker.http, sale, await worker.sign_up(), "A-1", "B-1")

    async def only_the_open_one() -> bool:
        page = (await worker.http.get(f"{url}?available=true&limit=1")).json()
        return [item["id"] for item in page["items"]] == [open_]

    await until(only_the_open_one)


async def test_a_sale_is_closed_when_its_time_is_over(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    past = {"closes": datetime.now(UTC) - timedelta(minutes=5), "starts": datetime.now(UTC) - timedelta(hours=3)}
    url = f"/v1/schedules/{sale.schedule_id}"
    for statement, state in {
        "UPDATE schedules SET sale_closes_at = :closes WHERE id = :id": "closed",
        "UPDATE schedules SET starts_at = :starts WHERE id = :id": "ended",
    }.items():
        async with worker.office.database.begin() as connection:
            await connection.execute(sa.text(statement), {"id": sale.schedule_id, **past})
        assert (await worker.http.get(url)).json()["sale"]["state"] == state


async def test_what_does_not_exist(worker: Worker) -> None:
    problem(await worker.http.get(f"/v1/schedules/{NOWHERE}"), 404, "schedule_not_found")
    problem(await worker.http.get(f"/v1/performances/{NOWHERE}/schedules"), 404, "performance_not_found")


@pytest.mark.parametrize("query", ["cursor=abc", "cursor=WyJhIiwiYiJd", "available=perhaps", "fields=x", "limit=0"])
async def test_list_parameters_that_are_wrong(worker: Worker, query: str) -> None:
    sale = await open_sale(worker.http)
    answer = await worker.http.get(f"/v1/performances/{sale.performance_id}/schedules?{query}")
    problem(answer, 422, "validation_failed")
