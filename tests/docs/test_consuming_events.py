"""The programs of docs/consuming-events.md, as they stand there: each event counts once, and gaps are closed."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Header, Response

from api.views.journal import entry
from engine.events import Record, decode_event
from engine.plan_document import read_plan
from engine.state import ScheduleState, apply
from persistence.embedded.process import Program, child_environment, running
from persistence.events.cloud_events import render
from persistence.events.log import KafkaEventLog
from persistence.events.options import KafkaOptions
from tests.support.services.serving import serve
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "consuming-events.md"
JOURNAL = ROOT / "tests" / "engine" / "golden" / "2026-11.jsonl"
WHOLE, BROKEN = "01980000-0000-7000-8000-00000000000a", "01980000-0000-7000-8000-00000000000b"
TOPICS = (f"consuming-test-{number}" for number in itertools.count(1))
TOKEN = "an-administrators"


class History:
    """A real journal, its events, and what is to be counted in it."""

    def __init__(self) -> None:
        header, *lines = (json.loads(line) for line in JOURNAL.read_text().splitlines())
        self.plan = read_plan(header["plan"])
        state = ScheduleState(self.plan)
        self.records = [
            Record(seq, at_ms, decode_event(base64.b64decode(payload))) for seq, at_ms, payload, *_ in lines
        ]
        self._bookings = [apply(state, record) for record in self.records]

    def confirmed_until(self, version: int) -> int:
        return sum(record.event.type_name == "reservation.confirmed" for record in self.records[:version])

    @property
    def confirmed(self) -> int:
        return self.confirmed_until(self.last)

    @property
    def last(self) -> int:
        return len(self.records)

    def events(self, schedule_id: str, first: int, last: int) -> list[bytes]:
        pairs = zip(self.records[first - 1 : last], self._bookings[first - 1 : last], strict=True)
        return [render(schedule_id, record, booking, self.plan) for record, booking in pairs]

    def api(self) -> FastAPI:
        """The journal's route, which at first is away, and then answers two entries at a time."""
        app = FastAPI()
        app.state.asked = 0

        @app.get("/v1/admin/schedules/{schedule_id}/journal", response_model=None)
        async def journal(
            schedule_id: str, from_version: int = 1, authorization: str = Header()
        ) -> Response | dict[str, object]:
            app.state.asked += 1
            if app.state.asked == 1:
                return Response(status_code=503)
            assert (schedule_id, authorization) == (BROKEN, f"Bearer {TOKEN}")
            found = [entry(record, self.plan) for record in self.records if record.seq >= from_version]
            return {"items": found[:2], "next_version": found[2]["version"] if len(found) > 2 else None}

        return app


def block(language: str) -> str:
    """The page's one program in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(found)


def python_program(directory: Path, request: pytest.FixtureRequest) -> tuple[str, ...]:
    source = directory / "consumer.py"
    source.write_text(block("python"))
    return (sys.executable, str(source))


def java_program(directory: Path, request: pytest.FixtureRequest) -> tuple[str, ...]:
    jars = request.getfixturevalue("apache_kafka_jars")
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        pytest.skip("a Java source file needs a JDK")
    source = directory / "Consumer.java"
    source.write_text(block("java"))
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return (java, "-XX:TieredStopAtLevel=1", quiet, "-cp", f"{jars}/*", str(source))


@pytest.fixture(params=[python_program, java_program], ids=["python", "java"])
def argv(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    made: tuple[str, ...] = request.param(tmp_path, request)
    return made


class World:
    """A broker with a whole and a broken story on it, and the programs that read them."""

    def __init__(self, options: KafkaOptions, history: History, url: str, directory: Path) -> None:
        self.log = KafkaEventLog(options)
        self.history = history
        self.database = directory / "bookings.sqlite"
        self._output = directory / "output.log"
        self._environment = child_environment(
            os.environ,
            KAFKA_BOOTSTRAP_SERVERS=options.servers,
            BOXOFFICE_TOPIC=options.topic,
            BOXOFFICE_URL=url,
            BOXOFFICE_TOKEN=TOKEN,
            DATABASE=str(self.database),
        )

    async def publish(self, schedule_id: str, *spans: tuple[int, int]) -> None:
        """Events from one version to another, span after span."""
        for first, last in spans:
            await self.log.publish(schedule_id, self.history.events(schedule_id, first, last))

    async def run_until(self, argv: tuple[str, ...], *lines: str) -> list[str]:
        """Runs a program until it has said these lines; gives all it has said."""
        program = Program(name="consumer", argv=argv, address="", log=self._output)
        async with running(program, self._environment) as child:

            def said_all() -> bool:
                assert child.alive, self._said()
                return set(lines) <= set(self._said())

            await until(said_all)
            await child.kill()
        return self._said()

    def _said(self) -> list[str]:
        return self._output.read_text().splitlines()


@pytest.fixture
async def world(servers: str, tmp_path: Path) -> AsyncIterator[World]:
    history = History()
    async with serve(history.api()) as url:
        made = World(KafkaOptions(servers=servers, topic=next(TOPICS)), history, url, tmp_path)
        yield made
        await made.log.close()


def story(schedule_id: str, said: list[str]) -> list[int]:
    """The versions a program has taken, in the order in which it did."""
    return [int(version) for version in re.findall(rf"schedule {schedule_id} version (\d+):", "\n".join(said))]


async def test_every_version_is_taken_once_in_order_and_the_figures_are_right(
    world: World, argv: tuple[str, ...]
) -> None:
    last, confirmed = world.history.last, world.history.confirmed
    await world.publish(WHOLE, (1, last))
    await world.publish(BROKEN, (1, 5), (3, 8), (12, last))  # 3 to 5 twice, 9 to 11 not at all
    ends = [f"schedule {each} version {last}: {confirmed} confirmed" for each in (WHOLE, BROKEN)]
    said = await world.run_until(argv, *ends)
    for schedule_id in (WHOLE, BROKEN):
        assert story(schedule_id, said) == list(range(1, last + 1))
    assert len([line for line in said if line.startswith("waiting for the journal")]) == 1


@pytest.mark.long
async def test_the_python_program_goes_on_where_it_was_killed(
    world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    program = python_program(tmp_path, request)
    last, confirmed = world.history.last, world.history.confirmed
    await world.publish(WHOLE, (1, 8))
    said = await world.run_until(program, f"schedule {WHOLE} version 5: {world.history.confirmed_until(5)} confirmed")
    assert story(WHOLE, said)[:5] == [1, 2, 3, 4, 5]
    await world.publish(WHOLE, (3, last))
    said = await world.run_until(program, f"schedule {WHOLE} version {last}: {confirmed} confirmed")
    told = story(WHOLE, said)
    # What it took in the moment before it was killed it may not have said; it is not taken again.
    assert told == sorted({*told})
    assert (told[0], told[-1]) == (1, last)
    with sqlite3.connect(world.database) as database:
        assert [*database.execute("SELECT * FROM schedules")] == [(WHOLE, last, confirmed)]
