"""Who may do what. A route names the role it needs; anything else is denied."""

import re
from collections.abc import Sequence

from omni_catalogue.networks import Network, client_address, networks, within
from omni_catalogue.scopes import DEVELOPER as DEVELOPER
from omni_catalogue.scopes import Scopes
from omni_wire.errors import PermissionDenied, Unauthenticated

ADMIN = "admin"
# Whoever runs the gateway: its admins see and change what all organisations use.
PLATFORM = "default"
_ELSEWHERE = "organisation_not_allowed"
_RANK = {DEVELOPER: 1, ADMIN: 2}

MAX_KEY = 512
_BEARER = re.compile(rb"(?i:bearer)[ \t]+(\S+)[ \t]*")


def allow(role: str, needed: str) -> None:
    """Raises ``PermissionDenied``; a role this version does not know may do nothing."""
    if _RANK.get(role, 0) < _RANK[needed]:
        raise PermissionDenied(f"this needs a key with the role {needed}")


def allow_area(scopes: Scopes, area: str, write: bool) -> None:
    """Raises ``PermissionDenied`` where a key's own scopes take from what its role may do. Without an area anyone may
    who is known."""
    if area and not scopes.may_manage(area, write):
        raise PermissionDenied(
            f"this key may not {'change' if write else 'read'} {area}: it may manage {', '.join(scopes.management)}",
            code="area_not_allowed",
        )


def actor(key_id: str, name: str) -> str:
    """Who does something, for the audit log."""
    return f"key:{key_id} ({name})"


def organisation_of(own: str, asked: str) -> str:
    """Whose things are meant: one's own, or those that the platform asks for. Raises ``PermissionDenied``."""
    if asked and own not in (asked, PLATFORM):
        raise PermissionDenied("this key is of another organisation", param="organisation", code=_ELSEWHERE)
    return asked or own


def platform_only(own: str, what: str) -> None:
    """Raises ``PermissionDenied`` for whoever is of another organisation than runs the gateway."""
    if own != PLATFORM:
        raise PermissionDenied(f"only who runs the gateway may {what}", code=_ELSEWHERE)


def admit(scopes: Scopes, peer: str, forwarded: Sequence[str], trusted: Sequence[Network], now: int) -> None:
    """Whether a key may be used now (epoch seconds) from where the request comes: see ``client_address``.

    Raises ``Unauthenticated``, ``PermissionDenied``.
    """
    if scopes.has_expired(now):
        raise Unauthenticated("this API key has expired")
    if scopes.ips:
        client = client_address(peer, forwarded, trusted)
        if client is None or not within(client, networks(scopes.ips)):
            raise PermissionDenied(
                f"this key may not be used from {client or 'an unknown address'}", code="address_not_allowed"
            )


def presented_key(authorization: bytes, x_api_key: bytes) -> bytes:
    """The key in ``Authorization: Bearer`` or ``x-api-key``. Raises ``Unauthenticated`` when there is none."""
    found = _BEARER.fullmatch(authorization.strip())
    key = found.group(1) if found else x_api_key.strip()
    if not key:
        raise Unauthenticated("no API key: send it as 'Authorization: Bearer …' or 'x-api-key: …'")
    if len(key) > MAX_KEY:
        raise Unauthenticated("this API key is not known")
    return key
