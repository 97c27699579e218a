"""Events that a receiving service could not digest, for admins: look at them, and have them tried again."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from actors.receivers.services import SERVICES
from actors.receivers.taker import Retried, retry
from api.http.models import ScheduleId, uuid_or_none
from api.http.paging import Cursor, Limit, decode_cursor, encode_cursor, json_answer, malformed_cursor
from api.http.problems import Problem, responses
from api.office.dependencies import Admin, OfficeOf
from api.selling.audit_trail import record
from api.views.booking import described, listed
from persistence.events import positions
from persistence.events.positions import ParkedEvent

router = APIRouter(prefix="/v1/admin/parked-events", tags=["admin"])

REFUSALS = responses("unauthenticated", "forbidden")


class ParkedEventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a service could not digest, and why."""

    service: str
    schedule_id: str
    version: int
    error: str
    attempts: int
    parked_at: str
    event: dict[str, Any]


class RetriedView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the service has taken the event now; why not, if it has not."""

    service: str
    schedule_id: str
    version: int
    taken: bool
    error: str | None


WHICH = {"service": "sales", "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011", "version": 1812}
PARKED_EXAMPLE = WHICH | {
    "error": "KeyError: 'VIP'",
    "attempts": 1,
    "parked_at": "2026-11-22T15:00:00+00:00",
    "event": {"specversion": "1.0", "type": "reservation.confirmed"},
}
RETRIED_EXAMPLE = WHICH | {"taken": True, "error": None}


@router.get(
    "",
    summary="Events that a receiving service could not digest",
    responses=listed(ParkedEventView, PARKED_EXAMPLE, "By service, schedule and version.") | REFUSALS,
)
async def list_parked(
    account: Admin,
    office: OfficeOf,
    service: Annotated[str | None, Query(max_length=50)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """By service, schedule and version, each with the error and the event itself."""
    key = decode_cursor(cursor, 3)
    if key is not None and (uuid_or_none(key[1]) is None or not key[2].isdecimal()):
        raise malformed_cursor()
    after = None if key is None else (key[0], key[1], int(key[2]))
    rows = await positions.parked(office.pool, consumer=service, after=after, limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    following = None if last is None else encode_cursor(last.consumer, last.schedule_id, str(last.version))
    return json_answer({"items": [_view(row) for row in rows[:limit]], "next_cursor": following})


@router.post(
    "/{service}/{schedule_id}/{version}/retry",
    summary="Try a parked event again",
    responses=described(200, RetriedView, RETRIED_EXAMPLE, "What came of it.")
    | REFUSALS
    | responses("parked_event_not_found", "validation_failed"),
)
async def retry_parked(
    service: Annotated[str, Path(max_length=50)],
    schedule_id: ScheduleId,
    version: Annotated[int, Path(ge=1, le=2**62)],
    request: Request,
    account: Admin,
    office: OfficeOf,
) -> Response:
    """Gives the event to its service once more. What followed it has been taken meanwhile; where that matters,
    `boxoffice events replay` makes the service's data anew."""
    if service not in SERVICES:
        raise Problem("parked_event_not_found")
    result = await retry(office.pool, SERVICES[service], schedule_id, version)
    if result is None:
        raise Problem("parked_event_not_found")
    subject = f"parked-event:{service}/{schedule_id}:{version}"
    after = {"taken": result.taken, "error": result.error}
    await record(office, request, account, "event.retried", subject, after=after)
    return json_answer(_result(service, schedule_id, version, result))


def _view(row: ParkedEvent) -> dict[str, Any]:
    return {
        "service": row.consumer,
        "schedule_id": row.schedule_id,
        "version": row.version,
        "error": row.error,
        "attempts": row.attempts,
        "parked_at": row.parked_at,
        "event": msgspec.Raw(row.value),
    }


def _result(service: str, schedule_id: str, version: int, result: Retried) -> dict[str, Any]:
    which = {"service": service, "schedule_id": schedule_id, "version": version}
    return {**which, "taken": result.taken, "error": result.error}
