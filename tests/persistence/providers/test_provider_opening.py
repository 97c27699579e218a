"""Which providers the settings open, who takes new payments, and that no secret is printed on the way."""

from __future__ import annotations

import pytest

from actors.process.clock import SystemClock
from actors.process.settings import SECRETS, Settings, SettingsError
from persistence.providers.opening import NotConfigured, open_providers

NOW_MS = SystemClock().now_ms
ALL = {
    "BOXOFFICE_SANDBOX_URL": "http://127.0.0.1:9",
    "BOXOFFICE_SECRET": "the secret",
    "BOXOFFICE_PREVIOUS_SECRET": "the former secret",
    "BOXOFFICE_TOSS_SECRET_KEY": "test_sk_1",
    "BOXOFFICE_STRIPE_API_KEY": "sk_test_1",
    "BOXOFFICE_STRIPE_WEBHOOK_SECRETS": "whsec_new, whsec_old",
}


async def opened(environment: dict[str, str]) -> list[str]:
    providers = open_providers(Settings.from_environment(environment), NOW_MS)
    for provider in providers.values():
        await provider.close()
    assert all(provider.name == name for name, provider in providers.items())
    return list(providers)


@pytest.mark.parametrize("name", ["sandbox", "toss", "stripe"])
async def test_chosen_provider_comes_first_and_the_others_stay_open(name: str) -> None:
    names = await opened(ALL | {"BOXOFFICE_PROVIDER": name})
    assert names[0] == name
    assert sorted(names) == ["sandbox", "stripe", "toss"]


async def test_sandbox_alone_is_the_default() -> None:
    assert await opened({"BOXOFFICE_SANDBOX_URL": "http://127.0.0.1:9", "BOXOFFICE_SECRET": "s"}) == ["sandbox"]


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("sandbox", "BOXOFFICE_SANDBOX_URL"),
        ("toss", "BOXOFFICE_TOSS_SECRET_KEY"),
        ("stripe", "BOXOFFICE_STRIPE_API_KEY"),
        ("stripe", "BOXOFFICE_STRIPE_WEBHOOK_SECRETS"),
    ],
)
async def test_chosen_provider_without_its_settings_is_not_opened(name: str, lacking: str) -> None:
    environment = {variable: value for variable, value in ALL.items() if variable != lacking}
    with pytest.raises(NotConfigured, match=lacking):
        await opened(environment | {"BOXOFFICE_PROVIDER": name})


def test_provider_that_there_is_not_is_refused_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="BOXOFFICE_PROVIDER"):
        Settings.from_environment({"BOXOFFICE_PROVIDER": "paypal"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOXOFFICE_TOSS_SECRET_KEY", "live_ck_of_pages"),
        ("BOXOFFICE_TOSS_SECRET_KEY", "test_gck_of_pages"),
        ("BOXOFFICE_TOSS_CLIENT_KEY", "live_sk_hush"),
        ("BOXOFFICE_TOSS_CLIENT_KEY", "test_gsk_hush"),
        ("BOXOFFICE_STRIPE_API_KEY", "pk_live_of_pages"),
        ("BOXOFFICE_STRIPE_API_KEY", "whsec_hush"),
        ("BOXOFFICE_STRIPE_PUBLISHABLE_KEY", "sk_live_hush"),
        ("BOXOFFICE_STRIPE_PUBLISHABLE_KEY", "rk_test_hush"),
        ("BOXOFFICE_STRIPE_WEBHOOK_SECRETS", "whsec_1, sk_live_hush"),
    ],
)
def test_a_key_in_another_key_s_place_is_refused_and_not_told(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable) as refused:
        Settings.from_environment({variable: value})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("key", ["live_sk_1", "test_gsk_1", "a key of a kind that is yet to come"])
def test_a_key_in_its_own_place_is_taken(key: str) -> None:
    assert Settings.from_environment({"BOXOFFICE_TOSS_SECRET_KEY": key}).toss_secret_key == key


def test_settings_reach_the_processes_that_are_started() -> None:
    settings = Settings.from_environment(ALL | {"BOXOFFICE_PROVIDER": "toss", "BOXOFFICE_TOSS_URL": "http://t"})
    assert Settings.from_environment(settings.to_environment()) == settings


def test_no_secret_is_printed_with_the_settings() -> None:
    secrets = {name: f"{name} of this test" for name in SECRETS}
    settings = Settings(**secrets)  # type: ignore[arg-type]  # they are all strings
    printed = f"{settings} {settings!r} {list(settings.__rich_repr__())}"
    assert "of this test" not in printed
    assert "provider='sandbox'" in printed
