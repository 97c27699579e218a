"""Accounts in Postgres: one live account per e-mail, whatever its case, and nothing left of a deleted one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import SystemClock
from persistence.accounts import accounts
from persistence.database import tables
from persistence.database.connection import create_engine

new_id = SystemClock().new_id


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


async def create(engine: AsyncEngine, email: str, role: str = "customer") -> accounts.AccountRow:
    async with engine.begin() as connection:
        return await accounts.create(
            connection, account_id=new_id(), email=email, password_hash="hash", name=None, role=role
        )


async def test_an_account_is_found_by_its_email_in_any_case(engine: AsyncEngine) -> None:
    made = await create(engine, "Minji@Example.com")
    async with engine.connect() as connection:
        for email in ("Minji@Example.com", "minji@example.com", "MINJI@EXAMPLE.COM"):
            assert await accounts.by_email(connection, email) == made
        assert await accounts.by_email(connection, "minji@example.co") is None
        assert await accounts.by_id(connection, made.id) == made


async def test_an_email_belongs_to_one_account(engine: AsyncEngine) -> None:
    await create(engine, "minji@example.com")
    with pytest.raises(accounts.EmailTaken):
        await create(engine, "MINJI@example.com")
    other = await create(engine, "jiwoo@example.com")
    with pytest.raises(accounts.EmailTaken):
        async with engine.begin() as connection:
            await accounts.change(connection, other.id, {"email": "Minji@Example.com"})
    async with engine.begin() as connection:
        changed = await accounts.change(connection, other.id, {"email": "JIWOO@example.com"})
    assert changed is not None
    assert changed.email == "JIWOO@example.com"


async def test_a_deleted_account_leaves_nothing_but_its_id(engine: AsyncEngine) -> None:
    made = await create(engine, "minji@example.com")
    async with engine.begin() as connection:
        await accounts.forget(connection, made.id, datetime.now(UTC))
    async with engine.begin() as connection:
        assert await accounts.by_id(connection, made.id) is None
        assert await accounts.by_email(connection, "minji@example.com") is None
        assert await accounts.change(connection, made.id, {"name": "Minji"}) is None
        row = (await connection.execute(sa.select(tables.accounts).where(tables.accounts.c.id == made.id))).one()
    assert (row.email, row.name, row.password_hash) == ("", None, "")
    assert (await create(engine, "minji@example.com")).id != made.id


async def test_two_accounts_can_be_deleted(engine: AsyncEngine) -> None:
    for email in ("one@example.com", "two@example.com"):
        made = await create(engine, email)
        async with engine.begin() as connection:
            await accounts.forget(connection, made.id, datetime.now(UTC))
