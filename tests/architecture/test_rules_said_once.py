"""What several queries ask of bookings, payments and schedules is written in one place, beside the tables.

So is how an answer is shared and kept (`persistence/database/asked_once.py`), and what a client of Redis that is kept
is like (`persistence/database/redis_clients.py`).

Those who audit write it again, on purpose; migrations and the tables' own indexes are as they were made.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.booking import STATUS_NAMES
from engine.payment import PAYMENT_NAMES, REFUND_NAMES
from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
HERE = "persistence/database/conditions.py"
ELSEWHERE_ON_PURPOSE = (
    "persistence/database/migrations/",
    "persistence/database/tables",
    "persistence/journal/group_commit.py",  # the one statement that writes them
    "persistence/reconciliation/",
    "actors/reconciliation/",
)
WORDS = "|".join(dict.fromkeys((*STATUS_NAMES, *PAYMENT_NAMES, *REFUND_NAMES)))
SAID_AGAIN = {
    "a status in SQL": re.compile(rf"\bstatus\s*(=|<>|IN|NOT IN)\s*\(?'({WORDS})'"),
    "a status in a query": re.compile(rf'\.c\.status\s*(==|!=|\.in_\(\[?)\s*\(?"({WORDS})"'),
    "a status in Python": re.compile(rf'\.status\s*(==|!=|in|not in)\s*[(\[{{]?\s*"({WORDS})"'),
    "the name of a status": re.compile(r"status\.name\.lower\(\)|Status\.[A-Z_]+\.name\.lower\(\)"),
    "whose seats are sold": re.compile(
        r'\(\s*"confirmed",\s*"partially_refunded",?\s*\)|Status\.CONFIRMED, Status\.PARTIALLY'
    ),
    "the end of a sale": re.compile(r"coalesce\(\s*([\w.]+\.)?sale_closes_at"),
    "whether a sale is over": re.compile(r"(sale_)?closes_at(_ms)?\s*<=?|>=?\s*([\w.]+\.)?(sale_)?closes_at(_ms)?\b"),
    "whose events are told": re.compile(r"\bseq > 1 AND (\w+\.)?epoch > 0"),
    "a bounded cache": re.compile(r"popitem\(last=False\)|pop\(next\(iter\(|= OrderedDict\(|\.move_to_end\("),
    "asked once for all who ask": re.compile(r"dict\[[^\]\n]*, asyncio\.(Task|Lock|Future)\b"),
    "several wait for one": re.compile(r"asyncio\.shield\(|(?<!\.)(?<!def )\bshared\("),
    "a client of Redis": re.compile(r"(?<!async with )\bRedis\.from_url\(|\bRedis\("),
    "forgotten by hand": re.compile(r"\bdel self\._\w+\["),
}


def test_what_is_said_in_one_place_is_said_in_no_other() -> None:
    again = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in python_files("engine", "persistence", "actors", "api")
        if not str(path.relative_to(ROOT)).startswith((HERE, *ELSEWHERE_ON_PURPOSE))
        for what, pattern in SAID_AGAIN.items()
        if pattern.search(path.read_text())
    ]
    # By file: what is done by hand there, and why the one class does not serve.
    allowed = [
        "engine/booking.py: whose seats are sold",
        "engine/booking.py: the name of a status",
        "engine/payment.py: the name of a status",
        "engine/events.py: whether a sale is over",
        "persistence/catalogue/schedules.py: whether a sale is over",  # of a row, beside the engine's of its terms
        "persistence/providers/sandbox.py: a status in Python",  # the provider's words, which are alike
        "api/sandbox/ledger.py: a status in Python",
        "persistence/database/asked_once.py: several wait for one",  # the one class itself
        "persistence/database/asked_once.py: forgotten by hand",
        "engine/allocate.py: a bounded cache",  # the engine stands on nothing
        "persistence/accounts/revocations.py: a bounded cache",  # what is revoked is kept until its tokens have expired
        "persistence/accounts/revocations.py: forgotten by hand",  # who waits for acknowledgements, as long as they do
        "persistence/journal/placement.py: asked once for all who ask",  # one query for many questions
        "persistence/journal/placement.py: several wait for one",  # each for its own answer of that query
        "persistence/seats/cache.py: forgotten by hand",  # the twin in memory does what Redis would
        "actors/gateway/gateway.py: asked once for all who ask",  # keeps lanes, which are lost and found again
        "actors/gateway/gateway.py: several wait for one",
        "actors/gateway/gateway.py: a bounded cache",  # only those that wait for nothing can be forgotten
        "actors/gateway/gateway.py: forgotten by hand",  # and their lanes are told
        "actors/gateway/lane.py: a bounded cache",  # none: who has requests, in the order of their turns
        "actors/gateway/lane.py: forgotten by hand",  # whoever has had theirs
        "actors/gateway/turns.py: forgotten by hand",  # whoever is called, of a line
        "actors/owner/gathering.py: several wait for one",  # a commit, which nobody asks for
        "actors/owner/host.py: several wait for one",  # a schedule to be open, which then stays so
        "actors/owner/host.py: forgotten by hand",  # it stays no longer
        "actors/owner/schedule.py: several wait for one",  # a commit
        "actors/owner/snapshots.py: several wait for one",  # a commit
        "actors/receivers/hearing.py: asked once for all who ask",  # keeps who is left behind, and what they do
        "actors/receivers/hearing.py: forgotten by hand",  # who has caught up
        "actors/seats/seat_views.py: several wait for one",  # a fetch that is told what is announced meanwhile
        "actors/seats/seat_views.py: a bounded cache",  # a copy that somebody subscribes to is never forgotten
        "actors/seats/seat_views.py: forgotten by hand",  # only the others are
        "api/office/together.py: asked once for all who ask",  # of a time after each of them asked
        "api/office/together.py: several wait for one",
        "api/office/under_way.py: several wait for one",  # one, and perhaps nobody: money that is moving
        "api/office/writing.py: forgotten by hand",  # counts who is at it, not what was answered
        "api/server/connections.py: forgotten by hand",  # counts connections
    ]
    assert sorted(again) == sorted(allowed), f"see {HERE} and persistence/database/asked_once.py"


WRITES_HEADS = re.compile(
    r"UPDATE schedule_heads|INTO schedule_heads|FROM schedule_heads\b[^\"]*FOR UPDATE"
    r"|schedule_heads\.(update|insert|delete)\(|schedule_heads[^\n]*with_for_update"
)

RAISES_AN_EPOCH = re.compile(r"epoch = epoch \+ 1|schedule_heads\.c\.epoch \+ 1")
# They read heads in a statement that joins them with what it tells of a schedule, see persistence/journal/heads.py.
READ_HEADS = {
    "persistence/catalogue/overview.py",  # of which houses no seat was ever touched, with the run's other figures
    "persistence/catalogue/schedules.py",  # a schedule with its version
    "persistence/events/positions.py",  # how far services are behind
    "persistence/operations/standing.py",  # what waits, of many tables in one query
    "persistence/reconciliation/findings.py",  # what has changed since it was examined
    "persistence/sales/figures.py",  # figures with the version they are of
}


def test_the_fence_is_written_in_one_wing_and_named_in_one_layer() -> None:
    named = {
        str(path.relative_to(ROOT)): path.read_text()
        for path in python_files("engine", "persistence", "actors", "api")
        if "schedule_heads" in path.read_text()
    }
    elsewhere = [path for path in named if not path.startswith("persistence/")]
    assert elsewhere == [], "see persistence/journal/heads.py"
    writers = {path for path, text in named.items() if WRITES_HEADS.search(text)}
    readers = {path for path in named if not path.startswith(("persistence/journal/", "persistence/database/"))}
    assert readers == READ_HEADS
    strangers = {path for path in writers if not path.startswith(("persistence/journal/", "persistence/database/migr"))}
    assert strangers == set()
    assert "persistence/journal/heads.py" in writers, "what is looked for is there to be found"
    raised = {path for path, text in named.items() if RAISES_AN_EPOCH.search(text)}
    assert raised == {f"persistence/journal/{each}.py" for each in ("heads", "journal", "overruling")}
    assert sum(len(RAISES_AN_EPOCH.findall(named[path])) for path in raised) == 3, "one who claims, and two who depose"


def test_every_rule_is_looked_for_where_it_is_said() -> None:
    said = (ROOT / HERE).read_text() + (ROOT / "engine/booking.py").read_text()
    assert SAID_AGAIN["the end of a sale"].search(said)
    assert SAID_AGAIN["whose seats are sold"].search(said)
    assert SAID_AGAIN["the name of a status"].search(said)
    assert SAID_AGAIN["whose events are told"].search(said)
    assert SAID_AGAIN["whether a sale is over"].search("if office.clock.now_ms() >= terms.sale_closes_at_ms:")
    assert SAID_AGAIN["a status in Python"].search('if data.booking.status == "transferred":')
    assert SAID_AGAIN["a status in SQL"].search("WHERE status IN ('held')")
    assert SAID_AGAIN["a status in a query"].search('payments.c.status == "requested"')
