"""What a crowd was told: every promise the server made, and how often it answered what.

Each of Locust's processes keeps its own and sends what is new to the master, so that in the end one place knows
everything that was acknowledged, wherever it was.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct

from loadtest.buyers import Ledger, Promise


class Acknowledged(Struct, frozen=True):
    """A promise and the schedule it is about."""

    schedule_id: str
    promise: Promise


class News(Struct):
    """What one process has to tell since it last did."""

    promises: list[Acknowledged] = []
    answers: dict[str, int] = {}


class Notes:
    """Everything one process knows."""

    def __init__(self) -> None:
        self.promises: dict[str, Acknowledged] = {}
        self.answers: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._changed: set[str] = set()

    def acknowledged(self, schedule_id: str, promise: Promise) -> None:
        """The server has said so: a new promise, or an old one that is different now."""
        self.promises[promise.booking_id] = Acknowledged(schedule_id, promise)
        self._changed.add(promise.booking_id)

    def count(self, answer: str) -> None:
        self.answers[answer] += 1

    def news(self) -> Any:
        """What is new since the last call, as plain values for the wire."""
        answers = self.answers - self._told
        news = News([self.promises[each] for each in self._changed], dict(answers))
        self._told += answers
        self._changed.clear()
        return msgspec.to_builtins(news)

    def merge(self, news: Any) -> None:
        """Takes in what another process has told."""
        told = msgspec.convert(news, News)
        self.promises |= {each.promise.booking_id: each for each in told.promises}
        self.answers.update(told.answers)


def ledger_of(schedule_id: str, promises: list[Acknowledged]) -> Ledger:
    """What the auditor wants to know about one schedule."""
    return Ledger({each.promise.booking_id: each.promise for each in promises if each.schedule_id == schedule_id})
