"""Schedules over HTTP: opening them for sale, one by one or by a rule, reading, changing and deleting them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import FrameType
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import sqlalchemy as sa

from api.http.problems import Problem
from api.selling.recurrence import occurrences
from engine.events import Opened, decode_event
from persistence.database.tables import journal, schedule_heads
from tests.api.conftest import Worker
from tests.support.sale import PRICES, Sale, hold, open_sale, problem, small_plan, until

SEOUL = timezone(timedelta(hours=9))
MOST_CALLS = 500_000  # four times what the dearest refusal makes; a search to the end of the calendar makes millions
NOWHERE = "0199f3a0-0000-7000-8000-000000000000"


def fields(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in problem(answer, 422, "validation_failed")["errors"]]


def body_of(sale: Sale, **different: Any) -> dict[str, Any]:
    """A request for one more schedule at the sale's venue, a year later."""
    body = {
        "starts_at": (sale.starts_at + timedelta(days=365)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": dict(sale.prices),
        **different,
    }
    return {name: value for name, value in body.items() if value != "left out"}


async def create(worker: Worker, sale: Sale, **different: Any) -> httpx.Response:
    url = f"/v1/performances/{sale.performance_id}/schedules"
    return await worker.http.post(url, json=body_of(sale, **different), headers=sale.organizer)


async def change(worker: Worker, sale: Sale, **wanted: Any) -> httpx.Response:
    return await worker.http.patch(f"/v1/schedules/{sale.schedule_id}", json=wanted, headers=sale.organizer)


# --- opening ----------------------------------------------------------------------------------------------------------
async def test_a_schedule_is_opened_and_read_back(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    answer = await create(worker, sale, max_seats_per_customer=4, hold_seconds=300, waiting_room=False)
    made = answer.json()
    assert (answer.status_code, made.pop("recurring")) == (201, [])
    assert (made["max_seats_per_customer"], made["hold_seconds"], made["waiting_room"]) == (4, 300, False)
    assert (made["currency"], made["prices"]) == ("KRW", {"VIP": PRICES["VIP"], "Standard": PRICES["Standard"]})
    assert made["seats_left"] == {"VIP": 20, "Standard": 20}
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


TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat()


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


# --- recurrence -------------------------------------------------------------------------------------------------------
async def test_a_rule_opens_a_schedule_for_every_date(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    answer = await create(
        worker,
        sale,
        starts_at="2031-03-03T19:30:00+09:00",
        sale_opens_at="2031-01-01T10:00:00+09:00",
        sale_closes_at="2031-03-03T18:30:00+09:00",
        recurrence="FREQ=WEEKLY;BYDAY=MO,WE;COUNT=4",
    )
    assert answer.status_code == 201
    first = answer.json()
    made = [first, *first["recurring"]]
    assert [each["starts_at"][:16] for each in made] == [f"2031-03-{day:02}T10:30" for day in (3, 5, 10, 12)]
    assert {each["sale_opens_at"] for each in made} == {"2031-01-01T01:00:00.000+00:00"}
    assert [each["sale_closes_at"][:16] for each in made] == [f"2031-03-{day:02}T09:30" for day in (3, 5, 10, 12)]
    listed = (await worker.http.get(f"/v1/performances/{sale.performance_id}/schedules?date_from=2031-01-01")).json()
    assert [item["id"] for item in listed["items"]] == [each["id"] for each in made]


async def test_a_rule_with_one_taken_date_opens_none(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    start = sale.starts_at - timedelta(days=2)
    problem(
        await create(worker, sale, starts_at=start.isoformat(), recurrence="FREQ=DAILY;COUNT=5"),
        409,
        "schedule_conflict",
    )
    listed = (await worker.http.get(f"/v1/performances/{sale.performance_id}/schedules")).json()["items"]
    assert [item["id"] for item in listed] == [sale.schedule_id]


def test_a_rule_is_followed_by_the_clocks_of_the_venue() -> None:
    start = datetime(2031, 1, 30, 0, 30, tzinfo=SEOUL)

    def dates(rule: str) -> list[datetime]:
        return occurrences(rule, start, "Asia/Seoul")

    assert dates("RRULE:FREQ=MONTHLY;COUNT=3") == [start, start.replace(month=3), start.replace(month=4)]
    assert len(dates("FREQ=DAILY;UNTIL=20310131T153000Z")) == 3
    assert len(dates("FREQ=DAILY;UNTIL=20310201")) == 3
    assert dates("freq=weekly;byday=th;count=1") == [start]


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "FREQ=DAILY",
        "COUNT=3",
        "FREQ=DAILY;COUNT=367",
        "FREQ=DAILY;UNTIL=20990101",
        "FREQ=DAILY;UNTIL=20330130",
        "FREQ=DAILY;COUNT=3;UNTIL=20310301",
        "FREQ=SECONDLY;COUNT=3",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=DAILY;INTERVAL=0;COUNT=3",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=YEARLY;COUNT=10",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
        "FREQ=DAILY;BYSETPOS=5;COUNT=3",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=5;COUNT=1",
        "FREQ=DAILY;BYHOUR=24;COUNT=1",
        "FREQ=DAILY;COUNT=3\nEXDATE:20311301",
        "FREQ=DAILY;COUNT=3\nEXDATE;TZID=Europe/Berlin:20310131T193000",
        "FREQ=DAILY;COUNT=3\nEXRULE:FREQ=DAILY;COUNT=1",
        "FREQ=DAILY;COUNT=3;FREQ=DAILY",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;BYDAY=XX;COUNT=3",
        "FREQ=DAILY;BYMONTH=99;COUNT=3",
        "FREQ=DAILY;UNTIL=20319999",
        "FREQ=DAILY;COUNT=3\nDTSTART:20310101T000000",
        "FREQ=DAILY;COUNT=٣",
    ],
)
def test_rules_that_are_refused_cost_nothing(rule: str) -> None:
    with pytest.raises(Problem) as refused, counted_calls() as calls:
        occurrences(rule, datetime(2031, 1, 30, 19, 30, tzinfo=SEOUL), "Asia/Seoul")
    assert refused.value.facts["errors"][0]["field"] == "recurrence"  # type: ignore[index]  # facts are of any shape
    assert calls.total() < MOST_CALLS, calls.most_common(3)


@contextlib.contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Counts every call, also of what is not Python: the same number on a fast machine and on a busy one."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        calls[f"{event} in {frame.f_code.co_name}"] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


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
        left: dict[str, int] = (await worker.http.get(url)).json()["seats_left"]
        return left == {"VIP": 18, "Standard": 19}

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


# --- changing ---------------------------------------------------------------------------------------------------------
async def test_new_prices_hold_from_the_next_booking_on(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    before = await hold(worker.http, sale, customer, "A-1")
    answer = await change(worker, sale, prices={"VIP": 200_000, "Standard": 60_000})
    assert (answer.status_code, answer.json()["prices"]) == (200, {"VIP": 200_000, "Standard": 60_000})
    after = await hold(worker.http, sale, customer, "A-2")
    assert (before["amount"], after["amount"]) == (150_000, 200_000)
    kept = (await worker.http.get(f"/v1/bookings/{before['id']}", headers=customer)).json()
    assert kept["amount"] == 150_000


async def test_a_sale_can_be_closed_and_opened_again(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    closed = datetime.now(UTC) - timedelta(seconds=5)
    assert (await change(worker, sale, sale_closes_at=closed.isoformat())).json()["sale"]["state"] == "closed"
    answer = await worker.http.post(sale.bookings_url, json={"seats": ["A-1"]}, headers=customer)
    problem(answer, 409, "sale_closed")
    assert (await change(worker, sale, sale_closes_at=None)).json()["sale"]["state"] == "on_sale"
    await hold(worker.http, sale, customer, "A-1")


async def test_every_term_can_be_changed(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    starts_at = sale.starts_at + timedelta(days=400)
    wanted = {
        "starts_at": starts_at.isoformat(timespec="milliseconds"),
        "sale_opens_at": (starts_at - timedelta(days=10)).isoformat(timespec="milliseconds"),
        "sale_closes_at": (starts_at - timedelta(hours=1)).isoformat(timespec="milliseconds"),
        "max_seats_per_customer": 2,
        "hold_seconds": 120,
        "refund_when_moved": False,
    }
    answer = await change(worker, sale, **wanted)
    assert answer.status_code == 200
    assert answer.json().items() >= wanted.items()
    assert (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json().items() >= wanted.items()


async def test_changes_at_once_do_not_undo_one_another(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    answers = await asyncio.gather(
        change(worker, sale, hold_seconds=111),
        change(worker, sale, max_seats_per_customer=3),
        change(worker, sale, prices={"VIP": 1, "Standard": 2}),
        change(worker, sale, refund_when_moved=False),
    )
    assert {answer.status_code for answer in answers} == {200}
    read = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()
    assert (read["hold_seconds"], read["max_seats_per_customer"], read["refund_when_moved"]) == (111, 3, False)
    assert read["prices"] == {"VIP": 1, "Standard": 2}


async def test_a_change_with_a_key_is_made_once(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    url, headers = f"/v1/schedules/{sale.schedule_id}", {**sale.organizer, "Idempotency-Key": uuid4().hex}
    for _ in range(2):
        answer = await worker.http.patch(url, json={"hold_seconds": 90}, headers=headers)
        assert (answer.status_code, answer.json()["hold_seconds"]) == (200, 90)
    answer = await worker.http.patch(url, json={"hold_seconds": 91}, headers=headers)
    problem(answer, 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"prices": {"VIP": 1}}, "prices"),
        ({"prices": None}, "prices"),
        ({"starts_at": YESTERDAY}, "starts_at"),
        ({"starts_at": None}, "starts_at"),
        ({"sale_closes_at": "2099-01-01T00:00:00Z"}, "sale_closes_at"),
        ({"sale_opens_at": "2099-01-01T00:00:00Z"}, "sale_opens_at"),
        ({"venue_id": NOWHERE}, "venue_id"),
        ({"currency": "USD"}, "currency"),
        ({"hold_seconds": None}, "hold_seconds"),
        ({"waiting_room": None}, "waiting_room"),
        ({"waiting_room": True}, "waiting_room"),
    ],
)
async def test_what_is_wrong_with_a_change_is_named(worker: Worker, wrong: dict[str, Any], field: str) -> None:
    sale = await open_sale(worker.http)
    before = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()
    assert fields(await change(worker, sale, **wrong)) == [field]
    assert (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json() == before


async def test_a_schedule_is_not_moved_into_another(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    other = (await create(worker, sale)).json()
    answer = await change(worker, sale, starts_at=other["starts_at"])
    assert problem(answer, 409, "schedule_conflict")["conflicts_with"] == [other["id"]]
    # By a few minutes it may move: it does not conflict with itself.
    assert (await change(worker, sale, starts_at=(sale.starts_at + timedelta(minutes=5)).isoformat())).is_success


async def test_only_the_organizer_changes_a_schedule(worker: Worker) -> None:
    sale, stranger = await open_sale(worker.http), await worker.sign_up("organizer")
    url = f"/v1/schedules/{sale.schedule_id}"
    for method, body in (("PATCH", {"hold_seconds": 60}), ("DELETE", None)):
        problem(await worker.http.request(method, url, json=body), 401, "unauthenticated")
        problem(await worker.http.request(method, url, json=body, headers=await worker.sign_up()), 403, "forbidden")
        problem(await worker.http.request(method, url, json=body, headers=stranger), 404, "schedule_not_found")


async def test_a_cancelled_schedule_is_shown_as_such_and_neither_sold_nor_changed(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    url = f"/v1/schedules/{sale.schedule_id}"
    cancelled = await worker.http.post(
        f"/v1/organizer/schedules/{sale.schedule_id}/cancellation", json={"reason": "flood"}, headers=sale.organizer
    )
    assert (cancelled.status_code, cancelled.json()["bookings_live"]) == (202, 1)
    read = (await worker.http.get(url)).json()
    assert (read["sale"]["state"], read["cancellation_reason"]) == ("cancelled", "flood")
    assert read["cancelled_at"] == cancelled.json()["cancelled_at"]
    listed = f"/v1/performances/{sale.performance_id}/schedules"
    assert [item["id"] for item in (await worker.http.get(listed)).json()["items"]] == [sale.schedule_id]
    assert (await worker.http.get(f"{listed}?available=true")).json()["items"] == []
    for answer in (
        await worker.http.post(sale.bookings_url, json={"seats": ["A-2"]}, headers=customer),
        await worker.http.post(sale.bookings_url, json={"quantity": 1}, headers=customer),
        await worker.http.patch(f"/v1/bookings/{booking['id']}", json={"seats": ["A-2"]}, headers=customer),
        await worker.http.post(f"/v1/bookings/{booking['id']}/extension", headers=customer),
        await worker.http.post(
            f"/v1/bookings/{booking['id']}/payments",
            json={"method": {"type": "card", "token": "tok_approve"}},
            headers=customer,
        ),
        await change(worker, sale, hold_seconds=60),
    ):
        assert problem(answer, 409, "schedule_cancelled")["at"] == read["cancelled_at"]
    # Its time is free for another, and it goes once nobody has seats any more.
    assert (await create(worker, sale, starts_at=sale.starts_at.isoformat())).status_code == 201
    problem(await worker.http.delete(url, headers=sale.organizer), 409, "schedule_has_bookings")
    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).status_code == 201
    assert (await worker.http.delete(url, headers=sale.organizer)).status_code == 204


# --- deleting ---------------------------------------------------------------------------------------------------------
async def test_a_schedule_with_live_bookings_is_not_deleted(worker: Worker) -> None:
    sale, customer = await open_sale(worker.http), await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    url = f"/v1/schedules/{sale.schedule_id}"
    problem(await worker.http.delete(url, headers=sale.organizer), 409, "schedule_has_bookings")
    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
    assert (await worker.http.delete(url, headers=sale.organizer)).status_code == 204
    problem(await worker.http.get(url), 404, "schedule_not_found")
    problem(await worker.http.delete(url, headers=sale.organizer), 404, "schedule_not_found")
    answer = await worker.http.post(sale.bookings_url, json={"seats": ["A-1"]}, headers=customer)
    problem(answer, 404, "schedule_not_found")


async def test_deleting_against_a_crowd_loses_nobody(worker: Worker) -> None:
    for _ in range(5):
        sale, customer = await open_sale(worker.http), await worker.sign_up()
        deleted, *booked = await asyncio.gather(
            worker.http.delete(f"/v1/schedules/{sale.schedule_id}", headers=sale.organizer),
            *(worker.http.post(sale.bookings_url, json={"seats": [seat]}, headers=customer) for seat in sale.seats[:6]),
        )
        won = [answer for answer in booked if answer.status_code == 201]
        if deleted.status_code == 204:
            assert not won
        else:
            problem(deleted, 409, "schedule_has_bookings")
            assert won
            read = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}")).json()
            assert (read["sale"]["state"], read["sale_closes_at"]) == ("on_sale", None)
