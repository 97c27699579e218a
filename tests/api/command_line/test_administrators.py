"""The administrator that the environment names is there before anything serves, or nothing does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.settings import Settings
from actors.supervision.services import StartError
from api.command_line.administrators import AdministratorError, ensure_configured
from api.command_line.opening import prepare_admin
from api.office.passwords import hash_password
from persistence.accounts import accounts
from persistence.database import tables
from persistence.database.connection import create_engine

EMAIL, PASSWORD = "admin@boxoffice.example", "correct horse battery"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, pool_size=1)
    yield engine
    await engine.dispose()


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_email=EMAIL, admin_password=PASSWORD)


async def test_the_administrator_is_made_once(engine: AsyncEngine, settings: Settings) -> None:
    assert await ensure_configured(settings)
    assert not await ensure_configured(replace(settings, admin_email=EMAIL.upper(), admin_password="another password"))
    async with engine.connect() as connection:
        row = await accounts.by_email(connection, EMAIL)
    assert row is not None
    assert row.role == "admin"


@pytest.mark.parametrize("role", ["customer", "organizer"])
async def test_a_taken_address_that_is_no_administrator_s_stops_the_start(
    engine: AsyncEngine, settings: Settings, role: str
) -> None:
    async with engine.begin() as connection:
        await accounts.create(
            connection,
            account_id="0199f390-77aa-7c41-a0a5-6f1b2c3d4e5f",
            email=EMAIL.title(),
            password_hash=hash_password(PASSWORD),
            name=None,
            role=role,
        )
    with pytest.raises(StartError, match=f"{EMAIL} is registered as a {role}, not as an administrator"):
        await prepare_admin(settings)


async def test_a_locked_administrator_stops_the_start(engine: AsyncEngine, settings: Settings) -> None:
    await ensure_configured(settings)
    async with engine.begin() as connection:
        await connection.execute(tables.accounts.update().values(locked_at=sa.func.now()))
    with pytest.raises(AdministratorError, match="is locked"):
        await ensure_configured(settings)


async def test_where_the_environment_names_nobody_nobody_is_made(engine: AsyncEngine, settings: Settings) -> None:
    for half in (replace(settings, admin_email=None), replace(settings, admin_password=None)):
        assert not await ensure_configured(half)
    async with engine.connect() as connection:
        assert (await connection.execute(sa.select(tables.accounts))).all() == []
