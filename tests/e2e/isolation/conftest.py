"""One running system, with its limits on, and an honest sale on it, for all attacks of this folder."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import MakeStack, Stack
from tests.support.honest_sale import HonestSale, address_of, open_honest_sale
from tests.support.waiting import PATIENCE_SECONDS

ADDRESSES = itertools.count(5_000)


@pytest.fixture
def address() -> str:
    """Where this test's attacker is: nobody else is counted together with it."""
    return address_of(next(ADDRESSES))


@pytest.fixture(scope="package")
async def besieged(make_stack: MakeStack) -> AsyncIterator[Stack]:
    """The system under attack, as it is run by default."""
    async with make_stack(workers=2, BOXOFFICE_FAIR_USE="on") as stack:
        yield stack


@pytest.fixture(scope="package")
async def honest_sale(besieged: Stack) -> AsyncIterator[HonestSale]:
    """A sale that must go on."""
    async with open_honest_sale(besieged) as sale:
        yield sale


@pytest.fixture
async def attacker(besieged: Stack, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of somebody who means harm, at an address of its own."""
    transport = httpx.AsyncHTTPTransport(verify=False, local_address=address, limits=httpx.Limits())
    async with httpx.AsyncClient(
        base_url=besieged.base_url, transport=transport, timeout=PATIENCE_SECONDS, trust_env=False
    ) as http:
        yield http
