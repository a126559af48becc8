"""Whose request it is, as far as addresses tell: through proxies that are trusted, and not an inch further.

Pure functions of what the connection and its headers say; which proxies are trusted is a setting.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from config.values import Network

Address = IPv4Address | IPv6Address

# What an IPv6 subscriber is given is at least a /64, of which any address may be used (RFC 6177, 2).
SUBSCRIBER_PREFIX = 64


def client_behind(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Give the address of the client: the right-most hop of ``X-Forwarded-For`` that is no trusted proxy.

    ``peer`` is who is connected, ``forwarded`` all headers of that name in their order. Each proxy appends whom it
    was asked by, so reading from the right, every entry is the word of a hop that is trusted; the first that is not
    trusted is the client, and what stands left of it is only its claim. Where a trusted proxy wrote no address at
    all, it is itself as far as can be seen. Addresses come back in their shortest form, those of IPv4 within IPv6
    as IPv4.
    """
    found = _parsed(peer)
    if found is None:
        return peer
    for hop in reversed([part for header in forwarded for part in header.split(",")]):
        if not _is_in(found, trusted):
            break
        before = _parsed(hop)
        if before is None:
            break
        found = before
    return str(found)


def subscriber(address: str) -> str:
    """Give what stands for all addresses that one client can take at will: itself, or its IPv6 network."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found) >> SUBSCRIBER_PREFIX << SUBSCRIBER_PREFIX, SUBSCRIBER_PREFIX)))
    return address


def _parsed(text: str) -> Address | None:
    """Read an address, perhaps with a port as some proxies write it: ``192.0.2.1:50000``, ``[2001:db8::1]:50000``."""
    plain = text.strip()
    if plain.startswith("["):
        plain = plain[1:].partition("]")[0]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]
    try:
        found = ip_address(plain)
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
