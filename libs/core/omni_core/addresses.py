"""Which addresses may be connected to: loopback, private and otherwise special ones only where allowed.

Every resolved address is checked, and the connection goes to the address that was checked, so a name cannot be
rebound in between. IPv4 in IPv6 clothing (mapped, compatible, translated, 6to4, Teredo, ISATAP, NAT64) counts as the
IPv4 address inside, and so does whatever else leads there.

Where clouds tell machines their secrets is connected to for nobody: a private address that is meant is never that one.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from omni_catalogue.networks import Network, within
from omni_wire.errors import UpstreamUnreachable

# The last 32 bits are an IPv4 address: NAT64 (RFC 6052), the old "IPv4-compatible" form (RFC 4291, 2.5.5.1), and
# "IPv4-translated" (RFC 2765).
_CARRYING_IPV4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
# Networks that ``is_global`` takes for ordinary, or that lead to a place a gateway chooses.
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "192.0.0.0/24",  # protocol assignments, Oracle's metadata among them
            "64:ff9b:1::/48",  # NAT64 with a prefix of one's own (RFC 8215)
            "2001::/32",  # Teredo: through whichever server it names
            "3fff::/20",  # documentation (RFC 9637)
            "5f00::/16",  # segment routing (RFC 9602)
            "fec0::/10",  # site-local, as it was
        ),
    )
)
# Of clouds: AWS, GCP, Azure and most others, AWS' containers, Alibaba, Azure's wire server, Oracle, AWS over IPv6.
_METADATA = tuple(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
            "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
        ),
    )
)  # fmt: skip
_ISATAP = (0x00005EFE, 0x02005EFE)  # bits 64 to 95 (RFC 5214)
_TTL = 60.0
_MAX_NAMES = 4096


def is_public(address: str) -> bool:
    """Whether an IP address literal is an ordinary public one."""
    return all(_is_ordinary(ip) for ip in _reached(address))


def is_metadata(address: str) -> bool:
    """Whether it is where a cloud tells machines about themselves."""
    return any(ip in _METADATA for ip in _reached(address))


def _is_ordinary(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and ip not in _METADATA and not within(ip, _SPECIAL)


def _reached(address: str) -> list[IPv4Address | IPv6Address]:
    """The address, or the IPv4 addresses in it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, IPv4Address):
        return [ip]
    number = int(ip)
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if any(ip in network for network in _CARRYING_IPV4):
        return [IPv4Address(number & 0xFFFFFFFF)]
    if ip.sixtofour is not None:
        return [ip.sixtofour]
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        return [ip, IPv4Address(number & 0xFFFFFFFF)]
    return [ip]


def literal_of(host: str) -> str:
    """The address that a host is itself, in any spelling the C library accepts (octal, decimal, hex, short); "" for a
    name."""
    host = host.strip("[]").rstrip(".")
    try:
        return host if _is_address(host) else socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _refused(host: str) -> UpstreamUnreachable:
    return UpstreamUnreachable(
        f"{host} is a loopback or private address; it needs allow_private_address: true",
        code="address_refused",
    )


class Resolver:
    """Names to addresses, remembered for a minute. ``allowed`` are special addresses that anybody may connect to, by
    the word of who runs this process."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    def check_literal(self, host: str, *, allow_private: bool) -> None:
        """Refuse a host that is itself an address nobody may connect to. Raises ``UpstreamUnreachable``."""
        if literal := literal_of(host):
            self._check(host, literal, allow_private)

    async def resolve(self, host: str, port: int, *, allow_private: bool) -> list[str]:
        """Address literals in the order to try them, at least one.

        Raises ``UpstreamUnreachable`` when the name is unknown, or when it stands for even one special address and
        ``allow_private`` is False.
        """
        self.check_literal(host, allow_private=allow_private)
        now = asyncio.get_running_loop().time()
        until, addresses = self._known.get((host, port), (0.0, []))
        if now >= until:
            addresses = await _look_up(host, port)
            if len(self._known) >= _MAX_NAMES:
                self._known.clear()
            self._known[host, port] = (now + _TTL, addresses)
        # Checked at every use: the same name may be asked for by a provider that is allowed more.
        for address in addresses:
            self._check(host, address, allow_private)
        return addresses

    def _check(self, host: str, address: str, allow_private: bool) -> None:
        if is_public(address) or any(within(ip, self._allowed) for ip in _reached(address)):
            return
        if is_metadata(address):
            told = f"{host} is where a cloud keeps its machines' secrets, which nobody is connected to"
            raise UpstreamUnreachable(told, code="address_refused")
        if not allow_private:
            raise _refused(host)

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
