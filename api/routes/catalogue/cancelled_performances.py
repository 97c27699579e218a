"""An organizer cancels a whole performance: every date that has not begun, in one call, after a look at what it costs.

All of its schedules are cancelled, or none; from then on nothing of them is sold. The background process ends their
bookings and gives back all that was paid, as it does for a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.models import EXACT_QUERY, PerformanceId
from api.http.paging import json_answer
from api.http.problems import invalid, responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY, once
from api.office.office import Office
from api.routes.catalogue.cancelled_schedules import WhyCancelled
from api.routes.catalogue.performances import own_performance
from api.selling.audit_trail import record_in
from api.selling.withdrawal import tell_all
from api.views.booking import described
from engine.events import ScheduleCancelled
from persistence.bookings import cancelled_performances
from persistence.bookings.cancelled_performances import GivenBack
from persistence.bookings.cancelled_schedules import ToBeGivenBack
from persistence.journal import overruling
from persistence.journal.overruling import Overruled

router = APIRouter(prefix="/v1/organizer", tags=["organizer"])


class PerformanceCancellationPreview(Struct, frozen=True, kw_only=True):
    """What cancelling the performance now would do."""

    performance_id: str
    schedules: int  # that would be cancelled
    to_be_given_back: list[ToBeGivenBack]


class PerformanceCancellationView(Struct, frozen=True, kw_only=True):
    """How far the cancellation of a performance's schedules has come."""

    performance_id: str
    schedules_cancelled: int
    schedules_upcoming: int  # not cancelled: added since
    finished: bool  # no booking of a cancelled schedule is live and no money is owed any more
    bookings_live: int  # still to be ended; those with a payment under way wait for its outcome
    given_back: list[GivenBack]


PREVIEW_EXAMPLE = {
    "performance_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a010",
    "schedules": 24,
    "to_be_given_back": [{"currency": "KRW", "unpaid": 12, "paid": 803, "places": 1904, "amount": 164_300_000}],
}
PROGRESS_EXAMPLE = {
    "performance_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a010",
    "schedules_cancelled": 24,
    "schedules_upcoming": 0,
    "finished": False,
    "bookings_live": 171,
    "given_back": [
        {
            "currency": "KRW",
            "pending": 58,
            "completed": 574,
            "amount_pending": 8_700_000,
            "amount_refunded": 121_300_000,
        }
    ],
}
PROGRESS = "Nothing is sold any more; the bookings are being ended."


@router.post(
    "/performances/{performance_id}/cancellation",
    status_code=202,
    summary="Cancel a whole performance",
    dependencies=[TAKES_KEY, EXACT_QUERY],
    responses=described(200, PerformanceCancellationPreview, PREVIEW_EXAMPLE, "What it would do: with `preview=true`.")
    | described(202, PerformanceCancellationView, PROGRESS_EXAMPLE, PROGRESS)
    | responses(
        "unauthenticated",
        "forbidden",
        "performance_not_found",
        "validation_failed",
        "idempotency_in_progress",
        "idempotency_key_reused",
        "rate_limited",
    ),
)
async def cancel_performance(
    performance_id: PerformanceId,
    request: Request,
    account: Organizer,
    office: OfficeOf,
    why: Annotated[WhyCancelled | None, Body(examples=[{"reason": "the theatre is flooded"}])] = None,
    preview: Annotated[bool, Query(description="Only say what would be given back.")] = False,
) -> Response:
    """Cancels every date of it that has not begun, for good. Asked again, it cancels what was added since."""
    if preview:
        async with office.reading.connect() as connection:
            await own_performance(connection, performance_id, account)
            now = office.now()
            ids = await cancelled_performances.upcoming(connection, performance_id, now)
            owed = await cancelled_performances.to_be_given_back(connection, performance_id, now)
        return json_answer(
            PerformanceCancellationPreview(performance_id=performance_id, schedules=len(ids), to_be_given_back=owed)
        )
    if why is None:
        raise invalid("reason", "is needed: customers are told", "고객에게 안내되므로 필요합니다")
    overruled: Sequence[Overruled] = ()

    async def cancel(connection: AsyncConnection) -> PerformanceCancellationView:
        nonlocal overruled
        await own_performance(connection, performance_id, account, lock=True)
        now = office.now()
        held = await overruling.hold(connection, await cancelled_performances.upcoming(connection, performance_id, now))
        # Locked, none of them can be cancelled by itself; those that were meanwhile are left out.
        still = set(await cancelled_performances.upcoming(connection, performance_id, now))
        held = [each for each in held if each.schedule_id in still]
        event = ScheduleCancelled(why.reason, account.role)
        overruled = await overruling.write(connection, held, office.clock.now_ms(), event)
        if overruled:
            await record_in(
                connection,
                office,
                account.id,
                "performance.cancelled",
                f"performance:{performance_id}",
                after={"reason": why.reason, "schedules": [each.schedule_id for each in overruled]},
            )
        return await _progress(connection, office, performance_id)

    location, begin = request.url.path, partial(office.writing.begin, account.id)
    answer = await once(office, request, account.id, cancel, location, status=202, begin=begin)
    await tell_all(office, overruled)
    return answer


@router.get(
    "/performances/{performance_id}/cancellation",
    summary="How far the cancellation of a performance has come",
    responses=described(200, PerformanceCancellationView, PROGRESS_EXAMPLE, "Finished when no money is owed any more.")
    | responses("unauthenticated", "forbidden", "performance_not_found"),
)
async def get_performance_cancellation(performance_id: PerformanceId, account: Organizer, office: OfficeOf) -> Response:
    """What of its cancelled dates is ended and given back, and what is left to do."""
    async with office.reading.connect() as connection:
        await own_performance(connection, performance_id, account)
        view = await _progress(connection, office, performance_id)
    return json_answer(view)


async def _progress(connection: AsyncConnection, office: Office, performance_id: str) -> PerformanceCancellationView:
    standing = await cancelled_performances.standing(connection, performance_id, office.now())
    given_back = await cancelled_performances.given_back(connection, performance_id)
    return PerformanceCancellationView(
        performance_id=performance_id,
        schedules_cancelled=standing.cancelled,
        schedules_upcoming=standing.upcoming,
        finished=bool(standing.cancelled)
        and not standing.bookings_live
        and not any(each.pending for each in given_back),
        bookings_live=standing.bookings_live,
        given_back=list(given_back),
    )
