"""`Idempotency-Key`: a request that is sent twice does its work once and gets its first answer again.

Requests that create rows go through `once`, which keeps the answer in the transaction that does the work. Requests to a
schedule's owner carry `request_of`'s id, by which the journal recognises them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, TypeVar, cast

import msgspec
from fastapi import Depends, Header
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from actors.process.keys import derived
from api.http.addresses import address_of
from api.http.problems import Problem, invalid, key_reused
from api.office.office import Office
from api.office.tokens import Account
from persistence.accounts import first_answers

HEADER = "idempotency-key"
CREATED = 201
VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")
ModelT = TypeVar("ModelT", bound=BaseModel | msgspec.Struct)


async def _described(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Makes a retry safe: the same key with the same body gives the first answer again. What is "
            "asked of a schedule, its bookings and payments is known by key for each schedule: one for one wish.",
        ),
    ] = None,
) -> None:
    """Only there to be described: the functions below read the header themselves."""


# Put into `dependencies=[…]` of a route that takes the header, so that its description says so.
TAKES_KEY = Depends(_described)


def key_of(request: Request) -> str | None:
    """The request's key. Raises a 422 `Problem` for one that is not 1 to 255 visible ASCII characters."""
    key = request.headers.get(HEADER)
    if key is not None and VISIBLE_ASCII.fullmatch(key) is None:
        raise invalid(
            "Idempotency-Key", "must be 1 to 255 visible ASCII characters", "보이는 ASCII 문자 1~255자여야 합니다"
        )
    return key


async def request_of(request: Request, account: Account) -> tuple[str, str]:
    """A command's request id, and its fingerprint by each secret that counts. Without a key the id is fresh and there
    is nothing to compare."""
    office = cast(Office, request.app.state.office)
    key = key_of(request)
    if key is None:
        return office.clock.new_id(), ""
    return _request_id(account, key), ",".join(await _fingerprints(request, office, 8))


def request_of_part(request: Request, account: Account, key: str, part: bytes) -> tuple[str, str]:
    """The same for a part of a request, which is to be done once by a key of its own."""
    office = cast(Office, request.app.state.office)
    return _request_id(account, key), ",".join(_fingerprints_of(request, office, part, 8))


def _request_id(account: Account, key: str) -> str:
    return hashlib.blake2b(f"{account.id}\0{key}".encode(), digest_size=16).hexdigest()


async def once(
    office: Office,
    request: Request,
    owner: str,
    create: Callable[[AsyncConnection], Awaitable[ModelT]],
    location: str,
    *,
    formerly: Sequence[str] = (),
    status: int = CREATED,
    about: Callable[[ModelT], str | None] | None = None,
    shown: Callable[[bytes], bytes] | None = None,
    begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]] | None = None,
) -> Response:
    """Runs `create` in a transaction and answers what it returns; if that was done before, answers what it was then.

    `formerly`: what else the owner of the key was called. `about`: whose account the answer tells of, if that is not
    the owner's: it goes with that one. `shown` makes what is answered of what is kept, where that is a secret less.
    `begin` opens the transaction, where it is not to be one of the pool that everybody uses.

    The answer is 201 or another `status`, with `location`, in which `{id}` stands for the new id. A `Problem` from
    `create` undoes everything and is not kept: the same request may succeed later.
    """
    begin = begin or office.database.begin
    shown = shown or bytes
    key = key_of(request)
    if key is None:
        async with begin() as connection:
            body = _encoded(await create(connection))
        return _answer(status, shown(body), location)
    async with begin() as connection:
        if not await first_answers.try_lock(connection, owner, key):
            raise Problem("idempotency_in_progress", retry_after=1)
        found = [await first_answers.find(connection, each, key) for each in (owner, *formerly)]
        first = next((each for each in found if each is not None), None)
        if first is None:
            made = await create(connection)
            newest, *_ = await _fingerprints(request, office, 16)
            first = first_answers.FirstAnswer(newest, status, _encoded(made))
            whose = None if about is None else about(made)
            await first_answers.keep(connection, owner, key, first, account_id=whose)
        elif first.fingerprint not in await _fingerprints(request, office, 16):
            raise key_reused()
    return _answer(first.status, shown(first.body), location)


async def _fingerprints(request: Request, office: Office, size: int) -> list[str]:
    return _fingerprints_of(request, office, await request.body(), size)


def _fingerprints_of(request: Request, office: Office, body: bytes, size: int) -> list[str]:
    """What tells one request from another: by the secret that is in force, and by the one before it.

    Keyed, because a body may hold a password and fingerprints are kept.
    """
    content = f"{request.method} {request.url.path}\0".encode() + body
    keys = [derived(secret, "fingerprints") for secret in office.settings.secrets]
    return [hashlib.blake2b(content, digest_size=size, key=key).hexdigest() for key in keys]


def strangers(office: Office, request: Request) -> list[str]:
    """The owner of a key that comes without an account, and what it was called by the former secret: keys of different
    addresses do not meet."""
    address = address_of(request).encode()
    keys = [derived(secret, "strangers") for secret in office.settings.secrets]
    return [hashlib.blake2b(address, digest_size=16, key=key).hexdigest() for key in keys]


def _encoded(made: BaseModel | msgspec.Struct) -> bytes:
    return made.model_dump_json().encode() if isinstance(made, BaseModel) else msgspec.json.encode(made)


class _Made(msgspec.Struct):
    """The one member of an answer that its address is made of."""

    id: str


def _answer(status: int, body: bytes, location: str) -> Response:
    if "{id}" in location:
        location = location.format(id=msgspec.json.decode(body, type=_Made).id)
    headers = {"Location": location}
    return Response(body, status_code=status, media_type="application/json", headers=headers)
