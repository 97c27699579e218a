"""A sale as its organizer watches it: every figure follows, and ends equal to the API and a replay of the journal."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from playwright.async_api import Locator, Route, expect

from loadtest.audit import replayed
from persistence.database.dsn import asyncpg_dsn
from persistence.journal.journal import PostgresJournal
from tests.conftest import SHOPPING_AT_ONCE, Stack
from tests.support.sale import PASSWORD, Sale, hold, log_in, open_sale, patient, pay, read, refund, sign_up, small_plan
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack

BUYERS = 6
# What the cancellation's progress ends in; that it does is shown in `test_cancelled_schedules`.
DONE = {
    "finished": True,
    "bookings_live": 0,
    "bookings_ended": 1,
    "refunds_pending": 0,
    "refunds_completed": 1,
    "amount_pending": 0,
    "amount_refunded": 150_000,
}
PARTS = {
    "en": ("Sale", "Seats", "Bookings", "Door", "Settings"),
    "ko": ("판매 현황", "좌석", "예매 내역", "입장", "설정"),
}


@pytest.fixture
async def organizer(http: httpx.AsyncClient) -> dict[str, str]:
    """An organizer: e-mail, and the headers that prove it under `headers`."""
    credentials = {"email": f"organizer-{uuid4().hex}@example.com", "password": PASSWORD}
    await patient(http, "/v1/accounts", {**credentials, "role": "organizer"})
    return {"email": credentials["email"], **await log_in(http, credentials)}


@pytest.fixture
async def sale(http: httpx.AsyncClient, organizer: dict[str, str]) -> Sale:
    """A house of 240 seats in rows A–L, and room for fifty to stand."""
    headers = {"Authorization": organizer["Authorization"]}
    return await open_sale(http, plan=small_plan(rows=12, seats_per_row=20, standing=50), organizer=headers)


async def watching(
    make_reader: MakeReader, organizer: dict[str, str], sale: Sale, language: str = "en", size: str = "desktop"
) -> Reader:
    """The organizer, logged in, looking at the sale."""
    reader = await make_reader(language, size)
    await reader.log_in(organizer["email"], then=f"/o/s/{sale.schedule_id}")
    await reader.page.get_by_role("tab").first.wait_for()
    return reader


async def show(reader: Reader, part: str) -> None:
    await reader.page.get_by_role("tab", name=part, exact=True).click()


def figure(reader: Reader, name: str) -> Locator:
    """The value of a figure at the top of the page."""
    region = reader.page.get_by_role("region", name="Figures")
    return region.locator("div", has=reader.page.get_by_text(name, exact=True)).locator("dd").first


def won(amount: int) -> str:
    return f"₩{amount:,}"


async def buy(http: httpx.AsyncClient, sale: Sale, number: int) -> None:
    """One buyer of many: pays for some, gives some of it back, cancels some, leaves some held."""
    customer = await sign_up(http)
    for turn in itertools.islice(itertools.cycle(("pay", "refund", "cancel", "hold", "stand")), number, number + 5):
        if turn == "stand":
            await pay(http, await hold(http, sale, customer, "floor", "floor"), customer)
            continue
        booking = await hold(http, sale, customer, quantity=2)
        if turn in ("pay", "refund"):
            payment = (await pay(http, booking, customer)).json()
            if turn == "refund":
                back = await refund(http, payment, customer, booking["seats"][0]["id"])
                assert back.status_code == 201, back.text
        elif turn == "cancel":
            await http.post(f"/v1/bookings/{booking['id']}/cancellation", headers=customer)


async def test_figures_curve_and_map_follow_a_sale_and_end_equal_to_the_audit(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, organizer: dict[str, str], sale: Sale
) -> None:
    reader = await watching(make_reader, organizer, sale)
    page = reader.page
    await expect(page.get_by_text("Nothing has been sold yet.")).to_be_visible()
    await asyncio.gather(*(buy(http, sale, number) for number in range(BUYERS)))
    version = (await read(http, f"/v1/organizer/schedules/{sale.schedule_id}/sales", sale.organizer))["version"]
    await page.get_by_text(f"Up to date: version {version}").wait_for()

    settled = await read(http, f"/v1/organizer/schedules/{sale.schedule_id}/settlement", sale.organizer)
    for name, key in (("Taken in", "gross"), ("Given back", "refunded"), ("Left for you", "net")):
        await expect(figure(reader, name)).to_have_text(won(settled[key]))
    counts = await places(http, sale)
    for name in ("sold", "held", "free", "blocked"):
        await expect(figure(reader, name.capitalize())).to_have_text(str(counts[name]))

    # What the journal says, replayed from its first record and trusting nothing else.
    async with asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=2) as pool:
        replay = await replayed(PostgresJournal(pool), sale.schedule_id)
    owned = [booking for booking in replay.bookings.values() if booking.sold]
    assert sum(len(booking.seats) for booking in owned) == counts["sold"]
    assert sum(booking.amount for booking in owned) + settled["fees"] == settled["net"]

    # The curve: its table, the API's rows and the plot have the same.
    by_api = await by_minute(http, sale)
    table = page.get_by_role("table", name=re.compile("^Sales over time"))
    rows = [await row.locator("td").all_inner_texts() for row in await table.locator("tbody tr").all()]
    assert [[int(cell.replace(",", "")) for cell in row[:3]] for row in rows] == [
        [sold, given_back, in_all] for _, sold, given_back, in_all in reversed(by_api)
    ]
    assert sum(int(row[3].replace("₩", "").replace(",", "")) for row in rows) == settled["net"]
    await page.get_by_role("button", name="As a table").click()
    await expect(table).to_be_in_viewport()
    await page.get_by_role("button", name="As a table").click()
    await pointed_at_the_end(reader, by_api[-1])

    # The house: every seat as everybody is told it stands.
    await show(reader, "Seats")
    await page.get_by_text("Choose from a list").click()
    states = await seat_states(http, sale)
    for row in ("A", "L"):
        await page.get_by_role("button", name=f"Seats of row {row}", exact=True).click()
        said = page.locator("label", has_text=re.compile(r"^\s*Seat "))
        await expect(said).to_have_text([f"Seat {number}, {states[f'{row}-{number}']}" for number in range(1, 21)])
    for part in PARTS["en"]:
        await show(reader, part)
        await page.get_by_role("tabpanel").get_by_role("heading").first.wait_for()
        assert await reader.faults() == [], part


async def places(http: httpx.AsyncClient, sale: Sale) -> dict[str, int]:
    """How many places of the house stand how, seats and standing room together."""
    house = (await http.get(f"/v1/schedules/{sale.schedule_id}/seats")).json()
    counts = dict.fromkeys(("free", "held", "sold", "blocked"), 0)
    for seat in house["seats"]:
        counts[seat["state"]] += 1
    for area in house["areas"]:
        for name in counts:
            counts[name] += area["left" if name == "free" else name]
    return counts


async def seat_states(http: httpx.AsyncClient, sale: Sale) -> dict[str, str]:
    house = (await http.get(f"/v1/schedules/{sale.schedule_id}/seats")).json()
    return {seat["id"]: seat["state"] for seat in house["seats"]}


async def by_minute(http: httpx.AsyncClient, sale: Sale) -> list[tuple[str, int, int, int]]:
    """Minute, sold, given back, sold in all; minutes in which nothing of that happened left out."""
    url = f"/v1/organizer/schedules/{sale.schedule_id}/sales"
    view = await read(http, url, sale.organizer, by="minute")
    assert view["version"] == view["up_to_version"]
    told, in_all = [], 0
    for at, group in itertools.groupby(view["rows"], key=lambda row: row["at"]):
        rows = list(group)
        sold, back = sum(row["sold"] for row in rows), sum(row["refunded"] for row in rows)
        in_all += sold - back
        if sold or back:
            told.append((str(at), sold, back, in_all))
    return told


async def pointed_at_the_end(reader: Reader, last: tuple[str, int, int, int]) -> None:
    """Pointing along the plot tells the last bar as the API has it."""
    plot = reader.page.get_by_role("figure", name="Sales over time").locator(".u-over")
    box = await plot.bounding_box()
    assert box is not None
    said = reader.page.get_by_text(f"{last[1]} sold, {last[3]} in all")
    for step in range(60):  # a bar's place depends on how long the sale took
        await reader.page.mouse.move(box["x"] + box["width"] * step / 60, box["y"] + box["height"] / 2)
        if await said.is_visible():
            return
    raise AssertionError(f"the plot does not tell {last}")


async def lasso(reader: Reader) -> None:
    """Draws a line around the whole house."""
    await reader.page.get_by_role("button", name="Lasso", exact=True).click()
    layer = reader.page.locator(".place svg")
    box = await layer.bounding_box()
    assert box is not None
    mouse, (x, y, wide, high) = reader.page.mouse, (box["x"], box["y"], box["width"], box["height"])
    await mouse.move(x + 4, y + 4)
    await mouse.down()
    for right, down in ((1, 0), (1, 1), (0, 1)):
        await mouse.move(x + 4 + right * (wide - 8), y + 4 + down * (high - 8), steps=4)
    await mouse.up()


async def blocked(http: httpx.AsyncClient, sale: Sale) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        await read(http, f"/v1/organizer/schedules/{sale.schedule_id}/blocks", sale.organizer)
    )["items"]
    return found


async def test_seats_held_while_they_are_blocked_are_named_and_nothing_is_half_done(
    make_reader: MakeReader, http: httpx.AsyncClient, organizer: dict[str, str], sale: Sale
) -> None:
    reader = await watching(make_reader, organizer, sale)
    page = reader.page
    await show(reader, "Seats")
    chosen = page.get_by_role("form", name="Chosen")
    await lasso(reader)
    await expect(chosen.get_by_text("240 places chosen")).to_be_visible()
    await chosen.get_by_role("textbox", name="Reason").fill("The orchestra is larger")
    await hold(http, sale, await sign_up(http), "A-7", "A-8")
    await chosen.get_by_role("button", name="Block 240 places").click()
    refused = chosen.get_by_role("alert")
    await expect(refused).to_contain_text("Nothing was blocked: 2 places are held or sold")
    await expect(refused).to_contain_text("row A: 7, 8")
    assert await blocked(http, sale) == []
    assert await reader.faults() == []
    await refused.get_by_role("button", name="Block the other 238 places").click()
    listed = page.get_by_role("region", name="Blocked now")
    await expect(listed.get_by_text("The orchestra is larger")).to_be_visible()
    (block,) = await blocked(http, sale)
    assert sorted(block["seats"]) == sorted(set(sale.seats) - {"A-7", "A-8"})

    # The same choice from the list, and back on sale.
    await page.get_by_text("Choose from a list").click()
    await page.get_by_role("checkbox", name=re.compile("^Row B, ")).check()
    await expect(chosen.get_by_text("20 blocked")).to_be_visible()
    await chosen.get_by_role("button", name="Put 20 places back on sale").click()
    await expect(page.get_by_text("20 places are on sale again.").first).to_be_visible()
    (block,) = await blocked(http, sale)
    assert len(block["seats"]) == 218
    await listed.get_by_role("button", name="Put back on sale").click()
    await expect(listed.get_by_text("Nothing is blocked.")).to_be_visible()
    assert await blocked(http, sale) == []
    reader.forgive("409")


async def test_a_booking_is_found_and_given_back_and_the_date_is_cancelled_with_its_consequences_first(
    make_reader: MakeReader, http: httpx.AsyncClient, organizer: dict[str, str], sale: Sale
) -> None:
    """On a phone, in Korean."""
    customer, other = await sign_up(http), await sign_up(http)
    first = await hold(http, sale, customer, "A-1", "A-2")
    assert (await pay(http, first, customer)).status_code == 201
    second = await hold(http, sale, other, "C-1")
    assert (await pay(http, second, other)).status_code == 201
    reader = await watching(make_reader, organizer, sale, "ko", "phone")
    page = reader.page

    await show(reader, "예매 내역")
    await page.get_by_role("searchbox", name="검색").fill("A-2")
    await page.get_by_role("button", name="검색").click()
    found = page.get_by_role("tabpanel").locator("details")
    await expect(found).to_have_count(1)
    await found.locator("summary").click()
    await page.get_by_role("button", name="취소하고 환불하기…").click()
    sheet = page.get_by_role("dialog")
    await expect(sheet.get_by_text("2석이 바로 다시 판매되고")).to_be_visible()
    await sheet.get_by_role("textbox", name="고객에게 알릴 사유").fill("A열 침수")
    assert await reader.faults() == []
    await sheet.get_by_role("button", name="예매 취소", exact=True).click()
    await expect(found.get_by_text("환불", exact=True).first).to_be_visible()
    assert (await read(http, f"/v1/bookings/{first['id']}", customer))["status"] == "refunded"

    await show(reader, "설정")
    await page.get_by_role("button", name="취소하면 어떻게 되는지 보기").click()
    await expect(page.get_by_text("결제된 예매 1건과 결제 전 예매 0건, 모두 1석이 취소됩니다.")).to_be_visible()
    await expect(page.get_by_text("수수료 없이 환불하며, 금액은 150,000원입니다.")).to_be_visible()
    await page.get_by_role("textbox", name="고객에게 알릴 사유").fill("가수가 아픕니다")
    now = page.get_by_role("button", name="이 회차를 완전히 취소")
    await expect(now).to_be_disabled()
    await page.get_by_role("textbox", name=re.compile("^확인을 위해")).fill("취소")
    await now.click()
    await expect(page.get_by_text("취소된 회차입니다: 가수가 아픕니다")).to_be_visible()
    await page.get_by_role("heading", name=re.compile("^(환불하는 중|모두 환불했습니다)$")).wait_for()
    progress = await read(http, f"/v1/organizer/schedules/{sale.schedule_id}/cancellation", sale.organizer)
    assert progress["bookings_live"] + progress["bookings_ended"] >= 1
    await page.route("**/cancellation", lambda route: route.fulfill(json=progress | DONE))
    await expect(page.get_by_role("heading", name="모두 환불했습니다")).to_be_visible()
    await expect(page.get_by_text("150,000원 환불됨")).to_be_visible()
    for part in PARTS["ko"]:
        await show(reader, part)
        await page.get_by_role("tabpanel").get_by_role("heading").first.wait_for()
        assert await reader.faults() == [], part


async def test_a_line_is_shown_as_it_moves_and_never_guessed(
    make_reader: MakeReader, http: httpx.AsyncClient, organizer: dict[str, str]
) -> None:
    headers = {"Authorization": organizer["Authorization"]}
    sale = await open_sale(http, organizer=headers, waiting_room=True)
    people = [await sign_up(http) for _ in range(SHOPPING_AT_ONCE + 2)]
    tickets = []
    for person in people:
        joined = await http.post(f"/v1/schedules/{sale.schedule_id}/queue", headers=person)
        assert joined.status_code == 201, joined.text
        tickets.append(joined.json())
    reader = await watching(make_reader, organizer, sale)
    waiting, shopping = figure(reader, "Waiting in line"), figure(reader, "Choosing seats")
    await expect(waiting).to_have_text("2")
    await expect(shopping).to_have_text(str(SHOPPING_AT_ONCE))
    left = await http.delete(f"/v1/queue/{tickets[-1]['ticket']}", headers=people[-1])
    assert left.status_code == 204, left.text
    await expect(waiting).to_have_text("1")  # though nothing is sold meanwhile

    def nobody_can_say(figures: Any) -> Any:
        return figures | {"queue": None}

    await reader.altered("**/v1/organizer/schedules/*/sales?*", nobody_can_say)
    await expect(waiting).to_have_text("Not known")
    await expect(shopping).to_have_count(0)
    assert await reader.flaws() == {}
    await reader.lets_through()
    with_pass = people[0] | {"Queue-Pass": tickets[0]["pass"]}
    await hold(http, sale, with_pass, "A-1")
    await expect(waiting).to_have_text("1")
    await expect(shopping).to_have_text(str(SHOPPING_AT_ONCE - 1))


async def test_the_page_says_when_it_is_behind_and_when_there_is_nothing_of_ones_own(
    make_reader: MakeReader, http: httpx.AsyncClient, organizer: dict[str, str], sale: Sale
) -> None:
    reader = await watching(make_reader, organizer, sale)
    page = reader.page

    # The figures lag behind, then cannot be had, then are there again.
    async def lagging(route: Route) -> None:
        answer = await route.fetch()
        view = await answer.json()
        await route.fulfill(response=answer, json=view | {"up_to_version": view["version"] - 1})

    figures = "**/v1/organizer/schedules/*/sales?*"
    await page.route(figures, lagging)
    booking = await hold(http, sale, await sign_up(http), "A-1")
    now = booking["version"]
    await expect(page.get_by_text(f"the sales figures to version {now - 1} of {now}")).to_be_visible()
    await reader.lets_through(figures)
    await page.route(figures, lambda route: route.abort())
    await expect(page.get_by_text("The figures could not be read.")).to_be_visible()
    await reader.lets_through(figures)
    await expect(page.get_by_text(f"Up to date: version {now}")).to_be_visible()
    reader.forgive("net::ERR_FAILED")

    # A waiting room by a tick, then closed by its organizer, and opened again.
    await expect(figure(reader, "Waiting in line")).to_have_count(0)
    await show(reader, "Settings")
    await page.get_by_role("checkbox", name="Waiting room").check()
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_text("Saved. It counts for whoever books from now on.").first).to_be_visible()
    assert (await read(http, f"/v1/schedules/{sale.schedule_id}", {}))["waiting_room"] is True
    await show(reader, "Sale")
    await expect(figure(reader, "Waiting in line")).to_have_text("0")
    await show(reader, "Settings")
    await page.get_by_role("button", name="Close the sale now").click()
    await page.get_by_role("button", name="Yes, close it").click()
    await expect(page.get_by_text("The sale is closed.").first).to_be_visible()
    await expect(page.get_by_role("main")).to_be_focused()  # what opened the sheet is gone
    await show(reader, "Sale")
    await expect(figure(reader, "Waiting in line")).to_have_count(0)
    await show(reader, "Settings")
    await page.get_by_role("button", name="Open the sale again").click()
    await expect(page.get_by_text(re.compile("^On sale until"))).to_be_visible()
    closing = page.get_by_role("button", name="Close the sale now")
    for going in ("disabled = true", "remove()"):  # after it had the focus back, as when an answer takes its time
        await closing.click()
        await page.keyboard.press("Escape")
        await expect(closing).to_be_focused()
        await page.evaluate(f"document.activeElement.{going}")
        await expect(page.get_by_role("main")).to_be_focused()
        await page.evaluate("document.querySelector('button[disabled]')?.removeAttribute('disabled')")

    # A link for the door: shown once, and taken back.
    await show(reader, "Door")
    await page.get_by_role("textbox", name="For whom").fill("Gate north")
    await page.get_by_role("button", name="Make a link").click()
    await expect(page.get_by_role("img", name="QR code of the link for Gate north")).to_be_visible()
    assert await reader.faults() == []
    await page.get_by_role("button", name="Done").click()
    await page.get_by_role("button", name="Take back the link of Gate north").click()
    await expect(page.get_by_text("Nobody has a link yet.")).to_be_visible()

    another = await open_sale(http)
    await reader.go(f"/o/s/{another.schedule_id}")
    await expect(page.get_by_role("heading", name="There is no such sale of yours")).to_be_visible()
    assert await reader.faults() == []
