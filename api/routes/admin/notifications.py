"""What customers were told by mail, for admins: no addresses, and no contents.

A mail that failed, or whose fate is unknown, can be sent again; nothing sends the latter by itself, because its
customer may have it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from msgspec import Struct

from api.http.models import UUID_SCHEMA, UuidText, rfc3339, uuid_or_none
from api.http.paging import Cursor, Limit, encode_cursor, json_answer, time_and_id_in
from api.http.problems import Problem, responses
from api.office.dependencies import Admin, OfficeOf
from api.selling.audit_trail import record_in
from api.views.booking import Page, described, listed
from persistence.notifications import outbox
from persistence.notifications.outbox import RETRYABLE, NotificationRow

router = APIRouter(prefix="/v1/admin/notifications", tags=["admin"])

MailState = Literal["pending", "sending", "sent", "failed", "skipped", "unknown"]
REFUSALS = responses("unauthenticated", "forbidden")


class NotificationView(Struct, frozen=True, kw_only=True):
    """A mail to a customer. `unknown`: whoever sent it died, or the server fell silent, in the middle."""

    id: str
    kind: str
    status: MailState
    schedule_id: str | None  # null where it is about the account
    version: int  # of the event it tells of; 0: of none
    booking_id: str | None  # null where it tells of several
    customer_id: str
    attempts: int
    error: str | None
    created_at: str
    next_attempt_at: str | None  # of a pending one
    sent_at: str | None


EXAMPLE = {
    "id": "6f7a3f0e-3c0b-5d0c-9a61-b1f7ae3c5a10",
    "kind": "confirmed",
    "status": "failed",
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "version": 1812,
    "booking_id": "0199f3a1-2f0b-7e36-9d55-2f3c1b7a9e42",
    "customer_id": "0199f390-77aa-7c41-a0a5-6f1b2c3d4e5f",
    "attempts": 1,
    "error": "550 5.1.1 no such user",
    "created_at": "2026-11-22T15:00:00.000+00:00",
    "next_attempt_at": None,
    "sent_at": None,
}


def _view(row: NotificationRow) -> NotificationView:
    return NotificationView(
        id=row.id,
        kind=row.kind,
        status=row.status,  # type: ignore[arg-type]  # as the column has it
        schedule_id=row.schedule_id,
        version=row.version,
        booking_id=row.booking_id,
        customer_id=row.customer_id,
        attempts=row.attempts,
        error=row.error,
        created_at=rfc3339(row.created_at),
        next_attempt_at=rfc3339(row.due_at) if row.status == "pending" else None,
        sent_at=None if row.sent_at is None else rfc3339(row.sent_at),
    )


@router.get(
    "",
    summary="Mails to customers",
    responses=listed(NotificationView, EXAMPLE) | REFUSALS | responses("validation_failed"),
)
async def list_notifications(
    account: Admin,
    office: OfficeOf,
    status: MailState | None = None,
    schedule_id: Annotated[UuidText | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """All mails that were, or are to be, sent, newest first."""
    before = time_and_id_in(cursor)
    async with office.reading.connect() as connection:
        rows = await outbox.page(connection, status=status, schedule_id=schedule_id, before=before, limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    next_cursor = None if last is None else encode_cursor(last.created_at.isoformat(), last.id)
    return json_answer(Page([_view(row) for row in rows[:limit]], next_cursor))


@router.post(
    "/{notification_id}/retry",
    status_code=202,
    summary="Send a mail again",
    responses=described(
        202,
        NotificationView,
        EXAMPLE | {"status": "pending", "attempts": 0, "error": None, "next_attempt_at": EXAMPLE["created_at"]},
        "It is sent within moments, to the address the account has by then.",
    )
    | REFUSALS
    | responses("notification_not_found", "notification_not_retryable"),
)
async def retry_notification(
    notification_id: Annotated[str, Path(), UUID_SCHEMA], account: Admin, office: OfficeOf
) -> Response:
    """For a mail that failed, or that its customer may or may not have. A pending one is left as it is."""
    mail_id = uuid_or_none(notification_id)
    if mail_id is None:
        raise Problem("notification_not_found")
    async with office.database.begin() as connection:
        row = await outbox.locked(connection, mail_id)
        if row is None:
            raise Problem("notification_not_found")
        if row.status == "pending":
            return json_answer(_view(row), 202)
        if row.status not in RETRYABLE:
            raise Problem("notification_not_retryable", notification_status=row.status)
        now = await outbox.send_again(connection, mail_id)
        await record_in(
            connection,
            office,
            account.id,
            "notification.retried",
            f"notification:{mail_id}",
            before={"status": row.status, "attempts": row.attempts, "error": row.error},
            after={"status": now.status, "kind": now.kind, "booking_id": now.booking_id},
        )
    return json_answer(_view(now), 202)
