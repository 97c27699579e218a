"""Report 18: seats are handed on to somebody else, who has them by a booking of their own."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from actors.mail.tickets import Ticket, ticket_code, ticket_key
from api.routes.bookings import transfers as routes
from engine.commands import ApprovePayment, CancelSchedule, EndBookings, RequestPayment
from engine.refusals import Refusal
from persistence.database.tables import audit_log, idempotency_keys, notifications, transfers
from tests.api.conftest import PASSWORD, Worker
from tests.support.sale import Sale, hold, open_sale, problem, read, refund, seat_ids, small_plan

PLAN = small_plan(rows=3, seats_per_row=6, standing=10)


class Person:
    """A customer, by e-mail."""

    def __init__(self, email: str, account_id: str, headers: dict[str, str]) -> None:
        self.email, self.id, self.headers = email, account_id, headers


class Scene:
    """A sale, and what people do with its seats."""

    def __init__(self, worker: Worker, sale: Sale) -> None:
        self.worker, self.sale, self.http = worker, sale, worker.http

    async def person(self, email: str = "", *, confirmed: bool = True) -> Person:
        email = email or f"{uuid4().hex}@example.com"
        body = {"email": email, "password": PASSWORD, "role": "customer"}
        made = await self.http.post("/v1/accounts", json=body)
        assert made.status_code == 201, made.text
        person = Person(email, made.json()["id"], await self.worker.log_in(email))
        if confirmed:
            await self.confirm(person)
        return person

    async def confirm(self, person: Person) -> None:
        await self.worker.as_superuser(f"UPDATE accounts SET email_confirmed_at = now() WHERE id = '{person.id}'")

    async def done(self, command: Any) -> Any:
        request_id = self.worker.office.clock.new_id()
        answer = await self.worker.office.gateway.send(self.sale.schedule_id, command, request_id=request_id)
        assert not isinstance(answer, Refusal), answer
        return answer

    async def paid(self, person: Person, *seats: str) -> dict[str, Any]:
        booking = await hold(self.http, self.sale, person.headers, *seats)
        payment_id = self.worker.office.clock.new_id()
        await self.done(RequestPayment(booking["id"], person.id, payment_id, "sandbox"))
        await self.done(ApprovePayment(booking["id"], payment_id, "ref"))
        return await self.booking(person, booking["id"])

    async def booking(self, person: Person, booking_id: str) -> dict[str, Any]:
        return await read(self.http, f"/v1/bookings/{booking_id}", person.headers)

    async def offer(self, person: Person, booking: dict[str, Any], to: str, *seats: str) -> httpx.Response:
        body: dict[str, Any] = {"email": to} | ({"seats": seats} if seats else {})
        return await self.http.post(f"/v1/bookings/{booking['id']}/transfers", json=body, headers=person.headers)

    async def offered(self, person: Person, booking: dict[str, Any], to: Person, *seats: str) -> dict[str, Any]:
        answer = await self.offer(person, booking, to.email, *seats)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def accept(self, person: Person, transfer: dict[str, Any]) -> httpx.Response:
        return await self.http.post(f"/v1/transfers/{transfer['id']}/acceptance", headers=person.headers)

    async def accepted(self, person: Person, transfer: dict[str, Any]) -> dict[str, Any]:
        answer = await self.accept(person, transfer)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def handed_on(self, person: Person, booking: dict[str, Any], to: Person, *seats: str) -> dict[str, Any]:
        return await self.accepted(to, await self.offered(person, booking, to, *seats))

    async def listed(self, person: Person, direction: str = "incoming") -> list[dict[str, Any]]:
        found = await read(self.http, "/v1/transfers", person.headers, direction=direction)
        items: list[dict[str, Any]] = found["items"]
        return items

    async def door(self, booking_id: str, places: int, seat: str | None = None) -> str:
        """What somebody is told who comes with a code."""
        made = Ticket(booking_id=booking_id, schedule_id=self.sale.schedule_id, places=places, seat=seat, place=1)
        code = ticket_code(ticket_key(self.worker.office.settings.secret), made)
        answer = await self.http.post(
            f"/v1/schedules/{self.sale.schedule_id}/check-ins",
            json=[{"id": str(uuid4()), "code": code}],
            headers=self.sale.organizer,
        )
        assert answer.status_code == 200, answer.text
        result: str = answer.json()[0]["result"]
        return result

    async def adds_up(self) -> None:
        """The table of bookings comes to what the settlement says."""
        url = f"/v1/organizer/schedules/{self.sale.schedule_id}"
        table = (await self.http.get(f"{url}/bookings.csv", headers=self.sale.organizer)).text
        rows = list(csv.DictReader(io.StringIO(table.removeprefix("\ufeff"))))
        settled = await read(self.http, f"{url}/settlement", self.sale.organizer)
        for column, name in (("paid", "gross"), ("refunded", "refunded"), ("fees", "fees")):
            assert sum(int(row[column]) for row in rows) == settled[name], name

    async def examined(self) -> None:
        report = await self.worker.office.reconciler.examine(self.sale.schedule_id)
        assert report.failing == frozenset(), report
        await self.adds_up()


@pytest.fixture
async def scene(worker: Worker) -> Scene:
    return Scene(worker, await open_sale(worker.http, plan=PLAN))


async def test_report_18_seats_are_offered_and_accepted_and_the_old_code_is_worth_nothing(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2", "floor", "floor")
    transfer = await scene.offered(ann, booking, bob, "A-2", "floor")
    assert (transfer["direction"], transfer["status"], transfer["email"]) == ("outgoing", "offered", bob.email)
    assert seat_ids(await scene.booking(ann, booking["id"])) == ["A-1", "A-2", "floor", "floor"]
    (incoming,) = await scene.listed(bob)
    assert (incoming["direction"], incoming["id"], incoming["email"]) == ("incoming", transfer["id"], None)
    assert (incoming["booking_id"], seat_ids(incoming)) == (None, ["A-2", "floor"])  # neither prices nor whose

    theirs = await scene.accepted(bob, transfer)
    assert (theirs["status"], seat_ids(theirs), theirs["handed_on"]) == ("confirmed", ["A-2", "floor"], True)
    assert (theirs["payment"], theirs["refunds"], theirs["refund_terms"]) == (None, [], [])
    left = await scene.booking(ann, booking["id"])
    assert (left["status"], seat_ids(left)) == ("confirmed", ["A-1", "floor"])
    assert left["payment"]["amount"] == booking["payment"]["amount"]
    assert (await scene.http.get(f"/v1/bookings/{theirs['id']}", headers=ann.headers)).status_code == 404
    assert (await scene.http.get(f"/v1/bookings/{booking['id']}", headers=bob.headers)).status_code == 404

    # The whole of the old code is void, and so is that for the seat; what is kept has a new one.
    assert await scene.door(booking["id"], 4) == "replaced"
    assert await scene.door(booking["id"], 1, "A-2") == "replaced"
    assert await scene.door(booking["id"], 1, "A-1") == "admitted"
    assert await scene.door(theirs["id"], 2) == "admitted"
    (incoming, outgoing) = (await scene.listed(bob), await scene.listed(ann, "outgoing"))
    assert (incoming, [each["status"] for each in outgoing]) == ([], ["accepted"])
    await scene.examined()


async def test_report_18_all_seats_are_handed_on_and_on_again(scene: Scene) -> None:
    ann, bob, eve = [await scene.person() for _ in range(3)]
    booking = await scene.paid(ann, "A-1", "A-2")
    first = await scene.handed_on(ann, booking, bob)
    old = await scene.booking(ann, booking["id"])
    assert (old["status"], seat_ids(old)) == ("transferred", ["A-1", "A-2"])
    assert await scene.door(booking["id"], 2) == "replaced"
    second = await scene.handed_on(bob, first, eve, "A-2")
    assert await scene.door(first["id"], 2) == "replaced"
    assert await scene.door(second["id"], 1) == "admitted"
    problem(await scene.offer(ann, booking, bob.email), 409, "transfer_not_allowed")
    # What is void is not on the list that the door takes along, either.
    url = f"/v1/schedules/{scene.sale.schedule_id}/check-ins"
    view = await read(scene.http, url, scene.sale.organizer, list="offline")
    listed = {each["booking_id"] for each in view["items"]}
    assert listed == {first["id"], second["id"]}
    await scene.examined()


async def test_report_18_nobody_learns_who_has_an_account(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    unconfirmed = await scene.person(confirmed=False)
    booking = await scene.paid(ann, "A-1", "A-2", "A-3", "A-4")
    nobody = f"{uuid4().hex}@example.com"
    answers = [
        await scene.offer(ann, booking, email, seat)
        for email, seat in [(bob.email, "A-1"), (nobody, "A-2"), (unconfirmed.email, "A-3"), (bob.email.upper(), "A-4")]
    ]
    assert {each.status_code for each in answers} == {201}
    assert len({tuple(sorted(each.json())) for each in answers}) == 1
    # Only who has confirmed the address is written to, finds the offer, and may take it.
    async with scene.worker.office.database.connect() as connection:
        query = sa.select(notifications.c.customer_id).where(notifications.c.kind == "transfer_offered")
        told = [
            each for each in (await connection.execute(query)).scalars() if each in (bob.id, unconfirmed.id, ann.id)
        ]
    assert told == [bob.id, bob.id]
    assert len(await scene.listed(bob)) == 2
    assert await scene.listed(unconfirmed) == []
    for each in answers:
        problem(await scene.accept(unconfirmed, each.json()), 404, "transfer_not_found")
        problem(await scene.accept(ann, each.json()), 404, "transfer_not_found")
    # Whoever signs up later, or confirms, has it then.
    late = await scene.person(nobody)
    await scene.confirm(unconfirmed)
    assert [seat_ids(each) for each in await scene.listed(late)] == [["A-2"]]
    assert [seat_ids(each) for each in await scene.listed(unconfirmed)] == [["A-3"]]
    assert seat_ids(await scene.accepted(late, answers[1].json())) == ["A-2"]
    await scene.examined()


@pytest.mark.parametrize(("role", "told"), [("customer", True), ("box_office", True), ("organizer", False)])
async def test_report_18_whoever_may_accept_is_written_to(scene: Scene, role: str, told: bool) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1")
    await scene.worker.as_superuser(f"UPDATE accounts SET role = '{role}' WHERE id = '{bob.id}'")
    bob.headers = await scene.worker.log_in(bob.email)
    transfer = await scene.offered(ann, booking, bob)
    async with scene.worker.office.database.connect() as connection:
        query = sa.select(notifications.c.customer_id).where(notifications.c.id == transfer["id"])
        assert (await connection.execute(query)).scalars().all() == [bob.id] * told
    assert (await scene.accept(bob, transfer)).status_code == (200 if told else 403)


async def test_report_18_an_offer_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob, eve = [await scene.person() for _ in range(3)]
    booking = await scene.paid(ann, "A-1")
    declined = await scene.offered(ann, booking, bob)
    problem(await scene.offer(ann, booking, bob.email), 409, "transfer_not_allowed")  # it is promised already
    for method, noun in (("POST", "/refusal"), ("DELETE", "")):  # one is as good as the other, and once is enough
        answer = await scene.http.request(method, f"/v1/transfers/{declined['id']}{noun}", headers=bob.headers)
        assert answer.status_code == 204, answer.text
    assert problem(await scene.accept(bob, declined), 409, "transfer_ended")
    withdrawn = await scene.offered(ann, booking, bob)
    other = await scene.http.delete(f"/v1/transfers/{withdrawn['id']}", headers=eve.headers)
    problem(other, 404, "transfer_not_found")
    for _ in range(2):
        answer = await scene.http.delete(f"/v1/transfers/{withdrawn['id']}", headers=ann.headers)
        assert answer.status_code == 204, answer.text
    assert problem(await scene.accept(bob, withdrawn), 409, "transfer_ended")
    monkeypatch.setattr(routes, "OFFERED_FOR", timedelta(0))
    late = await scene.offered(ann, booking, bob)
    problem(await scene.accept(bob, late), 409, "transfer_ended")
    assert await scene.listed(bob) == []
    states = [each["status"] for each in await scene.listed(ann, "outgoing")]
    assert states == ["expired", "withdrawn", "declined"]
    monkeypatch.undo()
    taken = await scene.offered(ann, booking, bob)
    await scene.accepted(bob, taken)
    answer = await scene.http.delete(f"/v1/transfers/{taken['id']}", headers=ann.headers)
    problem(answer, 409, "transfer_ended")
    async with scene.worker.office.database.connect() as connection:
        query = sa.select(audit_log.c.action).where(audit_log.c.subject == f"booking:{booking['id']}")
        actions = list((await connection.execute(query.order_by(audit_log.c.seq))).scalars())
    offered = "transfer.offered"
    assert actions == [
        *(offered, "transfer.declined", offered, "transfer.withdrawn", offered, offered, "transfer.accepted")
    ]


async def test_report_18_an_offer_sent_again_is_the_first_one(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    url = f"/v1/bookings/{booking['id']}/transfers"

    async def offer(key: str, to: str) -> httpx.Response:
        headers = ann.headers | {"Idempotency-Key": key}
        return await scene.http.post(url, json={"email": to}, headers=headers)

    at_once = await asyncio.gather(*(offer("mine", bob.email) for _ in range(4)))
    assert {answer.status_code for answer in at_once} <= {201, 409}
    (made,) = {answer.content for answer in at_once if answer.status_code == 201}
    others = {answer.json()["code"] for answer in at_once if answer.status_code == 409}
    assert others <= {"idempotency_in_progress"}
    (transfer,) = await scene.listed(bob)
    problem(await offer("mine", "other@example.com"), 422, "idempotency_key_reused")
    await scene.accepted(bob, transfer)
    again = await offer("mine", bob.email)  # though the seats are his by now
    assert (again.status_code, again.content) == (201, made)
    assert again.headers["location"] == f"/v1/transfers/{transfer['id']}"
    problem(await offer("another", bob.email), 409, "transfer_not_allowed")


async def test_report_18_the_answer_to_an_offer_goes_with_whom_it_names(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person(confirmed=False)
    booking = await scene.paid(ann, "A-1")
    headers = ann.headers | {"Idempotency-Key": "mine"}
    url, body = f"/v1/bookings/{booking['id']}/transfers", {"email": bob.email}
    assert (await scene.http.post(url, json=body, headers=headers)).status_code == 201
    assert (await scene.http.delete("/v1/accounts/me", headers=bob.headers)).status_code == 204
    async with scene.worker.office.database.connect() as connection:
        query = sa.select(sa.func.count()).select_from(idempotency_keys).where(idempotency_keys.c.owner == ann.id)
        assert (await connection.execute(query)).scalar_one() == 0


async def test_report_18_offers_are_read_one_by_one_and_page_by_page(scene: Scene) -> None:
    ann, bob, eve = [await scene.person() for _ in range(3)]
    booking = await scene.paid(ann, "A-1", "A-2", "A-3")
    made = [await scene.offered(ann, booking, bob, seat) for seat in ("A-1", "A-2", "A-3")]
    for person, direction in ((ann, "outgoing"), (bob, "incoming")):
        found: list[Any] = []
        query: dict[str, Any] = {"direction": direction, "limit": 2}
        while True:
            page = await read(scene.http, "/v1/transfers", person.headers, **query)
            found += page["items"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert [each["id"] for each in found] == [each["id"] for each in reversed(made)]
        for each in found:
            assert await read(scene.http, f"/v1/transfers/{each['id']}", person.headers) == each
    assert await read(scene.http, f"/v1/transfers/{made[0]['id']}", ann.headers) == made[0]
    stranger = await scene.http.get(f"/v1/transfers/{made[0]['id']}", headers=eve.headers)
    problem(stranger, 404, "transfer_not_found")


async def test_report_18_what_cannot_be_handed_on(scene: Scene) -> None:
    ann, bob, eve = [await scene.person() for _ in range(3)]
    held = await hold(scene.http, scene.sale, ann.headers, "C-1")
    problem(await scene.offer(ann, held, bob.email), 409, "transfer_not_allowed")
    booking = await scene.paid(ann, "A-1", "A-2")
    problem(await scene.offer(bob, booking, eve.email), 404, "booking_not_found")
    problem(await scene.offer(ann, booking, bob.email, "A-3"), 409, "transfer_not_allowed")
    problem(await scene.offer(ann, booking, ann.email), 422, "validation_failed")
    problem(await scene.offer(ann, booking, "nobody"), 422, "validation_failed")
    waiting = await scene.offered(ann, booking, bob)
    assert await scene.door(booking["id"], 2) == "admitted"
    problem(await scene.accept(bob, waiting), 409, "transfer_not_allowed")
    problem(await scene.offer(ann, booking, eve.email, "A-1"), 409, "transfer_not_allowed")
    url = f"/v1/schedules/{scene.sale.schedule_id}"
    changed = await scene.http.patch(url, json={"transferable": False}, headers=scene.sale.organizer)
    assert (changed.status_code, changed.json()["transferable"]) == (200, False), changed.text
    other = await scene.paid(ann, "B-1")
    problem(await scene.offer(ann, other, bob.email), 409, "transfer_not_allowed")
    await scene.examined()


async def test_report_18_an_offer_made_before_the_organizer_forbids_it_is_worth_nothing(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1")
    waiting = await scene.offered(ann, booking, bob)
    url = f"/v1/schedules/{scene.sale.schedule_id}"
    assert (await scene.http.patch(url, json={"transferable": False}, headers=scene.sale.organizer)).is_success
    problem(await scene.accept(bob, waiting), 409, "transfer_not_allowed")
    assert (await scene.booking(ann, booking["id"]))["status"] == "confirmed"
    assert [each["status"] for each in await scene.listed(ann, "outgoing")] == ["withdrawn"]


async def test_report_18_the_limit_is_that_of_whoever_accepts(worker: Worker) -> None:
    scene = Scene(worker, await open_sale(worker.http, plan=PLAN, max_seats_per_customer=2))
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    theirs = await hold(scene.http, scene.sale, bob.headers, "B-1")
    waiting = await scene.offered(ann, booking, bob)
    problem(await scene.accept(bob, waiting), 409, "customer_limit_reached")
    assert (await scene.listed(bob))[0]["status"] == "offered"  # it waits until there is room
    kept = "SELECT to_customer_id FROM transfers WHERE id = $1"
    assert await worker.office.pool.fetchval(kept, waiting["id"]) is None, "nobody has accepted"
    assert (await scene.http.delete(f"/v1/bookings/{theirs['id']}", headers=bob.headers)).is_success
    await scene.accepted(bob, waiting)
    # And whoever has handed on may buy again.
    assert seat_ids(await scene.paid(ann, "C-1", "C-2")) == ["C-1", "C-2"]
    await scene.examined()


async def test_report_18_money_is_whose_it_was(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2", "A-3")
    payment = booking["payment"]
    theirs = await scene.handed_on(ann, booking, bob, "A-2")
    # Neither gives back what is the other's.
    problem(await refund(scene.http, payment, bob.headers), 404, "payment_not_found")
    problem(await refund(scene.http, payment, ann.headers, "A-2"), 409, "not_refundable")
    mine = await refund(scene.http, payment, ann.headers, "A-1")
    assert mine.status_code == 201, mine.text
    # Handed back, they are to be given back again.
    back = await scene.handed_on(bob, theirs, ann)
    assert (back["handed_on"], back["payment"]["id"]) == (False, payment["id"])
    quote = f"/v1/payments/{payment['id']}/refund_quote"
    assert (await read(scene.http, quote, ann.headers, seats="A-2"))["amount"] == 150_000
    again = await refund(scene.http, payment, ann.headers, "A-2")
    assert (again.status_code, again.json()["amount"]) == (201, 150_000), again.text
    now = (await scene.booking(ann, booking["id"]))["payment"]
    assert now == await read(scene.http, f"/v1/payments/{payment['id']}", ann.headers), "one payment has one sum"
    assert (now["status"], now["refunded"]) == ("partially_refunded", 300_000)
    last = await refund(scene.http, payment, ann.headers)
    assert last.status_code == 201, last.text
    assert (await scene.booking(ann, booking["id"]))["payment"]["status"] == "refunded"
    await scene.examined()


async def test_report_18_a_cancelled_date_gives_the_money_to_who_paid(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    theirs = await scene.handed_on(ann, booking, bob, "A-2")
    waiting = await scene.offered(ann, booking, bob)
    await scene.done(CancelSchedule("flood", "organizer"))
    await scene.done(EndBookings(tuple(scene.worker.office.clock.new_id() for _ in range(4))))
    problem(await scene.accept(bob, waiting), 409, "transfer_not_allowed")
    refunds = (await read(scene.http, f"/v1/payments/{booking['payment']['id']}/refunds", ann.headers))["items"]
    # Of both, by the only booking that is known to who has paid.
    assert [(each["amount"], each["booking_id"]) for each in refunds] == [(150_000, booking["id"])] * 2
    gone = await scene.booking(bob, theirs["id"])
    assert (gone["status"], gone["refunds"]) == ("refunded", [])
    await scene.examined()


async def test_report_18_accepting_twice_at_once_and_after_a_crash_is_accepting_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    transfer = await scene.offered(ann, booking, bob, "A-1")
    answers = await asyncio.gather(*(scene.accept(bob, transfer) for _ in range(4)))
    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["id"] for each in answers}) == 1

    # The process dies when the journal has it, and before the offer says so.
    second = await scene.offered(ann, booking, bob, "A-2")
    with monkeypatch.context() as patch:

        async def dies(*_: Any, **__: Any) -> None:
            raise ConnectionError

        patch.setattr(routes, "_audit", dies)
        assert (await scene.accept(bob, second)).status_code == 503
    answer = await scene.http.delete(f"/v1/transfers/{second['id']}", headers=ann.headers)
    problem(answer, 409, "transfer_ended")  # it is too late
    assert seat_ids(await scene.accepted(bob, second)) == ["A-2"]
    assert [each["status"] for each in await scene.listed(ann, "outgoing")] == ["accepted", "accepted"]

    # And before the owner was asked: whoever was there goes on, nobody else does.
    third = await scene.paid(ann, "A-3")
    offer = await scene.offered(ann, third, bob)
    await scene.worker.as_superuser(
        f"UPDATE transfers SET status = 'accepting', to_customer_id = '{bob.id}' WHERE id = '{offer['id']}'"
    )
    assert (await scene.listed(bob))[0]["status"] == "accepting"
    assert seat_ids(await scene.accepted(bob, offer)) == ["A-3"]
    await scene.examined()


async def test_report_18_an_offer_follows_the_address_and_ends_with_the_account(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    first = await scene.offered(ann, booking, bob, "A-1")
    # Who has another address now has not been offered anything.
    await scene.worker.as_superuser(f"UPDATE accounts SET email = '{uuid4().hex}@example.com' WHERE id = '{bob.id}'")
    assert await scene.listed(bob) == []
    problem(await scene.accept(bob, first), 404, "transfer_not_found")
    eve = await scene.person()
    second = await scene.offered(ann, booking, eve, "A-2")
    gone = await scene.http.request("DELETE", "/v1/accounts/me", json={"password": PASSWORD}, headers=eve.headers)
    assert gone.is_success, gone.text
    async with scene.worker.office.database.connect() as connection:
        query = sa.select(transfers.c.status, transfers.c.to_email).where(transfers.c.id == second["id"])
        assert tuple((await connection.execute(query)).one()) == ("withdrawn", None)
