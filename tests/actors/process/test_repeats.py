"""What is logged again and again is written a few times, with how often; what is new is always written."""

from __future__ import annotations

import logging

import pytest

from actors.process.repeats import LIBRARY_SECONDS, LINES, SECONDS, Repeats


class Log:
    """Lines that got through, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[str] = []
        self._repeats = Repeats(("aiokafka",), lambda: self.now)

    def say(self, name: str, text: str, *given: object) -> None:
        record = logging.LogRecord(name, logging.WARNING, __file__, 1, text, given, None)
        if self._repeats.filter(record):
            self.lines.append(record.getMessage())


@pytest.fixture
def log() -> Log:
    return Log()


def test_of_a_line_that_every_schedule_says_some_are_written_and_the_others_counted(log: Log) -> None:
    for number in range(500):
        log.say("actors.gateway", "schedule %s has lost its owner", number)
    assert len(log.lines) == LINES
    log.say("actors.gateway", "something else")
    assert log.lines[-1] == "something else"
    log.now += SECONDS
    log.say("actors.gateway", "schedule %s has lost its owner", "b")
    assert log.lines[-1] == f"schedule b has lost its owner ({500 - LINES} more like it before)"


def test_a_library_says_once_a_minute_that_it_tries_again_in_whatever_words(log: Log) -> None:
    for text in ("cannot connect to %s", "cannot update from %s", "cannot connect to %s"):
        log.say("aiokafka.conn", text, "broker")
    assert log.lines == ["cannot connect to broker"]
    log.now += LIBRARY_SECONDS
    log.say("aiokafka.conn", "cannot connect to %s", "broker")
    assert log.lines[1:] == ["cannot connect to broker (2 more like it before)"]


def test_what_an_investigator_reads_is_never_left_out(log: Log) -> None:
    for _ in range(100):
        log.say("boxoffice.security", "log_in_refused")
    assert len(log.lines) == 100


def test_what_happens_seldom_is_always_written_as_it_is(log: Log) -> None:
    for _ in range(5):
        log.say("actors.mail", "100 %% of %s", "mails")
        log.now += SECONDS
    assert log.lines == ["100 % of mails"] * 5
