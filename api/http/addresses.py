"""From which address, and which place, a request comes.

A place is an address, or of IPv6 the network that one customer of a provider gets (/64).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from starlette.requests import Request

IPV6_PLACE_BITS = 64
PLACES_REMEMBERED = 10_000


def address_of(request: Request) -> str:
    """The address a request comes from; empty where there is none."""
    return request.client.host if request.client else ""


@lru_cache(PLACES_REMEMBERED)
def place_of(address: str) -> str:
    """Where the address is: what one customer of a provider has of its kind."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PLACE_BITS), strict=False))
