"""The whole OpenAPI document held against the running system, by generated requests, as each role.

Nothing is answered with a 5xx that says we are at fault, with a status that the document does not have, in another form
than it says, or as another type.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeStack
from tests.support.sale import hold, log_in_admin, open_sale, paid_booking, sign_up

pytestmark = [pytest.mark.stack, pytest.mark.long]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 25  # of each operation and kind of request
# A log-out or a deletion would end the role's own visit; a stream never ends.
LEFT_OUT = (
    *("/v1/accounts/me", "/v1/sessions/current"),
    *("/v1/schedules/{schedule_id}/stream", "/v1/admin/overview/stream"),
)


@pytest.mark.parametrize("role", ["customer", "organizer", "admin"])
async def test_every_operation_answers_as_the_document_says(make_stack: MakeStack, tmp_path: Path, role: str) -> None:
    async with (
        make_stack(workers=1) as stack,
        stack.client() as http,
    ):
        sale, customer = await open_sale(http), await sign_up(http)
        await hold(http, sale, customer, sale.seats[0])
        await paid_booking(http, sale, customer, sale.seats[1])
        tokens = {"customer": customer, "organizer": sale.organizer, "admin": await log_in_admin(http, stack)}
        found = await examine(stack.base_url, tokens[role]["Authorization"], tmp_path)
        assert found is None, found
        assert (await http.get("/healthz")).status_code == 200


async def examine(url: str, authorization: str, directory: Path) -> str | None:
    """What schemathesis has to say, if it has found anything."""
    left_out = "^(" + "|".join(map(re.escape, LEFT_OUT)) + ")$"
    run = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: {authorization}", "--checks", CHECKS, "--exclude-path-regex", left_out),
        *("--max-examples", str(EXAMPLES), "--seed", "14", "--continue-on-failure", "--no-shrink"),
        *(
            "--suppress-health-check",
            "all",
            "--request-timeout",
            "30",
            "--generation-with-security-parameters",
            "false",
            "--generation-database",
            ":memory:",
        ),
        cwd=directory,
        env={**os.environ, "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await run.communicate()
    return None if run.returncode == 0 else told.decode()
