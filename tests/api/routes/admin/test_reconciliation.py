"""Reconciliation through its door: who may, what is told, that a dry run is the default, what a repair logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.reconciliation.checks import Name, checked
from actors.reconciliation.watch import Reconciling
from api.command_line import administrators
from engine.state import SOLD
from persistence.reconciliation import findings
from persistence.reconciliation.told import say
from persistence.seats.cache import SeatView
from persistence.seats.redis_cache import KEY, RedisSeatCache
from tests.api.conftest import PASSWORD, Worker
from tests.support.clocks import MovableClock
from tests.support.examined import ProviderWithBooks
from tests.support.sale import Sale, hold, open_sale, problem
from tests.support.waiting import until

NOWHERE = "0199f3a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def admin(worker: Worker) -> dict[str, str]:
    email = "admin@reconciliation.example"
    await administrators.create(worker.office.settings, email, PASSWORD)
    return await worker.log_in(email)


@pytest.fixture(scope="module", autouse=True)
def provider(worker: Worker) -> ProviderWithBooks:
    """Nobody pays here, so the sandbox is not there; this one says so."""
    provider = ProviderWithBooks(MovableClock())
    assert isinstance(worker.office.providers, dict)
    worker.office.providers["sandbox"] = provider
    return provider


@pytest.fixture
async def sale(worker: Worker) -> Sale:
    return await open_sale(worker.http)


@pytest.fixture
async def booking(worker: Worker, sale: Sale) -> dict[str, Any]:
    booked = await hold(worker.http, sale, await worker.sign_up(), "A-1", "A-2")

    async def shown() -> bool:
        rows = await worker.http.get(f"/v1/schedules/{sale.schedule_id}/seats")
        return bool(rows.json()["version"] == booked["version"])

    await until(shown)
    return booked


def url_of(sale: Sale) -> str:
    return f"/v1/admin/schedules/{sale.schedule_id}/reconciliation"


async def examined(worker: Worker, admin: dict[str, str], sale: Sale, **query: Any) -> dict[str, Any]:
    answer = await worker.http.get(url_of(sale), params=query, headers=admin)
    assert answer.status_code == httpx.codes.OK, answer.text
    report: dict[str, Any] = answer.json()
    return report


async def mended(worker: Worker, admin: dict[str, str], sale: Sale, body: object = None) -> dict[str, Any]:
    answer = await worker.http.post(url_of(sale), json=body, headers=admin)
    assert answer.status_code == httpx.codes.OK, answer.text
    repair: dict[str, Any] = answer.json()
    return repair


def failing(report: dict[str, Any]) -> set[str]:
    names = {check["name"] for check in report["checks"] if not check["holds"]}
    assert report["holds"] == (not names)
    return names


async def corrupt(worker: Worker, booking: dict[str, Any]) -> None:
    status = await worker.office.pool.execute("UPDATE bookings SET currency = 'USD' WHERE id = $1", booking["id"])
    assert status == "UPDATE 1"


async def repairs_logged(worker: Worker, admin: dict[str, str], sale: Sale) -> list[dict[str, Any]]:
    query = {"subject": f"schedule:{sale.schedule_id}", "action": "schedule.repaired"}
    items: list[dict[str, Any]] = (await worker.http.get("/v1/admin/audit", params=query, headers=admin)).json()[
        "items"
    ]
    return items


async def test_a_schedule_is_examined_and_every_check_is_told(
    worker: Worker, admin: dict[str, str], sale: Sale, booking: dict[str, Any]
) -> None:
    report = await examined(worker, admin, sale)
    assert failing(report) == set()
    assert (report["schedule_id"], report["version"]) == (sale.schedule_id, booking["version"])
    checks = {check["name"]: check for check in report["checks"]}
    assert len(checks) == len(report["checks"]) >= 15
    assert checks["sold_seats_equal_bookings"]["expected"] == "0 sold, 2 held"
    assert set(checks["memory_equals_journal"]) == {"name", "holds", "expected", "actual", "offenders"}
    assert "published_equals_head" not in checks, "nothing is published here"


async def test_asking_for_events_where_none_are_published_adds_no_check(
    worker: Worker, admin: dict[str, str], sale: Sale
) -> None:
    report = await examined(worker, admin, sale, events=True)
    assert failing(report) == set()
    assert "events_equal_journal" not in {check["name"] for check in report["checks"]}


@pytest.mark.parametrize("body", [None, {}, {"dry_run": True}])
async def test_a_repair_is_a_dry_run_unless_asked_for(
    worker: Worker, admin: dict[str, str], sale: Sale, booking: dict[str, Any], body: object
) -> None:
    await corrupt(worker, booking)
    repair = await mended(worker, admin, sale, body)
    assert (repair["dry_run"], repair["after"]) == (True, None)
    assert failing(repair["before"]) == {"bookings_equal_journal"}
    (action,) = repair["actions"]
    assert action == {
        "check": "bookings_equal_journal",
        "action": f"bookings {booking['id']} is written as the journal says",
        "parts": [{"code": "row_written", "facts": {"table": "bookings", "id": booking["id"]}}],
        "done": False,
    }
    assert failing(await examined(worker, admin, sale)) == {"bookings_equal_journal"}
    assert await repairs_logged(worker, admin, sale) == []


async def test_a_repair_mends_says_what_it_did_and_is_in_the_audit_log(
    worker: Worker, admin: dict[str, str], sale: Sale, booking: dict[str, Any]
) -> None:
    await corrupt(worker, booking)
    repair = await mended(worker, admin, sale, {"dry_run": False})
    assert repair["dry_run"] is False
    assert [action["done"] for action in repair["actions"]] == [True]
    assert failing(repair["after"]) == set()
    assert failing(await examined(worker, admin, sale)) == set()
    (entry,) = await repairs_logged(worker, admin, sale)
    assert entry["before"] == {"failing": ["bookings_equal_journal"]}
    assert entry["after"] == {"actions": repair["actions"], "failing": []}


async def test_there_is_nothing_to_mend_where_everything_holds(
    worker: Worker, admin: dict[str, str], sale: Sale
) -> None:
    repair = await mended(worker, admin, sale, {"dry_run": False})
    assert (repair["actions"], repair["after"]) == ([], None)


async def test_a_seat_changed_in_redis_is_named_and_shown_rightly_after_a_repair(
    worker: Worker, admin: dict[str, str], sale: Sale
) -> None:
    cache = RedisSeatCache(worker.office.settings.redis_url or "")
    assert (await worker.http.get(f"/v1/schedules/{sale.schedule_id}/seats")).status_code == httpx.codes.OK
    right = await cache.get(sale.schedule_id)
    assert right is not None
    await worker.office.redis.delete(KEY + sale.schedule_id)
    await cache.put(SeatView(right.schedule_id, right.version, bytes([SOLD]) + right.states[1:], right.areas))
    report = await examined(worker, admin, sale)
    assert failing(report) == {"seat_map_equals_journal"}
    (check,) = [each for each in report["checks"] if not each["holds"]]
    assert check["offenders"] == ["A-1"]
    repair = await mended(worker, admin, sale, {"dry_run": False})
    assert failing(repair["after"]) == set()
    assert await cache.get(sale.schedule_id) == right
    await cache.close()


async def test_a_provider_that_is_away_is_said_to_be(
    worker: Worker, admin: dict[str, str], sale: Sale, provider: ProviderWithBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "away", True)
    report = await examined(worker, admin, sale)
    assert failing(report) == {"provider_books_agree"}
    assert report["checks"][-1]["actual"] == "cannot be read now: away"


class NoDatabase:
    """A pool whose database is away."""

    async def fetchrow(self, query: str, *arguments: object) -> None:
        raise ConnectionRefusedError("away")

    def acquire(self) -> None:
        raise ConnectionRefusedError("away")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_with_the_database_away_the_answer_is_503(
    worker: Worker, admin: dict[str, str], sale: Sale, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(worker.office.reconciler, "_pool", NoDatabase())
    problem(await worker.http.request(method, url_of(sale), headers=admin), 503, "dependency_unavailable")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_refusals(worker: Worker, admin: dict[str, str], sale: Sale, method: str) -> None:
    problem(await worker.http.request(method, url_of(sale)), 401, "unauthenticated")
    for role in ("customer", "organizer"):
        answer = await worker.http.request(method, url_of(sale), headers=await worker.sign_up(role))
        problem(answer, 403, "forbidden")
    nowhere = f"/v1/admin/schedules/{NOWHERE}/reconciliation"
    problem(await worker.http.request(method, nowhere, headers=admin), 404, "schedule_not_found")


async def test_a_body_that_makes_no_sense_is_refused(worker: Worker, admin: dict[str, str], sale: Sale) -> None:
    answer = await worker.http.post(url_of(sale), json={"dry_run": "perhaps"}, headers=admin)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text


# --- what the background process has found ----------------------------------------------------------------------------
@pytest.fixture
async def found(fresh_worker: Worker, tmp_path: Path) -> tuple[Worker, dict[str, str], Reconciling]:
    """A worker where nothing is registered, its admin, and the job of the background process."""
    office = fresh_worker.office
    email = "admin@findings.example"
    await administrators.create(office.settings, email, PASSWORD)
    heads = (tmp_path / "heads", b"key")
    job = Reconciling(office.pool, office.database, office.reconciler, {}, office.clock, heads)
    return fresh_worker, await fresh_worker.log_in(email), job


async def test_what_was_found_is_told_page_by_page(found: tuple[Worker, dict[str, str], Reconciling]) -> None:
    worker, admin, job = found

    async def page(**query: Any) -> dict[str, Any]:
        answer = await worker.http.get("/v1/admin/reconciliation", params=query, headers=admin)
        assert answer.status_code == httpx.codes.OK, answer.text
        body: dict[str, Any] = answer.json()
        return body

    nothing = await page()
    assert (nothing["examined"], nothing["overall"], nothing["items"], nothing["next_cursor"]) == (0, None, [], None)
    ids = sorted([(await open_sale(worker.http)).schedule_id for _ in range(3)])
    await job.examine_the_whole()
    await job.run_once()
    await findings.keep(
        worker.office.pool,
        subject=ids[1],
        version=1,
        checked_at=worker.office.now(),
        holds=False,
        checks=[
            checked(
                Name.JOURNAL_IS_WHOLE,
                say("versions", version=1),
                say("version_missing", version=1),
                [say("version", version=1)],
            )
        ],
    )
    first = await page(limit=2)
    assert (first["examined"], first["failing"]) == (4, 1)
    assert [item["schedule_id"] for item in first["items"]] == ids[:2]
    assert first["items"][1]["checks"] == [
        {
            "name": "journal_is_whole",
            "holds": False,
            "expected": "versions 1 to 1",
            "actual": "version 1: missing",
            "offenders": ["version 1"],
            "parts": {
                "expected": [{"code": "versions", "facts": {"version": "1"}}],
                "actual": [{"code": "version_missing", "facts": {"version": "1"}}],
                "offenders": [[{"code": "version", "facts": {"version": "1"}}]],
            },
        }
    ]
    assert first["overall"]["holds"]
    assert first["overall"]["schedule_id"] is None
    assert first["oldest_examination_at"]
    second = await page(limit=2, cursor=first["next_cursor"])
    assert ([item["schedule_id"] for item in second["items"]], second["next_cursor"]) == (ids[2:], None)
    only = await page(failing=True)
    assert [item["schedule_id"] for item in only["items"]] == [ids[1]]


async def test_the_findings_are_for_admins_only(worker: Worker) -> None:
    problem(await worker.http.get("/v1/admin/reconciliation"), 401, "unauthenticated")
    answer = await worker.http.get("/v1/admin/reconciliation", headers=await worker.sign_up("organizer"))
    problem(answer, 403, "forbidden")
