"""Who changed what: one row for every change an organizer or admin makes, in the same transaction as the change."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import audit_log


async def write(
    connection: AsyncConnection,
    *,
    entry_id: str,
    account_id: str,
    action: str,
    subject: str,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Records a change. `subject` is `noun:id`; `before`, `after`: the fields that matter, no secrets."""
    values: dict[str, object] = {"id": entry_id, "account_id": account_id, "action": action, "subject": subject}
    if before is not None:
        values["before"] = before
    if after is not None:
        values["after"] = after
    await connection.execute(audit_log.insert().values(values))
