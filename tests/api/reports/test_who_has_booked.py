"""Reports 8 and 13: an organizer learns who has booked, finds them, and takes the list along; nobody else learns it."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from api.http.spreadsheet import clock
from tests.api.conftest import PASSWORD, Worker
from tests.support.sale import Sale, hold, open_sale, problem, read, small_plan

FORMULA = "=HYPERLINK(0)"


async def sign_up(worker: Worker, name: str | None) -> tuple[str, dict[str, str]]:
    email = f"buyer-{uuid4().hex}@example.com"
    body = {"email": email, "password": PASSWORD, "name": name}
    answer = await worker.http.post("/v1/accounts", json={key: each for key, each in body.items() if each})
    assert answer.status_code == 201, answer.text
    return email, await worker.log_in(email)


async def listed(worker: Worker, sale: Sale, **query: Any) -> list[dict[str, Any]]:
    page = await read(worker.http, f"/v1/organizer/schedules/{sale.schedule_id}/bookings", sale.organizer, **query)
    items: list[dict[str, Any]] = page["items"]
    return items


async def test_report_13_an_organizer_sees_who_has_booked_and_finds_them(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    (minji, first), (anon, second) = await sign_up(worker, "김민지"), await sign_up(worker, None)
    one = await hold(worker.http, sale, first, "A-1", "A-2")
    other = await hold(worker.http, sale, second, "B-1")
    items = await listed(worker, sale)
    assert [each["id"] for each in items] == [other["id"], one["id"]]
    assert items[1]["customer"] == {"name": "김민지", "email": minji}
    assert items[0]["customer"] == {"name": None, "email": anon}
    assert {name: items[1][name] for name in one} == one
    for question in ("민지", minji.upper(), minji[:20], one["number"].lower(), "A-2", "  김민지 "):
        assert [each["id"] for each in await listed(worker, sale, q=question)] == [one["id"]], question
    for question in ("%", "A-9", "nobody", "_"):
        assert await listed(worker, sale, q=question) == [], question
    assert len(await listed(worker, sale, status="held")) == 2
    assert await listed(worker, sale, q="민지", status="confirmed") == []
    assert (await worker.http.delete(f"/v1/bookings/{other['id']}", headers=second)).status_code in (200, 201, 204)
    assert (await worker.http.delete("/v1/accounts/me", headers=second)).status_code == 204
    gone = next(each for each in await listed(worker, sale) if each["id"] == other["id"])
    assert gone["customer"] == {"name": None, "email": None}


async def test_report_13_the_list_goes_into_a_spreadsheet_as_no_formula(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    email, customer = await sign_up(worker, FORMULA)
    booking = await hold(worker.http, sale, customer, "A-1", "A-2")
    url = f"/v1/organizer/schedules/{sale.schedule_id}/bookings.csv"
    answer = await worker.http.get(url, headers=sale.organizer)
    assert answer.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert row == {
        "number": booking["number"],
        "status": "held",
        "name": f"'{FORMULA}",
        "email": email,
        "seats": "Stalls, row A, seat 1 (VIP); Stalls, row A, seat 2 (VIP)",
        "places": "2",
        "amount": "300000",
        "currency": "KRW",
        "booked_at": clock(datetime.fromisoformat(booking["created_at"]), "Asia/Seoul"),
        "seat_ids": "A-1; A-2",
        "paid": "0",
        "refunded": "0",
        "fees": "0",
    }
    assert answer.text.count("\r\n") == 2
    nothing = await worker.http.get(url, headers=sale.organizer, params={"q": "nobody"})
    assert nothing.text.count("\r\n") == 1


async def test_report_08_a_seat_is_called_as_its_row_says_wherever_staff_read_it(worker: Worker) -> None:
    plan = small_plan()
    plan["zones"][0]["rows"][0]["seat_label"] = "A%s"
    sale = await open_sale(worker.http, plan=plan, prices={"VIP": 0, "Standard": 0})
    _, customer = await sign_up(worker, "Kim")
    booking = await hold(worker.http, sale, customer, "A-1")
    paid = await worker.http.post(f"/v1/bookings/{booking['id']}/payments", json={}, headers=customer)
    assert paid.status_code == 201, paid.text
    ticket = (await worker.http.get(f"/v1/bookings/{booking['id']}/ticket", headers=customer)).json()
    door = f"/v1/schedules/{sale.schedule_id}/check-ins"
    offline = (await worker.http.get(f"{door}?list=offline", headers=sale.organizer)).json()["items"]
    read = [{"id": str(uuid4()), "code": ticket["code"]}]
    first, again = [(await worker.http.post(door, json=read, headers=sale.organizer)).json() for _ in range(2)]
    assert first == again
    for view in (*offline, *first):
        assert [each["number"] for each in view["labels"]] == ["A1"]
    table = f"/v1/organizer/schedules/{sale.schedule_id}/bookings.csv"
    for language, name in (("en", "Stalls, row A, seat A1 (VIP)"), ("ko", "Stalls A열 A1번 (VIP)")):
        headers = {**sale.organizer, "Accept-Language": language}
        assert name in (await worker.http.get(table, headers=headers)).text


@pytest.mark.parametrize("what", ["bookings", "bookings.csv"])
async def test_report_13_nobody_else_learns_who_has_booked(worker: Worker, what: str) -> None:
    sale = await open_sale(worker.http)
    url = f"/v1/organizer/schedules/{sale.schedule_id}/{what}"
    problem(await worker.http.get(url, headers=await worker.sign_up("organizer")), 404, "schedule_not_found")
    problem(await worker.http.get(url, headers=await worker.sign_up()), 403, "forbidden")
    problem(await worker.http.get(url), 401, "unauthenticated")
