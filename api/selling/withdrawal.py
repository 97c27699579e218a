"""Schedules are taken out of the catalogue for good: all that belong together, or none.

Whoever asks for one afterwards is told that there is no such schedule, on every worker, from the moment the answer goes
out. What is owed to somebody is still given back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.gateway.telling import tell
from api.http.problems import Problem
from api.office.office import Office
from api.office.under_way import finished
from api.views.seats import TERMS_SECONDS
from engine.events import Withdrawn
from persistence.catalogue import schedules
from persistence.journal import overruling
from persistence.journal.overruling import Overruled


async def withdraw(
    connection: AsyncConnection, office: Office, schedule_ids: Sequence[str], *, by: str, refusal: str
) -> list[Overruled]:
    """Withdraws the schedules in the caller's transaction; `announce` what it returns when that is committed.

    Raises `Problem(refusal)` if somebody holds or owns a seat: with the heads locked, the tables tell all.
    """
    held = await overruling.hold(connection, schedule_ids)
    if await schedules.have_live_bookings(connection, schedule_ids):
        raise Problem(refusal)
    return await overruling.write(connection, held, office.clock.now_ms(), Withdrawn(by))


async def tell_all(office: Office, overruled: Sequence[Overruled]) -> None:
    """Tells owners and readers of what was written past them."""
    await finished(tell(office.gateway, office.seat_cache, office.pool, overruled))


async def announce(office: Office, overruled: Sequence[Overruled]) -> None:
    """Tells owners and readers, and waits until no worker shows what it knew before."""
    committed = time.monotonic()
    await tell_all(office, overruled)
    await asyncio.sleep(max(0.0, committed + TERMS_SECONDS - time.monotonic()))
