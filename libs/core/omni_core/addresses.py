"""Which addresses a provider may have: loopback, private and otherwise special ones only where allowed.

Every resolved address is checked, and the connection goes to the address that was checked, so a name cannot be
rebound in between. IPv4 in IPv6 clothing (mapped, 6to4, NAT64) counts as the IPv4 address inside.
"""

import asyncio
import ipaddress
import socket

from omni_wire.errors import UpstreamUnreachable

# NAT64, and the old "IPv4-compatible" form (RFC 4291, 2.5.5.1).
_CARRYING_IPV4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
_TTL = 60.0
_MAX_NAMES = 4096


def is_public(address: str) -> bool:
    """Whether an IP address literal is an ordinary public one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and any(ip in network for network in _CARRYING_IPV4):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
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
        f"{host} is a loopback or private address; it needs allow_private_address: true",
        code="address_refused",
    )


class Resolver:
    """Names to addresses, remembered for a minute."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    async def resolve(self, host: str, port: int, *, allow_private: bool) -> list[str]:
        """Address literals in the order to try them, at least one.

        Raises ``UpstreamUnreachable`` when the name is unknown, or when it stands for even one special address and
        ``allow_private`` is False.
        """
        if not allow_private:
            check_literal(host)
        now = asyncio.get_running_loop().time()
        until, addresses = self._known.get((host, port), (0.0, []))
        if now >= until:
            addresses = await _look_up(host, port)
            if len(self._known) >= _MAX_NAMES:
                self._known.clear()
            self._known[host, port] = (now + _TTL, addresses)
        # Checked at every use: the same name may be asked for by a provider that is allowed more.
        if not allow_private and not all(map(is_public, addresses)):
            raise _refused(host)
        return addresses

    def forget(self, host: str, port: int) -> None:
        """None of the addresses answered; look the name up again next time."""
        self._known.pop((host, port), None)


async def _look_up(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UpstreamUnreachable(f"{host} has no address ({type(error).__name__})") from error
    # A link-local address is complete only with its zone, which getaddrinfo gives as the fourth field.
    literals = [
        f"{where[0]}%{where[3]}" if len(where) == 4 and where[3] and "%" not in str(where[0]) else str(where[0])
        for _, _, _, _, where in found
    ]
    if not literals:
        raise UpstreamUnreachable(f"{host} has no address")
    return list(dict.fromkeys(literals))
