"""The continuous reconciliation: what it looks at and when, what it keeps, counts and says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY

from actors.reconciliation.audit_heads import AuditHeads
from actors.reconciliation.checks import Check, Report
from actors.reconciliation.watch import AGAIN_MS, AT_ONCE, RESTING_ASKED_MS, Reconciling
from engine import commands as c
from persistence.journal.journal import JournalUnavailable
from persistence.reconciliation import findings
from tests.support import audit_log
from tests.support.examined import Examined, Past
from tests.support.waiting import PATIENCE_SECONDS, until

KEY = b"a key of the heads"


@pytest.fixture
def heads(tmp_path: Path) -> tuple[Path, Sequence[bytes]]:
    return tmp_path / "heads.jsonl", [KEY]


@pytest.fixture
def job(house: Examined, heads: tuple[Path, Sequence[bytes]]) -> Reconciling:
    return new_job(house, heads)


def new_job(house: Examined, heads: tuple[Path, Sequence[bytes]]) -> Reconciling:
    providers = {house.provider.name: house.provider}
    return Reconciling(house.pool, house.engine, house.new_reconciler(), providers, house.clock, heads, publishing=True)


def failing(name: str) -> float | None:
    return REGISTRY.get_sample_value("boxoffice_reconciliation_failed", {"check": name})


def examined(holds: str) -> float:
    return REGISTRY.get_sample_value("boxoffice_reconciliations_total", {"holds": holds}) or 0.0


async def kept(house: Examined, subject: str) -> dict[str, Check]:
    """The finding about a subject, as it is kept."""
    found = await findings.find(house.pool, subject)
    assert found is not None
    checks = {check.name: check for check in msgspec.json.decode(found.checks, type=list[Check])}
    assert found.holds == all(check.holds for check in checks.values())
    return checks


async def test_a_schedule_is_examined_once_and_again_when_it_has_changed(
    house: Examined, past: Past, job: Reconciling
) -> None:
    good = examined("true")
    (report,) = await job.run_once()
    assert report.holds
    assert set(await kept(house, house.schedule_id)) == {check.name for check in report.checks}
    assert await job.run_once() == []
    await house.hold("D-1")
    (later,) = await job.run_once()
    assert later.version == report.version + 1
    assert examined("true") == good + 2
    assert (REGISTRY.get_sample_value("boxoffice_reconciliation_seconds_count") or 0) >= 2


async def test_one_that_has_not_changed_is_examined_again_from_time_to_time(
    house: Examined, past: Past, job: Reconciling
) -> None:
    await job.run_once()
    await house.sql("UPDATE bookings SET currency = 'USD' WHERE id = $1", past.gone.id)
    assert await job.run_once() == []
    await house.retire()  # its holds would expire
    house.clock.ahead_ms += AGAIN_MS + 1
    (report,) = await job.run_once()
    assert "bookings_equal_journal" in report.failing


@pytest.fixture
def asked(job: Reconciling, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which schedules the job examines; each is found right, in a version that it has left by then."""
    asked: list[str] = []

    async def examine(schedule_id: str) -> Report:
        asked.append(schedule_id)
        return Report(schedule_id=schedule_id, version=0, checked_ms=job._clock.now_ms(), checks=())

    monkeypatch.setattr(job, "_examine", examine)
    return asked


async def test_what_is_on_sale_does_not_stand_in_line_behind_what_has_been_played(
    house: Examined, past: Past, job: Reconciling, asked: list[str]
) -> None:
    """Of which there is more every evening, and all of it due again: there it has its turn, too."""
    await house.pool.execute(
        "INSERT INTO schedule_heads (schedule_id, epoch, seq, published_seq, resting)"
        " SELECT gen_random_uuid(), 1, 9, 9, true FROM generate_series(1, 100)"
    )
    for _ in range(3):
        await job.run_once()
    assert [number for number, each in enumerate(asked) if each == house.schedule_id] == [0, AT_ONCE, 2 * AT_ONCE]
    assert len(set(asked)) == 1 + 3 * (AT_ONCE - 1)


async def test_what_has_been_played_is_looked_through_once_a_minute_and_examined_beside_what_moves(
    house: Examined, job: Reconciling, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []
    moving, played = [f"moving {each}" for each in range(AT_ONCE)], ["played 1", "played 2"]

    async def due(*_: object, limit: int, resting: bool = False, **__: object) -> list[str]:
        looks.append(resting)
        return (played if resting else moving)[:limit]

    monkeypatch.setattr(findings, "due", due)
    for _ in range(3):
        await job.run_once()
    assert asked == [*moving, "played 1", *moving, "played 2", *moving]
    assert looks.count(True) == 1
    house.clock.ahead_ms += RESTING_ASKED_MS
    await job.run_once()
    assert looks.count(True) == 2


async def test_what_does_not_hold_is_found_by_an_index(house: Examined) -> None:
    await house.pool.execute(
        "INSERT INTO reconciliations"
        " SELECT gen_random_uuid()::text, 9, now(), number > 3, '[]' FROM generate_series(1, 5000) AS number"
    )
    await house.pool.execute("ANALYZE reconciliations")
    for statement, arguments in ((findings.FAILING_CHECKS, ()), (findings.FAILING_PAGE, ("overall", "", 50))):
        lines = [row[0] for row in await house.pool.fetch(f"EXPLAIN {statement}", *arguments)]
        assert any("ix_reconciliations_failing" in line for line in lines), lines


async def test_one_whose_events_are_not_published_is_examined_until_they_are(
    house: Examined, past: Past, job: Reconciling
) -> None:
    house.log.available = False
    await house.hold("D-1")
    await house.shown()
    await house.retire()
    (report,) = await job.run_once()
    assert report.holds
    house.clock.ahead_ms += 61_000
    (report,) = await job.run_once()
    assert report.failing == {"published_equals_head"}
    house.log.available = True
    await house.send(c.Expire())
    await house.at_rest()
    (report,) = await job.run_once()
    assert report.holds
    assert await job.run_once() == []


async def test_what_does_not_hold_is_counted_said_once_and_looked_at_until_it_holds_again(
    house: Examined, past: Past, job: Reconciling, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await job.run_once()
        assert failing("bookings_equal_journal") == 0
        await house.sql("UPDATE bookings SET currency = 'USD' WHERE id = $1", past.gone.id)
        await house.hold("D-1")
        for _ in range(3):
            (report,) = await job.run_once()
            assert report.failing == {"bookings_equal_journal"}
            assert failing("bookings_equal_journal") == 1
        (said,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
        assert past.gone.id in said.getMessage()
        assert "bookings_equal_journal does not hold" in said.getMessage()

        await house.sql("UPDATE payments SET reason = 'stolen' WHERE id = $1", past.declined)
        await job.run_once()
        _, said = [each for each in caplog.records if each.levelno == logging.CRITICAL]
        assert "payments_equal_journal does not hold" in said.getMessage(), "what comes to it is said, too"

        await house.mend(report)
        await house.sql("UPDATE payments SET reason = 'lost_card' WHERE id = $1", past.declined)
        (report,) = await job.run_once()
        assert report.holds
        assert failing("bookings_equal_journal") == failing("payments_equal_journal") == 0
        assert f"reconciliation of {house.schedule_id}: everything holds again" in caplog.text
    await house.at_rest()
    assert await job.run_once() == []


async def test_a_new_process_takes_back_what_the_one_before_it_has_counted(
    house: Examined, past: Past, job: Reconciling, heads: tuple[Path, Sequence[bytes]]
) -> None:
    await house.sql("UPDATE bookings SET currency = 'USD' WHERE id = $1", past.gone.id)
    (report,) = await job.run_once()
    assert failing("bookings_equal_journal") == 1
    await house.mend(report)
    await new_job(house, heads).run_once()
    assert failing("bookings_equal_journal") == 0


async def test_a_schedule_that_cannot_be_examined_is_a_finding_and_stops_nothing(
    house: Examined, past: Past, job: Reconciling
) -> None:
    await house.sql("DELETE FROM schedules WHERE id = $1", house.schedule_id)
    (report,) = await job.run_once()
    assert report.failing == {"can_be_examined"}
    assert failing("can_be_examined") == 1
    assert "schedules is missing" in (await kept(house, house.schedule_id))["can_be_examined"].actual


async def test_an_error_of_our_own_is_a_finding_too(
    house: Examined, past: Past, job: Reconciling, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def raises(schedule_id: str) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(job._reconciler, "examine", raises)
    with caplog.at_level(logging.ERROR):
        (report,) = await job.run_once()
    assert report.failing == {"can_be_examined"}
    assert "a mistake" in caplog.text


@pytest.mark.parametrize("error", [JournalUnavailable("away"), ConnectionRefusedError("away")])
async def test_with_the_database_in_trouble_nothing_is_found(
    house: Examined, past: Past, job: Reconciling, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def raises(schedule_id: str) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(job._reconciler, "examine", raises)
        if isinstance(error, JournalUnavailable):
            assert await job.run_once() == []
        else:
            with pytest.raises(ConnectionRefusedError):  # which puts the round off
                await job.run_once()
    assert await findings.find(house.pool, house.schedule_id) is None
    (report,) = await job.run_once()
    assert report.holds


async def test_it_goes_on_until_told_to_stop(house: Examined, past: Past, job: Reconciling) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(job.run(stop))

    async def both_found() -> bool:
        found = [await findings.find(house.pool, each) for each in ("overall", house.schedule_id)]
        return all(found)

    await until(both_found)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_SECONDS)


async def test_findings_are_listed_and_summed_up(house: Examined, past: Past, job: Reconciling) -> None:
    await job.examine_the_whole()
    await house.sql("UPDATE bookings SET currency = 'USD' WHERE id = $1", past.gone.id)
    await job.run_once()
    (finding,) = await findings.page(house.pool, failing=True, after=None, limit=10)
    assert finding.subject == house.schedule_id
    assert await findings.page(house.pool, failing=False, after=house.schedule_id, limit=10) == []
    summary = await findings.summary(house.pool)
    assert (summary.examined, summary.failing) == (2, 1)
    assert await findings.failing_checks(house.pool) == {"bookings_equal_journal": 1}


# --- the audit log ----------------------------------------------------------------------------------------------------
AUDIT_DAMAGE = [
    ("UPDATE audit_log SET after = '{}' WHERE seq = 2", "edited: entry 2"),
    ("DELETE FROM audit_log WHERE seq = 2", "removed: entry 2"),
    ("DELETE FROM audit_log WHERE seq = 4", "truncated: entry 4"),
]


@pytest.mark.parametrize(("statement", "offender"), AUDIT_DAMAGE)
async def test_an_audit_row_edited_removed_or_truncated_is_named(
    house: Examined, job: Reconciling, statement: str, offender: str
) -> None:
    await audit_log.write(house.engine, 4)
    (check, books) = await job.examine_the_whole()
    assert check.holds
    assert books.holds
    assert failing("audit_log_is_whole") == 0
    await audit_log.sql(house.engine, statement)
    (check, books) = await job.examine_the_whole()
    assert not check.holds
    assert check.offenders[0].startswith(offender)
    assert books.holds
    assert failing("audit_log_is_whole") == 1
    assert not (await kept(house, findings.OVERALL))["audit_log_is_whole"].holds


async def test_an_audit_log_cut_off_with_its_head_is_named_by_the_exported_head(
    house: Examined, job: Reconciling, heads: tuple[Path, Sequence[bytes]]
) -> None:
    await audit_log.write(house.engine, 4)
    assert await AuditHeads(house.engine, *heads, house.clock).run_once()
    await audit_log.sql(
        house.engine,
        "DELETE FROM audit_log WHERE seq > 2",
        "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit_log WHERE seq = 2)",
    )
    (check, _) = await job.examine_the_whole()
    assert check.offenders == ("truncated: entries 3–4",)


# --- the providers' books ---------------------------------------------------------------------------------------------
async def test_money_that_a_provider_took_for_nobody_is_named(house: Examined, past: Past, job: Reconciling) -> None:
    payment_id, booking_id = house.clock.new_id(), house.clock.new_id()
    house.provider.take(payment_id, booking_id, 1_000)
    house.clock.ahead_ms += 1_000
    (_, books) = await job.examine_the_whole()
    assert not books.holds
    assert books.offenders == (f"{payment_id} of booking {booking_id}: taken there, unknown here",)
    assert failing("provider_books_agree") == 1


async def test_money_that_a_provider_took_for_a_booking_of_ours_is_named_with_its_schedule(
    house: Examined, past: Past, job: Reconciling
) -> None:
    payment_id = house.clock.new_id()
    house.provider.take(payment_id, past.gone.id, 1_000)
    house.provider.take(house.clock.new_id(), "no id at all", 1_000)
    house.clock.ahead_ms += 1_000
    (_, books) = await job.examine_the_whole()
    told = f"{payment_id} of booking {past.gone.id}: taken there, unknown here"
    assert books.offenders[0] == f"schedule {house.schedule_id}: {told}"
    assert len(books.offenders) == 2


async def test_what_was_not_right_in_a_provider_s_books_is_not_forgotten_while_it_is_away(
    house: Examined, past: Past, job: Reconciling
) -> None:
    house.provider.take(house.clock.new_id(), house.clock.new_id(), 1_000)
    house.clock.ahead_ms += 1_000
    await job.examine_the_whole()
    house.provider.away = True
    (_, books) = await job.examine_the_whole()
    assert not books.holds
    assert not (await kept(house, findings.OVERALL))["provider_books_agree"].holds


async def test_a_provider_that_was_never_heard_of_is_not_found_right(
    house: Examined, past: Past, job: Reconciling
) -> None:
    house.provider.away = True
    assert [check.name for check in await job.examine_the_whole()] == ["audit_log_is_whole"]


async def test_books_that_agree_are_read_on_from_there(house: Examined, past: Past, job: Reconciling) -> None:
    asked: list[int] = []
    payments = house.provider.payments

    def listen(since_ms: int, until_ms: int) -> object:
        asked.append(since_ms)
        return payments(since_ms, until_ms)

    house.provider.payments = listen  # type: ignore[method-assign, assignment]  # counts who asks
    await job.examine_the_whole()
    await job.examine_the_whole()
    house.provider.take(house.clock.new_id(), house.clock.new_id(), 1_000)
    house.clock.ahead_ms += 1_000
    await job.examine_the_whole()
    await job.examine_the_whole()
    first, second, third, fourth = asked
    assert second - first > 23 * 3_600_000
    assert third == fourth, "what does not agree is read again"
