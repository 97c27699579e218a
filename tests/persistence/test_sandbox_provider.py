"""The sandbox provider over real HTTP: what it answers, what it remembers, what its webhooks prove."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from actors.clock import SystemClock
from api.sandbox_server import Ledger, create_sandbox
from persistence.providers.provider import Approved, BadSignature, ChargeRequest, Declined, Unknown
from persistence.providers.sandbox import SIGNATURE_HEADER, SandboxProvider, sign, verify, webhook_key

SECRET = "a secret of this test"
CLOCK = SystemClock()


@contextlib.asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """The app on a free port of its own; yields its base URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1, ws="none", loop="asyncio")
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())  # `serve` would take the test run's signal handlers
    try:
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout_seconds: float = 10.0) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.01)


def charge_of(token: str, **changes: object) -> ChargeRequest:
    request = ChargeRequest(
        payment_id=CLOCK.new_id(),
        booking_id=CLOCK.new_id(),
        amount=55_000,
        currency="KRW",
        token=token,
        valid_until_ms=CLOCK.now_ms() + 15_000,
    )
    return msgspec.structs.replace(request, **changes)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[SandboxProvider]:
    async with serve(create_sandbox(SECRET, tmp_path / "sandbox.sqlite3", "http://127.0.0.1:9/nobody")) as url:
        provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=0.5)
        yield provider
        await provider.close()


async def test_approved_charge_is_found_again_with_its_reference(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_approve")
    outcome = await sandbox.charge(request)
    assert isinstance(outcome, Approved)
    assert outcome.reference.startswith("sbx_")
    assert await sandbox.look_up(request.payment_id) == outcome


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_decline_insufficient_funds", "insufficient_funds"),
        ("tok_decline_lost_card", "lost_card"),
        ("tok_of_nobody", "unknown_token"),
    ],
)
async def test_decline_names_its_reason(sandbox: SandboxProvider, token: str, reason: str) -> None:
    request = charge_of(token)
    assert await sandbox.charge(request) == Declined(reason)
    assert await sandbox.look_up(request.payment_id) == Declined(reason)


async def test_same_payment_id_is_charged_once_whatever_the_second_token(sandbox: SandboxProvider) -> None:
    first = charge_of("tok_approve")
    answers = await asyncio.gather(*(sandbox.charge(first) for _ in range(8)))
    assert len(set(answers)) == 1
    assert await sandbox.charge(msgspec.structs.replace(first, token="tok_decline_lost_card")) == answers[0]


async def test_same_payment_id_with_another_amount_tells_nothing(sandbox: SandboxProvider) -> None:
    first = charge_of("tok_approve")
    await sandbox.charge(first)
    assert isinstance(await sandbox.charge(msgspec.structs.replace(first, amount=1)), Unknown)


async def test_charge_past_its_time_is_never_taken(sandbox: SandboxProvider) -> None:
    late = charge_of("tok_approve", valid_until_ms=CLOCK.now_ms() - 1)
    assert await sandbox.charge(late) == Declined("charge_too_late")
    again = msgspec.structs.replace(late, valid_until_ms=CLOCK.now_ms() + 60_000)
    assert await sandbox.charge(again) == Declined("charge_too_late")


async def test_payment_never_seen_is_none(sandbox: SandboxProvider) -> None:
    assert await sandbox.look_up(CLOCK.new_id()) is None


@pytest.mark.parametrize(("token", "truth"), [("tok_timeout_charged", Approved), ("tok_timeout_uncharged", Declined)])
async def test_timeout_is_unknown_and_the_look_up_tells_the_truth(
    sandbox: SandboxProvider, token: str, truth: type
) -> None:
    request = charge_of(token)
    assert isinstance(await sandbox.charge(request), Unknown)
    assert isinstance(await sandbox.look_up(request.payment_id), truth)


async def test_slow_charge_is_recorded_before_it_is_answered(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_slow")
    assert isinstance(await sandbox.charge(request), Unknown), "this client waits half a second only"
    assert isinstance(await sandbox.look_up(request.payment_id), Approved)


async def test_unreachable_sandbox_is_unknown_never_a_decline() -> None:
    provider = SandboxProvider("http://127.0.0.1:9", SECRET, CLOCK.now_ms)
    assert isinstance(await provider.charge(charge_of("tok_approve")), Unknown)
    assert isinstance(await provider.look_up(CLOCK.new_id()), Unknown)
    await provider.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (503, b""), (200, b"not json"), (200, b'{"id": "x"}'), (404, b"no such page"), (401, b"{}")],
)
async def test_senseless_answer_is_unknown(status: int, body: bytes) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body))
    provider = SandboxProvider("http://sandbox", SECRET, CLOCK.now_ms, transport=transport)
    assert isinstance(await provider.charge(charge_of("tok_approve")), Unknown)
    assert isinstance(await provider.look_up("any"), Unknown)
    await provider.close()


async def test_other_installations_key_is_turned_away(tmp_path: Path) -> None:
    async with serve(create_sandbox(SECRET, tmp_path / "sandbox.sqlite3", "http://127.0.0.1:9/")) as url:
        stranger = SandboxProvider(url, "another secret", CLOCK.now_ms)
        assert isinstance(await stranger.charge(charge_of("tok_approve")), Unknown)
        await stranger.close()
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/payments")).status_code == 401


async def test_restart_forgets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.sqlite3"
    request = charge_of("tok_approve")
    outcomes = []
    for _ in range(2):
        async with serve(create_sandbox(SECRET, path, "http://127.0.0.1:9/")) as url:
            provider = SandboxProvider(url, SECRET, CLOCK.now_ms)
            outcomes.append(await provider.charge(request))
            await provider.close()
    assert isinstance(outcomes[0], Approved)
    assert outcomes[0] == outcomes[1]


async def test_list_pages_through_all_payments_in_order(sandbox: SandboxProvider) -> None:
    requests = [charge_of("tok_approve") for _ in range(5)]
    for request in requests:
        await sandbox.charge(request)
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = (await sandbox._client.get("/payments", params={"after": after, "limit": 2})).json()
        seen += [item["id"] for item in page["items"]]
        after = page["next_cursor"]
    assert seen == [request.payment_id for request in requests]


# --- webhooks ---------------------------------------------------------------------------------------------------------
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
            provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=0.2)
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
            provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=0.2)
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
        provider = SandboxProvider(url, SECRET, CLOCK.now_ms, timeout_seconds=0.1)
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


# --- signatures -------------------------------------------------------------------------------------------------------
KEY = webhook_key(SECRET)
BODY = b'{"id": "whk_1", "type": "payment.approved", "data": {"id": "p"}}'
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


def test_token_is_not_in_the_request_s_text() -> None:
    assert "tok_approve" not in repr(charge_of("tok_approve"))
