"""What becomes of a line while its house changes the date, and while something that the line needs is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.office.limits import COMMANDS_PER_WINDOW, Limits
from persistence.seats.line import BACK_MS
from persistence.seats.redis_line import RedisLine
from tests.api.routes.bookings.queue_events import events_of
from tests.api.routes.bookings.queue_house import House, Person, before, later
from tests.support.sale import Sale, begin, hold, open_sale, problem, read
from tests.support.waiting import until

NOWHERE = "redis://127.0.0.1:1"
HOUR_MS = 3_600_000


# --- what the house does meanwhile ------------------------------------------------------------------------------------
async def test_the_waiting_room_is_switched_on_and_off_while_people_wait_and_hold(house: House) -> None:
    sale = await open_sale(house.http)
    early, late, holding = house.person(), house.person(), house.person()
    assert (await early.join(sale))["pass"] is None
    booking = await hold(house.http, sale, holding.headers, quantity=1)
    house.let_in(1)
    await house.set(sale, waiting_room=True, hold_seconds=900)
    assert (await read(house.http, f"/v1/schedules/{sale.schedule_id}", {}))["waiting_room"] is True
    assert (await read(house.http, f"/v1/schedules/{sale.schedule_id}/states", {}))["waiting_room"] is True
    assert await house.ask(sale, early.headers) == 403
    assert (
        await house.http.post(f"/v1/bookings/{booking['id']}/extension", headers=holding.headers)
    ).status_code == 201
    assert (await early.join(sale))["status"] == "admitted"
    assert (await late.join(sale))["status"] == "waiting"
    await house.set(sale, waiting_room=False)
    assert (await late.look())["status"] == "admitted"
    assert await house.ask(sale, late.headers) == 201
    await house.set(sale, waiting_room=True)
    assert (await late.look())["status"] == "waiting"
    assert await house.ask(sale, early.with_pass) == 201


async def test_every_date_of_a_run_has_the_waiting_room(house: House) -> None:
    sale = await open_sale(house.http, waiting_room=True, recurrence="FREQ=DAILY;COUNT=3")
    page = await read(house.http, f"/v1/performances/{sale.performance_id}/schedules", {})
    assert [each["waiting_room"] for each in page["items"]] == [True, True, True]


async def closed(house: House, sale: Sale) -> None:
    closes_at = datetime.now(UTC) + timedelta(milliseconds=1)
    await house.set(sale, sale_closes_at=closes_at.isoformat())
    await until(lambda: datetime.now(UTC) > closes_at)


async def begun(house: House, sale: Sale) -> None:
    await begin(house.http, sale)


async def cancelled(house: House, sale: Sale) -> None:
    url = f"/v1/organizer/schedules/{sale.schedule_id}/cancellation"
    assert (await house.http.post(url, json={"reason": "ill"}, headers=sale.organizer)).is_success


async def deleted(house: House, sale: Sale) -> None:
    assert (await house.http.delete(f"/v1/schedules/{sale.schedule_id}", headers=sale.organizer)).status_code == 204


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        (closed, 409, "sale_closed"),
        (begun, 409, "sale_closed"),
        (cancelled, 409, "schedule_cancelled"),
        (deleted, 404, "schedule_not_found"),
    ],
)
async def test_whoever_waits_for_what_is_over_is_told(
    house: House, what: Callable[[House, Sale], Awaitable[None]], status: int, code: str
) -> None:
    sale, person = await open_sale(house.http, waiting_room=True), house.person()
    house.let_in(1)
    await house.person().join(sale)
    assert (await person.join(sale))["status"] == "waiting"
    await what(house, sale)
    await person.cannot_look(status, code)
    joined = await house.http.post(f"/v1/schedules/{sale.schedule_id}/queue", headers=person.headers)
    problem(joined, status, code)
    events = await streamed(house, person)
    assert [name for name, _ in events] == ["over"]
    assert events[0][1]["code"] == code
    assert (await house.http.delete(person.location, headers=person.headers)).status_code == 204


async def test_whoever_waits_stays_in_line_when_the_date_or_the_opening_moves(house: House) -> None:
    sale = await open_sale(house.http, waiting_room=True, sale_opens_at=later(hours=2))
    people = [house.person() for _ in range(4)]
    house.let_in(1)
    for person in people:
        await person.join(sale)
    await house.set(sale, starts_at=later(days=50))
    house.clock.ahead_ms += HOUR_MS
    assert {(await person.look())["status"] for person in people} == {"waiting"}
    await house.set(sale, sale_opens_at=None)
    for person in people:
        await person.look()
    statuses = sorted([(await person.look())["status"] for person in people])
    assert statuses == ["admitted", "waiting", "waiting", "waiting"]


# --- when something is away -------------------------------------------------------------------------------------------
async def test_a_line_lost_in_the_middle_is_the_same_again_when_people_look(house: House) -> None:
    opens_at = later(hours=1)
    sale = await open_sale(house.http, waiting_room=True, sale_opens_at=opens_at)
    people = [house.person() for _ in range(12)]
    house.let_in(1)
    house.clock.stop(before(opens_at, 10))
    for person in people[:8]:
        await person.join(sale)
    house.clock.stop(before(opens_at, -10))
    for person in people[8:]:
        await person.join(sale)
    order = await stand(people)
    await house.lose_lines(sale)
    await stand(people[::-1])
    assert await stand(people) == order
    house.clock.stop(before(opens_at, -11 - BACK_MS / 1000))
    await stand(people[::-1])
    assert [person.id for person in people if (await person.look())["status"] == "admitted"] == order[:1]


async def stand(people: Sequence[Person]) -> list[str]:
    """Who stands where, the first one first."""
    for person in people:
        await person.look()
    places = [(await person.look(), person) for person in people]
    return [person.id for place, person in sorted(places, key=lambda each: each[0]["position"] or 0)]


async def test_while_redis_is_away_nobody_is_told_where_they_stand_and_whoever_is_in_holds(house: House) -> None:
    sale, person, plain = await open_sale(house.http, waiting_room=True), house.person(), await open_sale(house.http)
    await person.join(sale)
    away = RedisLine(NOWHERE)
    house.change(line=away)
    assert await house.queue_of(sale) is None
    for answer in (
        await house.http.get(person.location, headers=person.headers),
        await house.http.post(f"/v1/schedules/{sale.schedule_id}/queue", headers=house.person().headers),
        await house.http.delete(person.location, headers=person.headers),
    ):
        assert problem(answer, 503, "overloaded")["reason"] == "waiting_room"
        assert int(answer.headers["Retry-After"]) > 0
    await hold(house.http, sale, person.with_pass, quantity=1)
    await hold(house.http, plain, person.headers, quantity=1)
    assert (await house.person().join(plain))["status"] == "admitted"
    await away.close()


async def streamed(house: House, person: Person) -> list[tuple[str, dict[str, Any]]]:
    """What a stream that ends by itself has told."""
    answer = await house.http.get(f"{person.location}/stream", headers=person.headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return events_of(answer.content)


async def test_a_stream_ends_when_one_is_admitted(house: House) -> None:
    sale, person = await open_sale(house.http, waiting_room=True), house.person()
    place = await person.join(sale)
    assert await streamed(house, person) == [("admitted", place)]


async def test_whoever_looks_far_too_often_is_told_to_slow_down(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.office.limits.WINDOW_SECONDS", 3_600)  # this machine may be slow
    sale, person = await open_sale(house.http, waiting_room=True), house.person()
    await person.join(sale)
    limits = Limits(house.redis_url, enabled=True)
    house.change(limits=limits)
    for _ in range(COMMANDS_PER_WINDOW["customer"]):
        await person.look()
    refused = await person.cannot_look(429, "rate_limited")
    assert refused["retry_after"] > 0
    await limits.close()
