"""The house at any version: the beginning and the steps of a page lead to what stands in the journal."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from engine import commands as c
from engine.refusals import Refusal
from persistence.journal import history
from persistence.journal.journal import PostgresJournal
from tests.api.conftest import Worker
from tests.support.sale import Sale, hold, open_sale, problem, small_plan


async def told(worker: Worker, sale: Sale, headers: dict[str, str] | None = None, **query: int) -> dict[str, Any]:
    url = f"/v1/organizer/schedules/{sale.schedule_id}/history"
    answer = await worker.http.get(url, params=query, headers=headers or sale.organizer)
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def send(worker: Worker, sale: Sale, command: Any) -> None:
    answer = await worker.office.gateway.send(sale.schedule_id, command, request_id=worker.office.clock.new_id())
    assert not isinstance(answer, Refusal), answer


@pytest.fixture
async def sale(worker: Worker) -> Sale:
    """A schedule with a story: holds, an exchange, a payment, a refund, standing room, a block, a cancellation."""
    sale = await open_sale(worker.http, plan=small_plan(standing=6))
    customer = await worker.sign_up()
    who = (await worker.http.get("/v1/accounts/me", headers=customer)).json()["id"]
    first = await hold(worker.http, sale, customer, "A-1", "A-2", "floor", "floor")
    await send(worker, sale, c.Change(first["id"], who, ("A-1", "A-3", "floor")))
    payment = worker.office.clock.new_id()
    await send(worker, sale, c.RequestPayment(first["id"], who, payment, "sandbox"))
    await send(worker, sale, c.ApprovePayment(first["id"], payment, "ref"))
    await send(worker, sale, c.Refund(first["id"], who, worker.office.clock.new_id(), payment, ("A-3",)))
    await send(worker, sale, c.Block(("B-1", "floor"), "camera", "organizer"))
    second = await hold(worker.http, sale, customer, "C-1")
    await send(worker, sale, c.Cancel(second["id"], worker.office.clock.new_id(), who))
    return sale


def unpacked(moment: dict[str, Any], size: int) -> list[int]:
    packed = b64decode(moment["seats"])
    return [packed[seat // 4] >> seat % 4 * 2 & 3 for seat in range(size)]


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_every_page_s_steps_lead_to_the_next_one_s_beginning(worker: Worker, sale: Sale, limit: int) -> None:
    size, version = len(sale.seats), 1
    journal = PostgresJournal(worker.office.pool)
    plan = await worker.office.plans.of_schedule(sale.schedule_id)
    seen = []
    while version is not None:
        page = await told(worker, sale, from_version=version, limit=limit)
        assert page["before"]["version"] == version - 1
        seats, areas = unpacked(page["before"], size), page["before"]["areas"]
        owned = {each["id"]: each["places"] for each in page["before"]["bookings"]}
        for step in page["items"]:
            for place, state in step["seats"]:
                seats[place] = state
            for number, *counts in step["areas"]:
                areas[number] = counts
            if step["places"] is not None:
                owned[step["data"]["booking_id"]] = step["places"]
            due = await history.state_at(journal, sale.schedule_id, plan, step["version"])
            assert {id_: places for id_, places in owned.items() if places} == {
                each.id: list(each.seats) for each in due.bookings.values()
            }
            assert (seats, areas) == (list(due.seats), due.areas), step["type"]
            seen.append(step["version"])
        version = page["next_version"]
    assert seen == list(range(1, page["newest"] + 1))


async def test_past_the_end_there_are_no_steps_and_nonsense_is_named(worker: Worker, sale: Sale) -> None:
    page = await told(worker, sale, from_version=10**6)
    assert (page["items"], page["next_version"], page["before"]["version"]) == ([], None, page["newest"])
    url = f"/v1/organizer/schedules/{sale.schedule_id}/history"
    for query in ({"from_version": "0"}, {"limit": "0"}, {"limit": "2001"}, {"from_version": "x"}):
        problem(await worker.http.get(url, params=query, headers=sale.organizer), 422, "validation_failed")


async def test_it_names_the_event_behind_each_step_and_is_its_organizer_s_alone(worker: Worker, sale: Sale) -> None:
    page = await told(worker, sale)
    kinds = [step["type"] for step in page["items"]]
    assert kinds[:3] == ["schedule.opened", "reservation.held", "reservation.changed"]
    held = page["items"][1]
    assert held["data"]["seats"] == ["A-1", "A-2", "floor", "floor"]
    url = f"/v1/organizer/schedules/{sale.schedule_id}/history"
    problem(await worker.http.get(url, headers=await worker.sign_up("organizer")), 404, "schedule_not_found")
    problem(await worker.http.get(url, headers=await worker.sign_up()), 403, "forbidden")
