"""The description of the API: enough to go by hand from log-in to a booking on /docs, without the Internet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.http.problem_messages import PROBLEMS
from tests.api.conftest import Worker
from tests.api.server.openapi import openapi_document
from tests.support.sale import problem

WITHOUT_TOKEN = {
    "/v1/accounts": ("post",),
    "/v1/sessions": ("post",),
    "/v1/sessions/token": ("post",),
    "/v1/sessions/refresh": ("post",),
    "/v1/sessions/browser": ("post", "delete"),  # by a cookie
    "/v1/sessions/browser/refresh": ("post",),
    "/v1/password-resets": ("post",),
    "/v1/password-resets/{token}": ("post",),
    "/v1/email-confirmations/{token}": ("post",),
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return openapi_document()


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_of_the_contract_is_described(schema: dict[str, Any]) -> None:
    promised = {
        "/v1/accounts": {"post"},
        "/v1/accounts/me": {"get", "patch", "delete"},
        "/v1/sessions": {"post", "get"},
        "/v1/sessions/refresh": {"post"},
        "/v1/sessions/{session_id}": {"delete"},
        "/v1/sessions/browser": {"post", "delete"},
        "/v1/sessions/browser/refresh": {"post"},
        "/v1/password-resets": {"post"},
        "/v1/password-resets/{token}": {"post"},
        "/v1/email-confirmations": {"post"},
        "/v1/email-confirmations/{token}": {"post"},
        "/v1/sessions/current": {"delete"},
        "/v1/venues": {"post", "get"},
        "/v1/venues/{venue_id}": {"get"},
        "/v1/performances": {"post", "get"},
        "/v1/performances/{performance_id}": {"get", "put", "patch", "delete"},
        "/v1/performances/{performance_id}/schedules": {"post", "get"},
        "/v1/schedules/{schedule_id}": {"get", "patch", "delete"},
        "/v1/schedules/{schedule_id}/seats": {"get"},
        "/v1/schedules/{schedule_id}/layout": {"get"},
        "/v1/schedules/{schedule_id}/states": {"get"},
        "/v1/schedules/{schedule_id}/availability": {"get"},
        "/v1/schedules/{schedule_id}/stream": {"get"},
        "/v1/schedules/{schedule_id}/bookings": {"post"},
        "/v1/schedules/{schedule_id}/queue": {"post"},
        "/v1/queue/{ticket}": {"get", "delete"},
        "/v1/queue/{ticket}/stream": {"get"},
        "/v1/bookings": {"get"},
        "/v1/bookings/{booking_id}": {"get", "patch", "delete"},
        "/v1/bookings/{booking_id}/cancellation": {"post", "get", "patch"},
        "/v1/bookings/{booking_id}/payments": {"post"},
        "/v1/cancellations": {"get"},
        "/v1/payments": {"get"},
        "/v1/payments/{payment_id}": {"get"},
        "/v1/payment-provider": {"get"},
        "/v1/bookings/{booking_id}/ticket": {"get"},
        "/v1/tickets/key": {"get"},
        "/v1/performances/facets": {"get"},
        "/v1/bookings/{booking_id}/history": {"get"},
        "/v1/payments/{payment_id}/refunds": {"post", "get"},
        "/v1/payments/{payment_id}/refund_quote": {"get"},
        "/v1/refunds/{refund_id}": {"get"},
        "/v1/venues/preview": {"post"},
        "/v1/performances/{performance_id}/schedules/preview": {"post"},
        "/v1/organizer/performances": {"get"},
        "/v1/organizer/attention": {"get"},
        "/v1/organizer/venues": {"get"},
        "/v1/organizer/schedules/{schedule_id}/bookings": {"get"},
        "/v1/organizer/schedules/{schedule_id}/blocks": {"post", "delete"},
        "/v1/organizer/schedules/{schedule_id}/cancellation": {"post", "get"},
        "/v1/admin/bookings": {"get"},
        "/v1/admin/bookings/{booking_id}": {"get", "patch", "delete"},
        "/v1/admin/bookings/{booking_id}/cancellation": {"post"},
        "/v1/admin/bookings/{booking_id}/history": {"get"},
        "/v1/admin/payments": {"get"},
        "/v1/admin/payments/{payment_id}": {"get"},
        "/v1/admin/cancellations": {"get"},
        "/v1/admin/refunds": {"get"},
        "/v1/admin/refunds/{refund_id}/settlement": {"post"},
        "/v1/admin/audit": {"get"},
        "/v1/admin/actors": {"get"},
        "/v1/admin/schedules/{schedule_id}": {"patch"},
        "/v1/admin/schedules/{schedule_id}/journal": {"get"},
        "/healthz": {"get"},
        "/readyz": {"get"},
        "/metrics": {"get"},
        "/asyncapi.json": {"get"},
    }
    for path, methods in promised.items():
        assert methods <= set(schema["paths"][path]), path


def test_every_operation_has_a_name_of_its_own_and_a_summary(schema: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(names) == len(set(names))
    assert all(operation.get("summary") for _, _, operation in operations(schema))


def test_every_request_body_has_an_example(schema: dict[str, Any]) -> None:
    for path, method, operation in operations(schema):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if media_type != "application/json":
                continue
            text = repr(content)
            for name in re.findall(r"#/components/schemas/(\w+)", text):
                text += repr(schema["components"]["schemas"][name])
            assert "'examples'" in text or "'example'" in text, f"{method} {path}"


@pytest.mark.parametrize(
    ("new", "change"),
    [
        ("NewAccount", "AccountChange"),
        ("NewVenue", "VenueChange"),
        ("PerformanceInput", "PerformanceChange"),
        ("NewSchedule", "ScheduleChange"),
    ],
)
def test_a_change_passes_over_nothing_that_was_chosen_when_it_was_made(
    schema: dict[str, Any], new: str, change: str
) -> None:
    """Members that nobody knows are ignored; whoever wants another rule or role means what is known."""
    chosen, changed = (set(schema["components"]["schemas"][name]["properties"]) for name in (new, change))
    assert chosen <= changed


# Lists that go on otherwise than by a cursor, and why.
GO_ON_OTHERWISE = {
    "/v1/bookings/{booking_id}/history": "a story, from a version on",
    "/v1/admin/bookings/{booking_id}/history": "a story, from a version on",
    "/v1/admin/schedules/{schedule_id}/journal": "a story, from a version on",
    "/v1/organizer/schedules/{schedule_id}/history": "a story, from a version on",
}


def test_every_list_goes_page_by_page(schema: dict[str, Any]) -> None:
    found = 0
    for path, method, operation in operations(schema):
        content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
        answer = content.get("schema", {})
        while "$ref" in answer:
            answer = schema["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
        if method != "get" or "items" not in answer.get("properties", {}) or path in GO_ON_OTHERWISE:
            continue
        found += 1
        assert "next_cursor" in answer["properties"], path
        assert {"limit", "cursor"} <= {each["name"] for each in operation["parameters"]}, path
    assert found > 20


def test_every_refusal_is_a_known_problem(schema: dict[str, Any]) -> None:
    for path, _, operation in operations(schema):
        for status, answer in operation["responses"].items():
            if not status.startswith(("4", "5")):
                continue
            content = answer["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}, path
            for code, example in content["examples"].items():
                assert (PROBLEMS[code].status, example["value"]["code"]) == (int(status), code)
    assert "HTTPValidationError" not in repr(schema["paths"])


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    for name in set(re.findall(r"#/components/schemas/([\w.-]+)", repr(schema))):
        assert name in schema["components"]["schemas"], name


def test_answers_to_a_choice_of_fields_are_described(schema: dict[str, Any]) -> None:
    walked = 0
    for path, _, operation in operations(schema):
        if all(parameter["name"] != "fields" for parameter in operation.get("parameters", ())):
            continue
        whole, part = operation["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
        described = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
        items = described["properties"].get("items", {}).get("items", {}).get("$ref")
        if items is not None:
            described = schema["components"]["schemas"][items.rpartition("/")[2]]
        assert whole != part
        assert "required" not in described, path
        walked += 1
    assert walked > 4


def test_authorize_works_by_token_and_by_password(schema: dict[str, Any]) -> None:
    schemes = schema["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert schemes["password"]["flows"]["password"]["tokenUrl"] == "/v1/sessions/token"
    assert schema["paths"]["/v1/accounts/me"]["get"]["security"] == [{"bearer": []}, {"password": []}]
    for path, method, operation in operations(schema):
        if method in ("post", "put", "patch", "delete") and path.startswith("/v1/") and "webhooks" not in path:
            assert bool(operation.get("security")) == (method not in WITHOUT_TOKEN.get(path, ())), path


# Why a route that answers 201 or 202 to a POST takes no Idempotency-Key.
WITHOUT_KEY = {
    "/v1/sessions": "every log-in is a session of its own, and its tokens are not kept",
    "/v1/sessions/refresh": "the refresh token is its key",
    "/v1/sessions/browser": "every log-in is a session of its own, and its tokens are not kept",
    "/v1/sessions/browser/refresh": "the refresh token is its key",
    "/v1/password-resets": "a mail, of which the newest counts",
    "/v1/email-confirmations": "a mail, of which the newest counts",
    "/v1/admin/refunds/{refund_id}/settlement": "a refund is settled once, by its reference",
    "/v1/admin/notifications/{notification_id}/retry": "a mail is waiting to be sent, or it isn't",
}


def test_whatever_creates_takes_an_idempotency_key_or_needs_none(schema: dict[str, Any]) -> None:
    creating, taking = set(), set()
    for path, method, operation in operations(schema):
        described = {parameter["name"] for parameter in operation.get("parameters", [])}
        if "Idempotency-Key" in described:
            taking.add(path)
        if method == "post" and {"201", "202"} & set(operation["responses"]):
            creating.add(path)
    assert creating - taking == set(WITHOUT_KEY)
    assert "/v1/schedules/{schedule_id}/bookings" in taking


def test_what_administrators_read_of_a_date_at_any_house_says_by_whose_clocks_it_is(schema: dict[str, Any]) -> None:
    """A start alone is shown by the reader's own clocks: another day than the house's, on one page of several."""
    answers = [
        answer["content"]
        for path, methods in schema["paths"].items()
        if path.startswith("/v1/admin/")
        for method in methods.values()
        for status, answer in method["responses"].items()
        if status.startswith("2") and "content" in answer
    ]
    told, waiting = set(), re.findall(r"#/components/schemas/(\w+)", str(answers))
    while waiting:
        if (name := waiting.pop()) not in told:
            told.add(name)
            waiting += re.findall(r"#/components/schemas/(\w+)", str(schema["components"]["schemas"][name]))
    members = {name: schema["components"]["schemas"][name].get("properties", {}) for name in told}
    dated = {name for name, each in members.items() if "starts_at" in each}
    assert dated, "nothing is looked at"
    assert [name for name in sorted(dated) if "time_zone" not in members[name]] == []


async def test_the_examples_lead_from_sign_up_to_a_held_booking(fresh_worker: Worker) -> None:
    """What somebody does on the page, with the examples as they stand there; only ids are filled in."""
    http = fresh_worker.http
    schema = (await http.get("/openapi.json")).json()

    def example(name: str, position: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = schema["components"]["schemas"][name]["examples"][position]
        return found

    async def authorize(account: dict[str, Any]) -> dict[str, str]:
        assert (await http.post("/v1/accounts", json=account)).status_code == 201
        form = {"grant_type": "password", "username": account["email"], "password": account["password"]}
        token_url = schema["components"]["securitySchemes"]["password"]["flows"]["password"]["tokenUrl"]
        session = (await http.post(token_url, data=form, headers={"Authorization": "Basic Og=="})).json()
        return {"Authorization": f"{session['token_type']} {session['access_token']}"}

    customer, organizer = await authorize(example("NewAccount")), await authorize(example("NewAccount", 1))
    assert (await http.post("/v1/sessions", json=example("Credentials"))).status_code == 201
    venue = (await http.post("/v1/venues", json=example("NewVenue"), headers=organizer)).json()
    performance = (await http.post("/v1/performances", json=example("PerformanceInput"), headers=organizer)).json()
    url = f"/v1/performances/{performance['id']}/schedules"
    schedule = await http.post(url, json={**example("NewSchedule"), "venue_id": venue["id"]}, headers=organizer)
    assert schedule.status_code == 201, schedule.text
    changed = await http.patch(
        f"/v1/schedules/{schedule.json()['id']}", json=example("ScheduleChange"), headers=organizer
    )
    assert changed.status_code == 200, changed.text
    booking = await http.post(f"/v1/schedules/{schedule.json()['id']}/bookings", json={"quantity": 2}, headers=customer)
    assert booking.status_code == 201, booking.text


async def test_the_page_needs_nothing_from_elsewhere(worker: Worker) -> None:
    page = await worker.http.get("/docs")
    assert page.status_code == 200
    assert "://" not in re.sub(r"http://www\.w3\.org", "", page.text)
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        answer = await worker.http.get(asset)
        assert answer.status_code == 200, asset
        assert len(answer.content) > 100


# --- about the system -------------------------------------------------------------------------------------------------
async def test_a_worker_that_runs_is_healthy(worker: Worker) -> None:
    answer = (await worker.http.get("/healthz")).json()
    assert answer == {"status": "up", "worker": worker.office.worker}


async def test_readiness_names_what_is_down(worker: Worker) -> None:
    # Here nothing runs where Ray should be.
    document = problem(await worker.http.get("/readyz"), 503, "not_ready")
    assert (document["checks"]["postgres"], document["checks"]["redis"]) == ("up", "up")
    assert document["checks"]["ray"] != "up"


async def test_requests_are_counted_by_route_and_status(worker: Worker) -> None:
    await worker.http.get("/v1/venues/none")
    page = (await worker.http.get("/metrics")).text
    assert re.search(
        r'boxoffice_http_requests_total\{method="GET",route="/v1/venues/\{venue_id\}",status="404"\} \d', page
    )
