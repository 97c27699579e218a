"""Behind proxies a client is who the operator's own proxies say, and nobody that it says itself."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from actors.process.settings import Settings, SettingsError
from api.server.proxies import Behind, behind

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")]


async def nothing(*_: object) -> None:
    raise AssertionError("no request comes")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # anybody may write the header
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.1, 10.1.2.3"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9", "192.0.2.1,10.1.2.3"], "192.0.2.1"),
        ("10.0.0.1", ["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1, unknown, 10.1.2.3"], "10.1.2.3"),
        ("10.0.0.1", ["192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7, 2001:db8:ffff::1"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["é\xff, , ,"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1," + "10.0.0.2," * 1000 + "10.0.0.3"], "10.0.0.2"),
        ("", ["192.0.2.1"], ""),
    ],
)
def test_the_header_is_read_from_the_right_as_far_as_it_can_be_believed(
    peer: str, forwarded: list[str], client: str
) -> None:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    assert Behind(nothing, PROXIES).client(peer, headers) == client


def test_where_no_proxies_are_named_nothing_stands_in_between() -> None:
    assert behind([], nothing) is nothing


@pytest.mark.parametrize("value", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example", "10.0.0.0/8;127.0.0.1"])
def test_networks_that_are_none_are_refused_at_start(value: str) -> None:
    with pytest.raises(SettingsError, match="BOXOFFICE_TRUSTED_PROXIES"):
        Settings.from_environment({"BOXOFFICE_TRUSTED_PROXIES": value})


def test_addresses_and_networks_are_taken() -> None:
    settings = Settings.from_environment({"BOXOFFICE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1,2001:db8::/32"})
    assert [str(network) for network in settings.proxies] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]
