"""From which address a request comes, where proxies stand in between.

Each proxy appends the address it was asked from to `X-Forwarded-For`. What stands there is read from the right, and
believed as long as whoever wrote it is one of the proxies that the operator has named: the first address that is none
of theirs is the client's. What clients write there themselves stands further left, and is not looked at.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = b"x-forwarded-for"
BY_PROXY = "boxoffice.by_proxy"  # in the scope of a request that one of the operator's own proxies has sent
LONGEST_CHAIN = 32  # addresses; nobody has so many proxies
REMEMBERED = 4096

Networks = Sequence[IPv4Network | IPv6Network]


def behind(proxies: Networks, app: ASGIApp) -> ASGIApp:
    """The application as it is reached: by clients themselves, or by proxies in these networks."""
    return Behind(app, proxies) if proxies else app


class Behind:
    """Puts the client's address where the last proxy's was."""

    def __init__(self, app: ASGIApp, proxies: Networks) -> None:
        self._app = app
        self._proxies = tuple(proxies)
        self._trusts = lru_cache(REMEMBERED)(self._is_trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("client") is not None:
            peer, headers = scope["client"][0], scope["headers"]
            scope["client"] = (self.client(peer, headers), 0)
            scope[BY_PROXY] = self._trusts(peer)
        await self._app(scope, receive, send)

    def client(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The client's address, given who is connected and what it says."""
        if not self._trusts(peer):
            return peer
        said = b",".join(value for name, value in headers if name == HEADER).decode("latin-1")
        for text in reversed(said.split(",")[-LONGEST_CHAIN:]):
            address = address_in(text)
            if address is None:
                break  # a proxy that does not say from where it was asked: it is the nearest that is known
            peer = str(address)
            if not self._trusts(peer):
                break
        return peer

    def _is_trusted(self, address: str) -> bool:
        parsed = address_in(address)
        return parsed is not None and any(parsed in network for network in self._proxies)


def address_in(text: str) -> IPv4Address | IPv6Address | None:
    """The address, with or without a port as some proxies write one; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
