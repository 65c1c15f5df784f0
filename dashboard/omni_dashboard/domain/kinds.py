"""The kinds of object that the configuration is made of, as ``/api/*`` names them."""

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """``name`` is the plural; ``example`` the name of one of its objects. What is not ``own`` belongs to the platform:
    the organisation that runs it changes it, others read nothing of it. ``at`` is the word in the path where that is
    not the name."""

    name: str
    word: str
    example: str
    own: bool = False
    at: str = ""

    @property
    def path(self) -> str:
        return f"/api/{self.at or self.name}"


KINDS = (
    Kind("organisations", "organisation", "acme"),
    Kind("teams", "team", "research", own=True),
    Kind("users", "user", "dora@example.org", own=True),
    Kind("memberships", "membership", "research/dora@example.org", own=True),
    Kind("tags", "tag", "eu", own=True, at="request-tags"),  # /api/tags is Ollama's list of models
    Kind("proxies", "proxy", "office"),
    Kind("providers", "provider", "acme"),
    Kind("accounts", "account", "acme/main"),
    Kind("combos", "combo", "best"),
    Kind("aliases", "alias", "gpt-4o"),
    Kind("limits", "limit", "team/research/monthly", own=True),
    Kind("prices", "price", "acme/gpt-4o"),
    Kind("settings", "settings", "settings"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
