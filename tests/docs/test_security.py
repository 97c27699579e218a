"""SECURITY.md says what the code does: each limit has the value that stands there."""

from __future__ import annotations

import importlib
import re
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.process.settings import Settings

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<value>[^|]+) \| `(?P<name>[\w.]+)` \|$", re.MULTILINE)


def rows() -> Iterator[tuple[str, Any, str]]:
    for found in ROW.finditer((ROOT / "SECURITY.md").read_text()):
        yield found["what"], literal_eval(found["value"]), found["name"]


def value_of(name: str) -> Any:
    """What the code has under the name: a module's constant, a setting's default, a member of either."""
    if name.startswith(f"{Settings.__module__}.Settings."):
        return getattr(Settings(), name.rpartition(".")[2])
    module, parts = name, list[str]()
    while True:
        module, _, part = module.rpartition(".")
        parts.insert(0, part)
        try:
            value: Any = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
        return value


@pytest.mark.parametrize(("what", "value", "name"), list(rows()), ids=str)
def test_a_limit_is_what_the_page_says(what: str, value: Any, name: str) -> None:
    assert value_of(name) == value, what


def test_the_page_has_the_limits() -> None:
    assert len(list(rows())) > 25


def test_every_item_that_names_a_test_or_a_file_names_one_that_is_there() -> None:
    for page in (ROOT / "SECURITY.md", ROOT / "docs" / "asvs.md"):
        for path in re.findall(r"`((?:tests|api|actors|persistence|engine)/[\w/.-]+)", page.read_text()):
            assert (ROOT / path).exists(), (page.name, path)
