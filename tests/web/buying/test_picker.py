"""The seat picker in a real browser: on the map, from the list, against others, and with all that may break."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, Request, Route, expect

from tests.support.sale import Sale, hold, open_sale, sign_up, small_plan
from tests.support.waiting import until
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack

MARGIN, CLOSEST, PITCH = 16, 60, 25  # as `camera.ts` fits a house


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """A house of 240 seats in rows A–L, and room to stand, for all tests here."""
    return await open_sale(http, plan=small_plan(rows=12, seats_per_row=20, standing=50))


async def at_seats(make_reader: MakeReader, sale: Sale, size: str = "desktop", **options: Any) -> Reader:
    """Somebody with an account who looks at the seats."""
    reader = await make_reader("en", size, **options)
    await reader.sign_up()
    await reader.go(f"/s/{sale.schedule_id}")
    await reader.page.locator("canvas").first.wait_for()
    return reader


def basket(reader: Reader) -> Locator:
    return reader.page.get_by_role("region", name="Basket")


def seat_name(seat: str) -> str:
    row, number = seat.split("-")
    category, price = ("VIP", "₩150,000") if row <= "F" else ("Standard", "₩55,000")
    return f"Row {row} seat {number}, {category}, {price}"


async def open_row(reader: Reader, row: str) -> None:
    """From the list's sections to a row's seats."""
    await reader.page.get_by_role("button", name=re.compile("^Stalls ")).click()
    await reader.page.get_by_role("button", name=re.compile(f"^Row {row} ")).click()


def seat(reader: Reader, seat_id: str) -> Locator:
    """A seat of the row that is open in the list."""
    return reader.page.get_by_role("button", name=seat_name(seat_id), exact=True)


async def place_of(reader: Reader, http: httpx.AsyncClient, sale: Sale, seat_id: str) -> tuple[float, float]:
    """Where on the map a seat is while the whole house is shown, from the frame's corner."""
    layout = (await http.get(f"/v1/schedules/{sale.schedule_id}/layout")).json()
    index = layout["seats"]["id"].index(seat_id)
    x, y = (sum(layout["seats"][axis][: index + 1]) for axis in "xy")
    left, top, right, bottom = layout["bounds"]
    frame = await reader.page.get_by_role("img", name=re.compile("^Seat map")).bounding_box()
    assert frame is not None
    wide, high = frame["width"], frame["height"]
    scale = min((wide - 2 * MARGIN) / (right - left), (high - 2 * MARGIN) / (bottom - top), CLOSEST / PITCH)
    return wide / 2 + scale * (x - (left + right) / 2), high / 2 + scale * (y - (top + bottom) / 2)


async def click_on_map(reader: Reader, http: httpx.AsyncClient, sale: Sale, seat_id: str) -> None:
    x, y = await place_of(reader, http, sale, seat_id)
    await reader.page.get_by_role("img", name=re.compile("^Seat map")).click(position={"x": x, "y": y})


async def holds(reader: Reader, *places: str) -> None:
    """Waits until the basket has exactly these places, held."""
    await expect(basket(reader).get_by_role("listitem")).to_have_count(len(places))
    for place in places:
        await expect(basket(reader).get_by_role("listitem").filter(has_text=place).first).to_be_visible()
    await expect(basket(reader)).not_to_contain_text("Holding…")
    await expect(basket(reader).get_by_role("button", name="Pay", exact=True)).to_be_enabled()


async def states(http: httpx.AsyncClient, sale: Sale) -> dict[str, str]:
    seats = (await http.get(f"/v1/schedules/{sale.schedule_id}/seats")).json()["seats"]
    return {seat["id"]: seat["state"] for seat in seats}


# --- choosing ---------------------------------------------------------------------------------------------------------
async def test_a_click_on_the_map_is_a_hold_and_seats_are_exchanged_there(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await at_seats(make_reader, sale)
    sent: list[str] = []
    reader.page.on("request", lambda request: sent.append(request.method) if "/bookings" in request.url else None)
    first, second, third = sale.fresh(3)
    await click_on_map(reader, http, sale, first)
    await holds(reader, "row A seat 1")
    await until(lambda: is_held(http, sale, first))
    await click_on_map(reader, http, sale, second)
    await holds(reader, "row A seat 1", "row A seat 2")
    await click_on_map(reader, http, sale, first)
    await click_on_map(reader, http, sale, third)
    await holds(reader, "row A seat 2", "row A seat 3")
    assert sent.count("POST") == 1, "one booking, changed"
    await basket(reader).get_by_role("button", name="Take out Stalls, row A seat 3").click()
    await holds(reader, "row A seat 2")
    await basket(reader).get_by_role("button", name="Give the seats back").click()
    await expect(basket(reader)).to_contain_text("A click on a seat holds it for you.")
    await until(lambda: is_free(http, sale, first, second, third))


async def is_held(http: httpx.AsyncClient, sale: Sale, seat_id: str) -> bool:
    return (await states(http, sale))[seat_id] == "held"


async def is_free(http: httpx.AsyncClient, sale: Sale, *seats: str) -> bool:
    now = await states(http, sale)
    return all(now[each] == "free" for each in seats)


async def test_a_hold_is_there_again_after_a_reload_and_in_another_tab(make_reader: MakeReader, sale: Sale) -> None:
    reader = await at_seats(make_reader, sale)
    sale.taken.update(("L-1", "L-2"))
    await open_row(reader, "L")
    await seat(reader, "L-1").click()
    await holds(reader, "row L seat 1")
    await reader.page.reload()
    await holds(reader, "row L seat 1")
    other = await reader.page.context.new_page()
    await other.goto(f"/s/{sale.schedule_id}")
    lines = other.get_by_role("region", name="Basket").get_by_role("listitem")
    await expect(lines).to_have_count(1)
    await open_row(reader, "L")
    await seat(reader, "L-2").click()
    await holds(reader, "row L seat 1", "row L seat 2")
    await expect(lines).to_have_count(2)
    await other.close()


async def test_who_is_not_logged_in_chooses_first(make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale) -> None:
    reader = await make_reader("en", "desktop")
    await reader.sign_up()
    await reader.page.goto("/account")
    await reader.page.get_by_role("button", name="Log out").click()
    await reader.page.get_by_role("link", name="Log in").first.wait_for()
    await reader.go(f"/s/{sale.schedule_id}")
    (chosen,) = sale.fresh(1)
    await click_on_map(reader, http, sale, chosen)
    sheet = reader.page.get_by_role("dialog")
    await sheet.get_by_role("button", name="Close").click()
    await expect(basket(reader)).to_contain_text("These seats are not held yet.")
    assert await is_free(http, sale, chosen)
    again = basket(reader).get_by_role("button", name="Log in and hold them")
    await again.click()
    await sheet.wait_for()
    await reader.page.keyboard.press("Escape")
    await expect(again).to_be_focused()
    await again.click()
    await sheet.get_by_role("textbox", name="E-mail").fill(reader.email)
    await sheet.get_by_role("textbox", name="Password").fill("correct horse battery staple")
    await sheet.get_by_role("button", name="Log in", exact=True).click()
    await expect(basket(reader).get_by_role("button", name="Pay", exact=True)).to_be_enabled()
    await until(lambda: is_held(http, sale, chosen))


async def test_standing_room_is_chosen_by_number(make_reader: MakeReader, sale: Sale) -> None:
    reader = await at_seats(make_reader, sale)
    await reader.page.get_by_role("button", name=re.compile("^Stalls ")).click()
    more = reader.page.get_by_role("button", name="One place more: Floor")
    await more.click()
    await more.click()
    await holds(reader, "Floor", "Floor")
    await reader.page.get_by_role("button", name="One place less: Floor").click()
    await holds(reader, "Floor")


async def test_two_seats_are_bought_with_the_keyboard_alone(make_reader: MakeReader, sale: Sale) -> None:
    reader = await at_seats(make_reader, sale, "phone")
    page = reader.page
    row, name = "K", "Standard"
    sale.taken.update(("K-7", "K-8"))
    for words, key in (
        ("Stalls ", "Enter"),
        (f"Row {row} ", "Enter"),
        (f"Row {row} seat 7, {name}, ₩55,000", "Space"),
        (f"Row {row} seat 8, {name}, ₩55,000", "Space"),
    ):
        await tab_to(page, words)
        await page.keyboard.press(key)
    await holds(reader, "row K seat 7", "row K seat 8")
    await tab_to(page, "Pay")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/b/*")
    await page.get_by_label("Card").wait_for()
    await tab_to(page, "Card")
    await tab_to(page, "Pay now")
    await page.keyboard.press("Enter")
    await reader.reads("Confirmed")


FOCUSED = """() => {
  const element = document.activeElement;
  const label = element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent;
  return label.replace(/\\s+/g, ' ').trim();
}"""


async def tab_to(page: Page, words: str) -> None:
    """Moves the focus on, as somebody without a pointer does, until it is on what begins with these words."""
    for _ in range(120):
        await page.keyboard.press("Tab")
        if f"{await page.evaluate(FOCUSED)} ".startswith(words):
            return
    pytest.fail(f"the keyboard does not come to {words}")


async def test_two_seats_are_bought_by_what_a_screen_reader_is_told_alone(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    own = await open_sale(http, plan=small_plan(rows=2, seats_per_row=4))
    await hold(http, own, await sign_up(http), "A-2")
    reader = await at_seats(make_reader, own, "phone")
    await reader.page.get_by_label("Quantity").fill("1")
    await open_row(reader, "A")
    for chosen in ("A-3", "A-4"):
        await seat(reader, chosen).press("Enter")
    await holds(reader, "row A seat 3", "row A seat 4")
    await expect(reader.page.get_by_role("region", name="Seats as a list")).to_match_aria_snapshot("""
      - region "Seats as a list":
        - heading "Seats as a list" [level=2]
        - button /Rows of Stalls/
        - heading "Stalls, row A" [level=3]
        - list:
          - listitem:
            - button "Row A seat 1, VIP, ₩150,000"
          - listitem
          - listitem:
            - button "Row A seat 3, VIP, ₩150,000" [pressed]
          - listitem:
            - button "Row A seat 4, VIP, ₩150,000" [pressed]
    """)
    await expect(basket(reader)).to_match_aria_snapshot("""
      - region "Basket":
        - heading "Basket" [level=2]
        - list:
          - listitem:
            - button "Take out Stalls, row A seat 3"
          - listitem:
            - button "Take out Stalls, row A seat 4"
        - paragraph:
          - timer
        - button "Pay"
        - button "More time"
        - button "Give the seats back"
    """)
    await basket(reader).get_by_role("button", name="Pay", exact=True).press("Enter")
    await reader.page.get_by_role("button", name="Pay now").wait_for()
    await expect(reader.page.get_by_role("main")).to_match_aria_snapshot("""
      - main:
        - status: Held for you
        - heading [level=1]
        - region "Seats":
          - list:
            - listitem: /row A seat 3 VIP ₩150,000/
            - listitem: /row A seat 4 VIP ₩150,000/
          - paragraph: /Total 2 seats ₩300,000/
        - form "Payment":
          - combobox "Card"
          - button "Pay now"
    """)
    await reader.page.get_by_role("button", name="Pay now").press("Enter")
    await reader.page.get_by_role("img", name="Ticket").wait_for()
    await expect(reader.page.get_by_role("main")).to_match_aria_snapshot("""
      - main:
        - status: Confirmed
        - heading [level=1]
        - region "Ticket":
          - img "Ticket"
    """)


# --- others want the same ---------------------------------------------------------------------------------------------
async def test_a_seat_that_goes_under_the_finger_leaves_the_others_and_the_nearest_is_offered(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await at_seats(make_reader, sale)
    sale.taken.update(f"H-{number}" for number in range(1, 21))
    await click_on_map(reader, http, sale, "H-10")
    await holds(reader, "row H seat 10")
    other = await sign_up(http)

    async def take_it_first(route: Route, request: Request) -> None:
        if request.method == "PATCH" and (await states(http, sale))["H-11"] == "free":
            await hold(http, sale, other, "H-11")
        await route.continue_()

    await reader.page.route("**/v1/bookings/*", take_it_first)
    await click_on_map(reader, http, sale, "H-11")
    await expect(basket(reader)).to_contain_text("Stalls, row H seat 11 has just gone.")
    await expect(basket(reader)).to_contain_text("Nearest, at the same price: Stalls, row H seat 9.")
    await holds(reader, "row H seat 10")
    assert await reader.page.get_by_role("dialog").count() == 0
    await basket(reader).get_by_role("button", name="Take them").click()
    await holds(reader, "row H seat 9", "row H seat 10")
    await expect(basket(reader)).not_to_contain_text("has just gone")


async def test_two_on_one_row_at_the_same_moment_fifty_times(make_reader: MakeReader, http: httpx.AsyncClient) -> None:
    """Each time one gets the seat and the other learns it where they are; neither is ever shown what isn't theirs."""
    own = await open_sale(http, plan=small_plan(rows=2, seats_per_row=50))
    readers = [await at_seats(make_reader, own) for _ in range(2)]
    for reader in readers:
        await open_row(reader, "A")
    won = [0, 0]
    for number in range(1, 51):
        buttons = [seat(reader, f"A-{number}") for reader in readers]
        handles = [await button.element_handle() for button in buttons]
        await asyncio.gather(*(handle.evaluate("button => button.click()") for handle in handles))
        won[await winner_of(readers, f"A-{number}")] += 1
    for reader, count in zip(readers, won, strict=True):
        await expect(basket(reader).get_by_role("listitem")).to_have_count(count)
    assert set((await states(http, own)).values()) == {"held", "free"}


# What somebody is shown of a place: as theirs; as gone, in words or, where it went before the click, by no button being
# there any more; whether others are offered for what is told to be gone; and whether anything is still on its way.
SHOWN = """place => {
  const basket = document.querySelector('section[aria-label=Basket]');
  const lines = [...basket.querySelectorAll('li')].map((line) => line.textContent);
  const told = basket.textContent.includes(`${place} has just gone`);
  const held = lines.filter((text) => !text.includes('Holding…'));
  return {
    mine: held.some((text) => text.includes(`${place} `)),
    gone: told || !document.querySelector(`button[aria-label^="R${place.slice(1)},"]`),
    offered: !told || /Nearest, at the same price: |There are no others at that price/.test(basket.textContent),
    waiting: held.length < lines.length,
  };
}"""


async def winner_of(readers: list[Reader], seat_id: str) -> int:
    """Who has the seat, when one has it and the other has been told."""
    place = f"row {seat_id.replace('-', ' seat ')}"
    shown: list[dict[str, bool]] = []

    async def decided() -> bool:
        shown[:] = [await reader.page.evaluate(SHOWN, place) for reader in readers]
        assert not all(each["mine"] for each in shown), "both are shown the seat as theirs"
        outcome = sorted((each["mine"], each["gone"]) for each in shown)
        settled = all(each["offered"] and not each["waiting"] for each in shown)
        return outcome == [(False, True), (True, False)] and settled

    try:
        await until(decided)
    except TimeoutError:
        pytest.fail(f"{seat_id} is not decided: {shown}")
    return 0 if shown[0]["mine"] else 1


# --- what may break ---------------------------------------------------------------------------------------------------
async def taken_by_another(http: httpx.AsyncClient, sale: Sale, seat_id: str) -> None:
    await hold(http, sale, await sign_up(http), seat_id)


async def test_a_stream_that_is_cut_is_taken_up_again(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader("en", "desktop")
    opened: list[str] = []

    async def cut_the_first(route: Route, request: Request) -> None:
        opened.append(request.url)
        await (route.abort() if len(opened) == 1 else route.continue_())

    await reader.page.route("**/stream?*", cut_the_first)
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await open_row(reader, "J")
    sale.taken.add("J-1")
    await until(lambda: len(opened) > 1)
    await taken_by_another(http, sale, "J-1")
    await expect(seat(reader, "J-1")).to_have_count(0)
    reader.forgive("net::ERR_FAILED")


async def test_who_chooses_while_the_date_is_moved_is_told_at_once(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale = await open_sale(http)
    reader = await make_reader("ko", "phone")
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await reader.page.locator("canvas").first.wait_for()
    later = (sale.starts_at + timedelta(days=1)).isoformat()
    moved = await http.patch(f"/v1/schedules/{sale.schedule_id}", json={"starts_at": later}, headers=sale.organizer)
    assert moved.status_code == 200, moved.text
    await reader.page.get_by_text("주최자가 방금 일시를 변경했습니다").wait_for()
    assert await reader.faults() == []


async def test_without_a_place_for_a_stream_seats_are_asked_for(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader("en", "desktop")
    full = {"type": "about:blank", "code": "overloaded", "title": "Busy", "status": 503, "detail": "Come again."}
    await reader.page.route(
        "**/stream?*", lambda route: route.fulfill(status=503, headers={"Retry-After": "1"}, json=full)
    )
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await open_row(reader, "J")
    sale.taken.add("J-2")
    await expect(reader.page.get_by_text("Seats are brought up to date every few seconds.")).to_be_visible()
    await taken_by_another(http, sale, "J-2")
    await expect(seat(reader, "J-2")).to_have_count(0)


async def test_a_gap_between_versions_leads_to_all_states_anew(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader("en", "desktop")
    sale.taken.add("J-3")
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await open_row(reader, "J")
    await reader.page.goto("about:blank")
    later = {"from": 10**6, "version": 10**6 + 1, "seats": [[0, 2]], "areas": []}

    async def gap(route: Route) -> None:
        await taken_by_another(http, sale, "J-3")
        await route.fulfill(
            content_type="text/event-stream", body=f"event: seats\nid: 1\ndata: {json.dumps(later)}\n\n"
        )
        await reader.lets_through("**/stream?*")

    await reader.page.route("**/stream?*", gap)
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await open_row(reader, "J")
    await expect(seat(reader, "J-3")).to_have_count(0)
    await expect(seat(reader, "J-4")).to_have_count(1)


HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


async def test_a_hidden_tab_closes_its_stream_and_goes_on_where_it_was(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader("en", "desktop")
    opened: list[Request] = []
    closed: list[Request] = []
    reader.page.on("request", lambda request: opened.append(request) if "/stream" in request.url else None)
    reader.page.on("requestfailed", lambda request: closed.append(request))
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await open_row(reader, "J")
    await until(lambda: len(opened) == 1)
    await reader.page.evaluate(HIDE, True)
    await until(lambda: opened[0] in closed)
    sale.taken.add("J-5")
    await taken_by_another(http, sale, "J-5")
    await reader.page.evaluate(HIDE, False)
    await expect(seat(reader, "J-5")).to_have_count(0)
    await until(lambda: len(opened) == 2)


async def test_several_tabs_share_one_stream(make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale) -> None:
    reader = await make_reader("en", "desktop")
    opened: list[str] = []
    context = reader.page.context
    context.on("request", lambda request: opened.append(request.url) if "/stream" in request.url else None)
    await reader.page.goto(f"/s/{sale.schedule_id}")
    await until(lambda: len(opened) == 1)
    second = Reader(await context.new_page(), "en")
    await second.page.goto(f"/s/{sale.schedule_id}")
    for each in (reader, second):
        await open_row(each, "J")
    sale.taken.update(("J-6", "J-7"))
    await taken_by_another(http, sale, "J-6")
    for each in (reader, second):
        await expect(seat(each, "J-6")).to_have_count(0)
    assert len(opened) == 1
    await reader.page.goto("about:blank")  # the one that kept the stream
    await until(lambda: len(opened) == 2)
    await taken_by_another(http, sale, "J-7")
    await expect(seat(second, "J-7")).to_have_count(0)
    await second.end()
    await reader.page.goto("/")


# --- small screens ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("language", ["en", "ko"])
async def test_a_full_basket_fits_a_narrow_screen_and_anybody_can_use_it(
    make_reader: MakeReader, sale: Sale, language: str
) -> None:
    reader = await make_reader(language, viewport={"width": 320, "height": 640}, reduced_motion="reduce")
    await reader.sign_up()
    await reader.go(f"/s/{sale.schedule_id}")
    await reader.page.get_by_label(reader.words["quantity"]).fill("4")
    await reader.page.get_by_role("button", name=reader.words["hold_best"]).click()
    pay = reader.page.get_by_role("region", name=reader.words["basket"]).get_by_role("button", name=reader.words["pay"])
    await pay.wait_for()
    assert await reader.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await reader.faults() == []


async def test_a_tap_on_a_seat_too_small_for_a_finger_comes_closer_first(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    wide = await open_sale(http, plan=small_plan(rows=8, seats_per_row=34))
    reader = await at_seats(make_reader, wide, "phone", has_touch=True, reduced_motion="reduce")
    board = reader.page.get_by_role("img", name=re.compile("^Seat map"))
    await board.scroll_into_view_if_needed()
    x, y = await place_of(reader, http, wide, "D-17")
    await board.tap(position={"x": x, "y": y})
    await expect(reader.page.get_by_text("Tap the seat again.")).to_be_visible()
    assert await is_free(http, wide, "D-17")
    box = await board.bounding_box()
    assert box is not None
    await board.tap(position={"x": box["width"] / 2, "y": box["height"] / 2})
    await holds(reader, "row D seat 17")
