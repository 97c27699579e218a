"""Mends what a reconciliation has found, as far as it can be mended, and says what it did.

The journal is never touched: what follows from it is made to follow again (an owner starts afresh from it, rows are
written as it says, readers are told anew), money is moved by the ordinary commands, and the rest is only reported.
Where several witnesses contradict the journal, it may itself have been changed: nothing is made to follow from it then,
unless what was published vouches for it. A dry run says what would be done and does nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID, uuid5

import asyncpg
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.gateway.gateway import Gateway, Unavailable
from actors.money.refunding import pay_out
from actors.money.settlement import NOT_CHARGED, give_back, settle
from actors.receivers.replaying import Replay
from actors.receivers.sales import Sales
from actors.reconciliation import event_check
from actors.reconciliation.checks import OFFENDERS_SHOWN, Name, Report, equal_journal
from actors.reconciliation.event_check import compare_events
from actors.reconciliation.following import BrokenJournal
from actors.reconciliation.provider_books import Stray, examine_books, is_id
from actors.reconciliation.reconciler import Reconciler
from actors.reconciliation.table_checks import OUTCOME_WITHIN_MS
from engine.commands import Expire
from engine.events import ScheduleCancelled, TermsChanged, Withdrawn
from engine.payment import Payment, PaymentStatus
from engine.refusals import Refusal
from persistence.bookings import refunds
from persistence.bookings.bookings import find_booking
from persistence.bookings.payments import PaymentRow, find_payment
from persistence.events.log import EventLog, LogUnavailable
from persistence.journal import heads
from persistence.journal.rows import about_schedule
from persistence.providers.provider import (
    NEVER_CHARGED_AFTER_MS,
    Approved,
    Declined,
    Provider,
    ProviderUnavailable,
    Refunded,
)
from persistence.reconciliation.table_mirror import TABLES, Mirror, Table, differing, rewrite
from persistence.reconciliation.told import NOTHING, Part, Told, joined, say
from persistence.seats.cache import CacheUnavailable

CAUGHT_UP_SECONDS = 10.0  # for what a new owner does by itself: publishing, telling readers
NOTED_SECONDS = 2.0  # until an owner's watermark is in its head: four times what it waits for a commit to take it along
POLL_SECONDS = 0.05

# What follows from the journal, and what may have led it astray: each is a witness of its own.
ROWS = frozenset({*(equal_journal(table.name) for table in TABLES), Name.SCHEDULE_EQUALS_JOURNAL})
MEMORY = frozenset({Name.MEMORY_EQUALS_JOURNAL, Name.SNAPSHOT_EQUALS_JOURNAL})
# What is right again once those are.
FOLLOWS = frozenset({Name.SEATS_SOLD_ONCE, Name.SOLD_SEATS_EQUAL_BOOKINGS, Name.MONEY_IS_CONSERVED})
# Evidence, which nobody but a person may touch, and what says nothing by itself.
IRREPARABLE = frozenset({Name.JOURNAL_IS_WHOLE, Name.AUDIT_LOG_IS_WHOLE, Name.CAN_BE_EXAMINED})

Action = tuple[Told, bool]  # what was done, or would be; whether it was
Way = Callable[[str, bool], Awaitable[list[Action]]]

logger = logging.getLogger(__name__)


class Mended(Struct, frozen=True, kw_only=True):
    """What was done about a check, or would be."""

    check: str
    action: str
    parts: tuple[Part, ...]  # what the action's sentence is made of
    done: bool  # False: a dry run, or it cannot be done here


class Repair:
    """Mends schedules. Holds nothing."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        database: AsyncEngine,
        gateway: Gateway[Any],
        reconciler: Reconciler,
        providers: Mapping[str, Provider],
        log: EventLog | None = None,
    ) -> None:
        """`log` is where events are published."""
        self._pool = pool
        self._database = database
        self._gateway = gateway
        self._reconciler = reconciler
        self._log = log
        self.providers = providers
        # In the order in which they are gone through: an owner that starts afresh must find a good snapshot.
        self.ways: dict[str, Way] = {
            Name.SNAPSHOT_EQUALS_JOURNAL: self._drop_snapshots,
            Name.MEMORY_EQUALS_JOURNAL: self._start_afresh,
            **{equal_journal(table.name): self._rewriting(table) for table in TABLES},
            Name.SCHEDULE_EQUALS_JOURNAL: self._rewrite_schedule,
            Name.SEAT_MAP_EQUALS_JOURNAL: self._show_anew,
            Name.HOLDS_END_IN_TIME: self._wake,
            Name.PUBLISHED_EQUALS_HEAD: self._publish,
            Name.EVENTS_EQUAL_JOURNAL: self._publish_anew,
            Name.PAYMENTS_HAVE_AN_OUTCOME: self._settle,
            Name.REFUNDS_ARE_PAID_OUT: self._pay_out,
            Name.PROVIDER_BOOKS_AGREE: self._give_back,
            Name.PROJECTIONS_EQUAL_JOURNAL: self._count_again,
        }

    async def mend(self, report: Report, *, dry_run: bool) -> list[Mended]:
        """Goes through the checks that do not hold. What cannot be done now is said, and the next one follows."""
        doubt = await self._doubt(report)
        mended = []
        for name in sorted(report.failing, key=[*self.ways, *sorted(report.failing)].index):
            for action, done in await self._treat(name, report, doubt, dry_run):
                mended.append(Mended(check=name, action=str(action), parts=action.parts, done=done))
        self._reconciler.forget(report.schedule_id)
        if not dry_run:
            for each in mended:
                logger.warning("repair of schedule %s, %s: %s", report.schedule_id, each.check, each.action)
        return mended

    async def _treat(self, name: str, report: Report, doubt: Told, dry_run: bool) -> list[Action]:
        """What is done about one check."""
        if name in FOLLOWS and report.failing & ROWS:
            return [(say("follows_from_rows"), False)]
        way = self.ways.get(name)
        if way is None:
            return [(say("journal_never_changed"), False)]
        if doubt:
            return [(doubt, False)]
        if name == Name.PROVIDER_BOOKS_AGREE and dry_run and report.failing & ROWS:
            return [(say("books_after_rows"), False)]
        try:
            return await way(report.schedule_id, dry_run) or [(say("nothing_left"), True)]
        except (Unavailable, ProviderUnavailable, LogUnavailable, CacheUnavailable, BrokenJournal) as error:
            return [(say("put_off", error=error), False)]

    async def _doubt(self, report: Report) -> Told:
        """Why nothing must be made to follow from the journal; empty if there is no reason."""
        if Name.JOURNAL_IS_WHOLE in report.failing:
            return say("journal_damaged")
        if not (report.failing & ROWS and report.failing & MEMORY):
            return NOTHING
        both = say("both_contradict")
        if self._log is None:
            return joined(both, say("person_compares"), by=": ")
        try:
            compared = await self._compared(report.schedule_id)
        except LogUnavailable as error:
            return joined(both, say("topic_unreadable", error=error), by=", and ")
        if compared.differing:
            versions = ", ".join(map(str, compared.differing[:OFFENDERS_SHOWN]))
            return joined(both, say("published_otherwise", versions=versions), by=": ")
        if compared.missing_from is not None:
            unpublished = joined(say("not_all_published"), say("person_compares"), by=": ")
            return joined(both, unpublished, by=", and ")
        return NOTHING

    async def _compared(self, schedule_id: str) -> event_check.Comparison:
        assert self._log is not None, "asked for only where events are published"
        head = await heads.of_schedule(self._pool, schedule_id)
        return await compare_events(self._reconciler, self._log, schedule_id, head.announced)

    # --- owner and readers --------------------------------------------------------------------------------------------
    async def _start_afresh(self, schedule_id: str, dry_run: bool) -> list[Action]:
        if not dry_run:
            await self._gateway.retire(schedule_id)
            await self._send_nothing(schedule_id)
        return [(say("owner_replaced"), not dry_run)]

    async def _show_anew(self, schedule_id: str, dry_run: bool) -> list[Action]:
        told = say("seat_map_dropped")
        if dry_run:
            return [(told, False)]
        await self._gateway.retire(schedule_id)
        await self._reconciler.cache.forget(schedule_id)
        await self._send_nothing(schedule_id)

        async def shown() -> bool:
            return await self._reconciler.cache.get(schedule_id) is not None

        return [(told, await _until(shown))]

    async def _wake(self, schedule_id: str, dry_run: bool) -> list[Action]:
        if not dry_run:
            await self._send_nothing(schedule_id)
        return [(say("owner_woken"), not dry_run)]

    async def _count_again(self, schedule_id: str, dry_run: bool) -> list[Action]:
        if not dry_run:
            await Replay(self._pool, self._reconciler.journal, Sales()).again(schedule_id)
        return [(say("figures_made_again"), not dry_run)]

    async def _drop_snapshots(self, schedule_id: str, dry_run: bool) -> list[Action]:
        if not dry_run:
            async with self._pool.acquire() as connection, connection.transaction():
                await heads.drop_snapshots(connection, schedule_id)
            await self._gateway.retire(schedule_id)
        return [(say("snapshots_dropped"), not dry_run)]

    async def _send_nothing(self, schedule_id: str) -> None:
        """Any command brings an owner up, and this one does only what is due anyway."""
        await self._gateway.send(schedule_id, Expire(), request_id="")

    # --- publishing ---------------------------------------------------------------------------------------------------
    async def _publish(self, schedule_id: str, dry_run: bool) -> list[Action]:
        head = await heads.of_schedule(self._pool, schedule_id)
        if head.published_seq > head.seq:
            return await self._publish_from(schedule_id, 1, dry_run)  # nobody knows what it was
        told = say("published_on")
        if dry_run:
            return [(told, False)]
        if await self._is_beyond_the_watermark(schedule_id):
            told = say("published_by_another")
            await self._gateway.retire(schedule_id)
        await self._send_nothing(schedule_id)
        return await self._until_published(schedule_id, told)

    async def _is_beyond_the_watermark(self, schedule_id: str) -> bool:
        """Whether its owner publishes nothing until something happens, since somebody has set the watermark back."""
        published = (await self._gateway.inspect(schedule_id)).published_version

        async def noted() -> bool:
            return (await heads.of_schedule(self._pool, schedule_id)).published_seq >= published

        return not await _until(noted, NOTED_SECONDS)

    async def _publish_anew(self, schedule_id: str, dry_run: bool) -> list[Action]:
        if self._log is None:
            return [(say("no_event_log"), False)]
        compared = await self._compared(schedule_id)
        actions: list[Action] = []
        if compared.missing_from is not None:
            actions += await self._publish_from(schedule_id, compared.missing_from, dry_run)
        if compared.differing or not actions:
            actions.append((say("log_stays"), False))
        return actions

    async def _publish_from(self, schedule_id: str, version: int, dry_run: bool) -> list[Action]:
        told = say("published_from", version=version)
        if dry_run:
            return [(told, False)]
        await heads.publish_from(self._pool, schedule_id, version)
        await self._gateway.retire(schedule_id)
        await self._send_nothing(schedule_id)
        return await self._until_published(schedule_id, told)

    async def _until_published(self, schedule_id: str, told: Told) -> list[Action]:
        until = (await heads.of_schedule(self._pool, schedule_id)).seq

        async def published() -> bool:
            return (await heads.of_schedule(self._pool, schedule_id)).published_seq >= until

        done = await _until(published)
        return [(told if done else joined(told, say("still_going_on")), done)]

    # --- rows ---------------------------------------------------------------------------------------------------------
    def _rewriting(self, table: Table) -> Way:
        async def mend(schedule_id: str, dry_run: bool) -> list[Action]:
            mirror = await self._reconciler.mirror(schedule_id)
            async with self._pool.acquire() as connection, connection.transaction():
                await self._hold_still(connection, mirror, schedule_id)
                sheet = mirror.sheets[table.name]
                wrong = await differing(connection, table, schedule_id, sheet)
                if not dry_run:
                    await rewrite(connection, table, schedule_id, sheet, wrong)
            fates = ("row_removed", "row_written")
            actions = [
                (say(fates[row_id in sheet.rows], table=table.name, id=row_id), not dry_run)
                for row_id in wrong[:OFFENDERS_SHOWN]
            ]
            if len(wrong) > OFFENDERS_SHOWN:
                others = say("further_rows", count=len(wrong) - OFFENDERS_SHOWN, table=table.name)
                actions.append((others, not dry_run))
            return actions

        return mend

    async def _rewrite_schedule(self, schedule_id: str, dry_run: bool) -> list[Action]:
        mirror = await self._reconciler.mirror(schedule_id)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._hold_still(connection, mirror, schedule_id)
            if not dry_run:
                state, now_ms = mirror.state, self._reconciler.now_ms()
                for statement, row in about_schedule(TermsChanged(state.on), now_ms):
                    await connection.execute(statement, schedule_id, *row)
                if state.cancelled is None:
                    query = "UPDATE schedules SET cancelled_at = NULL, cancellation_reason = NULL WHERE id = $1"
                    await connection.execute(query, schedule_id)
                else:
                    cancelled = ScheduleCancelled(state.cancelled.reason, state.cancelled.by)
                    for statement, row in about_schedule(cancelled, state.cancelled.at_ms):
                        await connection.execute(statement, schedule_id, *row)
                if state.withdrawn is None:
                    await connection.execute("UPDATE schedules SET deleted_at = NULL WHERE id = $1", schedule_id)
                else:
                    withdrawn = Withdrawn(state.withdrawn.by)
                    for statement, row in about_schedule(withdrawn, state.withdrawn.at_ms):
                        await connection.execute(statement, schedule_id, *row)
        return [(say("terms_written"), not dry_run)]

    async def _hold_still(self, connection: Any, mirror: Mirror, schedule_id: str) -> None:
        """Keeps the schedule's owner from committing until this transaction ends, and reads the journal up to there."""
        await heads.hold_still(connection, schedule_id)
        await self._reconciler.follow(mirror, schedule_id, connection)

    # --- money --------------------------------------------------------------------------------------------------------
    async def _settle(self, schedule_id: str, dry_run: bool) -> list[Action]:
        rows = await self._pool.fetch(
            "SELECT id::text FROM payments WHERE schedule_id = $1 AND status = 'requested'"
            " AND requested_at < to_timestamp($2::float8 / 1000) ORDER BY requested_at",
            schedule_id,
            self._reconciler.now_ms() - OUTCOME_WITHIN_MS,
        )
        return [await self._settle_one(row[0], dry_run) for row in rows]

    async def _settle_one(self, payment_id: str, dry_run: bool) -> Action:
        row = await find_payment(self._database, payment_id, None)
        provider = None if row is None else self.providers.get(row.payment.provider)
        if row is None or provider is None:
            return say("payment_without_provider", payment=payment_id), False
        now_ms = self._reconciler.now_ms()  # before asking: a None counts for the moment it was asked
        outcome = await provider.look_up(row.ref)
        if outcome is None and now_ms - row.payment.requested_ms >= NEVER_CHARGED_AFTER_MS:
            outcome = NOT_CHARGED
        if not isinstance(outcome, Approved | Declined):
            return say("payment_not_told", payment=payment_id, provider=provider.name), False
        came = type(outcome).__name__.lower()
        told = say("payment_settled", payment=payment_id, outcome=came, provider=provider.name)
        if not dry_run:
            await settle(self._database, self._gateway, row, outcome)
        return told, not dry_run

    async def _pay_out(self, schedule_id: str, dry_run: bool) -> list[Action]:
        actions: list[Action] = []
        rows = await self._pool.fetch(
            "SELECT id::text, provider FROM refunds WHERE schedule_id = $1 AND status = 'requested' ORDER BY id",
            schedule_id,
        )
        for refund_id, name in rows:
            due, provider = await refunds.due(self._database, refund_id), self.providers.get(name)
            if due is None or provider is None:
                actions.append((say("refund_without_provider", refund=refund_id, provider=name), False))
            elif dry_run:
                actions.append((say("refund_asked", refund=refund_id, provider=name), False))
            else:
                outcome = await pay_out(self._gateway, provider, due)
                came = type(outcome).__name__.lower()
                told = say("refund_answered", refund=refund_id, provider=name, outcome=came)
                actions.append((told, isinstance(outcome, Refunded)))
        return actions

    async def _give_back(self, schedule_id: str, dry_run: bool) -> list[Action]:
        """Settles what a provider has taken for this schedule and we do not have as taken, or gives it back."""
        actions: list[Action] = []
        for provider in self.providers.values():
            check, strays = await examine_books(self._pool, self._reconciler, provider, schedule_id)
            actions += [await self._return(schedule_id, provider.name, stray, dry_run) for stray in strays]
            others = len(check.offenders) - len(strays)
            if others > 0:
                actions.append((say("others_by_hand", count=others, provider=provider.name), False))
        return actions

    async def _return(self, schedule_id: str, name: str, stray: Stray, dry_run: bool) -> Action:
        payment = stray.payment_id or stray.theirs.payment_id or stray.theirs.reference
        row = await self._as_ours(schedule_id, name, stray)
        if row is None:
            return say("payment_of_nobody", payment=payment, provider=name), False
        if row.payment.status is PaymentStatus.REQUESTED:
            if not dry_run:
                await settle(self._database, self._gateway, row, Approved(stray.theirs.reference))
            return say("payment_approved", payment=payment), not dry_run
        if not dry_run:
            answer = await give_back(self._gateway, row, stray.theirs.reference)
            if isinstance(answer, Refusal):
                return say("payment_not_given_back", payment=payment, code=answer.code), False
        return say("payment_given_back", payment=payment), not dry_run

    async def _as_ours(self, schedule_id: str, name: str, stray: Stray) -> PaymentRow | None:
        """The provider's payment as a row of ours; made up from its booking where we never had it."""
        theirs = stray.theirs
        if stray.payment_id is not None:
            return await find_payment(self._database, stray.payment_id, None)
        if theirs.booking_id is None or not is_id(theirs.booking_id):
            return None
        booking = await find_booking(self._database, theirs.booking_id, None)
        if booking is None or booking.schedule_id != schedule_id:
            return None
        given = theirs.payment_id if theirs.payment_id is not None and is_id(theirs.payment_id) else None
        # By the reference where the provider has no id of ours, so that a repeat is known for one.
        payment_id = given or str(uuid5(UUID(booking.id), theirs.reference))
        declined = PaymentStatus.DECLINED  # given up, as far as we are concerned
        return PaymentRow(
            payment=Payment(payment_id, theirs.amount, declined, theirs.created_ms, name, reference=theirs.reference),
            booking_id=booking.id,
            schedule_id=schedule_id,
            customer_id=booking.customer_id,
            currency=theirs.currency,
        )


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float = CAUGHT_UP_SECONDS) -> bool:
    """Waits for something that somebody else does; whether it came to pass in time."""
    for _ in range(int(seconds / POLL_SECONDS)):
        if await condition():
            return True
        await asyncio.sleep(POLL_SECONDS)
    return await condition()
