"""Of another organizer's sale nothing is seen and nothing changed: every route there is, walked by the document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Worker
from tests.support.sale import Sale, hold, open_sale, shown

# What only its organizer may see or do; the rest of a schedule, a performance and a venue is everybody's to read.
ORGANIZER_S = ("/v1/organizer/", "/v1/schedules/{schedule_id}/door-staff", "/v1/schedules/{schedule_id}/check-ins")
CATALOGUE = ("/v1/schedules/{schedule_id}", "/v1/performances/{performance_id}", "/v1/venues/{venue_id}")
NOT_THERE = {"schedule_not_found", "performance_not_found", "venue_not_found", "booking_not_found"}


def walked(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The organizers' operations on what has an id; a ticket's code is tried in `test_tickets`."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            own = path.startswith(ORGANIZER_S) or (path in CATALOGUE and method != "get")
            if own and "_id}" in path:
                yield method, path, operation


def example(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    """A body that the operation would take, from its own description."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    described = [content, content["schema"], *content["schema"].get("anyOf", ())]
    described += [
        document["components"]["schemas"][each["$ref"].rpartition("/")[2]] for each in described if "$ref" in each
    ]
    for each in described:
        examples = each.get("examples") or [each[name] for name in ("example",) if name in each]
        if isinstance(examples, dict):
            return next(iter(examples.values()))["value"]
        if examples:
            return examples[0]
    raise AssertionError(f"no example: {content}")


@pytest.fixture
async def sale(worker: Worker) -> Sale:
    return await open_sale(worker.http)


async def test_an_organizer_sees_and_changes_nothing_of_another_s(worker: Worker, sale: Sale) -> None:
    """And a customer and a stranger no more than that."""
    booking = await hold(worker.http, sale, await worker.sign_up(), "A-1")
    ids: defaultdict[str, str] = defaultdict(lambda: booking["id"])
    ids |= {
        "schedule_id": sale.schedule_id,
        "performance_id": sale.performance_id,
        "venue_id": sale.venue_id,
    }
    document = (await worker.http.get("/openapi.json")).json()
    other, customer = await worker.sign_up("organizer"), await worker.sign_up()
    version = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}/states")).json()["version"]
    seen, open_doors = 0, []
    for method, path, operation in walked(document):
        body = example(operation, document)
        seen += 1
        for who, headers, allowed in (
            ("another organizer", other, {404}),
            ("a customer", customer, {403, 404}),
            ("nobody", {}, {401}),
        ):
            answer = await worker.http.request(
                method, path.format_map(ids), headers=headers, **({} if body is None else {"json": body})
            )
            refused = answer.status_code in allowed
            if not refused or (answer.status_code == 404 and answer.json()["code"] not in NOT_THERE):
                open_doors.append(f"{method} {path} as {who}: {answer.status_code} {answer.text[:120]}")
    assert open_doors == []
    assert seen >= 20, "the walk has lost its way"
    now = (await worker.http.get(f"/v1/schedules/{sale.schedule_id}/states")).json()
    assert (now["version"], now["cancelled"]) == (version, False)


async def test_lists_hold_what_is_one_s_own(worker: Worker, sale: Sale) -> None:
    for url in ("/v1/organizer/performances",):
        theirs = (await worker.http.get(url, headers=await worker.sign_up("organizer"))).json()
        assert theirs["items"] == []


async def test_a_booking_of_another_schedule_is_not_ended_through_one_s_own(worker: Worker, sale: Sale) -> None:
    booking = await hold(worker.http, sale, await worker.sign_up(), "A-1")
    own = await open_sale(worker.http)
    url = f"/v1/organizer/schedules/{own.schedule_id}/bookings/{booking['id']}/cancellation"
    answer = await worker.http.post(url, json={"reason": "curious"}, headers=own.organizer)
    assert (answer.status_code, answer.json()["code"]) == (404, "booking_not_found")


async def test_an_organizer_ends_a_booking_and_says_why(worker: Worker, sale: Sale) -> None:
    customer = await worker.sign_up()
    booking = await hold(worker.http, sale, customer, "A-1")
    url = f"/v1/organizer/schedules/{sale.schedule_id}/bookings/{booking['id']}/cancellation"
    answer = await worker.http.post(url, json={"reason": "row A was flooded"}, headers=sale.organizer)
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert (view["by"], view["reason"], view["refund"]) == ("organizer", "row A was flooded", None)
    await shown(worker.http, sale, sale.seats, free=True)
    again = await worker.http.post(url, json={"reason": "again"}, headers=sale.organizer)
    assert (again.status_code, again.json()["code"]) == (409, "booking_already_cancelled")
