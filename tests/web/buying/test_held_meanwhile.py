"""What somebody holds while they look for other seats: for longer if they like, and told as theirs in every tab."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Request, Route, expect

from tests.support.sale import Sale, another_date, hold, open_sale, paid_booking, read, seat_ids, sign_up, small_plan
from tests.support.waiting import until
from tests.web.buying.test_exchange import choice, looking, seats_of
from tests.web.buying.test_picker import basket, open_row, place_of, seat, seat_name
from tests.web.conftest import SMALL, MakeReader, Reader
from tests.web.words import WORDS

pytestmark = pytest.mark.stack

# What is drawn over the house at a seat, and as far around it as a ring reaches: the most opaque of it.
DRAWN_OVER = """
([x, y, far]) => {
  const over = document.querySelectorAll('[role=img] canvas')[1];
  const dense = over.width / over.clientWidth;
  const wide = Math.round(2 * far * dense);
  const copy = new OffscreenCanvas(wide, 1).getContext('2d', { willReadFrequently: true });
  copy.drawImage(over, (far - x) * dense, -y * dense);
  return Math.max(...copy.getImageData(0, 0, wide, 1).data.filter((_, at) => at % 4 === 3));
}
"""
ON_IT, AROUND_IT = 2, 24
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


async def another_tab(reader: Reader, path: str) -> Reader:
    """The same person in another tab of the same browser."""
    tab = Reader(await reader.page.context.new_page(), "en")
    await tab.page.goto(path)
    return tab


def theirs(reader: Reader, seat_id: str) -> Locator:
    """What the list says of a seat that is theirs by another booking."""
    place, category, _ = seat_name(seat_id).split(", ", 2)
    return reader.page.get_by_text(f"{place}, {category}, yours", exact=True)


async def is_marked(
    reader: Reader, http: httpx.AsyncClient, sale: Sale, seat_id: str, far: int = ON_IT, *, marked: bool = True
) -> None:
    """Waits until a seat has a mark on the map, or has none."""
    x, y = await place_of(reader, http, sale, seat_id)

    async def shows() -> bool:
        return (await reader.page.evaluate(DRAWN_OVER, [x, y, far]) > 0) == marked

    await until(shows)


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


# --- what is theirs ---------------------------------------------------------------------------------------------------
async def test_seats_that_they_hold_in_another_tab_are_told_as_theirs_and_those_of_others_are_not(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, *_ = await looking(make_reader, http, sale, "C-1")
    await open_row(reader, "C")
    sale.taken.update(("C-5", "C-7", "C-9"))
    await hold(http, sale, await sign_up(http), "C-9")
    await expect(seat(reader, "C-9")).to_have_count(0)
    await is_marked(reader, http, sale, "C-9", marked=False)
    assert await theirs(reader, "C-9").count() == 0

    await seat(reader, "C-7").click()  # to be exchanged for, and then held there instead
    picker = await another_tab(reader, f"/s/{sale.schedule_id}")
    await open_row(picker, "C")
    for each in ("C-5", "C-7"):
        await seat(picker, each).click()
        await expect(theirs(reader, each)).to_have_count(1)
        await is_marked(reader, http, sale, each)
    await reader.page.get_by_text("You hold Stalls, row C seat 5 · Stalls, row C seat 7 in another booking.").wait_for()
    await expect(choice(reader)).to_contain_text("Choose 1 seat more.")
    assert await choice(reader).get_by_text("just gone", exact=False).count() == 0
    await is_marked(reader, http, sale, "C-1", AROUND_IT)  # given up, and to be had again
    assert await reader.flaws() == {}

    await picker.page.get_by_role("button", name="Give the seats back").click()
    await expect(seat(reader, "C-5")).to_have_attribute("aria-pressed", "false")
    await is_marked(reader, http, sale, "C-5", marked=False)
    await reader.page.get_by_text("in another booking", exact=False).wait_for(state="detached")
    await picker.end()


@pytest.mark.parametrize("other", [False, True])
async def test_what_is_held_already_to_take_their_place_is_told_as_that_in_every_tab(
    other: bool, make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    of = await another_date(http, sale) if other else sale
    new = "A-1" if other else "D-9"
    old = "G-9" if other else "G-1"
    reader, _, booking = await looking(make_reader, http, sale, old)
    at = f"/b/{booking['id']}/exchange?date={of.schedule_id}"
    await reader.go(at)
    await reader.page.locator("canvas").first.wait_for()
    await open_row(reader, new[0])
    await seat(reader, new).click()
    sale.taken.add("D-9")
    await choice(reader).get_by_role("button", name="Hold the new seats and pay").click()
    await reader.page.get_by_text("These are to take the place of", exact=False).wait_for()
    held = reader.page.url

    says = f"You hold Stalls, row {new[0]} seat {new[2:]} to take the place of seats of this booking."
    tab = await another_tab(reader, f"/b/{booking['id']}")
    await tab.page.get_by_text(says).wait_for()
    await tab.page.goto(at)
    await tab.page.get_by_text(says).wait_for()
    await open_row(tab, new[0])
    await expect(theirs(tab, new)).to_have_count(1)
    await tab.page.get_by_role("link", name="Go on to pay").click()
    await tab.page.wait_for_url(held)
    await tab.page.get_by_text("These are to take the place of", exact=False).wait_for()
    await reader.go("/account")
    await reader.page.get_by_role("button", name=reader.words["log_out"]).click()
    await until(lambda: nothing_noted(tab))
    await tab.end()


async def nothing_noted(reader: Reader) -> bool:
    return bool(await reader.page.evaluate("localStorage.getItem('boxoffice.replacing') === null"))


async def test_seats_they_have_paid_for_by_another_booking_are_told_as_theirs(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await exchanging_what_is_held(make_reader, http, sale, "E-1")
    sale.taken.update(("E-3", "E-4"))
    _, payment = await paid_booking(http, sale, headers, "E-3")
    await paid_booking(http, sale, await sign_up(http), "E-4")
    await open_row(reader, "E")
    await expect(seat(reader, "E-4")).to_have_count(0)
    await reader.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # they come back to the tab
    await expect(theirs(reader, "E-3")).to_have_count(1)
    assert await theirs(reader, "E-4").count() == 0
    assert await reader.page.get_by_text("in another booking", exact=False).count() == 0, "nothing runs out"
    assert (await http.post(f"/v1/payments/{payment['id']}/refunds", json={}, headers=headers)).status_code == 201
    await expect(seat(reader, "E-3")).to_have_count(1)
    await expect(theirs(reader, "E-3")).to_have_count(0)
    assert await seats_of(http, headers, booking) == ["E-1"]


async def test_a_booking_that_was_exchanged_elsewhere_meanwhile_is_shown_as_it_is(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await exchanging_what_is_held(make_reader, http, sale, "F-1")
    sale.taken.add("F-5")
    await expect(choice(reader)).to_contain_text("Stalls, row F seat 1")
    changed = await http.patch(f"/v1/bookings/{booking['id']}", json={"seats": ["F-5"]}, headers=headers)
    assert changed.status_code == 200, changed.text
    await expect(choice(reader)).to_contain_text("Stalls, row F seat 5")
    await expect(choice(reader)).not_to_contain_text("seat 1")
    assert await choice(reader).get_by_text("just gone", exact=False).count() == 0


async def test_the_picker_tells_all_that_they_hold_whatever_booking_it_is_of(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader("en", "desktop")
    headers = await reader.joins(http)
    sale.taken.update(("H-1", "H-5"))
    first = await hold(http, sale, headers, "H-1")
    second = await hold(http, sale, headers, "H-5")
    await reader.go(f"/s/{sale.schedule_id}")
    await expect(basket(reader)).to_contain_text("row H seat 5")
    await open_row(reader, "H")
    await expect(theirs(reader, "H-1")).to_have_count(1)
    await is_marked(reader, http, sale, "H-1")
    await reader.page.get_by_role("link", name="Other seats you hold").wait_for()
    assert await reader.flaws() == {}
    given_up = await http.post(f"/v1/bookings/{first['id']}/cancellation", json={}, headers=headers)
    assert given_up.status_code == 201, given_up.text
    await expect(seat(reader, "H-1")).to_have_attribute("aria-pressed", "false")
    await expect(reader.page.get_by_role("link", name="Other seats you hold")).to_have_count(0)
    assert seat_ids(await read(http, f"/v1/bookings/{second['id']}", headers)) == ["H-5"]


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
