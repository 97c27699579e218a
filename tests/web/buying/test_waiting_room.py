"""A date that more people want than may choose seats at once: two here, on the stack that tests share."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Request, Route, expect

from tests.conftest import SHOPPING_AT_ONCE
from tests.support.sale import PASSWORD, Sale, open_sale, patient, read, sign_up, small_plan
from tests.support.waiting import until
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack


async def waiting_room(http: httpx.AsyncClient, **terms: Any) -> Sale:
    return await open_sale(http, plan=small_plan(rows=2, seats_per_row=10), waiting_room=True, **terms)


async def join(http: httpx.AsyncClient, sale: Sale, headers: dict[str, str]) -> dict[str, Any]:
    answer = await http.post(f"/v1/schedules/{sale.schedule_id}/queue", headers=headers)
    assert answer.status_code == 201, answer.text
    place: dict[str, Any] = answer.json()
    return place


async def holds_one(http: httpx.AsyncClient, sale: Sale, headers: dict[str, str], place: dict[str, Any]) -> None:
    """Holds a seat with the pass of a place, so that somebody else may come in."""
    wish = {"seats": sale.fresh(1)}
    answer = await http.post(sale.bookings_url, json=wish, headers=headers | {"Queue-Pass": place["pass"]})
    assert answer.status_code == 201, answer.text


async def has_seats(reader: Reader) -> None:
    region = reader.page.get_by_role("region", name=reader.words["basket"])
    await region.get_by_role("button", name=reader.words["pay"], exact=True).wait_for()


def answers(reader: Reader, part: str) -> list[int]:
    """How requests to such an address are answered from now on."""
    found: list[int] = []
    reader.page.on("response", lambda response: found.append(response.status) if part in response.url else None)
    return found


async def test_who_is_there_before_the_opening_is_drawn_and_let_in_by_itself_and_a_reload_keeps_the_place(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    sale = await waiting_room(http, sale_opens_at=tomorrow)
    one, other = await asyncio.gather(make_reader("en"), make_reader("ko", "desktop"))
    await one.joins(http, then=f"/p/{sale.performance_id}")
    await one.page.get_by_role("link", name=re.compile("^Waiting room for ")).click()
    await one.reads("You are the only one here so far.")
    await other.joins(http, then=f"/s/{sale.schedule_id}/queue")
    await other.reads("2명이 기다리고 있습니다.")
    await one.page.reload()
    await one.reads("2 people are here.")
    at_once = {"sale_opens_at": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    changed = await http.patch(f"/v1/schedules/{sale.schedule_id}", json=at_once, headers=sale.organizer)
    assert changed.status_code == 200, changed.text
    for reader in (one, other):
        held = answers(reader, "/bookings")
        await reader.page.wait_for_url(f"**/s/{sale.schedule_id}")
        await reader.page.get_by_role("button", name=reader.words["hold_best"]).click()
        await has_seats(reader)
        assert 403 not in held, "the pass was there before the first seat"


async def test_out_of_a_rush_nobody_notices_the_waiting_room(make_reader: MakeReader, http: httpx.AsyncClient) -> None:
    sale = await waiting_room(http)
    reader = await make_reader()
    headers = await reader.joins(http)
    await reader.go(f"/s/{sale.schedule_id}/queue")
    await reader.page.wait_for_url(f"**/s/{sale.schedule_id}")  # whoever goes there need not wait
    await reader.hold(sale.schedule_id)
    path = urlsplit(reader.page.url).path

    # Nor does whoever wants the same seats again when their time was up.
    given_back = await http.post(f"/v1/bookings/{path[3:]}/cancellation", json={}, headers=headers)
    assert given_back.is_success, given_back.text
    await reader.altered(f"**/v1/bookings/{path[3:]}", lambda booking: booking | {"status": "expired"})
    await reader.go("/bookings")
    await reader.go(path)
    await reader.page.get_by_role("button", name=reader.words["try_same"]).click()
    await reader.page.wait_for_url(f"**/s/{sale.schedule_id}")
    await has_seats(reader)


async def test_who_comes_third_sees_the_line_move_keeps_the_wish_and_holds_it_when_the_turn_has_come(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale = await waiting_room(http)
    people = [await sign_up(http) for _ in range(SHOPPING_AT_ONCE + 1)]
    places = [await join(http, sale, headers) for headers in people]
    assert [place["status"] for place in places] == ["admitted", "admitted", "waiting"]

    # Seats are chosen first; the log-in comes with the first hold, and others are before.
    reader = await make_reader()
    page = reader.page
    account = {"email": reader.email, "password": PASSWORD}
    await patient(http, "/v1/accounts", {**account, "role": "customer"})
    await page.goto(f"/s/{sale.schedule_id}")
    await page.get_by_label(reader.words["quantity"]).fill("3")
    await page.get_by_role("button", name=reader.words["hold_best"]).click()
    sheet = page.get_by_role("dialog")
    await sheet.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await sheet.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    await sheet.get_by_role("button", name=reader.words["log_in"], exact=True).click()
    await page.wait_for_url("**/queue")
    await reader.reads("1 person ahead of you")
    assert await page.title() == f"1 ahead · {await title_of(http, sale)} · Boxoffice"

    # Another tab has the same place, and no stream of its own.
    streams: list[Request] = []
    page.context.on("request", lambda request: streams.append(request) if request.url.endswith("/stream") else None)
    second = Reader(await page.context.new_page(), "en")
    await second.page.goto(page.url)
    await second.reads("1 person ahead of you")
    assert [each for each in streams if each.frame.page is second.page and "/queue/" in each.url] == []

    await read(http, f"/v1/queue/{places[2]['ticket']}", people[2])  # is there, and not passed over
    await holds_one(http, sale, people[0], places[0])
    for tab in (reader, second):
        await tab.reads("You are next")
    await second.end()
    await second.page.close()

    # A reload keeps the place. A connection that breaks is told, and mended.
    await page.route("**/v1/queue/*/stream", lambda route: route.abort())
    await page.reload()
    await reader.reads("The connection is interrupted. Your place is kept; this page tries again by itself.")
    await reader.reads("You are next")
    await reader.lets_through()
    await expect(page.get_by_text("The connection is interrupted.")).to_have_count(0)
    await reader.reads("You are next")
    reader.forgive("net::ERR_")

    # Whoever looks at something else is waited for, and is taken to the seats that were wished as soon as they look.
    await page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })")
    await holds_one(http, sale, people[1], places[1])
    await reader.reads("It is your turn")
    assert (await page.title()).startswith("Your turn!")
    assert await reader.flaws() == {}
    await page.evaluate("delete document.hidden")
    await page.wait_for_url(f"**/s/{sale.schedule_id}")
    await has_seats(reader)
    await expect(page.get_by_role("region", name=reader.words["basket"]).get_by_role("listitem")).to_have_count(3)


async def test_a_page_whose_stream_falls_silent_asks_for_another_and_looks_for_itself(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale = await waiting_room(http)
    people = [await sign_up(http) for _ in range(SHOPPING_AT_ONCE)]
    places = [await join(http, sale, headers) for headers in people]
    reader = await make_reader()
    page = reader.page
    await page.clock.install()
    looks: set[Request] = set()
    page.on("request", lambda asked: looks.add(asked) if re.search(r"/v1/queue/[^/]+$", asked.url) else None)
    page.on("requestfinished", lambda answered: looks.discard(answered))
    page.on("requestfailed", lambda answered: looks.discard(answered))
    streams: list[Route] = []

    async def only_once(route: Route) -> None:
        streams.append(route)
        if len(streams) == 1:
            await route.continue_()  # and none after it is ever answered

    await page.route("**/v1/queue/*/stream", only_once)
    async with page.expect_response("**/v1/queue/*/stream"):
        await reader.joins(http, then=f"/s/{sale.schedule_id}/queue")
    await reader.reads("You are next")

    async def later(seconds: int) -> None:
        await page.clock.fast_forward(seconds * 1000)

    await later(50)  # in which nothing was said

    async def asked_again() -> bool:
        await later(3)
        return len(streams) == 2

    await until(asked_again)
    await holds_one(http, sale, people[0], places[0])

    async def is_let_in() -> bool:
        if not looks:  # one that is under way takes as long as it takes
            await later(16)
        return page.url.endswith(f"/s/{sale.schedule_id}")

    await until(is_let_in)
    await page.get_by_role("button", name=reader.words["hold_best"]).click()
    await has_seats(reader)


async def test_who_has_little_time_left_to_hold_seats_while_others_wait_is_told_so(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    sale, reader = await waiting_room(http), await make_reader()
    page = reader.page
    await page.clock.install()
    await reader.joins(http)
    note = page.get_by_text(re.compile(r"^Others are waiting: hold seats within \d+:\d\d, or your turn is over\.$"))

    async def let_in(others: int, seconds: int) -> None:
        """Comes to the seats with a pass for so long, for which so many others wait; and a moment goes by."""
        ends_at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        await reader.lets_through()
        different = {"waiting": others, "pass_expires_at": ends_at}
        await reader.altered("**/v1/schedules/*/queue", lambda place: place | different)
        async with page.expect_response("**/v1/schedules/*/queue"):
            await page.goto(f"/s/{sale.schedule_id}")
        await page.get_by_role("button", name=reader.words["hold_best"]).wait_for()
        await page.clock.fast_forward(2_000)

    await let_in(0, 100)
    assert await note.count() == 0
    await let_in(3, 500)
    assert await note.count() == 0
    await let_in(3, 100)
    await expect(note).to_be_visible()
    assert await reader.flaws() == {}
    await page.get_by_role("button", name=reader.words["hold_best"]).click()
    await has_seats(reader)
    assert await note.count() == 0


async def title_of(http: httpx.AsyncClient, sale: Sale) -> str:
    title: str = (await http.get(f"/v1/performances/{sale.performance_id}")).json()["title"]
    return title
