"""README.ko.md says what README.md says: whoever changes one of them alone finds out here, section by section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In their order. What stands under the last two headings is not told again in Korean.
SECTIONS = {
    "": "",  # what stands before the first heading
    "What it looks like": "실행 화면",
    "Run it": "실행하기",
    "Guarantees": "보장하는 것",
    "Commands": "명령",
    "Environment": "환경 변수",
    "Refunds": "환불",
    "Privacy": "개인정보",
    "Seating plans": "좌석 배치도",
    "What isn't there yet": "아직 없는 것",
    "Traceability": "요구사항 추적",
    "Licence": "라이선스",
}
SHORTENED = ("Traceability",)
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
TICKED = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ADDRESS = re.compile(r"https?://[\w.:/-]*\w")
# What anybody would say with another figure where it has changed: one digit is often written out.
FIGURE = re.compile(r"\d[\d,.]*\d")
# As the pages have it: tests/web/pure/words.test.ts.
CALLED_OTHERWISE = {
    "주최자": "기획사",
    "소유자": "주인",
    "대기열": "대기실",
    "배치도": "좌석도",
    "좌석 현황": "좌석 지도",
}
ITS_READER_S_OWN = re.compile(r'"reason": ?"[^"]*"')


def sections(name: str) -> dict[str, str]:
    """Heading → what stands under it."""
    title, *parts = re.split(r"^## ", (ROOT / name).read_text(), flags=re.MULTILINE)
    return {"": title} | dict(part.split("\n", 1) for part in parts)


ENGLISH, KOREAN = sections("README.md"), sections("README.ko.md")
TOLD = pytest.mark.parametrize("heading", [each for each in SECTIONS if each not in SHORTENED])


def rows(text: str) -> list[str]:
    """The rows of all tables, their heads included."""
    return re.findall(r"^\|.*\|$", BLOCK.sub("", text), re.MULTILINE)


def prose(text: str) -> str:
    return ADDRESS.sub("", LINK.sub("", TICKED.sub("", BLOCK.sub("", text))))


def test_both_have_the_same_sections_in_the_same_order() -> None:
    assert list(ENGLISH) == list(SECTIONS)
    assert list(KOREAN) == list(SECTIONS.values())


@TOLD
def test_what_is_typed_and_what_is_answered_is_the_same(heading: str) -> None:
    english, korean = (
        [ITS_READER_S_OWN.sub("", block) for block in BLOCK.findall(text)]
        for text in (ENGLISH[heading], KOREAN[SECTIONS[heading]])
    )
    assert korean == english


@TOLD
def test_tables_have_the_same_rows_about_the_same_things(heading: str) -> None:
    english, korean = rows(ENGLISH[heading]), rows(KOREAN[SECTIONS[heading]])
    assert [set(TICKED.findall(row)) for row in korean] == [set(TICKED.findall(row)) for row in english]
    first = [[TICKED.findall(cell) for cell in row.split(" | ")[:2]] for row in english]
    assert [[TICKED.findall(cell) for cell in row.split(" | ")[:2]] for row in korean] == first, "names and defaults"


@TOLD
def test_links_lead_to_the_same_places(heading: str) -> None:
    english, korean = (
        {*LINK.findall(text), *ADDRESS.findall(text)} - {"README.md", "README.ko.md"}
        for text in (ENGLISH[heading], KOREAN[SECTIONS[heading]])
    )
    assert korean == english


@TOLD
def test_figures_are_the_same(heading: str) -> None:
    english, korean = (sorted(FIGURE.findall(prose(text))) for text in (ENGLISH[heading], KOREAN[SECTIONS[heading]]))
    assert korean == english


@TOLD
def test_names_in_sentences_are_the_same(heading: str) -> None:
    """Of variables, fields, codes and pages; a word that is pressed is in the language of who presses it."""
    english, korean = ({*TICKED.findall(BLOCK.sub("", text))} for text in (ENGLISH[heading], KOREAN[SECTIONS[heading]]))
    assert korean == english


def test_the_korean_one_is_written_in_one_way() -> None:
    """Sentences end politely (합니다체), and each thing has one name."""
    text = prose((ROOT / "README.ko.md").read_text())
    assert re.findall(r"\S*(?:이다|한다|했다|있다|없다|된다|해요|어요|예요|세요!)[.]", text) == []
    for name, other in CALLED_OTHERWISE.items():
        assert other not in text, f"it is called {name}"
