"""What clients take, of media types, languages and codings alike: by the weights of RFC 9110 section 12.4.2.

Nothing here refuses anybody. Who takes nothing that there is gets what everybody gets (section 12.5.1 allows it), as
from routes that have one form only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

WEIGHT = re.compile(r"0(\.\d*)?|1(\.0*)?")


def wishes(header: str) -> list[tuple[str, float]]:
    """What is named, in small letters and in the header's order, each with its weight. Weight 0 is not taken; so is
    what has a weight that is none."""
    found = []
    for part in header.lower().split(","):
        name, *parameters = part.split(";")
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = float(value) if WEIGHT.fullmatch(value := value.strip()) else 0.0
        found.append((name.strip(), weight))
    return found


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The media type that is liked best, each by the range that names it most exactly (section 12.5.1); of several the
    one named most exactly, then the one offered first. That, too, where none is taken."""
    ranges = dict(reversed(wishes(accept)))  # of what is named twice the first counts
    best, found = (0.0, 0), offered[0]
    for kind in offered:
        names = ("*/*", kind.partition("/")[0] + "/*", kind)
        exact = max((place for place, name in enumerate(names) if name in ranges), default=-1)
        if exact >= 0 and (weighed := (ranges[names[exact]], exact)) > best and weighed[0] > 0:
            best, found = weighed, kind
    return found
