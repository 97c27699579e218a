"""Whatever others call says what it is for, with units and errors where they matter.

Left out is what says it elsewhere or by itself: routes (their summary and the document), the methods of a protocol that
a class has all of (it says it once for all), classes that are nothing but fields, and functions of a line or two.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
LAYERS = ("engine", "persistence", "actors", "api", "loadtest")
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


Methods = dict[str, tuple[str, ...]]  # by name: what their arguments are called


def methods_of(node: ast.ClassDef) -> Methods:
    return {
        each.name: tuple(arg.arg for arg in (*each.args.args, *each.args.kwonlyargs))
        for each in node.body
        if isinstance(each, Function) and not any(ast.unparse(one) == "property" for one in each.decorator_list)
    }


def set_in(node: ast.ClassDef) -> set[str]:
    """What it sets of itself: a method may be taken from another object."""
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and ast.unparse(each.value) == "self"
    }


class Contracts:
    """The protocols of the code, and which methods a class has because of one, or of what it inherits."""

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        self._by_name = {node.name: node for node in classes}
        self._promised = [methods_of(node) for node in classes if is_protocol(node)]

    def said_elsewhere(self, node: ast.ClassDef) -> set[str]:
        """The names of methods of those protocols of which the class has all methods, and of those it overrides."""
        own, inherited, taken = methods_of(node), self._inherited(node), set_in(node)
        has = inherited | own
        kept = [
            each for each in self._promised if all(has.get(name) == of or name in taken for name, of in each.items())
        ]
        return {name for each in (*kept, inherited) for name in each}

    def _inherited(self, node: ast.ClassDef) -> Methods:
        found: Methods = {}
        for base in node.bases:
            known = self._by_name.get(ast.unparse(base).partition("[")[0].rpartition(".")[2])
            if known is not None and known is not node:
                found |= self._inherited(known) | methods_of(known)
        return found


def is_route(function: Function) -> bool:
    return any(ast.unparse(each).startswith(("router.", "app.")) for each in function.decorator_list)


def public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef, ast.ClassDef | None]]:
    """Names, definitions, and the class that they are of, if any."""
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node, None
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, Function) and not each.name.startswith("_"):
                    yield f"{node.name}.{each.name}", each, node


def needs_none(node: Function | ast.ClassDef, of_class: ast.ClassDef | None, contracts: Contracts) -> bool:
    if isinstance(node, ast.ClassDef):
        return not any(isinstance(each, Function) for each in node.body)
    assert node.end_lineno is not None
    short = len(node.body) <= 2 and node.end_lineno - node.lineno <= SHORT_LINES
    return short or is_route(node) or (of_class is not None and node.name in contracts.said_elsewhere(of_class))


def test_what_others_call_says_what_it_is_for() -> None:
    trees = modules()
    contracts = Contracts(trees)
    silent = [
        f"{path}:{node.lineno} {name}"
        for path, tree in trees.items()
        for name, node, of_class in public(tree)
        if ast.get_docstring(node) is None and not needs_none(node, of_class, contracts)
    ]
    assert silent == []


def test_a_method_is_excused_only_by_what_its_class_fulfils_or_inherits() -> None:
    contract = "class P(Protocol):\n def find(self, key): ...\n def close(self): ...\n"
    whole = "class W:\n def find(self, key): ...\n def __init__(self, other): self.close = other.close\n"
    part = "class N:\n def find(self, key): ...\nclass O:\n def find(self): ...\n def close(self): ...\n"
    tree = ast.parse(contract + whole + part + "class H(W):\n def find(self, key): ...\n")
    contracts = Contracts({Path("a.py"): tree})
    found = {
        node.name: "find" in contracts.said_elsewhere(node) for node in tree.body if isinstance(node, ast.ClassDef)
    }
    assert found == {"P": True, "W": True, "N": False, "O": False, "H": True}


def test_every_module_and_wing_says_what_it_is_for() -> None:
    assert [str(path) for path, tree in modules().items() if ast.get_docstring(tree) is None] == []
