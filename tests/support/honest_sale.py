"""A sale that goes on beside an attack, and must not notice it.

Twenty customers, each at an address of its own, hold a seat of their own and give it back, twice a second each, in a
process of their own, so that whatever the attacking test does to its own process spoils no measurement. A hold is
timed from when it was due; what is lost with its connection is sent again, once, as careful clients do. How the sale
does by itself is measured first, in the same run.

The attacker's own program is on this machine, too, and so may other tests be, by turns. What that costs anybody is seen
by a bystander: a program that is asked forty times a second to compute for a millisecond, and has nothing to do with
the box office. Where it takes n times as long as beside the calm sale, so may a hold; never more than a second.

    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            …  # the attack
    # raises AssertionError if the sale has suffered
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import msgspec
from msgspec import Struct

from loadtest.http_client import Answer, Client, ConnectionLost
from tests.support.sale import Sale, open_sale, sign_up, small_plan
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

BUYERS = 20
PERIOD_SECONDS = 0.5  # between two holds of a buyer: far below what fair use allows
STRETCH = 200  # holds by which a sale is judged: 5 s of it; the slowest does not count
STRETCHES = 8  # at most: an attack stays, and what else there is on the machine passes within 40 s
WARMING = 100  # holds for connections, the owner and its caches
GRANTED, SLOWER, SLOWEST_SECONDS = 0.99, 3.0, 1.0
BYSTANDER_SECONDS = 0.025  # between two questions to it
BYSTANDER_ALONE_SECONDS = 0.002  # what an answer of it takes at most, as a rule, where nothing else runs
STALLED_SECONDS = 60.0
ROOT = Path(__file__).parents[2]
# Answers each line after a millisecond of work, until its input ends.
BYSTANDER = """
import sys, time
for line in sys.stdin:
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass
    print(flush=True)
"""


class Plan(Struct, frozen=True):
    """What the buyers' process is told."""

    url: str
    bookings_url: str
    seats: list[str]
    tokens: list[str]


class Hold(Struct, frozen=True, tag="hold"):
    """One try to hold a seat."""

    due: float  # on the machine's monotonic clock, the same in every process
    seconds: float  # until it was answered
    status: int  # 0: no answer
    code: str


class Exchange(Struct, frozen=True, tag="exchange"):
    """One answer of the bystander."""

    due: float
    seconds: float


class Beside:
    """The time of one attack."""

    def __init__(self, sale: HonestSale) -> None:
        self._sale = sale
        self._begun = time.monotonic()
        self.stretches: list[list[Hold]] = []  # of an attack that goes on and on

    @property
    def holds(self) -> list[Hold]:
        return [hold for hold in self._sale.holds if hold.due >= self._begun]

    @property
    def crowding(self) -> float:
        """How many times as long as where nothing else runs anything takes: by the bystander's bit of work."""
        meanwhile = [each.seconds for each in self._sale.exchanges if each.due >= self._begun]
        return max(1.0, statistics.median(meanwhile) / BYSTANDER_ALONE_SECONDS)

    def needs_more(self) -> bool:
        """Whether an attack that goes on and on is to go on: not once the sale did not notice it for a whole stretch.

        What an attack does stays as long as it does; what else there is on the machine passes.
        """
        holds = self.holds
        self.stretches = [holds[start : start + STRETCH] for start in range(0, len(holds) - STRETCH + 1, STRETCH)]
        return len(self.stretches) < STRETCHES and all(map(self._sale.notices, self.stretches))


class HonestSale:
    """The buyers, and what they were answered."""

    def __init__(self, sale: Sale) -> None:
        self.sale = sale
        self.holds: list[Hold] = []
        self.exchanges: list[Exchange] = []
        self._calm: Sequence[Hold] = ()

    def may_take(self, holds: Sequence[Hold]) -> float:
        """What 99 of 100 of these may take at most, in seconds."""
        noise = max(1.0, self._noise(holds) / self._noise(self._calm))
        return min(SLOWEST_SECONDS, SLOWER * p99(self._calm) * noise)

    def notices(self, holds: Sequence[Hold]) -> bool:
        """Whether something else than this machine slows it down."""
        return p99(holds) > self.may_take(holds)

    def _noise(self, holds: Sequence[Hold]) -> float:
        """What 99 of 100 of the bystander's answers took meanwhile."""
        first, last = holds[0].due, max(hold.due + hold.seconds for hold in holds)
        return p99([each for each in self.exchanges if first <= each.due <= last])

    @contextlib.asynccontextmanager
    async def goes_on(self, within_seconds: float = 0.0) -> AsyncIterator[Beside]:
        """Whatever happens in the block, the sale goes on as if nothing had.

        `within_seconds`: what 99 of 100 holds may take at any rate, where the attack is work that has to be done.
        """
        beside = Beside(self)
        yield beside
        attacked = len(beside.holds)
        await until(lambda: len(beside.holds) >= STRETCH, STALLED_SECONDS)
        holds = beside.holds[: max(attacked, STRETCH)]
        granted = sum(hold.status == httpx.codes.CREATED for hold in holds)
        others = sorted({f"{hold.status} {hold.code}" for hold in holds if hold.status != httpx.codes.CREATED})
        assert granted >= GRANTED * len(holds), f"{granted} of {len(holds)} holds were granted, others got {others}"
        judged = [each for each in beside.stretches or [holds] if p99(each) > within_seconds]
        assert not judged or not all(map(self.notices, judged)), "; ".join(map(self._told, judged))

    def _told(self, holds: Sequence[Hold]) -> str:
        took, calm, limit = (round(1000 * each) for each in (p99(holds), p99(self._calm), self.may_take(holds)))
        noises = [round(1000 * self._noise(each), 1) for each in (holds, self._calm)]
        return f"p99 {took} ms, by itself {calm} ms, at most {limit} ms; the bystander {noises[0]} for {noises[1]} ms"

    async def calm_down(self) -> None:
        """Learns how the sale does by itself."""
        begun = len(self.holds)
        await until(lambda: len(self.holds) >= begun + STRETCH, STALLED_SECONDS)
        self._calm = self.holds[begun : begun + STRETCH]

    async def listen(self, answers: asyncio.StreamReader) -> None:
        while line := await answers.readline():
            answer = msgspec.json.decode(line, type=Hold | Exchange)
            if isinstance(answer, Hold):
                self.holds.append(answer)
            else:
                self.exchanges.append(answer)


def p99(answers: Sequence[Hold | Exchange]) -> float:
    """The time, in seconds, within which 99 of 100 were answered."""
    times = sorted(answer.seconds for answer in answers)
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
        await until(lambda: len(sale.holds) >= WARMING, STALLED_SECONDS)
        await sale.calm_down()
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


async def _ask(buyer: Client, url: str, body: dict[str, list[str]]) -> Answer:
    key = {"Idempotency-Key": uuid4().hex}
    try:
        return await buyer.request("POST", url, body, key)
    except ConnectionLost:
        return await buyer.request("POST", url, body, key)


async def _buy(plan: Plan, number: int) -> None:
    buyer = _Buyer(plan.url, address_of(number), plan.tokens[number])
    due = time.monotonic() + PERIOD_SECONDS * number / len(plan.tokens)
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            answer = await _ask(buyer, plan.bookings_url, {"seats": [plan.seats[number]]})
            hold = Hold(due, time.monotonic() - due, answer.status, answer.code)
            if answer.status == httpx.codes.CREATED:
                given = await _ask(buyer, f"/v1/bookings/{answer.json()['id']}/cancellation", {})
                if given.status != httpx.codes.CREATED:
                    hold = Hold(due, hold.seconds, given.status, f"{given.code} for what it gives back")
        except ConnectionLost:
            hold = Hold(due, time.monotonic() - due, 0, "connection lost")
        _tell(hold)
        due = max(due + PERIOD_SECONDS, time.monotonic())


def _tell(answer: Hold | Exchange) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.flush()


async def _ask_bystander() -> None:
    words = (sys.executable, "-c", BYSTANDER)
    pipe = asyncio.subprocess.PIPE
    bystander = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
    assert bystander.stdin is not None
    assert bystander.stdout is not None
    due = time.monotonic()
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        bystander.stdin.write(b"\n")
        await bystander.stdout.readline()
        _tell(Exchange(due, time.monotonic() - due))
        due = max(due + BYSTANDER_SECONDS, time.monotonic())


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    await asyncio.gather(_ask_bystander(), *(_buy(plan, number) for number in range(len(plan.tokens))))


if __name__ == "__main__":
    asyncio.run(_main())
