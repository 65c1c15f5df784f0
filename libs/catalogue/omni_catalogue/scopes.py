"""What a key is kept to beside its models and its limits: providers, endpoints, addresses, areas of the management
API, and an end."""

from fnmatch import fnmatchcase

import msgspec
from omni_wire.errors import PermissionDenied

from omni_catalogue.networks import networks

# What a key's ``endpoints`` may name. Every surface that takes a key belongs to one of them.
ENDPOINTS = ("chat", "responses", "messages", "gemini", "ollama", "count_tokens", "models")

# The areas of ``/api/*``, and the words of a key's ``management``: an area, or its reading alone.
AREAS = ("usage", "keys", "quota", "system", "config", "audit", "bodies", "people")
MANAGEMENT = tuple(word for area in AREAS for word in (area, f"{area}:read"))


class Scopes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Each is empty where everything is allowed. ``providers`` are glob patterns over provider ids, ``endpoints``
    words of ``ENDPOINTS``, ``ips`` networks in CIDR that a client must be in, ``management`` words of ``MANAGEMENT``,
    which take from what the key's role may do; ``expires`` is in epoch seconds, 0 for never.
    """

    providers: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    management: tuple[str, ...] = ()
    expires: int = 0

    def has_provider(self, provider_id: str) -> bool:
        return not self.providers or any(fnmatchcase(provider_id, pattern) for pattern in self.providers)

    def may_manage(self, area: str, write: bool) -> bool:
        return not self.management or area in self.management or (not write and f"{area}:read" in self.management)

    def gives(self, other: "Scopes") -> bool:
        """Whether whoever manages by these may hand out ``other`` to manage by: no more areas, from no more networks,
        and for no longer."""
        words = [word.partition(":") for word in other.management]
        return (
            (not self.management or (bool(words) and all(self.may_manage(area, not read) for area, _, read in words)))
            and (not self.ips or (bool(other.ips) and all(map(self._holds, other.ips))))
            and (not self.expires or 0 < other.expires <= self.expires)
        )

    def _holds(self, network: str) -> bool:
        """Whether one of our networks has all of it."""
        try:
            (inner,) = networks((network,))
        except ValueError:
            return False
        # By their bounds: ``subnet_of`` is for two of one family.
        return any(
            inner.version == outer.version and inner[0] in outer and inner[-1] in outer for outer in networks(self.ips)
        )

    def has_expired(self, now: int) -> bool:
        """``now`` in epoch seconds."""
        return 0 < self.expires <= now


ANY = Scopes()
DEVELOPER = "developer"  # the role of keys that manage nothing


def may_hand_out(scopes: Scopes, role: str, other: Scopes, doing: str = "hand out") -> None:
    """Whether a key's holder may have the secret of one with that role and ``other`` scopes, change it or end it: one
    that manages no more than the holder's does. Raises ``PermissionDenied``."""
    if role != DEVELOPER and not scopes.gives(other):
        raise PermissionDenied(
            f"this key may only {doing} keys that manage no more than it does itself, from no more networks and for no "
            "longer"
        )
