"""No route waits for something far away while it holds a connection of the pool.

What a function calls by way of others is not seen here: `persistence/database/held.py` raises there, in every test that
comes by.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "api").rglob("*.py"), *(ROOT / "actors").rglob("*.py")])
OPENS = ("database.connect", "database.begin", "writing.begin", "writing.transaction", "engine.begin", "engine.connect")
# What of a house may take as long as another service likes, or needs a connection of its own.
FAR = frozenset(
    {
        "gateway", "plans", "seat_views", "seats_left", "seat_cache", "redis", "revocations", "limits", "passwords",
        "providers", "reconciler", "catalogue_pages", "pool", "_gateway", "_cache", "_redis", "_providers",
    }
)  # fmt: skip
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


def test_the_test_would_find_one() -> None:
    for call in ("house.gateway.send(x)", "house.plans.get(v)", "finished(work)", "asyncio.to_thread(f)"):
        source = f"async def f(house):\n async with house.database.begin() as c:\n  await g(c)\n  await {call}\n"
        assert offences(source) == [f"line 4: {call}"]
    fine = "async def f(house):\n async with house.database.begin() as c:\n  await g(c)\n await house.plans.get(v)\n"
    assert offences(fine) == []
