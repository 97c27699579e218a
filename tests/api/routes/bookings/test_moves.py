"""A booking goes to another date: held there first, given back here then, and whatever breaks off, one of the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from actors.gateway.requests import Unavailable
from api.office.tokens import Account
from engine import commands as c
from engine.refusals import Refusal
from tests.api.conftest import Worker
from tests.support.clocks import MovableClock
from tests.support.sale import Sale, another_date, begin, hold, open_sale, problem, read, seat_ids, small_plan

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"
HOUR_MS = 3_600_000
FREE = {"VIP": 0, "Standard": 0}
LIVE = ("held", "confirmed", "partially_refunded")


class Scene:
    """Two dates of one performance, and a customer who has seats of the first."""

    def __init__(self, worker: Worker, here: Sale, there: Sale) -> None:
        self.worker, self.http = worker, worker.http
        self.here, self.there = here, there
        self.id, self.ann = self.person()

    def person(self, role: str = "customer") -> tuple[str, dict[str, str]]:
        """Somebody who is logged in: the id, and the headers of the requests."""
        account = Account(str(uuid4()), role, str(uuid4()))
        token = self.worker.office.tokens.access_token(account)
        return account.id, {"Authorization": f"Bearer {token}"}

    async def held(self, *seats: str, **wish: Any) -> dict[str, Any]:
        return await hold(self.http, self.here, self.ann, *seats, **wish)

    async def move(self, booking: dict[str, Any], key: str | None = None, **wish: Any) -> httpx.Response:
        body = {"schedule_id": self.there.schedule_id} | (wish or {"seats": ["B-1", "B-2"]})
        headers = self.ann | ({} if key is None else {"Idempotency-Key": key})
        return await self.http.patch(f"/v1/bookings/{booking['id']}", json=body, headers=headers)

    async def moved(self, booking: dict[str, Any], key: str | None = None, **wish: Any) -> dict[str, Any]:
        answer = await self.move(booking, key, **wish)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-location"] == f"/v1/bookings/{answer.json()['id']}"
        made: dict[str, Any] = answer.json()
        return made

    async def now(self, booking: dict[str, Any]) -> dict[str, Any]:
        return await read(self.http, f"/v1/bookings/{booking['id']}", self.ann)

    async def live(self) -> list[str]:
        """The customer's bookings that own seats."""
        page = await read(self.http, "/v1/bookings", self.ann)
        return [each["id"] for each in page["items"] if each["status"] in LIVE]

    async def done(self, sale: Sale, command: Any) -> None:
        send = self.worker.office.gateway.send
        answer = await send(sale.schedule_id, command, request_id=self.worker.office.clock.new_id())
        assert not isinstance(answer, Refusal), answer

    async def begins_to_pay(self, sale: Sale, booking: dict[str, Any]) -> str:
        payment_id = self.worker.office.clock.new_id()
        await self.done(sale, c.RequestPayment(booking["id"], self.id, payment_id, "sandbox"))
        return payment_id

    async def pays(self, sale: Sale, booking: dict[str, Any]) -> None:
        payment_id = await self.begins_to_pay(sale, booking)
        await self.done(sale, c.ApprovePayment(booking["id"], payment_id, "ref"))

    async def runs_out(self, sale: Sale) -> None:
        """The time of all who hold seats of the date is over."""
        process = self.worker.office.gateway._owners.owner
        assert process is not None
        owner = process.host._open[sale.schedule_id].schedule
        clock, owner._clock = owner._clock, MovableClock(HOUR_MS)
        await self.done(sale, c.Expire())
        owner._clock = clock

    async def examined(self) -> None:
        for sale in (self.here, self.there):
            report = await self.worker.office.reconciler.examine(sale.schedule_id)
            assert report.failing == frozenset(), report


@pytest.fixture(autouse=True)
def counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is changed of a date counts at once."""
    monkeypatch.setattr("api.office.booked.KEPT_SECONDS", 0.0)


@pytest.fixture
async def scene(worker: Worker) -> Scene:
    here = await open_sale(worker.http, plan=small_plan(rows=4, seats_per_row=6))
    return Scene(worker, here, await another_date(worker.http, here))


# --- where it goes ----------------------------------------------------------------------------------------------------
async def test_a_held_booking_goes_to_another_date_and_says_where(scene: Scene) -> None:
    old = await scene.held("A-1", "A-2")
    assert old["moved_to"] is None
    new = await scene.moved(old, seats=["B-3", "B-4"])
    assert (new["status"], seat_ids(new), new["moved_to"]) == ("held", ["B-3", "B-4"], None)
    assert new["schedule_id"] == scene.there.schedule_id
    assert new["id"] != old["id"]
    gone = await scene.now(old)
    assert (gone["status"], gone["moved_to"], gone["schedule_id"]) == ("cancelled", new["id"], old["schedule_id"])
    (listed,) = (await read(scene.http, "/v1/bookings", scene.ann, status="cancelled"))["items"]
    assert listed == gone
    assert await scene.now(new) == new
    _, bob = scene.person()
    assert seat_ids(await hold(scene.http, scene.here, bob, "A-1", "A-2")) == ["A-1", "A-2"], "free at once"
    await scene.examined()


@pytest.mark.parametrize(
    ("seats", "wish", "categories"),
    [
        (["C-1", "C-2"], {"quantity": 3}, {"Standard"}),  # those it has
        (["B-1", "C-1"], {"quantity": 2}, {"VIP"}),  # the best there are
        (["C-1"], {"quantity": 1, "category": "VIP"}, {"VIP"}),
    ],
)
async def test_the_best_of_another_date_are_of_the_category_that_the_booking_has(
    scene: Scene, seats: list[str], wish: dict[str, Any], categories: set[str]
) -> None:
    new = await scene.moved(await scene.held(*seats), **wish)
    assert ({seat["category"] for seat in new["seats"]}, len(new["seats"])) == (categories, wish["quantity"])


async def test_it_goes_to_whatever_the_customer_could_book(scene: Scene) -> None:
    """Nothing is paid: another performance, house or currency is no more than another booking."""
    plan = small_plan(rows=1, seats_per_row=4)
    plan["categories"] = [{"name": "Only one", "color": "#336699"}]
    for seat in plan["zones"][0]["rows"][0]["seats"]:
        seat["category"] = "Only one"
    scene.there = await open_sale(scene.http, plan=plan, currency="EUR")
    new = await scene.moved(await scene.held("A-1", "A-2"), quantity=2)
    assert ({seat["category"] for seat in new["seats"]}, new["currency"]) == ({"Only one"}, "EUR")


async def test_its_own_date_named_is_an_exchange_of_seats(scene: Scene) -> None:
    booking = await scene.held("A-1")
    same = await scene.move(booking, schedule_id=scene.here.schedule_id, seats=["A-2"])
    assert (same.status_code, same.json()["id"]) == (200, booking["id"])
    assert "content-location" not in same.headers


async def test_nobody_keeps_a_seat_for_longer_by_moving(scene: Scene) -> None:
    """What is left is free for whoever wants it, and a way back is a hold like any other."""
    away = await scene.moved(await scene.held("A-1"), seats=["B-1"])
    scene.here, scene.there = scene.there, scene.here
    _, bob = scene.person()
    taken = await hold(scene.http, scene.there, bob, "A-1")
    assert problem(await scene.move(away, seats=["A-1"]), 409, "seats_unavailable")["seats"] == ["A-1"]
    assert (await scene.http.delete(f"/v1/bookings/{taken['id']}", headers=bob)).status_code == 201
    back = await scene.moved(away, seats=["A-1"])
    assert await scene.live() == [back["id"]]
    await scene.examined()


# --- what is refused --------------------------------------------------------------------------------------------------
async def someone_has_it(scene: Scene) -> None:
    await hold(scene.http, scene.there, scene.person()[1], "B-1")


async def one_of_two_is_left(scene: Scene) -> None:
    seats = [seat for seat in scene.there.seats if seat != "B-1"]
    await hold(scene.http, scene.there, scene.person()[1], *seats)


def with_terms(**terms: Any) -> Callable[[Scene], Awaitable[None]]:
    async def changed(scene: Scene) -> None:
        answer = await scene.http.patch(
            f"/v1/schedules/{scene.there.schedule_id}", json=terms, headers=scene.there.organizer
        )
        assert answer.status_code == 200, answer.text

    return changed


async def it_is_cancelled(scene: Scene) -> None:
    url = f"/v1/organizer/schedules/{scene.there.schedule_id}/cancellation"
    answer = await scene.http.post(url, json={"reason": "ill"}, headers=scene.there.organizer)
    assert answer.status_code == 202, answer.text


async def it_is_deleted(scene: Scene) -> None:
    answer = await scene.http.delete(f"/v1/schedules/{scene.there.schedule_id}", headers=scene.there.organizer)
    assert answer.status_code == 204, answer.text


async def it_has_begun(scene: Scene) -> None:
    await begin(scene.http, scene.there)


async def nothing_else(scene: Scene) -> None:
    """It is refused as it stands."""


TWO = {"quantity": 2}
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
BEFORE = (datetime.now(UTC) - timedelta(days=1)).isoformat()
REFUSALS: list[tuple[Callable[[Scene], Awaitable[None]], dict[str, Any], int, str]] = [
    (someone_has_it, {"seats": ["B-1", "B-2"]}, 409, "seats_unavailable"),
    (one_of_two_is_left, TWO, 409, "not_enough_seats"),
    (with_terms(sale_opens_at=LATER), TWO, 409, "sale_not_open"),
    (with_terms(sale_closes_at=BEFORE), TWO, 409, "sale_closed"),
    (with_terms(max_seats_per_customer=1), TWO, 409, "customer_limit_reached"),
    (with_terms(waiting_room=True), TWO, 403, "queue_pass_required"),
    (it_has_begun, TWO, 409, "sale_closed"),
    (it_is_cancelled, TWO, 409, "schedule_cancelled"),
    (it_is_deleted, TWO, 404, "schedule_not_found"),
    (nothing_else, TWO | {"schedule_id": NOWHERE}, 404, "schedule_not_found"),
    (nothing_else, TWO | {"schedule_id": "no-id"}, 422, "validation_failed"),
    (nothing_else, {"seats": ["Z-1"]}, 422, "unknown_seat"),
    (nothing_else, {"seats": ["B-1", "B-1"]}, 422, "duplicate_seat"),
    (nothing_else, TWO | {"category": "none"}, 422, "unknown_category"),
    (nothing_else, TWO | {"zone": "none"}, 422, "unknown_zone"),
    (nothing_else, {"quantity": None}, 422, "validation_failed"),
    (nothing_else, TWO | {"seats": ["B-1"]}, 422, "validation_failed"),
]


@pytest.mark.parametrize(("there", "wish", "status", "code"), REFUSALS)
async def test_a_refused_move_leaves_the_booking_as_it_was_and_nothing_held(
    scene: Scene, there: Callable[[Scene], Awaitable[None]], wish: dict[str, Any], status: int, code: str
) -> None:
    booking = await scene.held("A-1", "A-2")
    await there(scene)
    problem(await scene.move(booking, **wish), status, code)
    assert await scene.now(booking) == booking
    assert await scene.live() == [booking["id"]]


async def confirmed_for_nothing(scene: Scene, booking: dict[str, Any]) -> None:
    await scene.done(scene.here, c.Confirm(booking["id"], scene.id))


async def paid(scene: Scene, booking: dict[str, Any]) -> None:
    await scene.pays(scene.here, booking)


async def being_paid(scene: Scene, booking: dict[str, Any]) -> None:
    await scene.begins_to_pay(scene.here, booking)


async def cancelled(scene: Scene, booking: dict[str, Any]) -> None:
    answer = await scene.http.delete(f"/v1/bookings/{booking['id']}", headers=scene.ann)
    assert answer.status_code == 201, answer.text


async def moved_in_another_tab(scene: Scene, booking: dict[str, Any]) -> None:
    await scene.moved(booking, seats=["C-1"])


async def run_out(scene: Scene, booking: dict[str, Any]) -> None:
    await scene.runs_out(scene.here)


STAYS = ("booking_not_changeable", "other_date")
HAPPENS: list[tuple[Callable[[Scene, dict[str, Any]], Awaitable[None]], tuple[str, str | None]]] = [
    (confirmed_for_nothing, STAYS),
    (paid, STAYS),
    (being_paid, ("payment_in_progress", None)),
    (cancelled, ("booking_already_cancelled", None)),
    (moved_in_another_tab, ("booking_already_cancelled", None)),
    (run_out, ("booking_expired", None)),
]


@pytest.mark.parametrize(("happens", "told"), HAPPENS)
async def test_what_is_not_held_any_more_goes_nowhere_and_is_told_what_is_so(
    scene: Scene, happens: Callable[..., Awaitable[None]], told: tuple[str, str | None]
) -> None:
    if happens is confirmed_for_nothing:
        scene.here = await another_date(scene.http, scene.here, prices=FREE)
    booking = await scene.held("A-1", "A-2")
    await happens(scene, booking)
    before, live = await scene.now(booking), await scene.live()
    refused = problem(await scene.move(booking), 409, told[0])
    assert refused.get("reason") == told[1]
    assert (await scene.now(booking), await scene.live()) == (before, live)


async def test_somebody_else_s_booking_is_not_found_and_an_organizer_buys_nothing(scene: Scene) -> None:
    booking = await scene.held("A-1")
    body = {"schedule_id": scene.there.schedule_id, "quantity": 1}
    url = f"/v1/bookings/{booking['id']}"
    for role in ("customer", "organizer", "admin"):
        problem(await scene.http.patch(url, json=body, headers=scene.person(role)[1]), 404, "booking_not_found")
    account = Account(scene.id, "organizer", str(uuid4()))  # since they have booked
    headers = {"Authorization": f"Bearer {scene.worker.office.tokens.access_token(account)}"}
    problem(await scene.http.patch(url, json=body, headers=headers), 403, "forbidden")
    admin = scene.person("admin")[1]
    named = {"schedule_id": scene.there.schedule_id, "seats": ["B-1"]}
    refused = await scene.http.patch(f"/v1/admin/bookings/{booking['id']}", json=named, headers=admin)
    assert problem(refused, 409, "booking_not_changeable")["reason"] == "other_date"
    assert await scene.now(booking) == booking


async def test_who_came_through_the_waiting_room_of_the_other_date_goes_there(scene: Scene) -> None:
    booking = await scene.held("A-1")
    await with_terms(waiting_room=True)(scene)
    place = await scene.http.post(f"/v1/schedules/{scene.there.schedule_id}/queue", headers=scene.ann)
    scene.ann = scene.ann | {"Queue-Pass": place.json()["pass"]}
    new = await scene.moved(booking, quantity=1)
    assert await scene.live() == [new["id"]]


async def test_a_box_office_has_no_limit_per_customer_on_the_other_date_either(scene: Scene) -> None:
    scene.id, scene.ann = scene.person("box_office")
    booking = await scene.held("A-1", "A-2")
    await with_terms(max_seats_per_customer=1)(scene)
    assert len((await scene.moved(booking, quantity=3))["seats"]) == 3


# --- what breaks off, and what happens meanwhile ----------------------------------------------------------------------
class Between:
    """What happens before or after one of the commands that a move consists of; then all goes on as always."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[None]]) -> None:
        self.sent: list[type[Any]] = []
        self._gateway, self._happens, self._patch = scene.worker.office.gateway, happens, monkeypatch

    async def meanwhile(self, asked: Callable[[], Awaitable[Any]], number: int, *, after: bool) -> Any:
        send = self._gateway.send

        async def watched(schedule_id: str, command: Any, **named: Any) -> Any:
            self.sent.append(type(command))
            mine = len(self.sent) == number
            if mine and not after:
                await self._happens_alone(send)
            answer = await send(schedule_id, command, **named)
            if mine and after:
                await self._happens_alone(send)
            return answer

        with self._patch.context() as patch:
            patch.setattr(self._gateway, "send", watched)
            return await asked()

    async def _happens_alone(self, send: Callable[..., Awaitable[Any]]) -> None:
        with self._patch.context() as patch:
            patch.setattr(self._gateway, "send", send)
            await self._happens()


async def the_worker_dies() -> None:
    raise Unavailable("nobody knows what became of it")


async def broken_off(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool
) -> tuple[dict[str, Any], str]:
    """A booking whose move broke off before or after its command of this number, and the key that it was asked by."""
    booking, key = await scene.held("A-1", "A-2"), uuid4().hex
    between = Between(scene, monkeypatch, the_worker_dies)
    broken = await between.meanwhile(lambda: scene.move(booking, key), number, after=after)
    problem(broken, 503, "overloaded")
    return booking, key


STEPS = [(number, after) for number in (1, 2) for after in (False, True)]


@pytest.mark.parametrize(("number", "after"), STEPS)
async def test_a_move_that_broke_off_anywhere_goes_on_by_the_same_key(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    booking, key = await broken_off(scene, monkeypatch, number, after=after)
    assert await scene.live(), "they have one of the two, if not both"
    new = await scene.moved(booking, key)
    assert seat_ids(new) == ["B-1", "B-2"]
    assert await scene.live() == [new["id"]]
    assert await scene.moved(booking, key) == new, "and is answered again"
    problem(await scene.move(booking, key, seats=["C-1"]), 422, "idempotency_key_reused")
    assert await scene.live() == [new["id"]]
    await scene.examined()


# A hold that is confirmed in the very moment in which it is given back is given up, as what cost nothing always may be.
MEANWHILE = [
    (*row, *at)
    for at in ((1, True), (2, False))
    for row in HAPPENS
    if (row[0], at) != (confirmed_for_nothing, (2, False))
]


@pytest.mark.parametrize(("happens", "told", "number", "after"), MEANWHILE)
async def test_what_happens_to_the_booking_meanwhile_counts_and_nothing_else_is_held(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[..., Awaitable[None]],
    told: tuple[str, str | None],
    number: int,
    after: bool,
) -> None:
    if happens is confirmed_for_nothing:
        scene.here = await another_date(scene.http, scene.here, prices=FREE)
    booking, key = await scene.held("A-1", "A-2"), uuid4().hex
    between = Between(scene, monkeypatch, lambda: happens(scene, booking))
    answer = await between.meanwhile(lambda: scene.move(booking, key), number, after=after)
    gone, live = await scene.now(booking), await scene.live()
    if happens is run_out:  # who asked in time has the other date
        assert (answer.status_code, gone["status"], live) == (200, "expired", [answer.json()["id"]])
        assert await scene.moved(booking, key) == answer.json()
    else:
        refused = problem(answer, 409, told[0])
        assert refused.get("reason") == told[1]
        left = (
            [gone["moved_to"]] if happens is moved_in_another_tab else [] if happens is cancelled else [booking["id"]]
        )
        assert live == left
        assert problem(await scene.move(booking, key), 409, told[0]).get("reason") == told[1]
        assert await scene.live() == left
    await scene.examined()


@pytest.mark.parametrize("after", [False, True])
async def test_a_refusal_that_broke_off_leaves_nothing_held_when_it_is_asked_for_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    booking, key = await scene.held("A-1", "A-2"), uuid4().hex
    paying = Between(scene, monkeypatch, lambda: being_paid(scene, booking))
    dying = Between(scene, monkeypatch, the_worker_dies)

    async def move() -> httpx.Response:
        answer: httpx.Response = await paying.meanwhile(lambda: scene.move(booking, key), 1, after=True)
        return answer

    problem(await dying.meanwhile(move, 3, after=after), 503, "overloaded")
    problem(await scene.move(booking, key), 409, "payment_in_progress")
    assert await scene.live() == [booking["id"]]


async def test_what_ran_out_on_the_other_date_before_it_was_asked_for_again_gives_nothing_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking, key = await broken_off(scene, monkeypatch, 1, after=True)
    await scene.runs_out(scene.there)
    assert problem(await scene.move(booking, key), 409, "booking_not_changeable")["reason"] == "not_held"
    assert await scene.live() == [booking["id"]]
    new = await scene.moved(booking, uuid4().hex)
    assert await scene.live() == [new["id"]]


async def test_what_was_paid_on_the_other_date_before_it_was_asked_for_again_takes_its_place(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking, key = await broken_off(scene, monkeypatch, 1, after=True)
    (new,) = [each for each in await scene.live() if each != booking["id"]]
    await scene.pays(scene.there, {"id": new})
    answer = await scene.moved(booking, key)
    assert (answer["id"], answer["status"], await scene.live()) == (new, "confirmed", [new])


@pytest.mark.parametrize("keys", [1, 2], ids=["sent twice", "pressed in two tabs"])
async def test_a_booking_that_is_moved_twice_at_once_becomes_one(scene: Scene, keys: int) -> None:
    booking = await scene.held("A-1", "A-2")
    names = [uuid4().hex for _ in range(keys)] * (2 // keys)
    answers = await asyncio.gather(*(scene.move(booking, key, quantity=2) for key in names))
    codes = {each.json().get("code") for each in answers if each.status_code != 200}
    assert codes <= {"idempotency_in_progress", "booking_already_cancelled"}
    (new,) = {each.json()["id"] for each in answers if each.status_code == 200}
    assert await scene.live() == [new]
    assert (await scene.now(booking))["moved_to"] == new
    await scene.examined()
