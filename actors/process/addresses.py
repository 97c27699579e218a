"""What addresses, names and keys in the environment look like: what is told from their form, nobody has to find out
later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}))?/?", re.IGNORECASE)
HOST = re.compile(r"[a-z0-9.-]+(:[0-9]+)?")
GREATEST_PORT = 65_535


class Form(NamedTuple):
    """What a value has to look like, and how that is said."""

    pattern: re.Pattern[str]
    said: str
    is_told: bool = True  # what was given instead; a secret key in the wrong place is still one


_HTTP = re.compile(rf"{ORIGIN.pattern}((?<=/)[^\s?#]+)?", re.IGNORECASE)

# By the setting. Where a URL may carry a password or more than one host, only what no client would take is refused
# here: the client itself knows the rest.
FORMS: Mapping[str, Form] = {
    "sandbox_url": Form(_HTTP, "must look like http://10.0.0.5:9000"),
    "toss_url": Form(_HTTP, "must look like https://api.tosspayments.com"),
    "stripe_url": Form(_HTTP, "must look like https://api.stripe.com"),
    "redis_url": Form(
        re.compile(r"(rediss?|unix)://\S(.*\S)?", re.IGNORECASE), "must look like redis://, rediss:// or unix://…"
    ),
    "smtp_url": Form(
        re.compile(r"smtps?://\S+", re.IGNORECASE), "must look like smtp://user:password@host:587 or smtps://…"
    ),
    # A provider's keys say of themselves what they are. Pages show the public one to everybody.
    "toss_secret_key": Form(re.compile(r"(?!\s*(test|live)_g?ck_).+"), "is the client key: the secret key has _sk_"),
    "toss_client_key": Form(
        re.compile(r"(?!\s*(test|live)_g?sk_).+"),
        "is the secret key, which pages would show to everybody: the client key has _ck_",
        is_told=False,
    ),
    "stripe_api_key": Form(
        re.compile(r"(?!\s*(pk|whsec)_).+"),
        "is not the secret key, which begins with sk_, or rk_ where it is restricted",
    ),
    "stripe_publishable_key": Form(
        re.compile(r"(?!\s*(sk|rk|whsec)_).+"),
        "is a secret, which pages would show to everybody: the publishable key begins with pk_",
        is_told=False,
    ),
    "stripe_webhook_secrets": Form(
        re.compile(r"(?!.*\b[psr]k_).+"), "is an API key: a webhook's signing secret begins with whsec_"
    ),
    "topic": Form(re.compile(r"(?!\.{1,2}$)[a-z0-9._-]{1,249}", re.IGNORECASE), "must be 1 to 249 of a–z, 0–9, . _ -"),
}


def has_form(form: re.Pattern[str], text: str) -> bool:
    """Whether the text is of the form; its port, where there is one, is one that there can be."""
    found = form.fullmatch(text)
    if found is None:
        return False
    return form not in (ORIGIN, _HTTP) or int(found[2] or 0) <= GREATEST_PORT
