"""Reconciling: an admin who examines a sale while it goes on. A sale need not pause for that, and every check holds."""

from __future__ import annotations

import random
import time

from loadtest.scenarios.crowd.crew import crew
from loadtest.scenarios.crowd.visitor import Answer, Visitor

LISTS = {
    "all bookings": "/v1/admin/bookings?schedule_id={schedule}&limit=100",
    "all payments": "/v1/admin/payments?schedule_id={schedule}&limit=100",
    "all cancellations": "/v1/admin/cancellations?limit=100",
    "all refunds": "/v1/admin/refunds?schedule_id={schedule}&limit=100",
    "journal": "/v1/admin/schedules/{schedule}/journal?limit=100",
    "audit log": "/v1/admin/audit?limit=100",
    "owners": "/v1/admin/actors?limit=100",
    "reconciliation": "/v1/admin/reconciliation?failing=true",
}
PAGES = 3  # of a list before the next one
RENEW_SECONDS = 600.0  # a session lives 15 minutes


class ReconcilingAdmin(Visitor):
    """Examines the schedule, then leafs through some of the lists."""

    rest_seconds = (0.5, 1.5)
    _logged_in_at = 0.0

    def errand(self) -> None:
        if not self._log_in():
            return
        schedule_id = crew.stage.schedule_id
        self.ask(
            "reconcile schedule", "GET", f"/v1/admin/schedules/{schedule_id}/reconciliation", wrong=_what_does_not_hold
        )
        for kind, path in random.sample(sorted(LISTS.items()), len(LISTS)):
            self._leaf(kind, path.format(schedule=schedule_id))

    def _log_in(self) -> bool:
        if self.token is None or time.monotonic() - self._logged_in_at > RENEW_SECONDS:
            self.token = None
            stage = crew.stage
            credentials = {"email": stage.admin.email, "password": stage.admin_password}
            answer = self.ask("log-in", "POST", "/v1/sessions", credentials)
            if answer.ok:
                self.token, self._logged_in_at = answer.json()["access_token"], time.monotonic()
        return self.token is not None

    def _leaf(self, kind: str, path: str) -> None:
        following = path
        for _ in range(PAGES):
            answer = self.ask(kind, "GET", following)
            page = answer.json() if answer.ok else {}
            if page.get("next_cursor"):
                following = f"{path}&cursor={page['next_cursor']}"
            elif page.get("next_version"):
                following = f"{path}&from_version={page['next_version']}"
            else:
                break


def _what_does_not_hold(answer: Answer) -> str | None:
    report = answer.json()
    failing = [check["name"] for check in report["checks"] if not check["holds"]]
    return f"does not hold at version {report['version']}: {', '.join(failing)}" if failing else None
