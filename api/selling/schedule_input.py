"""What a schedule is opened and changed with: when, where, and on what terms its seats are sold and given back."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated

import msgspec
from pydantic import AfterValidator, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

from api.http.models import Amount, Currency, Input, RawText, Time, UuidText, not_null
from api.http.problems import invalid
from engine.refund_policy import DEFAULT_POLICY, step_of

Prices = Annotated[dict[Annotated[RawText, Field(max_length=200)], Amount | None], Field(min_length=1, max_length=100)]
MaxSeats = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
HoldSeconds = Annotated[int, Field(strict=True, ge=30, le=3600)]
MAX_REFUND_STEPS = 10
CHANGEABLE = (
    "starts_at",
    "prices",
    "sale_opens_at",
    "sale_closes_at",
    "max_seats_per_customer",
    "hold_seconds",
    "waiting_room",
    "refund_policy",
    "refund_when_moved",
    "transferable",
)


TAKE_STEPS = ("stripe",)  # providers that take whole steps of a currency only


class RefundStepInput(Input):
    """Until the end of the day so many days before (0: until the start) a seat given up costs so much of its price."""

    days_before: Annotated[int, Field(strict=True, ge=0, le=366)]
    fee_percent: Annotated[int, Field(strict=True, ge=0, le=100)]


def check_steps(prices: Mapping[str, int | None], currency: str, provider: str) -> None:
    """Raises a 422 `Problem` for prices that the provider, which takes payments, cannot charge a card."""
    step = step_of(currency) if provider in TAKE_STEPS else 1
    if uneven := [category for category, price in prices.items() if price is not None and price % step]:
        names = ", ".join(uneven)
        raise invalid(
            "prices",
            f"must be multiples of {step} minor units in {currency}, as cards are charged; not so: {names}",
            f"카드 결제가 되도록 {currency} 가격은 최소 단위 {step}의 배수여야 합니다: {names}",
        )


def _in_order(steps: list[RefundStepInput]) -> list[RefundStepInput]:
    for earlier, later in itertools.pairwise(steps):
        if later.days_before >= earlier.days_before:
            raise PydanticCustomError("policy_days", "days_before must fall from step to step")
        if later.fee_percent < earlier.fee_percent:
            raise PydanticCustomError("policy_fees", "fee_percent must not fall from step to step")
    return steps


RefundPolicy = Annotated[
    list[RefundStepInput],
    Field(
        max_length=MAX_REFUND_STEPS,
        description="From the earliest step to the latest, for bookings made from now on; empty: no refunds.",
    ),
    AfterValidator(_in_order),
]
TRANSFERABLE = "Customers may hand seats that are paid for on to others, until the start."
MOVED = "Giving seats up is free, until the start, for whoever books from now on and before that is moved."


WAITING_ROOM = "Customers hold seats with a pass of `POST /v1/schedules/{id}/queue` only; counts within seconds."
USUAL_POLICY = [RefundStepInput(**msgspec.structs.asdict(step)) for step in DEFAULT_POLICY]


class DatesInput(Input):
    """When and where, once or by a rule."""

    starts_at: Time
    venue_id: UuidText
    sale_opens_at: Annotated[Time | None, Field(description="At once unless set.")] = None
    sale_closes_at: Annotated[Time | None, Field(description="At the start unless set.")] = None
    recurrence: Annotated[
        RawText | None,
        Field(
            max_length=10_000,
            description="RFC 5545 RRULE with COUNT or UNTIL, at most 366 dates, by the clocks of the venue; lines with "
            "EXDATE and RDATE may follow. It must begin at `starts_at`. The sale opens for all at once; "
            "`sale_closes_at` keeps its distance from each start.",
            examples=["FREQ=DAILY;COUNT=5", "FREQ=WEEKLY;BYDAY=SA;BYHOUR=14,19;COUNT=8\nEXDATE:20280101"],
        ),
    ] = None


class NewSchedule(DatesInput):
    """When, where and on what terms. With `recurrence` one request makes a schedule for every date."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "starts_at": "2027-12-24T19:30:00+09:00",
                    "venue_id": "0197d0a0-0000-7000-8000-000000000000",
                    "currency": "KRW",
                    "prices": {"R": 150000, "S": 90000},
                    "max_seats_per_customer": 4,
                }
            ]
        }
    )

    currency: Currency
    prices: Annotated[
        Prices,
        Field(
            description="Every category of the venue's plan, in minor units; null: not for sale. Where Stripe takes "
            "payments, of three decimals the last is 0."
        ),
    ]
    max_seats_per_customer: Annotated[MaxSeats | None, Field(description="No limit unless set.")] = None
    hold_seconds: Annotated[HoldSeconds, Field(description="How long an unpaid booking keeps its seats.")] = 600
    waiting_room: Annotated[StrictBool, Field(description=WAITING_ROOM)] = False
    refund_policy: RefundPolicy = USUAL_POLICY
    refund_when_moved: Annotated[StrictBool, Field(description=MOVED)] = True
    transferable: Annotated[StrictBool, Field(description=TRANSFERABLE)] = True


class ScheduleChange(Input):
    """What is to be different; what is left out stays as it is. Bookings keep the price they were made at."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prices": {"R": 160000, "S": 95000}}]})

    starts_at: Annotated[Time | None, not_null] = None
    prices: Annotated[Prices | None, not_null] = None
    sale_opens_at: Time | None = None
    sale_closes_at: Time | None = None
    max_seats_per_customer: MaxSeats | None = None
    hold_seconds: Annotated[HoldSeconds | None, not_null] = None
    waiting_room: Annotated[StrictBool | None, not_null, Field(description=WAITING_ROOM)] = None
    refund_policy: Annotated[RefundPolicy | None, not_null] = None
    refund_when_moved: Annotated[StrictBool | None, not_null, Field(description=MOVED)] = None
    transferable: Annotated[StrictBool | None, not_null, Field(description=TRANSFERABLE)] = None
    venue_id: UuidText | None = None
    currency: Currency | None = None
    recurrence: Annotated[
        RawText | None, Field(max_length=10_000, description="Of new schedules only: here it is refused.")
    ] = None
