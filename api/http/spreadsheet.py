"""Tables for spreadsheets: CSV (RFC 4180) streamed row by row, in which no cell is a formula.

A cell that begins like one (`=`, `+`, `-`, `@`, a tab or a carriage return) gets an apostrophe before it: what people
call themselves must not run in the organizer's office (OWASP, CSV injection). A byte order mark tells Excel that it is
UTF-8. Numbers stay numbers; money is in whole units of its currency, with its decimals, and times are what clocks of
the venue show: so spreadsheets read them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from starlette.responses import StreamingResponse

FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")
Cell = str | int | Decimal | None


def csv_answer(name: str, header: Sequence[str], rows: AsyncIterable[Sequence[Cell]]) -> StreamingResponse:
    """A file to be saved as `name`, written while it is read."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_lines(header, rows), media_type="text/csv; charset=utf-8", headers=headers)


def clock(at: datetime, time_zone: str) -> str:
    """What clocks there show then: `2026-12-24 19:30:00`."""
    return at.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m-%d %H:%M:%S")


def harmless(cell: Cell) -> Cell:
    """The cell as no spreadsheet takes it for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_BEGINS) else cell


async def _lines(header: Sequence[str], rows: AsyncIterable[Sequence[Cell]]) -> AsyncIterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    yield "\ufeff" + buffer.getvalue()
    async for row in rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([harmless(cell) for cell in row])
        yield buffer.getvalue()
