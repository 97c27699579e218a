"""Somebody who asks the API something: what every user of a scenario is.

Every answer is one of four. What is wanted, or a refusal that the scenario expects, is a success and is counted by its
code. *Come back later* (503 with `Retry-After`) is counted by itself and asked again with the same `Idempotency-Key`,
as a good client does. Everything else is a failure: it is in Locust's report, and the run does not pass.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

import gevent
import msgspec
from locust import FastHttpUser, task
from locust.contrib.fasthttp import ResponseContextManager
from msgspec import Struct

from loadtest.scenarios.crowd.crew import crew
from loadtest.scenarios.outcome import BUSY, PENDING, REFUSED, UNCHANGED

TIMEOUT_SECONDS = 30.0  # the server answers 503 well before
LOST_RETRIES = 5  # a request without an answer is sent again, so that whatever became of it is known
LOST_PAUSE_SECONDS = 0.5
BUSY_RETRIES = 20
NOT_YET = {"overloaded", "dependency_unavailable", "idempotency_in_progress"}  # codes of what is worth asking again
MESSAGE_CHARACTERS = 300
IDLE_SECONDS = 0.5  # of a user who has nothing left to do


class Answer(Struct, frozen=True):
    """What came back. Status 0: nothing did."""

    status: int
    code: str = ""  # of a problem document
    etag: str = ""
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


Complaint = Callable[[Answer], str | None]  # what is wrong with an answer that looks right


class Visitor(FastHttpUser):
    """Runs one errand after the other until the crew closes. Subclasses say what that is and how long they rest."""

    abstract = True
    insecure = False
    network_timeout = TIMEOUT_SECONDS
    connection_timeout = TIMEOUT_SECONDS
    rest_seconds: tuple[float, float] = (0.0, 0.0)  # between two errands
    token: str | None = None

    def wait_time(self) -> float:
        return IDLE_SECONDS if crew.closing.is_set() else random.uniform(*self.rest_seconds)

    @task
    def next_errand(self) -> None:
        if crew.closing.is_set():
            return
        with crew.errand():
            self.errand()

    def errand(self) -> None:
        """One thing somebody comes for."""
        raise NotImplementedError  # each kind of visitor has its own

    def think(self, shortest: float, longest: float) -> None:
        """Takes some time, but not when the doors are closing."""
        crew.closing.wait(random.uniform(shortest, longest))

    def ask(
        self,
        kind: str,
        method: str,
        path: str,
        body: object = None,
        *,
        expect: Collection[str] = (),
        headers: Mapping[str, str] | None = None,
        wrong: Complaint | None = None,
    ) -> Answer:
        """One wish, until it is answered. `expect`: codes of refusals that are all right here."""
        sent = {**(headers or {})}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if method in ("POST", "PATCH"):
            sent["Idempotency-Key"] = str(uuid.uuid4())
        lost = busy = 0
        while True:
            with self.client.request(method, path, name=kind, json=body, headers=sent, catch_response=True) as response:
                answer = read(response)
                pause = _settle(response, kind, answer, expect, wrong)
            if answer.status == 0:
                lost += 1
                if lost > LOST_RETRIES:
                    return answer
                gevent.sleep(LOST_PAUSE_SECONDS)
            elif pause is None or busy == BUSY_RETRIES:
                return answer
            else:
                busy += 1
                gevent.sleep(pause)

    def found_out(self, kind: str, complaint: str | None, milliseconds: float = 0.0) -> None:
        """Counts something that was looked into and is no request of its own."""
        crew.notes.count(kind)
        self.environment.events.request.fire(
            request_type="",
            name=kind,
            response_time=milliseconds,
            response_length=0,
            exception=None if complaint is None else RuntimeError(complaint),
            context={},
        )


def read(response: ResponseContextManager) -> Answer:
    """The answer, with the code of a problem document."""
    if response.status_code == 0 or response.headers is None:
        return Answer(0)
    headers = response.headers
    body = response.content or b""
    code = ""
    if "problem+json" in str(headers.get("content-type", "")):
        code = str(msgspec.json.decode(body).get("code", ""))
    return Answer(response.status_code, code, str(headers.get("etag", "")), body)


def _settle(
    response: ResponseContextManager, kind: str, answer: Answer, expect: Collection[str], wrong: Complaint | None
) -> float | None:
    """Counts the answer as what it is. Returns after how many seconds to ask again, if that is what it says."""
    after = "" if response.headers is None else str(response.headers.get("retry-after", ""))
    if answer.status in (503, 409) and answer.code in NOT_YET and after.isdigit():
        _success(response, kind + BUSY)
        return float(after)
    if answer.status == 304:
        _success(response, kind + UNCHANGED)
    elif answer.code in expect:
        _success(response, kind + REFUSED + answer.code)
    elif answer.ok:
        complaint = None if wrong is None else wrong(answer)
        if complaint is None:
            _success(response, kind + PENDING if answer.status == 202 else kind)
        else:
            _failure(response, kind, complaint)
    elif answer.status == 0:
        _failure(response, kind, f"no answer: {response.request_meta['exception']!r}")
    else:
        text = answer.body[:MESSAGE_CHARACTERS].decode(errors="replace")
        _failure(response, kind, f"{answer.status} {text}")
    return None


def _success(response: ResponseContextManager, name: str) -> None:
    response.request_meta["name"] = name
    crew.notes.count(name)
    response.success()


def _failure(response: ResponseContextManager, kind: str, complaint: str) -> None:
    crew.notes.count(f"{kind} (failed)")
    response.failure(complaint)
