"""Where a request comes from: addresses, networks, and whose word on them counts.

An IPv4 address in IPv6's clothes (``::ffff:192.0.2.1``, RFC 4291 section 2.5.5.2) is the IPv4 address it stands for.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Hops that are looked at; nobody has as many proxies of their own.
_MOST_HOPS = 64


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Each a network in CIDR or one address. Raises ``ValueError``, also where bits of a host are set."""
    return tuple(map(_network, texts))


def _network(text: str) -> Network:
    found = ip_network(text)
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) and found.prefixlen >= 96 else None
    return ip_network((mapped, found.prefixlen - 96)) if mapped is not None else found


def address(text: str) -> Address | None:
    """What ``text`` names, also with a port as some proxies write it; None when that is no address."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def within(found: Address, ranges: Sequence[Network]) -> bool:
    return any(found in network for network in ranges)  # one of the other family holds no address of this one


def forwarded_hops(values: Iterable[str]) -> list[str]:
    """The hops that ``Forwarded`` (RFC 7239) names, as ``X-Forwarded-For`` has them. It is cut at every comma, also at
    one that somebody has put between quotes: what our own proxies say comes last, and has none."""
    hops = []
    for element in (element for value in values for element in value.split(",")):
        said = [pair.partition("=") for pair in element.split(";")]
        hops.append(next((value for name, _, value in said if name.strip().lower() == "for"), ""))
    return hops


@lru_cache(16_384)
def counted_as(found: Address) -> str:
    """Under which name a client is counted: an IPv6 address with all of its /64, which is one subscriber's."""
    if isinstance(found, IPv4Address):
        return str(found)
    return str(IPv6Address(int(found) >> 64 << 64)) + "/64"


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """Who sent a request that came from ``peer``. ``forwarded`` are the values of its ``X-Forwarded-For``, in order
    (or ``forwarded_hops``).

    A header is anybody's to write, so only proxies in ``trusted`` are believed: the last hop named by one of them that
    is none itself. None when what they say cannot be read, or there is no peer.
    """
    found = address(peer)
    if found is None or not within(found, trusted):
        return found
    hops = [hop for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops[-_MOST_HOPS:]):
        found = address(hop)
        if found is None or not within(found, trusted):
            return found
    return found
