"""A sale that goes on beside an attack, and must not notice it.

Twenty customers, each at an address of its own, hold a seat of their own and give it back, twice a second each, in a
process of their own, so that whatever the attacking test does to its own process spoils no measurement. A hold is
timed from when it was due; one whose connection is lost is sent again, once, as careful clients do. How the sale does
by itself is measured first, in the same run.

    async with honest_sale.goes_on() as beside:
        while not beside.enough:
            …  # the attack
    # raises AssertionError if the sale has suffered
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
from msgspec import Struct

from loadtest.http_client import Answer, Client, ConnectionLost
from tests.conftest import Stack
from tests.support.sale import Sale, open_sale, sign_up, small_plan
from tests.support.waiting import until

BUYERS = 20
PERIOD_SECONDS = 0.5  # between two holds of a buyer: far below what fair use allows
ENOUGH = 100  # holds to judge by: 2.5 s of the sale
CALM = 200  # holds by which the sale is known as it is by itself
GRANTED, SLOWER = 0.99, 3.0
# A hold within a second is a hold: of a hundred the slowest counts here, on two cores that also run the attackers' own
# programs and the tests of two other processes, each of which may stall one for half of that.
UNNOTICED_SECONDS = 1.0
STALLED_SECONDS = 60.0
ROOT = Path(__file__).parents[2]


class Plan(Struct, frozen=True):
    """What the buyers' process is told."""

    url: str
    bookings_url: str
    seats: list[str]
    tokens: list[str]


class Hold(Struct, frozen=True):
    """One try to hold a seat."""

    due: float  # on the machine's monotonic clock, the same in every process
    seconds: float  # until it was answered
    status: int  # 0: no answer
    code: str


class Beside:
    """The time of one attack."""

    def __init__(self, sale: HonestSale) -> None:
        self._sale = sale
        self._begun = time.monotonic()

    @property
    def holds(self) -> list[Hold]:
        return [hold for hold in self._sale.holds if hold.due >= self._begun]

    @property
    def enough(self) -> bool:
        """Whether the attack has been beside enough of the sale to be judged."""
        return len(self.holds) >= ENOUGH


class HonestSale:
    """The buyers, and what they were answered."""

    def __init__(self, sale: Sale) -> None:
        self.sale = sale
        self.holds: list[Hold] = []
        self.calm_p99 = 0.0

    @contextlib.asynccontextmanager
    async def goes_on(self, within_seconds: float = UNNOTICED_SECONDS) -> AsyncIterator[Beside]:
        """Whatever happens in the block, the sale goes on as if nothing had; judged over enough of it.

        99 of 100 holds take at most three times as long as by themselves, or `within_seconds`.
        """
        beside = Beside(self)
        yield beside
        await until(lambda: beside.enough, STALLED_SECONDS)
        holds = beside.holds
        granted = sum(hold.status == httpx.codes.CREATED for hold in holds)
        others = sorted({f"{hold.status} {hold.code}" for hold in holds if hold.status != httpx.codes.CREATED})
        assert granted >= GRANTED * len(holds), f"{granted} of {len(holds)} holds were granted, others got {others}"
        limit = max(SLOWER * self.calm_p99, within_seconds)
        slow = p99(holds)
        assert slow <= limit, f"p99 {slow * 1000:.0f} ms, by itself {self.calm_p99 * 1000:.0f} ms"

    async def listen(self, answers: asyncio.StreamReader) -> None:
        while line := await answers.readline():
            self.holds.append(msgspec.json.decode(line, type=Hold))


def p99(holds: Sequence[Hold]) -> float:
    """The time, in seconds, within which 99 of 100 were answered."""
    times = sorted(hold.seconds for hold in holds)
    return times[min(len(times) - 1, int(len(times) * 0.99))]


def address_of(number: int) -> str:
    """An address of this machine's own loopback network (Linux has 127/8): one for each who asks."""
    return f"127.0.{1 + number // 200}.{1 + number % 200}"


@contextlib.asynccontextmanager
async def open_honest_sale(stack: Stack) -> AsyncIterator[HonestSale]:
    """A sale that is going on, and known as it is by itself, until the block ends."""
    async with stack.client() as http:
        opened = await open_sale(http, plan=small_plan(rows=2, seats_per_row=BUYERS))
    tokens = [await _token(stack.base_url, address_of(number)) for number in range(BUYERS)]
    plan = Plan(stack.base_url, opened.bookings_url, list(opened.seats[:BUYERS]), tokens)
    buyers = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.honest_sale",
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert buyers.stdin is not None
    assert buyers.stdout is not None
    sale = HonestSale(opened)
    listening = asyncio.create_task(sale.listen(buyers.stdout))
    try:
        buyers.stdin.write(msgspec.json.encode(plan) + b"\n")
        await until(lambda: len(sale.holds) >= ENOUGH, STALLED_SECONDS)  # connections, the owner and its caches
        warm = len(sale.holds)
        await until(lambda: len(sale.holds) >= warm + CALM, STALLED_SECONDS)
        sale.calm_p99 = p99(sale.holds[warm:])
        yield sale
    finally:
        if buyers.returncode is None:
            buyers.kill()
        await buyers.wait()
        await listening


async def _token(url: str, address: str) -> str:
    transport = httpx.AsyncHTTPTransport(verify=False, local_address=address)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=30, trust_env=False) as http:
        return (await sign_up(http))["Authorization"].removeprefix("Bearer ")


# --- the buyers' process ----------------------------------------------------------------------------------------------
class _Buyer(Client):
    """A client at an address of its own."""

    def __init__(self, url: str, address: str, token: str) -> None:
        super().__init__(url)
        self._address = address
        self.token = token

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_connection(self._host, self._port, local_addr=(self._address, 0))
        return self._streams


async def _hold(buyer: Client, url: str, seat: str) -> Answer:
    key = {"Idempotency-Key": uuid4().hex}
    try:
        return await buyer.request("POST", url, {"seats": [seat]}, key)
    except ConnectionLost:
        return await buyer.request("POST", url, {"seats": [seat]}, key)


async def _buy(plan: Plan, number: int) -> None:
    buyer = _Buyer(plan.url, address_of(number), plan.tokens[number])
    due = time.monotonic() + PERIOD_SECONDS * number / len(plan.tokens)
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            answer = await _hold(buyer, plan.bookings_url, plan.seats[number])
            hold = Hold(due, time.monotonic() - due, answer.status, answer.code)
            if answer.status == httpx.codes.CREATED:
                await buyer.request("POST", f"/v1/bookings/{answer.json()['id']}/cancellation", {})
        except ConnectionLost:
            hold = Hold(due, time.monotonic() - due, 0, "connection lost")
        sys.stdout.buffer.write(msgspec.json.encode(hold) + b"\n")
        sys.stdout.flush()
        due = max(due + PERIOD_SECONDS, time.monotonic())


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    await asyncio.gather(*(_buy(plan, number) for number in range(len(plan.tokens))))


if __name__ == "__main__":
    asyncio.run(_main())
