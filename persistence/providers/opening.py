"""Opens the payment providers that the settings name, for every process that takes, settles or compares money.

All that have credentials are opened: after a change of provider, the former one still answers for its own payments,
their refunds and their webhooks. The first one takes new payments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from persistence.providers.provider import Provider
from persistence.providers.sandbox import SandboxProvider
from persistence.providers.stripe_payments import StripeProvider
from persistence.providers.toss import TossProvider


class ProviderSettings(Protocol):
    """As much of `actors.process.settings.Settings` as is needed here."""

    @property
    def provider(self) -> str: ...
    @property
    def provider_lacks(self) -> list[str]: ...
    @property
    def sandbox_url(self) -> str | None: ...
    @property
    def sandbox_secrets(self) -> list[str]: ...
    @property
    def toss_secret_key(self) -> str: ...
    @property
    def toss_url(self) -> str: ...
    @property
    def stripe_api_key(self) -> str: ...
    @property
    def stripe_webhook_secrets(self) -> str: ...
    @property
    def stripe_url(self) -> str: ...


class NotConfigured(Exception):
    """The provider that is to take payments lacks a setting; the message names its variable."""


NO_SANDBOX = "BOXOFFICE_SANDBOX_URL is not set: `boxoffice up` starts the payment sandbox and sets it"


def open_providers(settings: ProviderSettings, now_ms: Callable[[], int]) -> Mapping[str, Provider]:
    """The providers by name, the one that takes payments first. Raises `NotConfigured`. The caller closes them."""
    webhook_secrets = [each.strip() for each in settings.stripe_webhook_secrets.split(",") if each.strip()]
    opened: list[Provider] = []
    if settings.sandbox_url is not None:
        secret, *previous = settings.sandbox_secrets
        opened.append(SandboxProvider(settings.sandbox_url, secret, now_ms, previous_secret="".join(previous)))
    if settings.toss_secret_key:
        opened.append(TossProvider(settings.toss_secret_key, now_ms, url=settings.toss_url))
    if settings.stripe_api_key and webhook_secrets:
        opened.append(StripeProvider(settings.stripe_api_key, webhook_secrets, now_ms, url=settings.stripe_url))
    opened.sort(key=lambda provider: provider.name != settings.provider)
    if not opened or opened[0].name != settings.provider:
        lacking = " and ".join(settings.provider_lacks)
        raise NotConfigured(f"BOXOFFICE_PROVIDER={settings.provider} needs {lacking}" if lacking else NO_SANDBOX)
    return {provider.name: provider for provider in opened}
