"""Sends the mails that `actors.receivers.notifications` has put into the outbox, each at most once.

A row is marked `sending`, and that committed, before a mail server hears of it. So whoever dies in between leaves a row
that nobody sends again: it becomes `unknown` after a while, and an admin may have it sent all the same. Only a clear
refusal is tried again: a temporary one ever less often, up to a limit; a permanent one never. While there is no server
to talk to, rows stay where they are. Addresses are read at the last moment and never logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
from prometheus_client import Counter

from actors.mail import links
from actors.mail.composing import Mail, Postmark
from actors.mail.transport import Conversation, MailAway, MailRefused, MailUnknown, Transport, scrubbed
from actors.process.rounds import every
from persistence.accounts.links import LIFETIMES, arm
from persistence.notifications import outbox
from persistence.notifications.outbox import Occasion, Outgoing, Recipient, Taken

LANES = 5  # connections at once, one of them for mails about accounts
POLL_SECONDS = 1.0
MAILS_PER_CONNECTION = 50  # many servers close a connection after a hundred
AGAIN_SECONDS = (60.0, 300.0, 1_800.0, 7_200.0, 21_600.0)  # after the first refusal, the second, …; then it has failed
AWAY_SECONDS = (2.0, 5.0, 15.0, 60.0)  # how long nothing is tried while there is no server
SEND_SECONDS = 120.0  # a mail takes no longer, or its fate is unknown
SILENT_SECONDS = 300.0  # more than that: a row that is `sending` for so long has lost its sender
WATCH_SECONDS = 30.0
# No customer does more in an hour than fits into so many mails; whoever uses us to fill a stranger's mailbox does. An
# address that nobody has confirmed may be a stranger's.
MAILS_PER_HOUR, MAILS_PER_HOUR_UNCONFIRMED = 60, 10
HOUR_SECONDS = 3600.0
ENOUGH_SECONDS = 600.0  # then it is looked at again

MAILS = Counter("boxoffice_mails_total", "What became of mails to customers", ("kind", "outcome"))

logger = logging.getLogger(__name__)


class Mailer:
    """Works the outbox off. Any number of processes may."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        transport: Transport,
        postmark: Postmark,
        *,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._postmark = postmark
        self._send_seconds = send_seconds
        self._away = 0  # how often in a row there was no server
        self._again_at = 0.0  # on the monotonic clock: nothing is tried before

    async def run(self, stop: asyncio.Event) -> None:
        """Sends what there is to send until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(every(WATCH_SECONDS, stop, self.give_up_silent, "mails without a sender"))
            for lane in range(LANES):
                group.create_task(self._work_lane(lane, stop))

    async def _work_lane(self, lane: int, stop: asyncio.Event) -> None:
        async def work() -> None:
            if time.monotonic() >= self._again_at:
                await self.drain(lane, stop)

        await every(POLL_SECONDS, stop, work, "mails")

    async def drain(self, lane: int, stop: asyncio.Event) -> int:
        """Sends all that is due in one lane. Returns how many rows were dealt with."""
        dealt_with = 0
        try:
            while not stop.is_set() and await outbox.due(self._pool, lane, LANES):
                async with self._transport.opened() as conversation:  # first: a row that is taken can be handed over
                    self._away = 0
                    for _ in range(MAILS_PER_CONNECTION):
                        taken = None if stop.is_set() else await outbox.take(self._pool, lane, LANES)
                        if taken is None:
                            break
                        dealt_with += 1
                        await self._send(conversation, taken)
        except MailAway as error:
            pause = AWAY_SECONDS[min(self._away, len(AWAY_SECONDS) - 1)]
            self._again_at = time.monotonic() + pause
            (logger.info if self._away else logger.warning)("no mail can be handed over: %s", error)
            self._away += 1
        return dealt_with

    async def give_up_silent(self) -> int:
        """Marks rows whose sender has died. Returns how many."""
        silent = await outbox.give_up_silent(self._pool, SILENT_SECONDS)
        for notification_id, kind in silent:
            logger.error("whether notification %s was sent is unknown: its sender has died", notification_id)
            MAILS.labels(kind, "unknown").inc()
        return len(silent)

    async def _send(self, conversation: Conversation, taken: Taken) -> None:
        """Sends one row's mail and records what has become of it. Raises `MailAway`, with the row back in its place."""
        row, recipient = taken.row, taken.recipient
        if recipient is None:
            return await self._settle(row, "skipped", "the account was deleted")
        digest = self._postmark.digest(recipient.email)
        if await self._has_enough(row, recipient, digest):
            await outbox.put_off_all(self._pool, row, ENOUGH_SECONDS, "the address has had enough mails")
            MAILS.labels(row.kind, "put_off").inc()
            return None
        compose = await self._prepared(row, recipient, taken.occasion)
        if isinstance(compose, str):
            return await self._settle(row, "skipped", compose)
        try:
            mail = compose()
        except Exception as error:  # one that cannot be written must not stop the others, and an admin can see it
            logger.exception("notification %s cannot be written", row.id)
            return await self._settle(row, "failed", scrubbed(f"cannot be written: {error!r}"))
        try:
            async with asyncio.timeout(self._send_seconds):
                await conversation.send(mail.content, mail.to)
        except MailRefused as refused:
            return await self._refused(row, str(refused), permanent=refused.permanent)
        except MailAway as away:
            await self._refused(row, str(away), permanent=False)
            raise
        except (MailUnknown, TimeoutError) as error:
            await self._settle(row, "unknown", str(error) or "no answer in time")
            raise MailAway("the connection was lost") from error
        await self._settle(row, "sent", digest=digest)
        logger.info("mail sent: %s, booking %s, %s", row.kind, row.booking_id or "-", mail.subject)
        return None

    async def _has_enough(self, row: Outgoing, recipient: Recipient, digest: bytes) -> bool:
        """Whether so many mails went there lately that this one can wait. Links are limited when they are asked for."""
        if links.purpose_of(row.kind) is not None:
            return False
        limit = MAILS_PER_HOUR if recipient.confirmed else MAILS_PER_HOUR_UNCONFIRMED
        return await outbox.sent_within(self._pool, row.customer_id, digest, HOUR_SECONDS) >= limit

    async def _prepared(
        self, row: Outgoing, recipient: Recipient, occasion: Occasion | None
    ) -> Callable[[], Mail] | str:
        """How the row's mail is written, or why nobody needs it."""
        purpose = links.purpose_of(row.kind)
        if purpose is not None:
            link = links.new_link()
            if not await arm(self._pool, row.id, link.hash, LIFETIMES[purpose]):
                return "the link is of no use any more"
            return partial(self._postmark.compose_link, row, recipient, purpose, link.token)
        assert occasion is not None, "only mails about an account are about no schedule"
        reason = pointless(row, occasion, self._postmark.now())
        return partial(self._postmark.compose, row, recipient, occasion) if reason is None else reason

    async def _refused(self, row: Outgoing, reason: str, *, permanent: bool) -> None:
        if permanent or row.attempts > len(AGAIN_SECONDS):
            return await self._settle(row, "failed", reason)
        pause = AGAIN_SECONDS[row.attempts - 1]
        await outbox.put_off(self._pool, row.id, pause, reason)
        logger.info("notification %s is tried again in %d s: %s", row.id, pause, reason)
        MAILS.labels(row.kind, "put_off").inc()
        return None

    async def _settle(self, row: Outgoing, status: str, reason: str | None = None, digest: bytes | None = None) -> None:
        await outbox.settle(self._pool, row.id, status, reason, digest)
        MAILS.labels(row.kind, status).inc()
        if reason is not None:
            level = logging.INFO if status == "skipped" else logging.ERROR
            logger.log(level, "notification %s (%s) %s: %s", row.id, row.kind, status, reason)


def pointless(row: Outgoing, occasion: Occasion, now: datetime) -> str | None:
    """Why nobody needs the mail any more, if so."""
    over = occasion.ends_at <= now
    if over and row.kind in ("confirmed", "seats_changed", "schedule_changed"):
        return "the performance is over"
    if row.kind == "schedule_changed" and datetime.fromisoformat(row.facts.starts_at) != occasion.starts_at:
        return "the start was moved again, which has a mail of its own"
    return None
