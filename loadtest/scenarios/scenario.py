"""The scenarios there are: who comes, in what numbers, to which house, and what must have happened in the end."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from loadtest.scenarios import shapes
from loadtest.scenarios.shapes import Shape


class Scenario(Struct, frozen=True, kw_only=True):
    """One kind of load. The numbers of users and seconds are what is used unless the command says otherwise."""

    name: str
    purpose: str
    users: int
    seconds: int
    venue: str  # one of loadtest.sale.NAMES
    shape: Shape
    crowd: Mapping[str, int]  # class of user → its weight
    staff: Mapping[str, int] = {}  # class of user → exactly so many
    must: tuple[str, ...]  # kinds of answers that must have come at least once
    p95_ms: int = 5_000  # generous: a laptop that runs everything, the crowd included, stays below
    opens_later: bool = False  # the sale opens while the crowd waits
    hot_seats: int = 0  # so many seats are all that anybody wants; fewer for a small crowd, which must fight, too


BUYING = ("seats", "hold", "pay", "booking")
CHANGING = (
    "exchange",
    "extend",
    "cancel",
    "cancellation",
    "reword cancellation",
    "refund quote",
    "refund",
    "refund again",
)
WATCHING = ("performances", "performance", "schedules", "availability", "stream", "stream snapshot")
RECONCILING = (
    "reconcile schedule",
    "reconciliation",
    "all bookings",
    "all payments",
    "all cancellations",
    "all refunds",
    "journal",
    "audit log",
    "owners",
)

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="rush",
            purpose="everybody at once, in the second in which the sale opens",
            users=200,
            seconds=60,
            venue="sejong",
            shape=shapes.spike,
            crowd={"RushBuyer": 1},
            must=("schedule", "seats", "hold", "hold: sale_not_open", "pay"),
            p95_ms=10_000,  # the whole crowd's first requests wait in one line
            opens_later=True,
        ),
        Scenario(
            name="hot-seats",
            purpose="all want the same few seats; most are refused, and that is right",
            users=100,
            seconds=60,
            venue="opera",
            shape=shapes.steps,
            crowd={"HotSeatBuyer": 1},
            must=("hold", "hold: seats_unavailable", "cancel"),
            hot_seats=40,
        ),
        Scenario(
            name="browsing",
            purpose="people look, poll and keep streams open; hardly anybody buys",
            users=150,
            seconds=60,
            venue="sejong",
            shape=shapes.waves,
            crowd={"Browser": 8, "StreamWatcher": 4, "UndecidedCustomer": 2},
            must=(*WATCHING, "availability: unchanged", "seats", "hold", "cancel"),
        ),
        Scenario(
            name="paying",
            purpose="customers with realistic baskets, cards and time to think",
            users=100,
            seconds=120,
            venue="arena",
            shape=shapes.steady,
            crowd={"PayingCustomer": 1},
            must=(*BUYING, "pay: payment_declined", "pay (slow card)", "payment", "my bookings"),
        ),
        Scenario(
            name="changing",
            purpose="customers who exchange, extend, cancel and give back",
            users=60,
            seconds=120,
            venue="opera",
            shape=shapes.steady,
            crowd={"ChangingCustomer": 1},
            must=("seats", "hold", "pay", *CHANGING),
        ),
        Scenario(
            name="reconciling",
            purpose="an admin examines the sale and reads the lists while it goes on",
            users=50,
            seconds=60,
            venue="sejong",
            shape=shapes.steady,
            crowd={"PayingCustomer": 2, "ChangingCustomer": 1},
            staff={"ReconcilingAdmin": 1},
            must=(*BUYING, *RECONCILING),
            p95_ms=15_000,  # replaying a whole journal takes longer than selling from it
        ),
        Scenario(
            name="soak",
            purpose="a bit of everything at a moderate rate, for a long time; what is bought comes back",
            users=40,
            seconds=3_600,
            venue="arena",
            shape=shapes.steady,
            crowd={
                "Browser": 6,
                "StreamWatcher": 4,
                "UndecidedCustomer": 2,
                "ReturningCustomer": 8,
                "ChangingCustomer": 4,
                "HotSeatBuyer": 2,
            },
            staff={"ReconcilingAdmin": 1},
            must=(*WATCHING, *BUYING, *RECONCILING, "refund"),
            p95_ms=15_000,
            hot_seats=40,
        ),
    )
}
DEFAULT = "soak"
