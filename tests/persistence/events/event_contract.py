"""What may become of the events' description, seen from both sides of the topic.

A consumer was built from an old description and reads what is published today; our own services are built from today's
and read what was published long ago. So of what was once described

- no event type and no field goes away, and no field changes its type, format or constant;
- a field that was always there stays so, and a new one, or one that could be left out, never becomes required;
- no value of an enumeration is dropped, and none is introduced where anything was allowed.

New types of events, new fields that may be left out and new values of an enumeration are allowed: consumers are told to
be prepared for them. Whatever else is new in a schema (a limit, a pattern) counts as a break until it stands here.

`python -m tests.persistence.events.event_contract NAME` writes today's description to `contracts/asyncapi-NAME.json`;
those committed are never written again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from persistence.events.asyncapi import asyncapi_document

CONTRACTS = Path(__file__).parent / "contracts"
ANNOTATIONS = {"title", "description", "default", "examples"}
COMPARED = {
    "type",
    "anyOf",
    "allOf",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "enum",
    "format",
    "const",
}

Schema = dict[str, Any]


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """What of `new` breaks somebody who relies on `old`; both are AsyncAPI documents."""
    found: list[str] = []
    messages = new["components"]["messages"]
    for name, message in old["components"]["messages"].items():
        if name not in messages:
            found.append(f"{name}: is not published any more")
            continue
        if message["contentType"] != messages[name]["contentType"]:
            found.append(f"{name}: another content type")
        found += _Comparison(old, new).of(name, message["payload"], messages[name]["payload"])
    return found


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new

    def of(self, path: str, before: Schema, after: Schema) -> Iterator[str]:
        before, after = _plain(self._old, before), _plain(self._new, after)
        yield from _kinds(path, before, after)
        yield from _values(path, before, after)
        yield from self._fields(path, before, after)
        for inner, step in (("items", "[]"), ("additionalProperties", ".*")):
            if (inner in before) != (inner in after):
                yield f"{path}{step}: described before or now, not both"
            elif inner in before:
                yield from self.of(path + step, before[inner], after[inner])
        for key in sorted((before.keys() | after.keys()) - ANNOTATIONS - COMPARED):
            if before.get(key) != after.get(key):
                yield f"{path}: {key} is {after.get(key)!r} and was {before.get(key)!r}"

    def _fields(self, path: str, before: Schema, after: Schema) -> Iterator[str]:
        fields, now = before.get("properties", {}), after.get("properties", {})
        for name, schema in fields.items():
            if name not in now:
                yield f"{path}.{name}: is gone"
            else:
                yield from self.of(f"{path}.{name}", schema, now[name])
        always, always_now = set(before.get("required", ())), set(after.get("required", ()))
        for name in sorted(always_now - always):
            yield f"{path}.{name}: is required, and old events lack it"
        for name in sorted((always - always_now) & now.keys()):
            yield f"{path}.{name}: may be left out, and was always there"


def _plain(document: Schema, schema: Schema) -> Schema:
    """The schema without references, and with what `allOf` says of an object put together."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "allOf" not in schema:
        return schema
    parts = [_plain(document, part) for part in schema["allOf"]]
    whole: Schema = {key: value for part in parts for key, value in part.items()}
    whole["properties"] = {name: field for part in parts for name, field in part.get("properties", {}).items()}
    whole["required"] = sorted({name for part in parts for name in part.get("required", ())})
    return whole


def _kinds(path: str, before: Schema, after: Schema) -> Iterator[str]:
    """Types and formats: exactly as they were, `null` included."""
    was, now = _types(before), _types(after)
    for kind in sorted(now - was):
        yield f"{path}: may be {kind} now"
    for kind in sorted(was - now):
        yield f"{path}: may not be {kind} any more"


def _types(schema: Schema) -> set[str]:
    found: set[str] = set()
    for option in schema.get("anyOf", [schema]):
        kind = option.get("type", "string" if "const" in option else "anything")
        found.add(f"{kind} ({option['format']})" if "format" in option else kind)
    return found


def _values(path: str, before: Schema, after: Schema) -> Iterator[str]:
    if before.get("const") != after.get("const"):
        yield f"{path}: is always {after.get('const')!r} and was {before.get('const')!r}"
    if "enum" not in after:
        return
    if "enum" not in before:
        yield f"{path}: is one of {after['enum']}, and could be anything"
    for value in before.get("enum", ()):
        if value not in after["enum"]:
            yield f"{path}: is never {value!r} any more"


if __name__ == "__main__":
    path = CONTRACTS / f"asyncapi-{sys.argv[1]}.json"
    with path.open("x") as file:
        json.dump(asyncapi_document("booking-events"), file, ensure_ascii=False, indent=2)
        file.write("\n")
