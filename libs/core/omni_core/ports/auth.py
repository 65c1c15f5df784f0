"""AuthPort: who a key is, what an account's credential is, which configuration is in force."""

from typing import Protocol

import msgspec

from omni_core.ports.context import CallContext


class Identity(msgspec.Struct, frozen=True):
    """``role`` is "admin" or "developer"."""

    key_id: str
    name: str
    role: str


class Credential(msgspec.Struct, frozen=True):
    """One account's secret. Kept in memory at most 60 s, never on disk, never in a repr."""

    secret: str
    version: str

    def __repr__(self) -> str:
        return f"Credential(version={self.version!r})"


class Configuration(msgspec.Struct, frozen=True):
    """A published snapshot (``omni_catalogue.snapshot`` JSON). ``rejected`` says why a newer file is not in force."""

    revision: int
    snapshot: bytes
    rejected: str = ""


class NewKey(msgspec.Struct, frozen=True):
    """``budget_window`` is "day", "week", "month" or "total"; 0 means no limit."""

    name: str
    role: str = "developer"
    models: tuple[str, ...] = ("*",)
    requests_per_minute: int = 0
    budget_nano_usd: int = 0
    budget_window: str = "month"


class KeyInfo(msgspec.Struct, frozen=True):
    """A key without its secret. ``managed_by`` is "file" or "api"; ``created`` is in epoch seconds."""

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

    async def configuration(self) -> Configuration: ...

    async def create_key(self, new: NewKey) -> CreatedKey:
        """Raises ``InvalidRequest`` when the name is taken or a field is wrong."""
        ...

    async def list_keys(self) -> list[KeyInfo]: ...

    async def revoke_key(self, key: str) -> KeyInfo:
        """By id or name. Raises ``InvalidRequest`` when there is none, or the configuration file manages it."""
        ...
