"""The scenarios, in order of importance; what each is to show is taken from the issue that asked for it."""

from __future__ import annotations

from functools import partial

from loadtest.bench.contenders.baseline import open_baseline
from loadtest.bench.contenders.contender import Opening
from loadtest.bench.contenders.ours import MANY_CUSTOMERS, open_ours, open_with_own_broker
from loadtest.bench.figures.results import Ratio
from loadtest.bench.inside import one_row_commit, ray_call, saturated
from loadtest.bench.loads import (
    PEAK_SECONDS,
    SINGLE_FILE,
    batches,
    fight,
    nothing,
    paced,
    purchases,
    random_nothing,
    read,
    refusals,
    spread,
    without_broker,
)
from loadtest.bench.measuring import Entry, Scenario

# An examination of a large house would fall into the rounds of one of those that are compared, and not of the other.
UNDISTURBED = {"BOXOFFICE_RECONCILE": "off"}
OPENINGS: dict[str, Opening] = {
    "ours": open_ours,
    "ours, many customers": partial(open_ours, customers=MANY_CUSTOMERS),
    "ours, own broker": partial(open_with_own_broker, UNDISTURBED),
    "ours, unpublished": partial(open_ours, UNDISTURBED | {"BOXOFFICE_PUBLISH": "off"}),
    "no-op": partial(open_baseline, "noop"),
    "row locks": partial(open_baseline, "row_locks"),
    "conditional update": partial(open_baseline, "conditional_update"),
    "Redis Lua, always": partial(open_baseline, "redis_lua", appendfsync="always"),
    "Redis Lua, everysec": partial(open_baseline, "redis_lua", appendfsync="everysec"),
    "coalescer": partial(open_baseline, "coalescer"),
    "coalescer, short way": partial(open_baseline, "coalescer_short_way"),
}

OURS = "ours"
OUR_NOOP = "no-op in our workers"
NOOP = "no-op, plain FastAPI"
BASELINES = (
    "row locks",
    "conditional update",
    "Redis Lua, always",
    "Redis Lua, everysec",
    "coalescer",
    "coalescer, short way",
)
EACH_TIMED = "200 schedules, each timed"
BATCHED = "a hundred a request"
AWAY, ON, OFF = "broker away", "publishing on", "publishing off"
ALONE = "hold by itself, one connection"
HOLD, PACED_HOLD, PACED_NOOP = "hold", "hold at 70 % of its peak", "no-op at the same rate"
PURCHASE_WITH_MAIL = "purchase, mail included"
GET_NOOP = "no-op GET, plain FastAPI"
RAY, COMMIT = "Ray call that does nothing", "commit of one row"

SPREAD = Scenario(
    name="spread",
    title="one named seat a request, spread over a large house",
    note="Our workers hand a well-formed request straight to its endpoint (api/server/express.py): holds and the no-op"
    " in our workers alike. The baselines are plain FastAPI, except where it says short way: that one does the same.",
    entries=(
        Entry(OUR_NOOP, "ours", nothing("noop")),
        Entry(NOOP, "no-op", nothing("bookings")),
        Entry(OURS, "ours", spread()),
        *(Entry(name, name, spread()) for name in BASELINES),
    ),
    ratios=(
        Ratio(name="ours ÷ no-op in our workers", over=OURS, under=(OUR_NOOP,), target=0.70),
        Ratio(name="ours ÷ no-op, plain FastAPI", over=OURS, under=(NOOP,), target=0.70),
        Ratio(name="ours ÷ row locks", over=OURS, under=("row locks",), target=3.5),
        Ratio(name="ours ÷ conditional update", over=OURS, under=("conditional update",), target=3.0),
        Ratio(name="ours ÷ Redis Lua, always", over=OURS, under=("Redis Lua, always",), target=1.3),
        Ratio(name="ours ÷ Redis Lua, everysec", over=OURS, under=("Redis Lua, everysec",)),
        Ratio(name="ours ÷ coalescer", over=OURS, under=("coalescer",), target=1.0),
        Ratio(name="ours ÷ coalescer, short way", over=OURS, under=("coalescer, short way",), target=1.0),
    ),
)

FIGHT = Scenario(
    name="fight",
    title="everyone wants the same 1,000 seats, two a request, drawn at random, until 95 % are sold",
    note="Bookings and refusals per second, and latencies, from the first request to the booking that makes it 95 %.",
    entries=tuple(Entry(name, name, fight) for name in (OURS, "row locks", "conditional update", "Redis Lua, always")),
    ratios=(
        Ratio(name="bookings/s, ours ÷ row locks", over=OURS, under=("row locks",), target=2.5),
        Ratio(name="refusals/s, ours ÷ row locks", over=OURS, under=("row locks",), metric="refused", target=2.5),
        Ratio(name="p99, ours ÷ row locks", over=OURS, under=("row locks",), metric="p99", target=0.5, at_least=False),
        Ratio(name="bookings/s, ours ÷ conditional update", over=OURS, under=("conditional update",)),
        Ratio(name="bookings/s, ours ÷ Redis Lua, always", over=OURS, under=("Redis Lua, always",)),
    ),
)

REFUSALS = Scenario(
    name="refusals",
    title="two seats of a house that is sold out: every request is refused",
    entries=(
        Entry(OUR_NOOP, "ours", random_nothing("noop")),
        Entry(NOOP, "no-op", random_nothing("bookings")),
        Entry(OURS, "ours", refusals),
        Entry("row locks", "row locks", refusals),
        Entry("Redis Lua, always", "Redis Lua, always", refusals),
    ),
    ratios=(
        Ratio(name="refusals ÷ no-op in our workers", over=OURS, under=(OUR_NOOP,), metric="requests", target=0.80),
        Ratio(name="refusals ÷ no-op, plain FastAPI", over=OURS, under=(NOOP,), metric="requests", target=0.80),
        Ratio(name="refusals, ours ÷ row locks", over=OURS, under=("row locks",), metric="requests"),
        Ratio(name="refusals, ours ÷ Redis Lua", over=OURS, under=("Redis Lua, always",), metric="requests"),
    ),
)

SCHEDULES = Scenario(
    name="schedules",
    title="ours, the same load on one schedule, on twenty and on two hundred",
    entries=(
        Entry("1 schedule", "ours", spread()),
        Entry("20 schedules", "ours", spread(schedules=20)),
        Entry("200 schedules", "ours", spread(schedules=200)),
        Entry(EACH_TIMED, "ours", spread(schedules=200, connections=SINGLE_FILE, threads=SINGLE_FILE)),
    ),
    ratios=(
        Ratio(name="20 schedules ÷ 1 schedule", over="20 schedules", under=("1 schedule",), target=0.8),
        Ratio(name="200 schedules ÷ 1 schedule", over="200 schedules", under=("1 schedule",), target=0.6),
        Ratio(
            name="p99, the slowest of 200 schedules ÷ the median one",
            over=EACH_TIMED,
            metric="unevenness",
            target=3.0,
            at_least=False,
        ),
    ),
)

BATCHES = Scenario(
    name="batches",
    title="ours, one hold a request and a hundred",
    note="A batch is answered wish by wish; its latency is that of all of them.",
    entries=(Entry(OURS, "ours", spread()), Entry(BATCHED, "ours", batches())),
    ratios=(Ratio(name="holds/s, a hundred a request ÷ one", over=BATCHED, under=(OURS,), target=5.0),),
)

PUBLISHING = Scenario(
    name="publishing",
    title="ours, with events published, not published, and with the broker gone",
    note="Every round starts the system anew, so that there are never two of them on the machine. Without"
    " reconciliation on either side: it looks at a house a few seconds after the start, and so in the rounds of whoever"
    " sells just then.",
    entries=(
        Entry(ON, "ours, own broker", spread()),
        Entry(AWAY, "ours, own broker", without_broker(spread())),
        Entry(OFF, "ours, unpublished", spread()),
    ),
    ratios=(
        Ratio(name="publishing on ÷ off", over=ON, under=(OFF,), target=0.9),
        Ratio(name="broker away ÷ publishing on", over=AWAY, under=(ON,), target=0.95),
    ),
    reopen=True,
)

LATENCY = Scenario(
    name="latency",
    title="one connection: a hold, and what it cannot do without",
    entries=(
        Entry(HOLD, "ours", spread(connections=1, threads=1)),
        Entry(OUR_NOOP, "ours", nothing("noop", connections=1, threads=1)),
        Entry(RAY, "ours", ray_call),
        Entry(COMMIT, "ours", one_row_commit),
    ),
    ratios=(
        Ratio(
            name="p50 of a hold ÷ (no-op + Ray call + commit)",
            over=HOLD,
            under=(OUR_NOOP, RAY, COMMIT),
            metric="p50",
            target=1.3,
            at_least=False,
        ),
    ),
)

RATE = Scenario(
    name="rate",
    title="ours at 70 % of its peak, and the no-op at the same rate",
    note=f"{SINGLE_FILE} connections, each with a thread of wrk of its own. Every connection has slots at even"
    " distances; it sends when its slot comes, or as soon as it is free again, and a latency counts from the slot."
    " A stall is a time in which requests took longer than 100 ms. With --seconds 300 the paced holds go on so long,"
    " one large house after the other.",
    entries=(
        Entry(HOLD, "ours", spread(connections=SINGLE_FILE, threads=SINGLE_FILE, at_most=PEAK_SECONDS)),
        Entry(ALONE, "ours", spread(connections=1, threads=1, at_most=PEAK_SECONDS)),
        Entry(PACED_HOLD, "ours", paced(HOLD)),
        Entry(PACED_NOOP, "ours", paced(HOLD, "noop", at_most=PEAK_SECONDS)),
    ),
    ratios=(
        Ratio(
            name="p99, hold ÷ no-op at the same rate",
            over=PACED_HOLD,
            under=(PACED_NOOP,),
            metric="p99",
            target=4.0,
            at_least=False,
        ),
        Ratio(
            name="p99 of a hold ÷ p50 of one by itself",
            over=PACED_HOLD,
            under=(ALONE,),
            metric="p99",
            under_metric="p50",
            target=10.0,
            at_least=False,
        ),
        Ratio(name="stalls over 100 ms in a round", over=PACED_HOLD, metric="stalls", target=0, at_least=False),
        Ratio(name="MB the API workers grew by in a round", over=PACED_HOLD, metric="grown_mb"),
    ),
)

READS = Scenario(
    name="reads",
    title="GET, compressed where the answer is large, of a schedule with 3,000 seats",
    entries=(
        Entry(GET_NOOP, "no-op", read("/v1/noop")),
        Entry("healthz in our workers", "ours", read("/healthz")),
        Entry("availability", "ours", read("/v1/schedules/{schedule}/availability")),
        Entry("availability, 304", "ours", read("/v1/schedules/{schedule}/availability", known=True)),
        Entry("seats", "ours", read("/v1/schedules/{schedule}/seats")),
        Entry("seats, 304", "ours", read("/v1/schedules/{schedule}/seats", known=True)),
        Entry("catalogue", "ours", read("/v1/performances")),
    ),
    ratios=tuple(
        Ratio(name=f"{label} ÷ no-op GET", over=label, under=(GET_NOOP,), metric="requests", target=target)
        for label, target in (
            ("availability", 0.8),
            ("availability, 304", 0.9),
            ("seats", None),
            ("seats, 304", 0.9),
            ("catalogue", None),
        )
    ),
)

PURCHASE = Scenario(
    name="purchase",
    title="hold, pay, confirmed: whole purchases beside holds",
    note=f"{SINGLE_FILE} connections, each doing one step after the other. The payment sandbox shares the machine."
    " A purchase is two requests: its latency is that of both, CPU is given per request, and the mail with its ticket"
    " is part of it: a round is not over before all are sent.",
    entries=(
        Entry(HOLD, "ours, many customers", spread(connections=SINGLE_FILE, threads=SINGLE_FILE)),
        Entry(PURCHASE_WITH_MAIL, "ours, many customers", purchases),
    ),
    ratios=(
        Ratio(name="purchases ÷ holds", over=PURCHASE_WITH_MAIL, under=(HOLD,), target=0.35),
        Ratio(
            name="CPU, a hold's ÷ a purchase's with its mail",
            over=HOLD,
            under=(PURCHASE_WITH_MAIL,),
            metric="cpu_created",
        ),
    ),
)

CALLS = Scenario(
    name="calls",
    title="what one booking takes inside, at saturation",
    entries=(Entry(OURS, "ours", saturated),),
    ratios=(
        Ratio(name="calls to owners per booking", over=OURS, metric="calls_per_booking", target=0.1, at_least=False),
        Ratio(name="commits per booking", over=OURS, metric="commits_per_booking", target=0.1, at_least=False),
    ),
)

SCENARIOS = {
    each.name: each
    for each in (SPREAD, FIGHT, REFUSALS, SCHEDULES, BATCHES, PUBLISHING, LATENCY, RATE, READS, PURCHASE, CALLS)
}
