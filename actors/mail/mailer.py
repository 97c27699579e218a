"""Sends the mails that `actors.receivers.notifications` has put into the outbox, each at most once.

A row is marked `sending`, and that committed, before a mail server hears of it. So whoever dies in between leaves a row
that nobody sends again: it becomes `unknown` after a while, and an admin may have it sent all the same. Only a clear
refusal is tried again: a temporary one ever less often, up to a limit; a permanent one never. While there is no server
to talk to, rows stay where they are. Rows are read many at a time and claimed one by one, if their address is still the
one that was read. Addresses are never logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
from prometheus_client import Counter as Metric

from actors.mail import links
from actors.mail.composing import Mail, Postmark
from actors.mail.transport import Conversation, MailAway, MailRefused, MailUnknown, Transport, scrubbed
from actors.process.rounds import every
from persistence.accounts.links import LIFETIMES, arm
from persistence.notifications import outbox
from persistence.notifications.outbox import Occasion, Outgoing, Recipient, Settled, Waiting

LANES = 5  # connections at once, one of them for mails about accounts
POLL_SECONDS = 1.0
AT_ONCE = 50  # rows read at once, and sent over one connection: many servers close it after a hundred
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

MAILS = Metric("boxoffice_mails_total", "What became of mails to customers", ("kind", "outcome"))

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
            while not stop.is_set() and (rows := await outbox.waiting(self._pool, lane, LANES, AT_ONCE)):
                async with self._transport.opened() as conversation:  # first: a row that is taken can be handed over
                    self._away = 0
                    dealt_with += await self._send_all(conversation, rows, stop)
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

    async def _send_all(self, conversation: Conversation, rows: Sequence[Waiting], stop: asyncio.Event) -> int:
        """Sends these rows' mails, as many as are still there. Returns how many were dealt with. Raises `MailAway`.

        Each is claimed by itself, so that at most one is in doubt should we die; that the one before was sent is
        recorded with it.
        """
        dealt_with = 0
        counted = await self._counted(rows)
        sent: Settled | None = None
        put_off: set[str] = set()
        try:
            for each in rows:
                row = each.row
                if stop.is_set():
                    break
                if row.customer_id in put_off and not _is_link(row):
                    continue
                if self._has_enough(each, counted):
                    put_off.add(row.customer_id)
                    await outbox.put_off_all(
                        self._pool, row.customer_id, ENOUGH_SECONDS, "the address has had enough mails"
                    )
                    MAILS.labels(row.kind, "put_off").inc()
                    dealt_with += 1
                    continue
                claimed, sent = await outbox.claim(self._pool, each, sent), None
                if not claimed:
                    continue
                dealt_with += 1
                sent = await self._send(conversation, each)
                if sent is not None:
                    counted[row.customer_id] += 1
                    counted[sent.address_digest] += 1
        finally:
            if sent is not None:
                await outbox.settle(self._pool, sent)
        return dealt_with

    async def _send(self, conversation: Conversation, claimed: Waiting) -> Settled | None:
        """Sends one row's mail. What is to be recorded of it where it was sent; anything else is recorded here.

        Raises `MailAway`, with the row back in its place.
        """
        row, recipient = claimed.row, claimed.recipient
        if recipient is None:
            await self._settle(row, "skipped", "the account was deleted")
            return None
        compose = await self._prepared(row, recipient, claimed.occasion)
        if isinstance(compose, str):
            await self._settle(row, "skipped", compose)
            return None
        try:
            mail = compose()
        except Exception as error:  # one that cannot be written must not stop the others, and an admin can see it
            logger.exception("notification %s cannot be written", row.id)
            await self._settle(row, "failed", scrubbed(f"cannot be written: {error!r}"))
            return None
        try:
            async with asyncio.timeout(self._send_seconds):
                await conversation.send(mail.content, mail.to)
        except MailRefused as refused:
            await self._refused(row, str(refused), permanent=refused.permanent)
            return None
        except MailAway as away:
            await self._refused(row, str(away), permanent=False)
            raise
        except (MailUnknown, TimeoutError) as error:
            await self._settle(row, "unknown", str(error) or "no answer in time")
            raise MailAway("the connection was lost") from error
        MAILS.labels(row.kind, "sent").inc()
        logger.info("mail sent: %s, booking %s, %s", row.kind, row.booking_id or "-", mail.subject)
        return Settled(id=row.id, status="sent", address_digest=self._postmark.digest(recipient.email))

    async def _counted(self, rows: Sequence[Waiting]) -> Counter[str | bytes | None]:
        """How many mails each of these rows' accounts and addresses was sent lately."""
        who = {
            (each.row.customer_id, self._postmark.digest(each.recipient.email))
            for each in rows
            if each.recipient is not None and not _is_link(each.row)
        }
        counted: Counter[str | bytes | None] = Counter()
        if who:
            pairs = list(who)
            found = await outbox.sent_within(self._pool, pairs, HOUR_SECONDS)
            for (customer_id, digest), (of_account, of_address) in zip(pairs, found, strict=True):
                counted[customer_id], counted[digest] = of_account, of_address
        return counted

    def _has_enough(self, waiting: Waiting, counted: Counter[str | bytes | None]) -> bool:
        """Whether so many mails went there lately that this one can wait. Links are limited when they are asked for."""
        row, recipient = waiting.row, waiting.recipient
        if recipient is None or _is_link(row):
            return False
        limit = MAILS_PER_HOUR if recipient.confirmed else MAILS_PER_HOUR_UNCONFIRMED
        return max(counted[row.customer_id], counted[self._postmark.digest(recipient.email)]) >= limit

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
        if permanent or row.attempts >= len(AGAIN_SECONDS):
            return await self._settle(row, "failed", reason)
        pause = AGAIN_SECONDS[row.attempts]
        await outbox.put_off(self._pool, row.id, pause, reason)
        logger.info("notification %s is tried again in %d s: %s", row.id, pause, reason)
        MAILS.labels(row.kind, "put_off").inc()
        return None

    async def _settle(self, row: Outgoing, status: str, reason: str) -> None:
        """Records that a row's mail was not sent, or that nobody knows."""
        await outbox.settle(self._pool, Settled(id=row.id, status=status, error=reason))
        MAILS.labels(row.kind, status).inc()
        level = logging.INFO if status == "skipped" else logging.ERROR
        logger.log(level, "notification %s (%s) %s: %s", row.id, row.kind, status, reason)


def _is_link(row: Outgoing) -> bool:
    return links.purpose_of(row.kind) is not None


def pointless(row: Outgoing, occasion: Occasion, now: datetime) -> str | None:
    """Why nobody needs the mail any more, if so."""
    over = occasion.ends_at <= now
    if over and row.kind in ("confirmed", "seats_changed", "schedule_changed"):
        return "the performance is over"
    if row.kind == "schedule_changed" and datetime.fromisoformat(row.facts.starts_at) != occasion.starts_at:
        return "the start was moved again, which has a mail of its own"
    return None
