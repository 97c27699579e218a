"""Everything that can go wrong, as RFC 9457 problem documents: one table of codes, one way to answer them.

Guarantees: every refusal of the engine has a status, a title and a detail in English and Korean (tested exhaustively);
no answer carries a stack trace, a statement or what the client sent; what a client may simply repeat says when
(`Retry-After`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from actors.process.telemetry import REQUEST_ID
from api.http.accepting import wishes
from api.http.field_messages import FIELD_MESSAGES_KO
from api.http.problem_messages import PROBLEMS
from api.http.security_log import note_refusal
from engine.refusals import Code, Refusal
from engine.seating_plan import SeatingPlan

MEDIA_TYPE = "application/problem+json"
PROBLEM_SCHEMA = "#/components/schemas/ProblemDocument"
STATUS: dict[str, int] = {code: kind.status for code, kind in PROBLEMS.items()}

# With these refusals one field of the request is to blame.
REFUSED_FIELD: Mapping[Code, str] = {
    Code.UNKNOWN_SEAT: "seats",
    Code.DUPLICATE_SEAT: "seats",
    Code.UNKNOWN_CATEGORY: "category",
    Code.UNKNOWN_ZONE: "zone",
    Code.INVALID_QUANTITY: "quantity",
    Code.IDEMPOTENCY_KEY_REUSED: "Idempotency-Key",
}
SEATS_NAMED = 10  # of many wrong seats a message names the first few; the member `seats` has them all


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """An RFC 9457 problem. Conflicts carry further members with the facts a client needs."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str | None = None
    errors: list[FieldError] | None = None


class Problem(Exception):
    """A request that is turned down. `code` is a key of `STATUS`; `facts` become members of the document.

    A `retry_after` (whole seconds) becomes the header as well. In `errors` a message may be given in Korean as `ko`.
    """

    def __init__(self, code: str, *, detail: str | None = None, **facts: object) -> None:
        assert code in STATUS, f"{code} has no row in PROBLEMS"
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.facts = facts

    @property
    def status(self) -> int:
        return STATUS[self.code]

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's head has to say beside the document."""
        headers = {}
        if "retry_after" in self.facts:
            headers["Retry-After"] = str(self.facts["retry_after"])
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def invalid(field: str, message: str, ko: str, *, code: str = "validation_failed") -> Problem:
    """A 422 about one field, for rules that need more than the request itself to be checked."""
    return Problem(code, errors=[{"field": field, "message": message, "ko": ko}])


def key_reused(field: str = REFUSED_FIELD[Code.IDEMPOTENCY_KEY_REUSED]) -> Problem:
    """The 422 for a key, or an id of the client's own, that stands for another request already."""
    kind = PROBLEMS[Code.IDEMPOTENCY_KEY_REUSED]
    return invalid(field, kind.en.detail, kind.ko.detail, code=Code.IDEMPOTENCY_KEY_REUSED)


def problem_of(refusal: Refusal, plan: SeatingPlan | None = None) -> Problem:
    """The refusal as a problem, with the facts its sender needs. With the plan, `places` says where those seats are."""
    facts: dict[str, object] = {}
    if refusal.seats:
        facts["seats"] = list(refusal.seats)
        if plan is not None:
            known = (plan.index[seat] for seat in refusal.seats[:SEATS_NAMED] if seat in plan.index)
            facts["places"] = [plan.describe(index) for index in known]
    if refusal.available is not None:
        facts["available"] = refusal.available
    if refusal.limit is not None:
        facts["limit"] = refusal.limit
    if refusal.at_ms is not None:
        facts["at"] = datetime.fromtimestamp(refusal.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    if refusal.reason is not None:
        facts["reason"] = str(refusal.reason)
    if refusal.code is Code.IDEMPOTENCY_IN_PROGRESS:
        facts["retry_after"] = 1
    if (field := REFUSED_FIELD.get(refusal.code)) is not None:
        kind = PROBLEMS[refusal.code]
        named = f": {', '.join(refusal.seats[:SEATS_NAMED])}" if refusal.seats else ""
        facts["errors"] = [{"field": field, "message": kind.en.detail + named, "ko": kind.ko.detail + named}]
    return Problem(str(refusal.code), detail=None, **facts)


def language_of(accept_language: str) -> str:
    """`en` or `ko`, by the weights of RFC 9110 section 12.5.4. English where the client has no wish we can meet."""
    weights: dict[str, float] = {}
    for tag, weight in wishes(accept_language):
        language = tag.partition("-")[0]
        if language in ("en", "ko", "*"):  # of ko-KR and ko the heavier counts
            weights[language] = max(weight, weights.get(language, 0.0))
    english = weights.get("en", weights.get("*", 0.0))
    korean = weights.get("ko", 0.0)
    if korean == english > 0:  # what stands first wins among equals
        return "ko" if next(each for each, weight in weights.items() if weight > 0) == "ko" else "en"
    return "ko" if korean > english else "en"


def document(problem: Problem, *, language: str, instance: str) -> bytes:
    """The problem as the body of its answer."""
    kind = PROBLEMS[problem.code]
    words = kind.ko if language == "ko" else kind.en
    body: dict[str, object] = {
        "type": f"/problems/{problem.code}",
        "title": words.title,
        "status": kind.status,
        "detail": problem.detail or words.detail,
        "instance": instance,
        "code": problem.code,
        **problem.facts,
    }
    if (request_id := REQUEST_ID.get(None)) is not None:
        body["request_id"] = request_id
    if "errors" in problem.facts:
        errors = cast(list[dict[str, str]], problem.facts["errors"])
        body["errors"] = [
            {
                "field": error["field"],
                "message": error.get("ko", error["message"]) if language == "ko" else error["message"],
            }
            for error in errors
        ]
    return msgspec.json.encode(body)


def answer(problem: Problem, request: Request) -> Response:
    """The whole answer, in the language the client prefers."""
    note_refusal(request, problem.code)
    language = language_of(request.headers.get("accept-language", ""))
    return Response(
        document(problem, language=language, instance=request.url.path),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={**problem.headers, "Content-Language": language, "Vary": "Accept-Language"},
    )


def of_validation(error: RequestValidationError) -> Problem:
    """What pydantic found, field by field; what the client sent is not repeated."""
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Problem("malformed_json")
    return Problem("validation_failed", errors=[_field_error(item) for item in found])


def _field_error(item: Mapping[str, Any]) -> dict[str, str]:
    place = [str(part) for part in item["loc"]]
    if len(place) > 1 and place[0] in ("body", "query", "path", "header", "cookie"):
        place = place[1:]
    kind, facts = item["type"], item.get("ctx") or {}
    message = str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in ("too_short", "too_long") and isinstance(item["input"], str):
        # A length that is looked at after a validator of ours counts items to pydantic, whatever they are.
        kind, most, limit = f"string_{kind}", kind == "too_long", facts.get("max_length", facts.get("min_length"))
        message = f"String should have at {'most' if most else 'least'} {limit} character{'' if limit == 1 else 's'}"
    korean = FIELD_MESSAGES_KO.get(kind)
    if "expected" in facts:  # pydantic says "'a', 'b' or 'c'"
        facts = {**facts, "expected": str(facts["expected"]).replace(" or ", ", ")}
    return {
        "field": ".".join(place),
        "message": message,
        "ko": korean.format_map(facts) if korean is not None else message,
    }


def of_http_exception(error: HTTPException) -> Problem:
    """What the framework itself turns down."""
    codes = {400: "malformed_json", 404: "route_not_found", 405: "method_not_allowed", 413: "body_too_large"}
    return Problem(codes.get(error.status_code, "bad_request"))


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its OpenAPI description."""
    described: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status = STATUS[code]
        example = {
            "type": f"/problems/{code}",
            "title": PROBLEMS[code].en.title,
            "status": status,
            "detail": PROBLEMS[code].en.detail,
            "instance": "/v1/…",
            "code": code,
        }
        entry = described.setdefault(
            status, {"description": "", "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM_SCHEMA}, "examples": {}}}}
        )
        entry["description"] = ", ".join(filter(None, (entry["description"], f"`{code}`")))
        entry["content"][MEDIA_TYPE]["examples"][code] = {"summary": PROBLEMS[code].en.title, "value": example}
    return described
