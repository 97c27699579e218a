"""How an administrator comes to be: from the command line or the environment, never over HTTP."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from actors.process.clock import SystemClock
from actors.process.settings import Settings
from api.http.models import Email, Password
from api.office.passwords import hash_password
from persistence.accounts import accounts
from persistence.database.connection import create_engine


class AdministratorError(RuntimeError):
    """The administrator cannot be created; the message says why."""


class NewAdministrator(BaseModel):
    """The rules that hold for every account."""

    email: Email
    password: Password


async def create(settings: Settings, email: str, password: str) -> None:
    """Creates an administrator. Raises `AdministratorError`, or `accounts.EmailTaken`."""
    try:
        valid = NewAdministrator(email=email, password=password)
    except ValidationError as error:
        complaints = (f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_input=False))
        raise AdministratorError("; ".join(complaints)) from None
    engine = create_engine(settings.database, pool_size=1)
    try:
        async with engine.begin() as connection:
            await accounts.create(
                connection,
                account_id=SystemClock().new_id(),
                email=valid.email,
                password_hash=hash_password(valid.password),
                name=None,
                role="admin",
            )
    finally:
        await engine.dispose()


async def ensure_configured(settings: Settings) -> bool:
    """Sees to it that whoever the environment names is an administrator; whether one was created.

    Called before anything is served, so that nobody else can take the address first. Somebody who has it and is no
    administrator stays as they are. Raises `AdministratorError`.
    """
    if settings.admin_email is None or settings.admin_password is None:
        return False
    try:
        await create(settings, settings.admin_email, settings.admin_password)
    except accounts.EmailTaken:
        await _check(settings, settings.admin_email)
        return False
    return True


async def _check(settings: Settings, email: str) -> None:
    engine = create_engine(settings.database, pool_size=1)
    try:
        async with engine.connect() as connection:
            row = await accounts.by_email(connection, email)
    finally:
        await engine.dispose()
    if row is None or row.role != accounts.ADMIN:
        role = "somebody who has just left" if row is None else f"a {row.role}"
        raise AdministratorError(
            f"{email} is registered as {role}, not as an administrator: name another address, or let an administrator"
            " change that account's role"
        )
    if row.locked_at is not None:
        raise AdministratorError(f"{email} is locked: name another address, or let an administrator unlock it")
