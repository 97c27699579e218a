"""What a Locust process does for its crowd: gets the stage, keeps the notes, opens the sale, and closes in good order.

A run ends in two steps, because a customer who is cut off between a request and its answer leaves behind a booking that
nobody was told of. First the crew closes: everybody finishes what they are at and begins nothing new. Only then are
users stopped. With several processes the master tells the workers, and each tells the master when it is done, with
the last of its notes. This file alone knows which kind of process it runs in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.event import EventHook
from locust.event import Events as LocustEvents
from locust.rpc import Message
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadtest.scenarios import outcome, stage
from loadtest.scenarios.notes import Notes
from loadtest.scenarios.outcome import Failure, Outcome, Row
from loadtest.scenarios.scenario import DEFAULT, SCENARIOS
from loadtest.scenarios.shapes import opening_seconds
from loadtest.scenarios.stage import Pass, Stage

logger = logging.getLogger(__name__)

FINISH_SECONDS = 60.0  # the slowest errand: a payment that is pending, and answers that are put off
NO_STAGE = "the stage has not been set: the master sets it when a run starts"


class Crew:
    """What all users of one process share."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.closing = Event()
        self.opens_at = 0.0  # of the sale, in seconds of the epoch
        self.passes: deque[Pass] = deque()  # accounts that no user has at the moment
        self._stage: Stage | None = None
        self._busy = 0
        self._idle = Event()
        self._idle.set()
        self._closed: set[str] = set()  # workers that are done
        self._reported: set[str] = set()  # those that have sent their figures since then
        self._most_users = 0
        self._unfinished = 0

    @property
    def stage(self) -> Stage:
        assert self._stage is not None, NO_STAGE
        return self._stage

    @contextlib.contextmanager
    def errand(self) -> Iterator[None]:
        """Something that is not to be cut off in the middle."""
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    def saw(self, users: int) -> None:
        self._most_users = max(self._most_users, users)

    # --- before the run ---------------------------------------------------------------------------------------------
    def install(self, events: LocustEvents) -> None:
        """Has Locust tell of everything that matters here."""
        events.init_command_line_parser.add_listener(_add_arguments)
        events.init.add_listener(self._on_init)
        events.test_start.add_listener(self._on_test_start)
        events.worker_connect.add_listener(self._on_worker_connect)
        events.report_to_master.add_listener(self._on_report_to_master)
        events.worker_report.add_listener(self._on_worker_report)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.quitting.add_listener(self._on_quitting)

    def _on_init(self, environment: Environment, runner: Runner, **_: Any) -> None:
        self._runner = runner
        if isinstance(runner, WorkerRunner):
            runner.register_message("stage", self._take_stage)
            runner.register_message("close", self._close_worker, concurrent=True)
            return
        if isinstance(runner, MasterRunner):
            runner.register_message("closed", self._note_closed)
        options = environment.parsed_options
        assert options is not None, "Locust was started by its command"
        if options.stage:
            self._stage = stage.read(Path(options.stage))
        else:
            self._stage = _prepared(options.scenario, options.host or environment.host, options.num_users)
        scenario = SCENARIOS[self._stage.scenario]
        environment.host = options.host = options.host or self._stage.url
        options.num_users = options.num_users or scenario.users
        options.run_time = options.run_time or scenario.seconds
        kinds = environment.user_classes_by_name
        for name, weight in scenario.crowd.items():
            kinds[name].weight = weight
        for name, count in scenario.staff.items():
            kinds[name].fixed_count = count
        environment.user_classes[:] = [kinds[name] for name in (*scenario.crowd, *scenario.staff)]

    def _on_test_start(self, environment: Environment, **_: Any) -> None:
        self.closing.clear()
        self._closed.clear()
        self._reported.clear()
        if isinstance(environment.runner, WorkerRunner):
            return
        if self.stage.opens_later:
            options = environment.parsed_options
            assert options is not None, "Locust was started by its command"
            self.opens_at = time.time() + opening_seconds(options.run_time)
            _open_sale(self.stage, environment.host or self.stage.url, self.opens_at)
        if isinstance(environment.runner, MasterRunner):
            workers = list(environment.runner.clients)
            for number, worker in enumerate(workers):
                self._send_stage(environment.runner, worker, self.stage.customers[number :: len(workers)])
        elif not self.passes:
            self.passes.extend(self.stage.customers)

    def _on_worker_connect(self, client_id: str, **_: Any) -> None:
        """One that comes when the run has begun: its users sign up themselves."""
        if isinstance(self._runner, MasterRunner):
            self._send_stage(self._runner, client_id, [])

    def _send_stage(self, master: MasterRunner, worker: str, customers: list[Pass]) -> None:
        part = msgspec.structs.replace(self.stage, customers=customers)
        master.send_message("stage", {"stage": msgspec.to_builtins(part), "opens_at": self.opens_at}, worker)

    def _take_stage(self, msg: Message, **_: Any) -> None:
        self._stage = msgspec.convert(msg.data["stage"], Stage)
        self.opens_at = msg.data["opens_at"]
        self.passes.extend(self._stage.customers)

    # --- during the run ---------------------------------------------------------------------------------------------
    def _on_report_to_master(self, data: dict[str, Any], **_: Any) -> None:
        data["notes"] = self.notes.news()

    def _on_worker_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        self.notes.merge(data["notes"])
        if client_id in self._closed:
            self._reported.add(client_id)

    # --- after the run ----------------------------------------------------------------------------------------------
    def _on_test_stopping(self, environment: Environment, **_: Any) -> None:
        """Nobody is stopped before this returns."""
        self.closing.set()
        runner = environment.runner
        if isinstance(runner, MasterRunner):
            workers = set(runner.clients)
            runner.send_message("close")
            deadline = time.monotonic() + FINISH_SECONDS + 5
            # A worker sends its figures every three seconds; when it is told to quit, Locust hardly waits for the last.
            while not workers <= self._reported and time.monotonic() < deadline:
                gevent.sleep(0.05)
            self._unfinished += len(workers - self._closed)
        elif not isinstance(runner, WorkerRunner):
            self._finish()
            self._unfinished += self._busy

    def _finish(self) -> None:
        if not self._idle.wait(FINISH_SECONDS):
            logger.error("%d users did not finish within %g s", self._busy, FINISH_SECONDS)

    def _close_worker(self, environment: Environment, **_: Any) -> None:
        self.closing.set()
        self._finish()
        assert environment.runner is not None, "it runs"
        environment.runner.send_message("closed", {"notes": self.notes.news(), "busy": self._busy})

    def _note_closed(self, msg: Message, **_: Any) -> None:
        self.notes.merge(msg.data["notes"])
        self._unfinished += msg.data["busy"]
        self._closed.add(msg.node_id)

    def _on_quitting(self, environment: Environment, **_: Any) -> None:
        options = environment.parsed_options
        if options is None or not options.outcome or isinstance(environment.runner, WorkerRunner):
            return
        outcome.write(self._outcome(environment), Path(options.outcome))

    def _outcome(self, environment: Environment) -> Outcome:
        stats, runner = environment.stats, environment.runner
        assert runner is not None, "it has run"
        rows = [
            Row(
                kind=entry.name,
                method=entry.method,
                count=entry.num_requests,
                failures=entry.num_failures,
                per_second=entry.total_rps,
                p50_ms=entry.get_response_time_percentile(0.5),
                p95_ms=entry.get_response_time_percentile(0.95),
                p99_ms=entry.get_response_time_percentile(0.99),
                max_ms=entry.max_response_time,
            )
            for _, entry in sorted(stats.entries.items())
        ]
        last = stats.total.last_request_timestamp
        return Outcome(
            scenario=self.stage.scenario,
            url=environment.host or self.stage.url,
            schedule_id=self.stage.schedule_id,
            users=self._most_users,
            seconds=max(0.0, last - stats.total.start_time) if last else 0.0,
            rows=rows,
            failures=[Failure(each.name, str(each.error), each.occurrences) for each in stats.errors.values()],
            crashes=[f"{each['msg']} ({each['count']} times)" for each in runner.exceptions.values()],
            unfinished=self._unfinished,
            answers=dict(self.notes.answers),
            promises=list(self.notes.promises.values()),
        )


def _add_arguments(parser: LocustArgumentParser, **_: Any) -> None:
    ours = parser.add_argument_group("Box office options")
    ours.add_argument(
        "--scenario", choices=list(SCENARIOS), default=DEFAULT, help=f"what the crowd does (default: {DEFAULT})"
    )
    ours.add_argument("--stage", default="", help="a stage that has been prepared; by default one is, on --host")
    ours.add_argument("--outcome", default="", help="a file for what came of it, to be audited")


def _prepared(scenario: str, url: str | None, users: int | None) -> Stage:
    """Has another process make a stage: it takes asyncio, and this process is gevent's."""
    if not url:
        sys.exit("name the system with --host")
    handle, name = tempfile.mkstemp(prefix="boxoffice-stage-", suffix=".json")
    os.close(handle)
    command = [sys.executable, "-m", "loadtest.scenarios", scenario, "--url", url, "--prepare", name]
    try:
        made = subprocess.run(  # noqa: S603  # our own program
            [*command, *(["--users", str(users)] if users else [])], check=False
        )
        if made.returncode:
            sys.exit(made.returncode)
        return stage.read(Path(name))
    finally:
        Path(name).unlink()


def _open_sale(prepared: Stage, url: str, opens_at: float) -> None:
    """Tells the system when the sale opens. Not a request of the crowd's, so it is not counted."""
    session = FastHttpSession(base_url=url, request_event=EventHook(), user=None, insecure=False)
    answer = session.request(
        "PATCH",
        f"/v1/schedules/{prepared.schedule_id}",
        json={"sale_opens_at": datetime.fromtimestamp(opens_at, UTC).isoformat()},
        headers={"Authorization": f"Bearer {prepared.organizer.token}"},
    )
    if answer.status_code != 200:
        raise RuntimeError(f"the sale could not be opened: {answer.status_code} {answer.text}")


crew = Crew()
