"""Nobody rewrites what happened, and each process may do to the database what it needs: shown by trying."""

from __future__ import annotations

import itertools

import asyncpg
import pytest

from persistence.database import tables
from persistence.database.dsn import asyncpg_dsn
from persistence.database.roles import (
    API,
    APPEND_ONLY,
    BACKGROUND,
    OWNER,
    READABLE,
    RECEIVER,
    REFUSED,
    ROLES,
    establish,
    has_role,
    with_role,
)

HISTORY = ("journal", "audit_log")


@pytest.fixture
async def url(database_url: str) -> str:
    assert await establish(database_url)
    return database_url


async def tried(url: str, statement: str) -> str:
    """What becomes of a statement: "done", or why it was refused."""
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError as error:
        return str(error)
    finally:
        await connection.close()
    return "done"


# --- history ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("table", HISTORY)
@pytest.mark.parametrize("statement", ["UPDATE {0} SET seq = seq", "DELETE FROM {0}", "TRUNCATE {0}"])
@pytest.mark.parametrize("role", [None, *ROLES])
async def test_history_is_rewritten_by_nobody_not_even_by_who_owns_the_tables(
    url: str, table: str, statement: str, role: str | None
) -> None:
    reached = url if role is None else with_role(url, role)
    refused = await tried(reached, statement.format(table))
    assert refused in (f"permission denied for table {table}", f"{table} is append-only")
    assert role is not None or refused == f"{table} is append-only"


@pytest.mark.parametrize("role", [API, BACKGROUND])
async def test_who_writes_history_can_append(url: str, role: str) -> None:
    for table in HISTORY:
        assert await tried(with_role(url, role), f"INSERT INTO {table} SELECT * FROM {table}") == "done"


# --- roles ------------------------------------------------------------------------------------------------------------
PROBES = {
    "SELECT": "SELECT * FROM {0}",
    "INSERT": "INSERT INTO {0} SELECT * FROM {0} WHERE false",
    "DELETE": "DELETE FROM {0}",
}


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_what_it_needs_and_nothing_that_it_is_refused(url: str, role: str) -> None:
    found = {}
    for table, (privilege, probe) in itertools.product(tables.metadata.tables, PROBES.items()):
        found[table, privilege] = await tried(with_role(url, role), probe.format(table)) == "done"
    for (table, privilege), could in found.items():
        refused = REFUSED[role].get(table, "") + APPEND_ONLY.get(table, "")
        if privilege == "INSERT" and "SELECT" in refused:
            continue  # it reads as well
        assert could == (privilege not in refused), (table, privilege)


async def test_an_owner_of_schedules_learns_nobody_s_password_or_session(url: str) -> None:
    for table in ("accounts", "sessions", "account_links", "idempotency_keys"):
        assert await tried(with_role(url, OWNER), f"SELECT * FROM {table}") == f"permission denied for table {table}"


async def test_who_writes_mails_reads_addresses_and_no_passwords(url: str) -> None:
    for (role, table), columns in READABLE.items():
        assert await tried(with_role(url, role), f"SELECT {columns} FROM {table}") == "done"
    assert await tried(with_role(url, RECEIVER), "SELECT password_hash FROM accounts") != "done"
    assert await tried(with_role(url, RECEIVER), "UPDATE accounts SET role = 'admin'") != "done"


@pytest.mark.parametrize("role", ROLES)
async def test_no_role_makes_tables_or_other_roles(url: str, role: str) -> None:
    for statement in (
        "CREATE TABLE own (it int)",
        "CREATE ROLE boxoffice_other",
        "ALTER TABLE journal DISABLE TRIGGER ALL",
    ):
        assert await tried(with_role(url, role), statement) != "done"


async def test_roles_can_be_established_again_and_again(url: str) -> None:
    assert await establish(url)
    assert await tried(with_role(url, RECEIVER), "UPDATE journal SET seq = seq") != "done"


async def test_where_the_database_lets_nobody_make_roles_processes_do_without(url: str) -> None:
    assert not await establish(with_role(url, API))


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db?role=r"),
        ("postgresql://postgres@/db?host=/tmp/x-pg", "postgresql://postgres@/db?host=/tmp/x-pg&role=r"),
        ("postgresql://host/db?role=other&ssl=require", "postgresql://host/db?ssl=require&role=r"),
    ],
)
def test_a_url_says_under_which_role(given: str, made: str) -> None:
    assert with_role(given, "r") == made
    assert has_role(made)
    assert not has_role("postgresql://host/db?host=/role=x")
