"""What a list of performances says of each: where, when, from how much, how its sale stands, what is left of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from actors.seats import seats_left
from actors.seats.copies import Availability, CategoryCount
from actors.seats.seats_left import Places, SeatsLeft
from persistence.catalogue.overview import COUNTED, OnSale, Overview
from tests.api.conftest import Worker
from tests.support.sale import hold, open_sale, read, small_plan
from tests.support.waiting import until

NOON = (datetime.now(UTC) + timedelta(days=40)).replace(hour=3, minute=0, second=0, microsecond=0)  # 12:00 in Seoul


async def venue(worker: Worker, headers: dict[str, str], **place: Any) -> dict[str, Any]:
    body = {"name": "House", "seating_plan": small_plan(), **place}
    answer = await worker.http.post("/v1/venues", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def performance(worker: Worker, headers: dict[str, str], **said: Any) -> dict[str, Any]:
    body = {"title": uuid4().hex, "duration_minutes": 90, **said}
    answer = await worker.http.post("/v1/performances", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def schedule(worker: Worker, headers: dict[str, str], of: str, at: str, **terms: Any) -> dict[str, Any]:
    body = {
        "starts_at": NOON.isoformat(),
        "venue_id": at,
        "currency": "KRW",
        "prices": {"VIP": 150_000, "Standard": 55_000},
        **terms,
    }
    answer = await worker.http.post(f"/v1/performances/{of}/schedules", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def listed(worker: Worker, made: dict[str, Any]) -> dict[str, Any]:
    """The performance as the list has it, which is what it says of itself."""
    page = await read(worker.http, "/v1/performances", {}, q=made["title"])
    (item,) = page["items"]
    assert item == await read(worker.http, f"/v1/performances/{made['id']}", {})
    found: dict[str, Any] = item
    return found


async def test_nothing_is_said_of_what_is_not_scheduled(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    made = await performance(worker, organizer)
    assert await listed(worker, made) == made
    assert (made["venue"], made["dates"], made["from_price"], made["sale"]) == (None, None, None, None)
    assert (made["seats_left"], made["capacity_on_sale"]) == (0, 0)


async def test_an_item_says_what_its_schedules_come_to(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    house = await venue(worker, organizer, name="Opera", city="Busan", time_zone="Asia/Seoul")
    made = await performance(worker, organizer, title_en=f"The {uuid4().hex}", picture_url="https://example.com/a.jpg")
    for days, cheapest in ((0, 55_000), (1, 33_000), (3, 44_000)):
        starts_at = (NOON + timedelta(days=days)).isoformat()
        prices = {"VIP": 150_000, "Standard": cheapest}
        await schedule(worker, organizer, made["id"], house["id"], starts_at=starts_at, prices=prices)
    item = await listed(worker, made)
    assert item["venue"] == {"id": house["id"], "name": "Opera", "city": "Busan", "time_zone": "Asia/Seoul"}
    assert item["dates"]["count"] == 3
    assert datetime.fromisoformat(item["dates"]["first"]) == datetime.fromisoformat(item["dates"]["next"]) == NOON
    assert datetime.fromisoformat(item["dates"]["last"]) == NOON + timedelta(days=3)
    assert item["from_price"] == {"amount": 33_000, "currency": "KRW"}
    assert item["sale"] == {"state": "on_sale", "opens_at": None}
    assert item["seats_left"] == item["capacity_on_sale"] == 3 * 40
    assert (item["title_en"], item["picture_url"]) == (made["title_en"], "https://example.com/a.jpg")


async def test_a_picture_is_at_an_address(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    http, script, blank = "http://example.com/a.jpg", "javascript:alert(1)", "https://example.com/ a.jpg"
    nowhere, half, port, secret = "https:///a.jpg", "https://[::1", "https://x:port/", "https://me:secret@example.com/"
    for url in (http, script, blank, nowhere, half, port, secret, "https://", ""):
        body = {"title": uuid4().hex, "picture_url": url}
        answer = await worker.http.post("/v1/performances", json=body, headers=organizer)
        assert answer.status_code == 422, url


async def test_a_schedule_says_what_is_played_where_and_in_which_zone(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    house = await venue(worker, organizer, name="Met", city="New York", time_zone="America/New_York")
    made = await performance(worker, organizer, title_en="Tosca in English")
    of = await schedule(worker, organizer, made["id"], house["id"])
    said = {
        "performance_title": made["title"],
        "performance_title_en": "Tosca in English",
        "venue_name": "Met",
        "venue_city": "New York",
        "time_zone": "America/New_York",
    }
    assert of.items() >= said.items()
    assert (await read(worker.http, f"/v1/schedules/{of['id']}", {})).items() >= said.items()
    page = await read(worker.http, f"/v1/performances/{made['id']}/schedules", {})
    assert page["items"][0].items() >= said.items()


async def test_the_sale_of_a_performance_is_that_of_its_schedules(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    house = await venue(worker, organizer)
    opens_at = (NOON - timedelta(days=20)).isoformat(timespec="milliseconds")
    made = await performance(worker, organizer)
    later = await schedule(worker, organizer, made["id"], house["id"], sale_opens_at=opens_at)
    item = await listed(worker, made)
    assert (item["sale"], item["seats_left"], item["capacity_on_sale"]) == (
        {"state": "scheduled", "opens_at": opens_at},
        0,
        0,
    )
    now = (NOON + timedelta(days=1)).isoformat()
    await schedule(worker, organizer, made["id"], house["id"], starts_at=now)
    item = await listed(worker, made)
    assert (item["sale"]["state"], item["seats_left"], item["capacity_on_sale"]) == ("on_sale", 40, 40)
    for one in (
        later["id"],
        (await read(worker.http, f"/v1/performances/{made['id']}/schedules", {}))["items"][1]["id"],
    ):
        body = {"reason": "ill"}
        answer = await worker.http.post(f"/v1/organizer/schedules/{one}/cancellation", json=body, headers=organizer)
        assert answer.status_code in (200, 201, 202), answer.text
    item = await listed(worker, made)
    assert (item["sale"]["state"], item["dates"], item["from_price"]) == ("cancelled", None, None)


async def test_seats_left_follow_the_sale_and_end_in_sold_out(worker: Worker) -> None:
    sale = await open_sale(worker.http, plan=small_plan(rows=1, seats_per_row=4))
    url, seats = f"/v1/performances/{sale.performance_id}", sale.seats
    customer = await worker.sign_up()

    async def shows(left: int, state: str) -> None:
        async def shown() -> bool:
            worker.office.seats_left._known.clear()  # as some seconds do
            item = await read(worker.http, url, {})
            assert item["capacity_on_sale"] == 4
            return bool(item["seats_left"] == left and item["sale"]["state"] == state)

        await until(shown)

    await shows(4, "on_sale")
    await hold(worker.http, sale, customer, seats[0])
    await shows(3, "on_sale")
    await hold(worker.http, sale, customer, *seats[1:])
    await shows(0, "sold_out")


async def test_facets_are_what_there_is_to_choose_from(fresh_worker: Worker) -> None:
    organizer = await fresh_worker.sign_up("organizer")
    first = datetime(NOON.year + 1, 3, 1, 3, tzinfo=UTC)  # the 28th or 29th of February in Honolulu
    honolulu = {"city": "Honolulu", "time_zone": "Pacific/Honolulu"}
    for category, place in (
        ("opera", {"city": "Seoul"}),
        ("Opera", honolulu),
        ("ballet", {"city": "Seoul"}),
        (None, {}),
    ):
        made = await performance(fresh_worker, organizer, category=category)
        house = await venue(fresh_worker, organizer, **place)
        for days in (0, 2):
            starts_at = (first + timedelta(days=days)).isoformat()
            await schedule(fresh_worker, organizer, made["id"], house["id"], starts_at=starts_at)
    await performance(fresh_worker, organizer, category="never played")
    facets = await read(fresh_worker.http, "/v1/performances/facets", {})
    assert [(each["value"].lower(), each["count"]) for each in facets["categories"]] == [("ballet", 1), ("opera", 2)]
    assert facets["cities"] == [{"value": "Honolulu", "count": 1}, {"value": "Seoul", "count": 2}]
    months = {each["value"]: each["count"] for each in facets["months"]}
    assert months == {f"{first.year}-02": 1, f"{first.year}-03": 4}
    for city, count in (("seoul", 2), ("Honolulu", 1), ("Busan", 0)):
        assert len((await read(fresh_worker.http, "/v1/performances", {}, city=city))["items"]) == count


# --- counts -----------------------------------------------------------------------------------------------------------
def on_sale(*schedules: OnSale, count: int | None = None) -> Overview:
    return Overview(on_sale=list(schedules), on_sale_count=len(schedules) if count is None else count)


class Houses:
    """Counts what it is asked for. Schedules called `away` cannot be read."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def availability(self, schedule_id: str) -> Availability:
        self.asked.append(schedule_id)
        if schedule_id == "away":
            raise ConnectionError("the journal is away")
        counts = {"R": CategoryCount(15, 7, 1, 2, 5), "House seats": CategoryCount(3, 3, 0, 0, 0)}
        return Availability(5, counts)


async def test_what_is_not_for_sale_is_not_left_and_no_more_a_place_than_what_is_blocked() -> None:
    counts = SeatsLeft(Houses().availability)
    found = await counts.of({"p": on_sale(OnSale("a", None, ["House seats"]), OnSale("b", 40, []))})
    assert found == {"p": Places(7 + 40, 10 + 40)}


async def test_a_sum_that_is_not_whole_is_none() -> None:
    houses = Houses()
    counts = SeatsLeft(houses.availability)
    many = on_sale(OnSale("c", 1, []), count=COUNTED + 1)
    found = await counts.of({"p": on_sale(OnSale("away", None, []), OnSale("b", 40, [])), "q": many, "r": on_sale()})
    assert found == {"p": None, "q": None, "r": Places(0, 0)}


async def test_a_count_is_kept_for_some_seconds_and_a_page_counts_so_many() -> None:
    houses, clock = Houses(), [100.0]
    counts = SeatsLeft(houses.availability, now=lambda: clock[0])
    one = {"p": on_sale(OnSale("a", None, []))}
    for _ in range(3):
        assert await counts.of(one) == {"p": Places(10, 13)}
    assert houses.asked == ["a"]
    clock[0] += seats_left.PATIENCE_SECONDS
    await counts.of(one)
    assert houses.asked == ["a", "a"]
    page = {f"p{n}": on_sale(OnSale(f"s{n}", None, [])) for n in range(seats_left.PER_PAGE + 1)}
    assert list((await counts.of(page)).values()) == [Places(10, 13)] * seats_left.PER_PAGE + [None]
    assert list((await counts.of(page)).values()) == [Places(10, 13)] * (seats_left.PER_PAGE + 1)
