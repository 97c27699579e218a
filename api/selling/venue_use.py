"""Who may play where: a venue is its organizer's, and others' only if it is shared."""

from __future__ import annotations

from api.http.problems import Problem, invalid
from api.office.tokens import Account
from persistence.catalogue.venues import VenueRow


def check_venue_is_theirs(venue: VenueRow | None, account: Account, organizer_id: str) -> None:
    """Raises `Problem` unless the performance's organizer, or an admin, may use the venue."""
    if venue is None:
        raise invalid("venue_id", "there is no such venue", "없는 공연장입니다")
    if not venue.shared and venue.organizer_id != organizer_id and account.role != "admin":
        raise Problem("venue_not_shared")
