"""What import-linter looks at (`pyproject.toml`) is all there is: a wing that stands in no contract is found here."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.architecture.sources import ROOT, python_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS: dict[str, dict[str, Any]] = {each["name"]: each for each in PROJECT["tool"]["importlinter"]["contracts"]}
LAYERS = [each for each in CONTRACTS.values() if each["type"] == "layers"]
OF_ALL = "api → actors → persistence → engine; loadtest drives from outside"
MANY = 3  # so many wings have an order


def packages(within: str) -> set[str]:
    """Those that lie in a package, by their full names."""
    folder = ROOT / within.replace(".", "/")
    return {f"{within}.{each.parent.name}" for each in folder.glob("*/__init__.py")}


def with_wings() -> set[str]:
    """All packages in which many others lie."""
    folders = {path.parent for name in CONTRACTS[OF_ALL]["layers"] for path in python_files(name)}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    return {name for name in names if len(packages(name)) >= MANY}


def test_every_layer_is_looked_at() -> None:
    layers = set(CONTRACTS[OF_ALL]["layers"])
    assert layers == set(PROJECT["tool"]["importlinter"]["root_packages"])
    assert layers == set(PROJECT["tool"]["mypy"]["packages"])
    assert layers == set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert layers == {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}


def test_the_wings_of_every_package_have_an_order() -> None:
    """In which each has its place: import-linter itself says which has none."""
    ordered = {name for each in LAYERS for name in each.get("containers", ())}
    assert with_wings() <= ordered
    assert [each["name"] for each in LAYERS if "containers" in each and not each.get("exhaustive")] == []


# What is forbidden to all but these. Whoever else there is, or comes, is among the sources.
ALL_BUT = {
    "one file alone wraps plain classes in ray.remote; two look after Ray's own processes": set[str](),
    "pydantic stays at the door": packages("api"),
    "the terminal belongs to the command line": {"api.command_line"},
    "nobody reaches an owner past the gateway": {"actors.gateway", "actors.owner"},
}


@pytest.mark.parametrize("name", ALL_BUT)
def test_what_is_forbidden_is_forbidden_to_all_others(name: str) -> None:
    sources = CONTRACTS[name]["source_modules"]
    there = {"engine", *(wing for layer in ("persistence", "actors", "api") for wing in packages(layer))}
    forbidden = {wing for wing in there if any(f"{wing}.".startswith(f"{source}.") for source in sources)}
    assert there - forbidden == ALL_BUT[name]


def test_every_contract_is_looked_at_here_or_names_one_wing() -> None:
    rest = [each for name, each in CONTRACTS.items() if each["type"] == "forbidden" and name not in ALL_BUT]
    assert [each["name"] for each in rest if len(each["source_modules"]) != 1] == []


# --- the engine -------------------------------------------------------------------------------------------------------
# All it may import. No clock (datetime, time), no ids or randomness (uuid, random, secrets), no I/O (os, pathlib,
# socket, asyncio, logging), and no framework: what is not here is one of these until somebody has thought about it.
PURE = """
__future__ array collections contextlib dataclasses enum hashlib heapq itertools math msgspec operator sys typing
unicodedata
"""
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "__import__", "breakpoint"}


def impurities(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in modules if name.partition(".")[0] not in ("engine", *PURE.split()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield f"{node.func.id}()"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sys" and node.attr != "byteorder":
            yield f"sys.{node.attr}"


def test_the_engine_imports_nothing_that_knows_the_time_or_the_world() -> None:
    found = {str(path.relative_to(ROOT)): [*impurities(path.read_text())] for path in python_files("engine")}
    assert len(found) > 10
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line", ["import datetime", "from secrets import token_hex", "import os.path", "from . import x", "open('x')"]
)
def test_the_engine_s_rule_sees_what_is_none_of_its_business(line: str) -> None:
    assert [*impurities(line)]
