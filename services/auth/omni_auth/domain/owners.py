"""Whose a key is."""

from omni_wire.errors import InvalidRequest

from omni_auth.domain.objects import Held
from omni_auth.domain.problems import suggestion

OWNERS = {"team": "teams", "user": "users"}


def owner_id(held: Held, field: str, name: str | None) -> str | None:
    """Of the team or user (``field``) of that name; None for no name. Raises ``InvalidRequest`` for a stranger."""
    if not name:
        return None
    owner = held.get(OWNERS[field], name)
    if owner is None:
        near = suggestion(name, [one.name for one in held if one.kind == OWNERS[field]])
        raise InvalidRequest(f"{field}: there is no {field} '{name}'{near}", param=field)
    return owner.id
