"""What a login has: tokens and what is known of whose they are. Sealed as one JSON document."""

from collections.abc import Mapping

import msgspec
from omni_catalogue.logins import Login, Use
from omni_wire.errors import WireError

CLOSED, GOOD = "closed", "good"


class LoginRefused(WireError):
    """The provider says no, for good: ``code`` is its word for it. Nobody gets on by asking again."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class LoginUnreadable(WireError):
    """An answer that is not what such a server answers. ``wait`` are the seconds that it told to wait."""

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """``expires`` is when ``access`` ends and ``follow_expires`` when what follows it does, in epoch ms, 0 for never as
    far as is known. ``facts`` are all other words of the provider, ``parameters`` those of the person. ``followed``:
    what follows was asked for these."""

    access: str
    refresh: str = ""
    expires: int = 0
    facts: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}
    follow_expires: int = 0
    followed: bool = False

    def __repr__(self) -> str:
        return f"Tokens(expires={self.expires})"

    @property
    def ends(self) -> int:
        """When the first of what requests need is over; 0 for never."""
        return min((each for each in (self.expires, self.follow_expires) if each), default=0)


class Person(msgspec.Struct, frozen=True):
    """``subject`` tells one from all others at the provider, "" where that is not told; ``label`` is for people."""

    subject: str = ""
    label: str = ""


class Grant(msgspec.Struct, frozen=True):
    tokens: Tokens
    person: Person = Person()


class Carried(msgspec.Struct, frozen=True):
    """How a request carries it: ``headers`` with the credential among them, unless that stands where an API key
    would."""

    secret: str
    headers: Mapping[str, str]
    project: str = ""
    base_url: str = ""
    usage_secret: str = ""

    def __repr__(self) -> str:
        return "Carried()"


def carried(login: Login, tokens: Tokens) -> Carried:
    """Raises ``LoginRefused`` where what requests carry is not there."""
    use, facts = login.use, tokens.facts
    secret = tokens.access if use.carries == "access" else facts.get(use.carries, "")
    if not secret:
        raise LoginRefused(f"{login.title} has given no {use.carries} for it")
    headers = {} if use.as_key else {"authorization": use.prefix + secret}
    return Carried(
        secret,
        {**headers, **_headers(use, facts)},
        facts.get(use.project, ""),
        base_url(login, facts.get(use.base_url, "")),
        tokens.access if use.carries != "access" and login.served.quota else "",
    )


def _headers(use: Use, facts: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, value in use.headers.items():
        fact = value[1:-1] if value.startswith("{") and value.endswith("}") else ""
        said = facts.get(fact, "") if fact else value
        if said and said.isascii() and said.isprintable():
            found[name] = said
    return found


def base_url(login: Login, said: str) -> str:
    """What a provider says of where it is asked, as a base URL; "" where it says nothing that can be one. Only https
    counts, but for a login whose data allows private addresses."""
    if not said or not said.isascii() or not said.isprintable() or any(char in said for char in "@?#\\ "):
        return ""
    url = said if "://" in said else f"https://{said}"
    if not url.startswith("https://") and not (login.allow_private_address and url.startswith("http://")):
        return ""
    url = url.rstrip("/")
    if login.served.base_url.endswith("/v1") and not url.endswith("/v1"):
        url += "/v1"
    return url


def name_of(person: Person, login: Login) -> str:
    """What an account is called that nobody gave a name: of its label what stands in a name, else "main"."""
    words = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "-" for char in person.label)
    return words.strip("-.").lower()[:60] or "main"
