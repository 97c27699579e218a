"""What `doctor` says of who takes the money, against providers that keep the documented rules: a wrong key is told
before a customer meets it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from actors.process.settings import Settings
from api.command_line.finding import Finding, State
from api.command_line.taking_money import payments
from tests.support.money import fake_stripe, fake_toss
from tests.support.services.serving import serve

PUBLIC = "https://tickets.example.com"
NOWHERE = "http://127.0.0.1:9"
TOSS: dict[str, Any] = {
    "provider": "toss",
    "public_url": PUBLIC,
    "toss_secret_key": fake_toss.KEY,
    "toss_client_key": "test_ck_1",
}
STRIPE: dict[str, Any] = {
    "provider": "stripe",
    "public_url": PUBLIC,
    "stripe_api_key": fake_stripe.KEY,
    "stripe_publishable_key": "pk_test_1",
    "stripe_webhook_secrets": "whsec_1",
}


async def looked_at(made: dict[str, Any], app: FastAPI) -> list[Finding]:
    async with serve(app) as url:
        return await payments(Settings(**made, **{f"{made['provider']}_url": url}), None)


def state_of(findings: list[Finding], part: str) -> State:
    (found,) = [each for each in findings if part in each.seen]
    return found.state


async def test_the_sandbox_is_said_to_take_no_money() -> None:
    (found,) = await payments(Settings(), None)
    assert (found.state, "no money" in found.seen) == (State.NOTE, True)


@pytest.mark.parametrize(
    ("made", "app"),
    [(TOSS, fake_toss.FakeToss().app), (STRIPE, fake_stripe.FakeStripe().app)],
    ids=["toss", "stripe"],
)
async def test_a_key_that_is_accepted_is_told_with_where_messages_go(made: dict[str, Any], app: FastAPI) -> None:
    findings = await looked_at(made, app)
    assert state_of(findings, "test key accepted") is State.NOTE
    assert state_of(findings, f"messages to {PUBLIC}/v1/webhooks/{made['provider']}") is State.FINE
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("made", "app", "variable"),
    [
        (TOSS | {"toss_secret_key": "live_sk_of_another"}, fake_toss.FakeToss().app, "BOXOFFICE_TOSS_SECRET_KEY"),
        (STRIPE | {"stripe_api_key": "sk_live_of_another"}, fake_stripe.FakeStripe().app, "BOXOFFICE_STRIPE_API_KEY"),
    ],
    ids=["toss", "stripe"],
)
async def test_a_wrong_key_is_named_and_not_shown(made: dict[str, Any], app: FastAPI, variable: str) -> None:
    findings = await looked_at(made, app)
    (found,) = [each for each in findings if variable in each.advice and "right" in each.advice]
    assert found.state is State.WRONG
    assert not any("of_another" in each.seen + each.advice for each in findings)


async def test_a_provider_that_is_not_reached_is_wrong() -> None:
    findings = await payments(Settings(**TOSS, toss_url=NOWHERE), None)
    assert state_of(findings, "toss: ") is State.WRONG


async def test_the_former_provider_is_asked_too_where_it_has_keys() -> None:
    async with serve(fake_toss.FakeToss().app) as toss_url:
        made = TOSS | STRIPE | {"provider": "toss"}
        findings = await payments(Settings(**made, toss_url=toss_url, stripe_url=NOWHERE), None)
    assert state_of(findings, "toss, test key accepted") is State.NOTE
    assert state_of(findings, "stripe: ") is State.WRONG


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"toss_secret_key": ""}, "BOXOFFICE_TOSS_SECRET_KEY"),
        ({"toss_client_key": ""}, "BOXOFFICE_TOSS_CLIENT_KEY"),
        ({"toss_client_key": "live_ck_1"}, "of the same pair"),
        ({"public_url": ""}, "BOXOFFICE_PUBLIC_URL"),
    ],
)
async def test_what_is_missing_is_said_with_what_to_set(change: dict[str, Any], told: str) -> None:
    findings = await looked_at(TOSS | change, fake_toss.FakeToss().app)
    (found,) = [each for each in findings if told in each.advice]
    by_itself_no_fault = "public_url" in change  # a trial on one's own machine
    assert found.state is (State.NOTE if by_itself_no_fault else State.WRONG)
