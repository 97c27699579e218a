"""Who may play where: a venue is its organizer's, and others' only if it is shared or granted to them."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.problems import Problem, invalid
from api.office.tokens import Account
from persistence.catalogue import venue_grants
from persistence.catalogue.venues import VenueRow


async def check_venue_is_theirs(
    connection: AsyncConnection, venue: VenueRow | None, account: Account, organizer_id: str
) -> VenueRow:
    """The venue, if the performance's organizer, or an admin, may use it. Raises `Problem`."""
    if venue is None:
        raise invalid("venue_id", "there is no such venue", "없는 공연장입니다")
    theirs = venue.shared or venue.organizer_id == organizer_id or account.role == "admin"
    if not theirs and not await venue_grants.may_play(connection, venue.id, organizer_id):
        raise Problem("venue_not_shared")
    return venue
