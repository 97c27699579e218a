"""Our own system as a contender: all of it, started as a user starts it, with a crowd of customers signed up."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import asyncpg
import psutil

from actors.receivers.names import RECEIVERS
from loadtest.bench.contenders.contender import CATEGORY, PRICE, seating_plan
from loadtest.bench.contenders.processes import Groups, tree
from loadtest.bench.contenders.verification import Stored
from loadtest.buyers import Ledger
from loadtest.http_client import Client
from loadtest.sale import created, gather_crowd, newcomer
from loadtest.stack import OWNER, Stack, StackError, own_stack, words_of
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.instance import read_note, remove_run_directory
from persistence.embedded.kafka import kafka
from persistence.embedded.process import Child, running

CUSTOMERS = 20
MANY_CUSTOMERS = 128  # so that none of them has more mails of a round than an address may get within the hour
HOLD_SECONDS = 3600  # the longest there is: no hold of an early round expires in the middle of a later one
# What each part of the system is called in the figures. Everything else is "other".
PARTS = {
    "worker": "API",
    "postgres": "PostgreSQL",
    "redis": "Redis",
    "kafka": "Kafka",
    "background": "background",
    "receivers": "receivers",
    "mails": "mails",
    "ray": "Ray",
    "sandbox": "sandbox",
}
# What the services have not taken yet, and mails that could be sent now; nothing where no service has ever been.
UNHEARD = """
SELECT FROM schedule_heads h
 CROSS JOIN (SELECT DISTINCT consumer FROM consumer_positions WHERE consumer = ANY($1)) AS service
  LEFT JOIN consumer_positions p ON p.schedule_id = h.schedule_id AND p.consumer = service.consumer
 WHERE coalesce(p.version, 0) < h.published_seq LIMIT 1
"""
UNSENT = """
SELECT FROM notifications
 WHERE status IN ('pending', 'sending') AND due_at <= now() AND EXISTS (SELECT FROM consumer_positions) LIMIT 1
"""


class Ours:
    """A `Contender`: the running system, reached over HTTP."""

    def __init__(self, stack: Stack, organizer: Client, tokens: tuple[str, ...], broker: Child | None = None) -> None:
        self.url = stack.url
        self.tokens = tokens
        self.stack = stack
        self._organizer = organizer
        self._broker = broker
        self._venues: dict[int, tuple[str, str]] = {}
        self._days = count(7)  # a house has one performance a day

    async def put_on_sale(self, schedules: int, seats: int) -> list[str]:
        if seats not in self._venues:
            body = {"name": f"Bench {seats}", "seating_plan": seating_plan(seats)}
            venue = await created(self._organizer, "/v1/venues", body)
            performance = await created(
                self._organizer, "/v1/performances", {"title": f"Bench {seats}", "venue_id": venue["id"]}
            )
            self._venues[seats] = venue["id"], performance["id"]
        venue_id, performance_id = self._venues[seats]
        made = []
        for _ in range(schedules):
            starts_at = datetime.now(UTC) + timedelta(days=next(self._days))
            terms = {
                "starts_at": starts_at.isoformat(timespec="seconds"),
                "venue_id": venue_id,
                "currency": "KRW",
                "prices": {CATEGORY: PRICE},
                "hold_seconds": HOLD_SECONDS,
            }
            schedule = await created(self._organizer, f"/v1/performances/{performance_id}/schedules", terms)
            made.append(str(schedule["id"]))
        self._organizer.close()  # until next time, which may be longer than a server keeps an idle connection
        return made

    async def booked(self, schedule_ids: list[str]) -> dict[str, Stored]:
        query = """
            SELECT id::text, status, array(SELECT schedule_id || '/' || seat FROM unnest(seats) AS seat) AS seats
              FROM bookings WHERE schedule_id = ANY ($1::uuid[]) AND status IN ('held', 'confirmed')
        """
        rows = await self.query(query, schedule_ids)
        return {row["id"]: Stored(row["seats"], row["status"]) for row in rows}

    async def caught_up(self) -> bool:
        return not await self.query(UNHEARD, RECEIVERS) and not await self.query(UNSENT)

    async def query(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Looks into the system's own database."""
        connection = await asyncpg.connect(asyncpg_dsn(self.stack.database_url))
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    def processes(self) -> Groups:
        groups: dict[str, list[psutil.Process]] = {}
        for name, process in self._parts():
            groups.setdefault(name, []).append(process)
        if self._broker is not None and self._broker.alive:
            groups.setdefault("Kafka", []).extend(tree(psutil.Process(self._broker.pid)))
        return groups

    def _parts(self) -> Iterator[tuple[str, psutil.Process]]:
        assert self.stack.data_dir is not None, "it is a system of our own"
        note = read_note(self.stack.data_dir)
        if note is None:
            raise StackError("the system's supervisor has gone")
        parts = {pid: PARTS[name.partition("-")[0]] for name, pid in note.processes.items()}
        supervisor = psutil.Process(note.pid)
        yield "supervisor", supervisor
        for process, name in named(supervisor, "other", parts):
            yield ("owner" if words_of(process).startswith(OWNER) else name), process

    async def lose_broker(self) -> None:
        """From now on there is no Kafka; events wait in the journal."""
        assert self._broker is not None, "the system's own broker would be started again"
        await self._broker.kill()


def named(parent: psutil.Process, name: str, parts: Mapping[int, str]) -> Iterator[tuple[psutil.Process, str]]:
    """All below a process, each with the name of the part it belongs to: its own, or else its parent's."""
    try:
        children = parent.children()
    except psutil.NoSuchProcess:
        return
    for child in children:
        part = parts.get(child.pid, name)
        yield child, part
        yield from named(child, part, parts)


@contextlib.asynccontextmanager
async def open_ours(
    extra: Mapping[str, str] | None = None, broker: Child | None = None, *, customers: int = CUSTOMERS
) -> AsyncIterator[Ours]:
    """A system of our own with the routes that benchmarks need; `extra` goes into its environment."""
    # Houses that are to be sold in their turn stay awake until then.
    environment = {"BOXOFFICE_BENCH": "on", "BOXOFFICE_ACTOR_IDLE_SECONDS": "3600", **(extra or {})}
    async with own_stack(environment) as stack:
        organizer = await newcomer(stack.url, "organizer")
        try:
            crowd = await gather_crowd(stack.url, "", customers, Ledger(), lambda: None)
            yield Ours(stack, organizer, tuple(buyer.token for buyer in crowd), broker)
            for buyer in crowd:
                buyer.close()
        finally:
            organizer.close()


@contextlib.asynccontextmanager
async def open_with_own_broker(extra: Mapping[str, str]) -> AsyncIterator[Ours]:
    """The same, publishing to an outside broker that can be taken away for good."""
    directory = Path(tempfile.mkdtemp(prefix="boxoffice-broker-"))
    try:
        async with (
            running(kafka(directory)) as broker,
            open_ours({**extra, "KAFKA_BOOTSTRAP_SERVERS": broker.program.address}, broker) as ours,
        ):
            yield ours
    finally:
        remove_run_directory(directory)
        shutil.rmtree(directory, ignore_errors=True)
