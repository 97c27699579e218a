"""What admins see of payments and refunds, and the one thing they do about them by hand: pay out what a provider won't.

Refunds outside the policy are `POST /v1/payments/{id}/refunds`, which is everybody's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypedDict
from uuid import UUID, uuid5

from fastapi import APIRouter, Body, Query
from fastapi.responses import Response
from pydantic import Field

from actors.money.refunding import complete
from api.http.models import EXACT_QUERY, Exact, PaymentId, PaymentState, RefundId, RefundState, Text, UuidText
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer, time_and_id_in
from api.http.problems import Problem, responses
from api.office.dependencies import Admin, OfficeOf
from api.office.office import Office
from api.office.tokens import Account
from api.office.under_way import finished
from api.routes.admin.admin_bookings import Archived
from api.routes.admin.searching import OldestFirst, Searched
from api.views.admin import (
    WHERE_EXAMPLE,
    AdminPaymentView,
    AdminRefundView,
    admin_payment_view,
    admin_refund_view,
)
from api.views.booking import PAYMENT_EXAMPLE, PAYMENT_STATUS_NAMES, Page, described, listed
from api.views.refund import REFUND_EXAMPLE, REFUND_STATUS_NAMES
from engine.payment import RefundStatus
from persistence.audit import chain
from persistence.bookings import payments, refunds
from persistence.bookings.refunds import RefundRow
from persistence.database.moments import moment

router = APIRouter(prefix="/v1/admin", tags=["admin"])

REFUSALS = responses("unauthenticated", "forbidden")
PAYMENT = PAYMENT_EXAMPLE | WHERE_EXAMPLE
REFUND = REFUND_EXAMPLE | WHERE_EXAMPLE | {"provider": "sandbox"}
PAYMENT_STATUSES = {name: status for status, name in PAYMENT_STATUS_NAMES.items()}
REFUND_STATUSES = {name: status for status, name in REFUND_STATUS_NAMES.items()}


class Settlement(Exact):
    """How the customer got the money instead."""

    reference: Annotated[Text, Field(min_length=1, max_length=200, description="Of the bank transfer, say.")]
    reason: Annotated[Text, Field(min_length=1, max_length=500)]


@router.get(
    "/payments",
    summary="Everybody's payments",
    responses=listed(AdminPaymentView, PAYMENT) | REFUSALS | responses("validation_failed"),
)
async def list_all_payments(
    account: Admin,
    office: OfficeOf,
    found_by: Searched,
    status: PaymentState | None = None,
    booking_id: Annotated[UuidText | None, Query()] = None,
    schedule_id: Annotated[UuidText | None, Query()] = None,
    archived: Archived = False,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """All payments, declined attempts included, newest first; pending ones best oldest first."""
    rows = await payments.list_payments(
        office.reading,
        customer_id=None,
        status=None if status is None else PAYMENT_STATUSES[status],
        booking_id=booking_id,
        schedule_id=schedule_id,
        found_by=found_by,
        archived=archived,
        **_place(cursor, oldest_first),
        limit=limit + 1,
    )
    items = [admin_payment_view(row) for row in rows[:limit]]
    last = rows[limit - 1].payment if len(rows) > limit else None
    return json_answer(Page(items, None if last is None else _cursor(last.id, last.requested_ms, oldest_first)))


@router.get(
    "/payments/{payment_id}",
    summary="Anybody's payment",
    responses=described(200, AdminPaymentView, PAYMENT, "The payment as it is now.")
    | REFUSALS
    | responses("payment_not_found"),
)
async def get_any_payment(payment_id: PaymentId, account: Admin, office: OfficeOf) -> Response:
    row = await payments.find_payment(office.reading, payment_id, None)
    if row is None:
        raise Problem("payment_not_found")
    return json_answer(admin_payment_view(row))


@router.get(
    "/refunds",
    summary="Everybody's refunds",
    responses=listed(AdminRefundView, REFUND) | REFUSALS | responses("validation_failed"),
)
async def list_all_refunds(
    account: Admin,
    office: OfficeOf,
    found_by: Searched,
    status: RefundState | None = None,
    booking_id: Annotated[UuidText | None, Query()] = None,
    schedule_id: Annotated[UuidText | None, Query()] = None,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """What was given back, and with `status=pending` what is owed, newest first."""
    rows = await refunds.list_refunds(
        office.reading,
        status=None if status is None else REFUND_STATUSES[status],
        booking_id=booking_id,
        schedule_id=schedule_id,
        found_by=found_by,
        **_place(cursor, oldest_first),
        limit=limit + 1,
    )
    items = [admin_refund_view(row) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return json_answer(Page(items, None if last is None else _cursor(last.id, last.requested_ms, oldest_first)))


class _Place(TypedDict):
    before_id: str | None
    oldest_first: bool
    after: tuple[datetime, str] | None


def _place(cursor: str | None, oldest_first: bool) -> _Place:
    """Where a page goes on, in either order."""
    return {
        "before_id": None if oldest_first else id_in(cursor),
        "oldest_first": oldest_first,
        "after": time_and_id_in(cursor) if oldest_first else None,
    }


def _cursor(id_: str, requested_ms: int, oldest_first: bool) -> str:
    return encode_cursor(moment(requested_ms).isoformat(), id_) if oldest_first else encode_cursor(id_)


@router.post(
    "/refunds/{refund_id}/settlement",
    status_code=201,
    summary="Record that a refund was paid out by hand",
    dependencies=[EXACT_QUERY],
    responses=described(201, AdminRefundView, REFUND | {"reference": "manual:T-2026-0815"}, "The refund, completed.")
    | REFUSALS
    | responses("refund_not_found", "already_refunded", "validation_failed", "overloaded"),
)
async def settle_refund(
    refund_id: RefundId,
    wish: Annotated[Settlement, Body(examples=[{"reference": "T-2026-0815", "reason": "the card was closed"}])],
    account: Admin,
    office: OfficeOf,
) -> Response:
    """For a refund that its provider refuses: the customer has the money by other means, and nobody asks the provider
    any more. With the same reference again it answers the same."""
    row = await refunds.find(office.reading, refund_id)
    if row is None:
        raise Problem("refund_not_found")
    return await finished(_settle(office, account, row, wish))


async def _settle(office: Office, account: Account, row: RefundRow, wish: Settlement) -> Response:
    """The command and its record."""
    reference = f"{refunds.BY_HAND}{wish.reference}"
    if row.status is not RefundStatus.COMPLETED:
        await complete(office.gateway, row, reference)
    now = await refunds.find(office.reading, row.id)
    assert now is not None, "refunds are never deleted"
    if now.reference != reference:
        raise Problem("already_refunded")
    async with office.database.begin() as connection:
        await chain.write(
            connection,
            entry_id=str(uuid5(UUID(row.id), "settlement")),  # one refund is completed once
            account_id=account.id,
            action="refund.settled",
            subject=f"booking:{row.booking_id}",
            before={"refund_id": row.id, "status": "pending"},
            after={"refund_id": row.id, "status": "completed", "reference": reference, "reason": wish.reason},
        )
    return json_answer(admin_refund_view(now), 201)
