"""What a client takes, against RFC 9110."""

from __future__ import annotations

import pytest

from api.http.accepting import preferred, wishes

FORMS = ("application/json", "image/svg+xml", "text/calendar")


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("a", [("a", 1.0)]),
        ("A;q=0.5, b ; q = 0.25;x=1,c;x=1;Q=1.000", [("a", 0.5), ("b", 0.25), ("c", 1.0)]),
        ("a;q=0, b;q=0.0, c;q=x, d;q=2, e;q=-1, f;q=inf, g;q=nan, h;q=", [(name, 0.0) for name in "abcdefgh"]),
    ],
)
def test_each_is_named_with_its_weight(header: str, named: list[tuple[str, float]]) -> None:
    assert wishes(header) == named


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", 0),
        ("*/*", 0),
        ("application/pdf", 0),
        ("image/svg+xml", 1),
        ("image/*", 1),
        ("image/svg+xml;q=0", 0),
        ("image/svg+xml;q=0, */*;q=0.1", 0),
        ("image/svg+xml;q=0, image/*", 0),  # refused by name, whatever the range says
        ("image/svg+xml;q=0.2, */*;q=0.5", 0),
        ("application/json;q=0, image/svg+xml;q=0, */*;q=0.1", 2),
        ("application/json;q=0.2, */*", 1),
        ("*/*, text/*", 2),  # liked as well, and named more exactly
        ("text/*;q=0.9, */*;q=0.8", 2),
        ("*/*;q=0", 0),
    ],
)
def test_the_form_that_is_liked_best_is_chosen(accept: str, kind: int) -> None:
    assert preferred(accept, FORMS) == FORMS[kind]
