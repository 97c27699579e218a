"""What runs on a data directory, for commands that are about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from actors.process.settings import Settings, SettingsError
from api.command_line.screen import fail
from persistence.database.dsn import asyncpg_dsn
from persistence.embedded.instance import RunNote, is_locked, read_note
from persistence.embedded.outside import shown, unreachable


def settings_for(data_dir: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The environment's settings, for the data directory given; complains clearly about a variable it cannot use."""
    try:
        settings = Settings.from_environment(environ)
    except SettingsError as error:
        fail(str(error))
    return settings if data_dir is None else msgspec.structs.replace(settings, data_dir=str(data_dir))


def found_running(data_dir: Path | None) -> tuple[Settings, RunNote | None]:
    """Settings that name the services running on the data directory, and the note they come from, if anything runs.

    The secret is the one that `up` keeps there, unless the environment has another.
    """
    settings = settings_for(data_dir)
    try:
        run = read_note(settings.data_path)
        if run is not None:
            settings = settings_for(data_dir, {**os.environ, **run.environment})
        kept = settings.data_path / "secret"
        if not settings.secret and kept.exists():
            settings = msgspec.structs.replace(settings, secret=kept.read_text().strip())
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}; ask as the user who runs `boxoffice up`")
    return settings, run


def connected(data_dir: Path | None) -> Settings:
    """Settings that name a database; ends the program when there is none to be found."""
    settings, _ = found_running(data_dir)
    if settings.database_url is None:
        starting = is_locked(settings.data_path)
        fail(
            f"`boxoffice up` is just starting or stopping on {settings.data_path}: try again in a moment"
            if starting
            else f"nothing runs on {settings.data_path}: start `boxoffice up` first, or set DATABASE_URL"
        )
    try:
        parts = urlsplit(asyncpg_dsn(settings.database_url))
        _ = "," in parts.netloc or parts.port  # several hosts have a port each
    except ValueError as error:
        fail(str(unreachable("DATABASE_URL", "PostgreSQL", shown(settings.database_url), error)))
    return settings
