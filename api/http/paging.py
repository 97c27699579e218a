"""Lists: how much of one is answered (`limit`, `cursor`), and which fields of its items (`fields`).

A cursor is the key of the last item seen, so a list that grows while it is read neither skips nor repeats an item. It
says of which list: keys of others would fit as well, ids above all, and lead nowhere that anybody meant.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from contextvars import ContextVar
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.http.models import UUID_FORM, RawText
from api.http.problems import invalid

MAX_LIMIT = 200
VERSION_FORM = re.compile(r"[0-9]{1,18}", re.ASCII)

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items to answer at most.")]
LONGEST = 500  # characters of a cursor, and of the names of fields
LIST: ContextVar[str] = ContextVar("LIST", default="")  # what cursors call the list that is read
NAME_CHARACTERS = 8  # one in four billion is called as another


async def _cursor(
    request: Request,
    cursor: Annotated[
        RawText | None,
        Query(max_length=LONGEST, description="`next_cursor` of the page before; left out for the first page."),
    ] = None,
) -> str | None:
    LIST.set(hashlib.sha256(request.url.path.lower().encode()).hexdigest()[:NAME_CHARACTERS])
    return cursor


async def _fields(
    request: Request,
    fields: Annotated[
        RawText | None,
        Query(max_length=LONGEST, description="Answer only these fields, separated by commas.", examples=["id,title"]),
    ] = None,
) -> str | None:
    """All that are named, also one by one (`fields=id&fields=title`)."""
    named = ",".join(request.query_params.getlist("fields"))
    if len(named) > LONGEST:
        raise invalid("fields", f"must have at most {LONGEST} characters", f"{LONGEST}자 이하여야 합니다")
    return None if fields is None else named


Cursor = Annotated[str | None, Depends(_cursor)]
Fields = Annotated[str | None, Depends(_fields)]


def encode_cursor(*key: str) -> str:
    """The key of a page's last item as an opaque text, for this list alone."""
    return base64.urlsafe_b64encode(msgspec.json.encode((LIST.get(), *key))).decode().rstrip("=")


def decode_cursor(cursor: str | None, length: int) -> tuple[str, ...] | None:
    """The key in a cursor. Raises a 422 `Problem` for anything that `encode_cursor` did not make for this list."""
    if cursor is None:
        return None
    try:
        name, *key = msgspec.json.decode(
            base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[str, ...]
        )
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise malformed_cursor() from error
    if name != LIST.get() or len(key) != length or any("\0" in part for part in key):
        raise malformed_cursor()
    return tuple(key)


def id_in(cursor: str | None) -> str | None:
    """The id that a cursor is made of; None for the first page. Raises a 422 `Problem` for any other."""
    key = decode_cursor(cursor, 1)
    if key is None:
        return None
    if UUID_FORM.fullmatch(key[0]) is None:
        raise malformed_cursor()
    return key[0]


def version_in(cursor: str | None) -> int:
    """The version that a cursor is made of; 0 for the first page. Raises a 422 `Problem` for any other."""
    key = decode_cursor(cursor, 1)
    if key is not None and VERSION_FORM.fullmatch(key[0]) is None:
        raise malformed_cursor()
    return 0 if key is None else int(key[0])


def time_and_id_in(cursor: str | None) -> tuple[datetime, str] | None:
    """The moment and the id that a cursor is made of; None for the first page. Raises a 422 `Problem` for any other."""
    key = decode_cursor(cursor, 2)
    return None if key is None else time_and_id(*key)


def time_and_id(time: str, id_: str) -> tuple[datetime, str]:
    """These parts of a cursor, read. Raises a 422 `Problem` for anything else."""
    try:
        at = datetime.fromisoformat(time)
    except ValueError:
        raise malformed_cursor() from None
    if at.tzinfo is None or UUID_FORM.fullmatch(id_) is None:
        raise malformed_cursor()
    return at, id_


def malformed_cursor() -> Exception:
    """The 422 for a cursor that is not ours."""
    return invalid("cursor", "is not a next_cursor of this list", "이 목록의 next_cursor가 아닙니다")


def chosen(fields: str | None, model: type[BaseModel]) -> set[str] | None:
    """The field names in `fields`; None for all. Raises a 422 `Problem` for a name that the model does not have."""
    if fields is None:
        return None
    names = {name for name in (part.strip() for part in fields.split(",")) if name}
    known = ", ".join(model.model_fields)
    for name in sorted(names):
        if name not in model.model_fields:
            raise invalid(
                "fields",
                f"there is no field {name!r}; known: {known}",
                f"없는 필드입니다: {name!r}. 사용할 수 있는 필드: {known}",
            )
    if not names:
        raise invalid(
            "fields", f"names no field; known: {known}", f"필드 이름이 없습니다. 사용할 수 있는 필드: {known}"
        )
    return names


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer that is not checked against its model again."""
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json", headers=headers)


def page_answer(items: list[BaseModel], next_cursor: str | None, names: set[str] | None) -> Response:
    """One page, its items cut down to the chosen fields."""
    return json_answer(
        {"items": [item.model_dump(mode="json", include=names) for item in items], "next_cursor": next_cursor}
    )
