"""What others have typed, made fit to stand in a mail that we send.

Titles, names and reasons come from whoever has an account, and mails go to whoever's address was given. So nothing in
them may look as if we had said it: no line of its own, no text that runs backwards, nothing that a mail program makes a
link of.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

NAME_CHARACTERS = 60  # of a person: nobody is greeted by a sentence
# Between letters mail programs take these for an address on the web, or a person's.
SCHEME = re.compile(r"\s*[:：]?[/／]{2,}\s*|(?i:(?:https?|ftp|mailto|tel|sms)[:：])")
DOT = re.compile(r"(?<=\w)([.．。｡])(?=[^\W\d_])")
AT = re.compile(r"\s*[@＠﹫]\s*")
# Characters that take part in a header's syntax (RFC 5322 section 3.2.3), so that a name needs no quotes.
SPECIALS = re.compile(r"""[()<>\[\]:;@\\,."=?]""")


@lru_cache(4_096)  # a sale's mails have the same titles, zones and rows
def plain(text: str) -> str:
    """The text on one line: its letters, digits, marks and signs, and nothing that would become a link."""
    visible = "".join(character if _is_shown(character) else " " for character in unicodedata.normalize("NFC", text))
    unlinked = AT.sub(" ", SCHEME.sub(" ", visible))
    return " ".join(DOT.sub(r"\1 ", unlinked).split())


def person(name: str | None) -> str:
    """A person's name, for a greeting or a header; empty where there is none."""
    return " ".join(SPECIALS.sub(" ", plain(name or "")).split())[:NAME_CHARACTERS].strip()


def _is_shown(character: str) -> bool:
    # Cc: controls; Cf: bidi and zero-width; Cs, Co, Cn: what no font has; Zl, Zp: line ends.
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
