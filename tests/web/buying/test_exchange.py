"""Other seats for a paid booking, chosen on the map: at the same price at once, else paid first and given back then."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Request, Route, expect

from tests.support.sale import Sale, hold, open_sale, paid_booking, read, sign_up, small_plan
from tests.web.buying.test_picker import click_on_map, open_row, seat
from tests.web.conftest import SMALL, MakeReader, Reader

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """A house in which rows A–F cost ₩150,000 and G–L ₩55,000."""
    return await open_sale(http, plan=small_plan(rows=12, seats_per_row=20))


async def looking(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale, *seats: str, **options: Any
) -> tuple[Reader, dict[str, str], dict[str, Any]]:
    """Somebody with these seats who looks for others; with the headers of their requests, and their booking."""
    reader = await make_reader("en", **({"size": "desktop"} | options))
    headers = await reader.joins(http)
    sale.taken.update(seats)
    booking, _ = await paid_booking(http, sale, headers, *seats)
    await reader.go(f"/b/{booking['id']}")
    await reader.page.get_by_role("link", name="Other seats").click()
    await reader.page.locator("canvas").first.wait_for()
    return reader, headers, booking


def choice(reader: Reader) -> Locator:
    return reader.page.get_by_role("region", name="Your exchange")


async def seats_of(http: httpx.AsyncClient, headers: dict[str, str], booking: dict[str, Any]) -> list[str]:
    now = await read(http, f"/v1/bookings/{booking['id']}", headers)
    return [each["id"] for each in now["seats"]]


async def test_seats_of_the_same_price_are_exchanged_at_once_and_the_ticket_is_theirs(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await looking(make_reader, http, sale, "A-1", "A-2")
    await click_on_map(reader, http, sale, "A-5")  # for A-1
    await expect(choice(reader)).to_contain_text("They cost the same: nothing is to be paid.")
    await choice(reader).get_by_role("button", name="Keep Stalls, row A seat 1").click()
    await expect(choice(reader)).not_to_contain_text("seat 5")
    await open_row(reader, "A")
    await expect(seat(reader, "A-1")).to_have_attribute("aria-pressed", "true")
    await seat(reader, "A-6").click()
    await seat(reader, "A-7").click()
    sale.taken.update(("A-6", "A-7"))
    await choice(reader).get_by_role("button", name="Exchange now").click()
    await reader.page.wait_for_url(f"**/b/{booking['id']}")
    await reader.page.get_by_text("Row A seat 7").first.wait_for()
    assert sorted(await seats_of(http, headers, booking)) == ["A-6", "A-7"]
    ticket = await read(http, f"/v1/bookings/{booking['id']}/ticket", headers)
    assert sorted(each["id"] for each in ticket["seats"]) == ["A-6", "A-7"]


async def test_dearer_seats_are_paid_for_first_and_the_old_ones_given_back_then(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await looking(make_reader, http, sale, "L-1", "L-2", **SMALL)
    await reader.page.get_by_role("region", name="Seats as a list").scroll_into_view_if_needed()
    await open_row(reader, "B")
    await seat(reader, "B-1").click()  # for L-1; L-2 stays
    sale.taken.add("B-1")
    for said in ("New seats, paid now₩150,000", "₩55,000", "In all you pay₩95,000"):
        await expect(choice(reader)).to_contain_text(said)
    assert await reader.flaws() == {}
    await choice(reader).get_by_role("button", name="Hold the new seats and pay").click()
    await reader.page.wait_for_url(lambda url: "/b/" in url and "exchange" not in url)
    await reader.page.get_by_text("These are to take the place of Stalls, row L seat 1", exact=False).wait_for()
    assert await reader.flaws() == {}
    await reader.pay("tok_approve")
    await reader.reads("Confirmed")
    assert await seats_of(http, headers, booking) == ["L-1", "L-2"], "nobody is ever without seats"
    await reader.reads("The new seats are yours. Now give the old ones back.")
    assert await reader.page.get_by_role("checkbox").first.is_checked()
    assert not await reader.page.get_by_role("checkbox").nth(1).is_checked()
    assert await reader.flaws() == {}
    await reader.page.get_by_role("button", name="Keep them").click()
    await expect(reader.page.get_by_role("button", name="Refund", exact=True)).to_have_count(1)  # of the new ones
    await reader.page.get_by_role("button", name="Give the old seats back").click()
    await reader.page.get_by_role("button", name="Refund now").click()
    await reader.page.get_by_text("Now give the old ones back.").wait_for(state="detached")
    assert await seats_of(http, headers, booking) == ["L-2"]
    await reader.page.reload()
    await reader.reads("Confirmed")
    assert await reader.page.get_by_text("give the old ones back").count() == 0


async def test_of_cheaper_seats_it_is_told_what_comes_back_and_who_lets_them_go_has_lost_nothing(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await looking(make_reader, http, sale, "C-1", "C-2")
    await open_row(reader, "K")
    await seat(reader, "K-1").click()
    await seat(reader, "K-2").click()
    sale.taken.update(("K-1", "K-2"))
    await expect(choice(reader)).to_contain_text("In all you get back₩190,000")
    await choice(reader).get_by_role("button", name="Take out Stalls, row K seat 1").click()
    await expect(choice(reader)).to_contain_text("Choose 1 seat more.")
    await seat(reader, "K-1").click()
    await choice(reader).get_by_role("button", name="Hold the new seats and pay").click()
    await reader.page.get_by_role("button", name="Give the seats back").click()
    await reader.page.get_by_role("button", name="Yes, give them back").click()
    await reader.page.get_by_text("Nothing has changed with your seats of before").wait_for()
    await reader.page.get_by_role("link", name="To the seats of before").click()
    await reader.page.get_by_role("img", name=reader.words["ticket"]).wait_for()
    assert await seats_of(http, headers, booking) == ["C-1", "C-2"]


async def test_old_seats_that_were_given_back_elsewhere_meanwhile_are_not_offered_again(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await looking(make_reader, http, sale, "J-1", "J-2", "J-3")
    await open_row(reader, "E")
    for each in ("E-1", "E-2", "E-3"):
        await seat(reader, each).click()
        sale.taken.add(each)
    await choice(reader).get_by_role("button", name="Hold the new seats and pay").click()
    await reader.page.get_by_text("These are to take the place of", exact=False).wait_for()
    refunds = f"/v1/payments/{booking['payment']['id']}/refunds"
    assert (await http.post(refunds, json={"seats": ["J-1"]}, headers=headers)).status_code == 201
    await reader.pay("tok_approve")
    await reader.reads("The new seats are yours. Now give the old ones back.")
    old = reader.page.locator(".card", has_text="Now give the old ones back.")
    await expect(old.get_by_role("checkbox")).to_have_count(2)
    await expect(old.get_by_role("button", name="Refund now")).to_be_enabled()  # both were there when it asked
    assert (await http.post(refunds, json={"seats": ["J-2"]}, headers=headers)).status_code == 201
    await old.get_by_role("button", name="Refund now").click()  # of both: it is told which there are
    await expect(old.get_by_role("checkbox")).to_have_count(1)
    await old.get_by_role("button", name="Refund now").click()
    await old.wait_for(state="detached")
    assert (await read(http, f"/v1/bookings/{booking['id']}", headers))["status"] == "refunded"


async def test_a_seat_that_goes_meanwhile_leaves_the_choice_and_their_own_stay_theirs(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader, headers, booking = await looking(make_reader, http, sale, "D-1")
    await open_row(reader, "D")
    await seat(reader, "D-5").click()
    sale.taken.update(("D-5", "D-6"))
    await hold(http, sale, await sign_up(http), "D-5")  # the stream tells of it
    await expect(choice(reader).get_by_role("alert")).to_contain_text("Stalls, row D seat 5: just gone.")
    await expect(choice(reader)).to_contain_text("Choose 1 seat more.")

    other = await sign_up(http)

    async def take_it_first(route: Route, request: Request) -> None:
        if request.method == "PATCH":
            await hold(http, sale, other, "D-6")
        await route.continue_()

    await seat(reader, "D-6").click()
    await reader.page.route("**/v1/bookings/*", take_it_first)
    await choice(reader).get_by_role("button", name="Exchange now").click()
    await expect(choice(reader).get_by_role("alert")).to_contain_text("Stalls, row D seat 6: just gone.")
    assert await reader.faults() == []
    assert await seats_of(http, headers, booking) == ["D-1"]


async def test_what_cannot_be_exchanged_says_why(make_reader: MakeReader, http: httpx.AsyncClient) -> None:
    plan = small_plan(rows=4, seats_per_row=4)
    final = await open_sale(http, plan=plan, refund_policy=[], max_seats_per_customer=1)
    reader, headers, booking = await looking(make_reader, http, final, "A-1")
    await open_row(reader, "C")
    await reader.page.get_by_role("button", name="Row C seat 1, Standard, ₩55,000").click()
    await expect(choice(reader)).to_contain_text("These seats can be exchanged only for others that cost the same.")
    assert await choice(reader).get_by_role("button", name="Hold the new seats and pay").count() == 0

    limited = await open_sale(http, plan=plan, max_seats_per_customer=1, organizer=final.organizer)
    booking, payment = await paid_booking(http, limited, headers, "A-1")
    await reader.go(f"/b/{booking['id']}/exchange")
    await open_row(reader, "C")
    await reader.page.get_by_role("button", name="Row C seat 1, Standard, ₩55,000").click()
    await choice(reader).get_by_role("button", name="Hold the new seats and pay").click()
    await expect(choice(reader)).to_contain_text("Until they are given back your present seats count, too.")
    assert await reader.faults() == []

    closed = {"sale_closes_at": "2026-01-01T00:00:00Z"}
    await reader.altered("**/v1/schedules/*/states", lambda states: states | closed)
    await reader.go(f"/b/{booking['id']}")
    await reader.page.get_by_role("link", name="Other seats").click()
    await reader.reads("The sale of this date is closed.")
    assert (await http.post(f"/v1/payments/{payment['id']}/refunds", json={}, headers=headers)).status_code == 201
    await reader.go("/bookings")
    await reader.go(f"/b/{booking['id']}/exchange")
    await reader.reads("These seats cannot be exchanged")
