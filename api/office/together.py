"""One query for all who ask the same at the same time.

While a query is under way, whoever asks the same waits for the next one, which begins when it has ended and answers all
of them. So a thousand readers cost what two cost, and nobody is told of a time before they asked: what they have just
written themselves is in their answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from api.office.under_way import shared

AnswerT = TypeVar("AnswerT")


class Kept(Generic[AnswerT]):
    """One answer that costs much and changes little: asked for again once it is so many seconds old, by one for all."""

    def __init__(self, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._task: asyncio.Task[AnswerT] | None = None
        self._asked_at = 0.0

    async def ask(self, query: Callable[[], Coroutine[Any, Any, AnswerT]]) -> AnswerT:
        """What `query` answered last, or answers now."""
        task = self._task
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        if task is None or failed or self._now() - self._asked_at >= self._seconds:
            self._asked_at = self._now()
            task = self._task = asyncio.create_task(query())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # all may have hung up
        return await shared(task)


class Together(Generic[AnswerT]):
    """The queries of one kind that are under way, by what they ask. Keeps no answer."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[AnswerT]] = {}
        self._gathering: dict[Hashable, asyncio.Task[AnswerT]] = {}  # not begun yet: whoever asks now may join

    async def ask(self, question: Hashable, query: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """What `query` answers, run after this call began. It must depend on nothing but the question."""
        task = self._gathering.get(question)
        if task is None:
            task = self._gathering[question] = asyncio.create_task(self._run(question, query))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # all may have hung up
        return await shared(task)

    async def _run(self, question: Hashable, query: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        while (before := self._running.get(question)) is not None:
            await asyncio.wait([before])
        self._running[question] = self._gathering.pop(question)
        try:
            return await query()
        finally:
            del self._running[question]
