"""Accounts' credentials, kept in memory for at most a minute."""

from omni_catalogue.snapshot import Account
from omni_core import clock
from omni_core.ports.auth import AuthPort
from omni_core.ports.context import CallContext


class Credentials:
    """Asks auth, remembers the answer for ``ttl`` seconds or until the account's secret version changes."""

    def __init__(self, auth: AuthPort, ttl: float) -> None:
        self._auth = auth
        self._ttl = ttl
        self._kept: dict[str, tuple[float, str, str]] = {}

    def known(self, account: Account) -> str:
        """The account's secret, if it is remembered; else empty."""
        kept = self._kept.get(account.id)
        if kept is None or kept[0] <= clock.monotonic() or kept[1] != account.secret_version:
            return ""
        return kept[2]

    async def ask(self, context: CallContext, account: Account) -> str:
        """Raises ``CredentialUnavailable`` or ``DependencyUnavailable``."""
        credential = await self._auth.credential(context, account.id)
        self._kept[account.id] = (clock.monotonic() + self._ttl, account.secret_version, credential.secret)
        return credential.secret

    def forget(self, account_id: str) -> None:
        """The provider refused it: ask again next time."""
        self._kept.pop(account_id, None)
