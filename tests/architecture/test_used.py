"""Whatever stands in the layers is used there: what nobody or a test alone calls is no part of the product.

Looked at are the names of modules, which say enough by themselves; a method shares its name with others too often.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
LAYERS = ("engine", "persistence", "actors", "api", "loadtest")
WORD, NAMES = re.compile(r"\w+"), re.compile(r"[\w.:]+")
# Twins in memory, on which a contract is shown; and what others find by themselves.
ALLOWED = {
    "MemoryEventFeed": "a twin",
    "MemoryJournal": "a twin",
    "MemoryLine": "a twin",
    "MemorySeatCache": "a twin",
    "IRREPARABLE": "says of the checks that are left that nobody mends them, which a test holds against all checks",
    "ScenarioShape": "Locust finds it",
}


def modules() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for path in python_files(*LAYERS)
        if "versions" not in path.parts
    }


def named(tree: ast.Module) -> Iterator[str]:
    """What the module names at its top, but for what a decorator hands to somebody."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not any(isinstance(each, ast.Call) and "." in ast.unparse(each.func) for each in node.decorator_list):
                yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))


def words_of(tree: ast.AST) -> Iterator[str]:
    """Every word of the code by which something may be meant: names, members, and texts that are nothing but names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMES.fullmatch(node.value):
            yield from WORD.findall(node.value)


def unused(trees: dict[str, ast.Module], elsewhere: str = "") -> set[str]:
    """Names by module that occur nowhere but where they are made; an import alone is no use."""
    used = Counter(word for tree in trees.values() for word in words_of(tree)) + Counter(WORD.findall(elsewhere))
    return {
        f"{path}: {name}"
        for path, tree in trees.items()
        for name in named(tree)
        if not used[name] and not name.startswith("__") and name != "main"
    }


def test_what_a_module_names_is_used() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    found = unused(modules(), project)
    assert {each.partition(": ")[2] for each in found} == set(ALLOWED), sorted(found)


def test_the_test_would_find_one() -> None:
    source = '"""Uses DEAD."""\nDEAD = 1\nUSED = 2\ndef f(): return USED\n@router.get("/")\ndef route(): f()\n'
    other = ast.parse("from a import DEAD\nx: int = 1\nprint(x)\n")
    assert unused({"a.py": ast.parse(source), "b.py": other}) == {"a.py: DEAD"}
