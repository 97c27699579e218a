"""Which route a request is for, known before the framework is asked: who may come in there, and with how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from msgspec import Struct

from api.http.large_bodies import body_limit_of
from api.office.dependencies import Caller

PATHS_REMEMBERED = 4096  # a path names its route; finding it again costs a hundredth


class Entry(Struct, frozen=True):
    """A route, and what it asks of a request."""

    route: APIRoute
    methods: frozenset[str]
    callers: tuple[Caller, ...]  # its dependencies that say who may come in
    body_limit: int  # bytes


class Directory:
    """The routes of an application, by path and method."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self.entries = [
            Entry(route, frozenset(route.methods or ()), tuple(_callers(route.dependant)), body_limit_of(route))
            for route in routes
        ]
        self._at = lru_cache(PATHS_REMEMBERED)(self._look_up)

    def find(self, method: str, path: str) -> Entry | None:
        """The route that a request reaches; None where it reaches none."""
        return next((entry for entry in self._at(path) if method in entry.methods), None)

    def methods(self, path: str) -> Sequence[str]:
        """Every method that something at the path answers to, in alphabetical order."""
        found = {method for entry in self._at(path) for method in entry.methods}
        return sorted(found | {"HEAD"} if "GET" in found else found)

    def personal(self) -> set[tuple[str, str]]:
        """The routes, as method and path, that answer only to who is logged in."""
        return {(method, entry.route.path) for entry in self.entries if entry.callers for method in entry.methods}

    def _look_up(self, path: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.route.path_regex.match(path) is not None)


def _callers(dependant: Dependant) -> Iterator[Caller]:
    for each in dependant.dependencies:
        if isinstance(each.call, Caller):
            yield each.call
        yield from _callers(each)
