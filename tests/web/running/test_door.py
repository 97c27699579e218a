"""The door in a browser: typed codes, twice, offline and back, by name, and a link that is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, Route

from tests.support.sale import Sale, open_sale, paid_booking, sign_up, small_plan
from tests.support.waiting import until
from tests.web.browser import ELSEWHERE
from tests.web.conftest import NARROW, MakeReader, Reader

pytestmark = pytest.mark.stack
Sold = Callable[..., Awaitable[str]]
LISTED = re.compile(r"^List of|기준 목록$")
KEPT_COMES_LATE = """
const has = CacheStorage.prototype.has;
const told = new Promise((come) => (window.kept_comes = come));
CacheStorage.prototype.has = async function (...name) {
  await told;
  return has.apply(this, name);
};"""


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


async def linked(http: httpx.AsyncClient, sale: Sale) -> str:
    """A link to the door that the organizer has made."""
    url = f"/v1/schedules/{sale.schedule_id}/door-staff"
    link: str = (await http.post(url, json={"name": "Jiwoo"}, headers=sale.organizer)).json()["link"]
    return link


async def at_door(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, language: str = "en", **options: Any
) -> Reader:
    """Somebody who came by a link of the organizer's."""
    reader = await make_reader(language, **options)
    await reader.page.goto(await linked(http, sale))
    await reader.page.get_by_text(LISTED).wait_for()  # from then on the phone does without a connection
    return reader


def forgive_being_offline(reader: Reader) -> None:
    for line in ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED"):
        reader.forgive(line)


async def is_kept(page: Page, schedule_id: str) -> None:
    """From now on the page comes back without a connection."""
    doors = "navigator.serviceWorker.controller ? caches.open('boxoffice-doors').then((doors) => doors.keys()) : []"
    kept = f"Promise.resolve({doors}).then((kept) => kept.some(({{ url }}) => url.includes('/door/{schedule_id}/')))"
    await until(lambda: page.evaluate(kept))


async def nothing_is_kept(page: Page, *names: str) -> None:
    """No name of anybody who may come in is left in the browser."""
    left = """
    Promise.all((await caches.keys()).map(async (name) => {
      const cache = await caches.open(name);
      return Promise.all((await cache.keys()).map(async (each) => (await cache.match(each)).text()));
    })).then((texts) => texts.flat().join() + JSON.stringify({ ...localStorage }))"""

    async def forgotten() -> bool:
        told = await page.evaluate(f"async () => {left}")
        return not [name for name in names if name in told]

    await until(forgotten)


async def asks_however_long_it_takes(page: Page) -> None:
    """A phone whose line is slow decides by itself after three seconds; from now on this one has all the time."""
    await page.clock.install()
    await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=5))


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
    await asks_however_long_it_takes(reader.page)
    await scan(reader.page, code)
    await verdict(reader.page, "Come in")
    await reader.reads("2 people")
    await scan(reader.page, code)
    await verdict(reader.page, "Already in")
    await reader.page.get_by_text(re.compile("Came in at .* gate North")).wait_for()
    for nonsense in ("nonsense", "a card from a wallet " * 200, "two \0 words"):
        await scan(reader.page, nonsense)
        await verdict(reader.page, "Not a ticket")
    await reader.page.get_by_label("People coming in now").fill("1000000")  # which nobody is let in by
    await scan(reader.page, code)
    await scan(reader.page, await sold(1))
    await verdict(reader.page, "Come in")
    await everything_sent(reader.page)
    await reader.page.clock.resume()
    assert await reader.faults() == []
    await reader.page.get_by_role("button", name="Take back").click()
    await reader.reads("Taken back. The ticket is good again.")
    await reader.page.get_by_role("alert", name="Come in").wait_for(state="detached")
    await reader.page.keyboard.type(code)  # a scanner's next one, wherever that button took the focus
    await reader.page.keyboard.press("Enter")
    await verdict(reader.page, "Already in")


async def test_without_a_connection_the_phone_decides_and_sends_it_later(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    codes = [await sold(1) for _ in range(3)]
    north, south = [await at_door(make_reader, http, sale) for _ in range(2)]
    other = await north.page.context.new_page()  # the link, opened once more
    await other.goto(north.page.url)
    await other.get_by_text(LISTED).wait_for()
    await north.page.context.set_offline(True)
    for code in codes[:2]:
        await scan(north.page, code)
        await verdict(north.page, "Come in")
        await north.reads("Checked on this phone alone")
    await scan(north.page, codes[0])
    await verdict(north.page, "Already in")
    await north.reads("2 scans not sent yet")
    await scan(other, codes[0])  # let in by the tab beside it
    await verdict(other, "Already in")
    await scan(other, codes[2])
    await verdict(other, "Come in")
    kept = "Object.keys(localStorage).filter((key) => key.startsWith('boxoffice.door.')).length"
    assert (
        await other.evaluate(kept) == 4
    )  # of the first that it tried to send it cannot know whether the server has it
    await scan(south.page, codes[1])
    await verdict(south.page, "Come in")
    await north.page.context.set_offline(False)
    await north.page.get_by_text("not sent yet").wait_for(state="detached")
    await north.reads("1 ticket was let in while offline that should not have been")
    north.forgive("ERR_INTERNET_DISCONNECTED")
    counts = await http.get(f"/v1/schedules/{sale.schedule_id}/check-ins", headers=sale.organizer)
    admitted = [each["codes"] for each in counts.json()["gates"] if each["result"] == "admitted"]
    assert sum(admitted) >= 2


async def entered(http: httpx.AsyncClient, sale: Sale) -> int:
    counts = await http.get(f"/v1/schedules/{sale.schedule_id}/check-ins", headers=sale.organizer)
    found: int = counts.json()["entered"]
    return found


async def test_who_is_turned_away_without_a_connection_is_not_counted_in_later(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    reader, before = await at_door(make_reader, http, sale), await entered(http, sale)
    await reader.page.context.set_offline(True)
    code = await sold(1)  # not on this phone's list
    await scan(reader.page, code)
    await verdict(reader.page, "Not a ticket")
    await reader.page.context.set_offline(False)
    await everything_sent(reader.page)
    assert await entered(http, sale) == before
    await scan(reader.page, code)
    await verdict(reader.page, "Come in")
    assert await entered(http, sale) == before + 1
    forgive_being_offline(reader)


@pytest.mark.parametrize("stays", [True, False], ids=["still at the door", "gone"])
async def test_what_the_server_says_too_late_lets_in_who_is_still_there_and_nobody_else(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold, stays: bool
) -> None:
    reader, before, arrives = await at_door(make_reader, http, sale), await entered(http, sale), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        await arrives.wait()
        await route.fulfill(response=answer)

    await reader.page.route("**/check-ins*", late)  # its next list, too
    await scan(reader.page, await sold(1))  # not on this phone's list
    await verdict(reader.page, "Not a ticket")
    if not stays:
        await scan(reader.page, "nonsense")
        await reader.page.get_by_role("region", name="Last scans").get_by_role("listitem").nth(1).wait_for()
    arrives.set()
    if stays:
        await verdict(reader.page, "Come in")
    else:
        await everything_sent(reader.page)
    counted = before + (1 if stays else 0)
    await until(lambda: is_entered(http, sale, counted))


async def test_a_line_that_dies_without_saying_so_keeps_no_scan_for_longer_than_a_while(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    code, before, reader = await sold(1), await entered(http, sale), await make_reader()
    async with reader.dead_line("**/check-ins") as given_up:
        await reader.page.goto(await linked(http, sale))
        await reader.page.get_by_text(LISTED).wait_for()
        await scan(reader.page, code)
        await verdict(reader.page, "Come in")
        await given_up()
        await everything_sent(reader.page)
    assert await entered(http, sale) == before + 1


async def is_entered(http: httpx.AsyncClient, sale: Sale, count: int) -> bool:
    return await entered(http, sale) == count


async def test_a_scan_is_taken_back_without_a_connection_and_after_others(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    codes = [await sold(1, name) for name in ("Ada", "Bo")]
    reader, before = await at_door(make_reader, http, sale), await entered(http, sale)
    await reader.page.context.set_offline(True)
    for code in codes:
        await scan(reader.page, code)
        await verdict(reader.page, "Come in")
    await reader.page.get_by_role("button", name="Undo: Ada").click()
    await reader.reads("Taken back. The ticket is good again.")
    await reader.page.get_by_role("button", name="Take back", exact=True).click()
    await reader.page.get_by_role("alert", name="Come in").wait_for(state="detached")
    await scan(reader.page, codes[1])
    await verdict(reader.page, "Come in")
    await reader.page.context.set_offline(False)
    await everything_sent(reader.page)
    await until(lambda: is_entered(http, sale, before + 1))
    await reader.page.get_by_role("button", name="Take back", exact=True).click()  # what was sent meanwhile, too
    await until(lambda: is_entered(http, sale, before))
    forgive_being_offline(reader)


@pytest.mark.parametrize("offline", [True, False], ids=["let in before", "let in after"])
async def test_who_was_let_in_on_a_scan_that_the_server_takes_in_no_form_is_told_of(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold, offline: bool
) -> None:
    code, before = await sold(2, "Ada"), await entered(http, sale)
    reader = await at_door(make_reader, http, sale, viewport=NARROW)
    page = reader.page

    async def not_taken(route: Route) -> None:
        problem = {"code": "validation_failed", "title": "Validation failed", "status": 422, "detail": "No scan."}
        await (route.fulfill(status=422, json=problem) if route.request.method == "POST" else route.fallback())

    await page.context.set_offline(offline)
    if not offline:
        await page.route("**/check-ins", not_taken)
    await scan(page, code)
    await verdict(page, "Come in")
    if offline:
        await page.route("**/check-ins", not_taken)
        await page.context.set_offline(False)
    await reader.reads("1 ticket was let in on this phone that cannot be sent: nobody is counted in on it")
    assert re.match("Ada · .* · 2 people · .*", await page.get_by_role("status").locator("li").inner_text())
    await everything_sent(page)
    assert await reader.flaws() == {}
    await scan(page, code)  # nobody comes in on it once more
    await verdict(page, "Already in")
    await page.get_by_role("button", name="Undo: Ada").click()
    await page.get_by_text("cannot be sent").wait_for(state="detached")
    await reader.lets_through()
    await scan(page, code)
    await verdict(page, "Come in")
    await until(lambda: is_entered(http, sale, before + 2))
    assert await page.get_by_text("cannot be sent").count() == 0
    forgive_being_offline(reader)


async def test_a_phone_whose_clock_is_hours_ahead_loses_no_scan(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    code = await sold(1)
    reader, before = await at_door(make_reader, http, sale, service_workers="allow"), await entered(http, sale)
    await is_kept(reader.page, sale.schedule_id)
    await reader.page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=5))
    await reader.page.context.set_offline(True)
    await reader.page.reload()
    await reader.page.get_by_text(LISTED).wait_for()
    await scan(reader.page, code)
    await verdict(reader.page, "Come in")
    await reader.page.context.set_offline(False)
    await everything_sent(reader.page)
    assert await entered(http, sale) == before + 1
    forgive_being_offline(reader)


async def test_by_plain_http_there_is_no_camera_and_codes_are_typed_all_the_same(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    reader = await make_reader(base_url=f"http://{ELSEWHERE}:{http.base_url.port}")
    await reader.page.goto(await linked(http, sale))
    await reader.reads("Keep this page open: without a connection this browser does not bring it back.")
    await reader.page.get_by_role("button", name="Use the camera").click()
    await reader.page.get_by_text("open it by https").wait_for()
    await scan(reader.page, await sold(1))
    await verdict(reader.page, "Come in")


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


async def test_a_link_that_is_taken_back_at_the_door_says_so_and_lets_nobody_in_any_more(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    code = await sold(1)
    reader = await at_door(make_reader, http, sale)
    await http.delete(f"/v1/schedules/{sale.schedule_id}/door-staff", headers=sale.organizer)
    await asks_however_long_it_takes(reader.page)
    await scan(reader.page, code)
    await reader.reads("This door is closed to you")
    await reader.page.clock.resume()
    assert await reader.page.get_by_role("alert", name="Come in").count() == 0
    assert await reader.page.get_by_text("not sent yet").count() == 0
    assert await reader.faults() == []


# --- a page that is thrown away ---------------------------------------------------------------------------------------
async def test_a_door_that_was_opened_once_comes_back_without_a_connection_and_forgets_nobody(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    before, now, later = [await sold(1) for _ in range(3)]
    other = await open_sale(http, plan=small_plan(rows=1, seats_per_row=10))
    reader = await at_door(make_reader, http, other, service_workers="allow")
    page = reader.page
    await is_kept(page, other.schedule_id)
    elsewhere = page.url
    await page.goto(await linked(http, sale))
    await is_kept(page, sale.schedule_id)
    heading = await page.get_by_role("heading", level=1).inner_text()
    await page.get_by_label("Gate", exact=True).fill("Side")
    await scan(page, before)  # after the list was kept
    await verdict(page, "Come in")
    await everything_sent(page)

    await page.context.set_offline(True)
    await page.reload()
    await reader.reads(heading)
    await scan(page, now)
    await verdict(page, "Come in")
    await reader.reads("Checked on this phone alone")
    await scan(page, before)
    await verdict(page, "Already in")
    await page.reload()
    await reader.reads("1 scan not sent yet")
    assert await page.get_by_label("Gate", exact=True).input_value() == "Side"
    await scan(page, now)
    await verdict(page, "Already in")
    await page.goto(elsewhere)  # another door of this browser
    await scan(page, later)
    await verdict(page, "Another date")
    await page.goto(f"/door/{sale.schedule_id}#door_somebodyelses")  # without the link there is nothing to find
    await reader.reads("No connection, and no list on this phone: no ticket can be checked until there is one.")
    await page.go_back()
    await page.go_back()
    await reader.reads(heading)
    await page.context.set_offline(False)
    await everything_sent(page)
    await scan(page, later)
    await verdict(page, "Come in")
    await everything_sent(page)
    counts = (await http.get(f"/v1/schedules/{sale.schedule_id}/check-ins", headers=sale.organizer)).json()
    told = {each["result"]: each["codes"] for each in counts["gates"] if each["gate"] == "Side"}
    assert told == {"admitted": 3}, "what the phone refused by itself is not sent"
    forgive_being_offline(reader)


async def test_nobody_is_turned_away_while_what_was_kept_is_still_being_read(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    code = await sold(1)
    reader = await at_door(make_reader, http, sale, service_workers="allow")
    page = reader.page
    await is_kept(page, sale.schedule_id)
    await page.context.set_offline(True)
    await page.add_init_script(KEPT_COMES_LATE)
    await asks_however_long_it_takes(page)
    await page.reload()
    await scan(page, code)
    await reader.reads("1 scan not sent yet")
    await page.evaluate("window.kept_comes()")
    await verdict(page, "Come in")
    await page.clock.resume()
    await page.context.set_offline(False)
    await everything_sent(page)
    forgive_being_offline(reader)


async def test_a_phone_that_has_no_list_calls_no_ticket_a_false_one(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    code = await sold(1, name="Nari")
    reader = await make_reader("en")
    page = reader.page
    await page.route("**/check-ins?*", lambda route: route.abort())
    await page.goto(await linked(http, sale))
    await reader.reads("No connection, and no list on this phone: no ticket can be checked until there is one.")
    await scan(page, code)
    await verdict(page, "Cannot be checked")
    await page.get_by_role("searchbox").fill("Nari")
    await page.get_by_role("listitem").filter(has_text="There is no list on this phone yet.").wait_for()
    await reader.lets_through("**/check-ins?*")
    await page.reload()
    await page.get_by_text(LISTED).wait_for()
    await scan(page, code)
    await verdict(page, "Come in")
    await everything_sent(page)
    forgive_being_offline(reader)


async def test_what_a_door_has_kept_is_forgotten_when_its_link_is_over(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, sold: Sold
) -> None:
    await sold(1, name="Keepsake")
    reader = await at_door(make_reader, http, sale, service_workers="allow")
    page = reader.page
    await is_kept(page, sale.schedule_id)
    await page.context.set_offline(True)
    await page.reload()
    await page.get_by_text(LISTED).wait_for()
    await page.clock.install()
    await page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=500))
    await page.reload()
    await reader.reads("No connection, and no list on this phone: no ticket can be checked until there is one.")
    await nothing_is_kept(page, "Keepsake")
    await page.clock.resume()
    await page.context.set_offline(False)
    await page.reload()
    await is_kept(page, sale.schedule_id)
    await http.delete(f"/v1/schedules/{sale.schedule_id}/door-staff", headers=sale.organizer)
    await page.reload()
    await reader.reads("This door is closed to you")
    await nothing_is_kept(page, "Keepsake")
    forgive_being_offline(reader)


async def test_what_an_organizer_s_door_has_kept_is_forgotten_when_they_log_out(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader(service_workers="allow")
    organizer = await reader.joins(http, role="organizer")
    sale = await open_sale(http, plan=small_plan(rows=1, seats_per_row=10), organizer=organizer)
    customer = await sign_up(http)
    await http.patch("/v1/accounts/me", json={"name": "Keepsake"}, headers=customer)
    await paid_booking(http, sale, customer, *sale.fresh(1))
    page = reader.page
    await page.goto(f"/door/{sale.schedule_id}")
    await is_kept(page, sale.schedule_id)
    renewed = """async () => {
      const doors = await caches.open('boxoffice-doors');
      const shell = await (await doors.match('/door')).text();
      return !shell.includes('content="older"') && (await doors.match('/assets/older.js')) === undefined;
    }"""
    older = """async () => {
      const doors = await caches.open('boxoffice-doors');
      const shell = await (await doors.match('/door')).text();
      const markup = shell.replace(/name="version" content="[^"]+"/, 'name="version" content="older"');
      await doors.put('/door', new Response(markup, { headers: { 'Content-Type': 'text/html' } }));
      await doors.put('/assets/older.js', new Response(''));
    }"""
    await page.evaluate(older)  # as pages of before have left it
    await page.reload()
    await until(lambda: page.evaluate(renewed))
    await page.context.set_offline(True)
    await page.reload()
    await page.get_by_role("searchbox").fill("Keep")
    await reader.reads("Keepsake")
    await page.get_by_role("button", name=reader.words["log_out"]).click()
    await nothing_is_kept(page, "Keepsake", "boxoffice.inside")
    await page.context.set_offline(False)
    forgive_being_offline(reader)


# --- a crowd ----------------------------------------------------------------------------------------------------------
CROWD = 300
TWICE = 10  # of those who came in at one gate, how many try the other one, too: for each half of the admission


async def crowd(http: httpx.AsyncClient) -> tuple[Sale, list[str]]:
    """A house sold out to three customers, and the code of each of its places."""
    sale = await open_sale(http, plan=small_plan(rows=15, seats_per_row=20))
    codes: list[str] = []
    for _ in range(3):
        customer = await sign_up(http)
        booking, _ = await paid_booking(http, sale, customer, *sale.fresh(CROWD // 3))
        ticket = (await http.get(f"/v1/bookings/{booking['id']}/ticket", headers=customer)).json()
        codes += [seat["code"] for seat in ticket["seats"]]
    return sale, codes


async def rush(page: Page, codes: list[str]) -> None:
    """As a scanner that waits for nobody: it types into whatever has the focus, presses Enter, and reads the next."""
    for code in codes:
        await page.keyboard.insert_text(code)
        await page.keyboard.press("Enter")


async def everything_sent(page: Page) -> None:
    await page.get_by_text("not sent yet").wait_for(state="detached")


async def test_three_hundred_come_in_once_each_by_two_phones_one_of_them_offline_for_half_of_it(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale, codes = await crowd(http)
    north, south = [await at_door(make_reader, http, sale) for _ in range(2)]
    for phone, gate in ((north, "North"), (south, "South")):
        await phone.page.get_by_label("Gate", exact=True).fill(gate)
        await phone.page.get_by_role("textbox", name="Code").focus()
    await asks_however_long_it_takes(south.page)
    mine, theirs = codes[: CROWD // 2], codes[CROWD // 2 :]
    early, late = mine[: CROWD // 4], mine[CROWD // 4 :]

    await asyncio.gather(rush(north.page, early), rush(south.page, theirs[: CROWD // 4]))
    await asyncio.gather(everything_sent(north.page), everything_sent(south.page))
    await rush(south.page, early[:TWICE])  # the server knows of them
    await verdict(south.page, "Already in")
    await south.page.get_by_text(re.compile(r"Came in at .*, gate North")).first.wait_for()

    await north.page.context.set_offline(True)
    await rush(north.page, ["nonsense", late[0]])  # a valid one right after an invalid one
    await verdict(north.page, "Come in")
    await rush(north.page, [early[0]])  # this phone was told so before it lost the line
    await verdict(north.page, "Already in")
    await asyncio.gather(rush(north.page, late[1:]), rush(south.page, theirs[CROWD // 4 :]))
    await rush(south.page, late[:TWICE])  # nobody can know of them
    await everything_sent(south.page)
    # Of what it refused it keeps at most the one that it tried to send before it knew that there is no connection.
    await north.page.get_by_text(re.compile(rf"^({len(late)}|{len(late) + 1}) scans not sent yet$")).wait_for()

    await north.page.context.set_offline(False)
    await everything_sent(north.page)
    await north.reads(f"{TWICE} tickets were let in while offline that should not have been")
    named = await north.page.get_by_role("status").locator("li").all_inner_texts()
    assert len(named) == TWICE
    assert all(re.search(r"Already in\s· Came in at \d.*, gate South$", text) for text in named), named
    for phone in (north, south):  # whoever works there need not touch anything between two tickets
        assert await phone.page.get_by_role("textbox", name="Code").evaluate("it => it === document.activeElement")
    await north.reads(f"{CROWD} of {CROWD} in")
    await south.page.reload()  # rather than wait until it looks again by itself
    await south.reads(f"{CROWD} of {CROWD} in")
    north.forgive("ERR_INTERNET_DISCONNECTED")

    counts = (await http.get(f"/v1/schedules/{sale.schedule_id}/check-ins", headers=sale.organizer)).json()
    told = {(each["gate"], each["result"]): each["codes"] for each in counts["gates"]}
    told.pop(("North", "not_genuine"), None)
    assert told == {
        ("North", "admitted"): CROWD // 2 - TWICE,
        ("South", "admitted"): CROWD // 2 + TWICE,
        ("North", "already_in"): TWICE,
        ("South", "already_in"): TWICE,
    }
    assert counts["entered"] == CROWD
