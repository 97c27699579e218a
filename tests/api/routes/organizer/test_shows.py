"""What an organizer begins the day with: what needs attention, shows with places sold and money, their venues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api.conftest import Worker
from tests.support.sale import PRICES, Sale, open_sale, problem, read


async def attention(worker: Worker, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await worker.http.get("/v1/organizer/attention", headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def kinds(worker: Worker, sale: Sale) -> list[str]:
    return [each["kind"] for each in await attention(worker, sale.organizer)]


async def book(worker: Worker, sale: Sale, *seats: str, status: str = "confirmed") -> None:
    """A paid booking as the owner's rows have it, without the provider."""
    price, count = PRICES["VIP"], len(seats)
    booking, payment = worker.office.clock.new_id(), worker.office.clock.new_id()
    names = ", ".join(f"'{each}'" for each in seats)
    await worker.as_superuser(
        "INSERT INTO bookings (id, schedule_id, customer_id, status, seats, prices, amount, currency, version,"
        f" created_at) VALUES ('{booking}', '{sale.schedule_id}', '{booking}', '{status}', ARRAY[{names}],"
        f" array_fill({price}::bigint, ARRAY[{count}]), {price * count}, 'KRW', 2, now())"
    )
    await worker.as_superuser(
        "INSERT INTO payments (id, booking_id, schedule_id, customer_id, status, amount, currency, provider,"
        f" requested_at) VALUES ('{payment}', '{booking}', '{sale.schedule_id}', '{booking}', 'approved',"
        f" {price * count}, 'KRW', 'sandbox', now())"
    )


async def owe(worker: Worker, sale: Sale, amount: int, fee: int, ago: timedelta) -> None:
    """A refund that the provider has not confirmed."""
    new = worker.office.clock.new_id()
    at = (datetime.now(UTC) - ago).isoformat()
    await worker.as_superuser(
        "INSERT INTO refunds (id, payment_id, booking_id, schedule_id, customer_id, status, amount, fee, currency,"
        f" provider, seats, by, requested_at) VALUES ('{new}', '{new}', '{new}', '{sale.schedule_id}', '{new}',"
        f" 'requested', {amount}, {fee}, 'KRW', 'sandbox', ARRAY['A-1'], 'customer', '{at}')"
    )


async def test_a_show_tells_what_was_sold_of_what_and_its_money_as_its_settlement_does(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    await book(worker, sale, "A-2", "A-3")
    await owe(worker, sale, 130_000, 20_000, timedelta())
    (show,) = (await worker.http.get("/v1/organizer/performances", headers=sale.organizer)).json()["items"]
    assert (show["sold"], show["capacity"], show["next_schedule_id"]) == (2, 40, sale.schedule_id)
    url = f"/v1/organizer/schedules/{sale.schedule_id}/settlement"
    settlement = (await worker.http.get(url, headers=sale.organizer)).json()
    (money,) = show["money"]
    assert money == {name: settlement[name] for name in money}
    assert (money["gross"], money["refunded"], money["fees"]) == (2 * PRICES["VIP"], 130_000, 20_000)


async def test_what_is_not_for_sale_is_no_capacity_and_a_cancelled_date_is_none_either(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    url = f"/v1/performances/{sale.performance_id}/schedules"
    body = {
        "starts_at": (sale.starts_at + timedelta(days=1)).isoformat(),
        "venue_id": sale.venue_id,
        "currency": "KRW",
        "prices": {"VIP": 10_000, "Standard": None},
    }
    assert (await worker.http.post(url, json=body, headers=sale.organizer)).status_code == 201
    cancel = f"/v1/organizer/schedules/{sale.schedule_id}/cancellation"
    await worker.http.post(cancel, json={"reason": "rain"}, headers=sale.organizer)
    (show,) = (await worker.http.get("/v1/organizer/performances", headers=sale.organizer)).json()["items"]
    assert show["capacity"] == 20


async def test_shows_are_found_by_their_words_and_read_page_by_page(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    for title in ("Carmen", "카르멘 갈라", "Tosca"):
        body = {"title": title}
        assert (await worker.http.post("/v1/performances", json=body, headers=organizer)).status_code == 201

    async def titles(**query: Any) -> tuple[list[str], str | None]:
        page = (await worker.http.get("/v1/organizer/performances", params=query, headers=organizer)).json()
        return [each["title"] for each in page["items"]], page["next_cursor"]

    assert await titles(q="카르") == (["카르멘 갈라"], None)
    first, cursor = await titles(limit=2)
    assert (first, (await titles(limit=2, cursor=cursor))[0]) == (["Tosca", "카르멘 갈라"], ["Carmen"])


async def test_what_needs_attention_is_told_the_most_urgent_first_and_to_its_organizer_alone(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    assert await kinds(worker, sale) == []
    stranger = await worker.sign_up("organizer")
    made = await worker.http.post("/v1/performances", json={"title": "Nothing yet"}, headers=sale.organizer)
    assert made.status_code == 201
    assert await kinds(worker, sale) == ["no_dates"]
    await owe(worker, sale, 1_000, 0, timedelta(hours=2))
    assert await kinds(worker, sale) == ["refunds_late", "no_dates"]
    assert await attention(worker, stranger) == []


async def test_matters_are_read_page_by_page_in_their_order(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    for number in range(3):
        body = {"title": f"Nothing yet {number} {sale.schedule_id}"}
        assert (await worker.http.post("/v1/performances", json=body, headers=sale.organizer)).status_code == 201
    await owe(worker, sale, 1_000, 0, timedelta(hours=2))
    # Made at one moment: what has the same urgency and time has an order, too.
    await worker.as_superuser("UPDATE performances SET created_at = '2026-11-01' WHERE title LIKE 'Nothing yet%'")
    whole = await attention(worker, sale.organizer)
    assert [each["kind"] for each in whole] == ["refunds_late", "no_dates", "no_dates", "no_dates"]
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 1}
    while query.get("cursor", "") is not None:
        page = await read(worker.http, "/v1/organizer/attention", sale.organizer, **query)
        found += page["items"]
        query["cursor"] = page["next_cursor"]
        assert len(page["items"]) == 1
    assert found == whole
    for wrong in ({"limit": 0}, {"limit": 201}, {"cursor": "x"}):
        refused = await worker.http.get("/v1/organizer/attention", params=wrong, headers=sale.organizer)
        problem(refused, 422, "validation_failed")


async def test_a_cancelled_date_stays_until_all_is_given_back(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    await book(worker, sale, "A-2")
    cancel = f"/v1/organizer/schedules/{sale.schedule_id}/cancellation"
    await worker.http.post(cancel, json={"reason": "rain"}, headers=sale.organizer)
    (matter,) = await attention(worker, sale.organizer)
    assert (matter["kind"], matter["schedule_id"], matter["bookings"]) == ("giving_back", sale.schedule_id, 1)
    await worker.as_superuser(f"UPDATE bookings SET status = 'refunded' WHERE schedule_id = '{sale.schedule_id}'")
    assert await kinds(worker, sale) == []


async def test_a_sale_that_is_nearly_over_is_told_and_one_that_opens_soon(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    rows = [f"{row}-{number}" for row in "ABCD" for number in range(1, 11)]
    await book(worker, sale, *rows[:36])
    assert await kinds(worker, sale) == ["nearly_sold_out"]
    await book(worker, sale, *rows[36:])
    (matter,) = await attention(worker, sale.organizer)
    assert (matter["kind"], matter["sold"], matter["capacity"]) == ("sold_out", 40, 40)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    changed = {"sale_opens_at": soon, "prices": {"VIP": 1_000, "Standard": None}}
    url = f"/v1/schedules/{sale.schedule_id}"
    assert (await worker.http.patch(url, json=changed, headers=sale.organizer)).status_code == 200
    assert await kinds(worker, sale) == ["sale_opens"]


async def test_venues_of_one_s_own_are_listed_and_others_where_they_are_shared_or_granted(worker: Worker) -> None:
    mine, other = await worker.sign_up("organizer"), await worker.sign_up("organizer")
    plan = (await worker.http.get("/openapi.json")).json()["components"]["schemas"]["NewVenue"]["examples"][0]
    made = {}
    for name, headers, shared in (("Mine", mine, False), ("Theirs", other, False), ("Open house", other, True)):
        body = plan | {"name": name, "shared": shared}
        made[name] = (await worker.http.post("/v1/venues", json=body, headers=headers)).json()["id"]

    async def listed(**query: Any) -> set[str]:
        items = (await worker.http.get("/v1/organizer/venues", params=query, headers=mine)).json()["items"]
        return {each["id"] for each in items} & set(made.values())

    assert await listed() == {made["Mine"]}
    assert await listed(shared=True) == {made["Mine"], made["Open house"]}
    assert await listed(shared=True, q="Open") == {made["Open house"]}
    me = (await worker.http.get("/v1/accounts/me", headers=mine)).json()["id"]
    await worker.http.post(f"/v1/venues/{made['Theirs']}/grants", json={"organizer_id": me}, headers=other)
    assert await listed(shared=True) == set(made.values())
