"""Whose address counts: proxies that are trusted, claims that are not, and every way to write an address."""

from ipaddress import ip_network

import pytest

from handlers.client_address import client_behind, subscriber

NOBODY = ()
PROXIES = (ip_network("10.0.0.0/8"), ip_network("192.0.2.7/32"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "client"),
    [
        # Nobody is trusted: whatever is claimed.
        ("203.0.113.5", [], NOBODY, "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], NOBODY, "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], PROXIES, "203.0.113.5"),
        # One proxy.
        ("10.0.0.1", ["203.0.113.5"], PROXIES, "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.5"], PROXIES, "203.0.113.5"),
        ("10.0.0.1", ["10.0.0.9, 203.0.113.5"], PROXIES, "203.0.113.5"),
        # Several, in one header or more.
        ("10.0.0.1", ["198.51.100.1, 203.0.113.5, 192.0.2.7"], PROXIES, "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.5", "192.0.2.7,10.0.0.2"], PROXIES, "203.0.113.5"),
        ("10.0.0.1", ["203.0.113.5, 192.0.2.8"], PROXIES, "192.0.2.8"),
        # All are trusted: the farthest that is known.
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], PROXIES, "10.0.0.3"),
        ("10.0.0.1", [], PROXIES, "10.0.0.1"),
        # What is no address ends the walk at the last that was.
        ("10.0.0.1", ["203.0.113.5, unknown"], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5, unknown, 10.0.0.2"], PROXIES, "10.0.0.2"),
        ("10.0.0.1", [""], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5,"], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.555"], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.٥"], PROXIES, "10.0.0.1"),
        # Ports, brackets, IPv6, and IPv4 within it.
        ("10.0.0.1", ["203.0.113.5:51000"], PROXIES, "203.0.113.5"),
        ("10.0.0.1", ["[2001:db8::1]:51000"], PROXIES, "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], PROXIES, "2001:db8::1"),
        ("fd00::1", ["2001:DB8:0:0::1"], PROXIES, "2001:db8::1"),
        ("::ffff:10.0.0.1", ["203.0.113.5"], PROXIES, "203.0.113.5"),
        ("10.0.0.1", ["::ffff:203.0.113.5"], PROXIES, "203.0.113.5"),
        # A local socket has no address.
        ("", ["203.0.113.5"], PROXIES, ""),
    ],
)
def test_s32_client_is_the_right_most_hop_that_is_not_trusted(peer, forwarded, trusted, client):
    assert client_behind(peer, forwarded, trusted) == client


@pytest.mark.parametrize(
    ("address", "stands_for"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("", ""),
    ],
)
def test_ipv6_subscriber_is_their_network(address, stands_for):
    assert subscriber(address) == stands_for
