"""What requests are made of: what every body's members have in common, whoever's they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from api.http.models import Input
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


# What programs make and nobody types.
OURS = {"cursor", "digest", "last_event_id", "terms", "list", "service"}


def queries(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for each in dependant.dependencies:
        yield from queries(each)


def texts() -> dict[str, FieldInfo]:
    """The parts of all queries that are texts, by what reads them."""
    routes = [route for noun in ROUTERS for route in noun.router.routes if isinstance(route, APIRoute)]
    return {
        f"{route.name} {each.alias}": each.field_info
        for route in routes
        for each in queries(route.dependant)
        if each.alias not in OURS and read(each.field_info, "가나") == "가나"
    }


@pytest.mark.parametrize(("name", "field"), texts().items())
def test_what_is_looked_for_is_found_however_it_is_spelled(name: str, field: FieldInfo) -> None:
    """Some keyboards and file systems send Hangul, and letters with accents, decomposed; what is kept is composed."""
    assert read(field, unicodedata.normalize("NFD", "가나")) == "가나", name
