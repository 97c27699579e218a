"""Seats of another date of the run: what is not paid for goes there in one step, what is paid is bought there first."""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx
import pytest
from playwright.async_api import Locator, Request, Route, expect

from tests.conftest import SHOPPING_AT_ONCE
from tests.support.sale import Sale, another_date, hold, open_sale, paid_booking, read, seat_ids, sign_up, small_plan
from tests.web.buying.test_exchange import choice
from tests.web.buying.test_picker import open_row, seat, taken_by_another
from tests.web.buying.test_waiting_room import holds_one, join
from tests.web.conftest import SMALL, MakeReader, Reader

pytestmark = pytest.mark.stack


FULL = {"id": "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90", "seats_left": {"VIP": 0, "Standard": 0}}


class Run:
    """Two dates of a performance in a house in which rows A–F cost ₩150,000 and G–L ₩55,000."""

    def __init__(self, first: Sale, second: Sale) -> None:
        self.first, self.second = first, second


@pytest.fixture(scope="module")
async def run(http: httpx.AsyncClient) -> Run:
    first = await open_sale(http, plan=small_plan(rows=12, seats_per_row=4))
    return Run(first, await another_date(http, first))


def dates(reader: Reader) -> Locator:
    return reader.page.get_by_role("combobox", name="Date")


async def chooses(reader: Reader, sale: Sale, *seats: str) -> None:
    """Chooses these seats of the date, by the list."""
    await dates(reader).select_option(sale.schedule_id)
    await reader.page.locator("canvas").first.wait_for()
    sale.taken.update(seats)
    for each in seats:
        row = each.partition("-")[0]
        if await seat(reader, each).count() == 0:
            await open_row(reader, row)
        await seat(reader, each).click()


async def status_of(http: httpx.AsyncClient, headers: dict[str, str], booking_id: str) -> tuple[str, Sequence[str]]:
    now = await read(http, f"/v1/bookings/{booking_id}", headers)
    return now["status"], sorted(seat_ids(now))


async def test_what_is_held_goes_to_another_date_in_one_step_though_the_answer_is_lost(
    make_reader: MakeReader, http: httpx.AsyncClient, run: Run
) -> None:
    reader = await make_reader(**SMALL)
    headers = await reader.joins(http)
    old = await hold(http, run.first, headers, "A-1", "A-2")
    run.first.taken.update(("A-1", "A-2"))
    await reader.altered("**/schedules?*", lambda page: page | {"items": [*page["items"], page["items"][-1] | FULL]})
    await reader.go(f"/b/{old['id']}")
    await reader.page.get_by_role("link", name="Other seats or another date").click()
    sold_out = dates(reader).locator("option", has_text="sold out")
    await expect(sold_out).to_be_disabled()
    await chooses(reader, run.second, "G-1", "G-2")
    await expect(choice(reader)).to_contain_text("₩110,000 in all, instead of ₩300,000.")
    assert await reader.flaws() == {}

    lost: list[str] = []

    async def loses_the_first_answer(route: Route, request: Request) -> None:
        if request.method == "PATCH" and not lost:
            lost.append((await (await route.fetch()).json())["id"])
            await route.abort()
            return
        await route.continue_()

    await reader.page.route("**/v1/bookings/*", loses_the_first_answer)
    await choice(reader).get_by_role("button", name="Take this date instead").click()
    await reader.reads("No connection")
    await taken_by_another(http, run.second, "G-3")
    run.second.taken.add("G-3")
    await expect(seat(reader, "G-3")).to_have_count(0)
    await expect(choice(reader)).to_contain_text("₩110,000 in all")  # these are taken, too: by whoever asks
    await choice(reader).get_by_role("button", name="Take this date instead").click()
    await reader.page.wait_for_url(f"**/b/{lost[0]}")
    reader.forgive("net::ERR_FAILED")
    await reader.reads("Time left to pay")
    assert await status_of(http, headers, lost[0]) == ("held", ["G-1", "G-2"])
    assert await status_of(http, headers, old["id"]) == ("cancelled", ["A-1", "A-2"])
    assert len((await read(http, "/v1/bookings", headers))["items"]) == 2

    await reader.go(f"/b/{old['id']}")
    await reader.page.get_by_text("You took seats of another date instead.").wait_for()
    assert await reader.flaws() == {}
    await reader.page.get_by_role("link", name="To that booking").click()
    await reader.page.wait_for_url(f"**/b/{lost[0]}")


async def test_what_is_paid_is_bought_of_another_date_first_and_given_back_then(
    make_reader: MakeReader, http: httpx.AsyncClient, run: Run
) -> None:
    reader = await make_reader("en", "desktop")
    headers = await reader.joins(http)
    old, _ = await paid_booking(http, run.first, headers, "G-1", "G-2")
    run.first.taken.update(("G-1", "G-2"))
    await reader.go(f"/b/{old['id']}")
    await reader.page.get_by_role("link", name="Other seats or another date").click()
    await chooses(reader, run.second, "A-1")
    await expect(choice(reader)).to_contain_text("Choose 1 seat more.")
    await chooses(reader, run.second, "A-2")
    for said in ("New seats, paid now₩300,000", "Comes back for the old ones", "₩110,000", "In all you pay₩190,000"):
        await expect(choice(reader)).to_contain_text(said)
    assert await reader.flaws() == {}
    await choice(reader).get_by_role("button", name="Hold the new seats and pay").click()
    await reader.page.wait_for_url(lambda url: "/b/" in url and "exchange" not in url)
    await reader.page.get_by_text("These are to take the place of Stalls, row G seat 1", exact=False).wait_for()
    new = reader.page.url
    await reader.page.go_back()
    await reader.page.get_by_text("You hold Stalls, row A seat 1 · Stalls, row A seat 2 to take").wait_for()
    await reader.page.get_by_role("link", name="Go on to pay").click()
    await reader.page.wait_for_url(new)
    await reader.pay("tok_approve")
    await reader.reads("The new seats are yours. Now give the old ones back.")
    assert await status_of(http, headers, old["id"]) == ("confirmed", ["G-1", "G-2"]), "nobody is ever without seats"
    await reader.page.get_by_role("button", name="Refund now").click()
    await reader.page.get_by_text("Now give the old ones back.").wait_for(state="detached")
    assert (await status_of(http, headers, old["id"]))[0] == "refunded"


async def test_who_has_to_wait_for_the_other_date_is_told_before_choosing_and_comes_back_by_the_waiting_room(
    make_reader: MakeReader, http: httpx.AsyncClient, run: Run
) -> None:
    hot = await another_date(http, run.first, waiting_room=True)
    people = [await sign_up(http) for _ in range(SHOPPING_AT_ONCE)]
    places = [await join(http, hot, headers) for headers in people]
    reader = await make_reader("en", "desktop")
    headers = await reader.joins(http)
    old = await hold(http, run.first, headers, *run.first.fresh(1))
    await reader.go(f"/b/{old['id']}/exchange?date={hot.schedule_id}")
    await reader.reads("Others are waiting for this date. Choose seats when it is your turn.")
    assert await reader.flaws() == {}
    await reader.page.get_by_role("link", name="Waiting room", exact=True).click()
    await reader.reads("You are next")
    await holds_one(http, hot, people[0], places[0])
    await reader.reads("It is your turn")
    await reader.page.wait_for_url(re.compile(rf"/b/{old['id']}/exchange\?date={hot.schedule_id}$"))
    await chooses(reader, hot, "L-1")
    await choice(reader).get_by_role("button", name="Take this date instead").click()
    await reader.page.wait_for_url(lambda url: "/b/" in url and "exchange" not in url)
    assert (await status_of(http, headers, old["id"]))[0] == "cancelled"


async def test_where_there_is_no_other_date_it_is_said_and_other_seats_are_taken_at_any_price_while_unpaid(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale = await open_sale(http, plan=small_plan(rows=12, seats_per_row=4))
    reader = await make_reader("en", "desktop")
    headers = await reader.joins(http)
    old = await hold(http, sale, headers, "A-1")
    await reader.go(f"/b/{old['id']}/exchange")
    await reader.reads("No other date is on sale at the moment.")
    await open_row(reader, "G")
    await seat(reader, "G-2").click()
    await expect(choice(reader)).to_contain_text("₩55,000 in all, instead of ₩150,000.")
    await choice(reader).get_by_role("button", name="Exchange now").click()
    await reader.page.wait_for_url(f"**/b/{old['id']}")
    assert await status_of(http, headers, old["id"]) == ("held", ["G-2"])

    await reader.reads("Time left to pay")
    await reader.altered(f"**/v1/bookings/{old['id']}", lambda booking: booking | {"status": "expired"})
    await reader.go(f"/b/{old['id']}/exchange")
    await reader.reads("These seats cannot be exchanged")
