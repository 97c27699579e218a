"""`kill -9` between every two steps of a payment or a refund: afterwards the customer has seat and charge, or neither.

The whole table happens once, to one running system: all stories of one victim stand still at their steps, the victim is
killed, the rest is let go. Then everything is left alone until nothing is pending any more, and each test looks at what
became of one story.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from persistence.embedded.process import free_port
from tests.conftest import MakeStack
from tests.support.crash_points import (
    FEE_PERCENT,
    LOCKED,
    REFUNDS,
    SECRET,
    SENT,
    SETTLED_SECONDS,
    UNANSWERED,
    UNDURABLE,
    Scene,
    Step,
    Story,
)
from tests.support.sale import until
from tests.support.services.holding_proxy import holding_proxy
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack

Row = tuple[Step, str, str]  # where the story stands, who is killed, how its customer goes on

CLIENTS = ("patient", "insistent")
STEPS = (
    (Step.REQUESTED, ("everything", "sandbox", "worker", "owner")),
    (Step.JOURNALED, ("everything", "sandbox", "worker", "owner")),
    (Step.SENT, ("worker",)),
    (Step.CHARGED, ("everything", "sandbox", "worker", "owner")),
    (Step.APPROVED, ("everything", "sandbox", "worker", "owner")),
    (Step.CONFIRMED, ("everything", "worker", "owner")),
    (Step.REFUND, ("everything", "sandbox", "worker", "owner")),
    (Step.OWED, ("everything", "sandbox", "worker", "owner")),
    (Step.RETURN_SENT, ("worker",)),
    (Step.RETURNED, ("everything", "sandbox", "worker", "owner")),
    (Step.COMPLETED, ("everything", "sandbox", "worker", "owner")),
    (Step.REFUNDED, ("everything", "worker", "owner")),
)
SETTLING = (Step.ASKED_AFTER, Step.LOOKED_UP, Step.SETTLED)
REFUNDING = (Step.OWED_AGAIN, Step.RETURNED_AGAIN, Step.COMPLETED_AGAIN)
TABLE = [
    *((step, victim, client) for step, victims in STEPS for victim in victims for client in CLIENTS),
    *((step, "background", "patient") for step in (*SETTLING, *REFUNDING)),
]
# An owner that is made to wait must not be taken for a silent one and replaced, on a busy machine: its successor could
# not even begin while the schedule is locked.
PATIENT = {"BOXOFFICE_CALL_TIMEOUT_SECONDS": "30", "BOXOFFICE_DEADLINE_SECONDS": "45"}
# Before this the provider has not heard of the payment, and will not unless the customer asks again.
UNSENT = (Step.REQUESTED, Step.JOURNALED)
# From here on the provider has the money: the seats must be the customer's, however it goes on.
CHARGED = (Step.CHARGED, Step.APPROVED, Step.CONFIRMED, *SETTLING)
# From here on the refund is journaled: it must be carried out.
OWED = tuple(step for step in REFUNDS if step is not Step.REFUND)


class Outcome:
    """What became of a story: for its customer, for readers of the seat map, and in the provider's own books."""

    def __init__(
        self,
        story: Story,
        bookings: dict[str, dict[str, Any]],
        seats: dict[str, str],
        payments: Sequence[dict[str, Any]],
        refunds: Sequence[dict[str, Any]],
    ) -> None:
        self.booking = bookings[story.booking["id"]]
        self.status = self.booking["status"]
        self.payment = self.booking["payment"]
        self.refunds = self.booking["refunds"]
        self.seat = seats[story.booking["seats"][0]["id"]]
        mine = [each for each in payments if each["booking_id"] == story.booking["id"]]
        self.charged = [each["amount"] for each in mine if each["status"] == "approved"]
        self.given_back = sum(each["refunded"] for each in mine)
        ids = {each["id"] for each in mine}
        self.returns = [each["amount"] for each in refunds if each["payment_id"] in ids]


@dataclass
class Ending:
    """What the tests look at."""

    # Per row of the table the story, what had become of it by itself, and after its customer asked once more.
    rows: dict[Row, tuple[Story, Outcome, Outcome]] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)  # of reconciliation, one per schedule
    pending: list[str] = field(default_factory=list)  # payments and refunds


@pytest.fixture(scope="module")
async def ending(make_stack: MakeStack) -> AsyncIterator[Ending]:
    """The whole table, from the first row's hold to the last one's end."""
    sandbox_url = f"http://127.0.0.1:{free_port()}"
    async with (
        holding_proxy(sandbox_url) as proxy,
        make_stack(workers=1, BOXOFFICE_SANDBOX_URL=proxy.url, BOXOFFICE_SECRET=SECRET, **PATIENT) as stack,
        contextlib.AsyncExitStack() as closing,
    ):
        scene = Scene(stack, proxy, sandbox_url)
        closing.push_async_callback(scene.destroy)
        await scene.start_sandbox()
        await scene.open()
        await scene.begin(TABLE)
        async with asyncio.TaskGroup() as clients:
            # Those first whose payments can only be given up, after eighty seconds.
            for victim in ("everything", "sandbox", "worker"):
                await kill(scene, victim)
                insist(clients, scene, victim)
            await put_in_doubt(scene)
            await kill(scene, "owner")
            insist(clients, scene, "owner")
            await kill_background(scene, SETTLING)
            await kill_background(scene, REFUNDING)
            yield await end(scene)


def of(scene: Scene, victim: str) -> list[Story]:
    return [story for story in scene.stories if story.victim == victim]


def insist(clients: asyncio.TaskGroup, scene: Scene, victim: str) -> None:
    for story in of(scene, victim):
        if story.client == "insistent":
            clients.create_task(scene.insist(story))


async def kill(scene: Scene, victim: str) -> None:
    """Brings the victim's stories to their steps, kills it, and lets everything else go on."""
    stories, stack = of(scene, victim), scene.stack
    owners = await scene.owners()
    async with scene.client() as http:
        await scene.freeze(http, stories)
        scene.pause_worker()
        await scene.unlock(scene.locked(UNANSWERED, stories))
        await scene.durable([story for story in stories if story.step in UNANSWERED])
        asking = [story for story in stories if story.step not in LOCKED]
        assert all(story.hold is not None and story.hold.held for story in asking), "not frozen any more"
        if victim == "everything":
            await stack.kill_all()
            await scene.kill_sandbox()
        elif victim == "worker":
            former = await stack.kill("worker-1")
        elif victim == "sandbox":
            await scene.kill_sandbox()
        else:
            for pid in {owner["pid"] for owner in owners}:  # they share processes
                os.kill(pid, signal.SIGKILL)
        if victim in ("sandbox", "owner"):
            scene.resume_worker()
        for story in asking:  # nothing arrives that the dead have not sent, or at the dead
            scene.let_go(story, drop=victim != "owner" and story.step not in SENT)
        await scene.unlock(scene.locked(UNDURABLE, stories))
        await scene.answered(stories)
    if victim == "everything":
        await stack.start()
    elif victim == "worker":
        await stack.replaced("worker-1", former)
        await stack.answers()
    if victim in ("sandbox", "everything"):
        await scene.start_sandbox()


async def put_in_doubt(scene: Scene) -> None:
    """The provider does what the stories of the background process ask of it, and nobody hears its answer."""
    stories = of(scene, "background")
    async with scene.client() as http:
        for story in stories:
            scene.hold(story, answered=story.step not in REFUNDING)
            scene.ask(http, story)
        await scene.held(stories)
        for story in stories:
            scene.let_go(story, drop=True)
        await scene.answered(stories)
    for story in stories:
        assert story.first is not None
        assert story.first.json()["status"] == "pending"
        if story.step in SETTLING:
            answered = story.step is not Step.ASKED_AFTER
            story.hold = scene.proxy.hold("GET /payments/", story.first.json()["id"], answered=answered)
        else:
            scene.hold(story, answered=story.step is not Step.OWED_AGAIN)


async def kill_background(scene: Scene, steps: Sequence[Step]) -> None:
    """Kills the process that settles and refunds, while it does."""
    stories = [story for story in of(scene, "background") if story.step in steps]
    (undurable,) = [story for story in stories if story.step in UNDURABLE]
    await scene.owner(undurable.sale)  # there before the schedule is locked
    await scene.held(stories)
    await scene.lock(undurable.sale)
    scene.let_go(undurable)
    await scene.decided(undurable.sale, [undurable])
    former = await scene.stack.kill("background")
    for story in stories:
        scene.let_go(story)
    await scene.unlock([undurable.sale])
    await scene.stack.replaced("background", former)


async def end(scene: Scene) -> Ending:
    """Waits until nothing is pending, has every customer ask once more, and looks at everything."""
    ending = Ending()

    async def settled() -> bool:
        ending.pending = await pending(scene)
        asked = all(story.last is not None for story in scene.stories if story.client == "insistent")
        return asked and not ending.pending

    with contextlib.suppress(TimeoutError):  # the tests tell what is still open
        await until(settled, SETTLED_SECONDS)
    before = await outcomes(scene)
    async with scene.client() as http:
        for story in scene.stories:
            if story.client == "patient":
                story.last = await scene.request(http, story)
    after = await outcomes(scene)
    for story, *found in zip(scene.stories, before, after, strict=True):
        ending.rows[story.step, story.victim, story.client] = (story, *found)
    ending.reports = [await reconciled(scene, sale.schedule_id) for sale in scene.sales.values()]
    return ending


async def all_of(scene: Scene, url: str) -> list[dict[str, Any]]:
    page = await scene.read(url, scene.customer, limit="200")
    assert page["next_cursor"] is None
    items: list[dict[str, Any]] = page["items"]
    return items


async def pending(scene: Scene) -> list[str]:
    """Payments and refunds that have no outcome yet."""
    open_payments = [each["id"] for each in await all_of(scene, "/v1/payments") if each["status"] == "pending"]
    refunds = [refund for booking in await all_of(scene, "/v1/bookings") for refund in booking["refunds"]]
    return open_payments + [refund["id"] for refund in refunds if refund["status"] == "pending"]


async def outcomes(scene: Scene) -> list[Outcome]:
    bookings = {booking["id"]: booking for booking in await all_of(scene, "/v1/bookings")}
    payments, refunds = await scene.books("payments"), await scene.books("refunds")
    seats = {}
    for sale in scene.sales.values():
        seats[sale.schedule_id] = await shown(scene, sale.schedule_id, bookings.values())
    return [Outcome(story, bookings, seats[story.sale.schedule_id], payments, refunds) for story in scene.stories]


async def shown(scene: Scene, schedule_id: str, bookings: Any) -> dict[str, str]:
    """The seat map, once it shows the newest of what has happened to these bookings."""
    newest = max(booking["version"] for booking in bookings if booking["schedule_id"] == schedule_id)
    seats: dict[str, Any] = {}

    async def up_to_date() -> bool:
        nonlocal seats
        seats = await scene.read(f"/v1/schedules/{schedule_id}/seats", {})
        return bool(seats["version"] >= newest)

    await until(up_to_date, PATIENCE_SECONDS)
    return {seat["id"]: seat["state"] for seat in seats["seats"]}


async def reconciled(scene: Scene, schedule_id: str) -> dict[str, Any]:
    """The report on a schedule, as soon as it holds; the last one if it does not."""
    report: dict[str, Any] = {}

    async def holds() -> bool:
        nonlocal report
        report = await scene.read(f"/v1/admin/schedules/{schedule_id}/reconciliation", scene.admin)
        return bool(report["holds"])

    with contextlib.suppress(TimeoutError):  # the test tells what does not hold
        await until(holds)
    return report


# --- what must hold ---------------------------------------------------------------------------------------------------
def rows(*, refunds: bool) -> Any:
    return pytest.mark.parametrize(
        "row",
        [
            pytest.param(row, id=f"{row[1]} killed; {row[0]}; {row[2]}")
            for row in TABLE
            if (row[0] in REFUNDS) == refunds
        ],
    )


def seat_and_charge_or_neither(story: Story, outcome: Outcome) -> None:
    assert outcome.returns == []
    if outcome.status == "confirmed":
        assert outcome.seat == "sold"
        assert outcome.charged == [story.price]
        assert (outcome.payment["status"], outcome.payment["amount"]) == ("approved", story.price)
    else:
        assert (outcome.status, outcome.seat) == ("held", "held")
        assert outcome.charged == []
        assert outcome.payment is None or outcome.payment["status"] == "declined"


@rows(refunds=False)
def test_customer_has_seat_and_charge_or_neither(ending: Ending, row: Row) -> None:
    story, outcome, _ = ending.rows[row]
    seat_and_charge_or_neither(story, outcome)
    if story.step in CHARGED:
        assert outcome.status == "confirmed", "the provider had the money"
    if story.step in UNSENT and story.victim != "owner" and story.client == "patient":
        assert outcome.status == "held", "nobody had asked for the money"


def given_back_once_or_not_at_all(story: Story, outcome: Outcome) -> None:
    assert outcome.charged == [story.price]
    assert story.payment is not None
    assert outcome.payment["id"] == story.payment["id"]
    if outcome.status == "refunded":
        owed = story.price * (100 - FEE_PERCENT) // 100
        assert outcome.seat == "free"
        assert (outcome.returns, outcome.given_back) == ([owed], owed)
        (refund,) = outcome.refunds
        assert (refund["status"], refund["amount"], refund["fee"]) == ("completed", owed, story.price - owed)
        assert outcome.payment["status"] == "refunded"
    else:
        assert (outcome.status, outcome.seat) == ("confirmed", "sold")
        assert (outcome.returns, outcome.given_back, outcome.refunds) == ([], 0, [])
        assert outcome.payment["status"] == "approved"


@rows(refunds=True)
def test_seat_is_given_back_for_its_money_once_or_stays_the_customer_s(ending: Ending, row: Row) -> None:
    story, outcome, _ = ending.rows[row]
    given_back_once_or_not_at_all(story, outcome)
    if story.step in OWED:
        assert outcome.status == "refunded", "it was owed"


@rows(refunds=False)
def test_paying_again_with_the_same_key_gives_the_payment_s_outcome(ending: Ending, row: Row) -> None:
    story, before, after = ending.rows[row]
    assert story.last is not None, "no answer"
    seat_and_charge_or_neither(story, after)
    answer = story.last.json()
    if story.last.status_code == 201:
        assert (after.status, answer["status"], answer["booking"]["status"]) == ("confirmed", "approved", "confirmed")
        assert answer["id"] == after.payment["id"]
    else:
        assert (story.last.status_code, answer["code"]) == (402, "payment_declined"), answer
        assert (after.status, answer["payment_id"]) == ("held", after.payment["id"])
    if before.payment is not None:  # otherwise the request was lost, and this was the first one
        assert (after.status, after.payment) == (before.status, before.payment)
    if story.first is not None and story.first.status_code == 201:
        assert answer["id"] == story.first.json()["id"], "what was answered stands"


@rows(refunds=True)
def test_asking_for_the_refund_again_with_the_same_key_gives_the_same_refund(ending: Ending, row: Row) -> None:
    story, before, after = ending.rows[row]
    assert story.last is not None, "no answer"
    given_back_once_or_not_at_all(story, after)
    answer = story.last.json()
    assert (story.last.status_code, after.status) == (201, "refunded"), answer
    assert (answer["id"], answer["status"]) == (after.refunds[0]["id"], "completed")
    if before.refunds:  # otherwise the request was lost, and this was the first one
        assert after.refunds == before.refunds
    if story.first is not None and story.first.status_code == 201:
        assert answer["id"] == story.first.json()["id"], "what was answered stands"


def test_nothing_stays_pending_for_ever(ending: Ending) -> None:
    assert ending.pending == []


def test_everything_agrees_afterwards(ending: Ending) -> None:
    failing = [check for report in ending.reports for check in report["checks"] if not check["holds"]]
    assert failing == []
    assert all(report["holds"] for report in ending.reports)
