"""The OpenAPI document: FastAPI's own, and what holds for every operation without its route saying so.

What is answered at the door is described here once: who is not let in, bodies that are not taken, limits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.problems import MEDIA_TYPE, ProblemDocument, responses
from api.http.schemas import COMPONENTS
from api.office.dependencies import READING, SCHEME
from api.server.directory import Directory, Entry

REFERENCE = "#/components/schemas/"
PART = "Part"
PASSWORD_SCHEME = "password"  # noqa: S105  # the name of the OAuth2 flow


def described(app: FastAPI, directory: Directory, *, parts: bool = True) -> dict[str, Any]:
    """The document of an application with these routes; without `parts` for who never asks for `?fields=`."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    entries = {(entry.route.path, method): entry for entry in directory.entries for method in entry.methods}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            for status, answer in responses(*_at_the_door(entries[path, method.upper()])).items():
                _add(operation["responses"], str(status), answer)
            if {SCHEME: []} in operation.get("security", []):
                operation["security"].append({PASSWORD_SCHEME: []})
    components = schema.setdefault("components", {})
    for operation in (each for methods in schema["paths"].values() for each in methods.values()):
        if parts and any(parameter["name"] == "fields" for parameter in operation.get("parameters", ())):
            _allow_parts(operation["responses"]["200"]["content"]["application/json"], components["schemas"])
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = components.setdefault("schemas", {})
    schemas.update(problem.pop("$defs", {}), ProblemDocument=problem)
    for name, shape in COMPONENTS.items():
        assert schemas.setdefault(name, shape) == shape, f"two shapes are called {name}"
    components.setdefault("securitySchemes", {})[PASSWORD_SCHEME] = {
        "type": "oauth2",
        "description": "Your e-mail as `username`, and your password. Leave the client fields empty.",
        "flows": {"password": {"tokenUrl": "/v1/sessions/token", "scopes": {}}},
    }
    return schema


def _at_the_door(entry: Entry) -> Iterator[str]:
    """The codes that an operation may be answered with before its route is asked."""
    yield from ("bad_request", "validation_failed", "dependency_unavailable")
    yield from ("request_timeout", "uri_too_long", "headers_too_large")
    if entry.callers:
        yield "unauthenticated"
    if any(caller.roles for caller in entry.callers):
        yield "forbidden"
    if not entry.methods <= set(READING):
        yield "rate_limited"
        yield from ("malformed_json", "body_too_large", "unsupported_media_type")


def _allow_parts(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """With `?fields=` an answer, or each of its items, has those members only."""
    whole = content["schema"]["$ref"]
    content["schema"] = {"anyOf": [{"$ref": whole}, {"$ref": REFERENCE + _part_of(whole, schemas)}]}


def _part_of(reference: str, schemas: dict[str, Any]) -> str:
    """The name of the schema of parts of what is referred to; a page is whole, of parts."""
    name = reference.removeprefix(REFERENCE)
    part = copy.deepcopy(schemas[name])
    items = part["properties"].get("items", {}).get("items", {}).get("$ref")
    if items is None:
        part.pop("required", None)
    else:
        part["properties"]["items"]["items"]["$ref"] = REFERENCE + _part_of(items, schemas)
    part["title"] = schemas[name].get("title", name) + PART
    schemas[name + PART] = part
    return name + PART


def _add(answers: dict[str, Any], status: str, answer: dict[str, Any]) -> None:
    """Adds what is not described yet."""
    known = answers.get(status)
    if known is None or MEDIA_TYPE not in known.get("content", {}):
        answers[status] = answer
        return
    examples = known["content"][MEDIA_TYPE].setdefault("examples", {})
    for code, example in answer["content"][MEDIA_TYPE]["examples"].items():
        if code not in examples:
            examples[code] = example
            known["description"] = f"{known['description']}, `{code}`"
