"""What each kind of process may do to which table: no more than it needs.

Every process works under a role of its own, whoever it logged in as. All of them may read and write whatever is not
named below; nobody but a migration changes or removes what is in the journal or the audit log, and triggers refuse that
even to an owner of the tables. Where the database's user may not make roles, processes do without, and a line in the
log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from persistence.database.dsn import asyncpg_dsn

if TYPE_CHECKING:
    import asyncpg  # not by those who only ask for a role's name

API, OWNER, RECEIVER, BACKGROUND = ROLES = (
    "boxoffice_api",
    "boxoffice_owner",  # of schedules
    "boxoffice_receiver",
    "boxoffice_background",
)
LOCK = 0x626F786F726F6C65  # "boxorole" in ASCII: grants are given one after another
EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"
WRITE = "INSERT, UPDATE, DELETE"
OF_OWNERS = ("schedule_heads", "snapshots", "bookings", "payments", "refunds", "cancellations")
PERSONAL = ("sessions", "idempotency_keys", "door_staff", "venue_grants", "transfers")
DOOR = ("check_ins", "giving_back")
MACHINES = {"nodes": WRITE, "owner_processes": WRITE, "leases": WRITE}  # the supervisor works as the tables' owner

# What a role may not, by table.
REFUSED: Mapping[str, Mapping[str, str]] = {
    API: MACHINES,
    OWNER: {
        **dict.fromkeys(
            (*PERSONAL, *DOOR, "accounts", "account_links", "audit_log", "audit_head", "notifications"),
            EVERYTHING,
        ),
        **MACHINES,
        "owner_processes": "DELETE",
    },
    RECEIVER: {
        **MACHINES,
        **dict.fromkeys((*PERSONAL, *DOOR, "audit_log", "audit_head"), EVERYTHING),
        **dict.fromkeys((*OF_OWNERS, "schedules", "performances", "venues", "former_plans"), WRITE),
        "journal": WRITE,
        "accounts": EVERYTHING,  # see READABLE
        "account_links": "INSERT, DELETE",
    },
    BACKGROUND: {"accounts": EVERYTHING, "nodes": WRITE, "owner_processes": WRITE},
}
APPEND_ONLY = {
    **dict.fromkeys(("journal", "audit_log", "former_plans"), "UPDATE, DELETE"),
    "alembic_version": WRITE,
}
# Columns that a role may read of a table that is otherwise closed to it.
READABLE = {(RECEIVER, "accounts"): "id, email, name, language, email_confirmed_at, deleted_at"}

logger = logging.getLogger(__name__)


async def establish(url: str) -> bool:
    """Makes the roles and gives them what they may; False where the database does not let us."""
    import asyncpg

    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            tables = {row["tablename"] for row in await connection.fetch(_TABLES)}
            for role in ROLES:
                await _establish(connection, role, tables)
    except asyncpg.InsufficientPrivilegeError as error:
        logger.warning("processes work under no roles of their own: %s", error)
        return False
    finally:
        await connection.close()
    return True


_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def _establish(connection: asyncpg.Connection[asyncpg.Record], role: str, tables: set[str]) -> None:
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    if not await connection.fetchval("SELECT pg_has_role($1, 'MEMBER')", role):
        await connection.execute(f"GRANT {role} TO CURRENT_USER")
    await connection.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    await connection.execute(f"GRANT {EVERYTHING} ON ALL TABLES IN SCHEMA public TO {role}")
    await connection.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
    for table, privileges in [*APPEND_ONLY.items(), *REFUSED[role].items()]:
        if table in tables:
            await connection.execute(f"REVOKE {privileges} ON {table} FROM {role}")
    for (whose, table), columns in READABLE.items():
        if whose == role:
            await connection.execute(f"GRANT SELECT ({columns}) ON {table} TO {role}")


def with_role(url: str, role: str) -> str:
    """The URL of a database, for whoever works under the role."""
    base, _, query = url.partition("?")
    return f"{base}?{urlencode([*((n, v) for n, v in parse_qsl(query) if n != 'role'), ('role', role)], safe='/')}"


def has_role(url: str) -> bool:
    """Whether whoever connects by the URL works under a role."""
    return any(name == "role" for name, _ in parse_qsl(url.partition("?")[2]))
