"""The pages for those who run the box office: every one can be used by anybody, and what is ordered there is done."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import asyncpg
import httpx
import pytest
from playwright.async_api import Locator, expect

from actors.receivers.services import SERVICES
from persistence.database.dsn import asyncpg_dsn
from persistence.events import positions
from persistence.events.from_journal import JournalFeed
from persistence.journal.journal import PostgresJournal
from tests.conftest import Stack
from tests.support.sale import Sale, hold, log_in_admin, open_sale, paid_booking, read, sign_up, small_plan
from tests.web.conftest import SMALL, MakeReader, Reader

pytestmark = pytest.mark.stack

SECTIONS = (
    "",
    "bookings",
    "payments",
    "payments?kind=refunds",
    "accounts",
    "schedules",
    "reconciliation",
    "parked-events",
    "notifications",
    "audit",
)


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    return await open_sale(http, plan=small_plan(rows=4, seats_per_row=10, standing=20))


async def at_admin(make_reader: MakeReader, stack: Stack, language: str = "en", **options: object) -> Reader:
    """An admin, logged in by the page."""
    reader = await make_reader(language, **options)
    await reader.log_in(stack.admin_email, stack.admin_password)
    return reader


async def settled(reader: Reader) -> bool:
    """Whether nothing is being read any more."""
    return await reader.page.locator("[aria-busy=true]").count() == 0


def sheet(reader: Reader) -> Locator:
    return reader.page.get_by_role("dialog")


async def unfold(reader: Reader, text: str) -> None:
    """Opens the card that says so."""
    card = reader.page.locator("details.card").filter(has_text=text).first
    if not await card.evaluate("card => card.open"):
        await card.locator("summary").first.click()


def section(name: str) -> Callable[[Reader], Awaitable[None]]:
    async def visit(reader: Reader) -> None:
        await reader.go(f"/admin/{name}".rstrip("/"))

    return visit


async def test_every_page_can_be_used_by_anybody_and_fits_a_narrow_screen(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, sale: Sale
) -> None:
    await paid_booking(http, sale, await sign_up(http), *sale.fresh(1))
    reader = await at_admin(make_reader, stack, **SMALL)
    assert await reader.walk({name: (section(name), "Reconciliation") for name in SECTIONS}) == {}


async def test_nobody_else_is_told_that_there_are_such_pages(make_reader: MakeReader, sale: Sale) -> None:
    reader = await make_reader()
    await reader.sign_up()
    assert await reader.page.get_by_role("link", name="Admin").count() == 0
    for section in SECTIONS:
        await reader.go(f"/admin/{section}".rstrip("/"))
        await reader.reads("There is no such page")


async def test_the_overview_follows_a_sale(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, sale: Sale
) -> None:
    reader = await at_admin(make_reader, stack, size="desktop")
    await reader.page.get_by_role("link", name="Admin").click()
    title = (await http.get(f"/v1/performances/{sale.performance_id}")).json()["title"]
    row = reader.page.get_by_role("row").filter(has_text=title)
    taken = (await http.get(f"/v1/schedules/{sale.schedule_id}/availability")).json()["categories"]
    before = sum(each["sold"] for each in taken)
    for sold in (1, 2):
        await paid_booking(http, sale, await sign_up(http), *sale.fresh(1))
        await row.get_by_role("cell").nth(5).get_by_text(str(before + sold), exact=True).wait_for()


async def test_a_schedule_is_given_a_process_to_itself_and_shares_one_again(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, sale: Sale
) -> None:
    admin = await log_in_admin(http, stack)

    async def is_dedicated(wanted: bool) -> bool:
        heads = await read(http, "/v1/admin/actors", admin, limit=200)
        return [each["dedicated"] for each in heads["items"] if each["schedule_id"] == sale.schedule_id] == [wanted]

    title = (await read(http, f"/v1/performances/{sale.performance_id}", admin))["title"]
    reader = await at_admin(make_reader, stack)
    await reader.go("/admin/schedules")
    switch = reader.page.get_by_role("switch", name=f"A process to itself: {title}")
    await switch.check()
    await reader.reads("Whoever shares its process leaves within seconds, if there are processes enough.")
    assert await is_dedicated(True)
    assert await reader.faults() == []
    await switch.uncheck()
    await reader.reads("It shares a process from now on.")
    assert await is_dedicated(False)


async def test_a_booking_is_found_and_cancelled_with_its_consequences_first(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, sale: Sale
) -> None:
    admin = await log_in_admin(http, stack)
    customer = await sign_up(http)
    (seat,) = sale.fresh(1)
    booking, _ = await paid_booking(http, sale, customer, seat)
    email = (await read(http, "/v1/accounts/me", customer))["email"]
    reader = await at_admin(make_reader, stack)
    await reader.go("/admin/bookings")
    await reader.page.get_by_role("searchbox", name="Customer's e-mail").fill(email)
    await reader.page.get_by_role("button", name="Search", exact=True).click()
    await reader.page.wait_for_url("**email=*")
    await unfold(reader, booking["number"])
    await reader.page.get_by_role("link", name=email).wait_for()
    await reader.page.get_by_role("button", name="Cancel this booking").click()
    row, number = seat.split("-")
    named = f"Stalls, row {row} seat {number}"
    await sheet(reader).get_by_text(f"The seats are free for everybody at once: {named}.").wait_for()
    await sheet(reader).get_by_text(re.compile("Everything that was paid goes back")).wait_for()
    button = sheet(reader).get_by_role("button", name="Cancel and give the money back")
    assert await button.is_disabled(), "a reason is needed"
    assert await reader.faults() == []
    await sheet(reader).get_by_role("textbox", name="Reason").fill("row A was flooded")
    await button.click()
    await reader.reads("The booking is cancelled.")
    now = await read(http, f"/v1/admin/bookings/{booking['id']}", admin)
    assert now["status"] == "refunded"


async def test_a_booking_that_is_opened_tells_of_itself_whatever_leaves_the_list_before_it(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, sale: Sale
) -> None:
    emails, numbers = [], []
    for _ in range(2):
        customer = await sign_up(http)
        booking = await hold(http, sale, customer, *sale.fresh(1))
        ended = await http.post(f"/v1/bookings/{booking['id']}/cancellation", headers=customer)
        assert ended.status_code < 300, ended.text
        emails.append((await read(http, "/v1/accounts/me", customer))["email"])
        numbers.append(booking["number"])
    reader = await at_admin(make_reader, stack)
    await reader.go("/admin/bookings?status=cancelled")
    newest = reader.page.locator("details.card").filter(has_text=numbers[1])
    await newest.locator("summary").click()
    await newest.get_by_role("link", name=emails[1]).wait_for()
    await newest.get_by_role("button", name="Put away").click()
    await sheet(reader).get_by_role("button", name="Put it away").click()
    await newest.wait_for(state="detached")
    await unfold(reader, numbers[0])
    await reader.page.get_by_role("link", name=emails[0]).wait_for()
    assert await reader.page.get_by_role("link", name=emails[1]).count() == 0


async def test_a_search_form_says_what_is_searched_for_and_keeps_the_focus(
    make_reader: MakeReader, stack: Stack
) -> None:
    reader = await at_admin(make_reader, stack)
    for section, label, name in (
        ("bookings", "Customer's e-mail", "email"),
        ("payments", "Customer's e-mail", "email"),
        ("accounts", "Part of an e-mail or a name", "q"),
        ("audit", "What it concerns", "subject"),
    ):
        await reader.go(f"/admin/{section}")
        field = reader.page.get_by_role("searchbox", name=label)
        await field.fill("one@example.com")
        await field.press("Enter")
        await reader.page.wait_for_url(f"**/admin/{section}?{name}=one*")
        await expect(field).to_be_focused()
        await reader.go(f"/admin/{section}?{name}=two")
        await expect(field).to_have_value("two")
        await reader.page.go_back()
        await expect(field).to_have_value("one@example.com")


async def test_an_account_is_locked_and_let_in_again_and_the_last_administrator_is_not(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack, sale: Sale
) -> None:
    customer = await sign_up(http)
    await hold(http, sale, customer, *sale.fresh(1))
    email = (await read(http, "/v1/accounts/me", customer))["email"]
    reader = await at_admin(make_reader, stack)
    await reader.go("/admin/accounts")
    search = reader.page.get_by_role("searchbox")
    await search.fill(email)
    await search.press("Enter")
    await unfold(reader, email)
    await reader.page.get_by_role("button", name="Lock …").click()
    await sheet(reader).get_by_text("Its 1 booking to come stays valid: the tickets open the door.").wait_for()
    await sheet(reader).get_by_role("button", name="Lock the account").click()
    await reader.reads("The account is locked.")
    assert (await http.get("/v1/accounts/me", headers=customer)).status_code == 401
    await unfold(reader, email)
    await reader.page.get_by_role("button", name="Let in again").click()
    await sheet(reader).get_by_role("button", name="Let in again").click()
    await reader.reads("The account may come in again.")
    await search.fill(stack.admin_email)
    await search.press("Enter")
    await unfold(reader, stack.admin_email)
    await reader.page.get_by_text(re.compile("This is the last administrator")).wait_for()


async def test_a_schedule_is_examined_now(make_reader: MakeReader, stack: Stack, sale: Sale) -> None:
    reader = await at_admin(make_reader, stack)
    await reader.go(f"/admin/reconciliation?schedule={sale.schedule_id}")
    one = reader.page.get_by_role("region", name="This schedule")
    await one.get_by_role("button", name="Examine now").click()
    await one.get_by_text("Everything agrees.").wait_for()
    await one.get_by_text(re.compile("checks hold at version")).wait_for()


async def test_what_does_not_agree_and_what_is_done_about_it_is_said_in_korean(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack
) -> None:
    sale = await open_sale(http)
    booking = await hold(http, sale, await sign_up(http), *sale.fresh(1))
    reader = await at_admin(make_reader, stack, "ko", size="desktop")
    await reader.go(f"/admin/reconciliation?schedule={sale.schedule_id}")
    one = reader.page.get_by_role("region", name="이 회차")
    connection = await asyncpg.connect(asyncpg_dsn(stack.database_url))
    try:
        await connection.execute("UPDATE bookings SET currency = 'USD' WHERE id = $1", booking["id"])
    finally:
        await connection.close()
    await one.get_by_role("button", name="지금 검사").click()
    for said in ("예매가 저널과 일치", "1행, 다른 행 1개", f"{booking['id']}: 값이 다름(currency)"):
        await one.get_by_text(said, exact=False).first.wait_for()
    assert not re.search(r"(rows|wrong|another|journal)\b", await one.inner_text())
    await one.get_by_role("button", name="고칠 수 있는 것 …").click()
    done = f"예매가 저널과 일치: 예매 {booking['id']} 행을 저널대로 씁니다"
    await sheet(reader).get_by_text(done).wait_for()
    await sheet(reader).get_by_role("button", name="고치기").click()
    await one.get_by_text(f"완료 {done}").wait_for()
    await one.get_by_text("모두 일치합니다.").wait_for()


async def park(stack: Stack, schedule_id: str) -> None:
    """Puts a schedule's second event aside, as the service of sales figures does with one it cannot digest."""
    async with asyncpg.create_pool(asyncpg_dsn(stack.database_url), min_size=1, max_size=1) as pool:
        feed = JournalFeed(PostgresJournal(pool))
        async for events in feed.events(schedule_id, 1, 2, SERVICES["sales"].wanted):
            async with pool.acquire() as connection:
                await positions.park(connection, "sales", events[0], "KeyError: 'VIP'")


async def test_what_could_not_be_digested_is_tried_again_until_it_is_and_the_log_tells_who_did(
    make_reader: MakeReader, http: httpx.AsyncClient, stack: Stack
) -> None:
    sale = await open_sale(http)
    await hold(http, sale, await sign_up(http), *sale.fresh(1))
    reader = await at_admin(make_reader, stack)
    await reader.go("/admin/parked-events")
    await reader.reads("Nothing is parked.")
    await park(stack, sale.schedule_id)
    await reader.go("/admin/audit")
    await reader.go("/admin/parked-events")
    await reader.reads("KeyError: 'VIP'")
    assert await reader.flaws() == {}
    still = {"service": "sales", "schedule_id": sale.schedule_id, "version": 2, "taken": False, "error": "KeyError: 1"}
    await reader.page.route("**/retry", lambda route: route.fulfill(json=still))
    await reader.page.get_by_role("button", name="Try again").click()
    await reader.reads("KeyError: 1")
    await reader.lets_through()
    await reader.page.get_by_role("button", name="Try again").click()
    await reader.reads("Nothing is parked.")
    await reader.go("/admin/audit")
    subject = f"parked-event:sales/{sale.schedule_id}:2"
    await unfold(reader, subject)
    await reader.reads(subject)
