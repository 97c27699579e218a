"""Door staff: an organizer lets people work one schedule's door by a link that expires; nothing else opens to them.

With an organizer who is locked, deleted or one no more their links end, as their own tokens do.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timedelta
from typing import Annotated, Any, cast

import msgspec
from fastapi import APIRouter, Body, Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.responses import Response
from fastapi.security.base import SecurityBase
from pydantic import AfterValidator, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from actors.process.keys import derived
from api.http.addresses import address_of
from api.http.models import UUID_SCHEMA, Input, Line, ScheduleId, Time, found_by, rfc3339
from api.http.paging import Cursor, Limit, encode_cursor, id_in, json_answer
from api.http.problems import Problem, invalid, responses
from api.office.dependencies import SCHEME, OfficeOf, Organizer, authenticated, count_command
from api.office.idempotency import TAKES_KEY, once
from api.office.office import Office
from api.office.tokens import ORGANIZING, Account
from api.routes.catalogue.schedules import own_schedule
from api.selling.audit_trail import record, record_in
from api.views.booking import Page, described, listed
from persistence.check_ins import staff
from persistence.check_ins.staff import DoorStaff

router = APIRouter(prefix="/v1", tags=["door"])

TOKEN_PREFIX = "door_"  # noqa: S105  # tells it from an access token
AFTER_END = timedelta(hours=6)  # a link that names no end lasts so long after the performance's
LONGEST = timedelta(days=400)
StaffId = Annotated[str, AfterValidator(found_by("door_staff_not_found")), UUID_SCHEMA]


class Named(Input):
    """Somebody to work the door."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Gate north, Jiwoo"}]})

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    expires_at: Annotated[Time | None, Field(description="Six hours after the performance unless set.")] = None


class DoorStaffView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may work the door."""

    id: str
    schedule_id: str
    name: str
    created_at: str
    expires_at: str


class DoorLink(msgspec.Struct, frozen=True, kw_only=True):
    """The link for somebody who may work the door. It is shown to who makes it: only a hash of it is kept."""

    id: str
    schedule_id: str
    name: str
    created_at: str
    expires_at: str
    token: str
    link: str  # to the door's page; the token stands behind the #, where no server logs it


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A door that somebody may work."""

    schedule_id: str
    staff: str  # account:<id> | door:<id>
    account_id: str | None = None  # None: by a link
    link_expires_at: datetime | None = None


class _Keeper(SecurityBase):
    """A dependency: who asks at a door, an account or somebody with a link."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An organizer's `access_token`, or the `token` of a door's link.")
        self.scheme_name = SCHEME

    async def __call__(self, request: Request) -> Account | DoorStaff:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip().startswith(TOKEN_PREFIX):
            return await authenticated(request)
        office = cast(Office, request.app.state.office)
        async with office.reading.connect() as connection:
            found = await staff.by_token(connection, token.strip(), office.now())
        if found is None:
            office.limits.strangers_command(address_of(request))  # it was looked for in the database
            raise Problem("unauthenticated")
        count_command(request, found.id, "door")
        return found


DoorKeeper = Annotated[Account | DoorStaff, Depends(_Keeper())]

STAFF_EXAMPLE = {
    "id": "01980000-0000-7000-8000-0000000000d1",
    "schedule_id": "01980000-0000-7000-8000-00000000000a",
    "name": "Gate north, Jiwoo",
    "created_at": "2026-11-22T08:00:00.000+00:00",
    "expires_at": "2026-11-22T20:00:00.000+00:00",
}
LINK_EXAMPLE = STAFF_EXAMPLE | {
    "token": "door_9w3…",
    "link": "/door/01980000-0000-7000-8000-00000000000a#door_9w3…",
}
FORBIDDEN = ("unauthenticated", "forbidden", "schedule_not_found")
REFUSALS = responses(*FORBIDDEN)


async def door_of(connection: AsyncConnection, schedule_id: str, keeper: Account | DoorStaff) -> Door:
    """The schedule's door, if the keeper may work it. Raises `Problem("schedule_not_found")`."""
    if isinstance(keeper, DoorStaff):
        if keeper.schedule_id != schedule_id:
            raise Problem("schedule_not_found")
        return Door(schedule_id=schedule_id, staff=f"door:{keeper.id}", link_expires_at=keeper.expires_at)
    if keeper.role not in ORGANIZING:
        raise Problem("schedule_not_found")
    await own_schedule(connection, schedule_id, keeper)
    return Door(schedule_id=schedule_id, staff=f"account:{keeper.id}", account_id=keeper.id)


@router.post(
    "/schedules/{schedule_id}/door-staff",
    status_code=201,
    summary="Let somebody work the door",
    dependencies=[TAKES_KEY],
    responses=described(201, DoorLink, LINK_EXAMPLE, "The link, shown to nobody else.")
    | responses(*FORBIDDEN, "idempotency_in_progress", "idempotency_key_reused", "validation_failed"),
)
async def add_door_staff(
    schedule_id: ScheduleId,
    named: Annotated[Named, Body()],
    request: Request,
    account: Organizer,
    office: OfficeOf,
) -> Response:
    """Makes a link to the door of this schedule and nothing else. It expires by itself and can be taken back."""

    async def create(connection: AsyncConnection) -> DoorStaffView:
        now, staff_id = office.now(), office.clock.new_id()
        schedule = await own_schedule(connection, schedule_id, account)
        ends_at = schedule.starts_at + timedelta(minutes=schedule.duration_minutes)
        usual = max(ends_at, now) + AFTER_END
        expires_at = named.expires_at or usual
        if not now < expires_at <= max(usual, now + LONGEST):  # however early the door is seen to
            raise invalid("expires_at", "must be in the future, within 400 days", "미래의 400일 이내여야 합니다")
        made = await staff.add(
            connection,
            staff_id=staff_id,
            schedule_id=schedule_id,
            name=named.name,
            token=_token(office, staff_id),
            expires_at=expires_at,
        )
        subject = f"schedule:{schedule_id}"
        await record_in(connection, office, account.id, "door_staff.added", subject, after={"id": made.id})
        return DoorStaffView(**_fields(made))

    def shown(kept: bytes) -> bytes:
        view = msgspec.json.decode(kept, type=DoorStaffView)
        token = _token(office, view.id)
        return msgspec.json.encode(
            DoorLink(**msgspec.structs.asdict(view), token=token, link=f"/door/{schedule_id}#{token}")
        )

    return await once(office, request, account.id, create, request.url.path + "/{id}", shown=shown)


def _token(office: Office, staff_id: str) -> str:
    """Reckoned, so that who asks again gets the same. It is not made anew by a new secret while the former counts."""
    key = derived(office.settings.secrets[-1], "door links")
    mac = hmac.digest(key, staff_id.encode(), "sha256")
    return TOKEN_PREFIX + base64.urlsafe_b64encode(mac).decode().rstrip("=")


@router.get(
    "/schedules/{schedule_id}/door-staff",
    summary="Who may work the door",
    responses=listed(DoorStaffView, STAFF_EXAMPLE) | REFUSALS | responses("validation_failed"),
)
async def list_door_staff(
    schedule_id: ScheduleId, account: Organizer, office: OfficeOf, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Those whose links have not been taken back, expired ones among them."""
    before_id = id_in(cursor)
    async with office.reading.connect() as connection:
        await own_schedule(connection, schedule_id, account)
        rows = await staff.list_staff(connection, schedule_id, before_id=before_id, limit=limit + 1)
    items = [DoorStaffView(**_fields(row)) for row in rows[:limit]]
    return json_answer(Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None))


@router.delete(
    "/schedules/{schedule_id}/door-staff",
    status_code=204,
    summary="Take every link of this door back",
    responses=REFUSALS,
)
async def end_all_door_staff(
    schedule_id: ScheduleId, request: Request, account: Organizer, office: OfficeOf
) -> Response:
    """From the next request on none of them opens anything."""
    await _end(office, request, account, schedule_id, None)
    return Response(status_code=204)


@router.delete(
    "/schedules/{schedule_id}/door-staff/{staff_id}",
    status_code=204,
    summary="Take a link back",
    responses=REFUSALS | responses("door_staff_not_found"),
)
async def end_door_staff(
    schedule_id: ScheduleId,
    staff_id: StaffId,
    request: Request,
    account: Organizer,
    office: OfficeOf,
) -> Response:
    """From the next request on it opens nothing."""
    if not await _end(office, request, account, schedule_id, staff_id):
        raise Problem("door_staff_not_found")
    return Response(status_code=204)


async def _end(office: Office, request: Request, account: Account, schedule_id: str, staff_id: str | None) -> int:
    async with office.database.begin() as connection:
        await own_schedule(connection, schedule_id, account)
        ended = await staff.end(connection, schedule_id, staff_id, office.now())
    if ended:
        subject = f"schedule:{schedule_id}"
        await record(office, request, account, "door_staff.ended", subject, after={"id": staff_id, "links": ended})
    return ended


def _fields(row: DoorStaff) -> dict[str, Any]:
    return {
        "id": row.id,
        "schedule_id": row.schedule_id,
        "name": row.name,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }
