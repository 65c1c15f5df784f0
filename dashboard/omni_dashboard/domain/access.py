"""Who may do what. A route names the area it is of and whose things it is about; roles have what the one table of them
says (``omni_catalogue.roles``), and anything else is denied."""

import re
from collections.abc import Sequence
from typing import Protocol

from omni_catalogue import roles
from omni_catalogue.networks import Network, client_address, networks, within
from omni_catalogue.scopes import Scopes
from omni_wire.errors import PermissionDenied, Unauthenticated

# Whose things a route is about: what is the caller's own, or all of an organisation's; PERSON is for whoever has logged
# in, about themselves.
DEVELOPER, ADMIN, PERSON = "developer", "admin", "person"
# Whoever runs the gateway: its admins see and change what all organisations use.
PLATFORM = "default"
_ELSEWHERE = "organisation_not_allowed"


class Known(Protocol):
    """Whoever asks: somebody with a key, or a person who has logged in."""

    @property
    def key_id(self) -> str: ...

    @property
    def person(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def organisation(self) -> str: ...


MAX_KEY = 512
_BEARER = re.compile(rb"(?i:bearer)[ \t]+(\S+)[ \t]*")


def allow(role: str, needed: str, area: str = "", write: bool = False) -> None:
    """Raises ``PermissionDenied``; a role this version does not know may do nothing."""
    if role not in roles.POLICY:
        raise PermissionDenied(f"nobody here knows what the role {role} may do")
    level = roles.OWN if needed == DEVELOPER else roles.WRITE if write else roles.READ
    if area and not roles.may(role, area, level):
        able = [name for name in roles.ROLES if roles.may(name, area, level)]
        raise PermissionDenied(f"this needs the role {' or '.join(able)}, and you are {role}")


def sees_organisation(identity: Known) -> bool:
    """Whether somebody sees what all of their organisation used, and not their own alone."""
    return roles.may(identity.role, "usage", roles.READ)


def runs_gateway(identity: Known) -> bool:
    """Whether somebody sees and changes what is of other organisations."""
    return identity.organisation == PLATFORM and roles.manages(identity.role)


def allow_area(scopes: Scopes, area: str, write: bool) -> None:
    """Raises ``PermissionDenied`` where a key's own scopes take from what its role may do. Without an area anyone may
    who is known."""
    if area and not scopes.may_manage(area, write):
        raise PermissionDenied(
            f"this key may not {'change' if write else 'read'} {area}: it may manage {', '.join(scopes.management)}",
            code="area_not_allowed",
        )


def actor(identity: Known) -> str:
    """Who does something, for the audit log."""
    who = f"person:{identity.person}" if identity.person else f"key:{identity.key_id}"
    return f"{who} ({identity.name})"


def organisation_of(identity: Known, asked: str) -> str:
    """Whose things are meant: one's own, or those that who runs the gateway asks for. Raises ``PermissionDenied``."""
    if asked and asked != identity.organisation and not runs_gateway(identity):
        raise PermissionDenied("you are of another organisation", param="organisation", code=_ELSEWHERE)
    return asked or identity.organisation


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
