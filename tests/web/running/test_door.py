"""The door in a browser: typed codes, twice, offline and back, by name, and a link that is over."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import httpx
import pytest
from playwright.async_api import Page

from tests.support.sale import Sale, open_sale, paid_booking, sign_up, small_plan
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack
Sold = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    return await open_sale(http, plan=small_plan(rows=4, seats_per_row=20))


@pytest.fixture
def sold(http: httpx.AsyncClient, sale: Sale) -> Sold:
    """Sells so many seats to somebody of that name; gives the code of their ticket."""

    async def sell(count: int, name: str = "Minji") -> str:
        customer = await sign_up(http)
        await http.patch("/v1/accounts/me", json={"name": name}, headers=customer)
        booking, _ = await paid_booking(http, sale, customer, *sale.fresh(count))
        ticket = await http.get(f"/v1/bookings/{booking['id']}/ticket", headers=customer)
        code: str = ticket.json()["code"]
        return code

    return sell


async def at_door(make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, language: str = "en") -> Reader:
    """Somebody who came by a link of the organizer's."""
    url = f"/v1/schedules/{sale.schedule_id}/door-staff"
    link = (await http.post(url, json={"name": "Jiwoo"}, headers=sale.organizer)).json()["link"]
    reader = await make_reader(language)
    await reader.page.goto(link)
    await reader.page.get_by_text(re.compile(r" in$|입장$")).first.wait_for()
    return reader


async def scan(page: Page, code: str) -> None:
    """As a hardware scanner does: types, and presses Enter."""
    field = page.get_by_role("textbox", name=re.compile("^(Code|코드)$"))
    await field.fill(code)
    await field.press("Enter")


async def verdict(page: Page, name: str) -> None:
    await page.get_by_role("alert", name=name).wait_for()


async def test_everybody_comes_in_once_and_a_valid_code_right_after_a_bad_one_is_valid(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    reader = await at_door(make_reader, http, sale)
    code = await sold(2)
    await reader.page.get_by_label("Gate", exact=True).fill("North")
    await scan(reader.page, code)
    await verdict(reader.page, "Come in")
    await reader.reads("2 people")
    await scan(reader.page, code)
    await verdict(reader.page, "Already in")
    await reader.page.get_by_text(re.compile("Came in at .* gate North")).wait_for()
    await scan(reader.page, "nonsense")
    await verdict(reader.page, "Not a ticket")
    await scan(reader.page, await sold(1))
    await verdict(reader.page, "Come in")
    assert await reader.faults() == []
    await reader.page.get_by_role("button", name="Take back").click()
    await reader.reads("Taken back. The ticket is good again.")


async def test_without_a_connection_the_phone_decides_and_sends_it_later(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    codes = [await sold(1) for _ in range(3)]
    north, south = [await at_door(make_reader, http, sale) for _ in range(2)]
    await north.page.context.set_offline(True)
    for code in codes[:2]:
        await scan(north.page, code)
        await verdict(north.page, "Come in")
        await north.reads("Checked on this phone alone")
    await scan(north.page, codes[0])
    await verdict(north.page, "Already in")
    await north.reads("3 scans not sent yet")
    await scan(south.page, codes[1])
    await verdict(south.page, "Come in")
    await north.page.context.set_offline(False)
    await north.page.get_by_text("not sent yet").wait_for(state="detached")
    await north.reads("1 ticket came in twice while offline")
    north.forgive("ERR_INTERNET_DISCONNECTED")
    counts = await http.get(f"/v1/schedules/{sale.schedule_id}/check-ins", headers=sale.organizer)
    admitted = [each["codes"] for each in counts.json()["gates"] if each["result"] == "admitted"]
    assert sum(admitted) >= 2


async def test_who_has_no_code_at_hand_is_found_by_name(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    await sold(3, name="박지우")
    reader = await at_door(make_reader, http, sale, "ko")
    await reader.page.get_by_role("searchbox").fill("지우")
    await reader.page.get_by_role("button", name="3명 입장").click()
    await verdict(reader.page, "입장하세요")
    assert await reader.faults() == []


async def test_a_link_that_was_taken_back_opens_nothing(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    url = f"/v1/schedules/{sale.schedule_id}/door-staff"
    link = (await http.post(url, json={"name": "Late"}, headers=sale.organizer)).json()
    await http.delete(f"{url}/{link['id']}", headers=sale.organizer)
    reader = await make_reader()
    await reader.page.goto(link["link"])
    await reader.reads("This door is closed to you")
