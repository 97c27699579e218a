"""A customer buys on the pages, in both languages, on a phone and on a desk: find, hold, pay, give back, hand on."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from playwright.async_api import Request, Route

from tests.conftest import Stack
from tests.support.sale import PASSWORD, Sale, open_sale, small_plan
from tests.web.browser import ELSEWHERE
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """A house of 200 seats for all tests here."""
    return await open_sale(http, plan=small_plan(rows=10, seats_per_row=20))


async def title_of(http: httpx.AsyncClient, sale: Sale) -> str:
    title: str = (await http.get(f"/v1/performances/{sale.performance_id}")).json()["title"]
    return title


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("language", ["ko", "en"])
async def test_a_customer_finds_holds_pays_and_gives_back(
    language: str, size: str, make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader(language, size)
    page, words = reader.page, reader.words
    await reader.sign_up()
    await page.get_by_role("searchbox", name=words["search"]).fill(await title_of(http, sale))
    await page.get_by_role("link", name=re.compile(await title_of(http, sale))).click()
    await page.get_by_role("link", name=re.compile(words["choose"])).click()
    await page.get_by_label(words["quantity"]).fill("2")
    await page.get_by_role("button", name=words["hold_best"]).click()
    await page.get_by_role("region", name=words["basket"]).get_by_role("button", name=words["pay"], exact=True).click()
    await reader.pay("tok_approve")
    await reader.reads(words["confirmed"])
    await page.get_by_role("img", name=words["ticket"]).wait_for()
    await page.get_by_role("button", name=words["refund"], exact=True).click()
    await page.get_by_role("checkbox").first.uncheck()
    await page.get_by_role("button", name=words["refund_now"]).click()
    await reader.reads(words["partly_refunded"])
    await page.get_by_role("button", name=words["refund"], exact=True).click()
    await page.get_by_role("button", name=words["refund_now"]).click()
    await reader.reads(words["refunded"])
    await page.get_by_role("link", name=words["my_bookings"]).click()
    await page.get_by_role("link", name=re.compile(await title_of(http, sale))).wait_for()


async def test_who_comes_by_plain_http_from_another_machine_buys_all_the_same(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader(base_url=f"http://{ELSEWHERE}:{http.base_url.port}")
    await reader.sign_up()
    await reader.hold(sale.schedule_id)
    assert await reader.page.evaluate("isSecureContext") is False
    await reader.pay("tok_approve")
    await reader.page.get_by_role("img", name=reader.words["ticket"]).wait_for()
    await reader.page.reload()
    await reader.reads(reader.words["confirmed"])


async def held(make_reader: MakeReader, sale: Sale) -> Reader:
    reader = await make_reader()
    await reader.sign_up()
    await reader.hold(sale.schedule_id)
    return reader


# What each card of the sandbox makes the page say, in order. Whoever is not confirmed then pays with another card.
CARDS = {
    "tok_approve": ("confirmed",),
    "tok_slow": ("confirmed",),
    "tok_decline_insufficient_funds": ("declined",),
    "tok_decline_lost_card": ("declined",),
    "tok_timeout_charged": ("unsure", "confirmed"),
    "tok_timeout_uncharged": ("unsure", "not_charged"),
}


async def test_each_card_says_what_became_of_it_and_a_declined_one_leaves_the_seats_held(
    make_reader: MakeReader, sale: Sale
) -> None:
    async def pay_with(token: str, says: tuple[str, ...]) -> None:
        reader = await held(make_reader, sale)
        await reader.pay(token)
        for words in says:
            await reader.reads(reader.words[words])
            if words == "unsure":
                assert await reader.page.get_by_role("button", name=reader.words["pay_now"]).count() == 0
        if says[-1] != "confirmed":
            await reader.pay("tok_approve")
            await reader.reads(reader.words["confirmed"])

    await asyncio.gather(*(pay_with(token, says) for token, says in CARDS.items()))  # most of their time is waiting


async def test_a_payment_whose_answer_got_lost_is_sent_again_with_the_same_key(
    make_reader: MakeReader, sale: Sale
) -> None:
    reader = await held(make_reader, sale)
    keys: list[str] = []

    async def lose_the_first(route: Route, request: Request) -> None:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.fetch()  # it arrives, and is carried out
            await route.abort()
        else:
            await route.continue_()

    await reader.page.route("**/payments", lose_the_first)
    await reader.pay("tok_approve")
    await reader.reads(reader.words["not_sent"])
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).click()
    await reader.reads(reader.words["confirmed"])
    assert len(keys) == 2
    assert len(set(keys)) == 1
    reader.forgive("net::ERR_FAILED")


async def test_a_payment_under_way_is_looked_at_until_it_is_known_though_an_answer_gets_lost(
    make_reader: MakeReader, sale: Sale
) -> None:
    reader = await held(make_reader, sale)
    lost: list[str] = []

    async def lose_one(route: Route) -> None:
        lost.append(route.request.url)
        await (route.abort() if len(lost) == 1 else route.continue_())

    await reader.page.get_by_label(reader.words["card"]).wait_for()  # the answer that brings it is not the lost one
    await reader.page.route(f"**/v1{urlsplit(reader.page.url).path.replace('/b/', '/bookings/')}", lose_one)
    await reader.pay("tok_timeout_charged")
    await reader.reads(reader.words["confirmed"])
    assert lost
    reader.forgive("net::ERR_FAILED")


async def test_more_time_is_given_in_one_tap_and_the_seats_can_be_given_back(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    short = await open_sale(http, hold_seconds=60)
    reader = await held(make_reader, short)
    await reader.page.get_by_role("button", name=reader.words["more_time"]).click()
    await reader.page.get_by_text("The seats are held until", exact=False).first.wait_for()
    await reader.page.get_by_role("button", name="Give the seats back").click()
    await reader.page.get_by_role("button", name="Yes, give them back").click()
    await reader.reads("Cancelled")


async def test_what_costs_nothing_is_booked_without_a_card_and_given_back_without_a_refund(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    free = await open_sale(http, prices={"VIP": 0, "Standard": 0})
    reader = await held(make_reader, free)
    assert await reader.page.get_by_label(reader.words["card"]).count() == 0
    await reader.page.get_by_role("button", name="Book now, free of charge").click()
    await reader.reads(reader.words["confirmed"])
    await reader.page.get_by_text("A code for each seat").click()
    codes = reader.page.locator("details img")
    await codes.nth(1).wait_for()
    assert [await code.get_attribute("alt") for code in await codes.all()] == [
        f"Code for {await seat.inner_text()}"
        for seat in await reader.page.locator("section[aria-label=Seats] .strong").all()
    ]
    await reader.page.get_by_role("button", name="Give the seats back").click()
    await reader.page.get_by_role("button", name="Yes, give them back").click()
    await reader.reads("Cancelled")


async def test_expired_seats_can_be_tried_again(make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale) -> None:
    reader = await held(make_reader, sale)
    first = reader.page.url.rpartition("/")[2]
    credentials = {"email": reader.email, "password": PASSWORD}
    session = (await http.post("/v1/sessions", json=credentials)).json()
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    assert (await http.post(f"/v1/bookings/{first}/cancellation", json={}, headers=headers)).status_code == 201

    async def expire(route: Route) -> None:  # as it would read after the hold's ten minutes
        answer = await route.fetch()
        await route.fulfill(response=answer, json=await answer.json() | {"status": "expired"})

    await reader.page.route(f"**/v1/bookings/{first}", expire)
    await reader.go("/bookings")
    await reader.go(f"/b/{first}")
    await reader.reads(reader.words["expired"])
    lost: list[str] = []

    async def lose_the_first(route: Route) -> None:
        lost.append(route.request.method)
        if len(lost) == 1:
            await route.fetch()  # it arrives, and the seats are theirs
            await route.abort()
        else:
            await route.continue_()

    await reader.page.route(f"**/v1/schedules/{sale.schedule_id}/bookings", lose_the_first)
    await reader.page.get_by_role("button", name=reader.words["try_same"]).click()
    await reader.reads(reader.words["no_connection"])
    reader.forgive("net::ERR_FAILED")
    await reader.page.get_by_role("button", name=reader.words["try_same"]).click()
    await reader.page.wait_for_url(lambda url: "/b/" in url and not url.endswith(first))
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).wait_for()


# --- handing on -------------------------------------------------------------------------------------------------------
async def confirm_email(reader: Reader, stack: Stack) -> None:
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute("UPDATE accounts SET email_confirmed_at = now() WHERE email = $1", reader.email)
    await connection.close()


async def offered(giver: Reader, to: Reader) -> None:
    """Offers the seats that are chosen."""
    await giver.page.get_by_role("textbox", name="E-mail of who gets them").fill(to.email)
    await giver.page.get_by_role("button", name="Offer the seats").click()
    await giver.reads(f"To {to.email}")


async def test_seats_are_handed_on_and_whoever_takes_them_has_the_ticket(
    make_reader: MakeReader, stack: Stack, sale: Sale
) -> None:
    giver, taker = await held(make_reader, sale), await make_reader()
    await taker.sign_up()
    await confirm_email(taker, stack)
    await giver.pay("tok_approve")
    await giver.reads(giver.words["confirmed"])

    await giver.page.get_by_role("button", name="Hand on", exact=True).click()
    await giver.page.get_by_role("checkbox").first.uncheck()
    assert await giver.faults() == []
    await offered(giver, taker)
    await giver.page.get_by_role("button", name="Take back").click()
    await giver.reads("The offer is taken back. The seats stay yours.")

    await giver.page.get_by_role("button", name="Hand on", exact=True).click()
    await offered(giver, taker)
    assert await giver.faults() == []
    assert await giver.page.get_by_role("button", name="Hand on", exact=True).count() == 0, "nothing is left to offer"

    await taker.go("/bookings")
    offer = taker.page.get_by_role("region", name="Seats for you").get_by_role("article")
    await offer.wait_for()
    assert await taker.faults() == []
    await offer.get_by_role("button", name="Accept").click()
    await taker.page.wait_for_url("**/b/*")
    await taker.page.get_by_role("img", name=taker.words["ticket"]).wait_for()
    await taker.page.get_by_text("These seats were handed on to you.", exact=False).wait_for()
    assert await taker.page.get_by_role("button", name=taker.words["refund"], exact=True).count() == 0
    assert await taker.faults() == []

    await giver.page.get_by_role("button", name="Take back").click()
    await giver.reads("Handed on")
    await giver.page.get_by_text("Your ticket opens no door any more.", exact=False).wait_for()
    assert await giver.page.get_by_role("img", name=giver.words["ticket"]).count() == 0
    assert await giver.faults() == []


async def test_an_offer_that_cannot_be_accepted_says_why(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack
) -> None:
    small = await open_sale(http, max_seats_per_customer=2)
    giver, taker = await held(make_reader, small), await held(make_reader, small)
    await confirm_email(taker, stack)
    await giver.pay("tok_approve")
    await giver.page.get_by_role("button", name="Hand on", exact=True).click()
    await offered(giver, taker)
    await taker.go("/bookings")
    await taker.page.get_by_role("button", name="Accept").click()
    await taker.page.get_by_text("You have as many seats of this date as one customer may.", exact=False).wait_for()
    assert await taker.faults() == []

    await giver.page.get_by_role("button", name="Take back").click()
    await giver.reads("The offer is taken back. The seats stay yours.")
    await taker.page.get_by_role("button", name="Accept").click()
    await taker.reads("This offer was taken back.")
