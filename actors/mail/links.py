"""Mails that carry a link for the account's owner alone: a new password, an e-mail address to confirm.

They say nothing that anybody else has typed: whoever signs up with a stranger's address mails them our words only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import NamedTuple

from actors.mail.texts import GREETING, chosen
from persistence.accounts.links import LIFETIMES, PURPOSES, Purpose

TOKEN_BYTES = 32


class Words(NamedTuple):
    """A mail in one language. `{minutes}` is how long its link can be used, `{days}` the same."""

    subject: str
    heading: str
    lead: str
    action: str
    note: str


class LinkMail(NamedTuple):
    path: str  # of the page that the link opens
    en: Words
    ko: Words


MAILS: Mapping[Purpose, LinkMail] = {
    "password_reset": LinkMail(
        "/password-resets/",
        Words(
            "Choose a new password",
            "Choose a new password",
            "Somebody, most likely you, has asked for a new password for your account at Boxoffice.",
            "Choose a new password",
            "The link works once, within {minutes} minutes. If you have not asked for it, ignore this mail: nothing has"
            " changed.",
        ),
        Words(
            "[Boxoffice] 비밀번호 재설정",
            "비밀번호 재설정",
            "Boxoffice 계정의 비밀번호 재설정 요청이 접수되었습니다.",
            "새 비밀번호 정하기",
            "링크는 {minutes}분 동안 한 번만 사용하실 수 있습니다. 요청하신 적이 없다면 이 메일을 무시해 주세요."
            " 비밀번호는 바뀌지 않습니다.",
        ),
    ),
    "email_confirmation": LinkMail(
        "/email-confirmations/",
        Words(
            "Confirm your e-mail address",
            "Confirm your e-mail address",
            "This address was given for an account at Boxoffice, where tickets and news of bookings are sent to.",
            "Confirm this address",
            "The link works once, within {days} days. If you have no account at Boxoffice, ignore this mail.",
        ),
        Words(
            "[Boxoffice] 이메일 주소 확인",
            "이메일 주소 확인",
            "이 주소가 Boxoffice 계정의 이메일로 등록되었습니다. 티켓과 예매 안내를 이 주소로 보내 드립니다.",
            "이메일 주소 확인하기",
            "링크는 {days}일 동안 한 번만 사용하실 수 있습니다. 가입하신 적이 없다면 이 메일을 무시해 주세요.",
        ),
    ),
}

ON_BEHALF = (
    "This mail was sent automatically; please do not reply.",
    "이 메일은 발신 전용 메일입니다.",
)


class Link(NamedTuple):
    """What a mail's link carries, and what the database keeps of it."""

    token: str
    hash: bytes


def new_link() -> Link:
    """A token that nobody has seen."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Link(token, hash_of(token))


def hash_of(token: str) -> bytes:
    """It is random, so a plain hash cannot be searched."""
    return hashlib.sha256(token.encode()).digest()


def purpose_of(kind: str) -> Purpose | None:
    """What the link of a mail of this kind is for; None if it has none."""
    return next((purpose for purpose in PURPOSES if purpose == kind), None)


def words_of(purpose: Purpose, language: str) -> Words:
    """The mail's words, with the time that its link can be used."""
    words = MAILS[purpose].ko if language == "ko" else MAILS[purpose].en
    lifetime = LIFETIMES[purpose]
    return words._replace(note=words.note.format(minutes=lifetime.seconds // 60, days=lifetime.days))


def greeting(language: str) -> str:
    return chosen(GREETING, language)
