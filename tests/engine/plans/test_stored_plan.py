"""A plan that was stored is the plan that was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import msgspec
import pytest

from api.demo.venues import arena, sejong_grand_theater
from engine.allocate import FreeSeats
from engine.plan_document import read_plan
from engine.seating_plan import SeatingPlan
from engine.stored_plan import pack, plan_of, unpack
from tests.engine.plans.houses import plan_document


@pytest.mark.parametrize("document", [plan_document, sejong_grand_theater, arena])
def test_a_stored_plan_comes_back_whole(document: Callable[[], dict[str, Any]]) -> None:
    plan = read_plan(document())
    again = unpack(pack(plan))
    for field in fields(SeatingPlan):
        assert getattr(again, field.name) == getattr(plan, field.name), field.name
        assert type(getattr(again, field.name)) is type(getattr(plan, field.name)), field.name
    assert [again.describe(index) for index in (0, plan.size - 1)] == [
        plan.describe(index) for index in (0, plan.size - 1)
    ]
    assert FreeSeats(again).best(2) == FreeSeats(plan).best(2)


def test_a_house_without_a_stored_plan_has_its_document() -> None:
    plan = read_plan(plan_document())
    document = msgspec.json.encode(plan_document()).decode()
    assert plan_of(None, document).digest == plan_of(pack(plan), None).digest == plan.digest
