"""Roles, and what each may do: one table, role by area. What is not in it is denied.

A person has one role in their organisation, a key one of its own. Roles say what; whose things are meant is another
question, which the organisation answers.
"""

from typing import Final

OWNER, ADMIN, BILLING, DEVELOPER, VIEWER, SERVICE = "owner", "admin", "billing", "developer", "viewer", "service"
ROLES: Final = (OWNER, ADMIN, BILLING, DEVELOPER, VIEWER, SERVICE)
# A key is never an owner: for who may come and go a person answers. "service" is a user without a password, whose keys
# have roles of their own.
KEY_ROLES: Final = (ADMIN, DEVELOPER, BILLING, VIEWER)

# What is one's own, or the organisation's to read, or to change as well.
OWN, READ, WRITE = 1, 2, 3

# The areas of ``/api/*``. Limits are objects of the configuration, of which billing may change these alone.
POLICY: Final[dict[str, dict[str, int]]] = {
    OWNER: {
        "usage": WRITE, "keys": WRITE, "quota": WRITE, "limits": WRITE, "system": WRITE, "config": WRITE,
        "audit": WRITE, "bodies": WRITE, "people": WRITE,
    },
    ADMIN: {
        "usage": WRITE, "keys": WRITE, "quota": WRITE, "limits": WRITE, "system": WRITE, "config": WRITE,
        "audit": WRITE, "bodies": WRITE, "people": READ,
    },
    BILLING: {"usage": READ, "quota": READ, "limits": WRITE},
    DEVELOPER: {"usage": OWN},
    VIEWER: {"usage": READ, "quota": READ, "limits": READ},
    SERVICE: {},
}  # fmt: skip


def may(role: str, area: str, level: int) -> bool:
    """Whether a role has so much of an area; one that this version does not know has nothing."""
    return POLICY.get(role, {}).get(area, 0) >= level


def manages(role: str) -> bool:
    """Whether a role looks after the whole of its organisation."""
    return role in (OWNER, ADMIN)


def gives(role: str, other: str) -> bool:
    """Whether whoever has ``role`` may hand out ``other``: nothing that they have not themselves."""
    return other in POLICY and all(may(role, area, level) for area, level in POLICY[other].items())
