"""The top-level names are generic, so it must be our packages that are imported, and only ours to import each other.

And what `ls` shows is an architecture, not a list.
"""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
ENTRIES = 16  # beside each other; more of them are put in wings
NOT_OURS = {"__pycache__", "node_modules", "built", ".browser"}
GROWING = {"versions", "golden", "golden_events"}  # one file for each thing that ever was


@pytest.mark.parametrize("name", ["engine", "persistence", "actors", "api", "loadtest"])
def test_a_package_is_imported_from_this_repository(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__file__ is not None
    assert Path(package.__file__).parent == ROOT / name


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in python_files("engine", "persistence", "actors", "api", "loadtest")}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_what_lies_in_one_folder_is_seen_at_a_glance() -> None:
    crowded = {}
    for name in ("engine", "persistence", "actors", "api", "loadtest", "tests"):
        for folder, folders, files in os.walk(ROOT / name):
            folders[:] = [each for each in folders if each not in NOT_OURS]
            if Path(folder).name not in GROWING and len(folders) + len(files) > ENTRIES:
                crowded[str(Path(folder).relative_to(ROOT))] = len(folders) + len(files)
    assert crowded == {}


def test_the_engine_runs_without_anything_but_msgspec() -> None:
    program = (
        "import sys, engine.turn, engine.snapshot, engine.plan_document\n"
        "outside = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(outside - {'__main__', 'engine', 'msgspec', 'typing_extensions'}))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [name for name in eval(result.stdout) if not name.startswith("_")] == []


def test_what_a_process_of_a_test_may_import_begins_no_test_run() -> None:
    """`tests.conftest` makes the directory of a run, which only pytest removes."""
    begin_one = [
        str(path.relative_to(ROOT))
        for path in python_files("tests/support")
        for each in ast.parse(path.read_text()).body
        if isinstance(each, ast.ImportFrom) and each.module == "tests.conftest"
    ]
    assert begin_one == []
