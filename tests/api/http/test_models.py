"""What requests are made of: what every body's members have in common, whoever's they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import api.server.app  # noqa: F401  # has all routes imported, and with them all bodies
from api.http.models import Input


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
