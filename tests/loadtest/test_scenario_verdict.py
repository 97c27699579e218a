"""What makes a run pass, how many come when, and what is handed from process to process: all of it without a system."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from loadtest.buyers import Promise
from loadtest.scenarios import shapes, stage, verdict
from loadtest.scenarios.__main__ import main, parser
from loadtest.scenarios.notes import Acknowledged, Notes, ledger_of
from loadtest.scenarios.outcome import Failure, Outcome, Row
from loadtest.scenarios.report import passed
from loadtest.scenarios.run import read_outcome
from loadtest.scenarios.scenario import SCENARIOS
from loadtest.scenarios.verdict import Limits, judge
from loadtest.stack import StackError


# --- the command ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments",
    [(), ("nothing",), ("rush", "--users", "0"), ("rush", "--p95", "hold"), ("rush", "--prepare", "stage.json"),
     ("rush", "--processes", "2", "--expect-workers", "2")],
)  # fmt: skip
def test_a_command_that_makes_no_sense_is_turned_down(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage:" in capsys.readouterr().err


def test_the_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    for name in SCENARIOS:
        assert name in shown


# --- shapes -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("seconds", [4, 60, 3_600])
def test_a_shape_begins_reaches_its_crowd_and_ends(name: str, seconds: int) -> None:
    shape = SCENARIOS[name].shape
    ticks = [shape(float(second), 100, float(seconds)) for second in range(seconds + 2)]
    counts = [tick[0] for tick in ticks[:seconds] if tick is not None]
    assert len(counts) == seconds
    assert counts[0] > 0
    assert max(counts) == 100
    assert ticks[seconds:] == [None, None]


def test_everybody_has_come_to_a_rush_when_the_sale_opens() -> None:
    for seconds in (4.0, 20.0, 600.0):
        opening = shapes.opening_seconds(seconds)
        assert shapes.spike(opening - 0.9, 100, seconds) == (100, 100.0)
        assert shapes.spike(0.0, 100, seconds) == (20, 20.0)


# --- the verdict ------------------------------------------------------------------------------------------------------
def row(kind: str, count: int = 10, p95_ms: float = 100.0, failures: int = 0, method: str = "POST") -> Row:
    return Row(
        kind=kind,
        method=method,
        count=count,
        failures=failures,
        per_second=1.0,
        p50_ms=p95_ms / 2,
        p95_ms=p95_ms,
        p99_ms=p95_ms,
        max_ms=p95_ms,
    )


def outcome(
    *rows: Row, failures: tuple[Failure, ...] = (), crashes: tuple[str, ...] = (), unfinished: int = 0
) -> Outcome:
    return Outcome(
        scenario="paying",
        url="http://127.0.0.1",
        schedule_id="",
        users=1,
        seconds=1.0,
        rows=list(rows),
        failures=list(failures),
        crashes=list(crashes),
        unfinished=unfinished,
        answers={},
        promises=[],
    )


LIMITS = Limits(p95_ms=200, requests=5, must=("hold",))


@pytest.mark.parametrize(
    ("seen", "broken"),
    [
        (outcome(row("hold")), []),
        (outcome(row("hold"), failures=(Failure("hold", "500", 3),)), ["unexpected answers"]),
        (outcome(row("hold"), crashes=("KeyError",)), ["mistakes of the crowd's own"]),
        (outcome(row("hold"), unfinished=1), ["users cut off in the middle"]),
        (outcome(row("hold", count=4)), ["requests"]),
        (outcome(row("hold", count=4), row("stream change", method="")), ["requests"]),
        (outcome(row("pay")), ["kinds of answers that must come"]),
        (outcome(row("hold", failures=10)), ["kinds of answers that must come"]),
        (outcome(row("hold: overloaded"), row("hold: seats_unavailable")), ["kinds of answers that must come"]),
        (outcome(row("hold", p95_ms=201.0)), ["95th percentile"]),
        (outcome(row("hold"), row("hold: overloaded", p95_ms=9_000.0)), []),
        (outcome(row("hold"), row("pay (slow card)", p95_ms=3_190.0)), []),
        (outcome(), ["requests", "kinds of answers that must come"]),
    ],
)
def test_a_run_that_misses_a_threshold_does_not_pass(seen: Outcome, broken: list[str]) -> None:
    thresholds = judge(seen, LIMITS)
    assert [each.name for each in thresholds if not each.holds] == broken
    assert passed(thresholds, []) is (broken == [])


def test_one_kind_may_have_a_ceiling_of_its_own() -> None:
    strict = msgspec.structs.replace(LIMITS, p95_of={"hold": 50})
    missed = [each for each in judge(outcome(row("hold"), row("pay")), strict) if not each.holds]
    assert [(each.name, each.found) for each in missed] == [("95th percentile", "hold 100 ms")]


def test_a_ceiling_for_a_kind_that_does_not_exist_is_a_mistake_that_is_seen() -> None:
    misspelt = msgspec.structs.replace(LIMITS, p95_of={"holds": 50})
    assert [each.name for each in judge(outcome(row("hold")), misspelt) if not each.holds] == [
        "kinds with a ceiling of their own"
    ]


def test_ceilings_are_read_from_the_command() -> None:
    options = parser().parse_args(["paying", "--p95", "hold=200", "--p95", "pay: payment_declined=300"])
    assert dict(options.p95) == {"hold": 200, "pay: payment_declined": 300}


def test_shares_count_what_was_decided() -> None:
    seen = outcome(row("hold", 30), row("hold: seats_unavailable", 60), row("hold: overloaded", 7), row("pay", 5))
    assert seen.shares() == {"hold": (60, 90)}
    assert seen.overloaded() == 7


# --- notes and files --------------------------------------------------------------------------------------------------
def test_what_one_process_was_told_another_knows() -> None:
    worker, master = Notes(), Notes()
    promise = Promise("b1", ("A-1",), 1_000, "held")
    worker.acknowledged("s1", promise)
    worker.count("hold")
    master.merge(msgspec.json.decode(msgspec.json.encode(worker.news())))
    promise.status = "confirmed"
    worker.acknowledged("s1", promise)
    worker.count("pay")
    worker.count("hold")
    master.merge(msgspec.json.decode(msgspec.json.encode(worker.news())))
    assert master.promises == {"b1": Acknowledged("s1", Promise("b1", ("A-1",), 1_000, "confirmed"))}
    assert master.answers == {"hold": 2, "pay": 1}
    assert worker.news() == {"promises": [], "answers": {}}


def test_a_ledger_is_about_one_schedule() -> None:
    promises = [Acknowledged(each, Promise(f"b-{each}", (), 0, "held")) for each in ("s1", "s2")]
    assert set(ledger_of("s1", promises).promises) == {"b-s1"}


def test_a_stage_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = stage.Stage(
        scenario="paying",
        url="http://127.0.0.1",
        performance_id="p",
        title="t",
        schedule_id="s",
        opens_later=False,
        hot_seats=[],
        organizer=stage.Pass(""),
        admin=stage.Pass("admin@example.com"),
        admin_password="secret",
        customers=[stage.Pass("a@example.com", "token", 1.0)],
    )
    stage.write(made, tmp_path / "stage.json")
    assert (tmp_path / "stage.json").stat().st_mode & 0o077 == 0
    assert stage.read(tmp_path / "stage.json") == made


def test_a_file_that_is_something_else_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(StackError, match="no prepared stage"):
        stage.read(tmp_path / "other.json")
    with pytest.raises(StackError, match="no outcome"):
        read_outcome(tmp_path / "other.json")
    with pytest.raises(StackError, match="no outcome"):
        read_outcome(tmp_path / "missing.json")


def test_the_slow_card_is_given_its_time() -> None:
    assert LIMITS.ceiling_ms("pay (slow card)") == LIMITS.ceiling_ms("pay") + verdict.SLOW_MS
