"""Settings come from one place, time and ids from another, so that a test can give whatever it likes.

Each place beside them says here what it does with the environment, or with the machine's clock.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import python_files

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "actors/process/settings.py": "the one place",
    "actors/process/pulse.py": "where whoever started this process looks for its pulse",
    "actors/process/telemetry.py": "whether the supervisor has a place for all processes' metrics",
    "actors/supervision/fork_server.py": "a fork takes its program's environment",
    "actors/supervision/ray_process.py": "sets what Ray reads",
    "actors/supervision/supervisor.py": "hands its own on",
    "api/server/worker.py": "its role, its socket, and where it says that it is ready",
    "api/web/building.py": "hands its own on to node",
    "api/command_line/backup.py": "hands its own on",
    "api/command_line/cli.py": "whether `up` may choose the number of workers; what is misspelled; what Ray reads",
    "api/command_line/doctor.py": "hands its own on",
    "api/command_line/running.py": "what a command has in common with the `up` that runs",
    "persistence/embedded/postgres.py": "hands its own on",
    "persistence/embedded/process.py": "hands its own on",
}
TIME = {
    "actors/process/clock.py": "the one place",
    "api/command_line/doctor.py": "holds the machine's clock against the database's",
}
TIME_AND_IDS = (
    *("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("uuid1", "uuid4", "uuid7"),
)


def reads_environment(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv") for node in ast.walk(tree)
    )


def asks_the_machine(tree: ast.AST) -> bool:
    called = (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(name.endswith(TIME_AND_IDS) for name in called)


def trees(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for path in python_files(*folders):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def test_whoever_reads_the_environment_says_what_for() -> None:
    found = {name for name, tree in trees("engine", "persistence", "actors", "api") if reads_environment(tree)}
    assert found == set(ENVIRONMENT)


def test_time_and_ids_come_from_the_clock() -> None:
    found = {name for name, tree in trees("engine", "persistence", "actors", "api") if asks_the_machine(tree)}
    assert found == set(TIME)


def test_tests_have_their_clocks_in_one_place() -> None:
    """Or one that is made of those."""
    own = [
        f"{name}: {node.name}"
        for name, tree in trees("tests")
        if name != "tests/support/clocks.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(each, ast.FunctionDef) and each.name == "now_ms" for each in node.body)
        and not any(ast.unparse(base).endswith("Clock") for base in node.bases)
    ]
    assert own == []


def test_the_tests_would_find_one() -> None:
    assert reads_environment(ast.parse("import os\nx = os.environ.get('A')"))
    for call in ("datetime.now(UTC)", "time.time()", "str(uuid4())", "uuid.uuid4()", "date.today()"):
        assert asks_the_machine(ast.parse(call)), call
    assert not asks_the_machine(ast.parse("office.now()"))
