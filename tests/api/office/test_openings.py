"""How many schedules an account may have opened."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from api.http.problems import Problem
from api.office.openings import OPENED_PER_WINDOW, Openings


def test_an_account_may_have_so_many_schedules_opened_and_then_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("api.office.openings.time", SimpleNamespace(monotonic=lambda: now))
    openings = Openings(enabled=True)
    for number in range(OPENED_PER_WINDOW):
        openings.count("ann", f"s{number}")
    openings.count("ann", "s0")  # one of them again
    openings.count("bob", "another")
    with pytest.raises(Problem) as refused:
        openings.count("ann", "another")
    assert refused.value.code == "rate_limited"
    assert refused.value.facts == {"retry_after": 60}
    now += 60
    openings.count("ann", "another")


def test_without_fair_use_nothing_is_counted() -> None:
    openings = Openings(enabled=False)
    for number in range(2 * OPENED_PER_WINDOW):
        openings.count("ann", f"s{number}")
