"""Reads the seating plans that organizers send, off the event loop, and says everything that is wrong with one."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from api.http.models import fault_of_line, stored
from api.http.problems import Problem
from engine.plan_document import read_plan
from engine.seating_plan import PlanError, PlanProblem, SeatingPlan
from engine.stored_plan import pack

LARGEST_INTEGER = 2**63 - 1  # beyond it JSON readers differ
PLAN_BYTES = 8 * 1024 * 1024  # of a seating plan with 50,000 seats
PROBLEMS_NAMED = 50  # of a plan with thousands of faults, the first ones help
# What `engine.plan_document` complains of, as Korean readers read it; what stands in it is put in at `{}`.
KOREAN = tuple(
    (re.compile(english), korean)
    for english, korean in (
        (r"is missing", "빠져 있습니다"),
        (r"must be an object", "객체여야 합니다"),
        (r"must be a list", "목록이어야 합니다"),
        (r"must be a string", "문자열이어야 합니다"),
        (r"must be a whole number", "정수여야 합니다"),
        (r"must not be empty", "비어 있으면 안 됩니다"),
        (r"must not be longer than (\d+) characters", "{}자를 넘을 수 없습니다"),
        (r"must not contain control characters or line ends", "제어 문자나 줄바꿈을 쓸 수 없습니다"),
        (r"must contain something that can be seen", "눈에 보이는 글자가 있어야 합니다"),
        (r"must be a number between (-?\d+) and (\d+)", "{}에서 {} 사이의 수여야 합니다"),
        (r"must be from (\d+) to (\d+)", "{}에서 {} 사이여야 합니다"),
        (r'category "(.*)" is declared twice', "등급 “{}”이(가) 두 번 나옵니다"),
        (r'category "(.*)" is not declared', "등급 “{}”이(가) 등급 목록에 없습니다"),
        (r'"(.*)" is used already by (.*)', "“{}”은(는) 이미 {}에 쓰였습니다"),
        (r"the plan has no seat and no standing room", "좌석도 스탠딩 구역도 없습니다"),
        (r"the plan has more than (\d+) places", "자리가 {}개를 넘습니다"),
        (r"at most (\d+) zones are allowed", "구역은 {}개까지입니다"),
        (r"at most (\d+) categories are allowed", "등급은 {}개까지입니다"),
        (r"at most (\d+) seats are allowed in a row", "한 열의 좌석은 {}개까지입니다"),
        (r"must not hold NaN or infinite numbers", "NaN이나 무한대를 쓸 수 없습니다"),
        (r"must not hold integers beyond 64 bits", "64비트를 넘는 정수를 쓸 수 없습니다"),
    )
)


class ReadPlan(Struct, frozen=True):
    """A plan, its JSON text, checked to be storable, and its stored form."""

    plan: SeatingPlan
    text: str
    packed: bytes


async def read_document(document: dict[str, Any]) -> ReadPlan:
    """A large house takes a quarter second, in a thread. Raises `Problem("invalid_seating_plan")`."""
    try:
        return await asyncio.to_thread(_read, document)
    except PlanError as error:
        raise Problem(
            "invalid_seating_plan", errors=[_told(each) for each in error.problems[:PROBLEMS_NAMED]]
        ) from None


def korean(message: str) -> str:
    """What is wrong with a plan, for Korean readers."""
    for english, translated in KOREAN:
        if (read := english.fullmatch(message)) is not None:
            return translated.format(*read.groups())
    return message


def _told(problem: PlanProblem) -> dict[str, str]:
    field = ".".join(filter(None, ("seating_plan", problem.path)))
    return {"field": field, "message": problem.message, "ko": korean(problem.message)}


def _read(document: dict[str, Any]) -> ReadPlan:
    for value in _values(document):
        if isinstance(value, float) and not math.isfinite(value):
            raise PlanError([PlanProblem("", "must not hold NaN or infinite numbers")])
        if isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            raise PlanError([PlanProblem("", "must not hold integers beyond 64 bits")])
    _compose(document)
    plan = read_plan(document, fault=unreadable)
    return ReadPlan(plan, msgspec.json.encode(document).decode(), pack(plan))


def unreadable(name: str) -> str | None:
    """Names of sections, rows and seats are read on tickets and in mails: they are lines like any other."""
    fault = fault_of_line(name)
    return None if fault is None else fault[1]


def _compose(document: dict[str, Any]) -> None:
    """Gives every text of the document the spelling that requests are read in, so that its names are found by them."""
    stack: list[Any] = [document]
    while stack:
        node = stack.pop()
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if isinstance(value, (dict, list)):
                stack.append(value)
            if isinstance(key, str) and not key.isascii():
                del node[key]
                node[stored(key)] = value
                key = stored(key)
            if isinstance(value, str) and not value.isascii():
                node[key] = stored(value)


def _values(document: object) -> Iterator[object]:
    """Every key and value, without recursion: a document may be nested as deeply as its sender likes."""
    stack = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        else:
            yield value
