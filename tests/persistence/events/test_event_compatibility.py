"""Old events are read for ever, and whoever reads events by an old description can read today's."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, FormatChecker

from engine.booking import Booking
from engine.events import AnyEvent
from persistence.events.asyncapi import asyncapi_document
from persistence.events.cloud_events import decode
from persistence.events.event_data import Data
from tests.persistence.events.event_contract import CONTRACTS, breaking_changes
from tests.persistence.events.test_cloud_events import each_kind, rendered

GOLDEN = sorted((Path(__file__).parent / "golden_events").glob("*.json"))
FIRST = "2026-11-first"  # what was published before there were refunds
TODAY = asyncapi_document("booking-events")
Schema = dict[str, Any]

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def complaints(document: Schema, value: bytes) -> list[str]:
    """What a document has against an event."""
    event = json.loads(value)
    payload = document["components"]["messages"][event["type"]]["payload"]
    validator = Draft7Validator({**payload, "components": document["components"]}, format_checker=formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(event)]


def committed(path: Path) -> Schema:
    found: Schema = json.loads(path.read_text())
    return found


every_contract = pytest.mark.parametrize("path", sorted(CONTRACTS.glob("*.json")), ids=lambda path: path.stem)
every_old_event = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)


@every_old_event
def test_an_old_event_is_still_read_whole(path: Path) -> None:
    event = decode(path.read_bytes())
    assert type(event.data) is not Data, "its type is not known any more"
    assert json.loads(msgspec.json.encode(event)) == json.loads(path.read_bytes())


@every_old_event
def test_an_old_event_is_as_todays_description_says(path: Path) -> None:
    assert complaints(TODAY, path.read_bytes()) == []


@each_kind
def test_todays_event_is_as_todays_description_says(event: AnyEvent, about: Booking | None) -> None:
    assert complaints(TODAY, rendered(event, about)) == []


@each_kind
def test_todays_event_is_as_every_old_description_says(event: AnyEvent, about: Booking | None) -> None:
    for path in CONTRACTS.glob("*.json"):
        document = committed(path)
        if event.type_name in document["components"]["messages"]:
            assert complaints(document, rendered(event, about)) == []


@every_contract
def test_nothing_that_was_described_is_broken(path: Path) -> None:
    assert breaking_changes(committed(path), TODAY) == []


def test_the_newest_description_is_todays() -> None:
    """Otherwise what has been added could be taken away again unnoticed."""
    described = [committed(path)["components"] for path in CONTRACTS.glob("*.json")]
    assert TODAY["components"] in described, (
        "python -m tests.persistence.events.event_contract NAME, and commit the file"
    )


def test_every_type_has_an_old_event() -> None:
    assert {json.loads(path.read_bytes())["type"] for path in GOLDEN} == set(TODAY["components"]["messages"])


def test_events_from_before_refunds_are_among_them() -> None:
    old = [json.loads(path.read_bytes()) for path in GOLDEN if FIRST in path.stem]
    opened = [event for event in old if event["type"] == "schedule.opened"]
    assert len(old) == 13
    assert ["refund_policy" in event["data"]["terms"] for event in opened] == [False]


def schemas(document: Schema) -> Schema:
    found: Schema = document["components"]["schemas"]
    return found


def plant(change: Callable[[Schema], object]) -> Schema:
    """Today's description with a change."""
    document = copy.deepcopy(TODAY)
    change(document)
    return document


BREAKS: dict[str, tuple[Callable[[Schema], object], str]] = {
    "a type of event is gone": (
        lambda d: d["components"]["messages"].pop("seats.blocked"),
        "seats.blocked: is not published any more",
    ),
    "a field is gone": (
        lambda d: schemas(d)["BookingFacts"]["properties"].pop("customer_id"),
        "reservation.held.data.booking.customer_id: is gone",
    ),
    "an optional field is gone": (
        lambda d: schemas(d)["SeatsData"]["properties"].pop("reason"),
        "seats.blocked.data.reason: is gone",
    ),
    "a field of a list's items is gone": (
        lambda d: schemas(d)["PricedPlace"]["properties"].pop("row"),
        "reservation.held.data.booking.seats[].row: is gone",
    ),
    "a type is another": (
        lambda d: schemas(d)["BookingFacts"]["properties"].update(amount={"type": "string"}),
        "reservation.held.data.booking.amount: may be string now",
    ),
    "a whole number may be broken": (
        lambda d: schemas(d)["BookingFacts"]["properties"].update(amount={"type": "number"}),
        "reservation.held.data.booking.amount: may be number now",
    ),
    "a field may be null": (
        lambda d: schemas(d)["Place"]["properties"].update(row={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "seats.blocked.data.seats[].row: may be null now",
    ),
    "a field may not be null any more": (
        lambda d: schemas(d)["BookingFacts"]["properties"].update(expires_at={"type": "string", "format": "date-time"}),
        "reservation.held.data.booking.expires_at: may not be null any more",
    ),
    "the values of a map are others": (
        lambda d: schemas(d)["TermsFacts"]["properties"]["prices"].update(additionalProperties={"type": "string"}),
        "schedule.opened.data.terms.prices.*: may be string now",
    ),
    "a moment is any text": (
        lambda d: schemas(d)["EventEnvelope"]["properties"].update(time={"type": "string"}),
        "reservation.held.time: may be string now",
    ),
    "a new field is required": (
        lambda d: (
            schemas(d)["BookingFacts"]["properties"].update(channel={"type": "string"}),
            schemas(d)["BookingFacts"]["required"].append("channel"),
        ),
        "reservation.held.data.booking.channel: is required, and old events lack it",
    ),
    "an optional field is required": (
        lambda d: schemas(d)["TermsFacts"]["required"].append("refund_policy"),
        "schedule.opened.data.terms.refund_policy: is required, and old events lack it",
    ),
    "a field may be left out": (
        lambda d: (
            schemas(d)["Data"]["required"].remove("version")
            or [schema["required"].remove("version") for name, schema in schemas(d).items() if name.endswith("ingData")]
        ),
        "reservation.held.data.version: may be left out, and was always there",
    ),
    "a value is dropped": (
        lambda d: schemas(d)["BookingFacts"]["properties"]["status"]["enum"].remove("expired"),
        "reservation.held.data.booking.status: is never 'expired' any more",
    ),
    "anything becomes an enumeration": (
        lambda d: schemas(d)["EndData"]["properties"]["by"].update(enum=["admin"]),
        "schedule.cancelled.data.by: is one of ['admin'], and could be anything",
    ),
    "a constant is another": (
        lambda d: d["components"]["messages"]["seats.blocked"]["payload"]["allOf"][1]["properties"]["type"].update(
            const="seats.taken"
        ),
        "seats.blocked.type: is always 'seats.taken' and was 'seats.blocked'",
    ),
    "a limit is new": (
        lambda d: schemas(d)["BookingFacts"]["properties"]["amount"].update(minimum=1),
        "reservation.held.data.booking.amount: minimum is 1 and was None",
    ),
    "the content type is another": (
        lambda d: d["components"]["messages"]["seats.blocked"].update(contentType="application/json"),
        "seats.blocked: another content type",
    ),
}
GROWTH: dict[str, Callable[[Schema], object]] = {
    "a new type of event": lambda d: d["components"]["messages"].update(
        {"seats.moved": d["components"]["messages"]["seats.blocked"]}
    ),
    "a new field that may be left out": lambda d: schemas(d)["BookingFacts"]["properties"].update(
        channel={"type": "string"}
    ),
    "a new value": lambda d: schemas(d)["BookingFacts"]["properties"]["status"]["enum"].append("exchanged"),
    "other words": lambda d: schemas(d)["BookingFacts"].update(description="A booking."),
}


@pytest.mark.parametrize(("change", "expected"), BREAKS.values(), ids=BREAKS)
def test_a_breaking_change_is_found(change: Callable[[Schema], object], expected: str) -> None:
    assert expected in breaking_changes(TODAY, plant(change))


@pytest.mark.parametrize("change", GROWTH.values(), ids=GROWTH)
def test_growth_is_not_a_breaking_change(change: Callable[[Schema], object]) -> None:
    grown = plant(change)
    assert grown != TODAY
    assert breaking_changes(TODAY, grown) == []


def test_an_old_event_against_a_description_that_has_changed_its_mind_is_found() -> None:
    document = plant(lambda d: schemas(d)["TermsFacts"]["required"].append("refund_policy"))
    (old,) = [path for path in GOLDEN if path.stem == f"schedule.opened.{FIRST}"]
    assert complaints(document, old.read_bytes()) == ["$.data.terms: 'refund_policy' is a required property"]
