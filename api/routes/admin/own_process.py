"""What admins say of the process that a schedule's owner lives in: shared with others, or its own.

Processes are the machines', which all organizers share, so it is for those who run them to say whose one is.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

from api.http.models import Input, Output, ScheduleId
from api.http.problems import Problem, responses
from api.office.dependencies import Admin, OfficeOf
from api.selling.audit_trail import record_in
from persistence.journal import heads

router = APIRouter(prefix="/v1/admin", tags=["admin"])

EXAMPLE: JsonDict = {
    "schedule_id": "0199f39c-11d2-7a0f-8c8e-51d0c7b9a011",
    "dedicated": True,
    "hot": False,
    "host": "owners-0",
}


class OwnProcessChange(Input):
    """What is to be different."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dedicated": True}]})

    dedicated: Annotated[StrictBool, Field(description="Whether the schedule is to have a process to itself.")]


class OwnProcessView(Output):
    """Where a schedule's owner lives, and whether it is to be alone there."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    schedule_id: str
    dedicated: Annotated[bool, Field(description="An administrator says that it is to have a process to itself.")]
    hot: Annotated[bool, Field(description="It is found to keep its process busy, and is to have one for as long.")]
    host: Annotated[str | None, Field(description="The process; null while the owner sleeps.")]


@router.patch(
    "/schedules/{schedule_id}",
    summary="Give a schedule a process of its own, or have it share one",
    responses=responses("unauthenticated", "forbidden", "schedule_not_found", "validation_failed"),
)
async def change_own_process(
    schedule_id: ScheduleId, change: OwnProcessChange, account: Admin, office: OfficeOf
) -> OwnProcessView:
    """Whoever shares its process leaves within seconds, and no request is lost by it. Where there are not processes
    enough for all that are to have one, those marked first have theirs; one is always left for all others."""
    async with office.database.begin() as connection:
        head = await heads.locked(connection, schedule_id)
        if head is None:
            raise Problem("schedule_not_found")
        if head.dedicated != change.dedicated:
            await heads.dedicate(connection, schedule_id, change.dedicated)
            await record_in(
                connection,
                office,
                account.id,
                "schedule.dedicated" if change.dedicated else "schedule.shared",
                f"schedule:{schedule_id}",
                before={"dedicated": head.dedicated},
                after={"dedicated": change.dedicated},
            )
    return OwnProcessView(schedule_id=head.schedule_id, dedicated=change.dedicated, hot=head.hot, host=head.host)
