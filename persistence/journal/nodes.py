"""The machines of a cluster, each a row that its supervisor keeps fresh, and where their processes are called.

Guarantee: at any time one machine has a name: whoever beats under it without being the one who joined is told so. A
machine by itself has the empty name, so that whoever else would use its database can see it. Times are the database's,
so no two machines' clocks are compared. What a row says of a process may be outdated; whoever calls
it by its identity finds that process or nobody. Everything here may raise `JournalUnavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from msgspec import Struct

from persistence.database.pools import Connection
from persistence.journal.journal import outages_told

STARTING, SERVING, DRAINING = "starting", "serving", "draining"
BEAT_SECONDS = 0.5
LOST_SECONDS = 2.5  # without a beat: five in a row are missing
FORGOTTEN_DAYS = 7  # after which nobody asks what has become of a machine

JOIN = """
INSERT INTO nodes (name, incarnation, address, processes, known_by, state) VALUES ($1, $2, $3, $4, $5, 'starting')
ON CONFLICT (name) DO UPDATE
   SET incarnation = excluded.incarnation, address = excluded.address, processes = excluded.processes,
       known_by = excluded.known_by, state = excluded.state, joined_at = clock_timestamp(), beat_at = clock_timestamp()
 WHERE nodes.beat_at < clock_timestamp() - make_interval(secs => $6)
RETURNING 1
"""
BEAT = "UPDATE nodes SET beat_at = clock_timestamp() WHERE name = $1 AND incarnation = $2 RETURNING state"
TURN = "UPDATE nodes SET state = $2 WHERE name = $1 AND ($3::text IS NULL OR state = $3) RETURNING 1"
# The rows are locked, all in the same order: of two that are drained at once the second sees the first.
DRAIN = """
WITH there AS (SELECT name, state, beat_at FROM nodes ORDER BY name FOR UPDATE)
UPDATE nodes SET state = 'draining'
 WHERE name = $1
   AND EXISTS (SELECT FROM there WHERE name <> $1 AND state = 'serving'
                  AND beat_at >= clock_timestamp() - make_interval(secs => $2))
RETURNING 1
"""
FORGET = "DELETE FROM nodes WHERE beat_at < clock_timestamp() - make_interval(days => $1)"
LEAVE = "DELETE FROM nodes WHERE name = $1 AND incarnation = $2"
LOOK = """
SELECT name, incarnation, address, processes, state, known_by, beat_at::text AS beat,
       extract(epoch FROM clock_timestamp() - beat_at)::float8 AS silent_seconds
  FROM nodes ORDER BY name
"""
STATE = "SELECT state FROM nodes WHERE name = $1"
REGISTER = """
INSERT INTO owner_processes (name, address, port, token) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE
   SET address = excluded.address, port = excluded.port, token = excluded.token, started_at = clock_timestamp()
"""
FIND = "SELECT address, port, token FROM owner_processes WHERE name = $1"
COUNT = """
SELECT split_part(host, '@', 2) AS node, count(*) FROM schedule_heads WHERE host IS NOT NULL GROUP BY 1
"""


class Node(Struct, frozen=True, kw_only=True):
    """One machine, as its row says."""

    name: str  # empty: by itself, and no machine of a cluster
    incarnation: str  # another one each time it is started
    address: str  # where the others reach its processes
    processes: int  # of owners, at most
    state: str  # starting | serving | draining
    beat: str  # when it was last heard of
    silent_seconds: float  # since then
    known_by: Sequence[str] = ()  # marks of the keys that it knows; a former release does not say

    @property
    def silent(self) -> bool:
        """Whether it has not been heard of for too long."""
        return self.silent_seconds > LOST_SECONDS

    def talks_to(self, other: Node) -> bool:
        """Whether the two have a key in common, as far as both have said."""
        return not self.known_by or not other.known_by or not {*self.known_by}.isdisjoint(other.known_by)


class Process(Struct, frozen=True):
    """Where a process of owners is called from other machines."""

    address: str
    port: int
    token: str  # another one each time it is started

    def identity(self, name: str) -> str:
        """Whom a caller means: this process, and none that has its name or its port later."""
        return f"{name}/{self.token}"


async def join(connection: Connection, node: Node) -> bool:
    """Takes the name; False while another machine that has it is alive."""
    await _fetch(connection, FORGET, FORGOTTEN_DAYS)
    own = (node.name, node.incarnation, node.address, node.processes, list(node.known_by))
    return bool(await _fetch(connection, JOIN, *own, LOST_SECONDS))


async def beat(connection: Connection, name: str, incarnation: str) -> str | None:
    """Says that the machine lives; returns the state it is to be in, None if its name is another's."""
    state: str | None = await _value(connection, BEAT, name, incarnation)
    return state


async def turn(connection: Connection, name: str, state: str, former: str | None = None) -> bool:
    """Changes a machine's state, if it is `former` so far; False if there is none of that name and state."""
    return bool(await _fetch(connection, TURN, name, state, former))


async def drain(connection: Connection, name: str) -> bool:
    """Has a machine's schedules leave it; False if there is none of that name, or no other that takes them in."""
    return bool(await _fetch(connection, DRAIN, name, LOST_SECONDS))


async def leave(connection: Connection, name: str, incarnation: str) -> None:
    """Gives the name up."""
    await _fetch(connection, LEAVE, name, incarnation)


async def look(connection: Connection) -> list[Node]:
    """All machines there are, by name."""
    return [Node(**dict(row)) for row in await _fetch(connection, LOOK)]


async def state_of(connection: Connection, name: str) -> str | None:
    """The state a machine is to be in; None if there is none of that name."""
    state: str | None = await _value(connection, STATE, name)
    return state


async def schedules(connection: Connection) -> dict[str, int]:
    """How many schedules have their place on each machine."""
    return dict(map(tuple, await _fetch(connection, COUNT)))


async def register(connection: Connection, name: str, process: Process) -> None:
    """Says where the process of this name is called from now on."""
    await _fetch(connection, REGISTER, name, process.address, process.port, process.token)


async def find(connection: Connection, name: str) -> Process | None:
    """Where the process of this name was last called."""
    rows = await _fetch(connection, FIND, name)
    return Process(*rows[0]) if rows else None


async def _fetch(connection: Connection, query: str, *arguments: object) -> list[asyncpg.Record]:
    with outages_told():
        return await connection.fetch(query, *arguments)


async def _value(connection: Connection, query: str, *arguments: object) -> Any:
    rows = await _fetch(connection, query, *arguments)
    return rows[0][0] if rows else None
