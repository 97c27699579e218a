"""A booking that has ended, however it came to that: whatever is asked of it afterwards is told what is so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec import Struct

from actors.mail.tickets import Ticket, ticket_code, ticket_key
from actors.owner.schedule import Schedule
from engine import commands as c
from tests.api.reports.test_transfers import Person, Scene, scene
from tests.support.clocks import MovableClock
from tests.support.sale import another_date, hold, problem, refund

__all__ = ["scene"]  # the fixture

CARD = {"method": {"type": "card", "token": "tok_approve"}}
HOUR_MS = 3_600_000


class Ended(Struct, frozen=True):
    """A booking that was Ann's, and what she has paid for it with."""

    booking: dict[str, Any]
    payment: dict[str, Any] | None = None


class Told(Struct, frozen=True):
    """What is said of it: a code, or a code and its reason."""

    booking: str  # where it is about to be cancelled, by whomever, or to go to another date
    live: str  # where its date has to take it: paying, extending, exchanging
    now: str  # what it is now, as the reason why it has no ticket and nothing to hand on
    money: tuple[str, str | None] | None  # where its payment is to be given back; None: there is none
    door: tuple[str, str | None] | None  # to who comes with its code; None: there is no such door


class Stage:
    """A sale, with those who end bookings."""

    def __init__(self, scene: Scene, ann: Person, admin: Person) -> None:
        self.scene, self.ann, self.admin, self.http = scene, ann, admin, scene.http

    @property
    def owner(self) -> Schedule:
        process = self.scene.worker.office.gateway._owners.owner
        assert process is not None
        found: Schedule = process.host._open[self.scene.sale.schedule_id].schedule
        return found

    async def held(self) -> dict[str, Any]:
        return await hold(self.http, self.scene.sale, self.ann.headers, "A-1")

    async def paid(self) -> Ended:
        booking = await self.scene.paid(self.ann, "A-1")
        return Ended(booking, booking["payment"])

    async def attempt(self, booking: dict[str, Any]) -> dict[str, Any]:
        """A payment for it that was declined."""
        payment = {"id": self.scene.worker.office.clock.new_id()}
        await self.scene.done(c.RequestPayment(booking["id"], self.ann.id, payment["id"], "sandbox"))
        await self.scene.done(c.DeclinePayment(booking["id"], payment["id"], "lost_card"))
        return payment

    async def post(self, path: str, person: dict[str, str], **body: Any) -> None:
        answer = await self.http.post(path, json=body, headers=person)
        assert answer.is_success, answer.text


async def cancelled(stage: Stage) -> Ended:
    booking = await stage.held()
    await stage.post(f"/v1/bookings/{booking['id']}/cancellation", stage.ann.headers)
    return Ended(booking)


async def moved_to_another_date(stage: Stage) -> Ended:
    booking, there = await stage.held(), await another_date(stage.http, stage.scene.sale)
    wish = {"schedule_id": there.schedule_id, "quantity": 1}
    moved = await stage.http.patch(f"/v1/bookings/{booking['id']}", json=wish, headers=stage.ann.headers)
    assert moved.status_code == 200, moved.text
    return Ended(booking)


async def declined_and_cancelled(stage: Stage) -> Ended:
    booking = await stage.held()
    payment = await stage.attempt(booking)
    await stage.post(f"/v1/bookings/{booking['id']}/cancellation", stage.ann.headers)
    return Ended(booking, payment)


async def paid_too_late(stage: Stage) -> Ended:
    ended = await declined_and_cancelled(stage)
    assert ended.payment is not None
    money = (ended.payment["id"], ended.booking["amount"], "KRW", "sandbox", "ref")
    await stage.scene.done(c.ReturnPayment(ended.booking["id"], stage.ann.id, *money, str(uuid4())))
    return ended


async def expired(stage: Stage) -> Ended:
    booking = await stage.held()
    clock = stage.owner._clock
    stage.owner._clock = MovableClock(HOUR_MS)
    await stage.scene.done(c.Expire())
    stage.owner._clock = clock
    return Ended(booking)


async def ended_by_an_admin(stage: Stage) -> Ended:
    booking = await stage.held()
    await stage.post(f"/v1/admin/bookings/{booking['id']}/cancellation", stage.admin.headers, reason="x")
    return Ended(booking)


async def ended_by_the_organizer(stage: Stage) -> Ended:
    ended, sale = await stage.paid(), stage.scene.sale
    path = f"/v1/organizer/schedules/{sale.schedule_id}/bookings/{ended.booking['id']}/cancellation"
    await stage.post(path, sale.organizer, reason="x")
    return ended


async def given_back(stage: Stage) -> Ended:
    ended = await stage.paid()
    assert ended.payment is not None
    await stage.post(f"/v1/payments/{ended.payment['id']}/refunds", stage.ann.headers)
    return ended


async def given_back_after_an_attempt(stage: Stage) -> Ended:
    """And asked for by the attempt, which took no money."""
    booking = await stage.held()
    attempt, payment_id = await stage.attempt(booking), stage.scene.worker.office.clock.new_id()
    await stage.scene.done(c.RequestPayment(booking["id"], stage.ann.id, payment_id, "sandbox"))
    await stage.scene.done(c.ApprovePayment(booking["id"], payment_id, "ref"))
    await stage.post(f"/v1/payments/{payment_id}/refunds", stage.ann.headers)
    return Ended(booking, attempt)


async def ended_without_the_money(stage: Stage) -> Ended:
    ended = await stage.paid()
    path = f"/v1/admin/bookings/{ended.booking['id']}/cancellation"
    await stage.post(path, stage.admin.headers, reason="x", refund=False)
    return ended


async def handed_on(stage: Stage) -> Ended:
    ended = await stage.paid()
    await stage.scene.handed_on(stage.ann, ended.booking, await stage.scene.person())
    return ended


async def handed_on_and_ended_without_the_money(stage: Stage) -> Ended:
    ended = await stage.paid()
    theirs = await stage.scene.handed_on(stage.ann, ended.booking, await stage.scene.person())
    path = f"/v1/admin/bookings/{theirs['id']}/cancellation"
    await stage.post(path, stage.admin.headers, reason="x", refund=False)
    return ended


async def unpaid_on_a_cancelled_date(stage: Stage) -> Ended:
    return await _cancelled_date(stage, Ended(await stage.held()))


async def paid_on_a_cancelled_date(stage: Stage) -> Ended:
    return await _cancelled_date(stage, await stage.paid())


async def _cancelled_date(stage: Stage, ended: Ended) -> Ended:
    path = f"/v1/organizer/schedules/{stage.scene.sale.schedule_id}/cancellation"
    await stage.post(path, stage.scene.sale.organizer, reason="ill")
    await stage.scene.done(c.EndBookings((str(uuid4()),)))
    return ended


async def given_back_on_a_withdrawn_date(stage: Stage) -> Ended:
    ended, sale = await given_back(stage), stage.scene.sale
    gone = await stage.http.delete(f"/v1/schedules/{sale.schedule_id}", headers=sale.organizer)
    assert gone.status_code == 204, gone.text
    return ended


CANCELLED, EXPIRED, HANDED_ON = "booking_already_cancelled", "booking_expired", "booking_transferred"
NOT_HERE, BACK = "schedule_not_found", ("already_refunded", None)
NEVER, KEPT, THEIRS = [("not_refundable", reason) for reason in (None, "kept", "handed_on")]
ENDINGS: list[tuple[Callable[[Stage], Awaitable[Ended]], Told]] = [
    (cancelled, Told(CANCELLED, CANCELLED, "cancelled", None, ("refunded", "cancelled"))),
    (moved_to_another_date, Told(CANCELLED, CANCELLED, "cancelled", None, ("refunded", "cancelled"))),
    (declined_and_cancelled, Told(CANCELLED, CANCELLED, "cancelled", NEVER, ("refunded", "cancelled"))),
    (paid_too_late, Told(CANCELLED, CANCELLED, "cancelled", BACK, ("refunded", "cancelled"))),
    (expired, Told(EXPIRED, EXPIRED, "expired", None, ("refunded", "expired"))),
    (ended_by_an_admin, Told(CANCELLED, CANCELLED, "cancelled", None, ("refunded", "cancelled"))),
    (ended_by_the_organizer, Told(CANCELLED, CANCELLED, "refunded", BACK, ("refunded", "refunded"))),
    (given_back, Told(CANCELLED, CANCELLED, "refunded", BACK, ("refunded", "refunded"))),
    (given_back_after_an_attempt, Told(CANCELLED, CANCELLED, "refunded", NEVER, ("refunded", "refunded"))),
    (ended_without_the_money, Told(CANCELLED, CANCELLED, "refunded", KEPT, ("refunded", "refunded"))),
    (handed_on, Told(HANDED_ON, HANDED_ON, "transferred", THEIRS, ("replaced", "transferred"))),
    (
        handed_on_and_ended_without_the_money,
        Told(HANDED_ON, HANDED_ON, "transferred", KEPT, ("replaced", "transferred")),
    ),
    (unpaid_on_a_cancelled_date, Told(CANCELLED, CANCELLED, "cancelled", None, ("refunded", "schedule_cancelled"))),
    (paid_on_a_cancelled_date, Told(CANCELLED, CANCELLED, "refunded", BACK, ("refunded", "schedule_cancelled"))),
    (given_back_on_a_withdrawn_date, Told(CANCELLED, NOT_HERE, "refunded", BACK, None)),
]


@pytest.mark.parametrize(("ending", "told"), ENDINGS, ids=lambda each: getattr(each, "__name__", ""))
async def test_whatever_is_asked_of_a_booking_that_has_ended_is_told_what_is_so(
    scene: Scene, ending: Callable[[Stage], Awaitable[Ended]], told: Told
) -> None:
    ann, admin = await scene.person(), await scene.person()
    await scene.worker.as_superuser(f"UPDATE accounts SET role = 'admin' WHERE id = '{admin.id}'")
    admin.headers = await scene.worker.log_in(admin.email)
    stage = Stage(scene, ann, admin)
    ended = await ending(stage)
    assert await answers(stage, ended) == expected(told, ended)
    stage.owner._state.ended.restore([])  # it was so long ago that only the tables know
    assert await answers(stage, ended) == expected(told, ended)


def expected(told: Told, ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(("cancel", "delete", "end as admin", "move"), (told.booking, None))
    found |= dict.fromkeys(("pay", "extend", "exchange", "exchange as admin"), (told.live, None))
    found |= {"hand on": ("transfer_not_allowed", told.now), "ticket": ("booking_not_confirmed", told.now)}
    if told.money is not None:
        found |= dict.fromkeys(("give back", "give back the seat", "quote"), told.money)
    return found | {"door": told.door or (NOT_HERE, None)}


async def answers(stage: Stage, ended: Ended) -> dict[str, Any]:
    """What each thing that can be asked is told: the code and the reason."""
    http, mine, admins = stage.http, stage.ann.headers, stage.admin.headers
    its, any_s = f"/v1/bookings/{ended.booking['id']}", f"/v1/admin/bookings/{ended.booking['id']}"
    seats, why = {"seats": ["A-2"]}, {"reason": "x"}
    found = {
        "cancel": await http.post(f"{its}/cancellation", headers=mine),
        "delete": await http.delete(its, headers=mine),
        "end as admin": await http.post(f"{any_s}/cancellation", json=why, headers=admins),
        "pay": await http.post(f"{its}/payments", json=CARD, headers=mine),
        "extend": await http.post(f"{its}/extension", headers=mine),
        "exchange": await http.patch(its, json=seats, headers=mine),
        "move": await http.patch(its, json=seats | {"schedule_id": str(uuid4())}, headers=mine),
        "exchange as admin": await http.patch(any_s, json=seats, headers=admins),
        "hand on": await stage.scene.offer(stage.ann, ended.booking, "bob@example.com"),
        "ticket": await http.get(f"{its}/ticket", headers=mine),
    }
    if ended.payment is not None:
        found["give back"] = await refund(http, ended.payment, mine)
        found["give back the seat"] = await refund(http, ended.payment, mine, "A-1")
        found["quote"] = await http.get(f"/v1/payments/{ended.payment['id']}/refund_quote", headers=mine)
    return {name: _told(answer) for name, answer in found.items()} | {"door": await _at_the_door(stage, ended)}


def _told(answer: httpx.Response) -> tuple[str, str | None]:
    document = problem(answer, answer.status_code, answer.json().get("code"))
    return document["code"], document.get("reason")


async def _at_the_door(stage: Stage, ended: Ended) -> tuple[str, str | None]:
    sale = stage.scene.sale
    ticket = Ticket(booking_id=ended.booking["id"], schedule_id=sale.schedule_id, places=1)
    code = ticket_code(ticket_key(stage.scene.worker.office.settings.secret), ticket)
    url, read = f"/v1/schedules/{sale.schedule_id}/check-ins", [{"id": str(uuid4()), "code": code}]
    answer = await stage.http.post(url, json=read, headers=sale.organizer)
    if not answer.is_success:
        return _told(answer)
    (verdict,) = answer.json()
    return verdict["result"], verdict["reason"]
