"""AuthPort: who a key is, what an account's credential is, which configuration is in force."""

from collections.abc import Mapping
from typing import Protocol

import msgspec
from omni_catalogue.scopes import Scopes

from omni_core.ports.configuration import ANYBODY, Caller
from omni_core.ports.context import CallContext


class Identity(msgspec.Struct, frozen=True):
    """``role`` is of ``omni_catalogue.roles``. Where it may be used from, for what and until when is for who asked to
    see to; one that has expired is not given out. Of a person who has logged in there is no key, but their id and that
    of their session."""

    key_id: str
    name: str
    role: str
    scopes: Scopes = Scopes()
    organisation: str = ANYBODY.organisation
    person: str = ""
    session: str = ""


class Credential(msgspec.Struct, frozen=True):
    """One account's secret. Kept in memory at most 60 s, never on disk, never in a repr.

    One that came of a login has its id in ``login``: requests then carry ``headers``, with the credential among them
    where it does not stand where the format has an API key; ``expires`` (epoch ms, 0: never) is when it is over.
    ``project`` and ``base_url`` stand for the account's and the provider's, where they are not empty, and
    ``usage_secret`` is what the provider is asked with for the account's quota, where that is another."""

    secret: str
    version: str
    login: str = ""
    headers: Mapping[str, str] = {}
    expires: int = 0
    project: str = ""
    base_url: str = ""
    usage_secret: str = ""

    def __repr__(self) -> str:
        return f"Credential(version={self.version!r})"


class Configuration(msgspec.Struct, frozen=True):
    """A published snapshot (``omni_catalogue.snapshot`` JSON). ``rejected`` says why a newer file is not in force."""

    revision: int
    snapshot: bytes
    rejected: str = ""


class NewKey(msgspec.Struct, frozen=True):
    """``budget_window`` is "day", "week", "month" or "total"; 0 means no limit. ``rules`` is YAML (or JSON) of what may
    stand under a key's ``rules:`` in the configuration file. ``team`` and ``user`` are whose it is, by name, and
    ``tags`` what its requests carry, for limits of theirs. With ``no_bodies`` nothing of what they say is ever kept."""

    name: str
    role: str = "developer"
    models: tuple[str, ...] = ("*",)
    requests_per_minute: int = 0
    budget_nano_usd: int = 0
    budget_window: str = "month"
    rules: str = ""
    scopes: Scopes = Scopes()
    team: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    no_bodies: bool = False


class KeyInfo(msgspec.Struct, frozen=True):
    """A key without its secret. ``managed_by`` is "file" or "api"; ``created`` is in epoch seconds, and so is
    ``older_until``, when the last of its older secrets ends (or ended), 0 without one. ``rules`` is JSON that
    ``NewKey.rules`` takes, empty for none."""

    id: str
    name: str
    role: str
    models: tuple[str, ...]
    requests_per_minute: int
    budget_nano_usd: int
    budget_window: str
    managed_by: str
    created: int
    hint: str = ""
    rules: str = ""
    scopes: Scopes = Scopes()
    older_until: int = 0
    team: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    no_bodies: bool = False


class CreatedKey(msgspec.Struct, frozen=True):
    """``secret`` is shown this once."""

    key: KeyInfo
    secret: str

    def __repr__(self) -> str:
        return f"CreatedKey(key={self.key!r})"


class AuthPort(Protocol):
    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        """``key_digest`` is SHA-256 of the presented key. Raises ``Unauthenticated``."""
        ...

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        """Raises ``CredentialUnavailable``."""
        ...

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        """The provider refused the one of that version: another, if there is one or can be one. Raises
        ``CredentialUnavailable``."""
        ...

    async def configuration(self) -> Configuration: ...

    async def create_key(self, new: NewKey, caller: Caller = ANYBODY) -> CreatedKey:
        """Raises ``InvalidRequest`` when the name is taken, a field is wrong or the team or user is not there."""
        ...

    async def list_keys(self, caller: Caller = ANYBODY, *, revoked: bool = False) -> list[KeyInfo]:
        """Those in force, or of those that the API made the ``revoked``: whose they were, for what they used."""
        ...

    async def rotate_key(self, key: str, overlap: int, caller: Caller = ANYBODY) -> CreatedKey:
        """A new secret for the key of that id or name, which keeps its limits and its usage. Its older secrets are good
        for ``overlap`` more seconds at most; 0 ends them now. Raises ``InvalidRequest`` as ``revoke_key``, and when too
        many secrets of it are good already."""
        ...

    async def revoke_key(self, key: str, caller: Caller = ANYBODY) -> KeyInfo:
        """By id or name. Raises ``InvalidRequest`` when there is none, or the configuration file manages it."""
        ...
