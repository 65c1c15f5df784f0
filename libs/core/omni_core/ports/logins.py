"""LoginPort: logging in at providers that give no API key, and what has come of it. No secret crosses it but what a
person pastes."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from omni_core.ports.configuration import Caller

# How long a call may take that asks a provider (s).
LOGIN_TIMEOUT = 45.0


class NewLogin(msgspec.Struct, frozen=True):
    """``login`` is one of the catalogue. ``account`` is what it shall be called, "" for what the provider calls its
    owner. ``flow`` is "code", "device" or "" for the login's own. ``port`` is where a listener on the person's machine
    waits, 0 for none. ``accept_terms`` repeats the login's id where its provider minds such use."""

    login: str
    account: str = ""
    flow: str = ""
    port: int = 0
    accept_terms: str = ""
    parameters: Mapping[str, str] = {}


class LoginStart(msgspec.Struct, frozen=True):
    """``flow`` is how it goes on: "code" at ``url``, which ends at ``redirect``; or "device" at ``url`` with
    ``user_code``, to be polled by ``id`` every ``interval`` seconds. ``ends`` in epoch ms."""

    id: str
    flow: str
    url: str
    ends: int
    redirect: str = ""
    user_code: str = ""
    interval: float = 0.0

    def __repr__(self) -> str:
        return f"LoginStart({self.flow!r})"


class LoginInfo(msgspec.Struct, frozen=True):
    """One login. ``state`` is "good" or "closed", then with the ``reason`` in words. Times are epoch ms; ``ends`` is
    when what requests carry is over unless it is renewed, 0 for never. ``accounts`` use it."""

    id: str
    login: str
    title: str
    label: str
    state: str
    reason: str
    ends: int
    renewed: int
    connected: int
    accounts: tuple[str, ...] = ()


class LoginPoll(msgspec.Struct, frozen=True):
    """``login`` once somebody has said yes; until then ask again in ``wait`` seconds."""

    login: LoginInfo | None = None
    wait: float = 0.0


class LoginKind(msgspec.Struct, frozen=True):
    """One way to log in. ``missing`` says what has to be set before it works, "" for nothing."""

    id: str
    title: str
    flows: tuple[str, ...]
    risk: str = ""
    note: str = ""
    parameters: tuple[str, ...] = ()
    missing: str = ""
    port: int = 0
    listens: bool = False


class Logins(msgspec.Struct, frozen=True):
    logins: tuple[LoginInfo, ...]
    kinds: tuple[LoginKind, ...]


class LoginPort(Protocol):
    """Every call raises ``InvalidRequest`` for what cannot be, ``PermissionDenied`` for guests, and an
    ``UpstreamError`` where the provider does not answer as it should."""

    async def begin_login(self, caller: Caller, new: NewLogin) -> LoginStart: ...

    async def finish_login(self, caller: Caller, callback: str) -> LoginInfo:
        """``callback`` is the address that the browser ended at, or ``code#state``."""
        ...

    async def poll_login(self, caller: Caller, flow: str) -> LoginPoll: ...

    async def import_login(self, caller: Caller, new: NewLogin, tokens: str) -> LoginInfo:
        """``tokens`` is another program's token file as JSON, or a token."""
        ...

    async def list_logins(self, caller: Caller) -> Logins: ...

    async def forget_login(self, caller: Caller, login: str) -> None: ...

    async def refresh_login(self, caller: Caller, login: str) -> LoginInfo:
        """Renew it now."""
        ...
