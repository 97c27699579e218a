"""Tickets without a connection: what was opened once opens again, every place of it, and nothing after a log-out."""

from __future__ import annotations

import httpx
import pytest
from playwright.async_api import Locator

from tests.support.sale import Sale, open_sale, paid_booking, small_plan
from tests.support.waiting import until
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    return await open_sale(http, plan=small_plan(rows=2, seats_per_row=10))


async def with_a_ticket(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> tuple[Reader, dict[str, str], str]:
    """Somebody whose ticket for two was shown and is kept; with the headers of their requests, and its address."""
    reader = await make_reader(service_workers="allow")
    headers = await reader.joins(http)
    booking, _ = await paid_booking(http, sale, headers, *sale.fresh(2))
    await reader.page.goto(f"/b/{booking['id']}")
    await whole(reader).wait_for()
    last = f"/v1/bookings/{booking['id']}/ticket?place=2"
    ready = f"caches.match('{last}').then((kept) => Boolean(kept && navigator.serviceWorker.controller))"
    await until(lambda: reader.page.evaluate(ready))
    return reader, headers, f"/b/{booking['id']}"


def whole(reader: Reader) -> Locator:
    return reader.page.get_by_role("img", name=reader.words["ticket"])


async def is_forgotten(reader: Reader) -> None:
    """Nothing is kept. The browser may make an empty cache again, to note there how a script of it was compiled."""
    kept = "Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).length))"
    nothing = f"caches.keys().then((names) => {kept}).then((counts) => counts.every((count) => count === 0))"
    await until(lambda: reader.page.evaluate(nothing))


async def test_without_a_connection_every_place_of_a_ticket_opens_and_is_found_from_ones_bookings(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, _, path = await with_a_ticket(make_reader, http, sale)
    page = reader.page
    await page.context.set_offline(True)
    await page.reload()
    await whole(reader).wait_for()
    await reader.reads(reader.words["confirmed"])
    told = await page.get_by_text("You are offline.", exact=False).bounding_box()
    state = await page.get_by_text(reader.words["confirmed"], exact=True).first.bounding_box()
    assert told is not None
    assert state is not None
    assert told["y"] + told["height"] <= state["y"], "what is told of the connection covers the ticket"
    await page.get_by_text("A code for each seat").click()
    codes = page.locator("details img")
    await codes.nth(1).wait_for()
    for code in await codes.all():
        assert await code.evaluate("code => code.decode().then(() => code.naturalWidth > 0)")
    await page.get_by_role("link", name=reader.words["my_bookings"]).click()
    await page.get_by_role("region", name="Tickets on this device").get_by_role("link").click()
    await page.wait_for_url(f"**{path}")
    await whole(reader).wait_for()
    await reader.go("/forgotten")  # of which nothing has been loaded
    await reader.reads(reader.words["no_connection"])
    await page.context.set_offline(False)
    await page.get_by_role("heading", name="A new password").wait_for()
    reader.forgive("net::ERR_INTERNET_DISCONNECTED")
    reader.forgive("net::ERR_FAILED")


async def test_logging_out_forgets_them_also_without_a_connection_and_the_server_hears_of_it_later(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, path = await with_a_ticket(make_reader, http, sale)
    page = reader.page
    sessions = (await http.get("/v1/sessions", headers=headers)).json()["items"]
    await page.context.set_offline(True)
    await page.reload()
    await whole(reader).wait_for()
    await page.get_by_role("button", name=reader.words["log_out"]).click()
    await is_forgotten(reader)
    await page.get_by_role("link", name=reader.words["log_in"], exact=True).wait_for()
    await reader.go(path)
    await reader.reads("Log in to go on")
    assert len((await http.get("/v1/sessions", headers=headers)).json()["items"]) == len(sessions)
    await page.context.set_offline(False)

    async def ended() -> bool:
        left = (await http.get("/v1/sessions", headers=headers)).json()["items"]
        return len(left) == len(sessions) - 1

    await until(ended)
    reader.forgive("net::ERR_INTERNET_DISCONNECTED")
    await page.goto(path)
    await reader.reads("Log in to go on")
    await is_forgotten(reader)


async def test_a_ticket_that_opens_no_door_any_more_is_forgotten(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, _, path = await with_a_ticket(make_reader, http, sale)
    await reader.page.get_by_role("button", name=reader.words["refund"], exact=True).click()
    await reader.page.get_by_role("button", name=reader.words["refund_now"]).click()
    await reader.reads(reader.words["refunded"])
    kept = "caches.keys().then(async ([name]) => (await (await caches.open(name)).keys()).map(({ url }) => url))"

    async def gone() -> bool:
        return not [url for url in await reader.page.evaluate(kept) if path.removeprefix("/b/") in url]

    await until(gone)
