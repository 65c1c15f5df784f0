"""Which addresses a provider may have: loopback, private and otherwise special ones only where allowed.

Every resolved address is checked, and the connection goes to the address that was checked, so a name cannot be
rebound in between. IPv4 in IPv6 clothing (mapped, 6to4, NAT64) counts as the IPv4 address inside.
"""

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from omni_wire.errors import UpstreamUnreachable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address literal is an ordinary public one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = (
            ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        )
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def check_literal(host: str) -> None:
    """Refuse a host that is itself a special address, in any spelling the C library accepts (octal, decimal, short)."""
    try:
        literal = socket.inet_ntoa(socket.inet_aton(host)) if ":" not in host else host
        public = is_public(literal)
    except (OSError, ValueError):
        return  # a name: the resolver checks what it stands for
    if not public:
        raise _refused(host)


def _refused(host: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(
        f"{host} is a loopback or private address; the provider needs allow_private_address: true",
        code="address_refused",
    )


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only."""

    def __init__(self) -> None:
        self._inner = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(entry["host"]) for entry in found):
            raise _refused(host)
        return found

    async def close(self) -> None:
        await self._inner.close()
