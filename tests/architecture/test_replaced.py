"""What tests put something else in the place of, by its dotted name, is there: one that has moved is found at once."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("engine.", "persistence.", "actors.", "api.", "loadtest.", "tests.")


def replaced_in(path: Path) -> Iterator[str]:
    """The names in calls of `setattr("a.module.name", …)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and str(name.value).startswith(LAYERS):
                yield str(name.value)


def is_there(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_what_tests_replace_is_there() -> None:
    replaced = {(name, path) for path in (ROOT / "tests").rglob("*.py") for name in replaced_in(path)}
    assert len(replaced) > 50
    assert sorted(f"{path.relative_to(ROOT)}: {name}" for name, path in replaced if not is_there(name)) == []
