"""Tables for spreadsheets: no cell is a formula, and what has commas, quotes or lines in it stays one cell."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.spreadsheet import FORMULA_BEGINS, Cell, clock, csv_answer, harmless
from persistence.providers.minor_units import to_major


async def read(*rows: Sequence[Cell]) -> list[list[str]]:
    async def given_rows() -> AsyncIterator[Sequence[Cell]]:
        for row in rows:
            yield row

    answer = csv_answer("t.csv", ("a", "b"), given_rows())
    text = "".join([str(part) async for part in answer.body_iterator])
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    cell = harmless(text)
    assert isinstance(cell, str)
    assert not cell.startswith(FORMULA_BEGINS)
    assert cell.removeprefix("'") == text.removeprefix("'")


@pytest.mark.parametrize("cell", ['=HYPERLINK("https://x.example")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
async def test_formulas_come_as_text(cell: str) -> None:
    assert (await read((cell, "x")))[1][0] == f"'{cell}"


async def test_a_cell_stays_one_cell_and_numbers_stay_numbers() -> None:
    rows = await read(('a "b", c', "line\nline"), (-5, None), (to_major(-5_500, "USD"), to_major(88_000, "KRW")))
    assert rows == [["a", "b"], ['a "b", c', "line\nline"], ["-5", ""], ["-55.00", "88000"]]


@pytest.mark.parametrize(
    ("time_zone", "shown"), [("Asia/Seoul", "2026-12-24 19:30:00"), ("America/New_York", "2026-12-24 05:30:00")]
)
def test_times_are_what_the_clocks_of_the_venue_show(time_zone: str, shown: str) -> None:
    assert clock(datetime(2026, 12, 24, 10, 30, 0, 123_000, tzinfo=UTC), time_zone) == shown
