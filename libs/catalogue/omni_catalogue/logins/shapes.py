"""What a login's file says, field by field."""

from collections.abc import Mapping

import msgspec

FLOWS = ("code", "device", "import")

# Where something stands in an answer: its keys from the outside in. A fact's begins with the document that it is in:
# "answer" (the token answer), "id_token", "access" (an access token that is a JWT) or "userinfo".
Path = tuple[str, ...]
Paths = tuple[Path, ...]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that nobody knows is a mistake in a file, and told."""


class Client(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who we say we are. ``env`` are the beginnings of ``…_OAUTH_CLIENT_ID`` and ``…_OAUTH_CLIENT_SECRET``, the first
    that is set counts; with ``needs_secret`` nothing works without the latter. ``registered``: the id is got anew for
    each login, from the login's ``device.register`` address."""

    id: str = ""
    env: tuple[str, ...] = ()
    needs_secret: bool = False
    registered: bool = False


class Authorize(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page that a person is sent to, and what the page sends back to: ``redirect`` as it is where it is given, so
    that only the manual way is left; else a listener on this machine, at ``port`` (0: any) and ``path``.
    ``redirect_name`` is what the parameter is called."""

    url: str
    scopes: tuple[str, ...] = ()
    extra: Mapping[str, str] = {}
    pkce: bool = True
    redirect: str = ""
    redirect_name: str = "redirect_uri"
    host: str = "localhost"
    port: int = 0
    path: str = "/callback"
    sends_client: bool = True


class Endpoint(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where tokens are asked for. ``body`` is "form" or "json"; ``auth`` says how the client names itself: in the
    "body", by "basic", or "none". ``camel``: the fields are written as in camelCase. ``sends_state``: with a code, its
    state."""

    url: str
    body: str = "form"
    auth: str = "body"
    camel: bool = False
    sends_state: bool = False
    extra: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class Device(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RFC 8628. ``register`` is where a client is got from first, ``grant`` the grant type."""

    url: str
    scopes: tuple[str, ...] = ()
    body: str = "form"
    camel: bool = False
    pkce: bool = False
    register: str = ""
    grant: str = "urn:ietf:params:oauth:grant-type:device_code"
    extra: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class Answer(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where in a token answer what stands. ``expires_in`` is in seconds, ``expires_at`` a date or an epoch; without
    either the token is good until it is refused. ``facts`` are what is kept besides, by name."""

    access: Path = ("access_token",)
    refresh: Path = ("refresh_token",)
    id_token: Path = ("id_token",)
    expires_in: Path = ("expires_in",)
    expires_at: Path = ()
    facts: Mapping[str, Path] = {}


class Identity(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tells people apart: the parts of ``subject`` together. ``label`` is what a person is called, the first that
    there is. ``issuer`` is whose id tokens count; ``userinfo`` the address of more to know."""

    subject: Paths = ()
    label: Paths = ()
    issuer: str = ""
    userinfo: str = ""
    userinfo_auth: str = "Bearer "


class Use(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a request carries what came of it: ``carries`` is "access" or the name of a fact; ``prefix`` stands before it
    in the header ``authorization``, or, where ``as_key`` is set, it stands where the provider's format has its API key.
    ``headers`` go along, with facts in braces; one whose fact is not known is left out. ``project`` and ``base_url``
    are names of facts."""

    carries: str = "access"
    prefix: str = "Bearer "
    as_key: bool = False
    headers: Mapping[str, str] = {}
    project: str = ""
    base_url: str = ""


class Served(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider that the login is for, as one would configure it."""

    format: str
    base_url: str
    quota: str = ""


class Login(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``risk`` says in words why using it through a gateway may cost the account; empty where the provider minds
    nothing. ``lead`` is how long before its end a token is renewed (s). ``renewal`` is "refresh", "follow" (what
    follows is asked for anew with the same access token) or "never". ``follow`` names what is done with fresh tokens,
    ``dialect`` another way of a device flow. ``parameters`` are words that a person has to give."""

    id: str
    title: str
    served: Served
    flows: tuple[str, ...]
    aka: tuple[str, ...] = ()
    risk: str = ""
    note: str = ""
    lead: int = 300
    client: Client = Client()
    authorize: Authorize | None = None
    device: Device | None = None
    token: Endpoint | None = None
    refresh: Endpoint | None = None
    answer: Answer = Answer()
    identity: Identity = Identity()
    use: Use = Use()
    renewal: str = "refresh"
    follow: str = ""
    follow_url: str = ""
    dialect: str = ""
    parameters: tuple[str, ...] = ()
    allow_private_address: bool = False

    @property
    def renews(self) -> Endpoint | None:
        """Where a refresh token is redeemed; None where there is none."""
        return (self.refresh or self.token) if self.renewal == "refresh" else None
