"""Whose request it is by address: the peer's, or what trusted proxies say, and the network it is counted under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from ramet.errors import SettingsError

_REMEMBERED = 4096
_MOST_HOPS = 16
_LONGEST = 1024


class ClientAddress(msgspec.Struct, frozen=True, gc=False):
    """`address` for logs, normalised; `group` for limits: the IPv4 address itself, or the /64 of an IPv6 address.

    A subscriber is commonly given a whole /64, so single addresses of it would be no limit at all. Both are "unknown"
    when the peer has no IP address, as with a Unix socket.
    """

    address: str
    group: str


UNKNOWN = ClientAddress("unknown", "unknown")


class Addresses:
    """Finds the address of a client; believes forwarded addresses only from `trusted` networks.

    Raises SettingsError for a network that can't be read. What was found is remembered, within a bound.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = tuple(_network(text) for text in trusted)
        self._peer = lru_cache(_REMEMBERED)(self._find_peer)
        self._forwarded = lru_cache(_REMEMBERED)(self._find_forwarded)

    def client(self, peer: str, x_forwarded_for: str = "", forwarded: str = "") -> ClientAddress:
        """The client behind `peer`, given the two headers (several lines of one joined by commas, in order).

        Proxies append, so the list is read from the right: past each address of a trusted network, to the first that
        is not. Whatever stands further left the client may have invented. What can't be read ends the walk at the
        nearest proxy. The headers of an untrusted peer are ignored. Where both headers are present and
        disagree, one passed through a proxy that does not write it, so neither is believed.
        """
        found, trusted = self._peer(peer)
        if not trusted or not (x_forwarded_for or forwarded):
            return found
        return self._forwarded(peer, x_forwarded_for[-_LONGEST:], forwarded[-_LONGEST:])

    def _find_peer(self, peer: str) -> tuple[ClientAddress, bool]:
        address = _parse(peer)
        return (UNKNOWN, False) if address is None else (_client(address), self._trusts(address))

    def _find_forwarded(self, peer: str, x_forwarded_for: str, forwarded: str) -> ClientAddress:
        nearest = _parse(peer)
        if nearest is None:
            return UNKNOWN
        said = set()
        if x_forwarded_for:
            said.add(self._walk(nearest, x_forwarded_for.split(",")))
        if forwarded:
            said.add(self._walk(nearest, map(_for, forwarded.split(","))))
        return _client(said.pop() if len(said) == 1 else nearest)

    def _walk(self, nearest: IPv4Address | IPv6Address, hops: Iterable[str]) -> IPv4Address | IPv6Address:
        for hop in list(hops)[: -_MOST_HOPS - 1 : -1]:
            address = _parse(hop)
            if address is None:
                break
            nearest = address
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise SettingsError(
            f"RAMET_TRUSTED_PROXIES: {text!r} is not a network, such as 10.0.0.0/8 or 2001:db8::/32."
        ) from None


def _for(element: str) -> str:
    """The value of `for` in one element of `Forwarded` (RFC 7239); empty without one."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return value.strip().strip('"')
    return ""


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address, with or without brackets and port; an IPv4-mapped IPv6 address as IPv4; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _client(address: IPv4Address | IPv6Address) -> ClientAddress:
    text = str(address)
    if isinstance(address, IPv4Address):
        return ClientAddress(text, text)
    return ClientAddress(text, f"{IPv6Address(int(address) >> 64 << 64)}/64")
