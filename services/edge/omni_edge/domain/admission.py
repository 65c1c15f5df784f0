"""Whose a key is, and whether it may be used here and now: for this endpoint, from this address, at this time."""

import msgspec
from omni_catalogue.networks import Address, Network, networks
from omni_catalogue.scopes import Scopes
from omni_wire.errors import GatewayError, PermissionDenied, Unauthenticated

WRONG_KEY = "The API key is wrong: it is not a key of this gateway, it was revoked, or it has expired."


class Holder(msgspec.Struct, frozen=True, gc=False):
    """Who presented a key. ``limited`` is whether ``refusal`` could have anything to say."""

    key_id: str
    limited: bool = False
    endpoints: frozenset[str] = frozenset()
    ips: tuple[Network, ...] = ()
    expires: int = 0

    def refusal(self, endpoint: str, client: Address | None, now: int) -> GatewayError | None:
        """Why not. ``client`` is None where it is not known, which is nowhere; ``now`` in epoch seconds."""
        if 0 < self.expires <= now:
            return Unauthenticated(WRONG_KEY)
        if self.ips and (client is None or not any(client in network for network in self.ips)):
            return PermissionDenied(
                f"This API key may not be used from {client or 'an unknown address'}.", code="address_not_allowed"
            )
        if self.endpoints and endpoint not in self.endpoints:
            return PermissionDenied(
                f"This API key may not use the endpoint '{endpoint}'; it may use: {', '.join(sorted(self.endpoints))}.",
                code="endpoint_not_allowed",
            )
        return None


def holder(key_id: str, scopes: Scopes) -> Holder:
    """Raises ``ValueError`` for networks that are none: better nobody than anybody."""
    limited = bool(scopes.endpoints or scopes.ips or scopes.expires)
    return Holder(key_id, limited, frozenset(scopes.endpoints), networks(scopes.ips), scopes.expires)
