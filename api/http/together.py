"""One query for all who ask the same at the same time.

While a query is under way, whoever asks the same waits for the next one, which begins when it has ended and answers all
of them. So a thousand readers cost what two cost, and nobody is told of a time before they asked: what they have just
written themselves is in their answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from api.http.under_way import shared

AnswerT = TypeVar("AnswerT")


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
