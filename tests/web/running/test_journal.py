"""The house at any version, in a browser: moved by keys, played, followed by seat, booking and time."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.async_api import Page

from tests.conftest import Stack
from tests.support.sale import Sale, hold, open_sale, paid_booking, read, sign_up, small_plan
from tests.support.waiting import until
from tests.web.conftest import MakeReader, Reader
from tests.web.running.test_admin import at_admin

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """A date with a story: opened, A-1 and A-2 sold, A-3 held and given back."""
    sale = await open_sale(http, plan=small_plan(rows=3, seats_per_row=8))
    customer = await sign_up(http)
    await http.patch("/v1/accounts/me", json={"name": "김민지"}, headers=customer)
    await paid_booking(http, sale, customer, "A-1", "A-2")
    other = await sign_up(http)
    held = await hold(http, sale, other, "A-3")
    await http.post(f"/v1/bookings/{held['id']}/cancellation", headers=other)
    return sale


async def shown(page: Page, version: int, newest: int) -> None:
    await page.get_by_text(f"Version {version} of {newest}", exact=True).wait_for()


async def counts(page: Page) -> dict[str, int]:
    """Places by state, as they can be read below the picture."""
    texts = await page.locator("dl.row > div").all_inner_texts()
    return {name: int(count) for name, count in (text.split() for text in texts)}


async def test_an_admin_moves_through_every_version_by_keys_and_sees_who_had_what(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, sale: Sale
) -> None:
    story = await read(http, f"/v1/organizer/schedules/{sale.schedule_id}/history", sale.organizer)
    newest = story["newest"]
    reader = await at_admin(make_reader, stack, size="desktop")
    page = reader.page
    await reader.go(f"/admin/journal/{sale.schedule_id}")
    await shown(page, newest, newest)
    assert await counts(page) == {"Free": 22, "Held": 0, "Sold": 2, "Blocked": 0}
    slider = page.get_by_role("slider", name="Version")
    await slider.focus()
    await slider.press("Home")
    await page.get_by_text("Before anything happened").first.wait_for()
    assert await counts(page) == {"Free": 24, "Held": 0, "Sold": 0, "Blocked": 0}
    sold = held = 0
    for step in story["items"]:
        await slider.press("ArrowRight")
        await shown(page, step["version"], newest)
        for _, state in step["seats"]:
            held, sold = {0: (0, sold), 1: (held + 1, sold), 2: (0, sold + 1)}[state]
        assert (await counts(page))["Sold"] == sold, step["type"]
    assert await reader.faults() == []
    version = next(each["version"] for each in story["items"] if each["type"] == "reservation.confirmed")
    await reader.go(f"/admin/journal/{sale.schedule_id}?version={version}")
    await page.get_by_role("searchbox", name="Booking number, name or seat").fill("A-1")
    await page.get_by_role("button", name="Find", exact=True).click()
    seat = page.get_by_role("region", name="Seat", exact=True)
    await seat.get_by_text("김민지").wait_for()
    told = await seat.locator("ol button span:first-child").all_inner_texts()
    assert told == ["Seats held", "Booking complete"]
    await seat.get_by_role("button", name=re.compile("Seats held")).click()
    await shown(page, 2, newest)


async def test_an_organizer_follows_a_booking_of_their_own_and_plays_what_came_after(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    url = f"/v1/organizer/schedules/{sale.schedule_id}"
    (booking,) = (await read(http, f"{url}/bookings", sale.organizer, q="김민지"))["items"]
    newest = (await read(http, f"{url}/history", sale.organizer))["newest"]
    reader = await logged_in_as(make_reader, http, sale)
    page = reader.page
    await reader.go(f"/o/s/{sale.schedule_id}/journal")
    await shown(page, newest, newest)
    await page.get_by_role("searchbox", name="Booking number, name or seat").fill(booking["number"])
    await page.get_by_role("button", name="Find", exact=True).click()
    await shown(page, 2, newest)
    await page.get_by_label("Changes a second").select_option("200")
    await page.get_by_role("button", name="Play").click()
    await shown(page, newest, newest)
    await page.get_by_role("button", name="Play").wait_for()
    assert await reader.faults() == []
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390


async def test_the_journal_of_a_date_is_nobody_elses(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    other = await open_sale(http, plan=small_plan(rows=2, seats_per_row=4))
    reader = await logged_in_as(make_reader, http, other)
    await reader.go(f"/o/s/{other.schedule_id}/journal")
    await shown(reader.page, 1, 1)
    await reader.go(f"/o/s/{sale.schedule_id}/journal")
    await until(lambda: refused(reader))


async def refused(reader: Reader) -> bool:
    return await reader.page.get_by_role("alert").count() > 0


async def logged_in_as(make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale) -> Reader:
    """The sale's organizer at a browser."""
    reader = await make_reader()
    me = await read(http, "/v1/accounts/me", sale.organizer)
    await reader.log_in(me["email"])
    return reader
