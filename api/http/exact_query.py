"""What is not taken back is asked for by the parameters that there are: one more may be meant to hold it back.

Whoever sends `?dry_run=true` where that is called `preview` does not want a performance cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.http.problems import invalid


def parameters(dependant: Dependant) -> Iterator[str]:
    """The names of all query parameters that a route and its dependencies take."""
    yield from (each.alias for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from parameters(each)


def _refuse_others(request: Request) -> None:
    route = request.scope["route"]
    assert isinstance(route, APIRoute), "it stands in the dependencies of a route"
    known = set(parameters(route.dependant))
    for name in request.query_params:
        if name not in known:
            raise invalid(name, "is not a parameter of this operation", "이 요청에 없는 매개변수입니다")


# Put into `dependencies=[…]` of a route whose body is `Exact`.
EXACT_QUERY = Depends(_refuse_others)
