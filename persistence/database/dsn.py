"""One spelling of a database URL for every driver. Light on purpose: an owner's process imports only what it needs."""

from __future__ import annotations


def asyncpg_dsn(url: str) -> str:
    """The URL as asyncpg takes it: `postgresql://…`, whatever driver or old scheme name it came with."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise ValueError(f"not a PostgreSQL URL: expected postgresql://…, got scheme {scheme.partition('+')[0]!r}")
    return f"postgresql://{rest}"
