"""What organizers see before they decide: a plan drawn and counted, and dates with what stands in their way."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from api.selling.plan_input import KOREAN, korean, unreadable
from engine.plan_document import read_plan
from engine.seating_plan import PlanError
from tests.api.conftest import Worker
from tests.support.sale import Sale, hold, open_sale, problem, sign_up, small_plan

RULE = "FREQ=DAILY;COUNT=3"


async def preview(worker: Worker, sale: Sale, headers: dict[str, str] | None = None, **wish: Any) -> httpx.Response:
    body = {"starts_at": sale.starts_at.isoformat(), "venue_id": sale.venue_id, **wish}
    url = f"/v1/performances/{sale.performance_id}/schedules/preview"
    return await worker.http.post(url, json=body, headers=headers or sale.organizer)


async def test_a_plan_is_counted_and_drawn_as_its_schedules_will_be(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=small_plan(standing=30))
    body = {"seating_plan": small_plan(standing=30)}
    seen = (await worker.http.post("/v1/venues/preview", json=body, headers=sale.organizer)).json()
    assert (seen["name"], seen["capacity"]) == ("Small house", 70)
    assert {each["name"]: each["capacity"] for each in seen["categories"]} == {
        "VIP": 20,
        "Standard": 20,
        "Standing": 30,
    }
    assert seen["layout"] == (await worker.http.get(f"/v1/schedules/{sale.schedule_id}/layout")).json()


async def test_registering_a_venue_as_a_dry_run_only_examines_the_plan(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer") | {"Idempotency-Key": "a-house"}
    body = {"name": "A house", "seating_plan": small_plan(standing=30)}
    for number in range(2):  # and again in earnest, with the same key
        seen = await worker.http.post("/v1/venues?dry_run=true", json=body, headers=organizer)
        assert seen.status_code == 200, seen.text
        preview_url, plan = "/v1/venues/preview", {"seating_plan": body["seating_plan"]}
        assert seen.json() == (await worker.http.post(preview_url, json=plan, headers=organizer)).json()
        kept = (await worker.http.get("/v1/organizer/venues", headers=organizer)).json()["items"]
        assert len(kept) == number
        assert (await worker.http.post("/v1/venues", json=body, headers=organizer)).status_code == 201
    problem(
        await worker.http.post("/v1/venues?dry_run=true", json={"name": "A"}, headers=organizer),
        422,
        "validation_failed",
    )
    problem(
        await worker.http.post("/v1/venues?dry_run=true", json=body, headers=await worker.sign_up()), 403, "forbidden"
    )


async def test_every_fault_of_a_plan_is_told_with_its_place_in_both_languages_and_nothing_is_kept(
    worker: Worker,
) -> None:
    organizer = await worker.sign_up("organizer")
    plan = small_plan()
    seats = plan["zones"][0]["rows"][1]["seats"]
    seats[0]["category"] = "Box"
    seats[1]["seat_guid"] = "A-1"
    for language, word in (("en", "declared"), ("ko", "등급")):
        headers = organizer | {"Accept-Language": language}
        answer = await worker.http.post("/v1/venues/preview", json={"seating_plan": plan}, headers=headers)
        errors = problem(answer, 422, "invalid_seating_plan")["errors"]
        assert [each["field"] for each in errors] == [
            "seating_plan.zones[0].rows[1].seats[0].category",
            "seating_plan.zones[0].rows[1].seats[1].seat_guid",
        ]
        assert word in errors[0]["message"]
    assert (await worker.http.get("/v1/organizer/venues", headers=organizer)).json()["items"] == []


FAULTS: list[Any] = [
    [],
    {},
    {"name": "", "categories": {}, "zones": [3]},
    {"name": "x" * 201, "categories": [3, {"name": "A"}, {"name": "A"}], "zones": []},
    {"name": "\0", "categories": [{"name": 3}], "zones": [{"name": "A", "rows": [4]}] * 1_001},
    {"name": "A", "categories": [{"name": "A"}] * 1_001, "zones": []},
    {"name": "A", "categories": [{"name": "A"}], "zones": [{"name": "A", "rows": [{"seats": [{}] * 1_001}]}]},
    small_plan() | {"categories": []},
    {"name": "A", "categories": [{"name": "A"}], "zones": []},
    {"name": "\u200b", "categories": [{"name": "A"}], "zones": []},
    {
        "name": "A",
        "categories": [{"name": "A"}],
        "zones": [
            {
                "name": "A",
                "general_admission": [
                    {"guid": "a", "name": "a", "category": "A", "capacity": capacity}
                    for capacity in ("many", 0, 200_000, 1)
                ],
                "rows": [{"row_number": "1", "position": {"x": 1e9, "y": 0}, "seats": [{"seat_number": "1"}]}],
            }
        ],
    },
]


def test_whatever_is_wrong_with_a_plan_is_said_in_korean_too() -> None:
    told = set()
    for document in FAULTS:
        with pytest.raises(PlanError) as found:
            read_plan(document, fault=unreadable)
        told |= {each.message for each in found.value.problems}
    assert {message for message in told if korean(message) == message} == set()
    of_others = ("NaN", "64 bits")  # found before the plan is read, or not reached by these
    unused = {form.pattern for form, _ in KOREAN if not any(form.fullmatch(message) for message in told)}
    assert {form for form in unused if not any(each in form for each in of_others)} <= {
        r"the plan has more than (\d+) places",
        r'"(.*)" is used already by (.*)',
    }


async def test_every_date_of_a_rule_is_shown_with_what_stands_in_its_way(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    first = sale.starts_at - timedelta(days=1)
    seen = (await preview(worker, sale, starts_at=first.isoformat(), recurrence=RULE)).json()
    assert [datetime.fromisoformat(each["starts_at"]) for each in seen["dates"]] == [
        first + timedelta(days=day) for day in range(3)
    ]
    assert [[other["schedule_id"] for other in each["in_the_way"]] for each in seen["dates"]] == [
        [],
        [sale.schedule_id],
        [],
    ]
    assert [each["overlaps"] for each in seen["dates"]] == [False] * 3
    assert seen["time_zone"] == "Asia/Seoul"
    body = {"starts_at": first.isoformat(), "venue_id": sale.venue_id, "currency": "KRW", "prices": dict(sale.prices)}
    url = f"/v1/performances/{sale.performance_id}/schedules"
    made = await worker.http.post(url, json=body | {"recurrence": RULE}, headers=sale.organizer)
    assert problem(made, 409, "schedule_conflict")["conflicts_with"] == [sale.schedule_id]


async def test_dates_of_one_rule_that_overlap_are_told(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    first = sale.starts_at + timedelta(days=2)
    there = first.astimezone(tz=None)
    hours = f"{(first + timedelta(hours=9)).hour},{(first + timedelta(hours=10)).hour}"
    rule = f"FREQ=DAILY;BYHOUR={hours};COUNT=2"
    seen = (await preview(worker, sale, starts_at=there.isoformat(), recurrence=rule)).json()
    assert [each["overlaps"] for each in seen["dates"]] == [False, True], seen


async def test_a_date_that_is_moved_is_not_in_its_own_way_and_it_is_said_whom_it_concerns(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    await hold(worker.http, sale, await sign_up(worker.http), "A-1", "A-2")
    later = (sale.starts_at + timedelta(minutes=30)).isoformat()
    seen = (await preview(worker, sale, starts_at=later, moved_id=sale.schedule_id)).json()
    assert seen["dates"][0]["in_the_way"] == []
    assert (seen["bookings"], seen["places"]) == (1, 2)


async def test_what_would_be_refused_is_refused_in_the_same_words(worker: Worker) -> None:
    sale, stranger = await open_sale(worker.http), await worker.sign_up("organizer")
    problem(await preview(worker, sale, stranger), 404, "performance_not_found")
    problem(await preview(worker, sale, await worker.sign_up()), 403, "forbidden")
    other = await open_sale(worker.http)
    problem(await preview(worker, sale, venue_id=other.venue_id), 403, "venue_not_shared")
    problem(await preview(worker, sale, moved_id=other.schedule_id), 404, "schedule_not_found")
    past = await preview(worker, sale, starts_at="2020-01-01T10:00:00+09:00")
    assert problem(past, 422, "validation_failed")["errors"][0]["field"] == "starts_at"
    endless = await preview(worker, sale, recurrence="FREQ=DAILY")
    assert problem(endless, 422, "validation_failed")["errors"][0]["field"] == "recurrence"
