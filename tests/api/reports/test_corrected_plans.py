"""Report 16: a venue's plan is corrected; nobody loses a seat by it, and whoever looks sees the house as it is."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from persistence.database.tables import audit_log
from tests.api.conftest import Worker
from tests.support.sale import Sale, begin, hold, open_sale, problem, read, seat_ids, small_plan

PLAN = small_plan(rows=3, seats_per_row=4, standing=10)  # A is VIP, B and C are Standard


def corrected() -> dict[str, Any]:
    """A seat before all others, one that is not there, one that is called otherwise, and a larger floor."""
    plan = copy.deepcopy(PLAN)
    plan["categories"].append({"name": "Box", "color": "#aa0000"})
    first, second, _ = plan["zones"][0]["rows"]
    box = {**first["seats"][0], "seat_guid": "A-0", "seat_number": "0", "position": {"x": 0, "y": 0}, "category": "Box"}
    first["seats"].insert(0, box)
    del second["seats"][3]  # B-4
    second["seats"][0]["seat_number"] = "1a"
    plan["zones"][0]["general_admission"][0]["capacity"] = 12
    return plan


async def replace(
    worker: Worker, sale: Sale, plan: dict[str, Any], prices: dict[str, Any] | None = None, **query: Any
) -> httpx.Response:
    body = {"seating_plan": plan} | ({} if prices is None else {"prices": prices})
    url = f"/v1/venues/{sale.venue_id}/seating-plan"
    return await worker.http.put(url, json=body, params=query, headers=sale.organizer)


async def applied(worker: Worker, sale: Sale, plan: dict[str, Any], **prices: Any) -> dict[str, Any]:
    answer = await replace(worker, sale, plan, prices or None)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    assert view["applied"]
    return view


async def another_date(worker: Worker, sale: Sale, **fields: Any) -> str:
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=fields.pop("days", 5))
    body = {"starts_at": starts_at.isoformat(), "venue_id": sale.venue_id, "currency": "KRW", "prices": sale.prices}
    url = f"/v1/performances/{sale.performance_id}/schedules"
    answer = await worker.http.post(url, json=body | fields, headers=sale.organizer)
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


async def places(worker: Worker, schedule_id: str) -> dict[str, Any]:
    house = await read(worker.http, f"/v1/schedules/{schedule_id}/seats", {})
    return {seat["id"]: (seat["number"], seat["category"], seat["price"], seat["state"]) for seat in house["seats"]} | {
        area["id"]: (area["capacity"], area["left"]) for area in house["areas"]
    }


async def test_report_16_a_plan_is_corrected_and_whoever_has_seats_keeps_them(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    other = await another_date(worker, sale)
    first, second = await worker.sign_up(), await worker.sign_up()
    mine = await hold(worker.http, sale, first, "A-1", "C-4", "floor", "floor")
    ended = await hold(worker.http, sale, second, "B-4", "B-1")
    assert (await worker.http.delete(f"/v1/bookings/{ended['id']}", headers=second)).is_success
    await worker.http.post(
        f"/v1/organizer/schedules/{sale.schedule_id}/blocks",
        json={"seats": ["C-1"], "reason": "camera"},
        headers=sale.organizer,
    )
    before = await read(worker.http, f"/v1/schedules/{sale.schedule_id}/states", {})
    view = await applied(worker, sale, corrected(), Box=200_000)
    assert [view[name]["ids"] for name in ("added", "removed", "renamed")] == [["A-0"], ["B-4"], ["B-1"]]
    assert {each["schedule_id"] for each in view["schedules"]} == {sale.schedule_id, other}
    assert {(each["places_before"], each["places_after"]) for each in view["schedules"]} == {(22, 24)}

    for schedule_id in (sale.schedule_id, other):
        house = await places(worker, schedule_id)
        assert "B-4" not in house
        assert house["A-0"] == ("0", "Box", 200_000, "free")
        assert house["B-1"][0] == "1a"
    house = await places(worker, sale.schedule_id)
    assert (house["A-1"][3], house["C-4"][3], house["C-1"][3]) == ("held", "held", "blocked")
    assert house["floor"] == (12, 10)
    assert sum(state == "free" for *_, state in [each for each in house.values() if len(each) == 4]) == 9

    # What there is to be had is what the new plan has, but for what is blocked.
    dates = (await read(worker.http, f"/v1/performances/{sale.performance_id}/schedules", {}))["items"]
    counted = {each["id"]: (each["capacity"], each["seats_left"]) for each in dates}
    all_of_it = {"VIP": 4, "Standard": 7, "Standing": 12, "Box": 1}
    assert counted == {
        sale.schedule_id: (all_of_it | {"Standard": 6}, {"VIP": 3, "Standard": 5, "Standing": 10, "Box": 1}),
        other: (all_of_it, all_of_it),
    }
    performance = await read(worker.http, f"/v1/performances/{sale.performance_id}", {})
    assert (performance["capacity_on_sale"], performance["seats_left"]) == (23 + 24, 19 + 24)

    # The booking is what it was, and goes on; a new one may have what is new.
    assert await read(worker.http, f"/v1/bookings/{mine['id']}", first) == mine
    changed = await worker.http.patch(f"/v1/bookings/{mine['id']}", json={"seats": ["A-1", "C-3"]}, headers=first)
    assert (changed.status_code, seat_ids(changed.json())) == (200, ["A-1", "C-3"]), changed.text
    new = await hold(worker.http, sale, second, "A-0", "B-1")
    assert [(seat["id"], seat["number"], seat["price"]) for seat in new["seats"]] == [
        ("A-0", "0", 200_000),
        ("B-1", "1a", 55_000),
    ]
    # What ended on a seat that is gone is still told.
    assert seat_ids(await read(worker.http, f"/v1/bookings/{ended['id']}", second)) == ["B-4", "B-1"]
    story = await read(worker.http, f"/v1/bookings/{ended['id']}/history", second)
    assert story["items"][0]["data"]["seats"] == ["B-4", "B-1"]
    blocks = await read(worker.http, f"/v1/organizer/schedules/{sale.schedule_id}/blocks", sale.organizer)
    assert [each["seats"] for each in blocks["items"]] == [["C-1"]]
    gone = {"seats": ["B-4"]}
    problem(await worker.http.post(sale.bookings_url, json=gone, headers=second), 422, "unknown_seat")

    # Pages draw another house.
    after = await read(worker.http, f"/v1/schedules/{sale.schedule_id}/states", {})
    assert before["layout"] != after["layout"]
    assert before["terms"] != after["terms"]
    layout = await read(worker.http, f"/v1/schedules/{sale.schedule_id}/layout", {})
    assert layout["digest"] == after["layout"]
    assert len(layout["seats"]["id"]) == 12
    venue = await read(worker.http, f"/v1/venues/{sale.venue_id}", {})
    assert (venue["capacity"], venue["plan_number"], venue["seating_plan"]) == (24, 1, corrected())
    for each in (sale.schedule_id, other):
        report = await worker.office.reconciler.examine(each)
        assert report.failing == frozenset()
    async with worker.office.database.connect() as connection:
        query = sa.select(audit_log.c.after).where(audit_log.c.action == "venue.plan_replaced")
        entries = [
            each.after
            for each in await connection.execute(query.where(audit_log.c.subject == f"venue:{sale.venue_id}"))
        ]
    assert [(each["added"], each["removed"], sorted(each["schedules"])) for each in entries] == [
        (1, 1, sorted([sale.schedule_id, other]))
    ]


async def test_report_16_whoever_would_lose_a_seat_stands_in_the_way_and_nothing_is_done(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    other = await another_date(worker, sale)
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "B-4", "A-2")
    seen = await places(worker, other)
    outlook = await replace(worker, sale, corrected(), {"Box": None}, dry_run=True)
    assert outlook.status_code == 200, outlook.text
    expected = {sale.schedule_id: [{"seats": ["B-4"], "booking_id": booking["id"]}], other: []}
    assert {each["schedule_id"]: each["in_the_way"] for each in outlook.json()["schedules"]} == expected
    refused = problem(await replace(worker, sale, corrected(), {"Box": None}), 409, "venue_in_use")
    (standing,) = refused["schedules"]
    assert (standing["schedule_id"], standing["seats"]) == (sale.schedule_id, ["B-4"])
    assert standing["starts_at"] == (await read(worker.http, f"/v1/schedules/{sale.schedule_id}", {}))["starts_at"]
    assert standing["bookings"] == [booking["id"]]
    assert await places(worker, other) == seen
    assert (await read(worker.http, f"/v1/venues/{sale.venue_id}", {}))["plan_number"] == 0
    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
    await applied(worker, sale, corrected(), Box=None)
    assert (await places(worker, other))["A-0"] == ("0", "Box", None, "free")


async def test_report_16_standing_room_gets_no_smaller_than_who_stands_there(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    customer = await worker.sign_up()
    await hold(worker.http, sale, customer, "floor", "floor", "floor")
    url = f"/v1/organizer/schedules/{sale.schedule_id}/blocks"
    await worker.http.post(url, json={"seats": ["floor", "floor"], "reason": "desk"}, headers=sale.organizer)
    smaller = copy.deepcopy(PLAN)
    area = smaller["zones"][0]["general_admission"][0]
    area["capacity"] = 4
    refused = problem(await replace(worker, sale, smaller), 409, "venue_in_use")
    assert refused["schedules"][0]["seats"] == ["floor"]
    area["capacity"] = 5
    await applied(worker, sale, smaller)
    assert (await places(worker, sale.schedule_id))["floor"] == (5, 0)
    assert (await worker.office.reconciler.examine(sale.schedule_id)).failing == frozenset()


async def test_report_16_what_is_only_drawn_otherwise_is_in_nobody_s_way(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    customer = await worker.sign_up()
    mine = await hold(worker.http, sale, customer, *sale.seats)
    moved = copy.deepcopy(PLAN)
    moved["name"] = "The same house"
    moved["categories"][0]["color"] = "#000000"
    moved["zones"][0]["rows"].reverse()  # numbered otherwise, called the same
    for row in moved["zones"][0]["rows"]:
        row["position"]["x"] = 100
    await applied(worker, sale, moved)
    assert await read(worker.http, f"/v1/bookings/{mine['id']}", customer) == mine
    assert {state for *_, state in list((await places(worker, sale.schedule_id)).values())[:12]} == {"held"}
    # Once more the same changes nothing.
    again = await applied(worker, sale, moved)
    assert again["plan_number"] == 1
    assert (await read(worker.http, f"/v1/venues/{sale.venue_id}", {}))["plan_number"] == 1


async def test_report_16_every_category_has_a_price_or_is_said_to_be_not_for_sale(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    assert "Box" in problem(await replace(worker, sale, corrected()), 422, "validation_failed")["errors"][0]["message"]
    problem(await replace(worker, sale, corrected(), {"Boxes": 1}), 422, "validation_failed")
    await another_date(worker, sale, currency="USD", prices={"VIP": 100, "Standard": 50, "Standing": 30})
    problem(await replace(worker, sale, corrected(), {"Box": 1}), 422, "validation_failed")
    await applied(worker, sale, corrected(), Box=None)
    problem(await replace(worker, sale, {"name": "x"}), 422, "invalid_seating_plan")
    # Who opens a date afterwards prices what there is.
    later = await another_date(worker, sale, days=9, prices={**sale.prices, "Box": 1})
    assert (await places(worker, later))["A-0"] == ("0", "Box", 1, "free")
    assert (await worker.office.reconciler.examine(later)).failing == frozenset()


async def test_report_16_what_has_begun_keeps_the_plan_it_had(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "B-4")
    await begin(worker.http, sale)
    view = await applied(worker, sale, corrected())
    assert view["schedules"] == []
    assert "B-4" in await places(worker, sale.schedule_id)
    assert seat_ids(await read(worker.http, f"/v1/bookings/{booking['id']}", customer)) == ["B-4"]
    assert (await worker.office.reconciler.examine(sale.schedule_id)).failing == frozenset()


async def test_report_16_nobody_else_corrects_a_plan_or_learns_who_has_booked(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    stranger, customer = await worker.sign_up("organizer"), await worker.sign_up()
    url, body = f"/v1/venues/{sale.venue_id}/seating-plan", {"seating_plan": corrected(), "prices": {"Box": 5}}
    problem(await worker.http.put(url, json=body), 401, "unauthenticated")
    problem(await worker.http.put(url, json=body, headers=customer), 403, "forbidden")
    problem(await worker.http.put(url, json=body, headers=stranger), 404, "venue_not_found")
    nowhere = f"/v1/venues/{uuid4()}/seating-plan"
    problem(await worker.http.put(nowhere, json=body, headers=stranger), 404, "venue_not_found")

    # A guest's date follows, too: its seats stand in the way without a name, and what is new waits for its price.
    await worker.http.patch(f"/v1/venues/{sale.venue_id}", json={"shared": True}, headers=sale.organizer)
    made = await worker.http.post("/v1/performances", json={"title": f"Guest {uuid4()}"}, headers=stranger)
    guest = Sale(**{
        **{name: getattr(sale, name) for name in Sale.__dataclass_fields__},
        "performance_id": made.json()["id"], "organizer": stranger,
    })  # fmt: skip
    theirs = await another_date(worker, guest, days=3)
    booked = await worker.http.post(f"/v1/schedules/{theirs}/bookings", json={"seats": ["B-4"]}, headers=customer)
    refused = problem(await replace(worker, sale, corrected(), {"Box": 5}), 409, "venue_in_use")
    assert refused["schedules"][0] | {"starts_at": ""} == {
        "schedule_id": theirs, "starts_at": "", "seats": ["B-4"], "bookings": [],
    }  # fmt: skip
    assert (await worker.http.delete(f"/v1/bookings/{booked.json()['id']}", headers=customer)).is_success
    await applied(worker, sale, corrected(), Box=5)
    assert (await places(worker, theirs))["A-0"][2] is None
    assert (await places(worker, sale.schedule_id))["A-0"][2] == 5


async def test_report_16_a_plan_is_corrected_again_and_again(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    customer = await worker.sign_up()
    mine = await hold(worker.http, sale, customer, "C-2", "floor")
    for number in range(1, 6):
        prices = {"Box": 7} if number % 2 else {}
        await applied(worker, sale, corrected() if number % 2 else PLAN, **prices)
        assert await read(worker.http, f"/v1/bookings/{mine['id']}", customer) == mine
        booking = await hold(worker.http, sale, customer, "B-1", "B-2")
        assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
        assert (await worker.office.reconciler.examine(sale.schedule_id)).failing == frozenset()
    admin_story = await read(worker.http, f"/v1/bookings/{mine['id']}/history", customer)
    assert admin_story["items"][0]["data"]["seats"] == ["C-2", "floor"]


@pytest.mark.parametrize("packed", [False, True])
async def test_report_16_who_looks_on_is_told_a_new_layout_before_its_places(worker: Worker, packed: bool) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    pages_url = f"/v1/schedules/{sale.schedule_id}"
    await read(worker.http, f"{pages_url}/states", {})
    pages = worker.app.state.seat_pages
    stream = await pages.stream(sale.schedule_id, None, packed=packed)
    frames = stream.body_iterator
    seen: list[bytes] = [await anext(frames), await anext(frames)]
    assert seen[1].startswith(b"event: snapshot")
    await applied(worker, sale, corrected(), Box=9)
    told = await anext(frames)
    while not told.startswith(b"event: terms"):
        told = await anext(frames)
    layout = (await read(worker.http, f"{pages_url}/layout", {}))["digest"]
    assert f'"layout":"{layout}"'.encode() in told
    news = await anext(frames)
    assert news.startswith(b"event: snapshot")
    assert packed or (b'"A-0"' in news and b'"B-4"' not in news)
    await frames.aclose()


async def test_report_16_what_was_before_a_correction_is_looked_at_by_the_layout_of_then(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    customer = await worker.sign_up()
    await hold(worker.http, sale, customer, "A-1")
    await applied(worker, sale, corrected(), Box=9)
    await hold(worker.http, sale, customer, "A-0")
    url, layout_url = f"/v1/organizer/schedules/{sale.schedule_id}/history", f"/v1/schedules/{sale.schedule_id}/layout"
    first = await read(worker.http, url, sale.organizer, from_version=1)
    assert ([each["version"] for each in first["items"]], first["next_version"]) == ([1, 2], 3)
    then = await read(worker.http, layout_url, {}, digest=first["layout"])
    assert then["digest"] == first["layout"]
    assert [then["seats"]["id"][place] for place in first["items"][1]["places"]] == ["A-1"]
    second = await read(worker.http, url, sale.organizer, from_version=first["next_version"])
    assert (second["before"]["version"], [each["version"] for each in second["items"]]) == (3, [4])
    now = await read(worker.http, layout_url, {}, digest=second["layout"])
    assert [now["seats"]["id"][place] for place in second["before"]["bookings"][0]["places"]] == ["A-1"]
    assert [now["seats"]["id"][place] for place in second["items"][0]["places"]] == ["A-0"]
    unknown = await worker.http.get(layout_url, params={"digest": "0" * 32})
    assert (unknown.json()["digest"], unknown.headers["cache-control"]) == (second["layout"], "no-cache")


async def test_report_16_a_plan_is_changed_with_the_rest_of_its_venue_or_nothing_is(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=PLAN)
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "B-4")
    url, change = f"/v1/venues/{sale.venue_id}", {"name": "Renamed", "seating_plan": corrected()}
    before = await read(worker.http, url, {})

    async def patch(**fields: Any) -> httpx.Response:
        return await worker.http.patch(url, json=fields, headers=sale.organizer)

    problem(await patch(**change, prices={"Box": None}), 409, "venue_in_use")
    for wrong in (change, {**change, "time_zone": "KST"}, {**change, "seating_plan": {}}, {"prices": {"Box": 1}}):
        assert (await patch(**wrong)).status_code == 422, wrong
    assert await read(worker.http, url, {}) == before

    assert (await worker.http.delete(f"/v1/bookings/{booking['id']}", headers=customer)).is_success
    changed = await patch(**change, prices={"Box": 200_000})
    assert changed.status_code == 200, changed.text
    after = await read(worker.http, url, {})
    assert {**changed.json(), "seating_plan": corrected()} == after
    assert (after["name"], after["capacity"], after["plan_number"]) == ("Renamed", 24, 1)
    assert (await places(worker, sale.schedule_id))["A-0"] == ("0", "Box", 200_000, "free")
