"""Words as they are searched: without case and accents, in one spelling, cut where anything but a letter or digit is.

A text is found by the beginnings of its words, in any order. Cutting is ours on both sides, so that it follows from
Unicode alone: PostgreSQL's own parser takes `rock/pop` for a file's path.
"""

from __future__ import annotations

import re
import unicodedata

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

MAX_LETTERS = 100  # of a word: what comes after tells no two words apart
MAX_WORDS = 20  # of a question: more is no search, and each costs a look into the index
# Marks above and below letters. Those of other scripts are letters of their own: が is not か.
ACCENTS = re.compile("[\u0300-\u036f]+")
WORD = re.compile(r"[^\W_]+")


def words_of(*texts: str | None) -> list[str]:
    """The words of these texts, each once."""
    found: dict[str, None] = {}
    for text in texts:
        if text:
            found.update((word[:MAX_LETTERS], None) for word in WORD.findall(_folded(text)))
    return list(found)


def search_of(question: str) -> str | None:
    """A tsquery (in its text form) for all of the question's words; None where it has none."""
    words = words_of(question)[:MAX_WORDS]
    return " & ".join(f"'{word}':*" for word in words) or None  # a word has neither quotes nor backslashes


def words_column(*texts: str | None) -> sa.ColumnElement[object]:
    """What the column `words` of a row with these texts holds."""
    return sa.func.array_to_tsvector(sa.cast(words_of(*texts), ARRAY(sa.Text)))


def found_by(words: sa.ColumnElement[object], question: str) -> sa.ColumnElement[bool]:
    """Whether a column `words` has all of the question's, or what each begins with; without words nothing is found."""
    search = search_of(question)
    return sa.false() if search is None else words.bool_op("@@")(sa.cast(search, TSQUERY))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", ACCENTS.sub("", unicodedata.normalize("NFKD", text)).casefold())
