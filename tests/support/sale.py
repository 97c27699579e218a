"""Opens a sale over HTTP, as an organizer would, for tests that need something to book.

Every call makes accounts, a venue, a performance and a schedule of its own, so tests sharing one stack never meet.
Tests sharing a sale take `fresh` seats.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from tests.support.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from tests.conftest import Stack

PASSWORD = "correct horse battery staple"
COMING_BACK = 20
PRICES = {"VIP": 150_000, "Standard": 55_000, "Standing": 33_000}
_schedule_days = itertools.count(30)  # a venue of one's own per sale, but a date of one's own does no harm


@dataclass(frozen=True, kw_only=True)
class Sale:
    """A schedule on sale. `seats` are the seat ids in the plan's order, `areas` those of the standing areas."""

    schedule_id: str
    performance_id: str
    venue_id: str
    organizer: dict[str, str]  # headers
    seats: tuple[str, ...]
    areas: tuple[str, ...]
    prices: Mapping[str, int]
    starts_at: datetime
    taken: set[str] = field(default_factory=set)  # handed out by `fresh`

    def fresh(self, count: int = 1) -> list[str]:
        """Seats that no other test has been given, from the front."""
        seats = [seat for seat in self.seats if seat not in self.taken][:count]
        assert len(seats) == count, "the sale is too small for its tests"
        self.taken.update(seats)
        return seats

    @property
    def bookings_url(self) -> str:
        return f"/v1/schedules/{self.schedule_id}/bookings"


def small_plan(rows: int = 4, seats_per_row: int = 10, standing: int = 0) -> dict[str, Any]:
    """A plan of one zone: the front half `VIP`, the rest `Standard`; seat ids like `A-1`. Standing room on demand."""
    zone: dict[str, Any] = {"name": "Stalls", "position": {"x": 0, "y": 0}, "rows": []}
    for row in range(rows):
        label = chr(ord("A") + row)
        zone["rows"].append(
            {
                "row_number": label,
                "position": {"x": 0, "y": 40.0 * (row + 1)},
                "seats": [
                    {
                        "seat_guid": f"{label}-{number}",
                        "seat_number": str(number),
                        "position": {"x": 25.0 * number, "y": 0},
                        "category": "VIP" if row < rows // 2 else "Standard",
                    }
                    for number in range(1, seats_per_row + 1)
                ],
            }
        )
    names = ["VIP", "Standard"]
    if standing:
        names.append("Standing")
        area = {"guid": "floor", "name": "Floor", "category": "Standing", "capacity": standing}
        zone["general_admission"] = [area]
    return {
        "name": "Small house",
        "size": {"width": 400, "height": 400},
        "categories": [{"name": name, "color": "#336699"} for name in names],
        "zones": [zone],
    }


async def sign_up(http: httpx.AsyncClient, role: str = "customer") -> dict[str, str]:
    """A new account, logged in: the headers that prove it."""
    credentials = {"email": f"{role}-{uuid4().hex}@example.com", "password": PASSWORD}
    await patient(http, "/v1/accounts", {**credentials, "role": role})
    return await log_in(http, credentials)


async def log_in_admin(http: httpx.AsyncClient, stack: Stack) -> dict[str, str]:
    """The stack's admin, logged in."""
    return await log_in(http, {"email": stack.admin_email, "password": stack.admin_password})


async def log_in(http: httpx.AsyncClient, credentials: Mapping[str, str]) -> dict[str, str]:
    """The headers of somebody who is logged in."""
    session = await patient(http, "/v1/sessions", credentials)
    return {"Authorization": f"Bearer {session.json()['access_token']}"}


async def patient(http: httpx.AsyncClient, path: str, body: Mapping[str, str]) -> httpx.Response:
    """Makes something; asks again where the server says to come back: a busy machine hashes passwords slowly."""
    for _ in range(COMING_BACK):
        answer = await http.post(path, json=body)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        await asyncio.sleep(float(answer.headers["Retry-After"]))
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return answer


async def open_sale(
    http: httpx.AsyncClient,
    *,
    plan: Mapping[str, Any] | None = None,
    prices: Mapping[str, int] | None = None,
    organizer: dict[str, str] | None = None,
    **schedule_fields: Any,
) -> Sale:
    """A schedule on sale now; `schedule_fields` go into the request as they are."""
    document = small_plan() if plan is None else plan
    names = [category["name"] for category in document["categories"]]
    prices = {name: PRICES.get(name, 55_000) for name in names} if prices is None else prices
    headers = await sign_up(http, "organizer") if organizer is None else organizer
    venue = await http.post("/v1/venues", json={"name": "A house", "seating_plan": document}, headers=headers)
    assert venue.status_code == 201, venue.text
    performance = await http.post(
        "/v1/performances", json={"title": f"Performance {uuid4().hex}", "duration_minutes": 90}, headers=headers
    )
    assert performance.status_code == 201, performance.text
    schedule = await _put_on_sale(
        http, performance.json()["id"], venue.json()["id"], headers, prices=dict(prices), **schedule_fields
    )
    return Sale(
        schedule_id=schedule["id"],
        performance_id=performance.json()["id"],
        venue_id=venue.json()["id"],
        organizer=headers,
        seats=tuple(seat["seat_guid"] for zone in document["zones"] for row in zone["rows"] for seat in row["seats"]),
        areas=tuple(area["guid"] for zone in document["zones"] for area in zone.get("general_admission", ())),
        prices=prices,
        starts_at=datetime.fromisoformat(schedule["starts_at"]),
    )


async def another_date(http: httpx.AsyncClient, sale: Sale, **schedule_fields: Any) -> Sale:
    """Another date of the same performance, in the same house, on sale now."""
    of = (sale.performance_id, sale.venue_id, sale.organizer)
    schedule = await _put_on_sale(http, *of, **{"prices": sale.prices} | schedule_fields)
    starts_at = datetime.fromisoformat(schedule["starts_at"])
    return replace(sale, schedule_id=schedule["id"], starts_at=starts_at, taken=set())


async def _put_on_sale(
    http: httpx.AsyncClient,
    performance_id: str,
    venue_id: str,
    organizer: dict[str, str],
    **schedule_fields: Any,
) -> dict[str, Any]:
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=next(_schedule_days))
    body = {
        "starts_at": starts_at.isoformat(),
        "venue_id": venue_id,
        "currency": "KRW",
        **schedule_fields,
    }
    schedule = await http.post(f"/v1/performances/{performance_id}/schedules", json=body, headers=organizer)
    assert schedule.status_code == 201, schedule.text
    made: dict[str, Any] = schedule.json()
    return made


async def begin(http: httpx.AsyncClient, sale: Sale) -> None:
    """Has the sale's date begin. It must lie ahead when the server is told, however long that takes on this machine."""
    for ahead in (1, 5, 25, 125):
        starts_at = datetime.now(UTC) + timedelta(seconds=ahead)
        body = {"starts_at": starts_at.isoformat()}
        answer = await http.patch(f"/v1/schedules/{sale.schedule_id}", json=body, headers=sale.organizer)
        if answer.status_code != httpx.codes.UNPROCESSABLE_ENTITY:
            break
    assert answer.status_code == httpx.codes.OK, answer.text
    await until(lambda: datetime.now(UTC) > starts_at, ahead + PATIENCE_SECONDS)


async def hold(
    http: httpx.AsyncClient, sale: Sale, headers: Mapping[str, str], *seats: str, **wish: Any
) -> dict[str, Any]:
    """A held booking of these seats, or of what `wish` asks for."""
    answer = await http.post(sale.bookings_url, json={"seats": seats} if seats else wish, headers=headers)
    assert answer.status_code == 201, answer.text
    booking: dict[str, Any] = answer.json()
    return booking


async def pay(
    http: httpx.AsyncClient, booking: Mapping[str, Any], headers: Mapping[str, str], token: str = "tok_approve"
) -> httpx.Response:
    """The answer to paying for the booking with a sandbox token."""
    body = {"method": {"type": "card", "token": token}}
    return await http.post(f"/v1/bookings/{booking['id']}/payments", json=body, headers=headers)


async def paid_booking(
    http: httpx.AsyncClient, sale: Sale, headers: Mapping[str, str], *seats: str, token: str = "tok_approve"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A booking of these seats, and the payment that confirmed it."""
    answer = await pay(http, await hold(http, sale, headers, *seats), headers, token)
    payment: dict[str, Any] = answer.json()
    booking: dict[str, Any] = payment.pop("booking")
    if answer.status_code == httpx.codes.ACCEPTED:  # on a busy machine the provider's answer may come too late
        booking, payment = await _confirmed(http, booking, payment, headers)
    else:
        assert answer.status_code == httpx.codes.CREATED, answer.text
    return booking, payment


async def _confirmed(
    http: httpx.AsyncClient, booking: dict[str, Any], payment: dict[str, Any], headers: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both as they are once it is known what has become of a pending payment."""

    async def known() -> bool:
        nonlocal booking, payment
        payment = await read(http, f"/v1/payments/{payment['id']}", headers)
        booking = await read(http, f"/v1/bookings/{booking['id']}", headers)
        return bool(booking["status"] == "confirmed")

    await until(known)
    return booking, payment


async def refund(
    http: httpx.AsyncClient, payment: Mapping[str, Any], headers: Mapping[str, str], *seats: str, **wish: Any
) -> httpx.Response:
    """The answer to giving these seats back, or all that are left."""
    body = ({"seats": seats} if seats else {}) | wish
    return await http.post(f"/v1/payments/{payment['id']}/refunds", json=body, headers=headers)


async def read(http: httpx.AsyncClient, url: str, headers: Mapping[str, str], **query: Any) -> dict[str, Any]:
    """What is at the address."""
    answer = await http.get(url, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def free_seats(http: httpx.AsyncClient, sale: Sale) -> set[str]:
    """The ids of the seats that readers are shown as free."""
    answer = await http.get(f"/v1/schedules/{sale.schedule_id}/seats")
    assert answer.status_code == 200, answer.text
    return {seat["id"] for seat in answer.json()["seats"] if seat["state"] == "free"}


async def shown(http: httpx.AsyncClient, sale: Sale, seats: Iterable[str], free: bool) -> None:
    """Waits until readers are shown each of these seats as free, or none of them: they are told a moment later."""
    wanted = set(seats)

    async def as_said() -> bool:
        seen = wanted & await free_seats(http, sale)
        return seen == (wanted if free else set())

    await until(as_said)


def refused(answer: httpx.Response, status: int, code: str) -> None:
    """Whether it is refused as expected, or because this client has been refused too often by now."""
    problem(answer, *((status, code) if answer.status_code != 429 else (429, "rate_limited")))


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, after checking that it is the one expected and is a whole one."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    document: dict[str, Any] = answer.json()
    assert document["code"] == code, document
    assert document["status"] == status
    assert document["type"]
    assert document["title"]
    assert document["instance"] == answer.request.url.path
    assert status != 422 or all(each["field"] and each["message"] for each in document["errors"]), document
    return document


def seat_ids(booking: Mapping[str, Any]) -> Sequence[str]:
    return [seat["id"] for seat in booking["seats"]]
