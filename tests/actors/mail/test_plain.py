"""A mail of ours goes to one recipient and says nothing for others: whatever they call themselves or their shows."""

from __future__ import annotations

import re
import unicodedata
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.mail.plain import NAME_CHARACTERS, person, plain

# What common mail programs make a link of.
LINK = re.compile(r"(?i)https?[:：]|mailto[:：]|//|[@＠﹫]|\w[.．。｡][^\W\d_]")
TRICKS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [
                *("http://", "HTTPS:", "www.", "bank.example", "mailto:", "tel:", "@", "/", "//", ".", "。", ":"),
                *("\n", "\r\n", "\u202e", "\u200b", "\x00", "=?utf-8?q?", "?="),
                *('"', "<", ">", ", ", ";", "\\", "(", ")", "카르멘", " ", "a"),
            ]
        ),
        max_size=30,
    ).map("".join),
)


@given(TRICKS)
def test_what_others_typed_stands_on_one_line_shows_all_it_has_and_is_no_link(text: str) -> None:
    shown = plain(text)
    assert LINK.search(shown) is None, shown
    assert not [each for each in shown if unicodedata.category(each)[0] == "C"]
    assert shown == " ".join(shown.split())
    assert plain(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("카르멘", "카르멘"),
        ("No. 5: Bach, Mozart & Co.", "No. 5: Bach, Mozart & Co."),
        ("W.A. Mozart", "W. A. Mozart"),
        ("AC/DC 3.5", "AC/DC 3.5"),
        ("Win at https://evil.example/x now", "Win at evil. example/x now"),
        ("mail me@evil.example", "mail me evil. example"),
        ("\u202egnirts", "gnirts"),
        ("line\r\nBcc: victim", "line Bcc: victim"),
    ],
)
def test_ordinary_titles_stay_as_they_are(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(TRICKS)
def test_a_mail_has_one_recipient_whatever_the_name_is(name: str) -> None:
    message = EmailMessage()
    message["To"] = Address(person(name), "minji", "example.com")
    message.set_content("text")
    for utf8 in (False, True):
        content = message.as_bytes(policy=policy.SMTP.clone(utf8=utf8))
        modern = message_from_bytes(content, policy=policy.default)
        assert [each.addr_spec for each in modern["To"].addresses] == ["minji@example.com"], content
        for reader in (policy.compat32, policy.default):
            read = message_from_bytes(content, policy=reader)  # type: ignore[arg-type]  # one of two kinds
            assert [address for _, address in getaddresses([str(read["To"])])] == ["minji@example.com"], content
            assert set(read.keys()) <= {"To", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"}


def test_nobody_is_greeted_by_a_sentence() -> None:
    called = person("victim@bank.example, someone with a rather long name " * 5)
    assert called.startswith("victim bank example someone with a rather long name")
    assert len(called) <= NAME_CHARACTERS
    assert person(None) == ""
    assert person("김민지") == "김민지"
