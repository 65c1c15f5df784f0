"""Who a process is to the others: the services that it runs, and how it proves that.

With TLS its certificate says it, in URI names that the CA has vouched for. Without, every call carries a token made
for these names from the shared one (HMAC-SHA-256), so that the shared one itself never crosses a wire; whoever holds
that can make a token for any name, which is why only certificates keep a service in its place (ADR 13).
"""

import hashlib
import hmac
from collections.abc import Iterable

import msgspec

from omni_core.tls import Tls

TRUST_DOMAIN = "omniroute"
SERVICES = ("edge", "router", "translator", "quota", "auth", "analytics", "dashboard")

TOKEN_METADATA = "omniroute-service-token"  # noqa: S105 — the name of the header, not a token

_PREFIX = f"spiffe://{TRUST_DOMAIN}/"


def spiffe(service: str) -> str:
    """The URI name of a service in certificates, "spiffe://omniroute/router"."""
    return _PREFIX + service


def service_of(uri: str) -> str:
    """The service that a URI name is of; "" when it is none of ours."""
    service = uri.removeprefix(_PREFIX) if uri.startswith(_PREFIX) else ""
    return service if service in SERVICES else ""


class Caller(msgspec.Struct, frozen=True):
    """``services`` are those that the process runs, ``token`` the shared one, ``tls`` its certificate where it has
    one."""

    services: tuple[str, ...]
    token: str
    tls: Tls | None = None

    def __repr__(self) -> str:
        return f"Caller({self.services!r})"

    def metadata(self) -> tuple[tuple[str, str]]:
        """What every call of this process carries."""
        return ((TOKEN_METADATA, proof(self.token, self.services)),)


def proof(token: str, services: Iterable[str]) -> str:
    """The token of a process that runs ``services``: "edge+router.<hex>", or ".<hex>" for one that runs none."""
    names = "+".join(sorted(services))
    return f"{names}.{hmac.new(token.encode(), b'omniroute service ' + names.encode(), hashlib.sha256).hexdigest()}"


class Proofs:
    """Tells whose a token is. Those that were good are remembered: there are as many as kinds of processes."""

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("a service token must not be empty")
        self._token = token
        self._known: dict[str, tuple[bytes, frozenset[str]]] = {}

    def services(self, presented: str | bytes) -> frozenset[str] | None:
        """The services of the process that presents it; None when it is no token of ours."""
        given = presented.encode() if isinstance(presented, str) else presented
        names = given.partition(b".")[0].decode("ascii", "replace")
        known = self._known.get(names)
        if known is None:
            services = frozenset(names.split("+")) if names else frozenset()
            if not services <= set(SERVICES):
                return None
            known = (proof(self._token, services).encode(), services)
            if known[0].startswith(names.encode() + b"."):  # in order and each once: one spelling for each set
                self._known[names] = known
        return known[1] if hmac.compare_digest(given, known[0]) else None
