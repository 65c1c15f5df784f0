"""How authorization servers are asked: the ``LoginWeb`` port over the HTTP client that every service has."""

from collections.abc import Callable, Sequence
from typing import Protocol

from omni_catalogue.proxies import Egress, Proxy
from omni_core.web import WebAnswer, WebCall

from omni_auth.domain.logins.calls import Asked
from omni_auth.domain.logins.steps import Answered


class Web(Protocol):
    async def fetch_for(
        self, ways: Sequence[Egress], asked: WebCall, *, allow_private: bool, within: float
    ) -> WebAnswer:  # fmt: skip
        ...


class AuthorizationServers:
    """``ways`` gives those of a login, by its id; of one that is not there yet those of all."""

    def __init__(self, web: Web, ways: Callable[[str], Sequence[Egress]] = lambda _: ()) -> None:
        self._web, self._ways = web, ways

    async def fetch(self, asked: Asked, *, allow_private: bool, within: float, login_id: str = "") -> Answered:
        ways = self._ways(login_id)
        # For all of them together: a lease outlasts this, and whose has ended asks with the same refresh token again.
        within /= max(1, len(ways))
        found = await self._web.fetch_for(ways, asked, allow_private=allow_private, within=within)
        return Answered(found.status, found.headers, found.body)


class HeldSecrets:
    """``omni_core.outbound.Secrets`` where they are at hand. ``secret_of`` raises ``CredentialUnavailable``."""

    def __init__(self, secret_of: Callable[[str], str]) -> None:
        self._secret_of = secret_of

    async def secret(self, proxy: Proxy) -> str:
        return self._secret_of(proxy.id)

    def refused(self, proxy: Proxy) -> None:
        """Nothing was kept."""
