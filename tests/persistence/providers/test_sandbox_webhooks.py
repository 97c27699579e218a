"""The sandbox's webhooks over real HTTP: when they come, and what their signatures prove."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response

from api.sandbox.ledger import Ledger
from api.sandbox.server import create_sandbox
from persistence.providers.provider import (
    Approved,
    BadSignature,
    Unknown,
    WebhookEvent,
)
from persistence.providers.sandbox import SIGNATURE_HEADER, SandboxProvider, sign, verify, webhook_key
from tests.persistence.providers.charges import CLOCK, charge_of, known
from tests.persistence.providers.conftest import SECRET
from tests.support.services.serving import IMPATIENT_SECONDS, serve
from tests.support.waiting import until


class Receiver:
    """A stand-in for the API's webhook route: fails the first `failures` deliveries."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.app = FastAPI()

        @self.app.post("/hook")
        async def hook(request: Request) -> Response:
            self.received.append((dict(request.headers), await request.body()))
            return Response(status_code=503 if len(self.received) <= self.failures else 200)


@pytest.mark.parametrize("token", ["tok_timeout_charged", "tok_timeout_uncharged"])
async def test_webhook_follows_a_timeout_and_its_signature_holds(tmp_path: Path, token: str) -> None:
    receiver = Receiver()
    request = charge_of(token)
    async with serve(receiver.app) as hooks:
        app = create_sandbox(SECRET, tmp_path / "s.sqlite3", f"{hooks}/hook", webhook_delay_seconds=0.1)
        async with serve(app) as url:
            provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=IMPATIENT_SECONDS)
            assert isinstance(await provider.charge(request), Unknown)
            await until(lambda: bool(receiver.received))
            event = provider.parse_webhook(*receiver.received[0])
            assert event.payment_id == request.payment_id
            assert event.type == ("payment.approved" if token == "tok_timeout_charged" else "payment.declined")
            await provider.close()


async def test_webhook_is_repeated_with_the_same_id_until_it_is_received(tmp_path: Path) -> None:
    receiver = Receiver(failures=1)
    async with serve(receiver.app) as hooks:
        app = create_sandbox(SECRET, tmp_path / "s.sqlite3", f"{hooks}/hook", webhook_delay_seconds=0.0)
        async with serve(app) as url:
            provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=IMPATIENT_SECONDS)
            await provider.charge(charge_of("tok_timeout_charged"))
            await until(lambda: len(receiver.received) == 2)
            events = [provider.parse_webhook(headers, body) for headers, body in receiver.received]
            assert events[0] == events[1]
            await provider.close()


async def test_webhook_owed_before_a_restart_is_delivered_after_it(tmp_path: Path) -> None:
    receiver = Receiver()
    path = tmp_path / "s.sqlite3"
    request = charge_of("tok_timeout_charged")
    async with serve(create_sandbox(SECRET, path, "http://127.0.0.1:9/", webhook_delay_seconds=0.5)) as url:
        provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=IMPATIENT_SECONDS)
        await provider.charge(request)
        await provider.close()
    async with serve(receiver.app) as hooks, serve(create_sandbox(SECRET, path, f"{hooks}/hook")):
        await until(lambda: bool(receiver.received))
    assert request.payment_id.encode() in receiver.received[0][1]

    def owed() -> int | None:
        ledger = Ledger(path)
        try:
            return ledger.next_due_ms()
        finally:
            ledger.close()

    assert owed() is None


async def deliveries(tmp_path: Path, token: str, count: int, delay_seconds: float) -> tuple[str, list[WebhookEvent]]:
    """The payment's id and the first webhooks that a charge with the token brings about."""
    receiver = Receiver()
    request = charge_of(token)
    async with serve(receiver.app) as hooks:
        app = create_sandbox(SECRET, tmp_path / "s.sqlite3", f"{hooks}/hook", webhook_delay_seconds=delay_seconds)
        async with serve(app) as url:
            provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=IMPATIENT_SECONDS)
            assert isinstance(await provider.charge(request), Unknown)
            assert isinstance(await known(provider, request), Approved)
            await until(lambda: len(receiver.received) >= count)
            await provider.close()
    assert len(receiver.received) == count
    return request.payment_id, [provider.parse_webhook(headers, body) for headers, body in receiver.received]


async def test_duplicate_webhook_comes_three_times_with_one_id(tmp_path: Path) -> None:
    payment_id, events = await deliveries(tmp_path, "tok_webhook_duplicate", 3, 0.1)
    assert {(event.payment_id, event.type) for event in events} == {(payment_id, "payment.approved")}
    assert len({event.id for event in events}) == 1


async def test_webhooks_out_of_order_tell_the_end_before_the_beginning(tmp_path: Path) -> None:
    payment_id, events = await deliveries(tmp_path, "tok_webhook_out_of_order", 3, 0.4)
    assert [(event.type, event.payment_id) for event in events] == [
        ("payment.approved", payment_id),
        ("payment.created", payment_id),
        ("account.updated", None),
    ]
    assert len({event.id for event in events}) == 3


async def test_late_webhook_comes_after_five_times_the_usual_delay(tmp_path: Path) -> None:
    before_ms = CLOCK.now_ms()
    payment_id, [event] = await deliveries(tmp_path, "tok_webhook_late", 1, 0.2)
    assert event.payment_id == payment_id
    assert CLOCK.now_ms() - before_ms >= 1_000


async def test_webhook_signed_with_the_previous_secret_is_accepted_while_it_is_known(tmp_path: Path) -> None:
    headers = {SIGNATURE_HEADER: sign(webhook_key("the former secret"), BODY, CLOCK.now_ms() // 1000)}
    provider = SandboxProvider("http://sandbox", SECRET, CLOCK.now_ms, previous_secret="the former secret")
    assert provider.parse_webhook(headers, BODY).payment_id == "p"
    await provider.close()
    provider = SandboxProvider("http://sandbox", SECRET, CLOCK.now_ms)
    with pytest.raises(BadSignature):
        provider.parse_webhook(headers, BODY)
    # No previous secret is not a key of its own: anybody could sign with it.
    with pytest.raises(BadSignature):
        provider.parse_webhook({SIGNATURE_HEADER: sign(webhook_key(""), BODY, CLOCK.now_ms() // 1000)}, BODY)
    await provider.close()


# --- signatures -------------------------------------------------------------------------------------------------------
KEY = webhook_key(SECRET)
BODY = b'{"id": "whk_1", "type": "payment.approved", "data": {"id": "p", "booking_id": "b"}}'
NOW = 1_790_000_000


def test_signature_holds_within_five_minutes_either_way() -> None:
    for skew in (-300, 0, 300):
        verify([KEY], sign(KEY, BODY, NOW + skew), BODY, NOW)


def test_signature_of_a_replaced_key_holds_while_both_are_known() -> None:
    verify([webhook_key("new"), KEY], sign(KEY, BODY, NOW), BODY, NOW)
    both = sign(KEY, BODY, NOW) + "," + sign(webhook_key("new"), BODY, NOW).partition(",")[2]
    verify([webhook_key("new")], both, BODY, NOW)


GOOD = sign(KEY, BODY, NOW)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (None, BODY),
        ("", BODY),
        ("nonsense", BODY),
        (f"t={NOW}", BODY),
        (GOOD.replace("v1=", "v0="), BODY),
        (GOOD.replace(f"t={NOW}", f"t={NOW + 1}"), BODY),
        (GOOD.replace(f"t={NOW}", "t=²"), BODY),
        (GOOD.replace(f"t={NOW}", "t=" + "9" * 5000), BODY),
        (f"t={NOW}," + GOOD, BODY),
        (GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"), BODY),
        (GOOD + "é", BODY),
        (GOOD, BODY + b" "),
        (sign(KEY, BODY, NOW - 301), BODY),
        (sign(KEY, BODY, NOW + 301), BODY),
        (sign(webhook_key("another secret"), BODY, NOW), BODY),
    ],
)
def test_anything_else_is_a_bad_signature(header: str | None, body: bytes) -> None:
    with pytest.raises(BadSignature):
        verify([KEY], header, body, NOW)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b'{"id": "1"}', b'{"id": "1", "type": "balance.changed", "data": {}}', b'{"data": {"id": 7}}'],
)
async def test_signed_webhook_of_an_unknown_kind_concerns_no_payment(sandbox: SandboxProvider, body: bytes) -> None:
    headers = {SIGNATURE_HEADER: sign(KEY, body, CLOCK.now_ms() // 1000)}
    assert sandbox.parse_webhook(headers, body).payment_id is None
