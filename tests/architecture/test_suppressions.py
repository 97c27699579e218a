"""What is kept from a checker says why, on the same line."""

from __future__ import annotations

import re
from pathlib import Path

from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
SUPPRESSED = re.compile(r"# (type: ignore|noqa)\b[^#]*$")


def without_reason(path: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if SUPPRESSED.search(line) and line.count("#") == 1
    ]


def test_whoever_suppresses_a_finding_says_why() -> None:
    folders = ("engine", "persistence", "actors", "api", "loadtest", "tests")
    found = [each for path in python_files(*folders) for each in without_reason(path)]
    assert [each for each in found if Path(__file__).name not in each] == []
