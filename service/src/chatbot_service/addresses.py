"""Whose request it is, by address: the peer's or, behind proxies that are trusted, the one that the last of them saw.

Pure. What a client itself writes into X-Forwarded-For stands left of that and is never looked at.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

MAX_HOPS = 20
"""Looked at from the right; no request has been through more proxies than that."""
CACHED_ADDRESSES = 4_096
CACHED_BYTES = 256
"""A longer header is read anew each time."""


class Proxies:
    """The networks whose X-Forwarded-For is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = [ip_network(network) for network in trusted]
        self._find_cached = lru_cache(CACHED_ADDRESSES)(self._find)

    def client_ip(self, peer: str, forwarded: bytes) -> str:
        """Return the address of the client behind `peer`: of `forwarded`, the rightmost that is not a trusted proxy's."""
        if not self._networks:
            return peer.removeprefix("::ffff:")
        find = self._find_cached if len(forwarded) <= CACHED_BYTES else self._find
        return find(peer, forwarded)

    def _find(self, peer: str, forwarded: bytes) -> str:
        client = peer.removeprefix("::ffff:")
        hops = forwarded.decode("latin-1").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
        for text in (peer, *reversed([hop.strip() for hop in hops if hop.strip()])):
            address, is_proxy = self._judge(text)
            client = address or client
            if not is_proxy:
                break
        return client

    def _judge(self, text: str) -> tuple[str | None, bool]:
        """Return the address in `text` as it is usually written, None when there is none, and whether it is a proxy's."""
        try:
            address = parse_address(text)
        except ValueError:
            return None, False
        return str(address), any(address in network for network in self._networks)


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return the address in `text`, without the port that some proxies add; raises ValueError."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = ip_address(text)
    return (address.ipv4_mapped if address.version == 6 else None) or address


@lru_cache(CACHED_ADDRESSES)
def network_of(address: str) -> str:
    """Return what stands for the client at `address`: that, or of an IPv6 address its /64, in which one host may have every address."""
    if ":" not in address:
        return address
    return f"{int(IPv6Address(address)) >> 64:x}::/64"
