"""A process of owners is there before the next schedule needs it."""

from __future__ import annotations

from actors.background.ahead import Ahead
from actors.gateway.gateway import OwnerLost
from persistence.journal.journal import JournalUnavailable


class Places:
    """Says where the next schedule goes, once the database is back."""

    def __init__(self, *names: str, away: int = 0) -> None:
        self.names = list(names)
        self.away = away

    async def next(self) -> str:
        if self.away:
            self.away -= 1
            raise JournalUnavailable("away")
        return self.names[0]


class Gateway:
    """Remembers what it was to prepare; the first times it fails."""

    def __init__(self, failures: int = 0) -> None:
        self.prepared: list[str] = []
        self.failures = failures

    async def prepare(self, name: str) -> None:
        if self.failures:
            self.failures -= 1
            raise OwnerLost("not yet")
        self.prepared.append(name)


async def test_the_process_the_next_schedule_goes_to_is_prepared_and_no_other() -> None:
    gateway = Gateway()
    assert await Ahead(Places("owners-1", "owners-2"), gateway).run_once() == "owners-1"
    assert gateway.prepared == ["owners-1"]


async def test_what_is_away_is_tried_again_in_the_next_round() -> None:
    gateway = Gateway(failures=1)
    ahead = Ahead(Places("owners-0", away=1), gateway)
    assert [await ahead.run_once() for _ in range(3)] == [None, None, "owners-0"]
    assert gateway.prepared == ["owners-0"]
