"""What contenders are asked: each function makes the measurement behind one line of a scenario."""

from __future__ import annotations

import statistics

from loadtest.bench.contenders.contender import LARGE, WARM_UP, Contender, OnSale
from loadtest.bench.contenders.mails import let_all_be_sent
from loadtest.bench.contenders.ours import Ours
from loadtest.bench.contenders.processes import megabytes
from loadtest.bench.figures.results import Round
from loadtest.bench.measuring import FASTEST, Measure, Table
from loadtest.bench.wrk import Drive
from loadtest.http_client import Client
from loadtest.stack import StackError

HOT_SEATS = 1_000
SOLD_OUT_SHARE = 0.95
FIGHT_SECONDS = 90  # by then the slowest contender has sold a hot house
READ_SEATS = 3_000  # a grand theatre
READ_SECONDS = 2  # reads vary little, and there are many of them
SINGLE_FILE = 64  # connections where each has a thread of wrk to itself
BATCHING = 8  # connections, each with a hundred wishes on the way
PACED_SHARE = 0.7  # of the peak
PEAK_SECONDS = 3  # are enough to know it, and the no-op's latency
SPARE_SECONDS = 3  # for which there are seats beyond those of a paced round
PER_BOOKING = 100  # seats, at most


def spread(
    *, schedules: int = 1, connections: int | None = None, threads: int | None = None, at_most: int | None = None
) -> Measure:
    """One named seat a request, each another one, over one large house or several; for `at_most` so many seconds."""

    async def measure(table: Table, contender: Contender) -> Round:
        seconds = min(table.seconds, at_most or table.seconds)
        sale = await _large_house(table, contender, schedules, seconds)
        return await table.drive(
            contender, _drive(table, sale, seconds, connections=connections, threads=threads), sale
        )

    return measure


def batches() -> Measure:
    """The same seats, a hundred in a request."""

    async def measure(table: Table, contender: Contender) -> Round:
        sale = await table.on_sale(contender, 1, LARGE, needed=LARGE - HOT_SEATS)
        drive = _drive(table, sale, table.seconds, "bookings:batch", connections=BATCHING, mode="batch")
        return await table.drive(contender, drive, sale)

    return measure


def nothing(noun: str, *, connections: int | None = None, threads: int | None = None) -> Measure:
    """The same requests to a route that books nothing."""

    async def measure(table: Table, contender: Contender) -> Round:
        sale = await _large_house(table, contender, 1, table.seconds)
        drive = _drive(table, sale, table.seconds, noun, connections=connections, threads=threads)
        return await table.drive(contender, drive)

    return measure


def paced(peak: str, noun: str = "bookings", *, at_most: int | None = None) -> Measure:
    """One seat a request at a fixed rate: 70 % of what the line called `peak` has reached so far.

    However long that goes on: as many large houses are sold, one after the other, as it takes.
    """

    async def measure(table: Table, contender: Contender) -> Round:
        known = [each.created / each.seconds for each in table.history.get(peak, [])]
        if not known and not table.warming:
            raise StackError(f"the peak is not known: {peak} has no figure")
        rate = PACED_SHARE * statistics.median(known) if known else 100.0
        seconds = min(table.seconds, at_most or table.seconds)
        wishes = int(rate * (seconds + SPARE_SECONDS))
        if noun != "bookings" or wishes <= LARGE - HOT_SEATS:
            sale = await _large_house(table, contender, 1, seconds)
        else:
            sale = await OnSale.opened(contender, -(-wishes // (LARGE - HOT_SEATS)), LARGE)
        drive = _drive(table, sale, seconds, noun, connections=SINGLE_FILE, threads=SINGLE_FILE, rate=rate)
        before = megabytes(contender.processes().get("API", ()))
        measured = await table.drive(contender, drive, sale if noun == "bookings" else None)
        measured.extra["grown_mb"] = megabytes(contender.processes().get("API", ())) - before
        return measured

    return measure


async def _large_house(table: Table, contender: Contender, schedules: int, seconds: int) -> OnSale:
    needed = min(seconds * FASTEST, LARGE - HOT_SEATS)
    return await table.on_sale(contender, schedules, LARGE // schedules, needed=needed)


def _drive(
    table: Table,
    sale: OnSale,
    seconds: int,
    noun: str = "bookings",
    *,
    connections: int | None = None,
    threads: int | None = None,
    rate: float = 0.0,
    mode: str = "spread",
) -> Drive:
    connections = connections or table.options.connections
    return Drive(
        mode=mode,
        url=sale.contender.url,
        paths=sale.paths(noun),
        seconds=seconds,
        connections=connections,
        threads=threads or min(table.options.threads, connections),
        expected=frozenset({"201"}),
        tokens=sale.contender.tokens,
        seats=sale.seats[sale.first :],
        rate=rate,
        repeats=noun != "bookings",
    )


def without_broker(measure: Measure) -> Measure:
    """The same after the contender's broker has gone for good."""

    async def measure_without(table: Table, contender: Contender) -> Round:
        assert isinstance(contender, Ours)
        if not table.warming:  # its other lines are warmed up with the broker there
            await contender.lose_broker()
        return await measure(table, contender)

    return measure_without


async def fight(table: Table, contender: Contender) -> Round:
    """A house of 1,000 seats: two drawn at random in each request, until 95 % of what could be sold is sold."""
    sale = await OnSale.opened(contender, 1, HOT_SEATS)
    left = sale.seats[sale.first :]
    drive = Drive(
        mode="random",
        url=contender.url,
        paths=sale.paths(),
        seconds=FIGHT_SECONDS,
        connections=table.options.connections,
        threads=1,  # so that it sees when the house is sold
        expected=frozenset({"201", "409"}),
        tokens=contender.tokens,
        seats=left,
        target=WARM_UP if table.warming else int(SOLD_OUT_SHARE * (len(left) // 2)),
        seed=1 + sum(map(len, table.history.values())),
    )
    return await table.drive(contender, drive, sale, seats_each=2)


async def refusals(table: Table, contender: Contender) -> Round:
    """Two seats drawn at random from a house that is sold out."""
    sale = await table.on_sale(contender, 1, HOT_SEATS, purpose="sold out")
    for first in range(sale.first, HOT_SEATS, PER_BOOKING):
        await sale.book(sale.schedule_ids[0], sale.seats[first : first + PER_BOOKING])
    sale.first = HOT_SEATS
    return await table.drive(contender, _random(table, sale, "bookings", "409"))


def random_nothing(noun: str) -> Measure:
    """Requests like those, to a route that looks at no seat."""

    async def measure(table: Table, contender: Contender) -> Round:
        sale = await table.on_sale(contender, 1, HOT_SEATS, purpose="sold out")
        return await table.drive(contender, _random(table, sale, noun, "201"))

    return measure


def _random(table: Table, sale: OnSale, noun: str, expected: str) -> Drive:
    return Drive(
        mode="random",
        url=sale.contender.url,
        paths=sale.paths(noun),
        seconds=table.seconds,
        connections=table.options.connections,
        threads=table.options.threads,
        expected=frozenset({expected}),
        tokens=sale.contender.tokens,
        seats=sale.seats,
    )


async def purchases(table: Table, contender: Contender) -> Round:
    """Hold one seat, pay it, and only then the next: a booking counts once it is confirmed. Each has its mail."""
    assert isinstance(contender, Ours)
    await let_all_be_sent(contender)
    sale = await _large_house(table, contender, 1, table.seconds)
    drive = Drive(
        mode="purchase",
        url=contender.url,
        paths=sale.paths(),
        seconds=table.seconds,
        connections=SINGLE_FILE,
        threads=SINGLE_FILE,
        expected=frozenset({"201", "paid 201"}),
        tokens=contender.tokens,
        seats=sale.seats[sale.first :],
    )
    return await table.drive(contender, drive, sale, status="confirmed")


def read(path: str, *, known: bool = False) -> Measure:
    """GET a path, in which `{schedule}` is a schedule with some seats held; with `known`, by one who has it already."""

    async def measure(table: Table, contender: Contender) -> Round:
        at = path
        if "{schedule}" in path:
            sale = await table.on_sale(contender, 1, READ_SEATS, purpose="read")
            at = path.replace("{schedule}", sale.schedule_ids[0])
        drive = Drive(
            mode="get",
            url=contender.url,
            paths=(at,),
            seconds=min(table.seconds, READ_SECONDS),
            connections=table.options.connections,
            threads=table.options.threads,
            expected=frozenset({"304" if known else "200"}),
            etag=await _etag(contender.url, at) if known else "",
        )
        return await table.drive(contender, drive)

    return measure


async def _etag(url: str, path: str) -> str:
    """The validator of what is there now. Raises `StackError` if there is none to ask with."""
    client = Client(url)
    try:
        answer = await client.request("GET", path)
    finally:
        client.close()
    if not (etag := answer.headers.get("etag", "")):
        raise StackError(f"GET {path} is answered {answer.status} without an ETag, so there is no 304")
    return etag
