"""The benchmark's figures say what was measured, and land where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.seating_plan import SeatingPlan
from loadtest import bench
from loadtest.bench import BEGIN, END, Load, Round
from loadtest.stack import StackError

LOAD = Load(seconds=8, connections=64, threads=2)


def round_of(created: int) -> Round:
    return Round(created, 0, 0, 2_000_000, 0, 1_000, 2_000, 3_000, 4_000)


def test_the_rate_counts_what_was_created_only() -> None:
    assert round_of(5_000).per_second == 2_500


def test_figures_are_medians_with_their_spread() -> None:
    holds = [round_of(each) for each in (4_000, 8_000, 6_000)]
    noops = [round_of(each) for each in (12_000, 12_000, 12_000)]
    figures = bench.table(holds, noops, LOAD, "the command")
    assert "| durable hold | 3,000 (2,000–4,000) | 1.0 (1.0–1.0) | 2.0 (2.0–2.0) | 3.0 (3.0–3.0) |" in figures
    assert "`the command`" in figures
    assert "50% of the no-op's rate. All 18,000 holds" in figures


def test_only_the_figures_of_the_report_are_replaced(tmp_path: Path) -> None:
    report = tmp_path / "performance.md"
    report.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    bench.write(f"{BEGIN}\nnew\n{END}", report)
    assert report.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_report_without_a_place_for_figures_is_left_alone(tmp_path: Path) -> None:
    report = tmp_path / "performance.md"
    report.write_text("something else")
    with pytest.raises(StackError):
        bench.write("figures", report)
    assert report.read_text() == "something else"


def test_the_report_in_the_repository_has_a_place_for_figures() -> None:
    text = bench.REPORT.read_text()
    assert text.index(BEGIN) < text.index(END)


def test_the_plan_has_the_seats_that_are_asked_for() -> None:
    assert list(SeatingPlan.parse(bench.seating_plan()).ids) == bench.seat_ids()


def test_what_was_created_is_read_from_every_thread(tmp_path: Path) -> None:
    (tmp_path / "created-0.txt").write_text("a\nb\n")
    (tmp_path / "created-1.txt").write_text("c\n")
    (tmp_path / "tokens.txt").write_text("no\n")
    assert bench.acknowledged(tmp_path) == {"a", "b", "c"}
