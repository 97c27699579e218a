"""Sales figures as organizers see them, kept from the events; and `boxoffice events`, which shows and replays them."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import pytest

from tests.api.command_line.test_cli import boxoffice
from tests.conftest import Stack
from tests.support.sale import Sale, hold, log_in_admin, open_sale, paid_booking, problem, sign_up, until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """Two VIP seats paid for, one of them given back; one seat held; one booking cancelled; and all of it counted."""
    sale = await open_sale(http)
    customer = await sign_up(http)
    _, payment = await paid_booking(http, sale, customer, "A-1", "A-2")
    refunded = await http.post(f"/v1/payments/{payment['id']}/refunds", json={"seats": ["A-2"]}, headers=customer)
    assert refunded.status_code == 201, refunded.text
    await hold(http, sale, customer, "C-1")
    booking = await hold(http, sale, customer, "C-2", "C-3")
    cancelled = await http.post(f"/v1/bookings/{booking['id']}/cancellation", headers=customer)
    assert cancelled.status_code == 201, cancelled.text

    async def counted() -> bool:
        schedule = await figures(http, sale)
        return bool(schedule["up_to_version"] == schedule["version"] > 1)

    await until(counted)
    return sale


async def figures(http: httpx.AsyncClient, sale: Sale, headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = await http.get(
        f"/v1/organizer/performances/{sale.performance_id}/sales", headers=headers or sale.organizer
    )
    assert answer.status_code == 200, answer.text
    (schedule,) = answer.json()["schedules"]
    return dict(schedule)


async def test_an_organizer_sees_what_was_sold_by_category_and_hour(http: httpx.AsyncClient, sale: Sale) -> None:
    schedule = await figures(http, sale)
    vip, standard = schedule["by_category"]["VIP"], schedule["by_category"]["Standard"]
    assert (vip["held"], vip["sold"], vip["refunded"], vip["revenue"], vip["fees"]) == (2, 2, 1, 150_000, 0)
    assert (standard["held"], standard["sold"], standard["cancelled"], standard["revenue"]) == (3, 0, 2, 0)
    assert schedule["total"]["held"] == 5
    assert (schedule["currency"], schedule["cancelled"]) == ("KRW", False)
    for name in ("held", "sold", "refunded", "cancelled", "revenue"):
        assert sum(row[name] for row in schedule["by_hour"]) == schedule["total"][name]


async def test_the_same_by_minute_from_a_moment_on_and_as_a_table(http: httpx.AsyncClient, sale: Sale) -> None:
    url = f"/v1/organizer/performances/{sale.performance_id}/sales"
    (schedule,) = (await http.get(url, params={"by": "minute"}, headers=sale.organizer)).json()["schedules"]
    for name in ("held", "sold", "refunded", "cancelled", "revenue"):
        assert sum(row[name] for row in schedule["by_minute"]) == schedule["total"][name]
    (later,) = (
        await http.get(url, params={"by": "minute", "from": "2099-01-01T00:00:00Z"}, headers=sale.organizer)
    ).json()["schedules"]
    assert (later["by_minute"], later["by_hour"], later["total"]) == ([], [], schedule["total"])
    problem(await http.get(url, params={"by": "second"}, headers=sale.organizer), 422, "validation_failed")
    table = await http.get(f"{url}.csv", headers=sale.organizer)
    header, *lines = csv.reader(io.StringIO(table.text.removeprefix("\ufeff")))
    sold = header.index("sold")
    assert sum(int(line[sold]) for line in lines) == schedule["total"]["sold"]
    problem(await http.get(f"{url}.csv", headers=await sign_up(http, "organizer")), 404, "performance_not_found")


@pytest.mark.parametrize("by", ["minute", "hour", "day"])
async def test_one_schedule_s_sales_by_any_time_add_up_to_its_totals(
    http: httpx.AsyncClient, sale: Sale, by: str
) -> None:
    url, whole = f"/v1/organizer/schedules/{sale.schedule_id}/sales", await figures(http, sale)
    view = (await http.get(url, params={"by": by}, headers=sale.organizer)).json()
    assert (view["total"], view["by_category"]) == (whole["total"], whole["by_category"])
    assert (view["version"], view["up_to_version"]) == (whole["version"], whole["up_to_version"])
    assert view["capacity"] == {"VIP": 20, "Standard": 20}
    for name, total in view["total"].items():
        assert sum(row[name] for row in view["rows"]) == total
    assert [row["at"] for row in view["rows"]] == sorted(row["at"] for row in view["rows"])
    table = await http.get(f"{url}.csv", params={"by": by}, headers=sale.organizer)
    header, *lines = csv.reader(io.StringIO(table.text.removeprefix("\ufeff")))
    assert (header[0], len(lines)) == (by, len(view["rows"]))
    assert sum(int(line[header.index("revenue")]) for line in lines) == view["total"]["revenue"]
    later = (await http.get(url, params={"by": by, "from": "2099-01-01T00:00:00Z"}, headers=sale.organizer)).json()
    assert (later["rows"], later["total"]) == ([], view["total"])


async def test_a_settlement_is_what_was_paid_less_what_went_back(http: httpx.AsyncClient, sale: Sale) -> None:
    url = f"/v1/organizer/schedules/{sale.schedule_id}/settlement"
    view = (await http.get(url, headers=sale.organizer)).json()
    assert (view["gross"], view["refunded"], view["fees"], view["net"]) == (300_000, 150_000, 0, 150_000)
    assert view["currency"] == "KRW"
    problem(await http.get(url, headers=await sign_up(http, "organizer")), 404, "schedule_not_found")
    problem(await http.get(url, headers=await sign_up(http)), 403, "forbidden")


async def test_figures_are_their_organizer_s_and_the_admins(http: httpx.AsyncClient, stack: Stack, sale: Sale) -> None:
    url = f"/v1/organizer/performances/{sale.performance_id}/sales"
    problem(await http.get(url), 401, "unauthenticated")
    problem(await http.get(url, headers=await sign_up(http)), 403, "forbidden")
    problem(await http.get(url, headers=await sign_up(http, "organizer")), 404, "performance_not_found")
    assert (await figures(http, sale, await log_in_admin(http, stack)))["schedule_id"] == sale.schedule_id


async def test_a_schedule_nobody_has_booked_has_no_figures(http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    schedule = await figures(http, sale)
    assert (schedule["by_category"], schedule["by_hour"], schedule["total"]["sold"]) == ({}, [], 0)
    alone = (await http.get(f"/v1/organizer/schedules/{sale.schedule_id}/sales", headers=sale.organizer)).json()
    assert (alone["by_category"], alone["rows"], alone["total"], alone["version"]) == ({}, [], schedule["total"], 1)


async def test_no_event_is_parked_and_an_unknown_one_cannot_be_retried(http: httpx.AsyncClient, stack: Stack) -> None:
    admin = await log_in_admin(http, stack)
    assert (await http.get("/v1/admin/parked-events", headers=admin)).json() == {"items": [], "next_cursor": None}
    url = "/v1/admin/parked-events/sales/0199f39c-11d2-7a0f-8c8e-51d0c7b9a011/3/retry"
    problem(await http.post(url, headers=admin), 404, "parked_event_not_found")
    problem(await http.post(url.replace("sales", "nobody"), headers=admin), 404, "parked_event_not_found")
    problem(await http.post(url, headers=await sign_up(http)), 403, "forbidden")


async def test_events_tail_tells_a_schedule_s_story(stack: Stack, sale: Sale) -> None:
    where = ("--data-dir", str(stack.data_dir))
    code, output = await boxoffice(
        "events", "tail", "--schedule", sale.schedule_id, "--from", "1", "--no-follow", *where
    )
    lines = output.splitlines()
    assert code == 0, output
    assert [line.split("  ")[1] for line in lines] == [f"v{version}" for version in range(1, len(lines) + 1)]
    assert "schedule.opened" in lines[0]
    assert "reservation.held" in lines[1]
    assert "300,000 KRW held  A-1, A-2" in lines[1]
    assert any("refund.requested" in line and "150,000 KRW requested" in line for line in lines)


async def test_events_replay_makes_the_same_data_again(http: httpx.AsyncClient, stack: Stack, sale: Sale) -> None:
    before = await figures(http, sale)
    arguments = ("events", "replay", "sales", "--schedule", sale.schedule_id, "--data-dir", str(stack.data_dir))
    code, output = await boxoffice(*arguments)
    assert code == 0, output
    assert f"{before['version']} events taken" in output
    assert "the same as before" in output
    assert await figures(http, sale) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("replay", "nobody"), "there is no service nobody: "),
        (("tail", "--schedule", "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011", "--no-follow"), "there is no schedule"),
        (("tail", "--from", "3", "--no-follow"), "--from needs --schedule"),
    ],
)
async def test_events_says_what_it_cannot_do(stack: Stack, arguments: tuple[str, ...], says: str) -> None:
    code, output = await boxoffice("events", *arguments, "--data-dir", str(stack.data_dir))
    assert code == 1
    assert says in " ".join(output.split())
    assert "Traceback" not in output
