"""Who takes the money: pages learn the public key for the provider's script, and nothing else of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.api.conftest import OpenLocal, Worker, local_settings
from tests.support.sale import read

SECRET = "never to be shown"
STRIPE = {"stripe_api_key": SECRET, "stripe_webhook_secrets": SECRET, "stripe_publishable_key": "pk_live"}


async def test_the_sandbox_needs_no_key(worker: Worker) -> None:
    view = await read(worker.http, "/v1/payment-provider", {})
    assert view == {"name": "sandbox", "public_key": None, "return_url": "http://127.0.0.1:8000/b/{booking_id}"}


@pytest.mark.parametrize(
    ("provider", "more", "key"),
    [
        ("toss", {"toss_secret_key": SECRET, "toss_client_key": "test_ck"}, "test_ck"),
        ("toss", {"toss_secret_key": SECRET}, None),
        ("stripe", STRIPE, "pk_live"),
    ],
)
async def test_the_public_key_is_the_one_of_who_is_charged(
    database_url: str, redis_url: str, open_local: OpenLocal, provider: str, more: dict[str, Any], key: str | None
) -> None:
    settings = msgspec.structs.replace(
        local_settings(database_url, redis_url), provider=provider, public_url="https://tickets.example.com/", **more
    )
    async with open_local(settings) as worker:
        answer = await worker.http.get("/v1/payment-provider")
    assert answer.json() == {
        "name": provider,
        "public_key": key,
        "return_url": "https://tickets.example.com/b/{booking_id}",
    }
    assert SECRET not in answer.text
