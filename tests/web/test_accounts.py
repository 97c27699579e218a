"""Sessions and the account on the pages: a reload keeps the session, and no script can read what opens it."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote, urlsplit

import httpx
import pytest
from playwright.async_api import Route

from tests.support.sale import PASSWORD
from tests.web.conftest import MakeReader, Reader

pytestmark = pytest.mark.stack


async def is_logged_in(reader: Reader) -> None:
    await reader.page.get_by_role("link", name=reader.words["account"], exact=True).wait_for()


async def test_a_reload_keeps_the_session_by_a_cookie_that_no_script_reads(make_reader: MakeReader) -> None:
    reader = await make_reader()
    await reader.sign_up()
    await reader.page.reload()
    await is_logged_in(reader)
    cookies = {cookie["name"]: cookie for cookie in await reader.page.context.cookies()}  # type: ignore[typeddict-item]  # no cookie is without a name
    kept = cookies["boxoffice_refresh"]
    assert (kept["httpOnly"], kept["sameSite"], kept["path"]) == (True, "Strict", "/v1/sessions/browser")
    assert await reader.page.evaluate("document.cookie") == ""


NOTHING_KEPT = """
for (const name of ['localStorage', 'sessionStorage'])
  Object.defineProperty(window, name, {
    configurable: true,
    get() { throw new DOMException('Access is denied', 'SecurityError'); },
  });
"""


async def test_a_browser_that_keeps_nothing_shows_the_pages_all_the_same(make_reader: MakeReader) -> None:
    reader = await make_reader()
    await reader.page.add_init_script(NOTHING_KEPT)
    await reader.sign_up()
    await reader.page.get_by_role("link", name=reader.words["my_bookings"], exact=True).click()
    await reader.page.get_by_text("You have no bookings yet").wait_for()
    await is_logged_in(reader)
    assert await reader.faults() == []
    for name in ("localStorage", "sessionStorage"):  # they are looked at when it ends
        await reader.page.evaluate(f"Object.defineProperty(window, '{name}', {{ value: {{}} }})")


async def test_two_tabs_that_load_at_once_both_stay_logged_in_and_log_out_together(make_reader: MakeReader) -> None:
    reader = await make_reader()
    await reader.sign_up()
    other = Reader(await reader.page.context.new_page(), "en")
    await other.page.goto("/bookings")
    tabs = (reader, other)
    await asyncio.gather(*(tab.page.reload() for tab in tabs))
    await asyncio.gather(*(is_logged_in(tab) for tab in tabs))
    await reader.page.get_by_role("link", name=reader.words["account"], exact=True).click()
    await reader.page.get_by_role("button", name=reader.words["log_out"]).click()
    for tab in tabs:
        await tab.page.get_by_role("link", name=reader.words["log_in"], exact=True).wait_for()
    await other.end()


async def test_who_logs_in_as_somebody_else_is_somebody_else_in_every_tab(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader()
    await reader.sign_up()
    other = Reader(await reader.page.context.new_page(), "en")
    await other.page.goto("/account")
    await other.page.get_by_text(reader.email).wait_for()
    account = {"email": f"second-{reader.email}", "password": PASSWORD}
    assert (await http.post("/v1/accounts", json=account)).status_code == 201
    await reader.page.goto("/login")
    await is_logged_in(reader)
    await reader.page.get_by_role("textbox", name=reader.words["email"]).fill(account["email"])
    await reader.page.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    await reader.page.get_by_role("button", name=reader.words["log_in"], exact=True).click()
    await reader.page.wait_for_url("**/")
    await reader.page.get_by_role("link", name=reader.words["account"], exact=True).click()
    for tab in (reader, other):
        await tab.page.get_by_text(account["email"]).wait_for()
    await other.end()


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "/\\evil.example", "/%09/evil.example", "https://evil.example"]
)
async def test_logging_in_leads_nowhere_but_to_pages_of_ours(make_reader: MakeReader, elsewhere: str) -> None:
    reader = await make_reader()
    await reader.page.goto(f"/signup?next={quote(elsewhere, safe='%')}")
    await reader.page.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await reader.page.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    await reader.page.get_by_role("button", name=reader.words["sign_up"], exact=True).click()
    await is_logged_in(reader)
    assert await reader.page.evaluate("location.pathname") == "/"


async def test_who_signs_up_while_much_is_going_on_is_let_in_without_pressing_again(make_reader: MakeReader) -> None:
    reader = await make_reader()
    turned_away: list[str] = []

    async def turn_away_once(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if route.request.method != "POST" or path in turned_away:
            await route.continue_()
            return
        turned_away.append(path)
        problem = {"code": "overloaded", "title": "Overloaded", "status": 503, "detail": "Come again.", "type": "/p"}
        await route.fulfill(status=503, json=problem, headers={"Retry-After": "1"})

    await reader.page.route(re.compile("/v1/(accounts|sessions/browser)$"), turn_away_once)
    await reader.sign_up()
    assert turned_away == ["/v1/accounts", "/v1/sessions/browser"]


async def test_an_access_token_that_has_ended_is_renewed_without_a_word(make_reader: MakeReader) -> None:
    reader = await make_reader()
    await reader.sign_up()
    refused: list[str] = []

    async def refuse_once(route: Route) -> None:
        if refused:
            await route.continue_()
            return
        refused.append(route.request.headers["authorization"])
        problem = {"code": "unauthenticated", "title": "Log in", "status": 401, "detail": "Expired.", "type": "/p"}
        await route.fulfill(status=401, json=problem)

    await reader.page.route("**/v1/bookings*", refuse_once)
    await reader.page.get_by_role("link", name=reader.words["my_bookings"]).click()
    await reader.reads("You have no bookings yet")
    assert await reader.page.get_by_role("dialog").count() == 0


async def test_an_account_is_changed_and_another_session_of_it_ended(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader()
    await reader.sign_up()
    credentials = {"email": reader.email, "password": PASSWORD}
    session = (await http.post("/v1/sessions", json=credentials)).json()
    elsewhere = {"Authorization": f"Bearer {session['access_token']}"}
    await reader.page.get_by_role("link", name=reader.words["account"], exact=True).click()
    await reader.page.get_by_role("textbox", name="Name").fill("Kim Minji")
    await reader.page.get_by_role("button", name="Save").first.click()
    await reader.reads("Saved.")
    assert (await http.get("/v1/accounts/me", headers=elsewhere)).json()["name"] == "Kim Minji"
    await reader.page.get_by_role("button", name="End it").click()
    await reader.reads("That session has ended.")
    assert (await http.get("/v1/accounts/me", headers=elsewhere)).status_code == 401


async def test_who_has_to_log_in_again_does_so_over_the_page_and_nothing_typed_is_lost(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader()
    headers = await reader.joins(http, then="/account")
    name = reader.page.get_by_role("textbox", name="Name")
    await name.fill("Kim Minji")
    for session in (await http.get("/v1/sessions", headers=headers)).json()["items"]:
        if session["browser"]:
            assert (await http.delete(f"/v1/sessions/{session['id']}", headers=headers)).status_code == 204
    await reader.page.get_by_role("button", name="Save").first.click()
    sheet = reader.page.get_by_role("dialog")
    await sheet.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await sheet.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    assert await name.input_value() == "Kim Minji"
    await sheet.get_by_role("button", name=reader.words["log_in"], exact=True).click()
    await reader.reads("Saved.")
    assert await name.input_value() == "Kim Minji"
    assert (await http.get("/v1/accounts/me", headers=headers)).json()["name"] == "Kim Minji"


async def test_who_signs_up_again_after_a_lost_answer_has_the_account_that_they_made(make_reader: MakeReader) -> None:
    reader = await make_reader()

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await reader.page.route("**/v1/accounts", lose)
    await reader.page.goto("/signup")
    await reader.page.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await reader.page.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    sign_up = reader.page.get_by_role("button", name=reader.words["sign_up"], exact=True)
    await sign_up.click()
    await reader.reads(reader.words["no_connection"])
    await reader.lets_through("**/v1/accounts")
    await sign_up.click()
    await is_logged_in(reader)
    reader.forgive("net::ERR_FAILED")


async def test_a_sheet_stays_until_what_it_ordered_is_answered_and_tells_the_refusal(make_reader: MakeReader) -> None:
    reader = await make_reader()
    answered = asyncio.Event()

    async def slow(route: Route) -> None:
        await answered.wait()
        await route.continue_()

    await reader.page.route("**/v1/sessions/browser", slow)
    await reader.page.goto("/door/0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90")
    sheet = reader.page.get_by_role("dialog")
    await sheet.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await sheet.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    await sheet.get_by_role("button", name=reader.words["log_in"], exact=True).click()
    for _ in range(3):  # the browser itself asks no page at the second one
        await reader.page.keyboard.press("Escape")
    await reader.page.mouse.click(5, 5)
    assert await sheet.get_by_role("button", name="Close").is_disabled()
    answered.set()
    await sheet.get_by_role("alert").wait_for()
    await reader.page.keyboard.press("Escape")
    await sheet.wait_for(state="detached")


async def test_who_has_to_log_in_again_and_does_not_leaves_nothing_on_the_screen(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader()
    headers = await reader.joins(http, then="/account")
    for session in (await http.get("/v1/sessions", headers=headers)).json()["items"]:
        if session["browser"]:
            await http.delete(f"/v1/sessions/{session['id']}", headers=headers)
    await reader.page.get_by_role("button", name="Save").first.click()
    await reader.page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await reader.reads("Log in to go on")
    assert await reader.page.get_by_text(reader.email).count() == 0


async def test_a_server_that_has_too_much_to_do_logs_nobody_out(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader()
    await reader.joins(http)
    refused: list[str] = []

    async def overloaded(route: Route) -> None:
        refused.append(route.request.url)
        if len(refused) > 3:
            await route.continue_()
            return
        problem = {"code": "overloaded", "title": "Overloaded", "status": 503, "detail": "Come again.", "type": "/p"}
        await route.fulfill(status=503, json=problem, headers={"Retry-After": "1"})

    await reader.page.route("**/v1/sessions/browser/refresh", overloaded)
    await reader.page.goto("/bookings")
    await reader.reads("Overloaded")
    await reader.reads("You have no bookings yet")
    await is_logged_in(reader)
    assert await reader.page.get_by_role("dialog").count() == 0


async def test_a_line_that_dies_while_a_token_is_renewed_holds_nobody_up_for_ever(
    make_reader: MakeReader, http: httpx.AsyncClient
) -> None:
    reader = await make_reader()
    await reader.joins(http)
    async with reader.dead_line("**/v1/sessions/browser/refresh") as given_up:
        await reader.page.goto("/bookings")
        beside = await reader.page.context.new_page()  # one at a time in all tabs
        await beside.goto("/bookings")
        await given_up()
        for tab in (reader.page, beside):
            await tab.get_by_text("You have no bookings yet").wait_for()
    await is_logged_in(reader)


async def test_a_password_is_changed_and_what_is_wrong_with_it_stands_at_its_field(make_reader: MakeReader) -> None:
    reader = await make_reader()
    await reader.sign_up()
    await reader.page.get_by_role("link", name=reader.words["account"], exact=True).click()
    await reader.page.get_by_role("textbox", name="Current password").fill("not this one")
    await reader.page.get_by_role("textbox", name="New password").fill("a better horse battery")
    save = reader.page.get_by_role("button", name="Save").nth(1)
    await save.click()
    await reader.page.get_by_text("is not your current password").wait_for()
    await reader.page.get_by_role("textbox", name="Current password").fill(PASSWORD)
    await save.click()
    await reader.reads("Saved.")
    await reader.page.reload()
    await is_logged_in(reader)


async def test_a_forgotten_password_says_the_same_whether_or_not_the_address_is_known(make_reader: MakeReader) -> None:
    reader = await make_reader()
    await reader.page.goto("/login")
    await reader.page.get_by_role("link", name="I forgot it").click()
    await reader.page.get_by_role("textbox", name=reader.words["email"]).fill("nobody@example.com")
    await reader.page.get_by_role("button", name="Send the link").click()
    await reader.reads("If this address is known here, the mail is on its way.")


async def test_a_link_that_is_over_says_so_and_how_to_come_by_another(make_reader: MakeReader) -> None:
    reader = await make_reader()
    await reader.page.goto("/password-resets/no-link")
    await reader.page.get_by_role("textbox", name="New password").fill("a better horse battery")
    await reader.page.get_by_role("button", name="Save the new password").click()
    await reader.reads("This link does not work any more")
    await reader.page.goto("/email-confirmations/no-link")
    await reader.reads("This link does not work any more")


async def test_deleting_the_account_is_asked_twice(make_reader: MakeReader, http: httpx.AsyncClient) -> None:
    reader = await make_reader()
    await reader.sign_up()
    await reader.page.get_by_role("link", name=reader.words["account"], exact=True).click()
    await reader.page.get_by_role("button", name="Delete the account").click()
    await reader.page.get_by_role("button", name="Delete it for good").click()
    await reader.page.get_by_role("link", name=reader.words["log_in"], exact=True).wait_for()
    answer = await http.post("/v1/sessions", json={"email": reader.email, "password": PASSWORD})
    assert answer.status_code == 401
