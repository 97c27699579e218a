"""Saves a schedule's state now and then, so that its next owner has little of the journal to read.

Guarantee: what is saved is durable, and saving stops no turn. One that cannot be saved makes the next recovery longer
and nothing wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from actors.owner.gathering import Broken, Gathering, Rewound, Stopped
from engine.snapshot import capture, encode
from engine.state import ScheduleState
from persistence.journal.journal import Claim, Deposed, Journal, JournalUnavailable

# Records from one snapshot to the next, and entries in the state per such record: a large state is saved less often, or
# saving it would cost more than selling. A recovery replays 29,000 records at most, in a third of a second.
SNAPSHOT_EVERY, ENTRIES_PER_RECORD = 5_000, 4
SNAPSHOT_AGAIN = 500  # records after one that failed it is tried again

logger = logging.getLogger(__name__)


def snapshot_due(state: ScheduleState, records: int) -> bool:
    """Whether another snapshot pays, so many records after the last one."""
    entries = len(state.bookings) + len(state.requests) + len(state.ended)
    return records >= max(SNAPSHOT_EVERY, entries // ENTRIES_PER_RECORD)


class Snapshots:
    """Those of one schedule. `reset` first; `under_way` gives the newest batch that is not durable yet."""

    def __init__(self, journal: Journal, under_way: Callable[[], Gathering | None]) -> None:
        self._journal = journal
        self._under_way = under_way
        self._claim: Claim
        self.saved_seq = 0  # of the newest that is saved
        self.failing = False  # whether the last one could not be saved
        self._again_seq = 0  # before which another is not tried

    def reset(self, claim: Claim) -> None:
        """The schedule's state has been read anew under this claim."""
        self._claim = claim
        self.saved_seq = self._again_seq = claim.snapshot_seq

    def due(self, state: ScheduleState, durable_seq: int) -> bool:
        """Whether another one pays now. Then it is not due again soon, should it fail."""
        if durable_seq < self._again_seq or not snapshot_due(state, durable_seq - self.saved_seq):
            return False
        self._again_seq = durable_seq + SNAPSHOT_AGAIN
        return True

    async def save(self, state: ScheduleState) -> None:
        """Saves the state as it is now. It may hold turns that are not durable yet, so it waits for them.

        What fails is logged, and tried again.
        """
        schedule_id = self._claim.schedule_id
        try:
            await self._save(state)
        except (Rewound, Broken, Stopped, Deposed) as error:  # what it was of did not become durable, or is another's
            logger.info("schedule %s saves no snapshot: %s", schedule_id, type(error).__name__)
        except JournalUnavailable as error:
            self.failing = True
            logger.warning("schedule %s could not save a snapshot: %s", schedule_id, error)
        except Exception:  # whatever it is: the journal has everything, and no sale ends for want of a snapshot
            self.failing = True
            logger.exception("schedule %s cannot save a snapshot", schedule_id)

    async def _save(self, state: ScheduleState) -> None:
        claim, snapshot = self._claim, capture(state)
        if snapshot.seq == self.saved_seq:
            return
        payload = await asyncio.to_thread(encode, snapshot)
        if (batch := self._under_way()) is not None:
            await asyncio.shield(batch.durable)
        await self._journal.save_snapshot(claim, snapshot.seq, payload)
        if claim is self._claim:
            self.saved_seq = self._again_seq = snapshot.seq
            self.failing = False
