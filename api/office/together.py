"""One query for all who ask the same at the same time.

While a query is under way, whoever asks the same waits for the next one, which begins when it has ended and answers all
of them. So a thousand readers cost what two cost, and nobody is told of a time before they asked: what they have just
written themselves is in their answer. Where an answer of a moment ago will do, `AskedOnce` is the way.

Those who are answered together ask again together, as a rule, and the first of them would have a query to itself. Where
that is dear, queries keep a little apart, for the others to join; whoever asked alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from persistence.database.asked_once import failed, shared

AnswerT = TypeVar("AnswerT")


class Together(Generic[AnswerT]):
    """The queries of one kind that are under way, by what they ask, and begin `apart_seconds` after the same one has
    answered several at the earliest. Keeps no answer."""

    def __init__(self, apart_seconds: float = 0.0) -> None:
        self._apart_seconds = apart_seconds
        self._free_at: dict[Hashable, float] = {}  # of those that have answered several just now; in the loop's time
        self._joined: set[asyncio.Task[AnswerT]] = set()  # those that several wait for
        self._running: dict[Hashable, asyncio.Task[AnswerT]] = {}
        self._gathering: dict[Hashable, asyncio.Task[AnswerT]] = {}  # not begun yet: whoever asks now may join

    async def ask(self, question: Hashable, query: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """What `query` answers, run after this call began. It must depend on nothing but the question."""
        task = self._gathering.get(question)
        if task is None or failed(task):
            task = self._gathering[question] = asyncio.create_task(self._run(question, query))
            task.add_done_callback(partial(self._ended, question))
        elif self._apart_seconds:
            self._joined.add(task)
        return await shared(task)

    async def _run(self, question: Hashable, query: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        while (before := self._running.get(question)) is not None:
            await asyncio.wait([before])
        wait_seconds = self._free_at.get(question, 0.0) - asyncio.get_running_loop().time()
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)
        self._running[question] = self._gathering.pop(question)
        return await query()

    def _ended(self, question: Hashable, task: asyncio.Task[AnswerT]) -> None:
        failed(task)  # looked at: all may have hung up
        if task in self._joined:
            self._joined.discard(task)
            loop = task.get_loop()
            self._free_at[question] = loop.time() + self._apart_seconds
            loop.call_later(self._apart_seconds, self._free_at.pop, question, None)
        for tasks in (self._running, self._gathering):
            if tasks.get(question) is task:
                del tasks[question]
