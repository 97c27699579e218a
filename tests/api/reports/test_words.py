"""Reports 2, 3 and 11: two spellings of a word are one word, a search is words, and a title is a line one can see."""

from __future__ import annotations

import contextlib
import functools
import random
import unicodedata
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.http.models import Input
from api.http.problems import Problem
from api.office.passwords import HASHER, Passwords, hash_password
from api.selling.plan_input import read_document
from api.server import app  # noqa: F401  # every route, and with it every model
from persistence.database.words import words_of
from tests.api.conftest import Worker
from tests.support.sale import problem, read, small_plan

NUTCRACKER = "호두까기 인형"


def decomposed(text: str) -> str:
    """As a Mac types it."""
    return unicodedata.normalize("NFD", text)


async def performance(worker: Worker, **said: Any) -> dict[str, Any]:
    answer = await worker.http.post("/v1/performances", json=said, headers=await worker.sign_up("organizer"))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def found(worker: Worker, question: str) -> list[str]:
    page = await read(worker.http, "/v1/performances", {}, q=question, limit=200)
    return [each["id"] for each in page["items"]]


# --- one spelling -----------------------------------------------------------------------------------------------------
async def test_report_02_a_word_is_found_however_its_letters_are_spelled(worker: Worker) -> None:
    mark = uuid4().hex
    made = await performance(worker, title=decomposed(f"{NUTCRACKER} {mark}"), category=decomposed("발레"))
    assert (made["title"], made["category"]) == (f"{NUTCRACKER} {mark}", "발레")
    for question in (f"호두까기 {mark}", decomposed(f"호두까기 {mark}")):
        assert await found(worker, question) == [made["id"]]
    page = await read(worker.http, "/v1/performances", {}, q=mark, category=decomposed("발레"))
    assert [each["id"] for each in page["items"]] == [made["id"]]


async def test_report_02_a_plan_s_names_prices_and_seats_are_one_spelling(worker: Worker) -> None:
    plan = {
        "name": decomposed("대극장"),
        "categories": [{"name": decomposed("일반석"), "color": "#336699"}],
        "zones": [
            {
                "name": decomposed("1층"),
                "position": {"x": 0, "y": 0},
                "rows": [
                    {
                        "row_number": decomposed("가"),
                        "position": {"x": 0, "y": 0},
                        "seats": [
                            {
                                "seat_guid": decomposed(f"가-{number}"),
                                "seat_number": str(number),
                                "position": {"x": 25 * number, "y": 0},
                                "category": decomposed("일반석"),
                            }
                            for number in (1, 2, 3)
                        ],
                    }
                ],
            }
        ],
    }
    organizer, customer = await worker.sign_up("organizer"), await worker.sign_up()
    house = await worker.http.post("/v1/venues", json={"name": "집", "seating_plan": plan}, headers=organizer)
    assert house.status_code == 201, house.text
    show = (await worker.http.post("/v1/performances", json={"title": uuid4().hex}, headers=organizer)).json()
    body = {
        "starts_at": "2031-01-29T14:00:00+09:00",
        "venue_id": house.json()["id"],
        "currency": "KRW",
        "prices": {decomposed("일반석"): 55_000},
    }
    answer = await worker.http.post(f"/v1/performances/{show['id']}/schedules", json=body, headers=organizer)
    assert answer.status_code == 201, answer.text
    assert list(answer.json()["prices"]) == ["일반석"]
    url = f"/v1/schedules/{answer.json()['id']}/bookings"
    for seat in ("가-1", decomposed("가-2")):
        booked = await worker.http.post(url, json={"seats": [seat]}, headers=customer)
        assert booked.status_code == 201, booked.text
        assert booked.json()["seats"][0]["id"] == unicodedata.normalize("NFC", seat)
    wish = {"quantity": 1, "category": decomposed("일반석"), "zone": decomposed("1층")}
    assert (await worker.http.post(url, json=wish, headers=customer)).status_code == 201


async def test_report_02_a_password_opens_however_its_letters_are_spelled(worker: Worker) -> None:
    passwords, secret = Passwords(), "비밀번호 étoile"
    try:
        for kept in (
            await passwords.hash(secret),
            await passwords.hash(decomposed(secret)),
            hash_password(decomposed(secret)),
            HASHER.hash(decomposed(secret)),  # of before: as it was typed
            HASHER.hash(secret),
        ):
            for typed in (secret, decomposed(secret)):
                assert await passwords.matches(typed, kept)
            assert not await passwords.matches("비밀번호 etoile", kept)
    finally:
        passwords.close()


# Compared with nothing that somebody else wrote (a password in its own way: see above), or composed as a whole.
BY_THEMSELVES = {
    "password",
    "new_password",
    "current_password",
    "refresh_token",
    "access_token",
    "token",
    "seating_plan",
}


@pytest.mark.parametrize("shape", sorted(Input.__subclasses__(), key=lambda each: each.__name__), ids=str)
def test_every_text_that_comes_in_is_kept_in_one_spelling(shape: type[Input]) -> None:
    """A walk over all that requests are made of: whatever takes a text gives it back composed."""
    text = decomposed("가나다라마바사")
    for name, field in shape.model_fields.items():
        if name in BY_THEMSELVES:
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        for value in (text, [text], {text: 1}):
            with contextlib.suppress(ValidationError):  # it takes no such thing
                assert text not in repr(adapter.validate_python(value)), name


# --- words ------------------------------------------------------------------------------------------------------------
async def test_report_03_words_are_found_in_any_order_by_their_beginnings(worker: Worker) -> None:
    mark = uuid4().hex
    made = await performance(
        worker, title=f"{NUTCRACKER} {mark}", title_en="The Nutcracker", description="Pas de deux à l'Opéra, Gauß"
    )
    for question in (
        f"인형 호두까기 {mark}",
        f"  호두까기   {mark} ",
        f"호두 인 {mark[:8]}",
        f"NUTCRACKER {mark}",
        f"{mark} nutc the",
        f"opera {mark.upper()}",
        f"OPÉRA deux {mark}",
        f"gauss {mark}",
        f"‘호두까기’, {mark}!",
    ):
        assert await found(worker, question) == [made["id"]], question
    for question in (f"두까기 {mark}", f"인형극 {mark}", f"cracker {mark}", "!!!"):
        assert await found(worker, question) == [], question
    assert made["id"] in await found(worker, "   ")


@given(st.text(max_size=60), st.randoms(use_true_random=False))
def test_words_are_the_same_in_every_spelling_case_and_order(text: str, shuffled: random.Random) -> None:
    words = words_of(text)
    assert words_of(decomposed(text)) == words
    assert words_of(" ".join(words)) == words
    mixed = list(words)
    shuffled.shuffle(mixed)
    assert set(words_of(" ".join(mixed))) == set(words)
    assert all("'" not in word and "\\" not in word for word in words)


# --- lines ------------------------------------------------------------------------------------------------------------
NO_LINES = {
    "zero-width": "\u200b\u200b",
    "a filler": "\u3164",
    "a braille blank": "\u2800",
    "two lines": "Carmen\nAct 2",
    "a tab": "Carmen\tAct 2",
    "a line separator": "Carmen\u2028Act 2",
    "turned around": "Carmen \u202enemraC",
    "an isolate": "\u2067Carmen\u2069",
    "an escape": "Carmen \x1b[31m",
    "NEL": "Carmen\x85Act 2",
    "nothing but a joiner": "\u200d",
}


@pytest.mark.parametrize("text", NO_LINES.values(), ids=NO_LINES)
async def test_report_11_a_title_is_one_line_that_can_be_seen(worker: Worker, text: str) -> None:
    headers = await worker.sign_up("organizer")
    for field in ("title", "title_en", "category"):
        body = {"title": uuid4().hex, field: text}
        answer = await worker.http.post("/v1/performances", json=body, headers=headers)
        assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == [field]
    body = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery", "name": text}
    answer = await worker.http.post("/v1/accounts", json=body)
    assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == ["name"]


NAMES_IN_A_PLAN = (
    *("name", "categories.0.name", "zones.0.name", "zones.0.general_admission.0.name"),
    *("zones.0.rows.0.row_number", "zones.0.rows.0.row_label", "zones.0.rows.0.seat_label"),
    *("zones.0.rows.0.seats.0.seat_guid", "zones.0.rows.0.seats.0.seat_number", "zones.0.rows.0.seats.0.seat_label"),
)


@pytest.mark.parametrize("text", NO_LINES.values(), ids=NO_LINES)
@pytest.mark.parametrize("path", NAMES_IN_A_PLAN)
async def test_report_11_every_name_in_a_plan_is_one_line_that_can_be_seen(path: str, text: str) -> None:
    plan = small_plan(standing=2)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    functools.reduce(lambda node, step: node[step], way, plan)[last] = text
    with pytest.raises(Problem) as refused:
        await read_document(plan)
    errors: Any = refused.value.facts["errors"]
    named = {each["field"].replace("[", ".").replace("]", "") for each in errors}
    assert f"seating_plan.{path}" in named


@pytest.mark.parametrize("text", ["می‌خواهم", "👨‍👩‍👧 가족극", "שלום\u200f!", "Ça ira — 1789", "é́"])
async def test_report_11_scripts_that_need_joiners_are_lines_like_any(worker: Worker, text: str) -> None:
    made = await performance(worker, title=f"{text} {uuid4().hex}")
    assert made["title"].startswith(unicodedata.normalize("NFC", text))


async def test_report_11_a_description_may_have_lines_but_no_tricks(worker: Worker) -> None:
    made = await performance(worker, title=uuid4().hex, description="Act 1\nAct 2\r\n\tAct 3")
    assert made["description"] == "Act 1\nAct 2\r\n\tAct 3"
    headers = await worker.sign_up("organizer")
    for text in ("\u202eoverride", "bell \x07"):
        body = {"title": uuid4().hex, "description": text}
        answer = await worker.http.post("/v1/performances", json=body, headers=headers)
        assert [each["field"] for each in problem(answer, 422, "validation_failed")["errors"]] == ["description"]
