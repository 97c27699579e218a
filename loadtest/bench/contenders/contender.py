"""What a contender is, and the seats it has on sale for the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from loadtest.bench.contenders.processes import Groups
from loadtest.bench.contenders.verification import Stored
from loadtest.http_client import Client
from loadtest.sale import created

CATEGORY = "A"
PRICE = 1_000
SEATS_PER_ROW, ROWS_PER_ZONE = 50, 20
# As many seats as one house may have here: as a document about 5 MB, of the 8 MiB that a plan may have.
LARGE = 60_000
WARM_UP = 20  # bookings on connections of their own, so that every worker gets some


class Contender(Protocol):
    """Something that answers bookings, as long as it is open."""

    url: str
    tokens: tuple[str, ...]

    async def put_on_sale(self, schedules: int, seats: int) -> list[str]:
        """New schedules with so many seats each, those of `seat_ids`; returns the schedules' ids."""

    async def booked(self, schedule_ids: list[str]) -> dict[str, Stored]:
        """All living bookings of these schedules as its own database has them."""

    async def caught_up(self) -> bool:
        """Whether nothing that was sold waits for anybody who works beside the sale."""

    def processes(self) -> Groups:
        """Its processes by what they do."""


Opening = Callable[[], AbstractAsyncContextManager[Contender]]


class OnSale:
    """Schedules of one contender, and how far their seats are used up."""

    def __init__(self, contender: Contender, schedule_ids: list[str], seats: tuple[str, ...]) -> None:
        self.contender = contender
        self.schedule_ids = schedule_ids
        self.seats = seats
        self.first = 0  # the first seat that nobody has asked for

    @classmethod
    async def opened(cls, contender: Contender, schedules: int, seats: int) -> OnSale:
        """New schedules, whose owners and caches are warm."""
        made = cls(contender, await contender.put_on_sale(schedules, seats), tuple(seat_ids(seats)))
        for _ in range(max(1, WARM_UP // schedules)):
            for schedule_id in made.schedule_ids:
                await made.book(schedule_id, made.seats[made.first : made.first + 1])
            made.first += 1
        return made

    async def book(self, schedule_id: str, seats: tuple[str, ...]) -> None:
        """One booking, on a connection of its own. Raises `StackError` if it is refused."""
        client = Client(self.contender.url)
        client.token = self.contender.tokens[0]
        try:
            await created(client, f"/v1/schedules/{schedule_id}/bookings", {"seats": seats})
        finally:
            client.close()

    def paths(self, noun: str = "bookings") -> tuple[str, ...]:
        return tuple(f"/v1/schedules/{schedule_id}/{noun}" for schedule_id in self.schedule_ids)

    def left(self) -> int:
        """Seats nobody has asked for, of all schedules."""
        return (len(self.seats) - self.first) * len(self.schedule_ids)

    def used(self, wishes: int) -> None:
        """wrk has asked for so many more, of all schedules in turn."""
        self.first = min(len(self.seats), self.first + -(-wishes // len(self.schedule_ids)))


def seat_ids(count: int) -> list[str]:
    """The seats of a house, in the plan's order."""
    return [f"{zone}-{row}-{seat}" for zone, row, seat in _places(count)]


def seating_plan(count: int) -> dict[str, object]:
    """The house as a document."""
    zones: dict[int, dict[int, list[dict[str, object]]]] = {}
    for zone, row, seat in _places(count):
        place: dict[str, object] = {
            "seat_guid": f"{zone}-{row}-{seat}",
            "seat_number": str(seat),
            "position": {"x": seat, "y": 0},
            "category": CATEGORY,
        }
        zones.setdefault(zone, {}).setdefault(row, []).append(place)
    return {
        "name": f"Bench {count}",
        "size": {"width": SEATS_PER_ROW, "height": count // SEATS_PER_ROW + 1},
        "categories": [{"name": CATEGORY, "color": "#000000"}],
        "zones": [
            {
                "name": f"Z{zone}",
                "zone_id": f"Z{zone}",
                "position": {"x": 0, "y": zone * ROWS_PER_ZONE},
                "rows": [
                    {"row_number": str(row), "position": {"x": 0, "y": row}, "seats": seats}
                    for row, seats in rows.items()
                ],
            }
            for zone, rows in zones.items()
        ],
    }


def _places(count: int) -> list[tuple[int, int, int]]:
    rows = (divmod(number, SEATS_PER_ROW) for number in range(count))
    return [(*divmod(row, ROWS_PER_ZONE), seat) for row, seat in rows]
