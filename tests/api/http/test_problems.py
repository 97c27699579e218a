"""Problem documents: the table is complete, the language is the client's, nothing that goes wrong is unexplained."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
import sqlalchemy as sa

from api.http.large_bodies import BODY_LIMIT
from api.http.problem_messages import PROBLEMS
from api.http.problems import STATUS, language_of, problem_of
from api.views.failures import problem_of_error
from engine.refusals import Code, Refusal
from persistence.database.away import DatabaseUnavailable
from persistence.database.connection import create_engine
from tests.api.conftest import Worker
from tests.support.sale import problem

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("code", list(Code))
def test_every_refusal_of_the_engine_has_a_status(code: Code) -> None:
    assert 400 <= problem_of(Refusal(code)).status < 500


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_speaks_both_languages(code: str) -> None:
    kind = PROBLEMS[code]
    assert STATUS[code] == kind.status
    assert all([*kind.en, *kind.ko])
    assert kind.en.detail.isascii() or "…" in kind.en.detail
    assert any("가" <= letter <= "힣" for letter in kind.ko.detail)


def test_a_refusal_carries_its_facts() -> None:
    refusal = problem_of(Refusal(Code.NOT_ENOUGH_SEATS, available=3))
    assert (refusal.code, refusal.facts) == ("not_enough_seats", {"available": 3})
    refusal = problem_of(Refusal(Code.SEATS_UNAVAILABLE, seats=("A-1", "A-2")))
    assert refusal.facts["seats"] == ["A-1", "A-2"]
    refusal = problem_of(Refusal(Code.SALE_NOT_OPEN, at_ms=1_800_000_000_123))
    assert refusal.facts["at"] == "2027-01-15T08:00:00.123+00:00"


def test_an_unknown_seat_is_named_as_a_field_error() -> None:
    refusal = problem_of(Refusal(Code.UNKNOWN_SEAT, seats=("Z-9",)))
    assert refusal.status == 422
    assert refusal.facts["errors"][0]["field"] == "seats"  # type: ignore[index]  # facts are of any shape


@pytest.mark.parametrize(
    ("accept_language", "language"),
    [
        ("", "en"),
        ("ko", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("en;q=0.5, ko;q=0.8", "ko"),
        ("ko;q=0", "en"),
        ("ko;q=0, *", "en"),
        ("en;q=0, *;q=0.5, ko;q=0.3", "ko"),
        ("*;q=0, ko, en", "ko"),
        ("en; Q = 0.1, ko; q = 0.2", "ko"),
        ("en, ko;q=inf", "en"),
        ("fr, ko;q=0.5", "ko"),
        ("*", "en"),
        ("*;q=0.9, ko;q=0.5", "en"),
        ("fr", "en"),
        ("ko;q=banana", "en"),
        (";;;,,,", "en"),
    ],
)
def test_the_language_is_the_one_the_client_prefers(accept_language: str, language: str) -> None:
    assert language_of(accept_language) == language


async def test_errors_answer_in_korean_when_asked(worker: Worker) -> None:
    wrong = {"email": "nobody", "role": "admin"}
    answer = await worker.http.post("/v1/accounts", json=wrong, headers={"Accept-Language": "ko"})
    document = problem(answer, 422, "validation_failed")
    assert answer.headers["content-language"] == "ko"
    assert document["title"] == "입력값 오류"
    assert {error["field"]: error["message"] for error in document["errors"]} == {
        "email": "이메일 형식이 올바르지 않습니다",
        "password": "필수 항목입니다",
        "role": "'customer', 'organizer' 중 하나여야 합니다",
    }


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"\xff\xfe{}", b"[" * 60_000, b'{"email": ' + b"9" * 5_000 + b"}", b"{'email': 'a'}"],
    ids=["truncated", "empty", "not UTF-8", "deeply nested", "huge number", "single quotes"],
)
async def test_a_body_that_is_no_json(worker: Worker, body: bytes) -> None:
    answer = await worker.http.post("/v1/accounts", content=body, headers=JSON)
    if body:
        problem(answer, 400, "malformed_json")
    else:
        problem(answer, 422, "validation_failed")


@pytest.mark.parametrize("body", [[], "text", 7, None])
async def test_a_body_that_is_no_object(worker: Worker, body: Any) -> None:
    problem(await worker.http.post("/v1/accounts", json=body), 422, "validation_failed")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
async def test_a_body_of_another_type(worker: Worker, content_type: str) -> None:
    answer = await worker.http.post("/v1/accounts", content=b"{}", headers={"Content-Type": content_type})
    problem(answer, 415, "unsupported_media_type")


async def test_a_body_too_large_is_refused_by_its_announced_length(worker: Worker) -> None:
    answer = await worker.http.post("/v1/accounts", content=b" " * (BODY_LIMIT + 1), headers=JSON)
    assert problem(answer, 413, "body_too_large")["limit"] == BODY_LIMIT


async def test_a_body_too_large_is_refused_without_an_announced_length(worker: Worker) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * (BODY_LIMIT // 10)

    answer = await worker.http.post("/v1/accounts", content=chunks(), headers=JSON)
    assert problem(answer, 413, "body_too_large")["limit"] == BODY_LIMIT


async def test_a_body_without_an_announced_length_is_read(worker: Worker) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"email": "chunked@example.com",'
        yield b' "password": "correct horse"}'

    assert (await worker.http.post("/v1/accounts", content=chunks(), headers=JSON)).status_code == 201


async def test_a_route_that_is_not_there(worker: Worker) -> None:
    problem(await worker.http.get("/v1/nothing"), 404, "route_not_found")


async def test_a_method_that_is_not_there(worker: Worker) -> None:
    answer = await worker.http.put("/v1/accounts", json={})
    problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/performances/not-a-uuid", "performance_not_found"),
        ("/v1/performances/not-a-uuid/schedules", "performance_not_found"),
        ("/v1/schedules/0", "schedule_not_found"),
        ("/v1/schedules/{01a203e0-5bc8-779f-ba49-d4cbdeab5127}", "schedule_not_found"),
        ("/v1/venues/'; DROP TABLE venues; --", "venue_not_found"),
    ],
)
async def test_what_cannot_be_an_id_names_nothing(worker: Worker, path: str, code: str) -> None:
    problem(await worker.http.get(path), 404, code)


async def test_an_id_is_taken_in_upper_case(worker: Worker) -> None:
    organizer = await worker.sign_up("organizer")
    made = (await worker.http.post("/v1/performances", json={"title": "Carmen"}, headers=organizer)).json()
    answer = await worker.http.get(f"/v1/performances/{made['id'].upper()}")
    assert (answer.status_code, answer.json()["id"]) == (200, made["id"])


@pytest.mark.parametrize("field", ["title", "description", "category"])
async def test_text_that_cannot_be_stored(worker: Worker, field: str) -> None:
    organizer = await worker.sign_up("organizer")
    for text in ("a\0b", "\ud800"):
        body = json.dumps({"title": "Carmen", field: text})
        answer = await worker.http.post("/v1/performances", content=body, headers={**JSON, **organizer})
        document = problem(answer, 422, "validation_failed")
        assert [error["field"] for error in document["errors"]] == [field]


async def test_nul_characters_in_a_query(worker: Worker) -> None:
    for name in ("q", "category", "fields", "cursor", "date_from"):
        problem(await worker.http.get(f"/v1/performances?{name}=a%00b"), 422, "validation_failed")


@pytest.mark.parametrize("minutes", [10**30, -1, 0, 1.5, True, "90"])
async def test_integers_beyond_their_column(worker: Worker, minutes: Any) -> None:
    organizer = await worker.sign_up("organizer")
    body = {"title": "Carmen", "duration_minutes": minutes}
    document = problem(
        await worker.http.post("/v1/performances", json=body, headers=organizer), 422, "validation_failed"
    )
    assert document["errors"][0]["field"] == "duration_minutes"


async def test_what_was_sent_is_not_repeated(worker: Worker) -> None:
    answer = await worker.http.post("/v1/accounts", json={"email": "minji", "password": "s3cret"})
    assert "s3cret" not in answer.text


async def test_an_unexpected_error_tells_nothing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret ingredient")

    monkeypatch.setattr("persistence.catalogue.venues.venue", broken)
    answer = await worker.http.get("/v1/venues/01a203e0-5bc8-779f-ba49-d4cbdeab5127")
    problem(answer, 500, "internal_error")
    assert "ingredient" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_database_that_cannot_be_reached_is_a_503(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", away)
    await worker.office.database.dispose()
    answer = await worker.http.get("/v1/performances")
    problem(answer, 503, "dependency_unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_connection_that_the_server_ended_is_replaced(worker: Worker) -> None:
    assert (await worker.http.get("/v1/venues")).status_code == 200
    await worker.as_superuser(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    answers = [await worker.http.get("/v1/venues") for _ in range(3)]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert answers[-1].status_code == 200


async def test_errors_of_the_database_are_told_apart(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    async with engine.connect() as connection:
        found = {}
        for name, statement in {
            "unstorable": "SELECT CAST(:value AS text)",
            "too large": "SELECT CAST('99999999999999999999' AS bigint)",
            "cancelled": "SELECT pg_cancel_backend(pg_backend_pid())",
            "wrong": "SELECT nonsense",
        }.items():
            with pytest.raises(sa.exc.DBAPIError) as caught:
                await connection.execute(sa.text(statement), {"value": "a\0b"} if ":value" in statement else {})
            await connection.rollback()
            found[name] = problem_of_error(caught.value).code
    await engine.dispose()
    assert found == {
        "unstorable": "validation_failed",
        "too large": "validation_failed",
        "cancelled": "dependency_unavailable",
        "wrong": "internal_error",
    }
    assert problem_of_error(DatabaseUnavailable("away")).code == "dependency_unavailable"


async def test_a_problems_type_can_be_followed(worker: Worker) -> None:
    document = (await worker.http.get("/v1/schedules/0")).json()
    described = await worker.http.get(document["type"])
    assert described.json()["code"] == "schedule_not_found"
    problem(await worker.http.get("/problems/nothing"), 404, "route_not_found")


@pytest.mark.stack
async def test_a_body_of_10_mb_is_answered_over_a_real_connection(http: httpx.AsyncClient) -> None:
    body = b"[" + b" " * 10_000_000 + b"]"
    problem(await http.post("/v1/accounts", content=body, headers=JSON), 413, "body_too_large")
