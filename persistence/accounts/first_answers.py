"""First answers to requests with an `Idempotency-Key` that do not go through a schedule's owner.

Guarantee: the answer is written in the transaction that did the work, so there is one exactly if the work was done, and
at most one transaction at a time works on a key.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.database.tables import idempotency_keys

KEPT_HOURS = 48  # far beyond any client's retries


class FirstAnswer(Struct, frozen=True):
    """What was answered, and the fingerprint of the request it answered."""

    fingerprint: str
    status: int
    body: bytes


async def try_lock(connection: AsyncConnection, owner: str, key: str) -> bool:
    """Whether this transaction may work on the key; False while another one does. Held until the transaction ends."""
    digest = hashlib.blake2b(f"{owner}\0{key}".encode(), digest_size=8).digest()
    lock = int.from_bytes(digest, signed=True)
    return bool((await connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(lock)))).scalar_one())


async def find(connection: AsyncConnection, owner: str, key: str) -> FirstAnswer | None:
    """The first answer, if the key was used."""
    query = sa.select(idempotency_keys.c.fingerprint, idempotency_keys.c.status, idempotency_keys.c.body).where(
        idempotency_keys.c.owner == owner, idempotency_keys.c.key == key
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else FirstAnswer(*row)


async def keep(
    connection: AsyncConnection, owner: str, key: str, answer: FirstAnswer, *, account_id: str | None = None
) -> None:
    """Keeps the first answer. `account_id`: whom it tells about, where that is not its owner."""
    await connection.execute(
        idempotency_keys.insert().values(
            owner=owner,
            key=key,
            fingerprint=answer.fingerprint,
            status=answer.status,
            body=answer.body,
            account_id=account_id,
        )
    )


async def forget_before(connection: AsyncConnection, time: datetime) -> int:
    """Drops answers that nobody will ask for any more. Returns how many."""
    dropped = await connection.execute(idempotency_keys.delete().where(idempotency_keys.c.created_at < time))
    return dropped.rowcount


async def forget_account(connection: AsyncConnection, account_id: str) -> None:
    """Drops every answer to an account, or about one."""
    await connection.execute(
        idempotency_keys.delete().where(
            (idempotency_keys.c.owner == account_id) | (idempotency_keys.c.account_id == account_id)
        )
    )
