"""Every page in every state: that anybody can use it (axe), light and dark, and that nothing sticks out.

A state that takes a long story is what the API's true answer becomes with a few words of it changed.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.sale import PASSWORD, Sale, open_sale, paid_booking, small_plan
from tests.web.conftest import SMALL, MakeReader, Reader, State

pytestmark = pytest.mark.stack

NOBODY = "0199f39b-f0aa-7e44-9a57-2d8d9f3b6c90"


@pytest.fixture(scope="module")
async def sale(http: httpx.AsyncClient) -> Sale:
    """A house of 200 seats, and room to stand."""
    return await open_sale(http, plan=small_plan(rows=10, seats_per_row=SEATS // 10, standing=STANDING))


def last_seats(sale: Sale, count: int) -> list[str]:
    """Seats from the back, that no state has been given: whoever holds the best ones holds others."""
    seats = [seat for seat in reversed(sale.seats) if seat not in sale.taken][:count]
    sale.taken.update(seats)
    return seats


Visit = Callable[[Reader, Sale, dict[str, str], httpx.AsyncClient], Awaitable[None]]
SEATS, STANDING = 200, 50
BEFORE = "2026-01-01T00:00:00Z"
LATER = (datetime.now(UTC) + timedelta(days=2)).isoformat()


def at(path: str) -> Visit:
    async def visit(reader: Reader, sale: Sale, _: dict[str, str], __: httpx.AsyncClient) -> None:
        await reader.go(path.format(performance=sale.performance_id, schedule=sale.schedule_id))

    return visit


def where(url: str, change: Callable[[Any], Any], path: str) -> Visit:
    """A page as it is when the API's answer reads so."""

    async def visit(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
        await reader.altered(url, change)
        await at(path)(reader, sale, headers, http)

    return visit


def refusing(status: int, code: str, path: str, url: str = "**/v1/performances*") -> Visit:
    """A page whose answer is refused."""
    problem = {"code": code, "title": "Refused", "status": status, "detail": "Not now.", "type": "/p"}

    async def visit(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
        await reader.page.route(url, lambda route: route.fulfill(status=status, json=problem))
        await at(path)(reader, sale, headers, http)

    return visit


# --- dates ------------------------------------------------------------------------------------------------------------
def sale_is(state: str, **more: Any) -> Callable[[Any], Any]:
    return lambda date: date | {"sale": date["sale"] | {"state": state}} | more


DATES = (
    sale_is("on_sale"),
    lambda date: date | {"sale": date["sale"] | {"state": "scheduled", "opens_at": LATER}},
    lambda date: date | {"sale": date["sale"] | {"state": "scheduled", "opens_at": LATER}, "waiting_room": True},
    sale_is("on_sale", seats_left={"VIP": 0, "Standard": 0, "Standing": 0}),
    sale_is("on_sale", seats_left={"VIP": 3, "Standard": 0, "Standing": 1}),
    sale_is("on_sale", seats_left=None),
    sale_is("closed"),
    sale_is("ended"),
    sale_is("cancelled", cancellation_reason="the hall is flooded"),
    sale_is("cancelled", cancellation_reason=None),
)


def every_date(page: Any) -> Any:
    """The dates of a performance, one in each state."""
    (date,) = page["items"]
    return page | {"items": [change(date) | {"id": f"{date['id']}{n}"} for n, change in enumerate(DATES)]}


def nothing(page: Any) -> Any:
    return page | {"items": []}


def all_taken(states: Any) -> Any:
    """The states of a house in which everything is sold: two bits a seat, and the counts of standing room."""
    return states | {"seats": base64.b64encode(b"\xaa" * (SEATS // 4)).decode(), "areas": [[0, 0, STANDING, 0]]}


def terms(**different: Any) -> Callable[[Any], Any]:
    return lambda states: states | different


TERMS = "**/v1/schedules/*/states"


# --- the waiting room -------------------------------------------------------------------------------------------------
PLACE = {
    "ticket": "ticket",
    "schedule_id": NOBODY,
    "status": "waiting",
    "position": 1_841,
    "ahead": 1_840,
    "waiting": 9_206,
    "estimated_wait_seconds": 240,
    "look_again_seconds": 15,
    "opens_at": BEFORE,
    "pass": None,
    "pass_expires_at": None,
}
NOT_DRAWN = {"position": None, "ahead": None, "estimated_wait_seconds": None}


def refusal(status: int, code: str) -> dict[str, Any]:
    return {"status": status, "json": {"code": code, "title": "Refused", "status": status, "detail": "Not now."}}


def in_line(then: Callable[[Reader], Awaitable[None]] | None = None, end: str = "", **place: Any) -> Visit:
    """In line at this place, until the look at it is refused as `end` says, and what one does there."""

    async def visit(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
        stands = {"status": 200, "json": PLACE | place}
        over = refusal({"queue_turn_over": 410, "overloaded": 503}.get(end, 409), end) if end else stands
        await reader.page.route("**/v1/queue/*", lambda route: route.fulfill(**over))
        await reader.page.route("**/v1/queue/*/stream", lambda route: route.fulfill(**refusal(503, "overloaded")))
        await reader.page.route("**/v1/schedules/*/queue", lambda route: route.fulfill(**stands))
        await at("/s/{schedule}/queue")(reader, sale, headers, http)
        if then is not None:
            await then(reader)

    return visit


async def leaving(reader: Reader) -> None:
    await press("Leave the line")(reader)
    await reader.reads("Stay")


async def left(reader: Reader) -> None:
    await leaving(reader)
    await press("Yes, leave it")(reader)


async def sold_out(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
    def nothing_free(counts: Any) -> Any:
        return counts | {"categories": [each | {"free": 0} for each in counts["categories"]]}

    await reader.altered("**/availability", nothing_free)
    await in_line()(reader, sale, headers, http)


# --- bookings ---------------------------------------------------------------------------------------------------------
async def held(reader: Reader, sale: Sale, _: dict[str, str], __: httpx.AsyncClient) -> None:
    await reader.hold(sale.schedule_id)
    await reader.page.get_by_role("button", name=reader.words["pay_now"]).wait_for()


async def declined(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
    await held(reader, sale, headers, http)
    await reader.pay("tok_decline_lost_card")
    await reader.reads(reader.words["declined"])


async def not_sent(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
    await held(reader, sale, headers, http)
    await reader.page.route("**/payments", lambda route: route.abort())
    await reader.pay("tok_approve")
    await reader.reads(reader.words["not_sent"])
    reader.forgive("net::ERR_FAILED")


async def basket(reader: Reader, sale: Sale, _: dict[str, str], __: httpx.AsyncClient) -> None:
    await reader.go(f"/s/{sale.schedule_id}")
    await reader.page.get_by_role("button", name=reader.words["hold_best"]).click()
    region = reader.page.get_by_role("region", name=reader.words["basket"])
    await region.get_by_role("button", name=reader.words["pay"], exact=True).wait_for()


async def own(http: httpx.AsyncClient, sale: Sale, headers: dict[str, str]) -> str:
    """The address of a paid booking, of seats that no other test has been given."""
    booking, _ = await paid_booking(http, sale, headers, *last_seats(sale, 2))
    return f"/b/{booking['id']}"


def booked(then: Callable[[Reader], Awaitable[None]] | None = None, **different: Any) -> Visit:
    """A paid booking that reads so, and what its customer does there."""

    async def visit(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
        path = await own(http, sale, headers)
        if different:
            soon = {"expires_at": (datetime.now(UTC) + timedelta(seconds=90)).isoformat()}
            await reader.altered(f"**/v1/bookings/{path[3:]}", lambda booking: changed(booking, soon | different))
        await reader.go(path)
        if then is not None:
            await then(reader)

    return visit


def changed(document: Any, different: dict[str, Any]) -> Any:
    """The document with these differences, inside its parts, too."""
    inside = {name: changed(document[name], value) for name, value in different.items() if isinstance(value, dict)}
    return (document or {}) | different | inside


def press(name: str) -> Callable[[Reader], Awaitable[None]]:
    async def pressing(reader: Reader) -> None:
        await reader.page.get_by_role("button", name=name, exact=True).click()

    return pressing


async def refunding(reader: Reader) -> None:
    await press(reader.words["refund"])(reader)
    await reader.reads(reader.words["get_back"])


async def each_ticket(reader: Reader) -> None:
    await reader.page.get_by_text("A code for each seat").click()
    await reader.page.locator("details img").nth(1).wait_for()


async def history(reader: Reader) -> None:
    await reader.page.get_by_text("What happened").click()
    await reader.reads("Seats held")


REFUND = {
    "id": NOBODY,
    "amount": 150_000,
    "fee": 0,
    "currency": "KRW",
    "seats": ["A-1"],
    "requested_at": "2026-11-22T14:00:00+00:00",
    "status": "pending",
}


async def refunded_since(reader: Reader, sale: Sale, headers: dict[str, str], http: httpx.AsyncClient) -> None:
    """Handed on and cancelled since: the money is the giver's, and the booking that it belongs to is not."""
    page = {"items": [REFUND | {"by": "organizer", "reason": "the hall is flooded"}], "next_cursor": None}
    await reader.page.route("**/v1/payments/*/refunds", lambda route: route.fulfill(json=page))
    await booked(status="transferred", seats=[])(reader, sale, headers, http)


CANCELLED = {"cancelled_at": "2026-11-22T14:00:00+00:00"}


# --- accounts ---------------------------------------------------------------------------------------------------------
async def wrong_password(reader: Reader, *_: Any) -> None:
    await reader.go("/login")
    await reader.page.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await reader.page.get_by_role("textbox", name=reader.words["password"]).fill("nobody's password")
    await reader.page.get_by_role("button", name=reader.words["log_in"], exact=True).click()
    await reader.page.get_by_role("alert").wait_for()


async def taken_address(reader: Reader, *_: Any) -> None:
    await reader.go("/signup")
    await reader.page.get_by_role("textbox", name=reader.words["email"]).fill(reader.email)
    await reader.page.get_by_role("textbox", name=reader.words["password"]).fill(PASSWORD)
    await reader.page.get_by_role("button", name=reader.words["sign_up"], exact=True).click()
    await reader.page.locator("[aria-invalid=true]").or_(reader.page.get_by_role("alert")).first.wait_for()


async def no_line(reader: Reader, *_: Any) -> None:
    await reader.go("/bookings")
    await reader.settled()
    await reader.page.evaluate("dispatchEvent(new Event('offline'))")
    await reader.page.get_by_text("You are offline.", exact=False).first.wait_for()


async def line_again(reader: Reader, *_: Any) -> None:
    await reader.page.evaluate("dispatchEvent(new Event('online'))")


STATES: dict[str, State] = {
    "home": (at("/"), "from ₩33,000"),
    "home, no match": (at("/?q=nothing-is-called-so"), "Nothing fits"),
    "home, nothing on": (refusing(404, "catalogue_empty", "/"), "Nothing is on yet"),
    "home, overloaded": (refusing(503, "overloaded", "/"), "Not now."),
    "performance": (at("/p/{performance}"), "100 seats left"),
    "performance, every state of a date": (where("**/schedules?*", every_date, "/p/{performance}"), "Opens in"),
    "performance, no dates": (
        where("**/schedules?*", nothing, "/p/{performance}"),
        "No dates have been announced yet.",
    ),
    "no such performance": (at(f"/p/{NOBODY}"), "There is no such performance"),
    "seats": (at("/s/{schedule}"), "A click on a seat holds it for you."),
    "seats, opening later": (where(TERMS, terms(sale_opens_at=LATER), "/s/{schedule}"), "The sale opens on"),
    "seats, closed": (where(TERMS, terms(sale_closes_at=BEFORE), "/s/{schedule}"), "The sale of this date is closed."),
    "seats, cancelled": (where(TERMS, terms(cancelled=True), "/s/{schedule}"), "This date is cancelled."),
    "seats, cancelled, with none left": (where(TERMS, terms(cancelled=True), "/s/{schedule}"), "not for sale"),
    "seats, all taken": (where(TERMS, all_taken, "/s/{schedule}"), "Every seat is sold or held."),
    "seats, none for sale": (where(TERMS, terms(prices={}), "/s/{schedule}"), "Nothing of this date is for sale."),
    "seats, held": (basket, "More time"),
    "no such date": (at(f"/s/{NOBODY}"), "There is no such date"),
    "seats, a waiting room": (where(TERMS, terms(sale_opens_at=LATER, waiting_room=True), "/s/{schedule}"), "Waiting"),
    "in line, before the opening": (in_line(**NOT_DRAWN, opens_at=LATER), "Places are drawn with the opening"),
    "in line, being drawn": (in_line(**NOT_DRAWN), "Places are being drawn"),
    "in line": (in_line(), "1,840 people ahead of you"),
    "in line, next": (in_line(position=1, ahead=0), "You are next"),
    "in line, nobody knows for how long": (
        in_line(position=1, ahead=0, estimated_wait_seconds=None),
        "Every seat is sold or held at the moment",
    ),
    "in line, sold out": (sold_out, "Every seat is sold or held at the moment"),
    "in line, nobody knows where": (in_line(end="overloaded"), "Nobody can be told where they stand"),
    "in line, leaving": (in_line(leaving), "Your place would be lost."),
    "line left": (in_line(left), "Your place went to whoever was behind you."),
    "turn over": (in_line(end="queue_turn_over"), "Your turn is over"),
    "in line, sale closed": (in_line(end="sale_closed"), "The sale of this date is closed"),
    "in line, date cancelled": (in_line(end="schedule_cancelled"), "This date is cancelled"),
    "no line, no such date": (at(f"/s/{NOBODY}/queue"), "There is no such date"),
    "held": (held, "If you cannot come"),
    "held, declined": (declined, "It is reported lost."),
    "held, not sent": (not_sent, "you are charged once at most"),
    "held, little time": (booked(status="held", payment=None), "Time left to pay"),
    "held, nobody knows": (booked(status="held", payment={"status": "pending"}), "Do not pay twice."),
    "held, date cancelled": (booked(status="held", payment=None, schedule=CANCELLED), "The performance is cancelled."),
    "confirmed, giving back": (booked(refunding), "You get back"),
    "confirmed, handing on": (booked(press("Hand on")), "Hand seats on"),
    "confirmed, each ticket": (booked(each_ticket), "A code for each seat"),
    "confirmed, history": (booked(history), "Seats held"),
    "confirmed, from somebody else": (booked(handed_on=True), "These seats were handed on to you."),
    "confirmed, date cancelled": (booked(schedule=CANCELLED), "The performance is cancelled."),
    "partly refunded": (booked(status="partially_refunded", refunds=[REFUND]), "on its way"),
    "refunded": (booked(status="refunded", refunds=[REFUND | {"status": "completed"}]), "paid back"),
    "refunded bit by bit": (
        booked(status="refunded", refunds=[REFUND | {"id": f"{number}"} for number in range(4)]),
        "Given back before",
    ),
    "refunded, date cancelled": (booked(status="refunded", schedule=CANCELLED), "The performance is cancelled."),
    "cancelled": (booked(status="cancelled"), "Cancelled"),
    "expired": (booked(status="expired"), "Try the same seats"),
    "handed on": (booked(status="transferred", seats=[]), "Your ticket opens no door any more."),
    "handed on, money back": (refunded_since, "for seats that you paid for and handed on"),
    "no such booking": (at(f"/b/{NOBODY}"), "There is no such booking"),
    "bookings": (at("/bookings"), "To come"),
    "no bookings": (where("**/v1/bookings?*", nothing, "/bookings"), "You have no bookings yet"),
    "account": (at("/account"), "Where you are logged in"),
    "log in": (at("/login"), "I have no account yet"),
    "log in, refused": (wrong_password, "The e-mail or the password is not right."),
    "sign up": (at("/signup"), "I have an account"),
    "sign up, refused": (taken_address, "There is an account with this e-mail already."),
    "forgotten": (at("/forgotten"), "It works for 30 minutes."),
    "new password": (at("/password-resets/no-link"), "Choose a new password"),
    "e-mail, link over": (at("/email-confirmations/no-link"), "This link does not work any more"),
    "offline": (no_line, "You are offline."),
    "online again": (line_again, "You are online again."),
}


async def test_every_page_in_every_state_can_be_used_by_anybody_and_fits_a_narrow_screen(
    make_reader: MakeReader, http: httpx.AsyncClient, sale: Sale
) -> None:
    reader = await make_reader(**SMALL)
    headers = await reader.joins(http)
    assert await reader.walk(STATES, sale, headers, http) == {}
