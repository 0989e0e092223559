"""Whose address a request comes from."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.access.addresses import client_address

TRUSTED = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "::1/128", "2001:db8:1::/48")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        # Only a proxy that is trusted is believed.
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        # What stands left of the rightmost stranger may be invented.
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("10.0.0.1", "10.2.3.4, 10.5.6.7", "10.2.3.4"),
        # What is no address was written by the last proxy that is believed.
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, , 10.1.1.1", "10.1.1.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        # IPv6 by what one customer has; IPv4 within IPv6 is IPv4.
        ("2001:db8::aaaa:1", "", "2001:db8::/64"),
        ("2001:db8::bbbb:2", "", "2001:db8::/64"),
        ("fe80::1%eth0", "", "fe80::/64"),
        ("::ffff:192.0.2.7", "", "192.0.2.7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("::1", "[2001:db8:2::5]:443", "2001:db8:2::/64"),
        ("2001:db8:1::5", "198.51.100.1", "198.51.100.1"),
        # A Unix socket has none.
        ("", "198.51.100.1", "local"),
    ],
)
def test_the_client_is_the_rightmost_that_is_no_trusted_proxy(
    peer: str, forwarded: str, client: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert client_address("127.0.0.1", "198.51.100.1", []) == "127.0.0.1"


def test_a_long_row_of_proxies_costs_no_more_than_a_short_one() -> None:
    assert client_address("10.0.0.1", "198.51.100.1," + "10.0.0.1," * 50_000 + "10.0.0.2", TRUSTED)


@given(st.text(), st.text())
def test_any_text_gives_an_address_or_local(peer: str, forwarded: str) -> None:
    for each in (client_address(peer, forwarded, TRUSTED), client_address("::1", peer, TRUSTED)):
        assert each == "local" or ipaddress.ip_network(each)
