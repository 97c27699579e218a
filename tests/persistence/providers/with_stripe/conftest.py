"""Stripe's SDK against a Stripe that remembers, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from persistence.providers.stripe_payments import StripeProvider
from tests.persistence.providers.charges import CLOCK
from tests.support.money.fake_stripe import KEY, FakeStripe
from tests.support.services.serving import serve
from tests.support.waiting import PATIENCE_SECONDS

SECRETS = ["whsec_new", "whsec_old"]


@pytest.fixture
def fake() -> FakeStripe:
    return FakeStripe()


@pytest.fixture
async def provider(fake: FakeStripe) -> AsyncIterator[StripeProvider]:
    async with serve(fake.app) as url:
        provider = StripeProvider(KEY, SECRETS, CLOCK.now_ms, url=url, timeout_seconds=PATIENCE_SECONDS)
        yield provider
        await provider.close()
