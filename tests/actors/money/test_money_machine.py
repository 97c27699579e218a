"""Of the stories that `MoneyMachine` tells none makes or loses money or seats, and the machine finds out who does."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import engine.booking
import engine.decide
import engine.refund_policy
import engine.state
from actors.owner.gathering import Round
from actors.owner.schedule import Schedule
from actors.wire.messages import Reply, reply_of
from engine import commands as c
from engine.booking import Status
from engine.refusals import Code, Refusal
from engine.turn import Request
from persistence.providers.provider import Declined
from tests.engine.plans.houses import ANN
from tests.support.money.ledger import Charge, Outcome, Provider
from tests.support.money.machine import MoneyMachine
from tests.support.money.world import PRICES, World

ROUNDS = 4
STORIES = 300  # a round; four of them are half a minute and 40,000 commands
STEPS = 40


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Bad luck is logged, thousands of times."""
    caplog.set_level(logging.ERROR, logger="actors.owner")


@pytest.mark.parametrize("_round", range(ROUNDS))  # one long run would remember every story, a gigabyte of them
def test_no_interleaving_makes_or_loses_money_or_seats(_round: int) -> None:
    run_state_machine_as_test(
        MoneyMachine,
        settings=settings(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=False,  # in CI, where it is the default, every round would be the same
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


HELD = (c.HoldSeats("b1", ANN, ("A-1",)),)
PAID = (*HELD, c.RequestPayment("b1", ANN, "p1", "sandbox"), c.ApprovePayment("b1", "p1", "ref-p1"))
REFUND = c.Refund("b1", ANN, "f1", "p1")
COMPLETE = c.CompleteRefund("f1", "p1", PRICES["VIP"], "KRW", "back")


@pytest.mark.parametrize(
    ("before", "first", "second", "code"),
    [
        (PAID, REFUND, c.Refund("b1", ANN, "f2", "p1"), Code.ALREADY_REFUNDED),
        (PAID, REFUND, c.Cancel("b1", "x1", ANN), Code.BOOKING_ALREADY_CANCELLED),
        ((*PAID, REFUND), COMPLETE, COMPLETE, Code.REFUND_NOT_FOUND),
        ((), c.CancelSchedule("snow", "o"), c.CancelSchedule("snow", "o"), Code.SCHEDULE_CANCELLED),
    ],
    ids=["refunded", "refunded and then cancelled", "confirmed", "called off"],
)
def test_what_a_refusal_says_has_been_done_is_durable_when_it_is_said(
    before: tuple[c.AnyCommand, ...], first: c.AnyCommand, second: c.AnyCommand, code: Code
) -> None:
    world = World(Provider())

    async def answers() -> Reply:
        world.provider.charge("p1", ANN, PRICES["VIP"], True)
        world.provider.refund("f1", "p1", ANN, PRICES["VIP"])
        for command in before:
            await world.ask(command)
        world.journal.gate.clear()
        owner = await world.owner()
        doing = asyncio.create_task(owner.submit([world.request(first)]))
        await asyncio.sleep(0.1)  # of the story's time: it has come as far as it gets
        asking = asyncio.create_task(owner.submit([world.request(second)]))
        await asyncio.sleep(0.1)  # so has this
        assert not asking.done(), "told before it is durable"
        world.journal.gate.set()
        await doing
        return (await asking)[0]

    try:
        reply = world.run(answers())
        assert isinstance(reply, Refusal)
        assert reply.code is code
    finally:
        world.close()


# --- the machine can fail ---------------------------------------------------------------------------------------------
class ChargesTwice(Provider):
    """Forgets which payments it has charged."""

    def charge(self, payment_id: str, customer: str, amount: int, good: bool) -> Outcome:
        return self._take(payment_id, customer, amount) if good else super().charge(payment_id, customer, amount, good)


class GivesBackTwice(Provider):
    """Forgets which refunds it has made, and pays them from its own pocket."""

    def refund(self, refund_id: str, payment_id: str, customer: str, amount: int) -> None:
        self.given_back[refund_id] = (payment_id, amount)
        self.balances[customer] -= amount


class KeepsLateMoney(World):
    """A settlement that leaves it at a refusal."""

    async def give_back_late(self, charge: Charge, reference: str) -> None:
        """Not our problem."""


class GivesUpTooSoon(World):
    """A settlement that takes the first silence for certainty, and never looks again."""

    def look_up(self, charge: Charge) -> Outcome | None:
        return Declined("not_charged")


def broken(provider: type[Provider] = Provider, world: type[World] = World) -> type[MoneyMachine]:
    class Broken(MoneyMachine):
        def make_world(self) -> World:
            return world(provider())

    return Broken


def find_a_violation(machine: type[MoneyMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # any violation will do, it need not be the shortest
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


@pytest.mark.parametrize(
    ("machine", "violation"),
    [
        (broken(provider=ChargesTwice), "money was made or lost"),
        (broken(provider=GivesBackTwice), "money was made or lost"),
        (broken(world=KeepsLateMoney), "money without a seat"),
        (broken(world=GivesUpTooSoon), "money without a seat"),
    ],
    ids=["charges twice", "gives back twice", "keeps late money", "gives up too soon"],
)
def test_the_machine_finds_out_a_world_that_breaks_its_promises(machine: type[MoneyMachine], violation: str) -> None:
    with pytest.raises(AssertionError, match=violation):
        find_a_violation(machine)


def test_the_machine_finds_out_an_engine_that_rounds_fees_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.refund_policy, "fee_of", lambda price, percent, step: -(-price * percent // 100))
    with pytest.raises(AssertionError, match="the fee is not the policy's"):
        find_a_violation(MoneyMachine)


def test_the_machine_finds_out_an_engine_whose_holds_expire_under_a_payment(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine.booking, engine.decide, engine.state):
        monkeypatch.setattr(module, "can_expire", lambda booking: booking.status is Status.HELD)
    with pytest.raises(AssertionError, match="expired under a running payment"):
        find_a_violation(MoneyMachine)


def test_the_machine_finds_out_an_owner_that_answers_before_it_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(self: Schedule, requests: list[tuple[int, Request]], replies: list[Reply]) -> Round:
        for position, request in requests:
            result, _ = self._turn(request, self._clock.now_ms())
            replies[position] = reply_of(result)
        return Round(replies)

    monkeypatch.setattr(Schedule, "_decided", at_once)
    with pytest.raises(AssertionError, match="not durable"):
        find_a_violation(MoneyMachine)
