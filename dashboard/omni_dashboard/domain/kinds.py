"""The kinds of object that the configuration is made of, as ``/api/*`` names them."""

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """``name`` is the plural, as in the path; ``example`` the name of one of its objects. What is not ``own`` belongs
    to the platform: the organisation that runs it changes it, others read nothing of it."""

    name: str
    word: str
    example: str
    own: bool = False


KINDS = (
    Kind("organisations", "organisation", "acme"),
    Kind("teams", "team", "research", own=True),
    Kind("users", "user", "dora@example.org", own=True),
    Kind("memberships", "membership", "research/dora@example.org", own=True),
    Kind("tags", "tag", "eu", own=True),
    Kind("providers", "provider", "acme"),
    Kind("accounts", "account", "acme/main"),
    Kind("combos", "combo", "best"),
    Kind("aliases", "alias", "gpt-4o"),
    Kind("limits", "limit", "ci/monthly", own=True),
    Kind("prices", "price", "acme/gpt-4o"),
    Kind("settings", "settings", "settings"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
