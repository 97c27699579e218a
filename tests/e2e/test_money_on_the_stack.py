"""The money machine's little sister, on the real stack: random stories over HTTP, owners killed in between.

`tests/actors/money/test_money_machine.py` tries thousands of interleavings in memory; this one shows on a few that
processes, PostgreSQL, the payment sandbox and the background jobs keep the same promises.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.conftest import Stack
from tests.support.sale import Sale, log_in_admin, open_sale, sign_up
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.stack, pytest.mark.long]

TOKENS = st.sampled_from(["tok_approve", "tok_approve", "tok_decline_lost_card", "tok_refund_refused"])
REFUSALS = {402, 409}  # what a story may run into; anything else is a finding


class MoneyOnTheStack(RuleBasedStateMachine):
    """One customer, an admin and somebody who kills owners."""

    stack: Stack

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.http = httpx.AsyncClient(base_url=self.stack.run.url, timeout=PATIENCE_SECONDS)
        self.sale: Sale = self.run(open_sale(self.http))
        self.customer = self.run(sign_up(self.http))
        self.admin = self.run(log_in_admin(self.http, self.stack))
        self.bookings: list[str] = []

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    def ask(self, method: str, path: str, body: object = None, *, admin: bool = False) -> httpx.Response:
        """A request, sent twice with one key: the second answer says nothing else than the first."""
        headers = {**(self.admin if admin else self.customer), "Idempotency-Key": uuid4().hex}
        first, second = (self.run(self.http.request(method, path, json=body, headers=headers)) for _ in range(2))
        assert first.status_code < 300 or first.status_code in REFUSALS, first.text
        if first.status_code < 300:
            assert second.status_code == first.status_code, second.text
            assert second.json()["id"] == first.json()["id"]
        return first

    def one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.bookings))

    def payment_of(self, booking_id: str) -> str | None:
        booking = self.run(self.http.get(f"/v1/bookings/{booking_id}", headers=self.customer)).json()
        return None if booking["payment"] is None else str(booking["payment"]["id"])

    @rule(quantity=st.integers(1, 3))
    def hold(self, quantity: int) -> None:
        answer = self.ask("POST", self.sale.bookings_url, {"quantity": quantity})
        if answer.status_code == 201:
            self.bookings.append(answer.json()["id"])

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), token=TOKENS)
    def pay(self, data: st.DataObject, token: str) -> None:
        body = {"method": {"type": "card", "token": token}}
        self.ask("POST", f"/v1/bookings/{self.one(data)}/payments", body)

    @precondition(lambda self: self.bookings)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.ask("POST", f"/v1/bookings/{self.one(data)}/cancellation", {})

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), part=st.booleans())
    def refund(self, data: st.DataObject, part: bool) -> None:
        booking_id = self.one(data)
        payment_id = self.payment_of(booking_id)
        if payment_id is None:
            return
        booking = self.run(self.http.get(f"/v1/bookings/{booking_id}", headers=self.customer)).json()
        self.ask("POST", f"/v1/payments/{payment_id}/refunds", {"seats": [booking["seats"][0]["id"]]} if part else {})

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), refund=st.booleans())
    def cancel_as_admin(self, data: st.DataObject, refund: bool) -> None:
        body = {"reason": "story", "refund": refund}
        self.ask("POST", f"/v1/admin/bookings/{self.one(data)}/cancellation", body, admin=True)

    @rule()
    def kill_the_owner(self) -> None:
        url = f"/v1/admin/actors/{self.sale.schedule_id}"
        owner = self.run(self.http.get(url, headers=self.admin))
        if owner.status_code == 200:
            os.kill(owner.json()["pid"], signal.SIGKILL)

    def teardown(self) -> None:
        """Seats and money agree in every copy, and with the sandbox's books."""
        url = f"/v1/admin/schedules/{self.sale.schedule_id}/reconciliation"
        report = self.run(self.http.get(url, headers=self.admin)).json()
        try:
            assert [check for check in report["checks"] if not check["holds"]] == []
        finally:
            self.run(self.http.aclose())
            self.loop.close()


def test_no_story_on_the_real_stack_makes_or_loses_money_or_seats(stack: Stack) -> None:
    MoneyOnTheStack.stack = stack
    run_state_machine_as_test(
        MoneyOnTheStack, settings=settings(max_examples=8, stateful_step_count=15, deadline=None, database=None)
    )
