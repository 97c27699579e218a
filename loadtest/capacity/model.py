"""From what each thing costs to the cores and machines that a crowd takes. Arithmetic alone, so that it can be tested.

Costs are CPU time by where it is spent, because each grows in another way: what the machines do is spread over as many
as there are; PostgreSQL is one server for all; and the owner of one schedule is one process, which one core is the end
of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

DATABASE, OWNER = "PostgreSQL", "owner"
# How busy cores may be when it counts: beyond it what waits grows faster than what is sold.
BUSY_SHARE = 0.7


class Cost(Struct, frozen=True):
    """CPU time in µs: on the machines (owners aside), in the schedule's owner, in PostgreSQL."""

    machines: float = 0.0
    owner: float = 0.0
    database: float = 0.0

    @property
    def all(self) -> float:
        return self.machines + self.owner + self.database

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.machines + other.machines, self.owner + other.owner, self.database + other.database)

    def __sub__(self, other: Cost) -> Cost:
        return self + other * -1

    def __mul__(self, times: float) -> Cost:
        return Cost(self.machines * times, self.owner * times, self.database * times)


def total(costs: Mapping[str, Any], done: Mapping[str, float]) -> Cost:
    """What so many of each come to."""
    found = Cost()
    for name, times in done.items():
        cost: Cost = costs[name]
        found += cost * times
    return found


class Load(Struct, frozen=True):
    """Something done many times: how often, what it went in (by the names of `Costs`), and what all of it took."""

    times: float
    batches: dict[str, float]
    cost: Cost

    def less(self, known: Mapping[str, Cost]) -> Load:
        """The same without what is known of its batches' cost."""
        batches = {name: number for name, number in self.batches.items() if name in known}
        return Load(self.times, self.batches, self.cost - total(known, batches))

    def of(self, batch: str) -> tuple[float, float, Cost]:
        """How often, in how many batches of a kind, at what cost."""
        return self.times, self.batches[batch], self.cost


def parted(full: tuple[float, float, Cost], few: tuple[float, float, Cost]) -> tuple[Cost, Cost]:
    """What each and what each batch of them costs, by two loads of so many in so many batches: one whose batches are
    large, and one whose batches are small.
    """
    (times, batches, cost), (other_times, other_batches, other_cost) = full, few
    batch = (other_cost * times - cost * other_times) * (1 / (other_batches * times - batches * other_times))
    batch = Cost(*(max(0.0, part) for part in (batch.machines, batch.owner, batch.database)))
    return (cost - batch * batches) * (1 / times), batch


def cost_of(seconds: Mapping[str, float]) -> Cost:
    """The CPU seconds of each part of the system (`loadtest.bench.contenders.ours.PARTS`) as a cost."""
    others = sum(value for name, value in seconds.items() if name not in (DATABASE, OWNER))
    return Cost(others, seconds.get(OWNER, 0.0), seconds.get(DATABASE, 0.0)) * 1e6


class Costs(Struct, frozen=True, kw_only=True):
    """What was measured. A second of an open page is one whose stream is read, at rest or while its house is sold."""

    call: Cost  # one to a process of owners, whatever it carries
    commit: Cost  # one, whatever is in it
    part: Cost  # of a commit, for each schedule in it but the first
    hold: Cost  # a booking of one seat: like all that follow, beside its share of calls and commits
    refusal: Cost  # a wish for seats that are taken
    purchase: Cost  # hold, payment and mail
    request: Cost  # one of those a page makes when it is opened
    waiting_second: Cost  # of an open page, while nothing happens
    open_second: Cost  # of an open page, while its house is sold
    opening: Cost  # of a schedule that nobody has asked for yet, its first hold left out
    schedule_kib: float  # of memory, that an open schedule takes
    page_kib: float  # that an open page takes
    idle_second: Cost  # of a machine that does nothing
    per_call: float  # requests that a call carries at full load
    per_commit: float  # holds that a commit has then
    machine_mib: float  # that its processes take
    connections: float  # to PostgreSQL

    def of(self, done: Mapping[str, float]) -> Cost:
        """What so many of each come to; names are those of the costs."""
        return total(msgspec.structs.asdict(self), done)


class Crowd(Struct, frozen=True, kw_only=True):
    """People who want the seats of one house when its sale opens."""

    buyers: int
    seats: int
    per_booking: int = 2
    wishes: int = 3  # each makes until it has seats, or gives up
    page_requests: int = 3  # the date, the house's layout, its states
    coming_seconds: float = 60.0  # in which all of them have come
    paying_seconds: float = 300.0  # in which those who have seats have paid
    pages_open: float = 1.0  # share of the buyers whose page follows the sale live

    @property
    def bookings(self) -> int:
        return min(self.buyers, self.seats // self.per_booking)


class Demand(Struct, frozen=True, kw_only=True):
    """Cores that are busy while a crowd comes."""

    machines: float
    owner: float
    database: float

    def machines_of(self, cores: int, costs: Costs) -> int:
        """How many machines of so many cores, PostgreSQL on its own; no core busier than `BUSY_SHARE`."""
        room = cores * BUSY_SHARE - costs.idle_second.machines / 1e6
        return max(1, math.ceil((self.machines + self.owner) / room))


def demand(crowd: Crowd, costs: Costs) -> Demand:
    """What the crowd takes in the minute in which it comes. Each booking is a hold first, and paid in its time."""
    bookings = crowd.bookings
    refused = crowd.buyers * (crowd.wishes - 1) if crowd.buyers > bookings else 0
    coming = costs.of(
        {
            "request": crowd.buyers * crowd.page_requests,
            "hold": bookings,
            "refusal": refused,
            "call": (bookings + refused) / costs.per_call,
            "commit": bookings / costs.per_commit,
        }
    ) * (1 / crowd.coming_seconds)
    paying = (costs.purchase - costs.hold) * (bookings / crowd.paying_seconds)
    watching = costs.open_second * (crowd.buyers * crowd.pages_open)
    busy = (coming + paying + watching) * 1e-6
    return Demand(machines=busy.machines, owner=busy.owner, database=busy.database)


def owner_limit(costs: Costs) -> float:
    """Holds a second that one schedule's owner can make durable with a core of its own."""
    of_its_share = costs.call.owner / costs.per_call + costs.commit.owner / costs.per_commit
    return BUSY_SHARE * 1e6 / (costs.hold.owner + of_its_share)
