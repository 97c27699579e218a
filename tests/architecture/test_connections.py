"""Nobody waits for something far away while they hold a connection of a pool, be it a route, a service or an owner.

What a function calls by way of others is not seen here: `persistence/database/held.py` raises there, in every test that
comes by, wherever another service is spoken to; that each such place says so is seen here again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from api.office.office import Office
from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
FILES = sorted(python_files("api", "actors", "persistence"))
OPENS = (
    *("database.connect", "database.begin", "writing.begin", "writing.transaction", "engine.begin", "engine.connect"),
    "reading.connect",
    *("pool.acquire", "_pool.acquire", "checking.acquire"),
)
# What of an office may take as long as another service likes, or needs a connection of its own; and what asks nobody,
# or is how a connection is had, where whoever waits for a second one is found by `held`.
FAR_OF_OFFICE = frozenset(
    {
        "gateway", "plans", "booked", "seat_views", "seats_left", "seat_cache", "redis", "revocations", "limits",
        "passwords", "providers", "reconciler", "catalogue_pages", "facets", "line", "board", "pool", "checking",
    }
)  # fmt: skip
NEAR_OF_OFFICE = frozenset(
    {
        "settings", "clock", "worker", "booking_ids", "tokens", "ticket_keys", "openings", "queue_tickets",
        "database", "reading", "writing",
    }
)  # fmt: skip
FAR = FAR_OF_OFFICE | {"_gateway", "_cache", "_redis", "_providers"}
WAITS = frozenset({"finished", "shared", "pay_out", "announce", "tell_all", "to_thread", "sleep", "schedule_views"})


def opens_connection(node: ast.AsyncWith) -> bool:
    return any(ast.unparse(item.context_expr).split("(")[0].endswith(OPENS) for item in node.items)


def far_calls(node: ast.AST) -> Iterator[ast.Call]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Await) and isinstance(inner.value, ast.Call):
            name = ast.unparse(inner.value.func).split(".")
            if FAR.intersection(name[:-1]) or name[-1] in WAITS:
                yield inner.value


def offences(source: str) -> list[str]:
    return [
        f"line {call.lineno}: {ast.unparse(call)[:100]}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AsyncWith) and opens_connection(node)
        for statement in node.body
        for call in far_calls(statement)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_far_away_is_waited_for_with_a_connection_in_hand(path: Path) -> None:
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if "api" in path.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_worker_puts_queries_that_stand_by_themselves_into_no_transaction(path: Path) -> None:
    assert "office.database.connect(" not in path.read_text(), "office.reading.connect() costs two round trips less"


# --- who speaks to other services -------------------------------------------------------------------------------------
SERVICES = frozenset({"redis", "aiohttp", "aiokafka", "aiosmtplib", "httpx", "ray"})
# They speak to a service, and say nothing of it, because nobody holds a connection where they are called.
ON_THEIR_OWN = {
    "actors/gateway/ray_owners.py": "behind the gateway, which says it",
    "actors/supervision/ray_process.py": "a process of its own, which knows no database",
    "actors/supervision/ray_status.py": "the doctor asks",
    "api/command_line/doctor.py": "asks one service after another",
    "api/demo/season.py": "a client of the API",
    "api/office/limits.py": "by way of persistence/accounts/tries.py",
    "api/office/office.py": "opens the client that readiness pings",
    "api/office/under_way.py": "names the errors only",
    "api/sandbox/server.py": "a process of its own, which knows no database",
    "api/views/failures.py": "names the errors only",
    "persistence/database/redis_clients.py": "whoever calls the client says it",
    "persistence/embedded/outside.py": "asked before anything runs",
    "persistence/events/feed.py": "reads on before it takes, see actors/receivers/receiver.py",
    "persistence/events/outgoing.py": "by way of persistence/events/log.py",
    "persistence/events/reader.py": "reads the topic for the command line",
    "persistence/events/topic.py": "before anything is published",
    "persistence/providers/toss.py": "by way of persistence/providers/connection.py",
}


def speaks_to_a_service(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        if any(name.split(".")[0] in SERVICES for name in names):
            return True
    return False


def test_whoever_speaks_to_another_service_says_so() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in FILES
        if speaks_to_a_service(ast.parse(path.read_text())) and "holds_none(" not in path.read_text()
    ]
    assert silent == sorted(ON_THEIR_OWN)


def test_of_everything_in_an_office_it_is_said_whether_it_is_far() -> None:
    assert {each.name for each in fields(Office)} == FAR_OF_OFFICE | NEAR_OF_OFFICE


def test_the_test_would_find_one() -> None:
    for call in ("office.gateway.send(x)", "office.line.look(p)", "finished(work)", "asyncio.to_thread(f)"):
        source = f"async def f(office):\n async with office.database.begin() as c:\n  await g(c)\n  await {call}\n"
        assert offences(source) == [f"line 4: {call}"]
    fine = "async def f(office):\n async with office.database.begin() as c:\n  await g(c)\n await office.line.look(p)\n"
    assert offences(fine) == []
