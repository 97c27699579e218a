"""What a database must be like, whoever runs it: seen before anything is made in it.

What is said here is for the person who has set `DATABASE_URL`.
"""

from __future__ import annotations

# The oldest that its makers still mend, and that this has been tried on.
OLDEST = 15
ENCODING = "UTF8"

TRAITS = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
       current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'
"""


class UnsuitableDatabase(Exception):
    """A database that this release cannot work with; the message says why, and what to do."""


def shortcomings(version: int, said: str, encoding: str, standby: bool, read_only: bool) -> list[str]:
    """Why a database with these `TRAITS` will not do; empty where it will."""
    found = []
    if version < OLDEST * 10_000:
        found.append(f"PostgreSQL {said} is too old: {OLDEST} or later is needed")
    if encoding != ENCODING:
        made = f"make one: CREATE DATABASE … ENCODING '{ENCODING}' TEMPLATE template0"
        found.append(f"the database is in {encoding}, which not every name can be written in: {made}")
    if standby:
        found.append("it is a standby, which takes no writes: name the first database in DATABASE_URL")
    elif read_only:
        found.append("it takes no writes: default_transaction_read_only is on, for it or for the user")
    return found
