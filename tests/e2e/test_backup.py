"""A house that is sold, paid and partly inside is lost with its disk, and made again from a backup."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from persistence.database.dsn import asyncpg_dsn
from tests.api.command_line.test_cli import boxoffice
from tests.conftest import MakeStack, Stack
from tests.support.sale import hold, open_sale, paid_booking, read, refund, sign_up


def scan(code: str) -> dict[str, str]:
    """A code that is read at the door."""
    return {"id": str(uuid4()), "code": code}


async def said_by(stack: Stack, *words: str) -> tuple[int, str]:
    return await boxoffice(*words, "--data-dir", str(stack.data_dir))


async def restored(stack: Stack, backup: Path) -> None:
    """The machine's database is gone with its disk, and comes from the backup."""
    await stack.kill_all()
    shutil.rmtree(stack.data_dir / "postgres")
    code, said = await said_by(stack, "restore", str(backup))
    assert code == 0, said
    await stack.start()
    await stack.answers()


@pytest.mark.long
async def test_a_lost_database_is_made_again_from_a_backup_and_everything_agrees(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    async with make_stack(workers=1) as stack:
        async with stack.client() as http:
            sale, customer = await open_sale(http), await sign_up(http)
            inside, _ = await paid_booking(http, sale, customer, *sale.fresh(2))
            _, given_back = await paid_booking(http, sale, customer, *sale.fresh(1))
            assert (await refund(http, given_back, customer)).status_code == httpx.codes.CREATED
            held = await hold(http, sale, customer, *sale.fresh(1))
            ticket = {**customer, "Accept": "application/json"}
            code = (await read(http, f"/v1/bookings/{inside['id']}/ticket", ticket))["code"]
            door = f"/v1/schedules/{sale.schedule_id}/check-ins"
            (entry,) = (await http.post(door, json=[scan(code)], headers=sale.organizer)).json()
            assert entry["result"] == "admitted", entry

        backup = tmp_path / "house.backup"
        exit_code, said = await said_by(stack, "backup", str(backup))
        assert exit_code == 0, said
        assert backup.stat().st_mode & 0o077 == 0, "who has bought what is nobody else's to read"
        exit_code, said = await said_by(stack, "restore", str(backup))
        assert (exit_code, "is in use by another" in said) == (1, True), said

        await restored(stack, backup)
        exit_code, said = await said_by(stack, "restore", str(backup))
        assert exit_code == 1, said
        exit_code, said = await said_by(stack, "reconcile")
        assert exit_code == 0, said
        async with stack.client() as http:
            assert await read(http, f"/v1/bookings/{inside['id']}", customer) == inside
            assert (await read(http, f"/v1/bookings/{held['id']}", customer))["status"] == "held"
            (again,) = (await http.post(door, json=[scan(code)], headers=sale.organizer)).json()
            assert again["result"] == "already_in", again
            _, later = await paid_booking(http, sale, customer, *sale.fresh(1))

        # What was paid after that moment is known to the provider alone, and is told.
        await restored(stack, backup)
        exit_code, said = await said_by(stack, "reconcile")
        assert exit_code == 1
        assert f"{later['id']} of booking" in said
        assert "taken there, unknown here" in said


async def test_nothing_is_restored_into_a_database_that_has_something(tmp_path: Path, database_url: str) -> None:
    backup = tmp_path / "house.backup"
    there = {"DATABASE_URL": asyncpg_dsn(database_url)}
    code, said = await boxoffice("backup", str(backup), "--data-dir", str(tmp_path / "data"), **there)
    assert code == 0, said
    code, said = await boxoffice("restore", str(backup), "--data-dir", str(tmp_path / "data"), **there)
    assert (code, "the database is not empty" in said) == (1, True), said
    code, said = await boxoffice("restore", str(tmp_path / "none"), "--data-dir", str(tmp_path / "data"), **there)
    assert (code, "there is no file" in said) == (1, True), said
    backup.write_bytes(backup.read_bytes()[:-2_000])
    code, said = await boxoffice("restore", str(backup), "--data-dir", str(tmp_path / "data"), **there)
    assert (code, "is not, or not all of, what `boxoffice backup` writes" in said) == (1, True), said
