"""The address that a request comes from, by the proxies that are trusted. Pure."""

import ipaddress
from collections.abc import Sequence

from wd_server.config.variables import Network

# A provider gives one customer this many: counting single IPv6 addresses would limit nobody.
IPV6_CUSTOMER_BITS = 64
# Entries of X-Forwarded-For that are read, from the right: no request passes more proxies.
FORWARDED_MAX = 32

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """An IPv4 address, or an IPv6 network of 64 bits, as text.

    `peer` is who is connected, `forwarded` the request's X-Forwarded-For (several joined by
    commas). It counts only if the peer is one of `trusted`; then the client is the rightmost entry
    that isn't a trusted proxy, because all left of it may be invented. An entry that is no address
    was written by the last proxy believed, whose address stands instead. A peer without an address
    (a Unix socket) is `local`.
    """
    address = _parse(peer)
    if address is None:
        return "local"
    entries = forwarded.rsplit(",", FORWARDED_MAX)[-FORWARDED_MAX:] if forwarded else []
    while entries and _is_trusted(address, trusted):
        further = _parse(entries.pop())
        if further is None:
            break
        address = further
    return _customer(address)


def _parse(text: str) -> _Address | None:
    """With or without brackets, port and zone; IPv4 within IPv6 is the IPv4 address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_trusted(address: _Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _customer(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_CUSTOMER_BITS), strict=False))
