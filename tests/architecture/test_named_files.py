"""What docstrings and comments send a reader to is there: a file that has moved leaves no name behind."""

from __future__ import annotations

import re

from tests.architecture.sources import ROOT, python_files

FOLDERS = ("engine", "persistence", "actors", "api", "loadtest", "tests")
NAMED = re.compile(r"`([\w./-]+\.(?:py|md|sql|toml))`")


def test_every_file_that_code_names_is_there() -> None:
    """By its path, or the end of it: within a wing the name alone says enough."""
    there = "\n".join(
        [
            "",
            *(
                str(path.relative_to(ROOT))
                for path in (*python_files(*FOLDERS), *ROOT.glob("*.*"), *ROOT.glob("docs/**/*.md"))
            ),
        ]
    )
    gone = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files(*FOLDERS)
        for name in NAMED.findall(path.read_text())
        if not re.search(rf"^(.*/)?{re.escape(name)}$", there, re.MULTILINE)
    ]
    assert gone == []
