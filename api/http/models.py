"""What every request and answer is made of: bases, and the field types that keep out what cannot be stored.

A value that passed one of these types fits its column: no NUL character, no lone surrogate, no integer beyond bigint,
no time without an offset.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from api.http.currencies import CURRENCIES
from api.http.problems import Problem

UUID_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
# A thousand billion minor units: beyond every price, and 738 seats of it still fit a bigint and a JSON number.
MAX_AMOUNT_MINOR = 1_000_000_000_000
FIRST_YEAR, LAST_YEAR = 2000, 2100


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("not_null", "must not be null; leave it out to keep it as it is")
    return value


# For members of a PATCH that can be left out but not emptied: null is no way to say "as it is".
not_null = BeforeValidator(_refuse_null)


class Input(BaseModel):
    """A request body. Unknown members are ignored, so that older servers take newer clients."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Output(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- text -------------------------------------------------------------------------------------------------------------
def no_nul(text: str) -> str:
    """PostgreSQL stores every character but this one."""
    if "\0" in text:
        raise PydanticCustomError("nul_character", "must not contain NUL characters")
    return text


def _composed(text: str) -> str:
    """One spelling of equal texts: some keyboards and file systems send Hangul decomposed."""
    return unicodedata.normalize("NFC", text)


RawText = Annotated[str, AfterValidator(no_nul)]  # kept as it came: ids, search words
Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(no_nul), AfterValidator(_composed)]
Title = Annotated[Text, Field(min_length=1, max_length=200)]
Description = Annotated[Text, Field(max_length=10_000)]
Word = Annotated[Text, Field(min_length=1, max_length=100)]


def _email(text: str) -> str:
    """The address in its usual form. Whether it takes mail is not asked: that would need the network."""
    try:
        # `test_environment` lets reserved names such as example.com through, which the documentation uses.
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise PydanticCustomError("malformed_email", "is not a valid e-mail address") from error


def normal_email(text: str) -> str:
    """The address in its usual form if it is one, or else as it came: for looking up, not for storing."""
    try:
        return _email(text.strip())
    except PydanticCustomError:
        return text.strip()


Email = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(no_nul), AfterValidator(_email)
]
Password = Annotated[str, Field(min_length=8, max_length=128, json_schema_extra={"format": "password"})]


# --- ids --------------------------------------------------------------------------------------------------------------
def uuid_or_none(text: str) -> str | None:
    """The UUID in its usual form, if it is one."""
    lower = text.lower()
    return None if UUID_FORM.fullmatch(lower) is None else lower


def _uuid(text: str) -> str:
    uuid = uuid_or_none(text)
    if uuid is None:
        raise PydanticCustomError("malformed_uuid", "must be a UUID")
    return uuid


UuidText = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]


def found_by(code: str) -> Callable[[str], str]:
    """A path parameter's check: what cannot be an id names nothing, so it is answered with the noun's own 404."""

    def check(text: str) -> str:
        uuid = uuid_or_none(text)
        if uuid is None:
            raise Problem(code)
        return uuid

    return check


UUID_SCHEMA = WithJsonSchema({"type": "string", "format": "uuid"})
VenueId = Annotated[str, AfterValidator(found_by("venue_not_found")), UUID_SCHEMA]
PerformanceId = Annotated[str, AfterValidator(found_by("performance_not_found")), UUID_SCHEMA]
ScheduleId = Annotated[str, AfterValidator(found_by("schedule_not_found")), UUID_SCHEMA]
BookingId = Annotated[str, AfterValidator(found_by("booking_not_found")), UUID_SCHEMA]
PaymentId = Annotated[str, AfterValidator(found_by("payment_not_found")), UUID_SCHEMA]
RefundId = Annotated[str, AfterValidator(found_by("refund_not_found")), UUID_SCHEMA]
SessionId = Annotated[str, AfterValidator(found_by("session_not_found")), UUID_SCHEMA]


# --- states -----------------------------------------------------------------------------------------------------------
BookingState = Literal["held", "confirmed", "partially_refunded", "refunded", "cancelled", "expired"]
PaymentState = Literal["pending", "approved", "declined", "partially_refunded", "refunded"]
RefundState = Literal["pending", "completed"]


# --- time -------------------------------------------------------------------------------------------------------------
def rfc3339(time: datetime) -> str:
    """As every answer writes times: UTC, milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _textual(value: Any) -> Any:
    """Pydantic would take a number for seconds since 1970; the contract says RFC 3339."""
    if not isinstance(value, (str, datetime)):
        raise PydanticCustomError("datetime_type", "must be a date and time (RFC 3339)")
    return value


def in_range(time: datetime) -> datetime:
    """Keeps far-off times out, which overflow on their way through other time zones, and cuts to milliseconds."""
    if not FIRST_YEAR <= time.year < LAST_YEAR:
        raise PydanticCustomError("time_out_of_range", "must be between the years 2000 and 2100")
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


Time = Annotated[AwareDatetime, BeforeValidator(_textual), AfterValidator(in_range)]
Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


# --- money ------------------------------------------------------------------------------------------------------------
def _currency(text: str) -> str:
    if text not in CURRENCIES:
        raise PydanticCustomError("unknown_currency", "must be an ISO 4217 currency code, such as KRW")
    return text


Amount = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT_MINOR)]
Currency = Annotated[str, AfterValidator(_currency)]
