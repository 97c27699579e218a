"""An organizer's pages: from nothing to a ticket sold and let in, plans with faults, dates in the way, drafts."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page

from tests.support.sale import PASSWORD, Sale, open_sale, small_plan
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack

NARROW = {"width": 320, "height": 640}
DAYS_AHEAD = 40


def on_day(days: int, hour: str = "19:30") -> str:
    """A time in Seoul so many days from now, as its field takes it."""
    return f"{(datetime.now(UTC) + timedelta(days=days)).date()}T{hour}"


async def enabled(button: Locator) -> Locator:
    """The button, as soon as the page lets it be pressed."""
    await button.and_(button.page.locator(":enabled")).wait_for()
    return button


async def looks_right(reader: Reader) -> None:
    """Anybody can use the page as it is, and nothing sticks out."""
    assert await reader.faults() == []
    wide, room = await reader.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= room


async def headers_of(reader: Reader, http: httpx.AsyncClient) -> dict[str, str]:
    session = await http.post("/v1/sessions", json={"email": reader.email, "password": PASSWORD})
    return {"Authorization": f"Bearer {session.json()['access_token']}"}


# --- from nothing to a sale -------------------------------------------------------------------------------------------
async def make_venue(page: Page) -> None:
    """The first step, by counting rows."""
    name = page.get_by_label("Name of the venue")
    await name.fill("\u202eMoonlight Playhouse")  # a mark that nobody sees, of what the name was copied from
    await page.get_by_label("City").fill("Seoul")
    await page.get_by_label("Name of the block").fill("Stalls")
    await page.get_by_label("Price category").fill("R")
    await page.get_by_label("Rows", exact=True).fill("4")
    await page.get_by_label("Seats a row").fill("10")
    await page.get_by_role("button", name="Add standing room").click()
    await page.get_by_label("Name of the block").last.fill("Floor")
    await page.get_by_label("Price category").last.fill("F")
    await page.get_by_label("Places", exact=True).fill("30")
    await page.get_by_role("row", name="All 70").wait_for()
    await (await enabled(page.get_by_role("button", name="Save the venue and go on"))).click()
    await page.locator("input[aria-invalid=true]").wait_for()
    assert await name.get_attribute("aria-invalid") == "true", "the fault stands where it can be mended"
    await name.fill("Moonlight Playhouse")


async def put_on_sale(reader: Reader) -> dict[str, str]:
    """All three steps; gives the links that stand on the page at the end."""
    page = reader.page
    await page.goto("/o")
    await page.get_by_role("link", name="I have no account yet").click()
    await page.get_by_role("heading", name="Sign up to sell tickets").wait_for()
    await page.get_by_role("textbox", name="E-mail").fill(reader.email)
    await page.get_by_role("textbox", name="Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign up", exact=True).click()
    await page.get_by_role("link", name="Begin with the venue").wait_for()
    await looks_right(reader)
    await page.get_by_role("link", name="Begin with the venue").click()
    await make_venue(page)
    await looks_right(reader)
    await (await enabled(page.get_by_role("button", name="Save the venue and go on"))).click()
    await page.get_by_label("Title", exact=True).fill("호두까기 인형")
    await page.get_by_label("Title in English").fill("The Nutcracker")
    await page.get_by_role("button", name="Save the performance and go on").click()
    await page.get_by_label("First date").fill(on_day(DAYS_AHEAD))
    await page.get_by_label("Price of R").fill("55,000")
    await page.get_by_label("Price of F").fill("33000")
    await reader.reads("₩3,190,000")
    await page.get_by_text("1 date, and the house is free.").wait_for()
    await looks_right(reader)
    await (await enabled(page.get_by_role("button", name="Put it on sale"))).click()
    await page.get_by_label("Who works the door?").fill("Jiwoo")
    await page.get_by_role("button", name="Make a link").click()
    door = await page.get_by_label("Link for Jiwoo").input_value()
    await looks_right(reader)
    watch = await page.get_by_role("link", name="Watch the sale").get_attribute("href") or ""
    return {"door": door, "customers": await page.get_by_label("All dates").input_value(), "sale": watch}


async def bought(customer: Reader, http: httpx.AsyncClient, link: str) -> str:
    """Buys a seat by the organizer's link for customers; gives the code that a scanner reads off the ticket."""
    page = customer.page
    await page.goto(link)
    await page.get_by_role("link", name=re.compile("Choose seats")).click()
    await page.get_by_label("Quantity").fill("1")
    await page.get_by_role("button", name="Hold best seats").click()
    basket = page.get_by_role("region", name="Basket")
    await basket.get_by_role("button", name="Pay", exact=True).click()
    await customer.pay("tok_approve")
    await customer.reads("Confirmed")
    ticket = f"/v1/bookings/{page.url.rpartition('/')[2]}/ticket"
    code: str = (await http.get(ticket, headers=await headers_of(customer, http))).json()["code"]
    return code


async def scanned(page: Page, code: str, verdict: str) -> None:
    await page.get_by_role("textbox", name="Code", exact=True).fill(code)
    await page.get_by_role("button", name="Check", exact=True).click()
    await page.get_by_role("alert", name=verdict).wait_for()


async def test_from_nothing_to_a_ticket_sold_and_let_in_and_one_given_back_and_refused_by_pages_alone(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    organizer = await make_reader("en", viewport=NARROW)
    links = await put_on_sale(organizer)
    customer, door = await make_reader("en", "desktop"), await make_reader("en", "phone")
    await customer.sign_up()
    await door.page.goto(links["door"])
    await scanned(door.page, await bought(customer, http, links["customers"]), "Come in")
    given_back = await bought(customer, http, links["customers"])
    await customer.page.get_by_role("button", name="Refund", exact=True).click()
    await customer.page.get_by_role("button", name="Refund now").click()
    await customer.reads("Refunded")
    await scanned(door.page, given_back, "Given back")

    await organizer.page.get_by_role("link", name="To your shows").click()
    await organizer.page.get_by_text("1 of 70 sold").wait_for()
    await organizer.page.get_by_text("₩110,000 taken in, ₩55,000 given back").wait_for()
    following = organizer.page.get_by_role("link", name=re.compile("^Next:"))
    assert await following.get_attribute("href") == links["sale"]
    await looks_right(organizer)


# --- plans and dates --------------------------------------------------------------------------------------------------
DROPPED = """text => {
  const files = new DataTransfer();
  files.items.add(new File([text], 'plan.json', { type: 'application/json' }));
  return files;
}"""


def broken_plan() -> dict[str, Any]:
    plan = small_plan()
    plan["zones"][0]["rows"][1]["seats"][4]["category"] = "Box"
    return plan


async def test_every_fault_of_a_plan_is_shown_where_it_is_and_a_good_one_is_drawn(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader("ko", "desktop")
    headers = await reader.joins(http, "organizer", "/o")
    page = reader.page
    await reader.go("/o/venues/new")
    await page.get_by_label("공연장 이름").fill("달빛 소극장")
    await page.get_by_role("button", name="파일 올리기").click()
    dropped = await page.evaluate_handle(DROPPED, json.dumps(broken_plan()))
    await page.get_by_text("파일을 여기에 놓거나 선택하세요").dispatch_event("drop", {"dataTransfer": dropped})
    await page.get_by_text("배치도에 고칠 곳이 1군데 있습니다").wait_for()
    await page.get_by_text("Stalls 구역 B열 자리 5:").wait_for()
    await page.get_by_text("등급 “Box”이(가) 등급 목록에 없습니다").wait_for()
    await looks_right(reader)
    assert await page.get_by_role("button", name="공연장을 저장하고 계속").is_disabled()
    await page.get_by_role("button", name="붙여 넣기").click()
    await page.get_by_label("좌석 배치도 텍스트").fill('{"name": ')
    await reader.reads("JSON 문서가 아닙니다.")
    await page.get_by_role("button", name="파일 올리기").click()
    good = {"name": "plan.json", "mimeType": "application/json", "buffer": json.dumps(small_plan(standing=5)).encode()}
    await page.get_by_label("좌석 배치도 파일").set_input_files([good])  # type: ignore[list-item]  # as it wants them
    await page.get_by_role("row", name="합계 45").wait_for()
    await (await enabled(page.get_by_role("button", name="공연장을 저장하고 계속"))).click()
    await page.get_by_role("heading", name="새 공연", exact=True).wait_for()
    await page.get_by_label("제목", exact=True).fill("카르멘")
    await page.get_by_role("button", name="공연을 저장하고 계속").click()
    await page.get_by_role("heading", name="새 일정: 카르멘").wait_for()
    await reader.go("/o")
    todo = page.get_by_role("region", name="먼저 확인할 일")
    await todo.get_by_text("아직 일정이 없습니다.").wait_for()
    await todo.get_by_role("link", name="카르멘").click()
    await page.get_by_role("heading", name="새 일정: 카르멘").wait_for()
    (venue,) = (await http.get("/v1/organizer/venues", headers=headers)).json()["items"]
    assert (venue["name"], venue["capacity"]) == ("달빛 소극장", 45)
    await reader.go(f"/o/venues/{venue['id']}")
    await page.get_by_role("row", name="합계 45").wait_for()
    await page.get_by_label("주소").fill("세종대로 175")
    await (await enabled(page.get_by_role("button", name="저장", exact=True))).click()
    await reader.reads("저장했습니다.")
    await page.get_by_label("주최자의 이메일").fill("jiwoo@hall.example")
    await page.get_by_role("button", name="허락하기").click()
    await page.get_by_role("button", name="jiwoo@hall.example 허락 취소").click()
    await page.get_by_text("jiwoo@hall.example").wait_for(state="detached")
    await looks_right(reader)


async def own_sale(http: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, Any]:
    """A date on sale of the organizer's own: its schedule."""
    body: dict[str, Any] = {"name": "Hall", "seating_plan": small_plan()}
    venue = (await http.post("/v1/venues", json=body, headers=headers)).json()
    body = {"title": "카르멘", "title_en": "Carmen", "venue_id": venue["id"]}
    performance = (await http.post("/v1/performances", json=body, headers=headers)).json()
    body = {
        "starts_at": f"{on_day(DAYS_AHEAD)}:00+09:00",
        "venue_id": venue["id"],
        "currency": "KRW",
        "prices": {"VIP": 150_000, "Standard": None},
    }
    made = await http.post(f"/v1/performances/{performance['id']}/schedules", json=body, headers=headers)
    assert made.status_code == 201, made.text
    schedule: dict[str, Any] = made.json()
    return schedule


async def test_dates_in_the_way_are_named_and_left_out_and_prices_and_times_change_later(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader("en", "desktop", color_scheme="dark")
    headers = await reader.joins(http, "organizer", "/o")
    schedule = await own_sale(http, headers)
    page, performance = reader.page, f"/o/performances/{schedule['performance_id']}"
    await reader.go(f"{performance}/schedules/new")
    await page.get_by_label("Price of VIP").wait_for()
    assert await page.get_by_text("Not saved yet.").count() == 0, "nobody has typed anything"
    await page.get_by_label("First date").fill(on_day(DAYS_AHEAD - 1))
    await page.get_by_label("How often").select_option("daily")
    await page.get_by_label("Last day").fill(on_day(DAYS_AHEAD + 1)[:10])
    await page.get_by_text("3 dates; something is in the way of 1.").wait_for()
    await page.get_by_text(re.compile("In the way: Carmen, Hall")).wait_for()
    await page.get_by_role("listitem").filter(has_text="In the way").get_by_role("button").click()
    await page.get_by_text("2 dates, and the house is free.").wait_for()
    await page.get_by_label("Price of VIP").fill("90000")
    await page.get_by_role("checkbox", name="For sale: Standard").uncheck()
    await (await enabled(page.get_by_role("button", name="Put 2 dates on sale"))).click()
    await page.get_by_role("heading", name="2 dates are there").wait_for()

    await reader.go(f"/o/s/{schedule['id']}/edit")
    await page.get_by_label("Price of VIP").fill("120000")
    await (await enabled(page.get_by_role("button", name="Save", exact=True))).click()
    await reader.reads("Saved.")
    await page.get_by_label("New start").fill(on_day(DAYS_AHEAD + 1, "19:00"))
    await page.get_by_text(re.compile("In the way: Carmen, Hall")).wait_for()
    assert await page.get_by_role("button", name="Move it").is_disabled()
    await page.get_by_label("New start").fill(on_day(DAYS_AHEAD, "15:00"))
    await page.get_by_text("Nobody has booked yet").wait_for()
    await looks_right(reader)
    await (await enabled(page.get_by_role("button", name="Move it"))).click()
    await reader.reads("The date is moved.")
    changed = (await http.get(f"/v1/schedules/{schedule['id']}")).json()
    assert (changed["prices"], changed["starts_at"][11:16]) == ({"VIP": 120_000, "Standard": None}, "06:00")

    await reader.go(performance)
    await page.get_by_role("button", name="Cancel all dates to come").click()
    await page.get_by_text("3 dates will not take place.").wait_for()
    await looks_right(reader)
    await page.get_by_label("Why? Customers read it").fill("the singer is ill")
    await page.get_by_role("button", name="Cancel them for good").click()
    await page.get_by_text("Cancelled. Money is being given back.").first.wait_for()
    await page.get_by_role("button", name="Take it out of the catalogue").click()
    await page.get_by_role("button", name="Take it out for good").click()
    await page.wait_for_url("**/o")
    await page.get_by_role("link", name="Begin with the venue").wait_for()


# --- drafts, and whose what is ----------------------------------------------------------------------------------------
async def test_what_was_typed_is_there_after_a_reload_until_it_is_discarded(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader("en", "phone")
    await reader.joins(http, "organizer", "/o")
    page = reader.page
    await reader.go("/o/performances/new")
    title = page.get_by_label("Title", exact=True)
    await title.fill("Half a title")
    await page.get_by_text("Not saved yet.").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    await page.reload()
    await page.get_by_text("What you typed before is here again.").wait_for()
    assert await title.input_value() == "Half a title"
    await page.get_by_role("button", name="Discard it").click()
    assert await title.input_value() == ""


@pytest.fixture(scope="module")
async def others(http: httpx.AsyncClient) -> Sale:
    """A sale of another organizer's."""
    return await open_sale(http)


async def test_nothing_of_another_s_is_changed_or_seen_and_customers_are_told_how_to_sell(
    make_reader: MakeReader, http: httpx.AsyncClient, others: Sale
) -> None:
    reader = await make_reader("en", "phone")
    await reader.joins(http, "organizer", "/o")
    for path in (
        f"/o/performances/{others.performance_id}",
        f"/o/performances/{others.performance_id}/schedules/new",
        f"/o/s/{others.schedule_id}/edit",
    ):
        await reader.go(path)
        await reader.page.get_by_role("heading", name=re.compile("There is no such")).wait_for()
    await reader.go(f"/o/venues/{others.venue_id}")
    await reader.page.get_by_text("This venue is another organizer’s").wait_for()
    assert await reader.page.get_by_label("Name of the venue").count() == 0

    customer = await make_reader("ko", "phone")
    await customer.joins(http, then="/o")
    await customer.page.get_by_role("heading", name="직접 티켓을 팔아 보세요").wait_for()
    await looks_right(customer)
    assert await customer.page.get_by_role("link", name="내 공연").count() == 0
    await customer.page.get_by_role("button", name="로그아웃하고 주최자로 가입").click()
    await customer.page.get_by_role("heading", name="공연 주최자로 가입").wait_for()
