"""What is asked for again and again: asked once for all who ask at the same time, and kept within bounds.

One rule for whoever shares a query. One who stops waiting takes nothing away from the others. A failure is told to all
who wait for it and to nobody after them, and so is a cancellation. What becomes of a query is noted when its task has
ended, not by the task itself: one that is cancelled before its first step never comes to its own `finally`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from cachetools import LRUCache
from msgspec import Struct

from persistence.database.held import holds_none

KeyT = TypeVar("KeyT")
AnswerT = TypeVar("AnswerT")


class _Asked(Struct, Generic[AnswerT], frozen=True):
    """A query under way, and when it began."""

    task: asyncio.Task[AnswerT]
    began: float


class _Answered(Struct, Generic[AnswerT], frozen=True):
    """An answer, and when its query began."""

    answer: AnswerT
    began: float


class AskedOnce(Generic[AnswerT]):
    """Answers by question: of queries under way, and the ones used last up to `limit`, counted by `size_of`."""

    def __init__(
        self,
        limit: int,
        size_of: Callable[[AnswerT], int] | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._under_way: dict[Hashable, _Asked[AnswerT]] = {}
        self._kept: LRUCache[Hashable, _Answered[AnswerT]] = latest_within(
            limit, None if size_of is None else lambda kept: size_of(kept.answer)
        )

    async def ask(
        self,
        question: Hashable,
        query: Callable[[], Coroutine[Any, Any, AnswerT]],
        *,
        within_seconds: float = math.inf,
    ) -> AnswerT:
        """What `query` answers, or has answered if it began less than so long ago. Raises what it raises.

        It must depend on nothing but the question, and is not to be waited for with a connection in hand.
        """
        now = self._now()
        kept = self._kept.get(question)
        if kept is not None and now - kept.began < within_seconds:
            return kept.answer
        asked = self._under_way.get(question)
        if asked is None or now - asked.began >= within_seconds or failed(asked.task):
            asked = self._under_way[question] = _Asked(asyncio.create_task(query()), now)
            asked.task.add_done_callback(partial(self._ended, question, asked))
        return await shared(asked.task)

    def last(self, question: Hashable) -> AnswerT | None:
        """The latest answer, however long ago that was; None if there is none any more."""
        kept = self._kept.get(question)
        return None if kept is None else kept.answer

    def _ended(self, question: Hashable, asked: _Asked[AnswerT], task: asyncio.Task[AnswerT]) -> None:
        if self._under_way.get(question) is asked:
            del self._under_way[question]
        if failed(task):
            return
        kept = self._kept.get(question)
        if kept is None or kept.began <= asked.began:
            self._kept[question] = _Answered(task.result(), asked.began)


def latest_within(limit: int, size_of: Callable[[AnswerT], int] | None = None) -> LRUCache[KeyT, AnswerT]:
    """A cache of what was used last, up to a size in all, one each unless said otherwise.

    What is larger than all of it is kept alone.
    """
    return LRUCache(limit, None if size_of is None else lambda thing: min(limit, size_of(thing)))


async def shared(task: asyncio.Task[AnswerT], what: str = "the end of another task") -> AnswerT:
    """What a task comes to that several wait for: one who stops waiting does not take the others' answer along.

    `what` it is, to whoever waits with a connection in hand (`held.py`).
    """
    if task.done():
        return task.result()
    holds_none(what)
    return await asyncio.shield(task)


def failed(task: asyncio.Task[Any]) -> bool:
    """Whether it has ended without an answer. Looks at the error: whoever waited for it may have gone."""
    return task.done() and (task.cancelled() or task.exception() is not None)
