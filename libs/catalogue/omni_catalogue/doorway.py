"""Who may come to a listener at all, whatever they ask for: by address, by the host they ask, by the page they are on.

Made of the configuration, for the edge and the dashboard alike. What is refused here is refused before anybody is asked
who it is.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address

from omni_wire.errors import GatewayError, InvalidRequest, PermissionDenied

from omni_catalogue.guard import ALLOW, FORWARDED, Cors
from omni_catalogue.networks import Address, Network, address, client_address, forwarded_hops, networks, within
from omni_catalogue.snapshot import Server

Head = Sequence[tuple[bytes, bytes]]

# Names below these are nobody's in the public DNS: none can be bought and pointed at a machine of ours.
_PRIVATE_ENDS = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test")
_REMEMBERED = 16_384  # clients, by what was said of them
_MOST_SAID = 256  # characters that are remembered of one: a header may have 64 KB, and another for each request
_METHODS = ("GET", "HEAD", "POST")
_HEADERS = (
    "authorization", "content-type", "x-api-key", "x-goog-api-key", "x-request-id", "anthropic-version",
    "anthropic-beta", "idempotency-key", "openai-beta",
)  # fmt: skip
_EXPOSED = b"x-request-id, retry-after, ratelimit, ratelimit-policy, server-timing, etag, link, location"


class Doorway:
    """``active`` is whether ``check`` or ``Origins`` could have anything to say at all."""

    def __init__(self, server: Server) -> None:
        """Raises ``ValueError`` for networks that are none."""
        self._trusted = networks(server.trusted_proxies)
        self._reads_forwarded = server.trusted_header == FORWARDED
        self._header = server.trusted_header.encode()
        self._listed = Held((network, 0) for network in networks(server.addresses.networks))
        self._allows = server.addresses.mode == ALLOW
        self._bans = Held((network, ban.until) for ban in server.bans for network in networks((ban.network,)))
        self._client_of = lru_cache(_REMEMBERED)(self._read_client)
        self._names = frozenset(name for name in server.hosts if not name.startswith("*."))
        self._ends = tuple(name[1:] for name in server.hosts if name.startswith("*."))
        self.names_hosts = bool(server.hosts)
        self.filters = bool(server.addresses.networks or server.bans)
        self.models = Origins(server.cors)
        self.management = Origins(server.management_cors)
        self.active = self.filters or self.names_hosts or self.models.any or self.management.any

    def client(self, peer: str, headers: Head) -> Address | None:
        """Where a request comes from, as far as those say whose word counts. See ``networks.client_address``."""
        if not self.is_proxy(peer):  # nobody's word is looked at, nor kept
            return _peer(peer)
        hops = tuple(self.hops(headers))
        read = self._client_of if sum(map(len, hops)) <= _MOST_SAID else self._read_client
        return read(peer, hops)

    def _read_client(self, peer: str, hops: tuple[str, ...]) -> Address | None:
        return client_address(peer, hops, self._trusted)

    def hops(self, headers: Head) -> list[str]:
        said = [value.decode("latin-1") for name, value in headers if name == self._header]
        return forwarded_hops(said) if self._reads_forwarded else said

    def is_proxy(self, peer: str) -> bool:
        found = _peer(peer) if self._trusted else None
        return found is not None and within(found, self._trusted)

    @property
    def trusted(self) -> tuple[Network, ...]:
        return self._trusted

    def check(self, peer: str, headers: Head, now: int) -> None:
        """Whether whoever sends this may come in. ``now`` in epoch seconds. Raises ``InvalidRequest``,
        ``PermissionDenied``."""
        if self.names_hosts and not self._is_named(_host(headers)):
            raise wrong_host()
        if not self.filters:
            return
        client = self.client(peer, headers)
        if client is None or self._is_kept_out(client, now):
            raise PermissionDenied(
                f"Requests from {client or 'an unknown address'} are not taken here.", code="address_not_allowed"
            )

    def _is_kept_out(self, client: Address, now: int) -> bool:
        if any(not until or now < until for until in self._bans.of(client)):
            return True
        return bool(self._listed) and bool(self._listed.of(client)) is not self._allows

    def _is_named(self, host: str) -> bool:
        return host in self._names or host.endswith(self._ends) or _is_literal(host) or host in ("", "localhost")


class Held:
    """Networks, each with a number, found by what an address begins with: as many looks as there are lengths of
    prefixes, however many networks."""

    def __init__(self, networks: Iterable[tuple[Network, int]]) -> None:
        self._tables: dict[int, dict[int, dict[int, list[int]]]] = {4: {}, 6: {}}
        for network, number in networks:
            rest = network.max_prefixlen - network.prefixlen
            table = self._tables[network.version].setdefault(rest, {})
            table.setdefault(int(network.network_address) >> rest, []).append(number)

    def __bool__(self) -> bool:
        return any(self._tables.values())

    def of(self, found: Address) -> list[int]:
        """The numbers of all that it is in."""
        bits = int(found)
        return [
            number for rest, table in self._tables[found.version].items() for number in table.get(bits >> rest, ())
        ]  # fmt: skip


class Origins:
    """Cross-origin reading, as browsers have it (fetch.spec.whatwg.org)."""

    def __init__(self, cors: Cors) -> None:
        self.any = bool(cors.origins)
        self._all = "*" in cors.origins
        self._known = frozenset(origin.encode() for origin in cors.origins)
        self._credentials = cors.credentials and not self._all
        self._methods = ", ".join(cors.methods or _METHODS).encode()
        self._headers = ", ".join(cors.headers or _HEADERS).encode()
        self._age = b"%d" % cors.max_age

    def preflight(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """What answers a browser that asks first; nothing that lets it go on for an origin that is not known."""
        if not self._allows(origin):
            return [(b"vary", b"Origin")]
        return [
            *self._allowed(origin),
            (b"access-control-allow-methods", self._methods),
            (b"access-control-allow-headers", self._headers),
            (b"access-control-max-age", self._age),
        ]

    def headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """What every answer says to a page of ``origin``."""
        if not self._allows(origin):
            return [(b"vary", b"Origin")]
        return [*self._allowed(origin), (b"access-control-expose-headers", _EXPOSED)]

    def _allows(self, origin: bytes) -> bool:
        return self._all or origin in self._known

    def _allowed(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        if self._all:
            return [(b"access-control-allow-origin", b"*")]
        more = [(b"access-control-allow-credentials", b"true")] if self._credentials else []
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), *more]


def origin_of(headers: Head) -> bytes:
    return next((value for name, value in headers if name == b"origin"), b"")


def is_preflight(method: str, headers: Head) -> bool:
    return method == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in headers)


def is_rebound(headers: Head, own: str) -> bool:
    """Whether a request that came to the loopback address ``own`` was meant for a name of the public DNS: then a page
    of that name has had it pointed at this machine, to read what only this machine may."""
    here = _peer(own)
    if here is None or not here.is_loopback:
        return False
    host = _host(headers)
    return "." in host and not host.endswith(_PRIVATE_ENDS) and not _is_literal(host)


def wrong_host() -> GatewayError:
    return InvalidRequest(
        "This gateway does not answer for that host: server.hosts names those for which it does, "
        "server.trusted_proxies the proxy that sends it.",
        status=421,
        code="host_not_allowed",
    )


def _host(headers: Head) -> str:
    """The name that a request is for, in lower case and without a port."""
    value = next((value for name, value in headers if name == b"host"), b"").strip().lower().decode("latin-1")
    if value.startswith("["):
        return value[: value.find("]") + 1]
    return value.partition(":")[0].rstrip(".")


@lru_cache(1024)
def _is_literal(host: str) -> bool:
    """An address is no name that anybody could have pointed elsewhere."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


@lru_cache(65_536)
def _peer(text: str) -> Address | None:
    return address(text)
