"""Whatever tries again and again tells an outage in the one way there is (`persistence/database/away.py`).

Looked for are loops that swallow an error: an `except` inside a `while` that neither raises nor leaves. Those whose
errors are no outages, or are told elsewhere, stand here with their reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import ROOT, python_files

NO_OUTAGE = {
    ("actors/background/keeping.py", "OwnerLost"): "a process that is not there is what the loop is for",
    ("actors/owner/readers.py", "CacheUnavailable"): "handed to each schedule, whose board tells it",
    ("actors/owner/schedule.py", "JournalUnavailable"): "one commit: reading anew, which follows, tells the outage",
    ("actors/owner/schedule.py", "BatchRefused"): "the statement's fault: each of the batch is tried alone",
    ("actors/process/unending.py", "Exception"): "nobody foresaw it: each is told with its traceback",
    ("actors/supervision/keeper.py", "(ProcessError, OSError)"): "each start is told, further and further apart",
    ("persistence/embedded/process.py", "Exception"): "a service that is starting is not ready yet",
    ("persistence/events/log.py", "Exception"): "handed to each schedule, whose publisher tells it",
    ("persistence/journal/placement.py", "Exception"): "handed to each request that waits, which is answered with it",
    ("api/routes/bookings/queue.py", "Exception"): "told to whoever listens",
    ("api/views/seats.py", "TimeoutError"): "a line that nothing happened on is kept alive",
}


def leaves(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise | ast.Return | ast.Break)


def swallowed(source: str) -> Iterator[str]:
    """What each such `except` is for."""
    for loop in (each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.While)):
        for handler in (each for each in ast.walk(loop) if isinstance(each, ast.ExceptHandler)):
            if not leaves(handler) and ".met(" not in ast.unparse(handler):
                yield "" if handler.type is None else ast.unparse(handler.type)


def test_whatever_goes_on_after_an_error_tells_the_outage_or_says_why_it_is_none() -> None:
    found = {
        (str(path.relative_to(ROOT)), named)
        for path in python_files("persistence", "actors", "api")
        for named in swallowed(path.read_text())
    }
    assert found - NO_OUTAGE.keys() == set(), "use `Outage`"
    assert NO_OUTAGE.keys() - found == set(), "no longer there"


@pytest.mark.parametrize(
    ("body", "found"), [("log(error)", 1), ("continue", 1), ("outage.met(error)", 0), ("raise", 0), ("return", 0)]
)
def test_a_loop_that_swallows_an_error_is_found(body: str, found: int) -> None:
    source = f"while True:\n    try:\n        work()\n    except OSError as error:\n        {body}\n    pause()\n"
    assert len(list(swallowed(source))) == found
