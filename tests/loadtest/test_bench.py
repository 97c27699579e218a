"""The benchmark's figures say what was measured, count only what is durable, and land where they belong."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import uvicorn
from rich.console import Console

from actors.process.settings import Settings
from api.http.corked import Protocol
from api.server import worker
from api.server.connections import KEEP_ALIVE_SECONDS, Connections
from engine.plan_document import read_plan
from loadtest.baselines import serve
from loadtest.bench import __main__ as command
from loadtest.bench import inside, loads, wrk
from loadtest.bench.contenders import ours, processes
from loadtest.bench.contenders.contender import LARGE, Contender, OnSale, seat_ids, seating_plan
from loadtest.bench.contenders.verification import Broken, Stored, verify
from loadtest.bench.figures import plots, report
from loadtest.bench.figures.report import BEGIN, END
from loadtest.bench.figures.results import Line, Ratio, Result, Round, Run, Spread, met, value_of, work_out
from loadtest.bench.measuring import Entry, Options, Scenario, Table, interleaved, round_of, run_scenario
from loadtest.bench.scenarios import OPENINGS, SCENARIOS
from loadtest.stack import StackError
from tests.conftest import Stack

QUIET = Console(quiet=True)
OPTIONS = Options(rounds=2, seconds=3, connections=8)
LATENCY = {"50": 1_000.0, "95": 2_000.0, "99": 3_000.0, "100": 4_000.0}
SEEN = wrk.Seen(answers={"201": 90, "409": 10}, used=100, ran_out=0, microseconds=2_000_000, errors=0, latency_us={})
DRIVE = wrk.Drive(
    mode="spread", url="", paths=("/a", "/b"), seconds=2, connections=4, threads=2, expected=frozenset({"201"})
)


def held(created: int, **more: Any) -> Round:
    return Round(requests=created, created=created, seconds=2.0, latency_us=LATENCY, **more)


def run_of(*results: Result, load_average: float = 0.0) -> Run:
    return Run(
        command="the command",
        date="2026-11-22",
        machine="a machine",
        load_average=load_average,
        rounds=3,
        seconds=2,
        connections=8,
        verified=18_000,
        results=list(results),
    )


def result_of(*lines: Line, ratios: tuple[Ratio, ...] = (), name: str = "spread") -> Result:
    for ratio in ratios:
        work_out(ratio, lines)
    return Result(name=name, title="a title", note="", lines=list(lines), ratios=list(ratios))


# --- what wrk saw -----------------------------------------------------------------------------------------------------
def test_what_wrk_reports_is_its_last_line() -> None:
    assert wrk.parse(b"Running 2s test\n  2 threads\n\n" + msgspec.json.encode(SEEN) + b"\n") == SEEN


@pytest.mark.parametrize("out", [b"", b"unable to connect\n", b'{"answers":1}\n'])
def test_a_wrk_that_reports_nothing_is_an_error(out: bytes) -> None:
    with pytest.raises(StackError):
        wrk.parse(out)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"answers": {"201": 5, "503": 1}}, "503"),
        ({"answers": {"201": 5}, "errors": 2}, "2 connections"),
        ({"answers": {"201": 5}, "ran_out": 7}, "7 requests"),
        ({"answers": {}}, "no request"),
    ],
)
def test_a_round_with_unexpected_answers_does_not_count(change: dict[str, Any], word: str) -> None:
    with pytest.raises(StackError, match=word):
        wrk.check(msgspec.structs.replace(SEEN, **change), DRIVE, "")


def test_a_round_that_does_not_reach_its_target_does_not_count() -> None:
    fight = msgspec.structs.replace(DRIVE, target=91, expected=frozenset({"201", "409"}))
    with pytest.raises(StackError, match="90 of 91"):
        wrk.check(SEEN, fight, "")
    wrk.check(SEEN, msgspec.structs.replace(fight, target=90), "")


def test_no_wish_is_given_to_two_threads_and_none_is_left_out(tmp_path: Path) -> None:
    wrk.write_inputs(msgspec.structs.replace(DRIVE, seats=("x", "y", "z")), tmp_path)
    threads = [(tmp_path / f"wishes-{number}.txt").read_text().splitlines() for number in range(2)]
    assert sorted(threads[0] + threads[1]) == ["1 x", "1 y", "1 z", "2 x", "2 y", "2 z"]
    assert (tmp_path / "paths.txt").read_text() == "/a\n/b\n"


def test_what_all_threads_noted_is_read(tmp_path: Path) -> None:
    (tmp_path / "thread-0.txt").write_text("created a\ntook 100 20 1\n")
    (tmp_path / "thread-1.txt").write_text("created b\ntook 1.2e+02 30.5 2\n")
    (tmp_path / "tokens.txt").write_text("no\n")
    created, timed = wrk.noted(tmp_path)
    assert sorted(created) == ["a", "b"]
    assert sorted(timed) == [(100, 20, 1), (120, 30, 2)]


def test_percentiles_are_by_nearest_rank() -> None:
    found = wrk.percentiles(list(range(1000, 0, -1)))
    assert found == {"50": 500, "75": 750, "90": 900, "95": 950, "99": 990, "99.9": 999, "100": 1000}
    assert wrk.percentiles([7]) == dict.fromkeys(found, 7)
    assert wrk.percentiles([]) == {}


def test_requests_that_wait_at_the_same_time_wait_for_one_stall() -> None:
    together = [(1_000_000, 150_000), (1_050_000, 190_000)]
    later = [(3_000_000, 101_000)]
    quick = [(2_000_000, 99_000), (2_500_000, 100_000)]
    assert wrk.count_stalls([*later, *quick, *together]) == 2


def test_schedules_are_served_evenly_if_none_waits_much_longer_than_the_middle_one() -> None:
    timed = [wrk.Timed(at, 1_000 * path, path) for at in range(10) for path in (1, 2, 6)]
    assert wrk.unevenness(timed) == 3.0
    assert wrk.unevenness([each for each in timed if each.path == 1]) is None, "nobody to compare with"
    assert round_of(wrk.Driven(SEEN, [], 0, 3.0), {}, True).extra == {"stalls": 0, "unevenness": 3.0}


def test_a_round_counts_cpu_by_request() -> None:
    measured = round_of(wrk.Driven(SEEN, ["a"], 3), {"API": 0.1}, True)
    assert (measured.requests, measured.created, measured.refused, measured.seconds) == (100, 90, 10, 2.0)
    assert measured.cpu_us == pytest.approx({"API": 1_000})
    assert measured.extra == {"stalls": 3}


def test_a_purchase_counts_when_it_is_paid() -> None:
    seen = msgspec.structs.replace(SEEN, answers={"201": 60, "paid 201": 40})
    paid = round_of(wrk.Driven(seen, []), {"API": 0.1}, True)
    assert paid.created == 40
    assert value_of(paid, "cpu_created") == pytest.approx(2_500), "of both requests"


# --- processes --------------------------------------------------------------------------------------------------------
async def test_a_contender_has_settled_when_it_uses_next_to_nothing() -> None:
    readings = iter([0.0, 5.0, 10.0, 10.0])
    assert await processes.settle(lambda: next(readings), window_seconds=0.001)
    assert list(readings) == []


async def test_a_contender_that_never_rests_is_said_to_be_unsettled() -> None:
    used = iter(range(1_000_000))
    assert not await processes.settle(lambda: float(next(used)), window_seconds=0.001, limit_seconds=0.01)


def test_cpu_is_the_difference_by_group() -> None:
    assert processes.difference({"API": 1.0}, {"API": 1.5, "owner": 0.25}) == {"API": 0.5, "owner": 0.25}


async def test_a_process_belongs_to_the_part_it_is_or_that_started_it() -> None:
    words = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", words, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    try:
        for parts, name in (({}, "other"), ({parent.pid: "API"}, "API"), ({child: "API"}, "API")):
            found = {process.pid: part for process, part in ours.named(psutil.Process(), "other", parts)}
            assert found[child] == name
            assert found[parent.pid] == parts.get(parent.pid, "other")
    finally:
        psutil.Process(child).kill()
        await parent.wait()


async def test_every_program_of_the_system_has_a_name_in_the_figures(stack: Stack) -> None:
    assert {name.partition("-")[0] for name in stack.run.processes} == {*ours.PARTS}


# --- verification -----------------------------------------------------------------------------------------------------
STORED = {"a": Stored(["s/1"]), "b": Stored(["s/2"]), "c": Stored(["s/3"], "confirmed")}


def test_bookings_that_are_there_with_seats_of_their_own_are_in_order() -> None:
    verify(["a", "b"], STORED, seats_each=1)
    verify(["c"], STORED, seats_each=1, status="confirmed")


@pytest.mark.parametrize(
    ("acknowledged", "stored", "word"),
    [
        (["a", "z"], STORED, "z is not there"),
        (["a"], {"a": Stored([])}, "0 seats of 1"),
        (["a"], {"a": Stored(["s/1"]), "unheard": Stored(["s/1"])}, "s/1 belongs to a and unheard"),
        (["c"], STORED, "is confirmed, not held"),
        (["a", "a"], STORED, "twice"),
    ],
)
def test_an_acknowledged_booking_that_is_not_there_ends_the_run(
    acknowledged: list[str], stored: dict[str, Stored], word: str
) -> None:
    with pytest.raises(Broken, match=word):
        verify(acknowledged, stored, seats_each=1)


# --- rounds -----------------------------------------------------------------------------------------------------------
def test_rounds_are_interleaved() -> None:
    assert list(interleaved(2, "abc")) == [(1, "a"), (1, "b"), (1, "c"), (2, "a"), (2, "b"), (2, "c")]


class Nobody:
    """A contender that does nothing."""

    url = "http://127.0.0.1:1"
    tokens: tuple[str, ...] = ("token",)

    async def put_on_sale(self, schedules: int, seats: int) -> list[str]:
        return [f"schedule-{number}" for number in range(schedules)]

    async def booked(self, schedule_ids: list[str]) -> dict[str, Stored]:
        return {}

    async def caught_up(self) -> bool:
        return True

    def processes(self) -> processes.Groups:
        return {}


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[Nobody]:
    yield Nobody()


@contextlib.asynccontextmanager
async def broken() -> AsyncIterator[Nobody]:
    raise StackError("no such program")
    yield Nobody()


async def test_the_warm_up_does_not_count_and_a_failed_line_leaves_the_others_alone() -> None:
    asked: list[str] = []

    async def counts(table: Table, contender: Contender) -> Round:
        asked.append("counts" + (" warm" if table.warming else ""))
        return held(100)

    async def fails(table: Table, contender: Contender) -> Round:
        asked.append("fails")
        raise StackError("it refuses")

    scenario = Scenario(
        name="try",
        title="",
        entries=(Entry("one", "x", counts), Entry("two", "x", fails), Entry("three", "y", counts)),
        ratios=(Ratio(name="one by itself", over="one"), Ratio(name="one ÷ two", over="one", under=("two",))),
    )
    result, _ = await run_scenario(scenario, {"x": nobody, "y": broken}, OPTIONS, QUIET)
    one, two, three = result.lines
    assert asked == ["counts warm", "fails", "counts", "counts"]
    assert (len(one.rounds), one.missing) == (2, "")
    assert (len(two.rounds), two.missing) == (0, "StackError: it refuses")
    assert "no such program" in three.missing
    assert [ratio.value for ratio in result.ratios] == [50.0, None]


async def test_a_scenario_can_start_its_contenders_anew_for_every_round() -> None:
    opened: list[Contender] = []

    async def counts(table: Table, contender: Contender) -> Round:
        if table.warming:
            opened.append(contender)
        return held(100)

    scenario = Scenario(name="try", title="", entries=(Entry("a", "x", counts), Entry("b", "y", counts)), reopen=True)
    result, _ = await run_scenario(scenario, {"x": nobody, "y": nobody}, OPTIONS, QUIET)
    assert len({id(each) for each in opened}) == 4
    assert [len(line.rounds) for line in result.lines] == [2, 2]


async def test_a_missing_booking_ends_the_whole_run() -> None:
    async def loses(table: Table, contender: Contender) -> Round:
        verify(["a"], await contender.booked([]), seats_each=1)
        return held(1)

    scenario = Scenario(name="try", title="", entries=(Entry("a", "x", loses),))
    with pytest.raises(Broken):
        await run_scenario(scenario, {"x": nobody}, OPTIONS, QUIET)


def test_seats_that_were_asked_for_are_not_asked_for_again() -> None:
    sale = OnSale(Nobody(), ["one", "two"], tuple(seat_ids(10)))
    sale.used(5)
    assert (sale.first, sale.left()) == (3, 14)
    sale.used(1_000)
    assert sale.left() == 0


async def test_a_paced_line_needs_the_peak_that_it_is_a_share_of() -> None:
    with pytest.raises(StackError, match="the peak"):
        await loads.paced("the peak")(Table(OPTIONS), Nobody())


def test_the_plan_has_the_seats_that_are_asked_for() -> None:
    assert list(read_plan(seating_plan(1_234)).ids) == seat_ids(1_234)
    assert len(set(seat_ids(LARGE))) == LARGE


def test_every_scenario_is_complete() -> None:
    for scenario in SCENARIOS.values():
        labels = [entry.label for entry in scenario.entries]
        assert len(set(labels)) == len(labels)
        assert {entry.contender for entry in scenario.entries} <= set(OPENINGS)
        assert {label for ratio in scenario.ratios for label in (ratio.over, *ratio.under)} <= set(labels)


def test_baselines_run_under_the_settings_of_our_own_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, Any] = {}

    class Taken(Exception):
        pass

    def config(app: object, **settings: Any) -> uvicorn.Config:
        taken.update(settings)
        raise Taken

    monkeypatch.setattr(uvicorn, "Config", config)
    monkeypatch.setattr(worker, "create_app", lambda settings: None)
    with pytest.raises(Taken):
        worker.serve(Settings(), None, None)  # type: ignore[arg-type]  # ends before it looks at the socket
    # Our connections are bounded, and close themselves when they are idle; a baseline's are as the server has them.
    assert isinstance(taken.pop("http"), Connections)
    assert taken | {"http": Protocol, "timeout_keep_alive": KEEP_ALIVE_SECONDS} == serve.SERVER


def test_counters_are_summed_over_their_labels() -> None:
    page = 'calls_total{a="1"} 2.0\ncalls_total{a="2"} 3.0\ncalls_total_other 9.0\nplain_total 4.0\n'
    assert inside.counter(page, "calls_total") == 5.0
    assert inside.counter(page, "plain_total") == 4.0
    assert inside.counter(page, "absent") == 0.0


# --- figures ----------------------------------------------------------------------------------------------------------
def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 8.0]) == Spread(1.0, 3.0, 8.0)


def test_metrics_have_names() -> None:
    measured = Round(requests=300, created=100, refused=200, seconds=2.0, latency_us=LATENCY, cpu_us={"a": 1, "b": 2})
    found = {name: value_of(measured, name) for name in ("created", "refused", "requests", "p99", "cpu")}
    assert found == {"created": 50, "refused": 100, "requests": 150, "p99": 3_000, "cpu": 3}
    with pytest.raises(KeyError):
        value_of(measured, "calls_per_booking")


def test_a_ratio_compares_medians_and_knows_its_target() -> None:
    lines = [
        Line(label="a", rounds=[held(each) for each in (400, 200, 300)]),
        Line(label="b", rounds=[held(each) for each in (100, 100, 900)]),
    ]
    ratio = Ratio(name="a ÷ (a + b)", over="a", under=("a", "b"), target=0.8)
    work_out(ratio, lines)
    assert ratio.value == 0.75
    assert met(ratio) is False
    assert met(msgspec.structs.replace(ratio, at_least=False)) is True
    assert met(Ratio(name="unknown", over="a", target=1.0)) is None


def test_a_ratio_with_a_part_that_was_not_measured_has_no_value() -> None:
    lines = [Line(label="a", rounds=[held(1)]), Line(label="b", rounds=[held(1)], missing="it broke")]
    for under in (("b",), ("absent",)):
        ratio = Ratio(name="", over="a", under=under)
        work_out(ratio, lines)
        assert ratio.value is None


# --- report -----------------------------------------------------------------------------------------------------------
def test_the_report_has_medians_with_their_spread_and_what_was_to_be_shown() -> None:
    ours_line = Line(
        label="ours", rounds=[held(each, cpu_us={"API": 300, "Ray": 0.2}) for each in (4_000, 8_000, 6_000)]
    )
    noop = Line(label="no-op", rounds=[held(12_000)] * 3)
    text = report.markdown(
        run_of(result_of(ours_line, noop, ratios=(Ratio(name="r", over="ours", under=("no-op",), target=0.7),)))
    )
    assert "| ours | 3,000 (2,000–4,000) | 1.0 (1.0–1.0) | 2.0 (2.0–2.0) | 3.0 (3.0–3.0) | 4.0 (4.0–4.0) |" in text
    assert "| ours | 300 | 300 |" in text
    assert "| r | 0.50 | ≥ 0.7 | missed |" in text
    assert "`the command` on a machine, 2026-11-22" in text
    assert "All 18,000 bookings" in text
    assert "Others were using the machine" not in text


def test_a_missing_figure_and_a_busy_machine_are_said() -> None:
    failed = Line(label="Redis", missing="it cannot be started")
    unsettled = Line(label="ours", rounds=[held(10, settled=False)])
    text = report.markdown(
        run_of(result_of(failed, unsettled, ratios=(Ratio(name="r", over="Redis", target=1.0),)), load_average=3.2)
    )
    assert "| Redis | – | – | – | – | – |" in text
    assert "- Redis has no figure: it cannot be started" in text
    assert "| r | not measured | ≥ 1 |  |" in text
    assert "did not come to rest before or after rounds of: ours" in text
    assert "load average 3.2" in text


def test_refusals_have_a_column_where_some_were_refused() -> None:
    fight = Line(label="ours", rounds=[Round(requests=300, created=100, refused=200, seconds=2.0, latency_us=LATENCY)])
    assert "| ours | 50.0 (50.0–50.0) | 100 (100–100) | 1.0" in "\n".join(report.rates(result_of(fight)))


def test_plots_are_the_same_for_the_same_figures(tmp_path: Path) -> None:
    lines = [Line(label=label, rounds=[held(4_000, cpu_us={"API": 300.0})] * 2) for label in ("ours", "row locks")]
    run = run_of(result_of(*lines), result_of(*lines, name="fight"))
    drawn = plots.draw(run, tmp_path / "img")
    assert [path for _, path in drawn] == [
        f"img/bench-{name}.svg" for name in ("throughput", "fight", "cpu", "latency")
    ]
    first = {path.name: path.read_bytes() for path in (tmp_path / "img").iterdir()}
    plots.draw(run, tmp_path / "img")
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "img").iterdir()}
    assert all(b"row locks" in content for content in first.values())


def test_only_the_figures_of_the_report_are_replaced(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    report.write(f"{BEGIN}\nnew\n{END}", document)
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_report_without_a_place_for_figures_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("something else")
    with pytest.raises(StackError):
        report.write("figures", document)
    assert document.read_text() == "something else"


def test_the_report_in_the_repository_has_a_place_for_figures() -> None:
    text = report.REPORT.read_text()
    assert text.index(BEGIN) < text.index(END)


# --- command ----------------------------------------------------------------------------------------------------------
def test_the_scenarios_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*SCENARIOS, command.PAGES]


@pytest.mark.parametrize("words", [["nonsense"], ["--rounds", "0"], ["--seconds", "many"]])
def test_what_cannot_be_run_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    assert ended.value.code == 2


def test_without_wrk_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert command.main(["spread"]) == 2
    assert "apt install wrk" in capsys.readouterr().out


def test_a_lost_booking_leaves_no_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def loses(*_: object) -> Run:
        raise Broken("1 of 2 acknowledged bookings are wrong")

    monkeypatch.setattr(command, "measure", loses)
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert command.main(["spread", "--json", str(tmp_path / "figures.json")]) == 2
    assert "THE RUN HAS NO FIGURES" in capsys.readouterr().out
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.parametrize(("missing", "code"), [("", 0), ("it broke", 1)])
def test_a_run_is_kept_as_json_and_its_exit_code_says_whether_it_is_complete(
    missing: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = run_of(result_of(Line(label="ours", rounds=[held(5)], missing=missing)))

    async def measured(*_: object) -> Run:
        return run

    monkeypatch.setattr(command, "measure", measured)
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert command.main(["spread", "--json", str(tmp_path / "figures.json")]) == code
    assert msgspec.json.decode((tmp_path / "figures.json").read_bytes(), type=Run) == run
