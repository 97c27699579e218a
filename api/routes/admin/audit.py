"""What admins see of the audit log: who changed what, from what to what, and when."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.http.models import RawText, UuidText
from api.http.paging import Cursor, Limit, decode_cursor, encode_cursor, json_answer, malformed_cursor
from api.http.problems import responses
from api.office.dependencies import Admin, OfficeOf
from api.views.booking import Page, listed
from persistence.audit import chain

router = APIRouter(prefix="/v1/admin", tags=["admin"])

MAX_SEQ = 2**63 - 1


class AuditEntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One change that an organizer or admin made, as it stands in the chain. `before` and `after` are what changed."""

    seq: int
    id: str
    at: str
    account_id: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


ENTRY_EXAMPLE = {
    "seq": 1207,
    "id": "0199f3a6-77b0-7c21-9a44-0b9a3d5f6e12",
    "at": "2026-11-22T14:06:02.518340+00:00",
    "account_id": "0199f39b-a001-7d52-8f3e-6d1f0e9c7b44",
    "action": "schedule.changed",
    "subject": "schedule:0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "before": {"hold_seconds": 600},
    "after": {"hold_seconds": 300},
    "hash": "5f0a3c8d4be2a1976c0d7f85e3b24190aa6de1c7f2538b094d16e7c0b9fa8321",
}


@router.get(
    "/audit",
    summary="Who changed what",
    responses=listed(AuditEntryView, ENTRY_EXAMPLE) | responses("unauthenticated", "forbidden", "validation_failed"),
)
async def list_audit_entries(
    account: Admin,
    office: OfficeOf,
    account_id: Annotated[UuidText | None, Query(description="Only what this account did.")] = None,
    subject: Annotated[
        RawText | None,
        Query(max_length=200, description="Only what concerns this, as `noun:id`.", examples=["schedule:0199f39c-…"]),
    ] = None,
    action: Annotated[
        RawText | None, Query(max_length=200, description="Only this action.", examples=["schedule.changed"])
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Changes by organizers and admins. `boxoffice audit verify` tells whether the log is as it was written."""
    rows = await chain.entries(
        office.database,
        account_id=account_id,
        subject=subject,
        action=action,
        before_seq=_before(cursor),
        limit=limit + 1,
    )
    following = encode_cursor(str(rows[limit - 1].seq)) if len(rows) > limit else None
    return json_answer(Page(rows[:limit], following))


def _before(cursor: str | None) -> int | None:
    after = decode_cursor(cursor, 1)
    if after is None:
        return None
    text = after[0]
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_SEQ)) and int(text) <= MAX_SEQ):
        raise malformed_cursor()
    return int(text)
