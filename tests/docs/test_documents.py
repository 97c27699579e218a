"""The documents say what is so: links lead somewhere, what is named is there, and nothing is said to insiders only."""

from __future__ import annotations

import re
import subprocess
import tomllib
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
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TICKED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:engine|persistence|actors|api|loadtest|tests|docs)/[\w./-]+")
CHOSEN = re.compile(r"(tests/[\w./]+\.py) -k [\"']?([\w ]+)")
TEST_NAME = re.compile(r"\btest_T\d+_\d+\w*")
INSIDERS = re.compile(r"\bissues? #?\d+\b|#\d+\b", re.IGNORECASE)
ALL_TESTS = {
    found for path in (ROOT / "tests").rglob("test_*.py") for found in re.findall(r"def (test_\w+)", path.read_text())
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = {found.rstrip("./") for text in TICKED.findall(path.read_text()) for found in PATH.findall(text)}
    assert sorted(each for each in named if not (ROOT / each).exists() and "…" not in each and "YYYY" not in each) == []


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


def test_both_readmes_name_the_same_commands_and_the_same_figures() -> None:
    english, korean = [(ROOT / name).read_text() for name in ("README.md", "README.ko.md")]
    commands = re.compile(r"^\| (`(?:make |[a-z]+ ?[a-z]*[ `\[]).*?) \|", re.MULTILINE)
    assert commands.findall(english) == commands.findall(korean)
    missing = [text[text.index(heading) :] for text, heading in ((english, "## What isn't"), (korean, "## 아직 없는"))]
    figures = [set(re.findall(r"\b\d+\.\d+", text.split("\n## ")[0])) for text in missing]
    assert figures[0] == figures[1]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "docs" / "dependencies.md").read_text()
    wanted = [*project["project"]["dependencies"], *chain.from_iterable(project["dependency-groups"].values())]
    names = [re.split(r"[><=\[;]", each)[0] for each in wanted if isinstance(each, str)]
    assert [name for name in names if not re.search(rf"^\|.*\b{re.escape(name)}\b", text, re.MULTILINE)] == []


def test_code_and_tests_say_nothing_to_insiders_either() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    pattern = re.compile(r"\bissues? #?\d+\b", re.IGNORECASE)
    assert [each for each in listed.split() if pattern.search((ROOT / each).read_text())] == []
