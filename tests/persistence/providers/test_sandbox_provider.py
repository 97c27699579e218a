"""The sandbox provider over real HTTP: what it answers, and what it remembers."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.sandbox.ledger import Delivery, Ledger
from api.sandbox.server import create_sandbox, main
from persistence.providers.connection import Answer
from persistence.providers.provider import (
    Approved,
    ChargeRequest,
    Declined,
    ProviderUnavailable,
    Refunded,
    RefundRequest,
    Refused,
    Unknown,
)
from persistence.providers.sandbox import SandboxPayment, SandboxProvider
from tests.persistence.providers.charges import CLOCK, books, charge_of, known, ref
from tests.persistence.providers.conftest import SECRET
from tests.support.services.serving import impatient, saying, serve


def refund_of(request: ChargeRequest, amount: int = 55_000) -> RefundRequest:
    return RefundRequest(refund_id=CLOCK.new_id(), payment=ref(request), amount=amount, reason="a test")


async def listed(provider: SandboxProvider, path: str) -> dict[str, Any]:
    answer = await provider._connection.call("GET", path)
    assert isinstance(answer, Answer)
    page: dict[str, Any] = msgspec.json.decode(answer.body)
    return page


async def test_approved_charge_is_found_again_with_its_reference(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_approve")
    outcome = await sandbox.charge(request)
    assert isinstance(outcome, Approved)
    assert outcome.reference.startswith("sbx_")
    assert await sandbox.look_up(ref(request)) == outcome


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
    assert await sandbox.look_up(ref(request)) == Declined(reason)


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
    assert await sandbox.look_up(ref(charge_of("tok_approve"))) is None


@pytest.mark.parametrize(("token", "truth"), [("tok_timeout_charged", Approved), ("tok_timeout_uncharged", Declined)])
async def test_timeout_is_unknown_and_the_look_up_tells_the_truth(
    sandbox: SandboxProvider, token: str, truth: type
) -> None:
    request = charge_of(token)
    with impatient(sandbox):
        assert isinstance(await sandbox.charge(request), Unknown)
    assert isinstance(await known(sandbox, request), truth)


async def test_slow_charge_is_recorded_before_it_is_answered(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_slow")
    with impatient(sandbox):
        assert isinstance(await sandbox.charge(request), Unknown)
    assert isinstance(await known(sandbox, request), Approved)


async def test_unreachable_sandbox_is_unknown_never_a_decline() -> None:
    provider = SandboxProvider("http://127.0.0.1:9", SECRET, CLOCK.now_ms)
    assert isinstance(await provider.charge(charge_of("tok_approve")), Unknown)
    assert isinstance(await provider.look_up(ref(charge_of("tok_approve"))), Unknown)
    await provider.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (503, b""), (200, b"not json"), (200, b'{"id": "x"}'), (404, b"no such page"), (401, b"{}")],
)
async def test_senseless_answer_is_unknown(status: int, body: bytes) -> None:
    async with serve(saying(body, status)) as url:
        provider = SandboxProvider(url, SECRET, CLOCK.now_ms)
        assert isinstance(await provider.charge(charge_of("tok_approve")), Unknown)
        assert isinstance(await provider.look_up(ref(charge_of("tok_approve"))), Unknown)
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
        page = await listed(sandbox, f"/payments?after={after}&limit=2")
        seen += [item["id"] for item in page["items"]]
        after = page["next_cursor"]
    assert seen == [request.payment_id for request in requests]


# --- refunds ----------------------------------------------------------------------------------------------------------
async def test_refunded_money_stands_in_the_books(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_approve")
    await sandbox.charge(request)
    outcomes = [await sandbox.refund(refund_of(request, amount)) for amount in (5_000, 50_000)]
    assert all(isinstance(outcome, Refunded) for outcome in outcomes)
    assert len({outcome.reference for outcome in outcomes if isinstance(outcome, Refunded)}) == 2
    [known] = await books(sandbox)
    assert (known.payment_id, known.amount, known.refunded) == (request.payment_id, 55_000, 55_000)
    refunds = (await listed(sandbox, "/refunds"))["items"]
    assert [(item["payment_id"], item["amount"], item["status"]) for item in refunds] == [
        (request.payment_id, 5_000, "refunded"),
        (request.payment_id, 50_000, "refunded"),
    ]


async def test_same_refund_id_gives_back_once(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_approve")
    await sandbox.charge(request)
    refund = refund_of(request, 20_000)
    assert len(set(await asyncio.gather(*(sandbox.refund(refund) for _ in range(8))))) == 1
    [known] = await books(sandbox)
    assert known.refunded == 20_000
    assert isinstance(await sandbox.refund(msgspec.structs.replace(refund, amount=1)), Unknown)


async def test_never_more_is_given_back_than_was_taken(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_approve")
    await sandbox.charge(request)
    answers = await asyncio.gather(*(sandbox.refund(refund_of(request, 20_000)) for _ in range(5)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Refunded"] * 2 + ["Refused"] * 3
    assert Refused("amount_exceeds_payment") in answers
    [known] = await books(sandbox)
    assert known.refunded == 40_000


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "payment_not_found"),
        ("tok_decline_lost_card", "payment_not_approved"),
        ("tok_refund_refused", "card_closed"),
    ],
)
async def test_refused_refund_gives_nothing_back_and_says_why(
    sandbox: SandboxProvider, token: str | None, reason: str
) -> None:
    request = charge_of(token or "tok_approve")
    if token is not None:
        await sandbox.charge(request)
    refund = refund_of(request)
    assert await sandbox.refund(refund) == Refused(reason)
    assert await sandbox.refund(refund) == Refused(reason)
    assert sum(known.refunded for known in await books(sandbox)) == 0


async def test_lost_answer_to_a_refund_is_found_by_asking_again(sandbox: SandboxProvider) -> None:
    request = charge_of("tok_refund_timeout")
    assert isinstance(await sandbox.charge(request), Approved)
    refund = refund_of(request, 30_000)
    with impatient(sandbox):
        assert isinstance(await sandbox.refund(refund), Unknown)
    assert isinstance(await sandbox.refund(refund), Refunded)
    [found] = await books(sandbox)
    assert found.refunded == 30_000


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": "r", "payment_id": "p", "amount": 0}'])
async def test_senseless_refund_is_turned_away(sandbox: SandboxProvider, body: bytes) -> None:
    answer = await sandbox._connection.call("POST", "/refunds", content=body)
    assert isinstance(answer, Answer)
    assert answer.status == 422


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (200, b"not json"), (200, b'{"id": "x"}'), (404, b"no such page"), (409, b"{}")],
)
async def test_senseless_answer_to_a_refund_is_unknown(status: int, body: bytes) -> None:
    async with serve(saying(body, status)) as url:
        provider = SandboxProvider(url, SECRET, CLOCK.now_ms)
        assert isinstance(await provider.refund(refund_of(charge_of("tok_approve"))), Unknown)
        with pytest.raises(ProviderUnavailable):
            await books(provider)
        await provider.close()


async def test_books_have_each_payment_that_took_money_in_the_time(
    sandbox: SandboxProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.providers.sandbox.PAGE", 2)
    taken = [charge_of("tok_approve") for _ in range(5)]
    for request in taken:
        await sandbox.charge(request)
        await sandbox.charge(charge_of("tok_decline_lost_card"))
    known = await books(sandbox)
    assert [each.payment_id for each in known] == [request.payment_id for request in taken]
    assert [each.booking_id for each in known] == [request.booking_id for request in taken]
    assert {(each.amount, each.currency, each.refunded) for each in known} == {(55_000, "KRW", 0)}
    first_ms, last_ms = known[0].created_ms, known[-1].created_ms
    assert await books(sandbox, last_ms + 1) == []
    assert await books(sandbox, until_ms=first_ms) == []
    assert known[-1] in await books(sandbox, last_ms, last_ms + 1)


async def test_unreachable_books_are_no_empty_books() -> None:
    provider = SandboxProvider("http://127.0.0.1:9", SECRET, CLOCK.now_ms)
    with pytest.raises(ProviderUnavailable):
        await books(provider)
    assert isinstance(await provider.refund(refund_of(charge_of("tok_approve"))), Unknown)
    await provider.close()


YESTERDAY = """
CREATE TABLE payments (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  booking_id TEXT NOT NULL,
  status TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  reference TEXT,
  reason TEXT
);
CREATE TABLE deliveries (
  id TEXT PRIMARY KEY,
  body BLOB NOT NULL,
  due_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX ix_deliveries_due_ms ON deliveries (due_ms);
INSERT INTO deliveries (id, body, due_ms) VALUES ('whk_1', '{}', 4000000000000);
"""


async def test_ledger_of_the_previous_version_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.sqlite3"
    request = charge_of("tok_approve")
    connection = sqlite3.connect(path)
    connection.executescript(YESTERDAY)
    connection.execute(
        "INSERT INTO payments VALUES (1, ?, ?, 'approved', 55000, 'KRW', 1790000000000, 'sbx_1', NULL)",
        (request.payment_id, request.booking_id),
    )
    connection.commit()
    connection.close()
    for _ in range(2):
        async with serve(create_sandbox(SECRET, path, "http://127.0.0.1:9/")) as url:
            provider = SandboxProvider(url, SECRET, CLOCK.now_ms)
            assert await provider.charge(request) == Approved("sbx_1")
            await provider.refund(refund_of(request, 10_000))
            await provider.close()
    ledger = Ledger(path)
    known = ledger.find(request.payment_id)
    assert known is not None
    assert known.refunded == 20_000
    assert ledger.next_due_ms() == 4_000_000_000_000
    ledger.close()


def test_token_is_not_in_the_request_s_text() -> None:
    assert "tok_approve" not in repr(charge_of("tok_approve"))


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "BOXOFFICE_SANDBOX_URL is not set"),
        ({"BOXOFFICE_SANDBOX_URL": "foo"}, "BOXOFFICE_SANDBOX_URL='foo' must look like"),
        ({"BOXOFFICE_SANDBOX_URL": "http://127.0.0.1:9"}, "BOXOFFICE_SECRET is not set"),
    ],
)
def test_whoever_starts_one_by_hand_is_told_what_it_lacks(
    environment: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("BOXOFFICE_SANDBOX_URL", "BOXOFFICE_SECRET", "BOXOFFICE_DERIVED_KEYS"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit, match=told):
        main()


def test_a_full_disk_keeps_nothing_by_halves_and_is_over_with_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "sandbox.sqlite3")
    body = b"x" * 4_096
    written: list[SandboxPayment] = []

    def record() -> None:
        identity = CLOCK.new_id()
        payment = SandboxPayment(
            id=identity,
            booking_id=CLOCK.new_id(),
            status="approved",
            amount=55_000,
            currency="KRW",
            created_ms=CLOCK.now_ms(),
        )
        written.append(payment)
        ledger.record(payment, "", [Delivery(identity, body, CLOCK.now_ms(), 0)])

    def fill() -> None:
        while True:
            record()

    def room(pages: int) -> None:
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")

    try:
        room(20)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            fill()
        lost = written.pop()
        room(1_000)
        record()
        assert ledger.find(lost.id) is None
        assert ledger.page(0, 100, 0, CLOCK.now_ms() + 1)[0] == written
        assert [each.id for each in ledger.due(CLOCK.now_ms(), 100)] == [each.id for each in written]
    finally:
        ledger.close()
