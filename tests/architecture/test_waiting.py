"""What must come at all is waited for with the patience of all tests (`tests/support/waiting.py`), and for a condition.

Whoever gives up earlier, or sleeps, says why at the end of the line: a limit that only guards against hanging is met on
some busy machine one day. Where a limit is what a test is about, it comes as a setting of what is tested.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
# Their clocks are a story's, or their seconds are what they measure.
ELSEWHERE = (
    "tests/actors/simulation/",
    "tests/cluster/",
    "tests/support/honest_sale.py",
    "tests/support/money/world.py",
    "tests/support/waiting.py",
)
# Which of its arguments says for how long.
WAITS = {"asyncio.timeout": 0, "asyncio.wait_for": 1, "asyncio.sleep": 0, "time.sleep": 0, "until": 1}
WORDS = ("timeout", "timeout_seconds")


def seconds_of(call: ast.Call) -> Iterator[float]:
    """For how long it waits or sleeps, as far as a number stands there."""
    name = ast.unparse(call.func)
    said = [each.value for each in call.keywords if each.arg in WORDS[: 2 if name in WAITS else 1]]
    if name in WAITS:
        said += call.args[WAITS[name] :][:1]
    for word in said:
        if isinstance(word, ast.Constant) and isinstance(word.value, int | float):
            yield word.value


def hurried(source: str) -> list[str]:
    lines = source.splitlines()
    return [
        f"line {node.lineno}: {ast.unparse(node)[:100]}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and any(0 < seconds < PATIENCE_SECONDS for seconds in seconds_of(node))
        and not any("#" in line for line in lines[node.lineno - 1 : node.end_lineno])
    ]


def test_nobody_gives_up_early_or_sleeps_without_a_reason() -> None:
    paths = [(path, str(path.relative_to(ROOT))) for path in sorted((ROOT / "tests").rglob("*.py"))]
    found = {name: hurried(path.read_text()) for path, name in paths if not name.startswith(ELSEWHERE)}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "asyncio.timeout(5)",
        "asyncio.wait_for(answer, 5.0)",
        "until(done, timeout_seconds=30)",
        "httpx.AsyncClient(base_url=url, timeout=30)",
        "asyncio.sleep(0.1)",
    ],
)
def test_the_rule_sees_whoever_is_in_a_hurry(line: str) -> None:
    assert hurried(line)
    assert not hurried(f"{line}  # the reason")


def test_no_request_of_a_page_is_lost_by_ending_interception() -> None:
    by_hand = re.compile(r"\.unroute(_all)?\(|\.route\([^\n]*times=")
    found = [path.name for path in sorted((ROOT / "tests" / "web").rglob("*.py")) if by_hand.search(path.read_text())]
    assert found == ["conftest.py"], "`Reader.lets_through` says why"
