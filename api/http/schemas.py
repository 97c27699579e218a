"""Schemas of what the framework does not see, as named components of the OpenAPI document: answers that msgspec
renders, bodies that a route reads by itself.

A name stands for one shape: `component` refuses a second one, so that a generated client has one class for each, and
none is called after the module it comes from.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel

PREFIX = "#/components/schemas/"
COMPONENTS: dict[str, dict[str, Any]] = {}  # by name; filled while the routes are defined


def component(shape: Any) -> dict[str, Any]:
    """The schema of a type, its structs by reference."""
    (schema,), components = msgspec.json.schema_components([shape], ref_template=PREFIX + "{name}")
    for name, found in components.items():
        _add(name, found)
    return schema


def input_component(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a body that a route reads by itself."""
    schema = model.model_json_schema(ref_template=PREFIX + "{model}")
    for name, found in {**schema.pop("$defs", {}), model.__name__: schema}.items():
        _add(name, found)
    return {"$ref": PREFIX + model.__name__}


def page_component(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of one page of a list of these."""
    name = f"{shape.__name__}Page"
    page = {
        "title": name,
        "type": "object",
        "description": "One page of a list. `next_cursor` is where to go on; null at the end.",
        "properties": {
            "items": {"type": "array", "items": component(shape)},
            "next_cursor": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["items", "next_cursor"],
    }
    _add(name, page)
    return {"$ref": PREFIX + name}


def _add(name: str, schema: dict[str, Any]) -> None:
    assert name.isidentifier(), f"{name} is not the name of one shape"
    assert COMPONENTS.setdefault(name, schema) == schema, f"two shapes are called {name}"
