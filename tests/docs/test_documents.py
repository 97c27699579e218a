"""The documents say what is so: links lead somewhere, what is named is there, and nothing is said to insiders only."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
import pytest
from typer.main import get_command

from actors.process.settings import VARIABLES, Settings
from api.command_line.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"  # it tells of what was, under the names of its time
)
IDS = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
WINGS = ("persistence", "actors", "api")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TICKED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:engine|persistence|actors|api|loadtest|tests|docs)/[\w./-]+")
# A name and the file it is said to be in: `NAME` in `path`, `NAME` (`path`…, `path`: a new `NAME`, `path` (`NAME`….
IN_FILE = re.compile(rf"`([A-Za-z_][\w.]*)`\s(?:in\s|\()`({PATH.pattern})`")
OF_FILE = re.compile(rf"`({PATH.pattern})`(?::\s(?:an?\s(?:new\s)?)?|\s\()`([A-Za-z_][\w.]*)`")
CHOSEN = re.compile(r"(tests/[\w./]+\.py) -k [\"']?([\w ]+)")
TEST_NAME = re.compile(r"\btest_T\d+_\d+\w*")
INSIDERS = re.compile(r"\bissues? #?\d+\b|#\d+\b", re.IGNORECASE)
ALL_TESTS = {
    found for path in (ROOT / "tests").rglob("test_*.py") for found in re.findall(r"def (test_\w+)", path.read_text())
}
SOURCES = [
    (ROOT / name).read_text()
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    if name.endswith((".py", ".ts", ".svelte", ".toml", ".yml")) and not name.startswith("tests/docs/")
]
# Names with a capital or an underscore that documents have from elsewhere, or of a file.
FOREIGN = {
    *("ActorDiedError", "ActorUnavailableError", "jsonb_to_recordset", "sched_autogroup_enabled"),
    *("Dockerfile", "Makefile"),
}
# Variables that no reader sets: a route for benchmarks, and what the supervisor tells its children.
INTERNAL = {"BOXOFFICE_BENCH", "BOXOFFICE_DERIVED_KEYS"}


def anchor(heading: str) -> str:
    """A heading's address, as the usual renderers make it."""
    words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
    return words.replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_link_within_the_project_leads_somewhere(path: Path) -> None:
    dead = []
    for found in LINK.finditer(path.read_text()):
        target = found.group(1) or found.group(2)
        if re.match(r"\w+:", target):
            continue
        where, _, fragment = target.partition("#")
        there = (path.parent / where).resolve() if where else path
        headings = HEADING.findall(there.read_text()) if there.suffix == ".md" and there.exists() else []
        if not there.exists() or (fragment and fragment not in map(anchor, headings)):
            dead.append(target)
    assert dead == []


def is_made(file: str) -> bool:
    """Whether it is no source, but made from some: the pages, where there is an npm."""
    return subprocess.run(["git", "check-ignore", "-q", f"{file}/"], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = {found.rstrip("./") for text in TICKED.findall(path.read_text()) for found in PATH.findall(text)}
    missing = {each for each in named if not (ROOT / each).exists() and "…" not in each and "YYYY" not in each}
    assert sorted(each for each in missing if not is_made(each)) == []


def test_what_is_made_is_told_from_what_is_missing() -> None:
    assert [is_made(each) for each in ("api/web/built", "api/web/src", "api/web/nothing")] == [True, False, False]


def named_in(text: str) -> list[tuple[str, str]]:
    """Pairs of a name and the file that the text says it is in."""
    return [*IN_FILE.findall(text), *((name, file) for file, name in OF_FILE.findall(text))]


def has(file: str, name: str) -> bool:
    there = ROOT / file
    sources = [each for each in there.rglob("*") if each.suffix in (".py", ".ts")] if there.is_dir() else [there]
    word = re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b")
    return any(word.search(each.read_text()) for each in sources)


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_name_is_in_the_file_it_is_said_to_be_in(path: Path) -> None:
    assert [f"{name} in {file}" for name, file in named_in(path.read_text()) if not has(file, name)] == []


def test_every_name_is_somewhere_in_the_code() -> None:
    code = "\n".join(SOURCES)
    said = {
        each for path in DOCUMENTS for each in TICKED.findall(path.read_text()) if re.fullmatch(r"[A-Za-z_]\w+", each)
    }
    assert {name for name in said if (not name.islower() or "_" in name) and name not in code} == FOREIGN


def test_a_name_beside_a_file_is_seen() -> None:
    for text in (
        "`OWN` in\n`engine/decide.py`",
        "an `OWN` (`engine/decide.py`) replays",
        "`engine/decide.py`: `OWN`",
        "`engine/decide.py`: a new `OWN` at the end",
        "(`engine/decide.py` (`OWN`))",
    ):
        assert named_in(text) == [("OWN", "engine/decide.py")], text
    assert sum(len(named_in(path.read_text())) for path in DOCUMENTS) > 5


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_make_target_and_command_that_is_named_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]  # it is a group
    spoken = [text.split() for text in TICKED.findall(path.read_text())]
    assert {words[1] for words in spoken if words[:1] == ["make"] and len(words) > 1} - targets == set()
    assert {words[1] for words in spoken if words[0] == "boxoffice" and len(words) > 1} - commands - {"--help"} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_choice_of_tests_chooses_some(path: Path) -> None:
    for file, pattern in CHOSEN.findall(path.read_text()):
        names = re.findall(r"def (test_\w+)", (ROOT / file).read_text())
        words = [word for word in pattern.split() if word != "or"]
        assert [word for word in words if not any(word in name for name in names)] == [], file


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_test_that_is_named_is_there(path: Path) -> None:
    named = {text for text in TICKED.findall(path.read_text()) if re.fullmatch(r"test_\w+", text)}
    assert named - ALL_TESTS == set()


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_date_which_is_its_figures_too(path: Path) -> None:
    assert re.search(r"^(Date: \d{4}-\d\d-\d\d|Accepted, [A-Z][a-z]+ \d{4})\b", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_nothing_is_said_to_insiders_only(path: Path) -> None:
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", path.read_text())
    assert INSIDERS.findall(prose) == []


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_every_test_case_of_the_customer_is_traced_to_tests_that_exist(name: str) -> None:
    traced = set(TEST_NAME.findall((ROOT / name).read_text()))
    defined = {
        found for path in (ROOT / "tests" / "api").rglob("test_*.py") for found in TEST_NAME.findall(path.read_text())
    }
    assert traced - defined == set()


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_every_variable_is_in_the_readme(name: str) -> None:
    text = (ROOT / name).read_text()
    told = [
        variable
        for field in msgspec.structs.fields(Settings)
        if (variable := VARIABLES.get(field.name, f"BOXOFFICE_{field.name.upper()}")) not in INTERNAL
    ]
    short = [f"…_{variable.removeprefix('BOXOFFICE_KAFKA_')}" for variable in told]
    assert [one for one, other in zip(told, short, strict=True) if one not in text and other not in text] == []


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "docs" / "dependencies.md").read_text()
    wanted = [*project["project"]["dependencies"], *chain.from_iterable(project["dependency-groups"].values())]
    names = [re.split(r"[><=\[;]", each)[0] for each in wanted if isinstance(each, str)]
    assert [name for name in names if not re.search(rf"^\|.*\b{re.escape(name)}\b", text, re.MULTILINE)] == []


def metrics(source: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics that a file makes, with their labels."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(args=[ast.Constant(value=str(name)), ast.Constant(value=str()), *labels]):
                if name.startswith("boxoffice_"):
                    yield name, set(ast.literal_eval(labels[0])) if labels else set()


def test_every_metric_is_told_to_operators_with_its_labels() -> None:
    row = re.compile(r"^\| `(boxoffice_\w+)` \|([^|]*)\|", re.MULTILINE)
    operations = (ROOT / "docs" / "operations.md").read_text()
    made = dict(
        chain.from_iterable(metrics(path.read_text()) for wing in WINGS for path in (ROOT / wing).rglob("*.py"))
    )
    assert {name: set(TICKED.findall(labels)) for name, labels in row.findall(operations)} == made


def test_code_and_tests_say_nothing_to_insiders_either() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    pattern = re.compile(r"\bissues? #?\d+\b", re.IGNORECASE)
    assert [each for each in listed.split() if pattern.search((ROOT / each).read_text())] == []
