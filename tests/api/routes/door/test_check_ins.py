"""The door: everyone once, nobody twice, and the log says when, where and by whom."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from actors.gateway.gateway import Unavailable
from actors.mail.tickets import Ticket, ticket_code, ticket_key
from api.selling import booking_commands
from engine.commands import ApprovePayment, CancelSchedule, Change, Refund, RequestPayment
from engine.refusals import Refusal
from persistence.audit import chain
from persistence.bookings.bookings import Whereabouts
from tests.api.conftest import Worker
from tests.support.sale import Sale, begin, hold, open_sale, problem, seat_ids


class Door:
    """A sale with paid bookings, and its door."""

    def __init__(self, worker: Worker, sale: Sale) -> None:
        self.worker = worker
        self.sale = sale
        self.customer: dict[str, str] = {}

    async def sold(self, count: int) -> str:
        """The code of a booking of so many seats, paid."""
        return await self.sold_of(self.sale.fresh(count))

    async def sold_of(self, seats: list[str]) -> str:
        """The same of these."""
        self.customer = await self.worker.sign_up()
        booking = await hold(self.worker.http, self.sale, self.customer, *seats)
        payment_id = self.worker.office.clock.new_id()
        account = await self.worker.http.get("/v1/accounts/me", headers=self.customer)
        await self.done(RequestPayment(booking["id"], account.json()["id"], payment_id, "sandbox"))
        await self.done(ApprovePayment(booking["id"], payment_id, "ref"))
        self.booking_id, self.payment_id = booking["id"], payment_id
        return self.code(len(seats))

    def code(self, places: int) -> str:
        made = Ticket(booking_id=self.booking_id, schedule_id=self.sale.schedule_id, places=places)
        return ticket_code(ticket_key(self.worker.office.settings.secret), made)

    async def done(self, command: Any) -> None:
        request_id = self.worker.office.clock.new_id()
        answer = await self.worker.office.gateway.send(self.sale.schedule_id, command, request_id=request_id)
        assert not isinstance(answer, Refusal), answer

    @property
    def url(self) -> str:
        return f"/v1/schedules/{self.sale.schedule_id}"

    async def post(self, *read: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
        headers = (headers or self.sale.organizer) | {"Content-Type": "application/json"}
        return await self.worker.http.post(f"{self.url}/check-ins", content=json.dumps(read), headers=headers)

    async def read(self, *read: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
        answer = await self.post(*read, headers=headers)
        assert answer.status_code == 200, answer.text
        views: list[dict[str, Any]] = answer.json()
        return views

    async def counts(self, headers: dict[str, str] | None = None, query: str = "") -> dict[str, Any]:
        answer = await self.worker.http.get(f"{self.url}/check-ins{query}", headers=headers or self.sale.organizer)
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    async def link(self, **named: Any) -> dict[str, Any]:
        answer = await self.worker.http.post(
            f"{self.url}/door-staff", json={"name": "Jiwoo"} | named, headers=self.sale.organizer
        )
        assert answer.status_code == 201, answer.text
        view: dict[str, Any] = answer.json()
        return view


def one(code: str, **more: Any) -> dict[str, Any]:
    return {"id": str(uuid4()), "code": code, **more}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def door(worker: Worker) -> Door:
    return Door(worker, await open_sale(worker.http))


async def test_four_enter_as_two_and_two_and_the_fifth_learns_when_and_where(door: Door) -> None:
    code = await door.sold(4)
    (first,) = await door.read(one(code, places=2, gate="North"))
    (second,) = await door.read(one(code, gate="South"))
    (third,) = await door.read(one(code, gate="East"))
    assert (first["result"], first["places"], first["entered"], first["of"]) == ("admitted", 2, 2, 4)
    assert (second["result"], second["places"], second["entered"]) == ("admitted", 2, 4)
    assert (third["result"], third["places"], third["gate"]) == ("already_in", 0, "South")
    assert third["at"] is not None
    view = await door.counts()
    assert (view["places"], view["entered"]) == (4, 4)
    by_gate = {(each["gate"], each["result"]): each["places"] for each in view["gates"]}
    assert by_gate == {("North", "admitted"): 2, ("South", "admitted"): 2, ("East", "already_in"): 0}


async def test_the_same_id_again_gets_the_first_answer_alone_and_in_a_batch(door: Door) -> None:
    read = one(await door.sold(2))
    (first,) = await door.read(read)
    again = await door.read(read, read)
    assert again == [first, first]
    assert (await door.counts())["entered"] == 2


async def test_an_id_of_another_door_is_refused(door: Door, worker: Worker) -> None:
    read = one(await door.sold(1))
    await door.read(read)
    elsewhere = Door(worker, await open_sale(worker.http))
    problem(await elsewhere.post(read), 422, "idempotency_key_reused")


async def test_two_phones_at_once_let_everybody_in_once(door: Door) -> None:
    codes = [await door.sold(1) for _ in range(8)]
    phones = [[one(code, gate=gate) for code in codes] for gate in ("A", "B")]
    results = [view for views in await asyncio.gather(*(door.read(*each) for each in phones)) for view in views]
    assert sorted(view["result"] for view in results) == ["admitted"] * 8 + ["already_in"] * 8
    assert (await door.counts())["entered"] == 8


async def test_a_valid_code_right_after_worthless_ones_is_valid(door: Door, worker: Worker) -> None:
    good = await door.sold(1)
    await door.sold(1)
    refunded = door.code(1)
    await door.done(Refund(door.booking_id, "", worker.office.clock.new_id(), door.payment_id, ()))
    elsewhere = Door(worker, await open_sale(worker.http))
    other = await elsewhere.sold(1)
    views = await door.read(one("nonsense"), one(refunded), one(other), one(good))
    assert [view["result"] for view in views] == ["not_genuine", "refunded", "other_schedule", "admitted"]
    assert views[2]["name"] is None
    assert views[2]["seats"] == []
    assert views[2]["booking_id"] is None


@pytest.mark.parametrize(
    "unreadable", ["", " ", "x" * 1_504, "A" * 1_504, "a\0b", "\0", "\ud800", "\udfffx", "표", "="]
)
async def test_what_no_code_can_be_is_not_genuine_and_refuses_no_other(door: Door, unreadable: str) -> None:
    views = await door.read(one(unreadable), one(await door.sold(1)))
    assert [view["result"] for view in views] == ["not_genuine", "admitted"]


async def test_an_id_that_cannot_be_stored_is_refused_and_so_is_what_is_no_text(door: Door) -> None:
    code = await door.sold(1)
    for wrong in ({"id": "a\0b"}, {"id": "\ud800"}, {"id": "x"}, {"code": 5}, {"code": ["\0"]}, {"gate": "\0"}):
        document = problem(await door.post(one(code) | wrong, one(code)), 422, "validation_failed")
        assert [each["field"].startswith(f"0.{next(iter(wrong))}") for each in document["errors"]] == [True]
    assert (await door.counts())["gates"] == []


async def test_a_cancelled_schedule_lets_nobody_in(door: Door) -> None:
    code = await door.sold(1)
    await door.done(CancelSchedule("ill", "organizer"))
    (view,) = await door.read(one(code))
    assert (view["result"], view["reason"]) == ("refunded", "schedule_cancelled")


async def test_who_is_found_on_the_list_comes_in_without_a_code_and_once(door: Door, worker: Worker) -> None:
    code = await door.sold(2)
    found = {"id": str(uuid4()), "booking_id": door.booking_id}
    (view,) = await door.read(found)
    assert (view["result"], view["places"]) == ("admitted", 2)
    (again,) = await door.read(one(code))
    assert again["result"] == "already_in"
    elsewhere = Door(worker, await open_sale(worker.http))
    await elsewhere.sold(1)
    views = await door.read(
        {"id": str(uuid4()), "booking_id": elsewhere.booking_id}, {"id": str(uuid4()), "booking_id": str(uuid4())}
    )
    assert [view["result"] for view in views] == ["other_schedule", "not_genuine"]
    for neither in ({"id": str(uuid4())}, one(code, booking_id=door.booking_id)):
        problem(await door.post(neither), 422, "validation_failed")


async def test_who_is_taken_back_may_come_in_again_and_both_facts_stay(door: Door, worker: Worker) -> None:
    code = await door.sold(2)
    read = one(code)
    await door.read(read)
    url = f"/v1/check-ins/{read['id']}"
    why = {"reason": "scanned by mistake"}
    for _ in range(2):
        undone = await worker.http.request("DELETE", url, json=why, headers=door.sale.organizer)
        assert undone.status_code == 204, undone.text
    assert (await door.counts())["entered"] == 0
    (again,) = await door.read(one(code))
    assert again["result"] == "admitted"
    subject = f"booking:{door.booking_id}"
    (entry,) = await chain.entries(worker.office.reading, action="check_in.taken_back", subject=subject, limit=9)
    assert [json.loads(bytes(each or b"{}")) for each in (entry.before, entry.after)] == [
        {"check_in_id": read["id"], "places": 2, "seat": None, "gate": None},
        why,
    ]
    refused = one("nonsense")
    await door.read(refused)
    for missing in (refused["id"], str(uuid4()), "x"):
        answer = await worker.http.request("DELETE", f"/v1/check-ins/{missing}", json=why, headers=door.sale.organizer)
        problem(answer, 404, "check_in_not_found")


async def test_a_time_in_the_future_is_refused_and_one_from_offline_is_kept(door: Door) -> None:
    code = await door.sold(1)
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    document = problem(await door.post(one(code, at=ahead)), 422, "validation_failed")
    assert [error["field"] for error in document["errors"]] == ["0.at"]
    earlier = datetime.now(UTC) - timedelta(minutes=20)
    await door.read(one(code, at=earlier.isoformat(), gate="North"))
    (late,) = await door.read(one(code))
    assert datetime.fromisoformat(late["at"]) == earlier.replace(microsecond=earlier.microsecond // 1000 * 1000)


async def test_the_offline_list_has_every_booking_that_admits_page_by_page(door: Door, worker: Worker) -> None:
    codes = [await door.sold(2), await door.sold(1)]
    await door.read(one(codes[0], places=1))
    first = await door.counts(query="?list=offline&limit=1")
    second = await door.counts(query=f"?list=offline&limit=1&cursor={first['next_cursor']}")
    items = first["items"] + second["items"]
    assert [(item["places"], item["entered"], item["single"]) for item in items] == [(2, 1, []), (1, 0, [])]
    assert second["next_cursor"] is None
    assert (await door.counts())["items"] is None


async def test_seats_somebody_came_in_on_are_not_exchanged_and_others_are_once_however_often_asked(
    door: Door, worker: Worker
) -> None:
    code, others = await door.sold(2), door.sale.fresh(2)
    entry = one(code, places=1)
    await door.read(entry)
    url, headers = f"/v1/bookings/{door.booking_id}", door.customer | {"Idempotency-Key": "once"}
    document = problem(
        await worker.http.patch(url, json={"seats": others}, headers=door.customer), 409, "booking_not_changeable"
    )
    assert document["reason"] == "checked_in"
    stranger = await worker.sign_up()
    problem(await worker.http.patch(url, json={"seats": others}, headers=stranger), 404, "booking_not_found")
    await worker.http.request(
        "DELETE", f"/v1/check-ins/{entry['id']}", json={"reason": "wrong door"}, headers=door.sale.organizer
    )
    first = await worker.http.patch(url, json={"seats": others}, headers=headers)
    await door.read(one(code))
    again = await worker.http.patch(url, json={"seats": others}, headers=headers)
    assert [(each.status_code, seat_ids(each.json())) for each in (first, again)] == [(200, others)] * 2


async def test_what_cost_nothing_is_not_cancelled_while_somebody_is_in(worker: Worker) -> None:
    door = Door(worker, await open_sale(worker.http, prices={"VIP": 0, "Standard": 0}))
    customer = await worker.sign_up()
    booking = await hold(worker.http, door.sale, customer, *door.sale.fresh(2))
    url = f"/v1/bookings/{booking['id']}"
    assert (await worker.http.post(f"{url}/payments", json={}, headers=customer)).status_code == 201
    door.booking_id = booking["id"]
    entry = one(door.code(2), places=1)
    (answer,) = await door.read(entry)
    assert answer["result"] == "admitted"
    for ask in (worker.http.delete(url, headers=customer), worker.http.post(f"{url}/cancellation", headers=customer)):
        assert problem(await ask, 409, "booking_not_changeable")["reason"] == "checked_in"
    # As a worker remembers it that saw it before its seats were exchanged for some that cost nothing.
    booking_commands._known[booking["id"]] = Whereabouts(door.sale.schedule_id, free=False)
    problem(await worker.http.delete(url, headers=customer), 409, "booking_not_changeable")
    await worker.http.request(
        "DELETE", f"/v1/check-ins/{entry['id']}", json={"reason": "wrong door"}, headers=door.sale.organizer
    )
    assert (await worker.http.delete(url, headers=customer)).status_code == 201


async def test_whoever_asks_again_for_a_refund_that_was_made_hears_of_it_whoever_came_in_since(
    door: Door, worker: Worker
) -> None:
    seats = list(door.sale.seats[:2])
    await door.sold(2)
    url, headers = f"/v1/payments/{door.payment_id}/refunds", door.customer | {"Idempotency-Key": "once"}
    first = await worker.http.post(url, json={"seats": seats[:1]}, headers=headers)
    await door.read(one(door.code(1)))
    again = await worker.http.post(url, json={"seats": seats[:1]}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]


async def test_nobody_comes_in_as_long_as_it_is_not_known_whether_seats_are_exchanged_or_given_back(
    door: Door, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await door.sold(2)
    url, owners = f"/v1/payments/{door.payment_id}/refunds", worker.office.gateway.send
    booking, others = f"/v1/bookings/{door.booking_id}", {"seats": door.sale.fresh(2)}

    async def heard_and_not_answered(schedule_id: str, command: Any, **named: Any) -> Any:
        if isinstance(command, Refund | Change):
            raise Unavailable("no answer in time")
        return await owners(schedule_id, command, **named)

    with monkeypatch.context() as patch:
        patch.setattr(worker.office.gateway, "send", heard_and_not_answered)
        problem(await worker.http.patch(booking, json=others, headers=door.customer), 503, "overloaded")
        (exchanging,) = await door.read(one(code))
        await worker.as_superuser("DELETE FROM giving_back")  # a minute later
        problem(await worker.http.post(url, headers=door.customer), 503, "overloaded")
    (now,) = await door.read(one(code))
    assert "admitted" not in (exchanging["result"], now["result"])
    assert (await worker.http.post(url, headers=door.customer)).status_code == 201, "asked again, it is decided"
    (afterwards,) = await door.read(one(code))
    assert afterwards["result"] == "refunded"


async def test_a_hold_that_is_let_go_while_its_owner_is_away_shuts_no_door_and_is_no_error(
    door: Door, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    customer = await worker.sign_up()
    booking = await hold(worker.http, door.sale, customer, *door.sale.fresh(1))

    async def away(*_: Any, **named: Any) -> Any:
        raise Unavailable("no answer in time")

    monkeypatch.setattr(worker.office.gateway, "send", away)
    url = f"/v1/bookings/{booking['id']}"
    problem(await worker.http.delete(url, headers=customer), 503, "overloaded")
    problem(await worker.http.patch(url, json={"quantity": 1}, headers=customer), 503, "overloaded")
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []
    async with worker.office.pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM giving_back WHERE booking_id = $1", booking["id"]) == 0


async def test_two_doors_that_use_one_id_at_once_are_told_apart(door: Door, worker: Worker) -> None:
    other = Door(worker, await open_sale(worker.http))
    codes = [await door.sold(2), await other.sold(2)]
    for _ in range(5):
        read = [one(code, id=same, places=1) for same in [str(uuid4())] for code in codes]
        answers = await asyncio.gather(door.post(read[0]), other.post(read[1]))
        assert sorted(answer.status_code for answer in answers) == [200, 422]


# --- who may ----------------------------------------------------------------------------------------------------------
async def test_a_link_opens_one_door_and_nothing_else(door: Door, worker: Worker) -> None:
    code = await door.sold(1)
    link = await door.link()
    assert link["link"] == f"/door/{door.sale.schedule_id}#{link['token']}"
    staff = bearer(link["token"])
    (view,) = await door.read(one(code), headers=staff)
    assert view["result"] == "admitted"
    assert (await door.counts(staff))["entered"] == 1
    elsewhere = Door(worker, await open_sale(worker.http))
    problem(await elsewhere.post(one(code), headers=staff), 404, "schedule_not_found")
    for url in (
        "/v1/accounts/me",
        f"{door.url}/door-staff",
        f"/v1/organizer/schedules/{door.sale.schedule_id}/bookings",
    ):
        problem(await worker.http.get(url, headers=staff), 401, "unauthenticated")


async def test_a_link_that_expired_or_was_taken_back_opens_nothing(door: Door, worker: Worker) -> None:
    code = await door.sold(1)
    links = [await door.link() for _ in range(3)]
    one_back = await worker.http.delete(f"{door.url}/door-staff/{links[0]['id']}", headers=door.sale.organizer)
    assert one_back.status_code == 204
    problem(await door.post(one(code), headers=bearer(links[0]["token"])), 401, "unauthenticated")
    problem(
        await worker.http.delete(f"{door.url}/door-staff/{links[0]['id']}", headers=door.sale.organizer),
        404,
        "door_staff_not_found",
    )
    listed = await worker.http.get(f"{door.url}/door-staff", headers=door.sale.organizer)
    assert {each["id"] for each in listed.json()["items"]} == {each["id"] for each in links[1:]}
    assert "token" not in listed.text
    await worker.http.delete(f"{door.url}/door-staff", headers=door.sale.organizer)
    for each in links:
        problem(await door.post(one(code), headers=bearer(each["token"])), 401, "unauthenticated")
    past = {"name": "Late", "expires_at": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}
    refused = await worker.http.post(f"{door.url}/door-staff", json=past, headers=door.sale.organizer)
    problem(refused, 422, "validation_failed")


@pytest.mark.parametrize("how", [{"role": "customer"}, {"role": "box_office"}, {"locked": True}])
async def test_a_link_ends_with_whoever_organizes(worker: Worker, how: dict[str, Any]) -> None:
    door, other = Door(worker, await open_sale(worker.http)), Door(worker, await open_sale(worker.http))
    link, others = await door.link(), await other.link()
    me = (await worker.http.get("/v1/accounts/me", headers=door.sale.organizer)).json()
    admin = await administrator(worker)
    url = f"/v1/admin/accounts/{me['id']}"
    assert (await worker.http.patch(url, json=how, headers=admin)).status_code == 200
    check_ins = f"{door.url}/check-ins"
    problem(await worker.http.get(check_ins, headers=bearer(link["token"])), 401, "unauthenticated")
    assert (await other.counts(bearer(others["token"])))["entered"] == 0
    # The evening takes place: an administrator sees to its door, now and when the organizer is one again.
    made = await worker.http.post(f"{door.url}/door-staff", json={"name": "Jiwoo"}, headers=admin)
    back = {"role": "organizer", "locked": False}
    for _ in range(2):
        assert (await door.counts(bearer(made.json()["token"])))["entered"] == 0
        assert (await worker.http.patch(url, json=back, headers=admin)).status_code == 200
    problem(await worker.http.get(check_ins, headers=bearer(link["token"])), 401, "unauthenticated")


async def test_a_link_stays_with_an_organizer_who_administers_and_ends_with_a_deleted_one(worker: Worker) -> None:
    door = Door(worker, await open_sale(worker.http, organizer=await worker.sign_up("organizer")))
    link = bearer((await door.link())["token"])
    me = (await worker.http.get("/v1/accounts/me", headers=door.sale.organizer)).json()
    admin = await administrator(worker)
    await begin(worker.http, door.sale)
    answer = await worker.http.patch(f"/v1/admin/accounts/{me['id']}", json={"role": "admin"}, headers=admin)
    assert answer.status_code == 200
    assert (await door.counts(link))["entered"] == 0
    headers = await worker.log_in(me["email"])
    assert (await worker.http.delete("/v1/accounts/me", headers=headers)).status_code == 204
    problem(await worker.http.get(f"{door.url}/check-ins", headers=link), 401, "unauthenticated")


async def administrator(worker: Worker) -> dict[str, str]:
    headers = await worker.sign_up("organizer")
    me = (await worker.http.get("/v1/accounts/me", headers=headers)).json()
    await worker.office.pool.execute("UPDATE accounts SET role = 'admin' WHERE id = $1", me["id"])
    return await worker.log_in(me["email"])


async def test_who_asks_for_a_link_again_has_the_same_one(door: Door, worker: Worker) -> None:
    code, key = await door.sold(1), {"Idempotency-Key": "north"}

    async def asked(name: str, headers: dict[str, str]) -> httpx.Response:
        return await worker.http.post(f"{door.url}/door-staff", json={"name": name}, headers=headers)

    first, again = [await asked("North", door.sale.organizer | key) for _ in range(2)]
    assert (first.status_code, first.content) == (201, again.content)
    assert first.headers["Location"] == f"{door.url}/door-staff/{first.json()['id']}"
    problem(await asked("South", door.sale.organizer | key), 422, "idempotency_key_reused")
    listed = await worker.http.get(f"{door.url}/door-staff", headers=door.sale.organizer)
    assert [each["id"] for each in listed.json()["items"]] == [first.json()["id"]]
    kept = await worker.office.pool.fetchval(
        "SELECT convert_from(body, 'UTF8') FROM idempotency_keys WHERE key = 'north'"
    )
    assert first.json()["id"] in kept
    assert "door_" not in kept, "a link is in the database"
    assert first.json()["token"] != (await door.link())["token"]
    assert (await door.post(one(code), headers=bearer(again.json()["token"]))).status_code == 200


async def test_a_phone_learns_until_when_its_link_opens_the_door(door: Door, worker: Worker) -> None:
    link = await door.link()
    for who, until in ((bearer(link["token"]), link["expires_at"]), (door.sale.organizer, None)):
        counts = await worker.http.get(f"{door.url}/check-ins", headers=who)
        assert counts.json()["link_expires_at"] == until


async def test_a_door_is_seen_to_however_early_and_a_link_outlives_its_performance_by_hours(worker: Worker) -> None:
    sale = await open_sale(worker.http)
    starts_at = (datetime.now(UTC) + timedelta(days=700)).replace(microsecond=0)
    moved = {"starts_at": starts_at.isoformat()}
    url = f"/v1/schedules/{sale.schedule_id}"
    assert (await worker.http.patch(url, json=moved, headers=sale.organizer)).status_code == 200
    link = await worker.http.post(f"{url}/door-staff", json={"name": "Early"}, headers=sale.organizer)
    assert link.status_code == 201, link.text
    assert datetime.fromisoformat(link.json()["expires_at"]) > starts_at
    endless = {"name": "Endless", "expires_at": (starts_at + timedelta(days=2)).isoformat()}
    refused = await worker.http.post(f"{url}/door-staff", json=endless, headers=sale.organizer)
    problem(refused, 422, "validation_failed")


async def test_the_door_is_nobody_else_s_business(door: Door, worker: Worker) -> None:
    code = await door.sold(1)
    read = one(code)
    await door.read(read)
    for who, status, expected in (
        (await worker.sign_up("organizer"), 404, "schedule_not_found"),
        (door.customer, 404, "schedule_not_found"),
        ({"Authorization": "Bearer door_made-up"}, 401, "unauthenticated"),
    ):
        problem(await door.post(one(code), headers=who), status, expected)
        problem(await worker.http.get(f"{door.url}/check-ins", headers=who), status, expected)
        undo = await worker.http.request("DELETE", f"/v1/check-ins/{read['id']}", json={"reason": "x"}, headers=who)
        assert undo.status_code == (404 if status == 404 else 401)


async def test_those_who_come_apart_come_in_by_codes_of_their_own(worker: Worker) -> None:
    door = Door(worker, await open_sale(worker.http))
    whole = await door.sold(3)
    ticket = (await worker.http.get(f"/v1/bookings/{door.booking_id}/ticket", headers=door.customer)).json()
    codes = [seat["code"] for seat in ticket["seats"]]
    views = await door.read(*({"id": str(uuid4()), "code": code} for code in (codes[0], codes[0], whole, codes[1])))
    assert [view["result"] for view in views] == ["admitted", "already_in", "admitted", "already_in"]
    assert [view["places"] for view in views] == [1, 0, 2, 0]
    assert views[0]["seats"] == [ticket["seats"][0]["id"]]
    names = [(seat["zone"], seat["row"], seat["number"]) for seat in ticket["seats"]]
    assert [(each["zone"], each["row"], each["number"]) for view in views[:1] for each in view["labels"]] == names[:1]
    (listed,) = (await door.counts(query="?list=offline"))["items"]
    assert [(each["zone"], each["row"], each["number"]) for each in listed["labels"]] == names
    assert listed["number"] == ticket["number"]
    assert (listed["entered"], listed["single"]) == (3, [f"{ticket['seats'][0]['id']}#1"])
