"""Keeps out texts that can neither be stored nor sent on: NUL characters, which PostgreSQL has in no text, and halves
of surrogate pairs, which are no characters at all.

The one place that looks for them, whatever a route does with its input: in a body before anything reads it, at any
depth and in names as well as values; in path and query before a route is called. Each is a 422 that names its field.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.requests import Request

from api.http import large_bodies
from api.http.problems import Problem

HIGH, LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# As JSON escapes, behind an even number of backslashes: pairs are passed over, halves and NUL are found.
ESCAPE = re.compile(rb"\\\\|" + HIGH + LOW + rb"|(?P<fault>" + HIGH + rb"|" + LOW + rb"|\\u0000)")
SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")  # whether a closer look is needed, in no time
MARK, MARKED = "\uffff", rb"\uffff"  # stands for a fault while its field is looked for; no character either
FIELDS_NAMED = 20
MESSAGE = "must not hold NUL characters or halves of surrogate pairs"
MESSAGE_KO = "NUL 문자나 짝이 없는 서로게이트는 사용할 수 없습니다"


async def check_json(body: bytes, spared: str = "") -> None:
    """Raises a `Problem` for what is no JSON text in UTF-8 (RFC 8259 section 8.1), or holds what cannot be stored.

    `spared` names a member whose text is judged by its reader and kept by nobody. What else is wrong with the body is
    left to whoever decodes it.
    """
    if b"\0" in body or not _is_utf8(body):
        raise Problem("malformed_json")
    if SUSPECT.search(body) is not None:
        if len(body) > large_bodies.PART_BYTES:
            await asyncio.to_thread(_check_escapes, body, spared)
        else:
            _check_escapes(body, spared)


def check_form(body: bytes) -> None:
    """The same for a form (application/x-www-form-urlencoded)."""
    _refuse(_faulty(body))


async def check_parameters(request: Request) -> None:
    """A dependency of every route: its path and query hold what can be stored, in UTF-8."""
    raw = request.scope.get("raw_path") or b""
    wrong = list(_faulty(request.scope["query_string"]))
    if b"%" in raw and (b"%00" in raw or not _is_utf8(unquote_to_bytes(raw))):
        # Where a path is not UTF-8, the server has put replacement characters in.
        wrong += [name for name, value in request.path_params.items() if "\0" in value or "\ufffd" in value]
        if not wrong:
            raise Problem("route_not_found")
    _refuse(wrong)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_escapes(body: bytes, spared: str) -> None:
    marked = ESCAPE.sub(lambda found: MARKED if found["fault"] else found[0], body)
    if marked == body:
        return
    try:
        document = large_bodies.decode(marked) if len(marked) > large_bodies.PART_BYTES else json.loads(marked)
    except (ValueError, RecursionError):
        raise Problem("malformed_json") from None
    _refuse(_places(document, spared))


def _places(document: Any, spared: str) -> Iterator[str]:
    """Where the marks are, without recursion: a document may be nested as deeply as its sender likes."""
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, str):
            if MARK in value:
                yield place or "body"
        elif isinstance(value, dict):
            for name, each in value.items():
                within = f"{place}.{name}" if place else name
                if MARK in name:
                    yield within
                if name != spared or not isinstance(each, str):
                    stack.append((within, each))
        elif isinstance(value, list):
            stack += [(f"{place}.{number}" if place else str(number), each) for number, each in enumerate(value)]


def _faulty(pairs: bytes) -> Iterator[str]:
    """The names of what cannot be stored, in a query or a form."""
    if not pairs or (pairs.isascii() and b"%" not in pairs and b"\0" not in pairs):
        return
    for name, value in parse_qsl(pairs.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"):
        if not _is_storable(name + value):
            yield name


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse(fields: Iterable[str]) -> None:
    named = [field.encode(errors="replace").decode().replace("\0", "?").replace(MARK, "?") for field in fields]
    if named:
        kinds = dict.fromkeys(named)  # each once
        errors = [{"field": field, "message": MESSAGE, "ko": MESSAGE_KO} for field in list(kinds)[:FIELDS_NAMED]]
        raise Problem("validation_failed", errors=errors)
