"""The background process: what no customer asks for.

It wakes schedules that have something to do, has a process there for the next one, tells owners what was written past
them, settles payments in doubt, carries out refunds, ends the bookings of cancelled schedules, takes the audit log's
head out of the database, drops what is too old to be of use, and examines whether everything agrees. It holds no state:
running none of it delays all that, running several does no harm. In a cluster each machine has one, which looks after
the machine's own processes of owners and tells Prometheus how they do; the rest is done by one of them at a time.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.background.ahead import Ahead
from actors.background.endings import Endings
from actors.background.keeping import Keeping
from actors.background.metrics import OwnersMetrics
from actors.background.retention import Retention
from actors.background.sweeper import Sweeper
from actors.background.turns import DatabaseLease, in_turn
from actors.gateway.gateway import Gateway
from actors.gateway.ray_owners import AnyOwner, RayOwners, open_gateway
from actors.gateway.telling import Telling
from actors.money.refunding import Refunding
from actors.money.settlement import Settlement
from actors.process import garbage, telemetry
from actors.process.clock import SystemClock
from actors.process.courtesy import give_way
from actors.process.entry import serve
from actors.process.settings import Settings
from actors.reconciliation.audit_heads import AuditHeads, heads_of
from actors.reconciliation.reconciler import Reconciler
from actors.reconciliation.watch import WORKING_SHARE, Reconciling
from persistence.database import held
from persistence.database.connection import create_engine
from persistence.database.pools import open_pool
from persistence.journal.journal import PostgresJournal
from persistence.journal.placement import OneMachine, Placement, names
from persistence.operations.board import VitalsBoard
from persistence.providers.opening import open_providers
from persistence.seats.redis_cache import RedisSeatCache

# Reconciliation replays whole sales, and need not do it at the expense of those that go on. Money in doubt waits for
# this process too, so it gives way by less than figures and mails: to a third of what others have.
NICENESS = 5
LEASE_COMMAND_SECONDS = 2.0  # then it is too late to go on as if the lease were ours


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Works until `stop` is set. A task that fails takes the process with it; the supervisor starts another."""
    async with AsyncExitStack() as closing:
        pool = await closing.enter_async_context(open_pool(settings.database, 3))
        gateway = await closing.enter_async_context(open_gateway(settings))
        database = create_engine(settings.database, pool_size=2)
        closing.push_async_callback(database.dispose)
        held.watch(database)
        once = partial(do_once, settings, pool, database, gateway)
        async with asyncio.TaskGroup() as work:
            heads = AuditHeads(database, *heads_of(settings), SystemClock())  # where it runs: each has its own copy
            work.create_task(heads.run(stop))
            board = VitalsBoard.at(settings.redis, settings.database)
            closing.push_async_callback(board.close)
            ours = names(settings.hosts, settings.node)
            work.create_task(OwnersMetrics(board, ours, SystemClock()).run(stop))
            if not settings.node:
                work.create_task(Ahead(Placement(pool, OneMachine(settings.hosts)), gateway).run(stop))
                work.create_task(once(stop))
            else:
                seconds = LEASE_COMMAND_SECONDS
                own = await closing.enter_async_context(open_pool(settings.database, 1, command_timeout=seconds))
                lease = DatabaseLease(own, settings.node, lambda: gateway.draining)
                work.create_task(Keeping(RayOwners(settings), ours).run(stop))
                work.create_task(in_turn(lease, stop, once))
            give_way(NICENESS)


async def do_once(
    settings: Settings,
    pool: asyncpg.Pool[Any],
    database: AsyncEngine,
    gateway: Gateway[AnyOwner],
    stop: asyncio.Event,
) -> None:
    """What is done on one machine, however many there are, until `stop` is set."""
    clock = SystemClock()
    async with AsyncExitStack() as closing, asyncio.TaskGroup() as work:
        publishing = settings.publishing is not None
        work.create_task(Sweeper(pool, gateway, clock, publishing=publishing).run(stop))
        providers = open_providers(settings, clock.now_ms)
        for provider in providers.values():
            closing.push_async_callback(provider.close)
            work.create_task(Settlement(database, gateway, provider, clock).run(stop))
            work.create_task(Refunding(database, gateway, provider, clock).run(stop))
        work.create_task(Endings(database, gateway, clock).run(stop))
        work.create_task(Retention(database, clock).run(stop))
        cache = RedisSeatCache(settings.redis)
        closing.push_async_callback(cache.close)
        work.create_task(Telling(pool, gateway, cache).run(stop))
        journal = PostgresJournal(pool)
        reconciler = Reconciler(pool, journal, gateway, cache, clock, publishing=publishing, share=WORKING_SHARE)
        reconciling = Reconciling(
            pool, database, reconciler, providers, clock, heads_of(settings), publishing=publishing
        )
        if settings.reconcile:
            work.create_task(reconciling.run(stop))
        garbage.spare_what_is_here()
        telemetry.logger.info("watching deadlines, unpublished events, money on its way, and whether everything agrees")


def main() -> None:
    """The process entry."""
    serve("background", run)


if __name__ == "__main__":
    main()
