"""A waiting room over HTTP: a place in line that is one's own, a pass, and seats for whoever has one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from api.office.queue_tickets import QueueTickets
from persistence.seats.line import PASS_MS, TURN_MS
from tests.api.routes.bookings.queue_house import House, before, groups_of, later
from tests.support.sale import Sale, hold, open_sale, problem, read, small_plan
from tests.support.waiting import until

CROWD = 500
LINES = {"Content-Type": "application/x-ndjson"}


# --- joining ----------------------------------------------------------------------------------------------------------
async def test_out_of_a_rush_one_is_admitted_by_joining_and_holds(house: House) -> None:
    sale, person = await open_sale(house.http, waiting_room=True), house.person()
    refused = await house.http.post(sale.bookings_url, json={"quantity": 2}, headers=person.headers)
    url = problem(refused, 403, "queue_pass_required")["queue_url"]
    assert url == f"/v1/schedules/{sale.schedule_id}/queue"
    place = await person.join(sale)
    assert (place["status"], place["ahead"], place["position"], place["opens_at"]) == ("admitted", None, None, None)
    assert await person.look() == place == await person.join(sale)
    booking = await hold(house.http, sale, person.with_pass, quantity=2)
    assert booking["status"] == "held"
    assert await person.look() == place, "seats may be added as long as the pass is good"


async def test_before_the_opening_one_is_told_how_many_are_here_and_from_then_on_where_one_stands(house: House) -> None:
    sale = await open_sale(house.http, waiting_room=True, sale_opens_at=later(hours=1))
    people = [house.person() for _ in range(5)]
    for number, person in enumerate(people, start=1):
        place = await person.join(sale)
        assert (place["status"], place["waiting"], place["pass"]) == ("waiting", number, None)
        assert (place["position"], place["ahead"], place["estimated_wait_seconds"]) == (None, None, None)
        assert place["look_again_seconds"] == 15
    again = [(await person.join(sale))["ticket"] for person in people]
    assert again == [person.location.rpartition("/")[2] for person in people]
    house.let_in(1)
    house.clock.stop(before(place["opens_at"], 4.2))
    assert [(await person.look())["look_again_seconds"] for person in people] == [5] * 5
    house.clock.stop(before(place["opens_at"], -1))
    places = [await person.look() for person in (*people, *people)][-5:]
    waiting = sorted((place for place in places if place["status"] == "waiting"), key=lambda place: place["ahead"])
    assert [(place["ahead"], place["position"]) for place in waiting] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    waits = [place["estimated_wait_seconds"] for place in waiting]
    assert waits == sorted(waits)
    assert waits[0] > 0
    assert [place["look_again_seconds"] for place in waiting] == [min(15, max(1, wait // 4)) for wait in waits]


async def test_a_schedule_without_a_waiting_room_and_a_box_office_need_no_pass(house: House) -> None:
    without, having = await open_sale(house.http), await open_sale(house.http, waiting_room=True)
    house.let_in(1)
    await house.person().join(having)
    for sale, person in ((without, house.person()), (having, house.person("box_office"))):
        place = await person.join(sale)
        assert (place["status"], place["pass"]) == ("admitted", None)
        assert await person.look() == place
        await hold(house.http, sale, person.headers, quantity=1)


async def test_only_who_buys_joins(house: House) -> None:
    sale = await open_sale(house.http, waiting_room=True)
    url = f"/v1/schedules/{sale.schedule_id}/queue"
    problem(await house.http.post(url), 401, "unauthenticated")
    problem(await house.http.post(url, headers=sale.organizer), 403, "forbidden")
    problem(
        await house.http.post(f"/v1/schedules/{uuid4()}/queue", headers=house.person().headers),
        404,
        "schedule_not_found",
    )


async def test_a_crowd_at_an_opening_stands_in_one_order_that_all_agree_with(house: House) -> None:
    opens_at, plan = later(hours=1), small_plan(standing=CROWD)
    sale = await open_sale(house.http, plan=plan, waiting_room=True, sale_opens_at=opens_at)
    people = [house.person() for _ in range(CROWD)]
    early, late = people[: CROWD // 2], people[CROWD // 2 :]
    house.let_in(1)
    house.clock.stop(before(opens_at, 10))
    for group in groups_of(early):
        await asyncio.gather(*(person.join(sale) for person in group))
    for seconds, group in enumerate(groups_of(late)):
        house.clock.stop(before(opens_at, -1 - seconds))
        await asyncio.gather(*(person.join(sale) for person in group))
    places: dict[str, int] = {}
    for group in groups_of(people):
        for person, place in zip(group, await asyncio.gather(*(person.look() for person in group)), strict=True):
            places[person.id] = -1 if place["ahead"] is None else place["ahead"]
    assert sorted(places.values()) == list(range(-1, CROWD - 1)), "two at one place, or at none"
    assert max(places[person.id] for person in early) < min(places[person.id] for person in late)
    arrived = [sorted(places[person.id] for person in group) for group in groups_of(late)]
    assert all(one[-1] < next_[0] for one, next_ in pairwise(arrived))
    assert [places[person.id] for person in early] != sorted(places[person.id] for person in early), "not by arrival"
    house.let_in(200)
    for person in random.Random(7).sample(people, 150):
        assert ((await person.look())["status"] == "admitted") == (places[person.id] < 199)


# --- passes and tickets -----------------------------------------------------------------------------------------------
Way = Callable[[House, Sale, Mapping[str, str]], Awaitable[int]]


async def by_the_long_way(house: House, sale: Sale, headers: Mapping[str, str]) -> int:
    return (await house.http.post(f"{sale.bookings_url}?long=", json={"quantity": 1}, headers=headers)).status_code


async def in_a_batch(house: House, sale: Sale, headers: Mapping[str, str]) -> int:
    body = {"wishes": [{"quantity": 1}, {"quantity": 1}]}
    answer = await house.http.post(f"{sale.bookings_url}:batch", json=body, headers=headers)
    return same(each["status"] for each in answer.json()["answers"])


async def line_by_line(house: House, sale: Sale, headers: Mapping[str, str]) -> int:
    wishes = b'{"quantity": 1, "id": "%s"}\n{"quantity": 1}\n' % uuid4().hex.encode()
    answer = await house.http.post(f"{sale.bookings_url}:batch", content=wishes, headers={**headers, **LINES})
    return same(msgspec.json.decode(line)["status"] for line in answer.content.splitlines())


def same(statuses: Any) -> int:
    (status,) = set(statuses)
    return int(status)


@pytest.mark.parametrize("way", [House.ask, by_the_long_way, in_a_batch, line_by_line])
async def test_seats_are_held_with_a_pass_of_ones_own_that_is_not_over_and_with_nothing_else(
    house: House, way: Way
) -> None:
    sale = await open_sale(house.http, waiting_room=True)
    other_sale = await open_sale(house.http, waiting_room=True, organizer=sale.organizer)
    person, other = house.person(), house.person()
    place = await person.join(sale)
    await other.join(sale)
    elsewhere = (await person.join(other_sale))["pass"]
    good = place["pass"]
    forged = QueueTickets(["another secret of 32 characters."]).queue_pass(sale.schedule_id, person.id, 2**50)
    bad = [None, "", "x", good[:-1], f"{good}A", good.swapcase(), other.queue_pass, elsewhere, forged, place["ticket"]]
    for queue_pass in bad:
        headers = person.headers if queue_pass is None else {**person.headers, "Queue-Pass": queue_pass}
        assert await way(house, sale, headers) == 403, queue_pass
    assert await way(house, sale, {**person.headers, "Queue-Pass": good}) == 201
    assert await way(house, sale, house.person("box_office").headers) == 201
    house.clock.ahead_ms += PASS_MS
    assert await way(house, sale, {**person.headers, "Queue-Pass": good}) == 403
    mine = [await read(house.http, "/v1/bookings", each.headers) for each in (person, other)]
    assert [len(each["items"]) for each in mine] == [1 if way in (House.ask, by_the_long_way) else 2, 0]


async def test_what_happens_to_seats_that_one_has_needs_no_pass_but_coming_from_another_date_does(house: House) -> None:
    plain = await open_sale(house.http, plan=small_plan())
    sale = await open_sale(house.http, waiting_room=True, organizer=plain.organizer)
    person = house.person()
    await person.join(sale)
    booking = await hold(house.http, sale, person.with_pass, "A-1")
    url = f"/v1/bookings/{booking['id']}"
    changed = await house.http.patch(url, json={"seats": ["A-2"]}, headers=person.headers)
    assert changed.status_code == 200, changed.text
    assert (await house.http.post(f"{url}/extension", headers=person.headers)).status_code == 201
    elsewhere = await hold(house.http, plain, person.headers, "A-1")
    move = {"seats": ["A-3"], "schedule_id": sale.schedule_id}
    moved = await house.http.patch(f"/v1/bookings/{elsewhere['id']}", json=move, headers=person.headers)
    problem(moved, 403, "queue_pass_required")
    assert (await house.http.delete(url, headers=person.headers)).status_code in (200, 201, 204)


async def test_a_hold_sent_again_has_its_first_answer_when_the_pass_is_over(house: House) -> None:
    sale, person = await open_sale(house.http, waiting_room=True), house.person()
    await person.join(sale)
    headers = {**person.with_pass, "Idempotency-Key": uuid4().hex}
    first = await house.http.post(sale.bookings_url, json={"quantity": 1}, headers=headers)
    assert first.status_code == 201, first.text
    house.clock.ahead_ms += PASS_MS
    again = await house.http.post(sale.bookings_url, json={"quantity": 1}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    headers["Idempotency-Key"] = uuid4().hex
    problem(await house.http.post(sale.bookings_url, json={"quantity": 1}, headers=headers), 403, "queue_pass_required")


@pytest.mark.parametrize(("method", "what"), [("GET", ""), ("GET", "/stream"), ("DELETE", "")])
async def test_only_a_ticket_of_ones_own_is_a_ticket(house: House, method: str, what: str) -> None:
    sale, person, other = await open_sale(house.http, waiting_room=True), house.person(), house.person()
    ticket = (await person.join(sale))["ticket"]
    theirs = (await other.join(sale))["ticket"]
    forged = QueueTickets(["another secret of 32 characters."]).ticket(sale.schedule_id, person.id, 0.0)
    for text in (theirs, forged, ticket[:-1], f"{ticket}A", ticket.swapcase(), "x", person.queue_pass, "가"):
        answer = await house.http.request(method, f"/v1/queue/{text}{what}", headers=person.headers)
        problem(answer, 404, "ticket_not_found")
    problem(await house.http.request(method, f"/v1/queue/{ticket}{what}"), 401, "unauthenticated")
    assert (await other.look())["status"] == "admitted"


# --- turns ------------------------------------------------------------------------------------------------------------
async def test_whoever_holds_seats_makes_room_for_the_next(house: House) -> None:
    sale = await open_sale(house.http, waiting_room=True)
    first, second = house.person(), house.person()
    house.let_in(1)
    await first.join(sale)
    assert (await second.join(sale))["status"] == "waiting"
    assert await house.queue_of(sale) == {"waiting": 1, "shopping": 1}
    problem(
        await house.http.post(sale.bookings_url, json={"seats": ["no such"]}, headers=first.with_pass),
        422,
        "unknown_seat",
    )
    assert (await second.look())["status"] == "waiting"
    await hold(house.http, sale, first.with_pass, quantity=1)

    async def admitted() -> bool:
        return bool((await second.look())["status"] == "admitted")

    await until(admitted)
    await hold(house.http, sale, second.with_pass, quantity=1)


async def test_no_more_come_in_than_there_are_pairs_left_and_what_comes_back_is_for_the_next_in_line(
    house: House,
) -> None:
    plan, prices = small_plan(rows=2, seats_per_row=3), {"VIP": 150_000, "Standard": None}  # three are for sale
    sale = await open_sale(house.http, plan=plan, prices=prices, waiting_room=True)  # type: ignore[arg-type]  # what may be free is not priced
    pair, single, next_ = house.person(), house.person(), house.person()

    def shows(left: int) -> Callable[[], Awaitable[bool]]:
        async def shown() -> bool:
            schedule = await read(house.http, f"/v1/schedules/{sale.schedule_id}", {})
            return bool(schedule["seats_left"] == {"VIP": left, "Standard": 0})

        return shown

    assert [(await each.join(sale))["status"] for each in (pair, single, next_)] == ["admitted", "admitted", "waiting"]
    booking = await hold(house.http, sale, pair.with_pass, quantity=2)
    await until(shows(1))
    assert (await next_.look())["estimated_wait_seconds"] > 0
    await hold(house.http, sale, single.with_pass, quantity=1)
    await until(shows(0))
    place = await next_.look()
    assert (place["status"], place["ahead"], place["estimated_wait_seconds"]) == ("waiting", 0, None)
    assert (await house.http.delete(f"/v1/bookings/{booking['id']}", headers=pair.headers)).is_success

    async def admitted() -> bool:
        return bool((await next_.look())["status"] == "admitted")

    await until(admitted)
    await hold(house.http, sale, next_.with_pass, quantity=2)


async def test_whoever_does_not_come_in_time_has_lost_the_turn_and_joins_at_the_end(house: House) -> None:
    sale = await open_sale(house.http, waiting_room=True)
    first, away, last = house.person(), house.person(), house.person()
    house.let_in(1)
    await first.join(sale)
    await away.join(sale)
    house.clock.ahead_ms += 1
    await last.join(sale)
    assert (await house.http.delete(first.location, headers=first.headers)).status_code == 204
    assert (await last.look())["ahead"] == 0
    await first.cannot_look(410, "queue_turn_over")
    house.clock.ahead_ms += TURN_MS
    assert (await last.look())["status"] == "admitted"
    assert (await away.cannot_look(410, "queue_turn_over"))["queue_url"] == f"/v1/schedules/{sale.schedule_id}/queue"
    assert (await away.join(sale))["ahead"] == 0
    assert (await away.look())["status"] == "waiting"
