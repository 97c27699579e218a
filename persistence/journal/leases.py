"""Work that one process of a cluster does at a time: who holds the lease does it.

A row rather than an advisory lock: a lock lives as long as a session, which outlasts a machine that has vanished by
hours; it passes through no pooler; and nobody sees who has it. Leases end by the database's clock. A holder that was
paused may go on for a moment beside the next one, so what is done under a lease must do no harm when two do it.
Everything here may raise `JournalUnavailable`.
"""

from __future__ import annotations

from persistence.database.pools import Connection
from persistence.journal.journal import outages_told

LEASE_SECONDS = 5.0
RENEW_SECONDS = 1.0

HOLD = """
INSERT INTO leases AS l (work, holder, until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (work) DO UPDATE SET holder = excluded.holder, until = excluded.until
 WHERE l.holder = excluded.holder OR l.until < clock_timestamp()
RETURNING 1
"""
LET_GO = "DELETE FROM leases WHERE work = $1 AND holder = $2"
HOLDER = "SELECT holder FROM leases WHERE work = $1 AND until >= clock_timestamp()"


async def hold(connection: Connection, work: str, holder: str) -> bool:
    """Takes or renews the lease; False while somebody else has it."""
    with outages_told():
        return await connection.fetchval(HOLD, work, holder, LEASE_SECONDS) is not None


async def let_go(connection: Connection, work: str, holder: str) -> None:
    """Gives it up, for the next one to take at once."""
    with outages_told():
        await connection.execute(LET_GO, work, holder)


async def holder_of(connection: Connection, work: str) -> str | None:
    """Who has it."""
    with outages_told():
        holder: str | None = await connection.fetchval(HOLDER, work)
        return holder
