"""The audit log through its doors: the admin's list, and `boxoffice audit`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.process.clock import SystemClock
from actors.process.keys import AUDIT_HEADS, derived
from actors.reconciliation.audit_heads import FILE_NAME, AuditHeads
from api.command_line import administrators
from persistence.database.connection import create_engine
from tests.api.command_line.test_cli import boxoffice
from tests.api.conftest import PASSWORD, Worker
from tests.support.audit_log import found, sql, stored, write
from tests.support.sale import problem, small_plan

SECRET = "a secret of at least 32 characters"


@pytest.fixture(scope="module")
async def admin(worker: Worker) -> dict[str, str]:
    email = "admin@audit.example"
    await administrators.create(worker.office.settings, email, PASSWORD)
    return await worker.log_in(email)


async def page(worker: Worker, admin: dict[str, str], **query: Any) -> dict[str, Any]:
    answer = await worker.http.get("/v1/admin/audit", params=query, headers=admin)
    assert answer.status_code == httpx.codes.OK, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_every_change_of_an_organizer_is_told_newest_first_and_chained(
    worker: Worker, admin: dict[str, str]
) -> None:
    organizer = await worker.sign_up("organizer")

    async def done(method: str, url: str, **body: Any) -> dict[str, Any]:
        answer = await worker.http.request(method, url, headers=organizer, json=body)
        assert answer.is_success, answer.text
        return {} if answer.status_code == httpx.codes.NO_CONTENT else answer.json()

    account_id = (await worker.http.get("/v1/accounts/me", headers=organizer)).json()["id"]
    venue = await done("POST", "/v1/venues", name="Hall", seating_plan=small_plan())
    performance = await done("POST", "/v1/performances", title="카르멘")
    schedule = await done(
        "POST",
        f"/v1/performances/{performance['id']}/schedules",
        starts_at="2031-05-05T19:30:00+09:00",
        venue_id=venue["id"],
        currency="KRW",
        prices={"VIP": 150_000, "Standard": 55_000},
    )
    url, blocks = f"/v1/schedules/{schedule['id']}", f"/v1/organizer/schedules/{schedule['id']}/blocks"
    await done("PATCH", url, hold_seconds=300, sale_opens_at="2031-01-01T09:00:00+09:00")
    await done("POST", blocks, seats=["A-1"], reason="camera")
    await done("DELETE", blocks, seats=["A-1"])
    await done("PATCH", f"/v1/performances/{performance['id']}", title="Carmen")
    await done("DELETE", url)
    await done("DELETE", f"/v1/performances/{performance['id']}")

    items = (await page(worker, admin, account_id=account_id))["items"]
    assert [item["action"] for item in items] == [
        "performance.deleted",
        "schedule.deleted",
        "performance.changed",
        "seats.unblocked",
        "seats.blocked",
        "schedule.changed",
        "schedule.created",
        "performance.created",
        "venue.created",
    ]
    changed = items[5]
    assert changed["subject"] == f"schedule:{schedule['id']}"
    assert changed["before"] == {"hold_seconds": 600, "sale_opens_at": None}
    assert changed["after"]["hold_seconds"] == 300
    assert {item["account_id"] for item in items} == {account_id}
    assert {len(item["hash"]) for item in items} == {64}
    assert await found(worker.office.database) == []


async def test_the_log_is_read_page_by_page_and_by_filter(worker: Worker, admin: dict[str, str]) -> None:
    database = worker.office.database
    await write(database, 5, subject="venue:pages", action="venue.created")
    await write(database, subject="venue:pages", action="venue.changed")
    seqs: list[int] = []
    cursor = None
    while cursor is not None or not seqs:
        query = {"subject": "venue:pages", "limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = await page(worker, admin, **query)
        seqs += [item["seq"] for item in answer["items"]]
        cursor = answer["next_cursor"]
    assert seqs == list(range(seqs[0], seqs[0] - 6, -1))
    (only,) = (await page(worker, admin, subject="venue:pages", action="venue.changed"))["items"]
    assert only["seq"] == seqs[0]
    assert await page(worker, admin, subject="venue:nowhere") == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "query",
    [
        {"account_id": "me"},
        {"subject": "a\0b"},
        {"action": "x" * 201},
        {"limit": 201},
        {"cursor": "nonsense"},
        {"cursor": "WyJhIl0"},  # ["a"]
        {"cursor": "WyItMSJd"},  # ["-1"]
        {"cursor": "WyI5MjIzMzcyMDM2ODU0Nzc1ODA4Il0"},  # ["9223372036854775808"]
    ],
)
async def test_a_query_that_cannot_be_answered_is_refused(
    worker: Worker, admin: dict[str, str], query: dict[str, Any]
) -> None:
    answer = await worker.http.get("/v1/admin/audit", params=query, headers=admin)
    refused = problem(answer, 422, "validation_failed")
    assert [error["field"] for error in refused["errors"]] == list(query)


async def test_the_log_is_for_admins_only(worker: Worker) -> None:
    problem(await worker.http.get("/v1/admin/audit"), 401, "unauthenticated")
    for role in ("customer", "organizer"):
        answer = await worker.http.get("/v1/admin/audit", headers=await worker.sign_up(role))
        problem(answer, 403, "forbidden")


class Installation:
    """A database and a data directory, as the program `boxoffice` finds them."""

    def __init__(self, url: str, data_dir: Path, database: AsyncEngine) -> None:
        self.url = url
        self.data_dir = data_dir
        self.database = database

    async def export_head(self) -> None:
        path, keys = self.data_dir / FILE_NAME, [derived(SECRET, AUDIT_HEADS)]
        await AuditHeads(self.database, path, keys, SystemClock()).run_once()

    def forge_line(self) -> None:
        with (self.data_dir / FILE_NAME).open("a") as file:
            file.write('{"seq":1,"hash":"00","at":"","mac":"00"}\n')

    async def audit(self, *arguments: str, secret: str = SECRET) -> tuple[int, str]:
        return await boxoffice(
            *("audit", *arguments, "--data-dir", str(self.data_dir)), DATABASE_URL=self.url, BOXOFFICE_SECRET=secret
        )


@pytest.fixture
async def installation(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    engine = create_engine(database_url, pool_size=2)
    yield Installation(database_url, tmp_path, engine)
    await engine.dispose()


class TestCommand:
    """`boxoffice audit`."""

    async def test_a_whole_log_is_said_to_be_whole(self, installation: Installation) -> None:
        await write(installation.database, 3)
        code, output = await installation.audit("verify")
        assert (code, "The chain is whole." in output, "no exported heads at" in output) == (0, True, True), output
        await installation.export_head()
        code, output = await installation.audit("verify")
        assert (code, "The audit log is whole." in output) == (0, True), output
        assert "3 entries, 1 exported heads compared" in output
        assert (await stored(installation.database))[-1].hash.hex() in output

    async def test_damage_fails_and_is_named(self, installation: Installation) -> None:
        await write(installation.database, 5)
        await installation.export_head()
        installation.forge_line()
        ids = [entry.id for entry in await stored(installation.database)]
        await sql(
            installation.database,
            "UPDATE audit_log SET action = 'x' WHERE seq = 2",
            "DELETE FROM audit_log WHERE seq = 4",
        )
        code, output = await installation.audit("verify")
        assert code == 1
        lines = [" ".join(line.replace("│", " ").split()) for line in output.splitlines()]
        for named in (f"edited entry 2 ({ids[1]})", "removed entry 4", "damaged_export line 2"):
            assert any(line.startswith(named) for line in lines), output

    async def test_heads_that_cannot_be_read_or_checked_are_not_passed_over(self, installation: Installation) -> None:
        await write(installation.database)
        await installation.export_head()
        code, output = await installation.audit("verify", "--heads", str(installation.data_dir / "elsewhere"))
        assert (code, "cannot be read" in output) == (1, True)
        code, output = await installation.audit("verify", secret="")
        assert (code, "set BOXOFFICE_SECRET" in output) == (1, True)
        assert "Traceback" not in output

    async def test_an_export_has_every_entry_and_the_head(self, installation: Installation) -> None:
        await write(installation.database, 3, after={"title": "카르멘"})
        file = installation.data_dir / "audit.jsonl"
        code, output = await installation.audit("export", "--output", str(file))
        assert (code, output) == (0, f"3 entries written to {file}\n")
        code, printed = await installation.audit("export")
        assert (code, printed) == (0, text_of(file))
        *entries, last = (json.loads(line) for line in printed.splitlines())
        assert [entry["seq"] for entry in entries] == [1, 2, 3]
        assert entries[0]["after"] == {"title": "카르멘"}
        assert last["head"]["hash"] == entries[-1]["hash"]

    async def test_an_export_that_cannot_be_written_says_so(self, installation: Installation) -> None:
        code, output = await installation.audit("export", "--output", str(installation.data_dir / "no" / "file"))
        assert (code, "cannot be written" in output, "Traceback" in output) == (1, True, False)

    @pytest.mark.parametrize("command", ["verify", "export"])
    async def test_a_database_that_is_away_says_so(self, tmp_path: Path, command: str) -> None:
        away = "postgresql://u:hush@127.0.0.1:1/x"
        code, output = await boxoffice("audit", command, "--data-dir", str(tmp_path), DATABASE_URL=away)
        assert (code, "database is away" in output, "hush" in output, "Traceback" in output) == (1, True, False, False)

    async def test_a_database_of_another_version_says_what_to_do(self, postgres_url: str, tmp_path: Path) -> None:
        code, output = await boxoffice("audit", "verify", "--data-dir", str(tmp_path), DATABASE_URL=postgres_url)
        assert (code, "run `boxoffice migrate` first" in output) == (1, True), output


def text_of(file: Path) -> str:
    return file.read_text()
