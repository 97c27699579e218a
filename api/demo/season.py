"""A season to look around in: three houses, seven performances, and one log-in for each role.

`load` fills an empty store once, through the HTTP API like any organizer would, and leaves one alone in which there is
something already. Its administrator is the only thing that HTTP could not make.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import SystemClock
from actors.process.settings import Settings, local_url
from api.demo.venues import VENUES, DemoVenue
from api.office.passwords import hash_password
from engine.decide import MAX_PLACES_PER_BOOKING
from persistence.accounts import accounts
from persistence.database.connection import create_engine

PASSWORD = "boxoffice-demo"  # noqa: S105  # printed at every start
SEOUL = ZoneInfo("Asia/Seoul")
TIMEOUT_SECONDS = 30.0
COMING_BACK = 20


class Login(Struct, frozen=True):
    """Somebody to try the system as."""

    role: str
    email: str
    password: str


class SeasonError(RuntimeError):
    """The demo season could not be loaded; the message holds the answer that was not expected."""


class Evening(Struct, frozen=True):
    """One schedule: how many days from today, and when."""

    days: int
    hour: int
    minute: int = 0


class Show(Struct, frozen=True, kw_only=True):
    """A performance of the season."""

    title: str
    title_en: str
    description: str
    description_en: str
    category: str
    minutes: int
    venue: int  # its place in VENUES
    evenings: tuple[Evening, ...]
    max_seats: int | None = None
    percent: int = 100  # of the house's usual prices
    opens_after: timedelta | None = None  # the sale, after the season was loaded
    left: int | None = None  # seats of each evening that a group has not bought


ORGANIZER = Login("organizer", "organizer@boxoffice.example", PASSWORD)
CUSTOMER = Login("customer", "customer@boxoffice.example", PASSWORD)
# Whose seats are gone when a newcomer looks. One for each such show: a customer's commands in a while are counted.
GROUPS = tuple(Login("customer", f"group-{number}@boxoffice.example", PASSWORD) for number in (1, 2))
ADMIN = Login("admin", "admin@boxoffice.example", PASSWORD)
SEJONG, OPERA, ARENA = range(3)

SEASON: tuple[Show, ...] = (
    Show(
        title="판소리 춘향가 완창",
        title_en="Pansori: The Song of Chunhyang",
        description="동편제 춘향가 여덟 시간 완창, 휴식 두 번.",
        description_en="The whole song in eight hours, with two intermissions.",
        category="gugak",
        minutes=480,
        venue=OPERA,
        evenings=(Evening(17, 13),),
        percent=60,
        left=0,
    ),
    Show(
        title="오페라의 유령",
        title_en="The Phantom of the Opera",
        description="가면 뒤의 목소리. 한국어 자막 제공.",
        description_en="The voice behind the mask; Korean surtitles.",
        category="musical",
        minutes=150,
        venue=SEJONG,
        evenings=(Evening(7, 19, 30), Evening(8, 14), Evening(8, 19)),
        max_seats=6,
    ),
    Show(
        title="말러 교향곡 2번 '부활'",
        title_en="Mahler: Symphony No. 2",
        description="독창, 합창과 대편성 관현악.",
        description_en="Soloists, chorus and a very large orchestra.",
        category="concert",
        minutes=95,
        venue=SEJONG,
        evenings=(Evening(15, 20),),
        percent=80,
        left=16,
    ),
    Show(
        title="카르멘",
        title_en="Carmen",
        description="비제의 4막 오페라, 프랑스어.",
        description_en="Bizet's opera in four acts, sung in French.",
        category="opera",
        minutes=170,
        venue=OPERA,
        evenings=(Evening(10, 19, 30), Evening(12, 19, 30), Evening(13, 15)),
        max_seats=8,
    ),
    Show(
        title="호두까기 인형",
        title_en="The Nutcracker",
        description="온 가족을 위한 발레.",
        description_en="A ballet for the whole family.",
        category="ballet",
        minutes=120,
        venue=OPERA,
        evenings=(Evening(20, 15), Evening(20, 19), Evening(21, 15)),
        percent=90,
    ),
    Show(
        title="서울 라이브 월드 투어",
        title_en="Seoul Live World Tour",
        description="스탠딩석은 입장 번호 순.",
        description_en="Standing room by order of arrival.",
        category="concert",
        minutes=130,
        venue=ARENA,
        evenings=(Evening(24, 18), Evening(25, 17)),
        max_seats=4,
    ),
    Show(
        title="한밤의 국악",
        title_en="Korean Music at Midnight",
        description="가야금, 대금, 판소리.",
        description_en="Gayageum, daegeum and pansori.",
        category="gugak",
        minutes=80,
        venue=SEJONG,
        evenings=(Evening(18, 21, 30),),
        percent=50,
        opens_after=timedelta(minutes=2),
    ),
)


async def load(settings: Settings) -> tuple[Login, ...]:
    """Loads the season into an empty store of the running system. Gives the log-ins, of which there are none where the
    store is somebody's own. Raises `SeasonError`."""
    logins = (CUSTOMER, ORGANIZER, ADMIN)
    url = local_url(settings.host, settings.port)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as client:
        if not await _is_empty(client):
            return logins if await _is_ours(settings) else ()
        await _create_admin(settings)
        for login in (CUSTOMER, *GROUPS, ORGANIZER):
            account = {**_credentials(login), "role": login.role, "name": f"Demo {login.email.partition('@')[0]}"}
            await _post(client, "/v1/accounts", account, unless="email_taken")
        if not await _log_in(client, ORGANIZER):  # a season that somebody has taken over, and emptied
            return ()
        houses = [await _build(client, venue) for venue in VENUES]
        taken = [await _announce(client, show, houses[show.venue], VENUES[show.venue]) for show in SEASON]
        await client.delete("/v1/sessions/current")
        for group, wishes in zip(GROUPS, filter(None, taken), strict=True):
            if await _log_in(client, group):
                await asyncio.gather(*(_buy(client, schedule_id, seats) for schedule_id, seats in wishes))
                await client.delete("/v1/sessions/current")
    return logins


async def _log_in(client: httpx.AsyncClient, login: Login) -> bool:
    """Whether the client is logged in from now on: somebody may have given that account another password."""
    session = await _post(client, "/v1/sessions", _credentials(login), unless="invalid_credentials")
    if session is None:
        return False
    client.headers["Authorization"] = f"Bearer {session['access_token']}"
    return True


async def _build(client: httpx.AsyncClient, venue: DemoVenue) -> str:
    """Registers the house; returns its id."""
    place = {"name": venue.name, "city": venue.city, "address": venue.address, "time_zone": "Asia/Seoul"}
    house = await _post(client, "/v1/venues", {**place, "shared": True, "seating_plan": venue.seating_plan()})
    assert house is not None
    return str(house["id"])


async def _announce(client: httpx.AsyncClient, show: Show, house: str, venue: DemoVenue) -> list[tuple[str, list[str]]]:
    """Registers the performance and puts every evening of it on sale. Gives what groups buy there: schedule, seats."""
    performance = await _post(
        client,
        "/v1/performances",
        {
            "title": show.title,
            "title_en": show.title_en,
            "description": show.description,
            "description_en": show.description_en,
            "category": show.category,
            "duration_minutes": show.minutes,
            "venue_id": house,
        },
    )
    assert performance is not None
    taken: list[tuple[str, list[str]]] = []
    now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, SEOUL)
    today = now.replace(minute=0, second=0, microsecond=0)
    for evening in show.evenings:
        starts_at = today.replace(hour=evening.hour, minute=evening.minute) + timedelta(days=evening.days)
        schedule: dict[str, Any] = {
            "starts_at": starts_at.isoformat(),
            "venue_id": house,
            "currency": "KRW",
            "prices": {name: price * show.percent // 100 for name, price in venue.prices.items()},
        }
        if show.max_seats is not None:
            schedule["max_seats_per_customer"] = show.max_seats
        if show.opens_after is not None:
            schedule["sale_opens_at"] = (now + show.opens_after).isoformat()
        opened = await _post(client, f"/v1/performances/{performance['id']}/schedules", schedule)
        if show.left is not None and opened is not None:
            taken += [(opened["id"], seats) for seats in _all_but(venue, show.left)]
    return taken


def _all_but(venue: DemoVenue, left: int) -> list[list[str]]:
    """All seats of the house but so many, in the plan's order, as many at a time as a booking may have."""
    zones: Any = venue.seating_plan()["zones"]
    seats = [str(seat["seat_guid"]) for zone in zones for row in zone["rows"] for seat in row["seats"]]
    taken = seats[: len(seats) - left]
    return [taken[start : start + MAX_PLACES_PER_BOOKING] for start in range(0, len(taken), MAX_PLACES_PER_BOOKING)]


async def _buy(client: httpx.AsyncClient, schedule_id: str, seats: list[str]) -> None:
    """Holds the seats for whoever is logged in, and pays for them."""
    booking = await _post(client, f"/v1/schedules/{schedule_id}/bookings", {"seats": seats})
    assert booking is not None
    await _post(client, f"/v1/bookings/{booking['id']}/payments", {"method": {"type": "card", "token": "tok_approve"}})


async def _post(
    client: httpx.AsyncClient, path: str, body: object, *, unless: str | None = None
) -> dict[str, Any] | None:
    """What was made; None where it was refused with the code `unless`. Raises `SeasonError` on any other refusal.

    A server that asks to come back later is asked again: a busy machine hashes passwords slowly, and a group buys much.
    """
    for _ in range(COMING_BACK):
        answer = await client.post(path, json=body)
        if answer.status_code not in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS):
            break
        await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
    value: dict[str, Any] = answer.json()
    if answer.status_code == 201:
        return value
    if unless is not None and value.get("code") == unless:
        return None
    raise SeasonError(f"the demo season could not be loaded: POST {path}: {answer.status_code} {answer.text[:300]}")


def _credentials(login: Login) -> dict[str, str]:
    return {"email": login.email, "password": login.password}


async def _is_empty(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/v1/performances", params={"limit": 1})
    if answer.status_code not in (200, 404):
        raise SeasonError(f"GET /v1/performances: {answer.status_code} {answer.text[:300]}")
    return answer.status_code == 404  # catalogue_empty


async def _is_ours(settings: Settings) -> bool:
    """Whether the store holds this season, rather than somebody's real one."""
    async with _database(settings) as engine, engine.connect() as connection:
        return await accounts.by_email(connection, ORGANIZER.email) is not None


async def _create_admin(settings: Settings) -> None:
    async with _database(settings) as engine, engine.begin() as connection:
        with contextlib.suppress(accounts.EmailTaken):
            await accounts.create(
                connection,
                account_id=SystemClock().new_id(),
                email=ADMIN.email,
                password_hash=hash_password(ADMIN.password),
                name="Demo admin",
                role=ADMIN.role,
            )


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings.database, pool_size=1)
    try:
        yield engine
    finally:
        await engine.dispose()
