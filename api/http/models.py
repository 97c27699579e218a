"""What every request and answer is made of: bases, and the field types that keep out what cannot be stored.

A value that passed one of these types fits its column: no NUL character, no lone surrogate, no integer beyond bigint,
no time without an offset. Equal texts are equal: everything is kept in one spelling (NFC).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, Literal, LiteralString, TypeVar
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email
from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
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
from api.http.problems import Problem, invalid

UUID_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
# A thousand billion minor units: beyond every price, and 738 seats of it still fit a bigint and a JSON number.
MAX_AMOUNT_MINOR = 1_000_000_000_000
TimeT = TypeVar("TimeT", date, datetime)
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


class Exact(Input):
    """A request body of what is not taken back. A member that is not known may be meant to limit it, so it is refused:
    whoever asks for `seat` instead of `seats`, or for an `amount`, does not mean everything."""

    model_config = ConfigDict(extra="forbid")


class Output(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- text -------------------------------------------------------------------------------------------------------------
# What turns the direction of everything after it: a title could read as another one's.
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LINE_ENDS = frozenset("\t\n\r")
UNSEEN = ("Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Zs", "Mn", "Me")  # categories of what shows nothing by itself
BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters, to Unicode, that show nothing either
Fault = tuple[LiteralString, LiteralString]  # of a text: its kind, and what is said of it
NOTHING_TO_SEE: Fault = ("nothing_to_see", "must contain something that can be seen")


def stored(text: str) -> str:
    """The text as it is kept and compared: PostgreSQL takes no NUL, and equal texts have one spelling.

    Some keyboards and file systems send Hangul, and letters with accents, decomposed.
    """
    if "\0" in text:
        raise PydanticCustomError("nul_character", "must not contain NUL characters")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _written(text: str) -> str:
    """Several lines for people to read, in which something is to be seen, if there is anything in them."""
    for character in text:
        if character in DIRECTIONS or (character not in LINE_ENDS and unicodedata.category(character) == "Cc"):
            raise PydanticCustomError("control_character", "must not contain control characters")
    if _is_unseen(text):
        raise PydanticCustomError(*NOTHING_TO_SEE)
    return text


def _is_unseen(text: str) -> bool:
    return bool(text) and all(each in BLANKS or unicodedata.category(each) in UNSEEN for each in text)


def fault_of_line(text: str) -> Fault | None:
    """Why the text is no line for people to read, if it isn't: one line in which something is to be seen, if there is
    anything in it."""
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        if character in DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            return "control_character", "must not contain control characters or line ends"
    return NOTHING_TO_SEE if _is_unseen(text) else None


def _one_line(text: str) -> str:
    if (fault := fault_of_line(text)) is not None:
        raise PydanticCustomError(*fault)
    return text


RawText = Annotated[str, AfterValidator(stored)]  # otherwise as it came: ids, search words
_Trimmed = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(stored)]
Text = Annotated[_Trimmed, AfterValidator(_written)]
Line = Annotated[_Trimmed, AfterValidator(_one_line)]
Title = Annotated[Line, Field(min_length=1, max_length=200)]
Description = Annotated[Text, Field(max_length=10_000)]
Word = Annotated[Line, Field(min_length=1, max_length=100)]


def _email(text: str) -> str:
    """The address in its usual form. Whether it takes mail is not asked: that would need the network."""
    try:
        # `test_environment` lets reserved names such as example.com through, which the documentation uses; `strict`
        # keeps out what no mail server takes (RFC 5321 section 4.5.3.1.1).
        return validate_email(text, strict=True, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise PydanticCustomError("malformed_email", "is not a valid e-mail address") from error


def normal_email(text: str) -> str:
    """The address in its usual form if it is one, or else as it came: for looking up, not for storing."""
    try:
        return _email(text.strip())
    except PydanticCustomError:
        return text.strip()


Email = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(stored), AfterValidator(_email)
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
AccountId = Annotated[str, AfterValidator(found_by("account_not_found")), UUID_SCHEMA]
SessionId = Annotated[str, AfterValidator(found_by("session_not_found")), UUID_SCHEMA]


# --- states -----------------------------------------------------------------------------------------------------------
BookingState = Literal["held", "confirmed", "partially_refunded", "refunded", "cancelled", "expired", "transferred"]
PaymentState = Literal["pending", "approved", "declined", "partially_refunded", "refunded"]
RefundState = Literal["pending", "completed"]


# --- time -------------------------------------------------------------------------------------------------------------
def rfc3339(time: datetime) -> str:
    """As every answer writes times: UTC, milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


# RFC 3339 section 5.6. Pydantic would take a number for seconds since 1970, and Python every form of ISO 8601.
RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
FULL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _read(form: Callable[[str], TimeT], text: str) -> TimeT:
    """What is written as RFC 3339 has it, if calendar and clock have such a time."""
    try:
        return form(text)
    except ValueError:
        raise PydanticCustomError("no_such_time", "is no day or time that there is") from None


def _rfc3339(value: Any) -> Any:
    if isinstance(value, datetime):
        return value  # a default
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "must be a date and time (RFC 3339)")
    if RFC3339.fullmatch(value) is None:
        raise PydanticCustomError(
            "malformed_time", "must be a date and time with its offset (RFC 3339), such as 2027-12-24T19:30:00+09:00"
        )
    return _read(datetime.fromisoformat, value.upper())


def in_range(time: datetime) -> datetime:
    """Keeps far-off times out, which overflow on their way through other time zones, and cuts to milliseconds."""
    if not FIRST_YEAR <= time.year < LAST_YEAR:
        raise PydanticCustomError("time_out_of_range", "must be between the years 2000 and 2100")
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


Time = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(in_range)]


def _day_or_time(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if FULL_DATE.fullmatch(text) is not None:
        day = _read(date.fromisoformat, text)
        in_range(datetime.combine(day, datetime.min.time(), UTC))
        return day
    time = text.replace(" ", "+")  # a plus sign that was not percent-encoded arrives as a space
    if RFC3339.fullmatch(time) is not None:
        return in_range(_read(datetime.fromisoformat, time.upper()))
    raise PydanticCustomError("malformed_time", "must be a full date, or a time with its offset (RFC 3339)")


DayOrTime = Annotated[date | datetime, BeforeValidator(_day_or_time), WithJsonSchema({"type": "string"})]


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # it reads directories


def _time_zone(name: str) -> str:
    if name not in _zones():
        raise PydanticCustomError("unknown_time_zone", "must be an IANA time zone, such as Asia/Seoul")
    return name


TimeZone = Annotated[
    Line, Field(max_length=100, description="An IANA time zone, such as Asia/Seoul."), AfterValidator(_time_zone)
]
Timestamp = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


# --- money ------------------------------------------------------------------------------------------------------------
def _currency(text: str) -> str:
    if text not in CURRENCIES:
        raise PydanticCustomError("unknown_currency", "must be an ISO 4217 currency code, such as KRW")
    return text


Amount = Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT_MINOR)]
Currency = Annotated[str, AfterValidator(_currency)]


# --- parameters -------------------------------------------------------------------------------------------------------
def parameters(dependant: Dependant) -> Iterator[str]:
    """The names of all query parameters that a route and its dependencies take."""
    yield from (each.alias for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from parameters(each)


def _refuse_others(request: Request) -> None:
    route = request.scope["route"]
    assert isinstance(route, APIRoute), "it stands in the dependencies of a route"
    known = set(parameters(route.dependant))
    for name in request.query_params:
        if name not in known:
            raise invalid(name, "is not a parameter of this operation", "이 요청에 없는 매개변수입니다")


# Put into `dependencies=[…]` of a route whose body is `Exact`: a parameter more may be meant to hold it back, too.
# Whoever sends `?dry_run=true` where that is called `preview` does not want a performance cancelled.
EXACT_QUERY = Depends(_refuse_others)
