"""The program `boxoffice`, run to its end: forked from a process that has imported what its commands need.

Importing it takes longer than most commands, and dozens of tests run one.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from actors.supervision.forking import Forking
from api.command_line import cli
from persistence.embedded.process import Child, Program
from tests.support.waiting import PATIENCE_SECONDS

MODULE = "tests.support.services.commands"
LATE = ("administrators", "audit_report", "doctor", "events_report", "reconcile")  # what single commands import

_forking: list[Forking] = []  # the one, once it was needed


async def run(arguments: tuple[str, ...], environment: dict[str, str]) -> tuple[int, str]:
    """Its exit code and all it printed."""
    with tempfile.TemporaryDirectory(prefix="boxoffice-output-") as directory:
        output = Path(directory) / "output"
        words = (sys.executable, "-m", MODULE, *arguments)
        program = Program(name="boxoffice", argv=words, module=MODULE, address="", log=output)
        child = await _start(program, environment)
        async with asyncio.timeout(PATIENCE_SECONDS):
            code = await child.wait()
        return code, output.read_text()


async def _start(program: Program, environment: dict[str, str]) -> Child:
    if sys.platform != "linux":
        return await Child.start(program, environment)
    if not _forking:
        _forking.append(Forking(environment, [MODULE, *(f"api.command_line.{each}" for each in LATE)]))
    return await _forking[0].start(program, environment)


async def end() -> None:
    """Ends what programs are forked from."""
    while _forking:
        await _forking.pop().end()


def main() -> None:
    """What a fork does."""
    cli.app(prog_name="boxoffice")


if __name__ == "__main__":
    main()
