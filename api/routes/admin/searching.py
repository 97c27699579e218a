"""What admins look for bookings, payments and refunds by, as every such list takes it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from api.http.models import RawText, Time
from api.routes.bookings.bookings import Number
from persistence.bookings.searching import Search

Amount = Annotated[int | None, Query(ge=0, le=2**53, description="Exactly so much, in minor units.")]


def _searched(
    email: Annotated[RawText | None, Query(max_length=254, description="The customer's e-mail, in any case.")] = None,
    number: Number = None,
    since: Annotated[Time | None, Query(alias="from", description="Not before this moment.")] = None,
    before: Annotated[Time | None, Query(alias="until", description="Before this moment.")] = None,
    amount: Amount = None,
) -> Search:
    return Search(email=email, number=number, since=since, before=before, amount=amount)


Searched = Annotated[Search, Depends(_searched)]
OldestFirst = Annotated[bool, Query(description="Those asked for longest ago come first.")]
