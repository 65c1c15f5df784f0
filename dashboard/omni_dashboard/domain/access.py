"""Who may do what. A route names the role it needs; anything else is denied."""

import re

from omni_wire.errors import PermissionDenied, Unauthenticated

ADMIN = "admin"
DEVELOPER = "developer"
_RANK = {DEVELOPER: 1, ADMIN: 2}

MAX_KEY = 512
_BEARER = re.compile(rb"(?i:bearer)[ \t]+(\S+)[ \t]*")


def allow(role: str, needed: str) -> None:
    """Raises ``PermissionDenied``; a role this version does not know may do nothing."""
    if _RANK.get(role, 0) < _RANK[needed]:
        raise PermissionDenied(f"this needs a key with the role {needed}")


def presented_key(authorization: bytes, x_api_key: bytes) -> bytes:
    """The key in ``Authorization: Bearer`` or ``x-api-key``. Raises ``Unauthenticated`` when there is none."""
    found = _BEARER.fullmatch(authorization.strip())
    key = found.group(1) if found else x_api_key.strip()
    if not key:
        raise Unauthenticated("no API key: send it as 'Authorization: Bearer …' or 'x-api-key: …'")
    if len(key) > MAX_KEY:
        raise Unauthenticated("this API key is not known")
    return key
