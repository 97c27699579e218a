"""Payments and refunds that are stopped at a chosen step, so that a process can be killed right there.

Nothing in the product knows of this. What lies between a decision and its being durable is stopped by holding the
schedule's head row, which every group commit needs; what lies around a call to the provider by a proxy
(`holding_proxy`); what lies between durable and answered by SIGSTOP of the API worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import httpx

from actors.process.settings import Settings
from actors.supervision.programs import sandbox
from persistence.embedded.process import Child, child_environment
from persistence.providers.sandbox import api_key
from tests.support.sale import Sale, log_in_admin, open_sale, paid_booking, sign_up, small_plan, until
from tests.support.sale import hold as hold_seats
from tests.support.services.holding_proxy import Hold, HoldingProxy
from tests.support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from tests.conftest import Stack

SECRET = "a secret that sandbox and system share"
FEE_PERCENT = 10
SETTLED_SECONDS = 240.0  # a payment given up as never charged takes 80, see persistence/providers/provider.py


class Step(StrEnum):
    """Where a payment or a refund is when the process dies. What follows the colon has not happened yet."""

    REQUESTED = "payment decided: durable"
    JOURNALED = "payment durable: charge sent"
    SENT = "charge sent: charged"
    CHARGED = "charged: answer received"
    APPROVED = "approval decided: durable"
    CONFIRMED = "approval durable: answered"
    ASKED_AFTER = "settlement begun: look-up sent"
    LOOKED_UP = "looked up: answer received by settlement"
    SETTLED = "settlement's approval decided: durable"

    REFUND = "refund decided: durable"
    OWED = "refund durable: provider asked"
    RETURN_SENT = "provider asked: given back"
    RETURNED = "given back: answer received"
    COMPLETED = "completion decided: durable"
    REFUNDED = "completion durable: answered"
    OWED_AGAIN = "refunding begun: provider asked"
    RETURNED_AGAIN = "given back: answer received by refunding"
    COMPLETED_AGAIN = "refunding's completion decided: durable"


REFUNDS = tuple(Step)[tuple(Step).index(Step.REFUND) :]
# Steps whose schedule is locked, and which one it is.
UNDURABLE = {
    Step.REQUESTED: "requested",
    Step.APPROVED: "approved",
    Step.SETTLED: "approved",
    Step.REFUND: "refund",
    Step.COMPLETED: "completed",
    Step.COMPLETED_AGAIN: "completed",
}
UNANSWERED = {Step.CONFIRMED: "confirmed", Step.REFUNDED: "refunded"}
LOCKED = {**UNDURABLE, **UNANSWERED}
SENT = (Step.SENT, Step.RETURN_SENT)
# Steps to which only the provider's answer leads.
LATE = (Step.APPROVED, Step.CONFIRMED, Step.COMPLETED, Step.REFUNDED)
AFTER_PROVIDER = (Step.CHARGED, Step.RETURNED)  # of those that stand still at the provider


@dataclass
class Story:
    """One booking whose payment or refund is interrupted, and what its customer is told."""

    step: Step
    victim: str
    client: str  # patient: asks again when all is settled; insistent: at once, and until there is an answer
    sale: Sale
    booking: dict[str, Any]
    payment: dict[str, Any] | None  # of a refund: the one that it gives back
    key: str = field(default_factory=lambda: uuid4().hex)
    first: httpx.Response | None = None  # the answer to the first request, if there was one
    last: httpx.Response | None = None  # the answer when all was settled
    hold: Hold | None = None

    @property
    def price(self) -> int:
        return int(self.booking["amount"])

    @property
    def url(self) -> str:
        if self.payment is None:
            return f"/v1/bookings/{self.booking['id']}/payments"
        return f"/v1/payments/{self.payment['id']}/refunds"

    @property
    def body(self) -> dict[str, Any]:
        return {"method": {"type": "card", "token": "tok_approve"}} if self.payment is None else {}


class Scene:
    """A running system, its payment sandbox behind a proxy, a customer, and the schedules the stories are about."""

    def __init__(self, stack: Stack, proxy: HoldingProxy, sandbox_url: str) -> None:
        self.stack = stack
        self.proxy = proxy
        self.sandbox_url = sandbox_url
        self.stories: list[Story] = []
        self.customer: dict[str, str] = {}
        self.admin: dict[str, str] = {}
        self.sales: dict[str, Sale] = {}
        self._sandbox: Child | None = None
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._locks: dict[str, asyncpg.Connection[Any]] = {}

    # --- the provider -------------------------------------------------------------------------------------------------
    async def start_sandbox(self) -> None:
        environment = child_environment(
            os.environ,
            BOXOFFICE_SANDBOX_URL=self.sandbox_url,
            BOXOFFICE_SECRET=SECRET,
            BOXOFFICE_DATA_DIR=str(self.stack.data_dir / "provider"),
            BOXOFFICE_PORT=str(self.stack.port),
        )
        program = replace(sandbox(self.sandbox_url), log=self.stack.data_dir / "provider.log")
        self._sandbox = await Child.start(program, environment)
        await self._sandbox.until_ready()

    async def kill_sandbox(self) -> None:
        assert self._sandbox is not None
        await self._sandbox.kill()

    async def books(self, what: str) -> list[dict[str, Any]]:
        """All of the provider's own `payments` or `refunds`."""
        headers = {"authorization": f"Bearer {api_key(Settings(secret=SECRET).sandbox_secrets[0])}"}
        async with httpx.AsyncClient(base_url=self.sandbox_url, headers=headers, trust_env=False, verify=False) as http:
            answer = await http.get(f"/{what}")
        page = answer.json()
        assert page["next_cursor"] is None
        items: list[dict[str, Any]] = page["items"]
        return items

    # --- the sale -----------------------------------------------------------------------------------------------------
    def client(self) -> httpx.AsyncClient:
        return self.stack.client(PATIENCE_SECONDS)

    async def open(self) -> None:
        """Puts the schedules on sale."""
        async with self.client() as http:
            self.customer, self.admin = await sign_up(http), await log_in_admin(http, self.stack)
            terms: dict[str, Any] = {
                "plan": small_plan(rows=4, seats_per_row=12),
                "max_seats_per_customer": 1000,
                "refund_policy": [{"days_before": 0, "fee_percent": FEE_PERCENT}],
            }
            names = ["open", *dict.fromkeys(LOCKED.values())]
            sales = await asyncio.gather(*(open_sale(http, **terms) for _ in names))
        self.sales = dict(zip(names, sales, strict=True))
        await self.owners()

    def locked(self, steps: Mapping[Step, str], stories: Sequence[Story]) -> list[Sale]:
        """The schedules to lock for these of the steps."""
        names = dict.fromkeys(steps[story.step] for story in stories if story.step in steps)
        return [self.sales[name] for name in names]

    async def begin(self, table: Sequence[tuple[Step, str, str]]) -> None:
        """A booking for each row of the table: held if it is to be paid, paid if it is to be refunded."""
        async with self.client() as http:
            self.stories += await asyncio.gather(*(self._begin(http, *row) for row in table))

    async def _begin(self, http: httpx.AsyncClient, step: Step, victim: str, client: str) -> Story:
        sale = self.sales[LOCKED.get(step, "open")]
        (seat,) = sale.fresh()
        if step in REFUNDS:
            booking, payment = await paid_booking(http, sale, self.customer, seat)
            return Story(step, victim, client, sale, booking, payment)
        return Story(step, victim, client, sale, await hold_seats(http, sale, self.customer, seat), None)

    # --- asking -------------------------------------------------------------------------------------------------------
    def ask(self, http: httpx.AsyncClient, story: Story) -> None:
        """Sends the customer's request, and goes on without its answer."""
        self._asking[id(story)] = asyncio.create_task(self._ask(http, story))

    async def _ask(self, http: httpx.AsyncClient, story: Story) -> None:
        with contextlib.suppress(httpx.TransportError):
            story.first = await self.request(http, story)

    async def request(self, http: httpx.AsyncClient, story: Story) -> httpx.Response:
        headers = self.customer | {"Idempotency-Key": story.key}
        return await http.post(story.url, json=story.body, headers=headers)

    async def answered(self, stories: Sequence[Story]) -> None:
        """Waits until the first requests have their answers, or have failed for good."""
        await asyncio.gather(*(self._asking[id(story)] for story in stories))

    async def insist(self, story: Story) -> None:
        """Asks again until there is an answer that nothing is pending in, as a careful client does."""
        async with self.client() as http, asyncio.timeout(SETTLED_SECONDS):
            while story.last is None:
                with contextlib.suppress(httpx.TransportError):
                    answer = await self.request(http, story)
                    if not _put_off(answer):
                        story.last = answer
                await asyncio.sleep(0.25)  # as a client waits before it asks again

    async def read(self, url: str, headers: dict[str, str], **query: str) -> dict[str, Any]:
        """What is at the address, also while workers come and go."""
        async with self.client() as http, asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await http.get(url, params=query, headers=headers)
                    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                        assert answer.status_code == httpx.codes.OK, answer.text
                        found: dict[str, Any] = answer.json()
                        return found
                await asyncio.sleep(0.05)  # as a client waits before it asks again

    # --- standing still -----------------------------------------------------------------------------------------------
    async def freeze(self, http: httpx.AsyncClient, stories: Sequence[Story]) -> None:
        """Brings every story to its step. The calls to the provider come last: nobody waits for one for long."""
        late = [story for story in stories if story.step in LATE]
        for story in late:
            self.hold(story, answered=True)
            self.ask(http, story)
        await self.held(late)
        locked = self.locked(LOCKED, stories)
        for sale in locked:
            await self.lock(sale)
        for story in late:
            self.let_go(story)
        for story in stories:
            if story.step in (Step.REQUESTED, Step.REFUND):
                self.ask(http, story)
        for sale in locked:
            await self.decided(sale, [story for story in stories if story.sale is sale])
        asking = [story for story in stories if story.step not in LOCKED]
        for story in asking:
            self.hold(story, answered=story.step in AFTER_PROVIDER, sent=story.step in SENT)
            self.ask(http, story)
        await self.held(asking)

    def hold(self, story: Story, *, answered: bool, sent: bool = False) -> None:
        """Has the proxy hold what the story's step asks of the provider."""
        if story.step in REFUNDS:
            assert story.payment is not None
            kind, word = "POST /refunds", story.payment["id"]
        else:
            kind, word = "POST /payments", story.booking["id"]
        story.hold = self.proxy.hold(kind, word, answered=answered, sent=sent)

    def let_go(self, story: Story, *, drop: bool = False) -> None:
        assert story.hold is not None
        story.hold.let_go(drop=drop)

    async def held(self, stories: Sequence[Story]) -> None:
        await until(lambda: all(story.hold is not None and story.hold.held for story in stories), PATIENCE_SECONDS)

    async def lock(self, sale: Sale) -> None:
        """From now on nothing the schedule's owner decides becomes durable."""
        connection = await asyncpg.connect(self.stack.database_url)
        await connection.execute("BEGIN")
        query = "SELECT true FROM schedule_heads WHERE schedule_id = $1 FOR UPDATE"
        assert await connection.fetchval(query, sale.schedule_id)
        self._locks[sale.schedule_id] = connection

    async def unlock(self, sales: Sequence[Sale]) -> None:
        for sale in sales:
            connection = self._locks.pop(sale.schedule_id)
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # killed with the rest
                await connection.close(timeout=5)  # whoever holds the lock may have been killed

    async def decided(self, sale: Sale, stories: Sequence[Story]) -> None:
        """Waits until the owner has decided what the stories wait for, and nothing of it is durable."""
        # An approval confirms the booking as well: two events.
        approvals = (Step.APPROVED, Step.CONFIRMED, Step.SETTLED)
        events = sum(2 if story.step in approvals else 1 for story in stories)

        async def decided() -> bool:
            owner = await self.owner(sale)
            return bool(owner["version"] - owner["durable_version"] >= events)

        await until(decided, PATIENCE_SECONDS)

    async def owners(self) -> list[dict[str, Any]]:
        """The schedules' owners, brought up where there are none; on a busy machine that takes its time."""
        return await asyncio.gather(*(self.owner(sale) for sale in self.sales.values()))

    async def owner(self, sale: Sale) -> dict[str, Any]:
        return await self.read(f"/v1/admin/actors/{sale.schedule_id}", self.admin)

    async def durable(self, stories: Sequence[Story]) -> None:
        """Waits until the payments are approved and the refunds completed, for all who look into the tables."""
        connection = await asyncpg.connect(self.stack.database_url)
        ids = [[s.booking["id"] for s in stories if (s.step in REFUNDS) is refunds] for refunds in (False, True)]
        query = """
        SELECT (SELECT count(*) FROM bookings WHERE id = ANY($1) AND status = 'confirmed')
             + (SELECT count(*) FROM refunds WHERE booking_id = ANY($2) AND status = 'completed')
        """

        async def done() -> bool:
            return bool(await connection.fetchval(query, *ids) == len(stories))

        try:
            await until(done, PATIENCE_SECONDS)
        finally:
            await connection.close()

    def pause_worker(self) -> None:
        self.stack.pause("worker-1")

    def resume_worker(self) -> None:
        os.kill(self.stack.run.processes["worker-1"], signal.SIGCONT)

    async def destroy(self) -> None:
        await self.unlock([sale for sale in self.sales.values() if sale.schedule_id in self._locks])
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        if self._sandbox is not None:
            await self._sandbox.stop()


def _put_off(answer: httpx.Response) -> bool:
    """Whether the answer says that the last word is not spoken yet."""
    if answer.status_code == httpx.codes.CONFLICT:
        return bool(answer.json()["code"] == "idempotency_in_progress")
    return answer.status_code in (202, 503) or (answer.is_success and answer.json()["status"] == "pending")
