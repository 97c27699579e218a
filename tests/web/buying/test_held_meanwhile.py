"""What somebody holds while they look for other seats: for longer if they like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Request, Route, expect

from tests.support.sale import Sale, hold, open_sale, read, small_plan
from tests.support.waiting import until
from tests.web.buying.test_exchange import choice, looking, seats_of
from tests.web.buying.test_picker import open_row, seat
from tests.web.conftest import SMALL, MakeReader, Reader
from tests.web.words import WORDS

pytestmark = pytest.mark.stack

SOONER_SECONDS = 300  # than the server holds them: as an earlier answer said


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """A house in which rows A–F cost ₩150,000 and G–L ₩55,000."""
    return await open_sale(http, plan=small_plan(rows=12, seats_per_row=20))


async def exchanging_what_is_held(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, *seats: str, **options: Any
) -> tuple[Reader, dict[str, str], dict[str, Any]]:
    """Somebody who holds these seats and looks for others; with the headers of their requests, and their booking."""
    reader = await make_reader("en", **({"size": "desktop"} | options))
    headers = await reader.joins(http)
    sale.taken.update(seats)
    booking = await hold(http, sale, headers, *seats)
    await reader.go(f"/b/{booking['id']}/exchange")
    await reader.page.locator("canvas").first.wait_for()
    return reader, headers, booking


# --- more time --------------------------------------------------------------------------------------------------------
async def test_who_looks_for_other_seats_gets_more_time_for_those_they_hold_and_keeps_the_choice(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await exchanging_what_is_held(make_reader, http, sale, "A-1", "A-2", **SMALL)
    await open_row(reader, "A")
    await seat(reader, "A-5").click()
    sale.taken.add("A-5")
    lost: list[str] = []

    async def loses_the_first_answer(route: Route, request: Request) -> None:
        if not lost:
            lost.append(request.headers["idempotency-key"])
            await route.fetch()
            await route.abort()
            return
        assert request.headers["idempotency-key"] == lost[0], "asked again for the same"
        await route.continue_()

    await reader.page.route("**/v1/bookings/*/extension", loses_the_first_answer)
    more = reader.page.get_by_role("button", name=reader.words["more_time"])
    await more.click()
    await reader.reads("No connection")
    reader.forgive("net::ERR_FAILED")
    await more.click()
    await reader.page.get_by_text("The seats are held until", exact=False).first.wait_for()
    now = await read(http, f"/v1/bookings/{booking['id']}", headers)
    assert datetime.fromisoformat(now["expires_at"]) > datetime.fromisoformat(booking["expires_at"])
    assert await reader.page.get_by_text("No connection").count() == 0
    assert await reader.flaws() == {}
    await reader.page.get_by_role("button", name="한국어", exact=True).click()
    await reader.page.get_by_role("button", name=WORDS["ko"]["more_time"]).wait_for()
    await reader.page.get_by_role("button", name="English", exact=True).click()

    await expect(choice(reader)).to_contain_text("Stalls, row A seat 5")  # what was chosen before
    await choice(reader).get_by_role("button", name="Exchange now").click()
    await reader.page.wait_for_url(f"**/b/{booking['id']}")
    assert sorted(await seats_of(http, headers, booking)) == ["A-2", "A-5"]


async def test_what_another_tab_has_prolonged_is_held_on_and_the_choice_stays(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader("en", "desktop")
    await reader.page.clock.install()
    headers = await reader.joins(http)
    sale.taken.update(("B-1", "B-5"))
    booking = await hold(http, sale, headers, "B-1")
    ends = (datetime.now(UTC) + timedelta(seconds=SOONER_SECONDS)).isoformat()
    asked: list[str] = []

    def ends_sooner_at_first(now: Any) -> Any:
        asked.append(now["id"])
        return now | {"expires_at": ends} if len(asked) == 1 else now

    await reader.altered(f"**/v1/bookings/{booking['id']}", ends_sooner_at_first)
    await reader.go(f"/b/{booking['id']}/exchange")
    await open_row(reader, "B")
    await seat(reader, "B-5").click()
    await expect(choice(reader)).to_contain_text("Stalls, row B seat 5")
    assert len(asked) == 1
    await reader.page.clock.fast_forward(1000 * (SOONER_SECONDS + 1))
    await until(lambda: len(asked) > 1)
    await expect(reader.page.get_by_role("timer")).not_to_have_text("0:00")
    await expect(choice(reader)).to_contain_text("Stalls, row B seat 5")
    await expect(choice(reader).get_by_role("button", name="Exchange now")).to_be_enabled()


async def test_paid_seats_run_out_of_no_time(make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale) -> None:
    reader, *_ = await looking(make_reader, http, sale, "A-19", "A-20")
    assert await reader.page.get_by_role("timer").count() == 0
    assert await reader.page.get_by_role("button", name=reader.words["more_time"]).count() == 0


# --- nothing to exchange ----------------------------------------------------------------------------------------------
async def test_who_has_chosen_their_own_seats_again_is_offered_no_exchange(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, *_ = await exchanging_what_is_held(make_reader, http, sale, "I-1", "I-2")
    hint = "Press a free seat, on the map or in the list: it takes the place of one of yours."
    await expect(choice(reader)).to_contain_text(hint)
    await open_row(reader, "I")
    await seat(reader, "I-5").click()
    await choice(reader).get_by_role("button", name="Exchange now").wait_for()
    await seat(reader, "I-1").click()  # back, and the other out
    await expect(choice(reader)).to_contain_text(hint)
    assert await choice(reader).get_by_role("button", name="Exchange now").count() == 0
