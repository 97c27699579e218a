"""What requests are made of: what every body's members have in common, whoever's they are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, get_args

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from api.http.models import EXACT_QUERY, Exact, Input, RawText
from api.http.problems import of_validation
from api.server.app import ROUTERS  # has all routes imported, and with them all bodies


def bodies(model: type[Input] = Input) -> Iterator[type[Input]]:
    for each in model.__subclasses__():
        yield each
        yield from bodies(each)


MEMBERS = {f"{model.__name__}.{name}": field for model in bodies() for name, field in model.model_fields.items()}


def read(field: FieldInfo, value: Any) -> Any:
    """What the member makes of the value; None where it does not take it."""
    try:
        made = TypeAdapter(Annotated[field.annotation, field]).validate_python(value)
    except ValidationError:
        return None
    return made.get_secret_value() if isinstance(made, SecretStr) else made


@pytest.mark.parametrize("member", sorted(MEMBERS))
def test_a_number_is_no_text_and_no_yes_or_no(member: str) -> None:
    """JSON has numbers, texts and true and false: who sends one for another has made a mistake, and is told so."""
    for value in ("1", "true", "false", 1, 0, 1.0, True, False):
        made = read(MEMBERS[member], value)
        assert made is None or type(made) is type(value), f"{value!r} becomes {made!r}"


@pytest.mark.parametrize("member", sorted(MEMBERS))
@pytest.mark.parametrize("text", ["", "x" * 20_000])
def test_a_text_that_is_too_short_or_too_long_is_told_so_in_characters(member: str, text: str) -> None:
    field = MEMBERS[member]
    try:
        TypeAdapter(Annotated[field.annotation, field]).validate_python(text)
    except ValidationError as error:
        told = of_validation(RequestValidationError(error.errors())).facts["errors"]
        assert isinstance(told, list)
        assert [each for each in told if " item" in each["message"] or "항목이" in each["ko"]] == []


def test_lengths_of_texts_and_of_lists_are_told_apart() -> None:
    class Body(Input):
        text: Annotated[RawText, Field(min_length=2, max_length=3)]
        items: Annotated[list[int], Field(min_length=1)]

    def told(**body: Any) -> list[tuple[str, str]]:
        with pytest.raises(ValidationError) as caught:
            Body.model_validate(body)
        errors: Any = of_validation(RequestValidationError(caught.value.errors())).facts["errors"]
        return [(each["message"], each["ko"]) for each in errors]

    assert told(text="a", items=[1]) == [("String should have at least 2 characters", "2자 이상이어야 합니다")]
    assert told(text="abcd", items=[1]) == [("String should have at most 3 characters", "3자 이하여야 합니다")]
    ((english, korean),) = told(text="ab", items=[])
    assert english.startswith("List should have at least 1 item")
    assert korean == "항목이 1개 이상이어야 합니다"


# --- what is not taken back -------------------------------------------------------------------------------------------
ROUTES = [route for noun in ROUTERS for route in noun.router.routes if isinstance(route, APIRoute)]
FOR_GOOD = re.compile(r"/(cancellation|refunds|settlement|transfers)$|^/v1/admin/bookings/\{booking_id\}$")


def exact_bodies(route: APIRoute) -> list[type[Input]]:
    found = [each for field in route.dependant.body_params for each in classes(field.field_info.annotation)]
    return [each for each in found if issubclass(each, Exact)]


def classes(annotation: Any) -> list[type[Any]]:
    return (
        [annotation]
        if isinstance(annotation, type)
        else [each for one in get_args(annotation) for each in classes(one)]
    )


ENDING = [route for route in ROUTES if FOR_GOOD.search(route.path) and route.methods & {"POST", "PATCH"}]


@pytest.mark.parametrize("route", ENDING, ids=lambda route: f"{route.methods} {route.path}")
def test_a_member_that_may_be_meant_to_limit_what_is_not_taken_back_is_refused(route: APIRoute) -> None:
    if route.dependant.body_params and route.name != "reword_cancellation":  # words only
        assert exact_bodies(route), "its body should be `Exact`"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.methods} {route.path}")
def test_so_is_a_parameter(route: APIRoute) -> None:
    assert not exact_bodies(route) or EXACT_QUERY in route.dependencies


# --- what is looked for -----------------------------------------------------------------------------------------------
# What programs make and nobody types.
OURS = {"cursor", "digest", "last_event_id", "terms", "list", "service"}


def queries(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for each in dependant.dependencies:
        yield from queries(each)


def texts() -> dict[str, FieldInfo]:
    """The parts of all queries that are texts, by what reads them."""
    return {
        f"{route.name} {each.alias}": each.field_info
        for route in ROUTES
        for each in queries(route.dependant)
        if each.alias not in OURS and read(each.field_info, "가나") == "가나"
    }


@pytest.mark.parametrize(("name", "field"), texts().items())
def test_what_is_looked_for_is_found_however_it_is_spelled(name: str, field: FieldInfo) -> None:
    """Some keyboards and file systems send Hangul, and letters with accents, decomposed; what is kept is composed."""
    assert read(field, unicodedata.normalize("NFD", "가나")) == "가나", name
