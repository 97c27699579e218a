"""What is said to the outside world about each kind of journal record."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from engine import events
from engine.booking import Booking, Ending, Status
from engine.events import AnyEvent, Record, Terms
from engine.payment import Payment, PaymentStatus
from engine.plan_document import read_plan
from persistence.events import event_data
from persistence.events.asyncapi import asyncapi_document
from persistence.events.cloud_events import EventError, decode, event_of, glance, render, says_the_same, unrendered

SCHEDULE = "01980000-0000-7000-8000-00000000000a"
BOOKING = "01980000-0000-7000-8000-00000000000b"
CUSTOMER = "01980000-0000-7000-8000-00000000000c"
REFUND = "0199f3a1-52c4-7d10-8a6e-2f6f6d1c9b77"
PAYMENT = "01980000-0000-7000-8000-00000000000d"
CANCELLATION = "01980000-0000-7000-8000-00000000000e"
OTHER = "01980000-0000-7000-8000-000000000010"  # a booking
PAYER = "01980000-0000-7000-8000-000000000011"
AT_MS = 1_795_356_000_123  # 2026-11-22T14:00:00.123Z

PLAN = read_plan(
    {
        "name": "작은 극장",
        "size": {"width": 100, "height": 100},
        "categories": [{"name": "R석", "color": "#aa0000"}, {"name": "스탠딩", "color": "#00aa00"}],
        "zones": [
            {
                "name": "1층",
                "position": {"x": 0, "y": 0},
                "rows": [
                    {
                        "row_number": "A",
                        "position": {"x": 0, "y": 0},
                        "seats": [
                            {
                                "seat_guid": f"1-A-{number}",
                                "seat_number": str(number),
                                "position": {"x": number * 10, "y": 0},
                                "category": "R석",
                            }
                            for number in (1, 2, 3)
                        ],
                    }
                ],
                "general_admission": [{"guid": "pit", "name": "Pit", "category": "스탠딩", "capacity": 50}],
            }
        ],
    }
)
SEAT_1, SEAT_2 = PLAN.index["1-A-1"], PLAN.index["1-A-2"]
PIT = PLAN.index["pit"]
TERMS = Terms("KRW", {"R석": 150_000, "스탠딩": 99_000}, AT_MS + 86_400_000, 0, AT_MS + 86_000_000, 4, 600_000)
PAID = Payment(PAYMENT, 249_000, PaymentStatus.APPROVED, AT_MS, "sandbox", AT_MS, "ref-1")
DECLINED = Payment(PAYMENT, 249_000, PaymentStatus.DECLINED, AT_MS, "sandbox", AT_MS, "", "lost_card")


def booking(status: Status = Status.HELD, payment: Payment | None = None, ending: Ending | None = None) -> Booking:
    expires_ms = 0 if status is Status.CONFIRMED else AT_MS + 600_000
    return Booking(
        BOOKING, CUSTOMER, status, (SEAT_2, PIT), (150_000, 99_000), "KRW", AT_MS, expires_ms, 7, payment, ending
    )


REFUNDING = events.RefundRequested(
    BOOKING, REFUND, PAYMENT, (SEAT_2,), 135_000, 15_000, "KRW", "감기", "customer", (150_000,), (15_000,)
)
CASES: list[tuple[AnyEvent, Booking | None]] = [
    (events.Opened("digest", TERMS), None),
    (events.TermsChanged(TERMS), None),
    (events.Held(BOOKING, CUSTOMER, (SEAT_2, PIT), (150_000, 99_000), "KRW", AT_MS + 600_000), booking()),
    (events.Extended(BOOKING, AT_MS + 600_000), booking()),
    (events.Changed(BOOKING, (SEAT_2, PIT), (150_000, 99_000)), booking()),
    (events.Confirmed(BOOKING), booking(Status.CONFIRMED, PAID)),
    (events.Expired(BOOKING), booking(Status.EXPIRED, ending=Ending("", AT_MS, by="system"))),
    (
        events.Cancelled(BOOKING, CANCELLATION, "일정 변경", "customer"),
        booking(Status.CANCELLED, ending=Ending(CANCELLATION, AT_MS, "일정 변경", "customer")),
    ),
    (
        events.PaymentRequested(BOOKING, PAYMENT, 249_000, "sandbox"),
        booking(payment=Payment(PAYMENT, 249_000, PaymentStatus.REQUESTED, AT_MS, "sandbox")),
    ),
    (events.PaymentApproved(BOOKING, PAYMENT, "ref-1"), booking(payment=PAID)),
    (events.PaymentDeclined(BOOKING, PAYMENT, "lost_card"), booking(payment=DECLINED)),
    (
        REFUNDING,
        booking(Status.PARTIALLY_REFUNDED, PAID),
    ),
    (events.Refunded(BOOKING, REFUND, PAYMENT, 135_000, "KRW", "back-1"), booking(Status.PARTIALLY_REFUNDED, PAID)),
    (
        events.PaymentLate(BOOKING, CUSTOMER, PAYMENT, 249_000, "KRW", "sandbox", "ref-1", REFUND),
        booking(Status.EXPIRED, DECLINED),
    ),
    (
        events.HandedOn(BOOKING, OTHER, (SEAT_1,)),
        booking(Status.CONFIRMED, PAID),
    ),
    (
        events.TakenOver(BOOKING, CUSTOMER, OTHER, (SEAT_2, PIT), (150_000, 99_000)),
        msgspec.structs.replace(booking(Status.CONFIRMED, PAID), origin=OTHER, payer=PAYER),
    ),
    (events.ScheduleCancelled("태풍", "organizer"), None),
    (events.Withdrawn("organizer"), None),
    (events.PlanChanged(1, "5f0c", TERMS), None),
    (events.Blocked((SEAT_1, PIT), "camera", "organizer"), None),
    (events.Unblocked((SEAT_1, PIT), "organizer"), None),
]
each_kind = pytest.mark.parametrize(("event", "about"), CASES, ids=[event.type_name for event, _ in CASES])


def rendered(event: AnyEvent, about: Booking | None) -> bytes:
    return render(SCHEDULE, recorded(event), about, PLAN)


def recorded(event: AnyEvent) -> Record:
    return Record(7, AT_MS, event, "request-1", "fingerprint-1")


def said(event: AnyEvent, about: Booking | None) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(rendered(event, about))
    return value


def test_there_is_a_case_for_every_event_of_the_engine() -> None:
    assert {type(event) for event, _ in CASES} == set(events.AnyEvent.__args__)


@each_kind
def test_the_envelope_is_a_cloud_event(event: AnyEvent, about: Booking | None) -> None:
    envelope = said(event, about)
    assert envelope.pop("data")["version"] == 7
    expected = {
        "specversion": "1.0",
        "id": f"{SCHEDULE}:7",
        "source": f"/v1/schedules/{SCHEDULE}",
        "type": event.type_name,
        "time": "2026-11-22T14:00:00.123+00:00",
        "datacontenttype": "application/json",
    }
    assert envelope == (expected if about is None else {**expected, "subject": BOOKING})


@each_kind
def test_decoding_gives_back_what_was_said(event: AnyEvent, about: Booking | None) -> None:
    value = rendered(event, about)
    envelope = decode(value)
    assert msgspec.json.encode(envelope) == value
    assert envelope.data.schedule_id == SCHEDULE
    assert event_of(SCHEDULE, recorded(event), about, PLAN).data == envelope.data
    assert says_the_same(value, glance(value), envelope)
    assert says_the_same(value, glance(value), unrendered(SCHEDULE, recorded(event)))


@each_kind
def test_the_idempotency_key_and_the_body_fingerprint_stay_inside(event: AnyEvent, about: Booking | None) -> None:
    assert b"request-1" not in rendered(event, about)
    assert b"fingerprint" not in rendered(event, about)


def test_a_booking_is_said_with_every_seat_in_words_and_its_price() -> None:
    data = said(*CASES[2])["data"]
    assert data["booking"] == {
        "id": BOOKING,
        "customer_id": CUSTOMER,
        "status": "held",
        "seats": [
            {"id": "1-A-2", "zone": "1층", "row": "A", "number": "2", "category": "R석", "price": 150_000},
            {"id": "pit", "zone": "1층", "row": "", "number": "Pit", "category": "스탠딩", "price": 99_000},
        ],
        "amount": 249_000,
        "currency": "KRW",
        "created_at": "2026-11-22T14:00:00.123+00:00",
        "expires_at": "2026-11-22T14:10:00.123+00:00",
    }


def test_a_confirmed_booking_does_not_expire() -> None:
    data = said(events.Confirmed(BOOKING), booking(Status.CONFIRMED, PAID))["data"]
    assert (data["booking"]["status"], data["booking"]["expires_at"]) == ("confirmed", None)


def test_a_declined_payment_says_why() -> None:
    data = said(events.PaymentDeclined(BOOKING, PAYMENT, "lost_card"), booking(payment=DECLINED))["data"]
    assert data["reason"] == "lost_card"
    assert data["payment"] == {
        "id": PAYMENT,
        "status": "declined",
        "amount": 249_000,
        "currency": "KRW",
        "provider": "sandbox",
        "reference": None,
        "reason": "lost_card",
    }


def test_a_cancellation_says_who_and_why() -> None:
    data = said(events.Cancelled(BOOKING, CANCELLATION, "", "admin"), booking(Status.CANCELLED))["data"]
    assert data["cancellation"] == {"id": CANCELLATION, "by": "admin", "reason": None}
    assert "reason" not in data


def test_a_refund_says_what_comes_back_what_is_kept_and_for_which_seats() -> None:
    data = said(REFUNDING, booking(Status.PARTIALLY_REFUNDED, PAID))["data"]
    assert data["refund"] == {
        "id": REFUND,
        "payment_id": PAYMENT,
        "booking_id": BOOKING,
        "status": "requested",
        "amount": 135_000,
        "currency": "KRW",
        "fee": 15_000,
        "seats": [
            {
                "id": "1-A-2",
                "zone": "1층",
                "row": "A",
                "number": "2",
                "category": "R석",
                "price": 150_000,
                "fee": 15_000,
            }
        ],
        "by": "customer",
        "reason": "감기",
    }
    assert (data["reason"], data["booking"]["status"]) == ("감기", "partially_refunded")


@pytest.mark.parametrize(
    "event",
    [
        events.Refunded(BOOKING, REFUND, PAYMENT, 135_000, "KRW", "back-1"),
        events.PaymentLate(BOOKING, CUSTOMER, PAYMENT, 249_000, "KRW", "sandbox", "ref-1", REFUND),
    ],
)
def test_a_refund_is_told_even_where_its_booking_has_been_forgotten(event: AnyEvent) -> None:
    envelope = said(event, None)
    assert envelope["subject"] == envelope["data"]["refund"]["booking_id"] == BOOKING
    assert "booking" not in envelope["data"]


def test_a_cancelled_schedule_says_who_and_why() -> None:
    data = said(events.ScheduleCancelled("태풍", "organizer"), None)["data"]
    assert (data["by"], data["reason"]) == ("organizer", "태풍")


def test_blocked_seats_are_said_in_words() -> None:
    data = said(events.Blocked((SEAT_1,), "camera", "organizer"), None)["data"]
    assert data["seats"] == [{"id": "1-A-1", "zone": "1층", "row": "A", "number": "1", "category": "R석"}]
    assert (data["reason"], data["by"]) == ("camera", "organizer")


def test_terms_are_said_with_times_and_null_for_what_is_not_limited() -> None:
    unlimited = msgspec.structs.replace(TERMS, max_seats_per_customer=0)
    terms = said(events.Opened("digest", unlimited), None)["data"]["terms"]
    assert terms["prices"] == {"R석": 150_000, "스탠딩": 99_000}
    assert terms["sale_opens_at"] is None
    assert terms["max_seats_per_customer"] is None
    assert terms["starts_at"] == "2026-11-23T14:00:00.123+00:00"
    assert terms["hold_seconds"] == 600


def test_the_performance_is_named_where_it_is_known() -> None:
    record = Record(7, AT_MS, events.Opened("digest", TERMS))
    assert json.loads(render(SCHEDULE, record, None, PLAN, performance_id="p-1"))["data"]["performance_id"] == "p-1"


def test_a_type_of_the_future_is_read_as_far_as_it_is_known() -> None:
    value = rendered(*CASES[2]).replace(b"reservation.held", b"reservation.dreamt")
    envelope = decode(value)
    assert (envelope.type, type(envelope.data), envelope.data.version) == ("reservation.dreamt", event_data.Data, 7)


@pytest.mark.parametrize("value", [b"", b"no json", b"[]", b"{}", rendered(*CASES[2])[:-5]])
def test_bytes_that_are_no_event_are_told_apart(value: bytes) -> None:
    with pytest.raises(EventError):
        decode(value)


def test_a_known_type_without_its_data_is_no_event() -> None:
    with pytest.raises(EventError, match="booking"):
        decode(rendered(*CASES[0]).replace(b"schedule.opened", b"reservation.held"))


def test_the_description_names_every_type_and_resolves_every_reference() -> None:
    document = asyncapi_document("events-elsewhere")
    channel = document["channels"]["bookingEvents"]
    assert channel["address"] == "events-elsewhere"
    assert set(channel["messages"]) == {event.type_name for event, _ in CASES}
    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    assert json.loads(json.dumps(document)) == document


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for child in node.values() for found in references(child)]
    return [found for child in node for found in references(child)] if isinstance(node, list) else []
