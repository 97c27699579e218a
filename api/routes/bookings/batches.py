"""Many holds at once, for whoever sells for others: one request, and for each of its wishes the answer it would have
had alone.

The wishes of a request travel to the schedule's owner together, and their seats are committed together; what is wrong
with one of them is none of the others' business. Each may carry an `id`, its own `Idempotency-Key`: whatever a wish is
sent with the next time, alone in its request or with others, it is done once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from msgspec import Meta, Struct
from pydantic import Field, ValidationError

from api.http.models import UUID_SCHEMA, Input, found_by
from api.http.paging import json_answer
from api.http.problems import Problem, document, invalid, language_of, of_validation, responses
from api.http.schemas import input_component
from api.http.storable import check_json
from api.office.dependencies import Customer, OfficeOf
from api.office.idempotency import request_of_part
from api.office.office import Office
from api.office.tokens import Account
from api.routes.bookings.bookings import BookingWish, hold
from api.routes.bookings.waiting_room import TAKES_PASS, pass_in
from api.views.booking import HELD_EXAMPLE, BookingView, described, server_time
from api.views.failures import problem_of_error

router = APIRouter(tags=["bookings"])

PATH = "/v1/schedules/{schedule_id}/bookings:batch"
LIMIT = 100  # wishes: as many as a customer may have in ten seconds
LINES = "application/x-ndjson"
KINDS_OF_LINES = (LINES, "application/ndjson", "application/jsonl", "application/x-jsonlines")


its_id = found_by("schedule_not_found")
AnyId = Annotated[str, UUID_SCHEMA]  # what cannot be one is each wish's answer, like one that names nothing


class BatchWish(BookingWish):
    """A wish as `POST /v1/schedules/{id}/bookings` takes it, with a name of its own."""

    id: Annotated[
        str | None,
        Field(
            pattern=r"^[\x21-\x7e]{1,255}$",
            description="Its `Idempotency-Key`: the same id with the same wish gives the first answer again.",
        ),
    ] = None


class Batch(Input):
    """Wishes for seats of one schedule, each answered by itself."""

    wishes: Annotated[list[BatchWish], Field(min_length=1, max_length=LIMIT)]


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """What came of one wish: the booking, or the problem document that it would have been answered with alone."""

    id: str | None
    status: int
    booking: BookingView | None = None
    problem: Annotated[dict[str, Any] | None, Meta(description="RFC 9457")] = None


class BatchAnswers(Struct, frozen=True):
    """One for each wish, in their order."""

    answers: list[BatchAnswer]


EXAMPLE = {
    "answers": [
        {"id": "order-17", "status": 201, "booking": HELD_EXAMPLE, "problem": None},
        {
            "id": "order-18",
            "status": 409,
            "booking": None,
            "problem": {
                "type": "/problems/seats_unavailable",
                "title": "Seats unavailable",
                "status": 409,
                "code": "seats_unavailable",
                "seats": ["1F-A-14"],
            },
        },
    ]
}
WISHES = {"wishes": [{"id": "order-17", "seats": ["1F-A-12", "1F-A-13"]}, {"id": "order-18", "quantity": 2}]}


@router.post(
    PATH,
    status_code=200,
    summary="Hold seats for many at once",
    dependencies=[TAKES_PASS],
    responses=described(200, BatchAnswers, EXAMPLE, "One answer for each wish, in their order.")
    | responses("overloaded"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": input_component(Batch), "example": WISHES}},
        }
    },
)
async def book_batch(schedule_id: AnyId, request: Request, account: Customer, office: OfficeOf) -> Response:
    """Up to 100 wishes, each answered as if it had come alone: held, or refused for a reason of its own.

    Sent as newline-delimited JSON (`application/x-ndjson`), a wish a line, they are answered so, a line a wish. Each
    counts like a request of its own against the limits of an account: a customer's are used up by one batch, those of
    a box office (a role that an administrator gives) by thirty. Send again what has no answer, or a 503. Of a schedule
    that is not there each wish is told so.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    by_lines = kind in KINDS_OF_LINES
    if not by_lines and kind != "application/json":
        raise Problem("unsupported_media_type")
    wishes = _parts(await request.body(), by_lines=by_lines)
    if not 0 < len(wishes) <= LIMIT:
        raise invalid("wishes", f"must be 1 to {LIMIT} wishes", f"1~{LIMIT}개를 보내세요")
    # The first one was counted at the door.
    answers = await asyncio.gather(
        *(
            _answered(office, schedule_id, wish, request, account, counted=number == 0)
            for number, wish in enumerate(wishes)
        )
    )
    headers = server_time(office.clock.now_ms())
    if not by_lines:
        return json_answer(BatchAnswers(answers), 200, headers)
    lines = b"\n".join(map(msgspec.json.encode, answers)) + b"\n"
    return Response(lines, media_type=LINES, headers=headers)


def _parts(body: bytes, *, by_lines: bool) -> Sequence[bytes]:
    """The wishes as they were sent, not yet read. Raises a `Problem` where it can't be told where one ends."""
    if by_lines:  # a CR by itself is white space within a line (RFC 8259 section 2)
        return [line.removesuffix(b"\r") for line in body.split(b"\n") if line.strip()]
    try:
        return [bytes(raw) for raw in msgspec.json.decode(body, type=_Parts).wishes]
    except msgspec.ValidationError:
        raise invalid("wishes", "must be a list of wishes", "목록이어야 합니다") from None
    except (msgspec.DecodeError, RecursionError):
        raise Problem("malformed_json") from None


class _Parts(Struct):
    wishes: list[msgspec.Raw]


class _Named(Struct):
    id: str | None = None


async def _answered(
    office: Office, schedule_id: str, part: bytes, request: Request, account: Account, *, counted: bool
) -> BatchAnswer:
    """What came of one wish. Raises nothing: its failure is its own."""
    try:
        if not counted:
            office.limits.command(account.id, account.role)
        schedule_id = its_id(schedule_id)
        wish = await _read(part)
        named = (office.clock.new_id(), "") if wish.id is None else request_of_part(request, account, wish.id, part)
        booking = await hold(office, schedule_id, wish, account, named, pass_in(request))
    except Exception as error:  # noqa: BLE001  # whatever it is has an answer
        problem = error if isinstance(error, Problem) else problem_of_error(error)
        language = language_of(request.headers.get("accept-language", ""))
        told = msgspec.json.decode(document(problem, language=language, instance=request.url.path))
        return BatchAnswer(id=_id_of(part), status=problem.status, problem=told)
    return BatchAnswer(id=wish.id, status=201, booking=booking)


async def _read(part: bytes) -> BatchWish:
    """The wish. Raises a `Problem` that says what is wrong with it, as the framework would have said it."""
    await check_json(part)
    with contextlib.suppress(ValidationError):
        return BatchWish.model_validate_json(part)  # in a third of the time
    try:
        return BatchWish.model_validate(json.loads(part), from_attributes=True)
    except ValidationError as error:
        errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise of_validation(RequestValidationError(errors)) from None
    except (ValueError, RecursionError):
        raise Problem("malformed_json") from None


def _id_of(part: bytes) -> str | None:
    """What the wish is called, whatever else is wrong with it."""
    try:
        return msgspec.json.decode(part, type=_Named).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
