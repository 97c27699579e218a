"""A schedule's way out: complete and in order however long the log is away, in bounded memory, not in a sale's way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from actors.owner import publisher as publishing
from actors.owner.publisher import CHUNK, RENDERED_AT_ONCE, Publisher
from engine.events import AnyEvent, Blocked, Opened, Record, Unblocked
from engine.plan_document import read_plan
from engine.state import ScheduleState, apply
from engine.turn import Step
from persistence.events.log import MemoryEventLog
from persistence.journal.journal import Claim
from tests.engine.plans.houses import NOW, plan_document, terms
from tests.support.waiting import until

SCHEDULE = "00000000-0000-7000-8000-0000000000aa"
PLAN = read_plan(plan_document())


class History:
    """A journal that grows by a place being blocked and put back, and counts how often it is read."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.reads = 0
        self.watermark = 0
        self._state = ScheduleState(PLAN)
        self.grow(1)

    def grow(self, count: int) -> list[Step]:
        steps = []
        for _ in range(count):
            seq = len(self.records) + 1
            event: AnyEvent = Blocked((0,), "", "admin") if seq % 2 == 0 else Unblocked((0,), "admin")
            record = Record(seq, NOW + seq, Opened(PLAN.digest, terms()) if seq == 1 else event)
            self.records.append(record)
            steps.append(Step(record, apply(self._state, record)))
        return steps

    async def read(self, schedule_id: str, after_seq: int, limit: int) -> list[Record]:
        self.reads += 1
        return self.records[after_seq : after_seq + limit]

    async def snapshot(self, schedule_id: str, at_most: int) -> None:
        return None

    async def save_published(self, claim: Claim, seq: int) -> None:
        self.watermark = seq


class WatchedLog(MemoryEventLog):
    """Counts how often it is tried, and how many turns others had before each batch came."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0
        self.turns = 0
        self.turns_before: list[tuple[int, int]] = []  # events in the batch, turns of others until it came

    async def start(self) -> None:
        self.tries += 1
        await super().start()

    async def publish(self, key: str, values: Sequence[bytes]) -> None:
        self.turns_before.append((len(values), self.turns))
        self.tries += 1
        self.turns = 0
        await super().publish(key, values)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the seconds between two tries."""
    monkeypatch.setattr(publishing, "RETRY_SECONDS", (0.001,))
    monkeypatch.setattr(publishing, "LINGER_SECONDS", 0.001)
    monkeypatch.setattr(publishing, "SAVE_SECONDS", 0.001)


@contextlib.asynccontextmanager
async def at_work(history: History, log: MemoryEventLog, published_seq: int = 0) -> AsyncIterator[Publisher]:
    claim = Claim(SCHEDULE, 1, len(history.records), published_seq, 0)
    made = Publisher(claim, PLAN, history, log)  # type: ignore[arg-type]  # a log of this test
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait({task})


async def versions(log: MemoryEventLog) -> list[int]:
    return [json.loads(message.value)["data"]["version"] for message in await log.read_all(SCHEDULE)]


async def test_a_log_that_is_away_costs_neither_memory_nor_journal_reads_and_then_gets_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "QUEUE_LIMIT", 100)
    history, log = History(), WatchedLog()
    log.available = False
    async with at_work(history, log, published_seq=1) as publisher:
        longest = 0
        for _ in range(50):
            publisher.offer(history.grow(37))
            longest = max(longest, len(publisher._queue))
            tries = log.tries
            await until(lambda tries=tries: log.tries > tries)
        assert longest <= 100
        assert history.reads == 0
        log.available = True
        await until(lambda: publisher.idle)
    assert await versions(log) == list(range(2, 1 + 1 + 50 * 37))
    assert history.watermark == len(history.records)


async def test_others_have_their_turn_while_a_large_batch_is_made() -> None:
    history, log = History(), WatchedLog()
    history.grow(CHUNK)

    async def others() -> None:
        while True:
            await asyncio.sleep(0)
            log.turns += 1

    busy = asyncio.create_task(others())
    async with at_work(history, log) as publisher:
        await until(lambda: publisher.idle)
    busy.cancel()
    assert [turns >= count // RENDERED_AT_ONCE for count, turns in log.turns_before if count == CHUNK] == [True]


async def test_a_delay_is_said_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    history, log = History(), WatchedLog()
    log.available = False
    with caplog.at_level(logging.INFO, "actors.owner.publisher"):
        async with at_work(history, log) as publisher:
            await until(lambda: log.tries > 5)
            log.available = True
            await until(lambda: publisher.idle)
    said = [record.getMessage() for record in caplog.records]
    assert [(" put off: " in text, " goes on; " in text) for text in said] == [(True, False), (False, True)]


async def test_an_error_nobody_foresaw_delays_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(WatchedLog):
        sound = False

        async def publish(self, key: str, values: Sequence[bytes]) -> None:
            await super().publish(key, values)
            if not self.sound:
                self.sound = True
                raise LookupError("a bug")

    history, log = History(), Broken()
    async with at_work(history, log) as publisher:
        await until(lambda: publisher.idle)
    assert await versions(log) == [1, 1]
    assert [record.exc_info is not None for record in caplog.records if "a bug" in record.getMessage()] == [True]
