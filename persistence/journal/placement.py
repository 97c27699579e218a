"""Which process each schedule's owner lives in: a column of its head row.

Processes have names (`owners-0`, `owners-1`, …, in a cluster `owners-0@its-machine`), as many as each machine is to
have; a process that dies is followed by another of the same name, and has the same schedules. Guarantee: whoever looks
finds the same, also where several give a schedule its place at once, for a row is only changed by whoever saw what it
said before. A place is taken away by the process itself alone (`vacate`), or when there is no such process any more:
there are to be fewer, or its machine is lost. So no schedule is open in two that both think it theirs; and should that
happen all the same, the fence decides who writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from persistence.journal.journal import JournalUnavailable, UnknownSchedule, outages_told
from persistence.journal.nodes import SERVING, Node
from persistence.journal.own_process import marked, owned

AT_ONCE = 1_000  # schedules looked for in one query

FIND = "SELECT schedule_id::text, host FROM schedule_heads WHERE schedule_id = ANY($1::uuid[])"
LOADS = "SELECT host, count(*) FROM schedule_heads WHERE host IS NOT NULL GROUP BY host"
TAKE = """
UPDATE schedule_heads AS h SET host = n.host, resting = false
  FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n(id, former, host)
 WHERE h.schedule_id = n.id AND h.host IS NOT DISTINCT FROM n.former
RETURNING h.schedule_id::text, h.host
"""
# The epoch, so that a schedule that was opened again meanwhile keeps its place.
VACATE = """
UPDATE schedule_heads AS h SET host = NULL
  FROM unnest($2::uuid[], $3::bigint[]) AS n(id, epoch)
 WHERE h.schedule_id = n.id AND h.epoch = n.epoch AND h.host = $1
"""
PLACED = "SELECT schedule_id::text, epoch FROM schedule_heads WHERE host = $1"


class Hosts(Protocol):
    """The processes there are to be."""

    def candidates(self) -> Sequence[str]:
        """Those that schedules may be given to, as many as there are."""

    def holds(self, host: str) -> bool:
        """Whether a schedule that has its place there is to be looked for there."""


class OneMachine:
    """So many processes, on this machine."""

    def __init__(self, processes: int) -> None:
        self._names = names(processes)

    def candidates(self) -> Sequence[str]:
        return self._names

    def holds(self, host: str) -> bool:
        return host in self._names


def names(processes: int, node: str = "") -> tuple[str, ...]:
    """What so many processes of a machine are called; where there is only one, it has no name."""
    return tuple(f"owners-{number}@{node}" if node else f"owners-{number}" for number in range(processes))


def serving(nodes: Iterable[Node]) -> Sequence[str]:
    """The processes of machines that take schedules in: of all machines the first, then of all the second, …"""
    each = [names(node.processes, node.name) for node in nodes if node.state == SERVING]
    return sorted((host for hosts in each for host in hosts), key=lambda host: int(host.split("@")[0][7:]))


def node_of(host: str) -> str:
    """The machine of a process."""
    return host.partition("@")[2]


def emptiest(loads: Mapping[str, int]) -> str:
    """The process with the fewest schedules; the first such, so that all who ask mean the same one."""
    return min(loads, key=lambda name: loads[name])


class Placement:
    """Finds places, and gives them to schedules that have none. What is asked for meanwhile is looked up together."""

    def __init__(self, pool: asyncpg.Pool[Any], hosts: Hosts) -> None:
        self._pool = pool
        self._hosts = hosts
        self._asked: dict[str, asyncio.Future[str]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def host_of(self, schedule_id: str) -> str:
        """The process the schedule belongs to, which may not be there. Raises `UnknownSchedule`, `JournalUnavailable`.

        A schedule without a place is given one where the fewest are, but none that is another's own.
        """
        key = _canonical(schedule_id)
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # its caller may have gone
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(answer)

    async def known(self, schedule_id: str) -> str | None:
        """The process the schedule belongs to, if it has a place. Raises `JournalUnavailable`."""
        rows = await self._fetch(FIND, [_canonical(schedule_id)])
        return rows[0][1] if rows else None

    async def next(self) -> str:
        """Where the next schedule without a place will go. Raises `JournalUnavailable`."""
        return emptiest(await self._loads())

    async def _look(self) -> None:
        while self._asked:
            await asyncio.sleep(0)  # the turn of the loop in which others ask, too
            asked = {key: self._asked.pop(key) for key in list(self._asked)[:AT_ONCE]}
            try:
                found = await self._places(list(asked))
            except Exception as error:  # noqa: BLE001  # an outage, or whatever it is: each who waits hears it
                for answer in asked.values():
                    answer.set_exception(error)
                continue
            except BaseException:  # raised again: nobody is left waiting for it
                for answer in asked.values():
                    answer.cancel()
                raise
            for key, answer in asked.items():
                if key in found:
                    answer.set_result(found[key])
                else:
                    answer.set_exception(UnknownSchedule(key))

    async def _places(self, schedule_ids: Sequence[str]) -> dict[str, str]:
        while True:
            rows = await self._fetch(FIND, schedule_ids)
            found: dict[str, str | None] = dict(map(tuple, rows))
            # None, or a process that is no more.
            homeless = {key: host for key, host in found.items() if host is None or not self._hosts.holds(host)}
            if homeless:
                loads = await self._loads()
                wanted = []
                for _ in homeless:
                    wanted.append(emptiest(loads))
                    loads[wanted[-1]] += 1
                taken = await self._fetch(TAKE, list(homeless), list(homeless.values()), wanted)
                found.update(map(tuple, taken))
            homes = {key: host for key, host in found.items() if host is not None and self._hosts.holds(host)}
            if len(homes) == len(found):
                return homes
            # Somebody else was quicker with some of them: look again.

    async def _loads(self) -> dict[str, int]:
        """How many schedules are in each process that another may be given to: not in one that is somebody's own."""
        loads = dict.fromkeys(self._hosts.candidates(), 0)
        if not loads:
            raise JournalUnavailable("no machine takes schedules in")
        loads.update((host, count) for host, count in (await counted(self._pool)).items() if host in loads)
        own = owned(await marked(self._pool), loads)
        return {host: count for host, count in loads.items() if host not in own}

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        return await _fetch(self._pool, query, *arguments)


async def counted(pool: asyncpg.Pool[Any]) -> dict[str, int]:
    """How many schedules are in each process that has any. Raises `JournalUnavailable`."""
    return dict(map(tuple, await _fetch(pool, LOADS)))


async def placed(pool: asyncpg.Pool[Any], host: str) -> dict[str, int]:
    """The schedules that have their place in this process, with their epochs. Raises `JournalUnavailable`."""
    return dict(map(tuple, await _fetch(pool, PLACED, host)))


async def vacate(pool: asyncpg.Pool[Any], host: str, epochs: Mapping[str, int]) -> None:
    """Takes from schedules, each at its epoch, their place in this process. Raises `JournalUnavailable`."""
    await _fetch(pool, VACATE, host, list(epochs), list(epochs.values()))


async def _fetch(pool: asyncpg.Pool[Any], query: str, *arguments: object) -> list[asyncpg.Record]:
    with outages_told():
        return await pool.fetch(query, *arguments)


def _canonical(schedule_id: str) -> str:
    """As PostgreSQL writes it. Raises `UnknownSchedule` for what it could not even read: others are asked for along."""
    try:
        return str(UUID(schedule_id))
    except ValueError:
        raise UnknownSchedule(schedule_id) from None
