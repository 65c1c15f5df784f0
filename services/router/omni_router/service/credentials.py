"""Accounts' credentials, kept in memory for at most a minute."""

from omni_core import clock
from omni_core.ports.auth import AuthPort, Credential
from omni_core.ports.context import CallContext


class Credentials:
    """Asks auth, remembers the answer for ``ttl`` seconds or until the account's secret version changes."""

    def __init__(self, auth: AuthPort, ttl: float) -> None:
        self._auth = auth
        self._ttl = ttl
        self._known: dict[str, tuple[float, str, Credential]] = {}

    async def get(self, context: CallContext, account_id: str, version: str) -> str:
        """The account's secret. Raises ``CredentialUnavailable`` or ``DependencyUnavailable``."""
        known = self._known.get(account_id)
        if known is not None and known[0] > clock.monotonic() and known[1] == version:
            return known[2].secret
        credential = await self._auth.credential(context, account_id)
        self._known[account_id] = (clock.monotonic() + self._ttl, version, credential)
        return credential.secret

    def forget(self, account_id: str) -> None:
        """The provider refused it: ask again next time."""
        self._known.pop(account_id, None)
