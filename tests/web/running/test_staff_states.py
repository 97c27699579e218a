"""Every state of the pages of those who run a house: anybody can use it, light and dark, and nothing sticks out.

Organizers and the door here; `test_admin` walks the pages of admins.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from playwright.async_api import expect

from tests.support.sale import Sale, hold, open_sale, paid_booking, read, sign_up, small_plan
from tests.web.conftest import SMALL, MakeReader, Reader, State

pytestmark = pytest.mark.stack

AT_200_PERCENT = {"width": 640, "height": 430}  # of a desk's 1280
Visit = Callable[[Reader, Sale], Awaitable[None]]


async def selling(make_reader: MakeReader, http: httpx.AsyncClient, **options: Any) -> tuple[Reader, Sale]:
    """An organizer at a browser, and their sale: some of it sold, some held."""
    reader = await make_reader(**(SMALL | options))
    headers = await reader.joins(http, "organizer", "/o")
    sale = await open_sale(http, plan=small_plan(rows=4, seats_per_row=10, standing=20), organizer=headers)
    await paid_booking(http, sale, await sign_up(http), *sale.fresh(2))
    await hold(http, sale, await sign_up(http), *sale.fresh(1))
    return reader, sale


def at(path: str) -> Visit:
    async def visit(reader: Reader, sale: Sale) -> None:
        ids = {"venue": sale.venue_id, "performance": sale.performance_id, "schedule": sale.schedule_id}
        await reader.go(path.format(**ids))

    return visit


def where(url: str, change: Callable[[Any], Any], path: str) -> Visit:
    """A page as it is when the API's answer reads so."""

    async def visit(reader: Reader, sale: Sale) -> None:
        await reader.altered(url, change)
        await at(path)(reader, sale)

    return visit


KINDS = (
    *("giving_back", "refunds_late", "nothing_for_sale", "no_dates", "starts_soon", "sale_opens"),
    *("nearly_sold_out", "sold_out"),
)


def every_matter(_: Any) -> Any:
    """One of each kind of what wants to be looked at."""
    matter = {
        "performance_id": "p",
        "performance_title": "호두까기 인형",
        "performance_title_en": "The Nutcracker",
        "starts_at": "2026-12-24T10:30:00+00:00",
        "time_zone": "Asia/Seoul",
        "at": "2026-12-24T10:30:00+00:00",
        "sold": 1_203,
        "capacity": 3_022,
        "bookings": 12,
        "amount": 1_500_000,
        "currency": "KRW",
    }
    return {"items": [matter | {"kind": kind, "schedule_id": kind} for kind in KINDS]}


async def all_matters(reader: Reader, sale: Sale) -> None:
    await where("**/v1/organizer/attention", every_matter, "/o")(reader, sale)
    await reader.page.get_by_role("button", name="Show 2 more").click()


def state_is(state: str, **more: Any) -> Callable[[Any], Any]:
    return lambda date: date | {"sale": date["sale"] | {"state": state}} | more


def nothing(page: Any) -> Any:
    return page | {"items": []}


DATE = "**/v1/schedules/{schedule}"
STATES: dict[str, State] = {
    "shows": (at("/o"), "2 of 60 sold"),
    "shows, what to look at": (all_matters, "Nearly sold out"),
    "shows, none yet": (where("**/v1/organizer/performances*", nothing, "/o"), "Begin with the venue"),
    "venues": (at("/o/venues"), "A house"),
    "venues, none": (where("**/v1/organizer/venues*", nothing, "/o/venues"), "You have no venue yet."),
    "new venue": (at("/o/venues/new"), "Count rows"),
    "venue": (at("/o/venues/{venue}"), "Correct the plan"),
    "no such venue": (at("/o/venues/{performance}"), "There is no such venue"),
    "new performance": (at("/o/performances/new"), "What is played"),
    "performance": (at("/o/performances/{performance}"), "Add dates"),
    "no such performance": (at("/o/performances/{venue}"), "There is no such performance of yours"),
    "new dates": (at("/o/performances/{performance}/schedules/new"), "How often"),
    "terms": (at("/o/s/{schedule}/edit"), "Move the date"),
    "live, sale": (at("/o/s/{schedule}"), "Taken in"),
    "live, seats": (at("/o/s/{schedule}#blocks"), "Blocked now"),
    "live, bookings": (at("/o/s/{schedule}#bookings"), "2 places"),
    "live, door": (at("/o/s/{schedule}#door"), "Nobody has a link yet."),
    "live, settings": (at("/o/s/{schedule}#manage"), "Close the sale now"),
    "no such sale": (at("/o/s/{venue}"), "There is no such sale of yours"),
    "journal": (at("/o/s/{schedule}/journal"), "Version"),
}


async def test_every_page_of_an_organizer_can_be_used_by_anybody_and_fits_a_narrow_screen(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader, sale = await selling(make_reader, http)
    assert await reader.walk(STATES, sale) == {}
    await reader.page.set_viewport_size(AT_200_PERCENT)  # type: ignore[arg-type]  # a dict of the same shape
    live = {name: state for name, state in STATES.items() if name.startswith(("live", "journal"))}
    assert await reader.walk(live, sale) == {}


# --- the door ---------------------------------------------------------------------------------------------------------
VERDICTS = {
    "admitted": "Come in",
    "already_in": "Already in",
    "refunded": "Given back",
    "replaced": "Replaced",
    "other_schedule": "Another date",
    "not_genuine": "Not a ticket",
}


DENYING = """() => {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
}"""


async def test_every_verdict_of_the_door_can_be_read_by_anybody_and_a_camera_that_is_denied_is_no_end(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale = await open_sale(http)
    url = f"/v1/schedules/{sale.schedule_id}/door-staff"
    link = (await http.post(url, json={"name": "Jiwoo"}, headers=sale.organizer)).json()["link"]
    customer = await sign_up(http)
    booking, _ = await paid_booking(http, sale, customer, *sale.fresh(2))
    code = (await read(http, f"/v1/bookings/{booking['id']}/ticket", customer))["code"]
    reader = await make_reader(**SMALL)
    page, flaws = reader.page, {}
    await page.goto(link)
    for result, title in VERDICTS.items():
        more = {"result": result, "title": "The Nutcracker", "starts_at": "2026-12-24T10:30:00+00:00"}
        await reader.altered(
            "**/check-ins",
            lambda judged, more=more: [each | more for each in judged] if isinstance(judged, list) else judged,
        )
        await page.get_by_role("textbox", name="Code", exact=True).fill(code)
        await page.get_by_role("button", name="Check", exact=True).click()
        await page.get_by_role("alert", name=title).wait_for()
        if found := await reader.flaws():
            flaws[result] = found
        await reader.lets_through()
    assert flaws == {}
    await page.evaluate(DENYING)
    await page.get_by_role("button", name="Use the camera").click()
    await page.get_by_text("Allow it in the browser, or type the codes.", exact=False).wait_for()
    assert await reader.flaws() == {}


# --- another plan -----------------------------------------------------------------------------------------------------
async def take(reader: Reader, plan: Any) -> None:
    """Gives the page a plan as a file."""
    file = {"name": "plan.json", "mimeType": "application/json", "buffer": json.dumps(plan).encode()}
    await reader.page.get_by_label("Seating plan file").set_input_files([file])  # type: ignore[list-item]  # as it wants


async def test_a_plan_is_corrected_after_a_look_at_what_changes_and_whose_seats_stand_in_the_way(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader, sale = await selling(make_reader, http)  # are sold, A-3 is held
    page = reader.page
    await reader.go(f"/o/venues/{sale.venue_id}")
    await page.get_by_role("link", name="Correct the plan").click()
    changes = page.get_by_role("region", name="What would change")
    replace = page.get_by_role("button", name="Sell by this plan from now on")
    await expect(replace).to_be_disabled()

    plan = small_plan(rows=4, seats_per_row=10, standing=20)
    await take(reader, plan)
    await expect(changes).to_contain_text("It is the plan that is there.")
    await expect(replace).to_be_disabled()

    rows = plan["zones"][0]["rows"]
    del rows[0]["seats"][1:3]
    await take(reader, plan)
    await expect(changes).to_contain_text("2 places less Stalls, row A seat 2; Stalls, row A seat 3")
    await expect(changes.get_by_role("alert")).to_contain_text("Nobody shall lose a seat.")
    await expect(changes).to_contain_text("In the way: Stalls, row A seat 2; Stalls, row A seat 3.")
    await expect(replace).to_be_disabled()
    assert await reader.flaws() == {}

    plan = small_plan(rows=4, seats_per_row=10, standing=20)
    rows = plan["zones"][0]["rows"]
    del rows[3]["seats"][-1]
    plan["categories"].append({"name": "Box", "color": "#884400"})
    rows[2]["seats"][0]["category"] = "Box"
    await take(reader, plan)
    await expect(changes).to_contain_text("1 place less Stalls, row D seat 10")
    await expect(changes).to_contain_text("1 place called otherwise or of another category Stalls, row C seat 1")
    await expect(changes).to_contain_text("Box: new, and not for sale until you set a price, date by date.")
    await expect(changes).to_contain_text("60 → 59 places")
    assert await reader.flaws() == {}
    await replace.click()
    await page.wait_for_url(f"**/o/venues/{sale.venue_id}")
    await page.get_by_role("row", name="All 59").wait_for()
    prices = (await http.get(f"/v1/schedules/{sale.schedule_id}")).json()["prices"]
    assert prices == dict(sale.prices) | {"Box": None}
