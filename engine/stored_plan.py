"""A seating plan as it is stored: what the document says, read and numbered already.

Reading a document is checking it, seat by seat: half a second for a stadium, in every process that comes to know the
house. This form was checked when it was made, and is read in a thirtieth of the time.
"""

from __future__ import annotations

import sys
from array import array

import msgspec
from msgspec import Struct

from engine.plan_document import read_plan
from engine.seating_plan import Area, Box, Row, Run, SeatingPlan, SeatLabel, index_of


class _Stored(Struct, frozen=True, array_like=True):
    """Fields are added at the end, with a default. `gone` stands in no document: so keep it."""

    name: str
    categories: tuple[str, ...]
    colors: tuple[str, ...]
    zones: tuple[str, ...]
    zone_ids: tuple[str, ...]
    size: int
    capacity: int
    ids: tuple[str, ...]
    zone_of: bytes  # 16-bit; all of these little-endian
    category_of: bytes  # 16-bit
    row_of: bytes  # 32-bit
    run_of: bytes  # 32-bit
    rows: list[tuple[int, str, int, int]]
    runs: list[tuple[int, int, int]]
    numbers: tuple[str, ...]
    x: bytes  # single precision
    y: bytes
    areas: list[tuple[str, str, int, int, int]]
    stage: tuple[float, float, float, float]
    digest: str
    gone: tuple[tuple[str, str, str, str, str], ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


def pack(plan: SeatingPlan) -> bytes:
    """The plan in its stored form: 30 bytes a seat."""
    stage = plan.stage
    return _encode(
        _Stored(
            name=plan.name,
            categories=plan.categories,
            colors=plan.colors,
            zones=plan.zones,
            zone_ids=plan.zone_ids,
            size=plan.size,
            capacity=plan.capacity,
            ids=plan.ids,
            zone_of=_bytes(plan.zone_of),
            category_of=_bytes(plan.category_of),
            row_of=_bytes(plan.row_of),
            run_of=_bytes(plan.run_of),
            rows=[(row.zone, row.label, row.first, row.count) for row in plan.rows],
            runs=[(run.zone, run.first, run.count) for run in plan.runs],
            numbers=plan.numbers,
            x=_bytes(plan.x),
            y=_bytes(plan.y),
            areas=[(area.id, area.name, area.zone, area.category, area.capacity) for area in plan.areas],
            stage=(stage.left, stage.top, stage.right, stage.bottom),
            digest=plan.digest,
            gone=tuple((each.id, each.zone, each.row, each.number, each.category) for each in plan.gone),
        )
    )


def unpack(data: bytes) -> SeatingPlan:
    """The plan that was packed."""
    stored = _decode(data)
    return SeatingPlan(
        name=stored.name,
        categories=stored.categories,
        colors=stored.colors,
        zones=stored.zones,
        zone_ids=stored.zone_ids,
        size=stored.size,
        capacity=stored.capacity,
        ids=stored.ids,
        index=index_of(stored.ids[: len(stored.ids) - len(stored.gone)]),
        zone_of=_array("H", stored.zone_of),
        category_of=_array("H", stored.category_of),
        row_of=_array("I", stored.row_of),
        run_of=_array("I", stored.run_of),
        rows=tuple(Row(*row) for row in stored.rows),
        runs=tuple(Run(*run) for run in stored.runs),
        numbers=stored.numbers,
        x=_array("f", stored.x),
        y=_array("f", stored.y),
        areas=tuple(Area(*area) for area in stored.areas),
        stage=Box(*stored.stage),
        digest=stored.digest,
        gone=tuple(SeatLabel(*each) for each in stored.gone),
    )


def plan_of(packed: bytes | None, document: str | bytes | None) -> SeatingPlan:
    """The plan from its stored form or, where there is none, from its document."""
    if packed is not None:
        return unpack(packed)
    assert document is not None, "a house has a plan in one form or the other"
    return read_plan(msgspec.json.decode(document), row_labels=False)  # from before rows could label their seats


def _bytes(values: array[int] | array[float]) -> bytes:
    return _little_endian(values).tobytes()


def _array(kind: str, data: bytes) -> array:  # type: ignore[type-arg]  # of int or float, as the kind says
    values = array(kind)
    values.frombytes(data)
    return _little_endian(values)


def _little_endian(values: array) -> array:  # type: ignore[type-arg]  # of any kind of number
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values
