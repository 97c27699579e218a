"""What `doctor` says of who takes the money: whether its keys are accepted, and whether customers and messages can come
back from it.

Reads each provider's books of the last second, which tells of a wrong key without moving money.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from actors.process.clock import SystemClock
from actors.process.settings import Settings, variable_of
from api.command_line.finding import Finding, State
from persistence.embedded.instance import RunNote
from persistence.providers.opening import open_providers
from persistence.providers.provider import Provider, ProviderUnavailable

NAME = "payments"
BOOKS_MS = 1_000
SECRET_KEYS = {"toss": "toss_secret_key", "stripe": "stripe_api_key"}
PUBLIC_KEYS = {"toss": "toss_client_key", "stripe": "stripe_publishable_key"}
HOW = "docs/payments.md says how"


async def payments(settings: Settings, run: RunNote | None) -> list[Finding]:
    """Whether the provider that is charged is set up and answers, and the others that still have payments of ours."""
    if settings.provider == "sandbox":
        advice = f"BOXOFFICE_PROVIDER=toss or stripe takes money: {HOW}"
        return [Finding(NAME, State.NOTE, "the sandbox takes test cards, and no money", advice)]
    if settings.provider_lacks:
        seen = f"{settings.provider} is to take money, and cannot"
        return [Finding(NAME, State.WRONG, seen, f"set {' and '.join(settings.provider_lacks)}: {HOW}")]
    async with _opened(settings) as providers:
        answers = [await _asked(settings, provider) for provider in providers.values()]
    return [*answers, *_pages(settings), _coming_back(settings)]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Mapping[str, Provider]]:
    """All that have keys, but for the sandbox, whose payments are nobody's money."""
    providers = open_providers(msgspec.structs.replace(settings, sandbox_url=None), SystemClock().now_ms)
    try:
        yield providers
    finally:
        for each in providers.values():
            await each.close()


async def _asked(settings: Settings, provider: Provider) -> Finding:
    """Whether it accepts the key, and of which of its two worlds that is."""
    key = SECRET_KEYS[provider.name]
    now_ms = SystemClock().now_ms()
    try:
        async for _ in provider.payments(now_ms - BOOKS_MS, now_ms):
            pass
    except ProviderUnavailable as error:
        advice = f"is {variable_of(key)} right, and is it reached from here? Payments stay open until it answers"
        return Finding(NAME, State.WRONG, f"{provider.name}: {error}", advice)
    if _is_test(getattr(settings, key)):
        return Finding(
            NAME, State.NOTE, f"{provider.name}, test key accepted", "no money moves until it is the live one"
        )
    return Finding(NAME, State.FINE, f"{provider.name}, key accepted")


def _pages(settings: Settings) -> list[Finding]:
    """Whether pages can ask for a card: with the public key, of the same world."""
    variable = variable_of(PUBLIC_KEYS[settings.provider])
    public = getattr(settings, PUBLIC_KEYS[settings.provider])
    if not public:
        return [Finding(NAME, State.WRONG, "no public key: pages cannot ask for a card", f"set {variable}: {HOW}")]
    if _is_test(public) != _is_test(getattr(settings, SECRET_KEYS[settings.provider])):
        seen = "of the two keys one is a test key and the other a live one"
        return [Finding(NAME, State.WRONG, seen, f"{variable} has to be of the same pair as the secret key")]
    return []


def _coming_back(settings: Settings) -> Finding:
    """Where customers and messages come back to. From outside nobody reaches this machine's own address."""
    seen = f"customers come back to {settings.origin}, messages to {settings.origin}/v1/webhooks/{settings.provider}"
    if settings.public_url:
        return Finding(NAME, State.FINE, seen)
    state = State.NOTE if _is_test(getattr(settings, SECRET_KEYS[settings.provider])) else State.WRONG
    return Finding(NAME, state, seen, "set BOXOFFICE_PUBLIC_URL: nobody else reaches this machine's own address")


def _is_test(key: str) -> bool:
    """Of Toss `test_sk_…`, `test_gck_…`; of Stripe `sk_test_…`, `pk_test_…`."""
    return key.startswith("test_") or key.partition("_")[2].startswith("test_")
