"""What could go wrong when seats are handed on, by whoever tries: twice at once, too often, with a new address."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from actors.background.retention import Retention
from actors.gateway.requests import Unavailable
from engine.refusals import Code, Refusal
from persistence.bookings.numbers import number_of
from persistence.check_ins import log
from persistence.database.tables import notifications, transfers
from persistence.notifications.account_mails import PER_HOUR
from tests.api.conftest import PASSWORD
from tests.api.reports.test_transfers import Scene, scene
from tests.support.clocks import MovableClock
from tests.support.sale import problem, read, refund, seat_ids

__all__ = ["scene"]  # the fixture


async def test_an_acceptance_that_is_being_recorded_is_no_refusal(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await scene.person(), await scene.person()
    offer = await scene.offered(ann, await scene.paid(ann, "A-1", "A-2"), bob, "A-1")
    send, left = scene.worker.office.gateway.send, iter(range(25))

    async def stutters(*what: Any, **named: Any) -> Any:
        return await send(*what, **named) if next(left, None) is None else Refusal(Code.IDEMPOTENCY_IN_PROGRESS)

    with monkeypatch.context() as patch:
        patch.setattr("api.routes.bookings.transfers.ASKED_AGAIN_SECONDS", 0)
        patch.setattr(scene.worker.office.gateway, "send", stutters)
        assert (await scene.accept(bob, offer)).status_code == 503
        assert [each["status"] for each in await scene.listed(bob)] == ["accepting"]
        assert seat_ids(await scene.accepted(bob, offer)) == ["A-1"]
    await scene.examined()


async def test_seats_that_are_being_accepted_let_nobody_in_by_the_giver_s_code(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2", "floor", "floor")
    offer = await scene.offered(ann, booking, bob, "A-1", "floor")

    async def away(*what: Any, **named: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(scene.worker.office.gateway, "send", away)
        assert (await scene.accept(bob, offer)).status_code == 503
    assert await scene.door(booking["id"], 4) == "replaced"
    assert await scene.door(booking["id"], 4, "A-1") == "replaced"
    assert await scene.door(booking["id"], 4, "A-2") == "admitted"
    taken = await scene.accepted(bob, offer)
    assert await scene.door(taken["id"], 2) == "admitted"
    assert await scene.door(booking["id"], 4, "floor") == "admitted"
    await scene.examined()


@pytest.mark.parametrize("gone", ["given back", "exchanged", "ended by the organizer"])
async def test_an_offer_of_what_has_gone_another_way_is_over_and_bars_nothing(scene: Scene, gone: str) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "B-1", "B-2", "floor", "floor")  # at one price
    offers = [await scene.offered(ann, booking, bob, *seats) for seats in (("B-1",), ("B-2", "floor"))]
    match gone:
        case "given back":
            answers = [await refund(scene.http, booking["payment"], ann.headers, seat) for seat in ("B-1", "B-2")]
        case "exchanged":
            url, seats = f"/v1/bookings/{booking['id']}", ["C-1", "C-2", "floor", "floor"]
            answers = [await scene.http.patch(url, json={"seats": seats}, headers=ann.headers)]
        case _:
            url = f"/v1/organizer/schedules/{scene.sale.schedule_id}/bookings/{booking['id']}/cancellation"
            answers = [await scene.http.post(url, json={"reason": "flooded"}, headers=scene.sale.organizer)]
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers]
    assert await scene.listed(bob) == []
    for each in offers:
        assert (await read(scene.http, f"/v1/transfers/{each['id']}", ann.headers))["status"] == "withdrawn"
        problem(await scene.accept(bob, each), 409, "transfer_ended")
    again = await scene.offer(ann, booking, bob.email)
    assert again.status_code == (409 if gone.startswith("ended") else 201), again.text
    await scene.examined()


async def test_neither_learns_of_the_other_what_an_ending_comes_to(scene: Scene) -> None:
    """Whoever had the seats knows nothing of the payment, and who has paid nothing of whoever had them."""
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    payment = f"/v1/payments/{booking['payment']['id']}"
    theirs = await scene.handed_on(ann, booking, bob, "A-2")
    mine = await scene.http.delete(f"/v1/bookings/{theirs['id']}", headers=bob.headers)
    refused = problem(mine, 409, "booking_paid")
    assert (refused.get("refund_url"), refused["reason"]) == (None, "handed_on")
    url = f"/v1/organizer/schedules/{scene.sale.schedule_id}/bookings/{theirs['id']}/cancellation"
    ended = await scene.http.post(url, json={"reason": "flooded"}, headers=scene.sale.organizer)
    assert ended.status_code == 201, ended.text
    refund_id = ended.json()["refund"]["id"]

    told = await read(scene.http, f"/v1/bookings/{theirs['id']}/cancellation", bob.headers)
    assert (told["reason"], told["refund"]) == ("flooded", None)
    assert (await read(scene.http, "/v1/cancellations", bob.headers))["items"] == [told]
    reworded = await scene.http.patch(
        f"/v1/bookings/{theirs['id']}/cancellation", json={"reason": "a flood"}, headers=bob.headers
    )
    assert reworded.json() == told | {"reason": "a flood"}
    story = await read(scene.http, f"/v1/bookings/{theirs['id']}/history", bob.headers)
    for secret in (refund_id, booking["payment"]["id"], booking["id"]):
        assert secret not in str(story)

    one = await read(scene.http, f"/v1/refunds/{refund_id}", ann.headers)
    assert (one["booking_id"], one["amount"]) == (booking["id"], 150_000)
    assert (await read(scene.http, f"{payment}/refunds", ann.headers))["items"] == [one]
    for path in (f"/v1/refunds/{refund_id}", f"{payment}/refunds"):
        assert (await scene.http.get(path, headers=bob.headers)).status_code == 404


async def test_what_is_offered_next_is_not_barred_by_an_offer_that_nobody_has_looked_at_since(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "floor", "floor")
    await scene.offered(ann, booking, bob, "floor", "floor")
    problem(await scene.offer(ann, booking, bob.email, "floor"), 409, "transfer_not_allowed")
    assert (await refund(scene.http, booking["payment"], ann.headers, "floor")).status_code == 201
    assert seat_ids(await scene.offered(ann, booking, bob)) == ["A-1", "floor"]


@pytest.mark.parametrize("seats", [(), ("A-1",)], ids=["all", "one of them"])
async def test_nobody_comes_in_for_what_is_being_given_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, seats: tuple[str, ...]
) -> None:
    ann = await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    send, told = scene.worker.office.gateway.send, []

    async def meanwhile(*what: Any, **named: Any) -> Any:
        told.append(await scene.door(booking["id"], 2))
        told.append(await scene.door(booking["id"], 2, "A-1"))
        return await send(*what, **named)

    with monkeypatch.context() as patch:
        patch.setattr(scene.worker.office.gateway, "send", meanwhile)
        answer = await refund(scene.http, booking["payment"], ann.headers, *seats)
    assert answer.status_code == 201, answer.text
    assert told == ["replaced", "replaced"]
    assert await scene.door(booking["id"], 2, "A-2") == ("admitted" if seats else "refunded")
    answer = await refund(scene.http, booking["payment"], ann.headers, "A-2")
    problem(answer, 409, "not_refundable" if seats else "already_refunded")
    other = await scene.paid(await scene.person(), "B-1")
    assert await scene.door(other["id"], 1) == "admitted"


async def test_who_comes_in_while_somebody_accepts_goes_first(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1")
    offer = await scene.offered(ann, booking, bob)
    async with scene.worker.office.database.begin() as connection:
        await log.lock(connection, scene.sale.schedule_id)
        accepting = asyncio.create_task(scene.accept(bob, offer))
        entering = asyncio.create_task(scene.door(booking["id"], 1))
        await asyncio.wait([accepting, entering], timeout=0.2)  # both have begun; whichever came first
    accepted, entered = (await accepting).status_code, await entering
    assert (accepted, entered) in [(200, "replaced"), (409, "admitted")]


async def test_what_the_journal_has_is_accepted_although_its_owner_has_forgotten_the_request(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1")
    offer = await scene.offered(ann, booking, bob)
    await scene.accepted(bob, offer)
    # The answer was lost, and so long ago that the same request is a new one today.
    undone = f"UPDATE transfers SET status = 'accepting', ended_at = NULL WHERE id = '{offer['id']}'"
    await scene.worker.as_superuser(undone)

    async def forgetful(*_: Any, **__: Any) -> Refusal:
        return Refusal(Code.BOOKING_TRANSFERRED)

    monkeypatch.setattr(scene.worker.office.gateway, "send", forgetful)
    assert seat_ids(await scene.accepted(bob, offer)) == ["A-1"]
    await scene.worker.as_superuser(undone)
    problem(await scene.http.delete(f"/v1/transfers/{offer['id']}", headers=ann.headers), 409, "transfer_ended")
    assert [each["status"] for each in await scene.listed(ann, "outgoing")] == ["accepted"]


async def test_nobody_is_written_to_without_end(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1")
    for _ in range(PER_HOUR + 2):
        offer = await scene.offered(ann, booking, bob)
        assert (await scene.http.delete(f"/v1/transfers/{offer['id']}", headers=ann.headers)).status_code == 204
    async with scene.worker.office.database.connect() as connection:
        query = sa.select(sa.func.count()).where(
            notifications.c.kind == "transfer_offered", notifications.c.customer_id == bob.id
        )
        assert (await connection.execute(query)).scalar_one() == PER_HOUR


async def test_addresses_are_forgotten_with_whoever_had_them_and_in_time(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1", "A-2")
    offer = await scene.offered(ann, booking, bob, "A-1")
    theirs = await scene.accepted(bob, offer)
    await scene.handed_on(bob, theirs, ann)
    nobody = await scene.offer(ann, booking, f"{uuid4().hex}@example.com", "A-2")

    async def known(transfer_id: str) -> str | None:
        async with scene.worker.office.database.connect() as connection:
            query = sa.select(transfers.c.to_email).where(transfers.c.id == transfer_id)
            email: str | None = (await connection.execute(query)).scalar_one()
            return email

    await scene.worker.as_superuser(f"UPDATE accounts SET email = '{uuid4().hex}@example.com' WHERE id = '{bob.id}'")
    gone = await scene.http.request("DELETE", "/v1/accounts/me", json={"password": PASSWORD}, headers=bob.headers)
    assert gone.is_success, gone.text
    assert await known(offer["id"]) is None
    for days, there in ((80, True), (100, False)):
        clock = MovableClock(int(timedelta(days=days).total_seconds() * 1000))
        await Retention(scene.worker.office.database, clock).purge()
        assert (await known(nobody.json()["id"]) is not None) is there


async def test_a_booking_whose_seats_are_another_s_is_found_by_its_state_and_number(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, "A-1")
    await scene.handed_on(ann, booking, bob)
    mine = await read(scene.http, "/v1/bookings", ann.headers, status="transferred")
    assert [each["id"] for each in mine["items"]] == [booking["id"]]
    staff = await scene.person()
    await scene.worker.as_superuser(f"UPDATE accounts SET role = 'admin' WHERE id = '{staff.id}'")
    admin = await scene.worker.log_in(staff.email)
    found = await read(scene.http, "/v1/admin/bookings", admin, number=number_of(booking["id"]))
    assert [(each["id"], each["status"]) for each in found["items"]] == [(booking["id"], "transferred")]


async def test_standing_places_handed_back_are_given_back_by_as_many_as_a_booking_has(scene: Scene) -> None:
    ann, bob = await scene.person(), await scene.person()
    booking = await scene.paid(ann, *("floor",) * 3)
    theirs = await scene.handed_on(ann, booking, bob, "floor", "floor")
    await scene.handed_on(bob, theirs, ann)  # one place in the first booking, two in another
    answer = await refund(scene.http, booking["payment"], ann.headers, "floor", "floor")
    assert answer.status_code == 201, answer.text
    assert (await scene.booking(ann, booking["id"]))["status"] == "confirmed"
    await scene.examined()
