"""Browsing: people who look and mostly do not buy. They poll with `If-None-Match` and keep event streams open."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import gevent
import msgspec

from loadtest.scenarios.crowd.crew import crew
from loadtest.scenarios.crowd.customer import Customer
from loadtest.scenarios.crowd.visitor import Visitor, read

POLLS = 4
STAY_SECONDS = (4.0, 20.0)  # at one stream
CALM_SECONDS = 0.7  # after which what was done last has been announced
COMPARISONS = 5
COMES_BACK = 0.5  # resumes with `Last-Event-ID`


class Browser(Visitor):
    """Through the catalogue to one schedule; then polls what is left of it."""

    rest_seconds = (0.5, 3.0)

    def errand(self) -> None:
        stage = crew.stage
        self.ask("performances", "GET", "/v1/performances?category=load%20test&limit=20")
        self.think(0.2, 1.0)
        self.ask("performance", "GET", f"/v1/performances/{stage.performance_id}")
        self.ask("schedules", "GET", f"/v1/performances/{stage.performance_id}/schedules")
        self.think(0.2, 1.0)
        schedule = f"/v1/schedules/{stage.schedule_id}"
        seats = etag = ""
        for _ in range(POLLS):
            etag = self._poll("availability", f"{schedule}/availability", etag)
            if random.random() < 0.5:
                seats = self._poll("seats", f"{schedule}/seats", seats)
            self.think(0.2, 1.0)

    def _poll(self, kind: str, path: str, etag: str) -> str:
        answer = self.ask(kind, "GET", path, headers={"If-None-Match": etag} if etag else None)
        return answer.etag or etag


class StreamWatcher(Visitor):
    """Keeps the seat map live by Server-Sent Events, and compares it with the page in the end."""

    rest_seconds = (0.2, 1.0)

    def errand(self) -> None:
        version, places = self._watch(0, {}, random.uniform(*STAY_SECONDS))
        if version and random.random() < COMES_BACK and not crew.closing.is_set():
            self.think(0.1, 1.0)
            version, places = self._watch(version, places, random.uniform(*STAY_SECONDS))
        for _ in range(COMPARISONS):
            if not version or self._compare(version, places) or not crew.closing.is_set():
                break
            version, places = self._watch(version, places, 0.0)

    def _watch(self, version: int, places: dict[str, Any], seconds: float) -> tuple[int, dict[str, Any]]:
        """One connection, from the version it has; returns the newest version and the places as they are then."""
        path = f"/v1/schedules/{crew.stage.schedule_id}/stream"
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if version:
            headers["Last-Event-ID"] = str(version)
        start = time.perf_counter()
        kind = "stream again" if version else "stream"
        with self.client.get(path, name=kind, headers=headers, stream=True, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code} {read(response).body[:300]!r}")
                return 0, {}
            crew.notes.count(kind)
            response.success()
        events = _Events(response, seconds)
        try:
            for name, number, data in events:
                complaint = None
                if name == "snapshot":
                    self.found_out("stream snapshot", None, (time.perf_counter() - start) * 1000)
                    places = {}
                elif number <= version:
                    complaint = f"version {number} after {version}"
                if complaint is not None or name != "snapshot":
                    self.found_out("stream change", complaint)
                version = number
                places |= {place["id"]: place for place in (*data["seats"], *data["areas"])}
        finally:
            events.close()
        if events.broken:
            self.found_out("stream change", f"the stream broke off: {events.broken}")
        return version, places

    def _compare(self, version: int, places: dict[str, Any]) -> bool:
        """What the stream told adds up to the page. Whether they could be compared: both are of the same version."""
        answer = self.ask("seats", "GET", f"/v1/schedules/{crew.stage.schedule_id}/seats")
        page: dict[str, Any] = answer.json() if answer.ok else {"version": None}
        if page["version"] != version:
            return False
        wrong = [seat["id"] for seat in page["seats"] if places[seat["id"]]["state"] != seat["state"]]
        wrong += [area["id"] for area in page["areas"] if places[area["id"]]["left"] != area["left"]]
        complaint = f"version {version} differs from the page in {wrong[:5]}" if wrong else None
        self.found_out("stream equals the page", complaint)
        return True


class _Events:
    """The events of an open stream, for so many seconds, or until the crew has closed and things have calmed down."""

    def __init__(self, response: Any, seconds: float) -> None:
        self._lines = response._response  # what Locust offers itself waits for whole blocks, not for lines
        self._leaving = False
        self._leaver = gevent.spawn(self._leave, seconds)
        self.broken = ""

    def __iter__(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        fields: dict[str, str] = {}
        while (line := self._line()) is not None:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            else:
                if "data" in fields:
                    yield fields["event"], int(fields["id"]), msgspec.json.decode(fields["data"])
                fields = {}

    def _line(self) -> str | None:
        """The next line; None when it is time to leave, or the stream broke off. Silence breaks it off, too."""
        try:
            line = bytes(self._lines.readline(b"\n"))
        except Exception as error:  # noqa: BLE001  # whatever the client raises means the connection is gone
            self.broken = "" if self._leaving else repr(error)
            return None
        if not line and not self._leaving:
            self.broken = "the server ended it"
        return line.decode().rstrip("\r\n") if line else None

    def _leave(self, seconds: float) -> None:
        """Closing the connection is what wakes whoever waits for the next line."""
        crew.closing.wait(seconds)
        if crew.closing.is_set():
            gevent.sleep(CALM_SECONDS)
        self._leaving = True
        self._lines.release()

    def close(self) -> None:
        self._leaver.kill()
        self._lines.release()


class UndecidedCustomer(Customer):
    """Holds seats and lets them go: so that there is something to see."""

    rest_seconds = (0.5, 2.0)

    def errand(self) -> None:
        self.log_in()
        booking = self.hold({"quantity": random.choice((1, 2, 2, 4))})
        self.think(0.3, 2.0)
        if booking is not None:
            self.cancel(booking, "only looking")
