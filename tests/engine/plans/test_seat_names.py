"""What a seat is called: as its row says, and in either spelling; plans of before keep the names they were sold by."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from engine.plan_document import read_plan
from engine.stored_plan import pack, plan_of, unpack
from tests.engine.plans.houses import plan_document


@pytest.mark.parametrize(
    ("row", "seat", "number"),
    [
        ({"seat_label": "A%s"}, {}, "A35"),
        ({"seat_label": "A%s"}, {"seat_label": "B%s"}, "B35"),
        ({"seat_label": ""}, {}, "35"),
        ({"seat_label": None}, {}, "35"),
        ({}, {"seat_label": "Box %s"}, "Box 35"),
        ({"seat_label": "%s"}, {}, "35"),
    ],
)
def test_report_08_a_seat_is_called_as_its_row_says(
    row: dict[str, object], seat: dict[str, object], number: str
) -> None:
    document: Any = plan_document(rows=1, seats=1)
    document["zones"][0]["rows"][0] |= row
    document["zones"][0]["rows"][0]["seats"][0] |= {"seat_number": "35"} | seat
    plan = read_plan(document)
    assert plan.describe(0).number == number
    assert unpack(pack(plan)).describe(0).number == number


def test_report_08_a_plan_of_before_keeps_the_names_its_seats_were_sold_by() -> None:
    document: Any = plan_document(rows=1, seats=2)
    before = read_plan(document)
    document["zones"][0]["rows"][0]["seat_label"] = "A%s"
    kept = plan_of(None, json.dumps(document))
    assert (kept.digest, kept.numbers) == (before.digest, before.numbers)
    assert read_plan(document).digest != before.digest


def test_report_02_a_plan_of_before_is_found_by_either_spelling() -> None:
    document: Any = plan_document(rows=1, seats=2)
    document["categories"][0]["name"] = "일반석"
    for seat in document["zones"][0]["rows"][0]["seats"]:
        seat |= {"category": "일반석", "seat_guid": f"가-{seat['seat_number']}"}
    former = json.dumps(document, ensure_ascii=False)
    plan = plan_of(None, unicodedata.normalize("NFD", former))
    for spelling in ("NFC", "NFD"):
        assert plan.index[unicodedata.normalize(spelling, "가-2")] == 1
        assert plan.category_number(unicodedata.normalize(spelling, "일반석")) == 0
    assert plan.zone_number("Nowhere") is None
