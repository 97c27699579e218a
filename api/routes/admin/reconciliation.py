"""Reconciliation for admins: whether everything that knows about a schedule agrees, and mending what does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Query
from fastapi.responses import Response
from pydantic import StrictBool

from actors.reconciliation.checks import CheckParts, Report
from actors.reconciliation.desk import Desk, open_log
from api.http.models import Input, ScheduleId
from api.http.paging import Cursor, Limit, decode_cursor, encode_cursor, json_answer
from api.http.problems import responses
from api.office.dependencies import Admin, OfficeOf
from api.office.office import Office
from api.routes.admin.overview import OverviewsOf
from api.selling.audit_trail import record_in
from api.views.booking import described
from persistence.catalogue.titles import Title
from persistence.database.moments import milliseconds, rfc3339
from persistence.reconciliation import findings
from persistence.reconciliation.told import Part

router = APIRouter(prefix="/v1/admin", tags=["reconciliation"])

REFUSALS = responses("unauthenticated", "forbidden")


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must hold. Of what does not, `parts` is what its sentences are made of, for other languages."""

    name: str
    holds: bool
    expected: str
    actual: str
    offenders: list[str]
    parts: CheckParts | msgspec.UnsetType = msgspec.UNSET


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of a schedule, at the version of its journal that was the newest."""

    schedule_id: str
    version: int
    checked_at: str
    holds: bool
    checks: list[CheckView]


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about a check, or would be."""

    check: str
    action: str
    parts: list[Part]  # what the action's sentence is made of, for other languages
    done: bool


class RepairView(msgspec.Struct, frozen=True, kw_only=True):
    """A repair: what did not hold, what was done about it, and what holds now."""

    dry_run: bool
    before: ReportView
    actions: list[ActionView]
    after: ReportView | None


class How(Input):
    """Whether to mend, or only to say what would be done."""

    dry_run: StrictBool = True


Events = Annotated[
    bool,
    Query(description="Also whether what is on Kafka is the journal, where events are published. Reads the topic."),
]

CHECK_EXAMPLE = {
    "name": "memory_equals_journal",
    "holds": True,
    "expected": "version 4211, state 5d3c0f2b7f1e4a0c9a1d3b5f7c9e1a2b",
    "actual": "version 4211, state 5d3c0f2b7f1e4a0c9a1d3b5f7c9e1a2b",
    "offenders": [],
}
REPORT_EXAMPLE = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "version": 4211,
    "checked_at": "2026-11-22T14:05:40.117+00:00",
    "holds": True,
    "checks": [CHECK_EXAMPLE],
}


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """The latest examination of a schedule; `schedule_id` is null where it was about what belongs to none."""

    schedule_id: str | None
    title: str | None  # of its performance
    title_en: str | None
    starts_at: str | None
    time_zone: str | None
    version: int
    checked_at: str
    holds: bool
    checks: list[CheckView]


class FindingsView(msgspec.Struct, frozen=True, kw_only=True):
    """What the continuous reconciliation has found: the figures of all, and a page of schedules."""

    examined: int
    failing: int
    oldest_examination_at: str | None
    overall: FindingView | None
    items: list[FindingView]
    next_cursor: str | None


SCHEDULE_EXAMPLE = {
    "title": "카르멘",
    "title_en": "Carmen",
    "starts_at": "2026-12-24T10:30:00.000+00:00",
    "time_zone": "Asia/Seoul",
}
FINDINGS_EXAMPLE = {
    "examined": 12,
    "failing": 0,
    "oldest_examination_at": REPORT_EXAMPLE["checked_at"],
    "overall": REPORT_EXAMPLE | {"schedule_id": None} | dict.fromkeys(SCHEDULE_EXAMPLE),
    "items": [REPORT_EXAMPLE | SCHEDULE_EXAMPLE],
    "next_cursor": None,
}


@router.get(
    "/reconciliation",
    summary="What the continuous reconciliation has found",
    responses=described(200, FindingsView, FINDINGS_EXAMPLE, "Failing ones first.") | REFUSALS,
)
async def get_overall(
    account: Admin,
    office: OfficeOf,
    looks: OverviewsOf,
    failing: Annotated[bool, Query(description="Only schedules for which something does not hold.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The latest examination of each schedule, and of what belongs to no single one: audit log, providers' books.

    Made by the background process; `GET /v1/admin/schedules/{id}/reconciliation` examines a schedule now.
    """
    after = decode_cursor(cursor, 1)
    rows = await findings.page(office.pool, failing=failing, after=after[0] if after else None, limit=limit + 1)
    overall = await findings.find(office.pool, findings.OVERALL)
    summary = await findings.summary(office.pool)
    named = await looks.titles.of([row.subject for row in rows[:limit]])
    return json_answer(
        {
            "examined": summary.examined,
            "failing": summary.failing,
            "oldest_examination_at": None if summary.oldest is None else rfc3339(milliseconds(summary.oldest)),
            "overall": None if overall is None else _finding(overall, None),
            "items": [_finding(row, named.get(row.subject)) for row in rows[:limit]],
            "next_cursor": encode_cursor(rows[limit - 1].subject) if len(rows) > limit else None,
        }
    )


@router.get(
    "/schedules/{schedule_id}/reconciliation",
    summary="Examine a schedule now",
    responses=described(200, ReportView, REPORT_EXAMPLE, "Every check, whether or not it holds.")
    | REFUSALS
    | responses("schedule_not_found", "dependency_unavailable"),
)
async def examine_schedule(
    schedule_id: ScheduleId, account: Admin, office: OfficeOf, events: Events = False
) -> Response:
    """Replays the schedule's journal and holds everything else against it. Changes nothing and wakes nobody."""
    async with _desk(office) as desk:
        return json_answer(_view(await desk.examine(schedule_id, events=events)))


@router.post(
    "/schedules/{schedule_id}/reconciliation",
    summary="Mend a schedule",
    responses=described(
        200,
        RepairView,
        {"dry_run": True, "before": REPORT_EXAMPLE, "actions": [], "after": None},
        "What did not hold, what was done, and what holds now.",
    )
    | REFUSALS
    | responses("schedule_not_found", "dependency_unavailable", "overloaded"),
)
async def mend_schedule(
    schedule_id: ScheduleId,
    account: Admin,
    office: OfficeOf,
    how: Annotated[How | None, Body(examples=[{"dry_run": False}])] = None,
    events: Events = False,
) -> Response:
    """Examines the schedule and mends what can be mended, by ordinary commands and by writing anew what follows from
    the journal, which itself is never touched. A dry run, the default, says what would be done."""
    dry_run = how is None or how.dry_run
    async with _desk(office) as desk:
        result = await desk.treat(schedule_id, dry_run=dry_run, events=events)
    if not dry_run:
        async with office.database.begin() as connection:
            await record_in(
                connection,
                office,
                account.id,
                "schedule.repaired",
                f"schedule:{schedule_id}",
                before={"failing": sorted(result.report.failing)},
                after={"actions": result.actions, "failing": sorted((result.after or result.report).failing)},
            )
    view = {
        "dry_run": dry_run,
        "before": _view(result.report),
        "actions": result.actions,
        "after": None if result.after is None else _view(result.after),
    }
    return json_answer(view)


@asynccontextmanager
async def _desk(office: Office) -> AsyncIterator[Desk]:
    async with open_log(office.settings) as log:
        yield Desk(
            pool=office.checking,
            database=office.database,
            gateway=office.gateway,
            reconciler=office.reconciler,
            providers=office.providers,
            log=log,
        )


def _view(report: Report) -> dict[str, Any]:
    return {
        "schedule_id": report.schedule_id,
        "version": report.version,
        "checked_at": rfc3339(report.checked_ms),
        "holds": report.holds,
        "checks": report.checks,
    }


def _finding(finding: findings.Finding, title: Title | None) -> dict[str, Any]:
    return {
        "schedule_id": None if finding.subject == findings.OVERALL else finding.subject,
        "title": None if title is None else title.title,
        "title_en": None if title is None else title.title_en,
        "starts_at": None if title is None else rfc3339(milliseconds(title.starts_at)),
        "time_zone": None if title is None else title.time_zone,
        "version": finding.version,
        "checked_at": rfc3339(milliseconds(finding.checked_at)),
        "holds": finding.holds,
        "checks": finding.checks,
    }
