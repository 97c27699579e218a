"""Who is on the machine, in the database or an administrator already: no further than they may, and no sale notices."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import httpx
import psutil
import pytest

from actors.supervision.environments import DATABASE_ROLES
from loadtest.stack import words_of
from persistence.database.roles import with_role
from persistence.embedded.instance import kept_secret, run_directory
from tests.conftest import Stack
from tests.support.honest_sale import HonestSale
from tests.support.sale import log_in_admin, refused

pytestmark = pytest.mark.stack

SOMEBODY_ELSE = 65_534  # a user of the machine with no rights
# Tries to enter or to read whatever it is given, as somebody else; prints what it could.
INTRUDER = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
for path in sys.argv[2:]:
    try:
        if os.path.isdir(path) or not os.path.exists(path):
            os.listdir(path)
        else:
            with socket.socket(socket.AF_UNIX) as door:
                door.connect(path)
    except OSError:
        continue
    print(path)
"""
REWRITES = (
    "UPDATE journal SET seq = seq + 1",
    "DELETE FROM audit_log",
    "TRUNCATE journal",
    "ALTER TABLE journal DISABLE TRIGGER ALL",
    "LOCK TABLE journal IN ACCESS EXCLUSIVE MODE",
    "CREATE ROLE intruder SUPERUSER",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY journal TO PROGRAM 'cat'",
)
SIGNING = "worker-"  # alone are given the secret itself


async def test_nobody_becomes_an_administrator_and_the_last_one_stays(
    besieged: Stack, attacker: httpx.AsyncClient, honest_sale: HonestSale
) -> None:
    admin = await log_in_admin(attacker, besieged)
    me = (await attacker.get("/v1/accounts/me", headers=admin)).json()
    password = {"password": "a long password"}
    last = f"/v1/admin/accounts/{me['id']}"
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            for email in (besieged.admin_email, besieged.admin_email.upper(), f" {besieged.admin_email} "):
                taken = await attacker.post("/v1/accounts", json={"email": email, **password})
                assert taken.status_code in (409, 429), taken.text
            crowned = await attacker.post(
                "/v1/accounts", json={"email": "crown@example.com", **password, "role": "admin"}
            )
            assert crowned.status_code in (422, 429), crowned.text
            for change in ({"role": "customer"}, {"locked": True}):
                refused(await attacker.patch(last, json=change, headers=admin), 409, "last_administrator")
            gone = {"current_password": besieged.admin_password}
            refused(
                await attacker.request("DELETE", "/v1/accounts/me", json=gone, headers=admin), 409, "last_administrator"
            )
    checks = (await attacker.get("/readyz")).json()["checks"]
    assert checks["administrator"] == "up"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as somebody else")
async def test_other_users_of_the_machine_reach_none_of_our_services(besieged: Stack, honest_sale: HonestSale) -> None:
    run = run_directory(besieged.data_dir)
    doors = [path for path in run.rglob("*") if path.is_socket()]
    assert doors, "there are sockets to try"
    words = (sys.executable, "-c", INTRUDER, str(SOMEBODY_ELSE), str(run), str(besieged.data_dir), *map(str, doors))
    async with honest_sale.goes_on() as beside:
        while beside.needs_more():
            intruder = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
            entered, _ = await intruder.communicate()
            assert intruder.returncode == 0
            assert entered == b""


async def test_no_process_s_role_rewrites_what_happened_or_leaves_its_place(
    besieged: Stack, honest_sale: HonestSale
) -> None:
    connections = [await asyncpg.connect(with_role(besieged.database_url, role)) for role in {*DATABASE_ROLES.values()}]
    try:
        async with honest_sale.goes_on() as beside:
            while beside.needs_more():
                for connection, statement in ((one, each) for one in connections for each in REWRITES):
                    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RaiseError)):
                        async with connection.transaction():
                            await connection.execute(statement)
    finally:
        for connection in connections:
            await connection.close()


async def test_the_secret_is_with_those_alone_who_sign_tokens(besieged: Stack) -> None:
    secret = kept_secret(besieged.data_dir / "secret")
    running = {name: psutil.Process(pid) for name, pid in besieged.run.processes.items()}
    having = {name for name, process in running.items() if secret in repr(process.environ())}
    shown = [words_of(process) for process in running.values()]
    assert {name for name in having if not name.startswith(SIGNING)} == set()
    assert not any(secret in words for words in shown)
