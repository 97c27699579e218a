"""Grants: a venue's organizer lets single others play there, and takes that back.

Whoever gives one learns nothing about accounts: the answer is the same whether or not there is such an organizer.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Self

from fastapi import APIRouter, Request
from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from api.http.models import UUID_SCHEMA, Email, Input, Output, Timestamp, UuidText, VenueId, found_by
from api.http.paging import Cursor, Limit, encode_cursor, id_in
from api.http.problems import Problem, responses
from api.office.dependencies import OfficeOf, Organizer
from api.office.idempotency import TAKES_KEY, once
from api.office.office import Office
from api.office.tokens import Account
from api.selling.audit_trail import record_in
from persistence.catalogue import venue_grants, venues
from persistence.catalogue.venue_grants import Grant
from persistence.catalogue.venues import VenueRow

router = APIRouter(prefix="/v1/venues/{venue_id}/grants", tags=["venues"])

GRANTS_PER_VENUE = 100
GrantId = Annotated[str, AfterValidator(found_by("venue_grant_not_found")), UUID_SCHEMA]
FORBIDDEN = ("unauthenticated", "forbidden", "venue_not_found", "rate_limited")
REFUSALS = responses(*FORBIDDEN)
TO: JsonDict = {"email": "jiwoo@hall.example"}
EXAMPLE: JsonDict = {
    "id": "01980000-0000-7000-8000-0000000000e1",
    "venue_id": "01980000-0000-7000-8000-00000000000b",
    "email": "jiwoo@hall.example",
    "organizer_id": None,
    "created_at": "2026-11-22T08:00:00.000+00:00",
}


class NewGrant(Input):
    """Who may play: the organizer with this id, or the one who has confirmed this e-mail."""

    model_config = ConfigDict(json_schema_extra={"examples": [TO, {"organizer_id": EXAMPLE["id"]}]})

    email: Email | None = None
    organizer_id: UuidText | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if (self.email is None) == (self.organizer_id is None):
            raise PydanticCustomError("one_of_two", "needs either email or organizer_id")
        return self


class GrantView(Output):
    """Somebody who may play in a venue, as they were named."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: str
    venue_id: str
    email: Annotated[str | None, Field(description="Counts for the organizer who has confirmed it.")]
    organizer_id: str | None
    created_at: Timestamp


class GrantPage(Output):
    """One page of a venue's grants, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [EXAMPLE], "next_cursor": None}]})

    items: list[GrantView]
    next_cursor: str | None


@router.post(
    "",
    status_code=201,
    summary="Let an organizer play in a venue of yours",
    response_model=GrantView,
    dependencies=[TAKES_KEY],
    responses=responses(
        *FORBIDDEN,
        "venue_grant_limit_reached",
        "idempotency_in_progress",
        "idempotency_key_reused",
        "validation_failed",
    ),
)
async def give_grant(
    venue_id: VenueId, to: NewGrant, request: Request, account: Organizer, office: OfficeOf
) -> Response:
    """Whoever is named twice has one grant."""

    async def give(connection: AsyncConnection) -> GrantView:
        _check_own(await venues.lock_venue(connection, venue_id), account)  # grants are counted one after another
        there = await venue_grants.of_venue(connection, venue_id)
        row = await venue_grants.give(
            connection,
            grant_id=office.clock.new_id(),
            venue_id=venue_id,
            email=to.email,
            organizer_id=to.organizer_id,
        )
        if row.id not in {grant.id for grant in there}:
            if len(there) >= GRANTS_PER_VENUE:
                raise Problem("venue_grant_limit_reached", limit=GRANTS_PER_VENUE)
            await _audit(connection, office, account, "venue.granted", row.venue_id, row.id)
        return _view(row)

    begin = partial(office.writing.begin, account.id)
    return await once(office, request, account.id, give, request.url.path + "/{id}", begin=begin)


@router.get("", summary="Who may play in a venue of yours", responses=REFUSALS)
async def list_grants(
    venue_id: VenueId, account: Organizer, office: OfficeOf, limit: Limit = 50, cursor: Cursor = None
) -> GrantPage:
    before_id = id_in(cursor)
    async with office.reading.connect() as connection:
        _check_own(await venues.venue(connection, venue_id), account)
        rows = await venue_grants.of_venue(connection, venue_id, before_id=before_id, limit=limit + 1)
    items = [_view(row) for row in rows[:limit]]
    return GrantPage(items=items, next_cursor=encode_cursor(items[-1].id) if len(rows) > limit else None)


@router.delete(
    "/{grant_id}",
    status_code=204,
    summary="Take a grant back",
    responses=REFUSALS | responses("venue_grant_not_found"),
)
async def take_grant_back(venue_id: VenueId, grant_id: GrantId, account: Organizer, office: OfficeOf) -> Response:
    """What they have scheduled already stays, at the times it has."""
    async with office.writing.begin(account.id) as connection:
        _check_own(await venues.venue(connection, venue_id), account)
        if not await venue_grants.take_back(connection, venue_id, grant_id):
            raise Problem("venue_grant_not_found")
        await _audit(connection, office, account, "venue.grant_taken_back", venue_id, grant_id)
    return Response(status_code=204)


def _check_own(venue: VenueRow | None, account: Account) -> None:
    if venue is None or (venue.organizer_id != account.id and account.role != "admin"):
        raise Problem("venue_not_found")


async def _audit(
    connection: AsyncConnection, office: Office, account: Account, action: str, venue_id: str, grant_id: str
) -> None:
    """By the grant's id: whom it is for may have to be forgotten one day."""
    await record_in(connection, office, account.id, action, f"venue:{venue_id}", after={"grant_id": grant_id})


def _view(row: Grant) -> GrantView:
    return GrantView(
        id=row.id, venue_id=row.venue_id, email=row.email, organizer_id=row.organizer_id, created_at=row.created_at
    )
