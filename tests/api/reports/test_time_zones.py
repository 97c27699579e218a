"""Report 1: where something is played, its clocks tell the time: in answers, mails, filters, recurrences, refunds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.mail.calendars import Entry, calendar
from actors.mail.texts import time_text
from api.routes.organizer.sales import sales_view
from api.selling.terms import clocks_of
from api.views.booking import refund_terms
from engine import commands as c
from engine.booking import Booking
from engine.decide import fee_percent
from engine.events import Record, TermsChanged
from engine.plan_document import read_plan
from engine.refund_policy import RefundStep, deadlines
from engine.state import ScheduleState, apply
from engine.turn import Request, execute
from persistence.bookings.booked_schedules import BookedSchedule
from persistence.sales.figures import Figures, SalesRow, ScheduleSales
from tests.api.conftest import Worker
from tests.engine.plans.houses import ANN, DAY, NOW, opened, plan_document, terms
from tests.support.sale import hold, open_sale, problem, read, small_plan

NEW_YORK = "America/New_York"
ZONES = ("Asia/Seoul", NEW_YORK, "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC")


async def opened_in(worker: Worker, zone: str, **terms: Any) -> tuple[dict[str, str], dict[str, Any], Any]:
    """A performance with one schedule in a venue with this zone: the organizer, the performance, the answer."""
    organizer = await worker.sign_up("organizer")
    body = {"name": "House", "seating_plan": small_plan(), "time_zone": zone}
    house = (await worker.http.post("/v1/venues", json=body, headers=organizer)).json()
    title = {"title": f"Show {uuid4().hex}"}
    shown = (await worker.http.post("/v1/performances", json=title, headers=organizer)).json()
    body = {"venue_id": house["id"], "currency": "USD", "prices": {"VIP": 9_000, "Standard": 5_000}, **terms}
    answer = await worker.http.post(f"/v1/performances/{shown['id']}/schedules", json=body, headers=organizer)
    return organizer, shown, answer


async def test_report_01_a_show_in_dollars_is_told_by_the_clocks_of_its_venue(worker: Worker) -> None:
    _, shown, answer = await opened_in(worker, NEW_YORK, starts_at="2030-07-20T20:00:00-04:00")
    assert answer.status_code == 201, answer.text
    schedule = answer.json()
    assert schedule["time_zone"] == NEW_YORK
    starts_at = datetime.fromisoformat(schedule["starts_at"])
    assert time_text(starts_at, schedule["time_zone"], "en") == "Saturday, 20 July 2030, 20:00 (New York time)"
    entry = Entry(
        uid="b",
        sequence=1,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=2),
        time_zone=NEW_YORK,
        title="Show",
        venue="House",
        where="161 Broadway",
        lines=[],
    )
    text = calendar([entry], method="PUBLISH", now=datetime.now(UTC)).decode()
    assert "DTSTART;TZID=America/New_York:20300720T200000" in text
    assert "LOCATION:House\\, 161 Broadway" in text
    assert text.count("BEGIN:VTIMEZONE") == 1
    # The day is the venue's: in Seoul it is the 21st by then.
    days = (("date_from", "2030-07-21", 0), ("date_from", "2030-07-20", 1), ("date_to", "2030-07-20", 1))
    for query, found in (({name: day}, found) for name, day, found in days):
        page = await read(worker.http, f"/v1/performances/{shown['id']}/schedules", {}, **query)
        assert len(page["items"]) == found, query
        listed = await read(worker.http, "/v1/performances", {}, q=shown["title"], **query)
        assert len(listed["items"]) == found, query


async def test_report_01_half_past_midnight_belongs_to_the_new_day(worker: Worker) -> None:
    _, shown, _ = await opened_in(worker, "Asia/Seoul", starts_at="2030-07-21T00:30:00+09:00")  # the 20th in UTC
    day = "2030-07-21"
    for query, found in (({"date_from": day, "date_to": day}, 1), ({"date_to": "2030-07-20"}, 0)):
        page = await read(worker.http, f"/v1/performances/{shown['id']}/schedules", {}, **query)
        assert len(page["items"]) == found, query


async def test_report_01_eight_in_the_evening_stays_eight_when_the_clocks_change(worker: Worker) -> None:
    _, _, answer = await opened_in(
        worker, NEW_YORK, starts_at="2030-10-31T20:00:00-04:00", recurrence="FREQ=DAILY;COUNT=5"
    )
    assert answer.status_code == 201, answer.text
    starts = [answer.json(), *answer.json()["recurring"]]
    local = [datetime.fromisoformat(each["starts_at"]).astimezone(ZoneInfo(NEW_YORK)) for each in starts]
    assert [each.hour for each in local] == [20] * 5
    assert len({each.utcoffset() for each in local}) == 2


async def test_report_01_a_ticket_can_be_given_back_until_the_day_ends_there(worker: Worker) -> None:
    starts_at = (datetime.now(ZoneInfo("Asia/Seoul")) + timedelta(days=30)).replace(
        hour=19, minute=30, second=0, microsecond=0
    )
    sale = await open_sale(worker.http, starts_at=starts_at.isoformat())
    booking = await hold(worker.http, sale, await worker.sign_up(), "A-1")
    until = [datetime.fromisoformat(term["until"]).astimezone(starts_at.tzinfo) for term in booking["refund_terms"]]
    midnights = [starts_at.replace(hour=0, minute=0) - timedelta(days=days - 1) for days in (10, 7, 3)]
    assert until == [*midnights, starts_at]


async def test_a_time_zone_is_one_of_the_database_s_too(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    body = {"name": "House", "seating_plan": small_plan(), "time_zone": "Asia/Pyongyang "}
    assert (await worker.http.post("/v1/venues", json=body, headers=organizer)).json()["time_zone"] == "Asia/Pyongyang"
    body["time_zone"] = "posixrules"
    answer = await worker.http.post("/v1/venues", json=body, headers=organizer)
    assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == ["time_zone"]


def test_report_01_sales_are_counted_by_the_hours_and_days_of_the_venue() -> None:
    sold = [datetime(2030, 3, 1, *at, tzinfo=UTC) for at in ((18, 10), (18, 14), (18, 16))]  # midnight is at 18:15 UTC
    schedule = ScheduleSales(
        schedule_id="s",
        starts_at=sold[0],
        time_zone="Asia/Kathmandu",
        currency="NPR",
        cancelled=False,
        version=1,
        up_to_version=1,
        rows=[SalesRow("VIP", minute, Figures(sold=1)) for minute in sold],
    )
    view = sales_view(schedule, None, by_minute=False)
    assert [(each["day"], each["sold"]) for each in view["by_day"]] == [
        ("2030-03-01", 2),
        ("2030-03-02", 1),
    ]
    assert [(each["hour"][11:16], each["sold"]) for each in view["by_hour"]] == [("17:15", 2), ("18:15", 1)]


# --- every zone, every day --------------------------------------------------------------------------------------------
@given(
    zone=st.sampled_from(ZONES),
    starts_at=st.datetimes(datetime(2026, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC)),
    days=st.integers(1, 366),
)
def test_a_day_ends_at_midnight_whatever_the_clocks_do(zone: str, starts_at: datetime, days: int) -> None:
    starts_at = starts_at.replace(microsecond=0)
    clocks = clocks_of(zone, starts_at)
    ((until_ms, _),) = deadlines((RefundStep(days, 0),), int(starts_at.timestamp() * 1000), clocks)
    there = starts_at.astimezone(ZoneInfo(zone))
    midnight = datetime.combine(there.date() - timedelta(days=days - 1), datetime.min.time(), ZoneInfo(zone))
    assert until_ms == int(midnight.timestamp() * 1000)


@pytest.mark.parametrize("zone", ZONES)
def test_clocks_are_those_of_the_zone(zone: str) -> None:
    starts_at = datetime(2030, 12, 31, 12, tzinfo=UTC)
    clocks = clocks_of(zone, starts_at)
    for hours in range(0, 367 * 24, 5):
        at = starts_at - timedelta(hours=hours)
        ahead = next(minutes for since_ms, minutes in reversed(clocks) if since_ms <= at.timestamp() * 1000)
        assert timedelta(minutes=ahead) == at.astimezone(ZoneInfo(zone)).utcoffset()


POLICIES = st.sampled_from([(), (RefundStep(3, 10), RefundStep(1, 50)), (RefundStep(2, 0), RefundStep(0, 30))])
CHANGES = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([20, 30]), POLICIES, st.booleans()), min_size=0, max_size=4
)


@given(changes=CHANGES, booked=st.integers(0, 12), data=st.data())
def test_the_terms_a_booking_shows_are_those_it_is_given_back_by(
    changes: list[tuple[int, int, Any, bool]], booked: int, data: st.DataObject
) -> None:
    plan = read_plan(plan_document())
    clocks = clocks_of(NEW_YORK, datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(days=30))
    first = terms(clocks=clocks)
    state: ScheduleState = opened(plan, clocks=clocks)
    history = [(NOW, first)]
    booking: Booking | None = None
    for hours, days, policy, moved in [*sorted(changes, key=lambda each: each[0]), (99, 0, (), False)]:
        if booking is None and hours >= booked:
            at_ms = max(NOW + booked * 3_600_000, history[-1][0]) + 1
            result = execute(state, Request("r", c.HoldSeats("b1", ANN, ("A-1",))), at_ms).result
            assert isinstance(result, Booking)
            booking = result
        if days:
            at_ms = max(NOW + hours * 3_600_000, state.on.starts_at_ms * 0, history[-1][0] + 2)
            changed = msgspec.structs.replace(
                first, starts_at_ms=NOW + days * DAY, refund_policy=policy, refund_when_moved=moved
            )
            apply(state, Record(state.seq + 1, at_ms, TermsChanged(changed)))
            history.append((at_ms, changed))
    assert booking is not None
    schedule = BookedSchedule(
        performance_title="-",
        performance_title_en=None,
        starts_at=datetime.fromtimestamp(state.on.starts_at_ms / 1000, UTC),
        ends_at=datetime.fromtimestamp(state.on.starts_at_ms / 1000, UTC),
        venue_name="-",
        venue_city=None,
        venue_address=None,
        time_zone=NEW_YORK,
        waiting_room=False,
        cancelled_at=None,
        terms=tuple(history),
    )
    now_ms = data.draw(st.integers(history[-1][0] + 3, NOW + 31 * DAY))
    shown = refund_terms(schedule, booking.created_ms, now_ms)
    percent = fee_percent(state, booking, now_ms)
    assert (shown[0].fee_percent if shown else None) == percent
