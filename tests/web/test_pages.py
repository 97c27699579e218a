"""What pages tell of a sale, of the connection and of who is here, and that they go on by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Route

from tests.support.sale import PASSWORD, Sale, open_sale, sign_up, small_plan
from tests.support.waiting import until
from tests.web.conftest import MakeReader

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """A house of 200 seats for all tests here."""
    return await open_sale(http, plan=small_plan(rows=10, seats_per_row=20, standing=50))


def last_seats(sale: Sale, count: int) -> list[str]:
    """Seats from the back, that no test has been given: whoever holds the best ones holds others."""
    seats = [seat for seat in reversed(sale.seats) if seat not in sale.taken][:count]
    sale.taken.update(seats)
    return seats


# --- how a sale stands ------------------------------------------------------------------------------------------------
async def test_a_date_that_opens_later_counts_down_and_opens_by_itself(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader, organizer = await make_reader(), await sign_up(http, "organizer")
    counting = reader.page.get_by_role("button", name=reader.words["opens_in"])
    choose = reader.page.get_by_role("link", name=reader.words["choose"])
    for ahead in (6, 24, 96):  # it opens when somebody has seen that it does not, however long that takes here
        opens = datetime.now(UTC) + timedelta(seconds=ahead)
        sale = await open_sale(http, organizer=organizer, sale_opens_at=opens.isoformat())
        await reader.page.goto(f"/p/{sale.performance_id}")
        await counting.or_(choose).first.wait_for()
        if await counting.count():
            break
    await reader.reads(reader.words["opens_later"])
    assert await counting.is_disabled()
    await choose.wait_for()


async def test_a_sold_out_date_says_so_and_seats_that_come_back_show_by_themselves(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale = await open_sale(http, plan=small_plan(rows=1, seats_per_row=2))
    buyer = await sign_up(http)
    for seat in sale.seats:
        answer = await http.post(sale.bookings_url, json={"seats": [seat]}, headers=buyer)
    reader = await make_reader()
    await reader.page.clock.install()
    await reader.page.goto(f"/p/{sale.performance_id}")
    await reader.reads(reader.words["sold_out"])
    cancelled = await http.post(f"/v1/bookings/{answer.json()['id']}/cancellation", json={}, headers=buyer)
    assert cancelled.status_code == 201

    async def comes_back() -> bool:
        await reader.page.clock.fast_forward(20_000)
        return await reader.page.get_by_text(reader.words["few_left"], exact=True).count() > 0

    await until(comes_back)


async def test_a_cancelled_date_says_so_and_why(make_reader: MakeReader, http: httpx.AsyncClient) -> None:
    sale = await open_sale(http)
    cancelled = await http.post(
        f"/v1/organizer/schedules/{sale.schedule_id}/cancellation",
        json={"reason": "the hall is flooded"},
        headers=sale.organizer,
    )
    assert cancelled.status_code == 202, cancelled.text
    reader = await make_reader()
    await reader.page.goto(f"/p/{sale.performance_id}")
    await reader.reads(reader.words["cancelled"])
    await reader.page.get_by_text("the hall is flooded").wait_for()


LATER = {"id": "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90", "starts_at": "2031-05-04T10:00:00.000+00:00"}


async def test_of_a_long_run_every_date_is_there_however_many_pages_they_take(
    make_reader: MakeReader, sale: Sale
) -> None:
    reader = await make_reader()

    async def page_by_page(route: Route) -> None:
        answer = await (await route.fetch()).json() if not pages else pages[0]
        pages.append(answer)
        if "cursor=further" in route.request.url:
            await route.fulfill(json={"items": [pages[0]["items"][0] | LATER], "next_cursor": None})
        else:
            await route.fulfill(json=answer | {"next_cursor": "further"})

    pages: list[dict[str, Any]] = []
    await reader.page.route(f"**/v1/performances/{sale.performance_id}/schedules?*", page_by_page)
    await reader.page.goto(f"/p/{sale.performance_id}")
    await reader.page.get_by_role("heading", name="May 4, 2031").wait_for()
    assert await reader.page.get_by_role("link", name=reader.words["choose"]).count() == 2


async def test_where_nothing_is_on_yet_the_first_page_says_so(make_reader: MakeReader) -> None:
    reader = await make_reader()
    problem = {"code": "catalogue_empty", "title": "Empty", "status": 404, "detail": "Nothing yet.", "type": "/p"}
    await reader.page.route("**/v1/performances?*", lambda route: route.fulfill(status=404, json=problem))
    await reader.page.goto("/")
    await reader.reads("Nothing is on yet")


@pytest.mark.parametrize("by_itself", [False, True])
async def test_without_a_connection_a_page_says_so_and_goes_on_when_asked_or_when_it_is_back(
    by_itself: bool, make_reader: MakeReader, sale: Sale
) -> None:
    reader = await make_reader()
    await reader.page.goto("/login")
    away = True

    async def perhaps(route: Route) -> None:
        await (route.abort("internetdisconnected") if away else route.continue_())

    await reader.page.route("**/v1/**", perhaps)
    await reader.go(f"/p/{sale.performance_id}")
    await reader.reads(reader.words["no_connection"])
    away = False
    if by_itself:
        await reader.page.evaluate("dispatchEvent(new Event('online'))")
    else:
        await reader.page.get_by_role("button", name=reader.words["try_again"]).click()
    await reader.page.get_by_role("link", name=reader.words["choose"]).wait_for()
    reader.forgive("net::ERR_INTERNET_DISCONNECTED")


async def test_an_overloaded_server_is_asked_again_by_itself_when_it_said(make_reader: MakeReader, sale: Sale) -> None:
    reader = await make_reader()
    asked: list[int] = []

    async def overloaded(route: Route) -> None:
        asked.append(1)
        if len(asked) > 1:
            await route.continue_()
            return
        problem = {"code": "overloaded", "title": "Overloaded", "status": 503, "detail": "Come again.", "type": "/p"}
        await route.fulfill(status=503, json=problem, headers={"Retry-After": "1"})

    await reader.page.route(f"**/v1/performances/{sale.performance_id}", overloaded)
    await reader.page.goto(f"/p/{sale.performance_id}")
    await reader.reads("Overloaded")
    await reader.page.get_by_role("link", name=reader.words["choose"]).wait_for()


async def test_who_is_not_logged_in_is_asked_over_the_page_and_loses_nothing(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader()
    account = {"email": reader.email, "password": PASSWORD}
    assert (await http.post("/v1/accounts", json=account)).status_code == 201
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await reader.page.get_by_label(reader.words["quantity"]).fill("3")
    await reader.page.get_by_role("button", name=reader.words["hold_best"]).click()
    sheet = reader.page.get_by_role("dialog")
    await sheet.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    assert await reader.faults() == []
    await sheet.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    await sheet.get_by_role("button", name=reader.words["log_in"], exact=True).click()
    basket = reader.page.get_by_role("region", name=reader.words["basket"])
    await basket.get_by_role("button", name=reader.words["pay"], exact=True).wait_for()
    assert await basket.get_by_role("listitem").count() == 3


async def test_who_has_no_account_makes_one_over_the_page(make_reader: MakeReader, sale: Sale) -> None:
    reader = await make_reader("ko")
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await reader.page.get_by_role("button", name=reader.words["hold_best"]).click()
    sheet = reader.page.get_by_role("dialog")
    await sheet.get_by_role("button", name="아직 계정이 없어요").click()
    await sheet.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await sheet.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    await sheet.get_by_role("button", name=reader.words["sign_up"], exact=True).click()
    basket = reader.page.get_by_role("region", name=reader.words["basket"])
    await basket.get_by_role("button", name=reader.words["pay"], exact=True).wait_for()


async def test_the_language_is_the_browsers_until_another_is_chosen(make_reader: MakeReader) -> None:
    reader = await make_reader("ko")
    await reader.page.goto("/login")
    await reader.page.get_by_role("button", name="로그인", exact=True).wait_for()
    await reader.page.get_by_role("button", name="English").click()
    await reader.page.get_by_role("button", name="Log in", exact=True).wait_for()
    assert await reader.page.evaluate("document.documentElement.lang") == "en"
    await reader.page.reload()
    await reader.page.get_by_role("button", name="Log in", exact=True).wait_for()
