"""Whatever others call says what it is for, with units and errors where they matter.

Left out is what says it elsewhere or by itself: routes (their summary and the document), what fulfils a protocol (which
says it once for all), classes that are nothing but fields, and functions of a line or two.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
LAYERS = ("engine", "persistence", "actors", "api")
SHORT_LINES = 4  # from `def` to the end
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[Path, ast.Module]:
    return {
        path.relative_to(ROOT): ast.parse(path.read_text())
        for path in python_files(*LAYERS)
        if "migrations" not in path.parts
    }


def is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).partition("[")[0] == "Protocol" for base in node.bases)


def promised(trees: dict[Path, ast.Module]) -> set[str]:
    """The methods of all protocols."""
    return {
        method.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and is_protocol(node)
        for method in node.body
        if isinstance(method, Function)
    }


def is_route(function: Function) -> bool:
    return any(ast.unparse(each).startswith(("router.", "app.")) for each in function.decorator_list)


def public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef, bool]]:
    """Names, definitions, and whether they are of a class."""
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node, False
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, Function) and not each.name.startswith("_"):
                    yield f"{node.name}.{each.name}", each, True


def needs_none(node: Function | ast.ClassDef, of_class: bool, contracts: set[str]) -> bool:
    if isinstance(node, ast.ClassDef):
        return not any(isinstance(each, Function) for each in node.body)
    assert node.end_lineno is not None
    short = len(node.body) <= 2 and node.end_lineno - node.lineno <= SHORT_LINES
    return short or is_route(node) or (of_class and node.name in contracts)


def test_what_others_call_says_what_it_is_for() -> None:
    trees = modules()
    contracts = promised(trees)
    silent = [
        f"{path}:{node.lineno} {name}"
        for path, tree in trees.items()
        for name, node, of_class in public(tree)
        if ast.get_docstring(node) is None and not needs_none(node, of_class, contracts)
    ]
    assert silent == []


def test_every_module_and_wing_says_what_it_is_for() -> None:
    assert [str(path) for path, tree in modules().items() if ast.get_docstring(tree) is None] == []
