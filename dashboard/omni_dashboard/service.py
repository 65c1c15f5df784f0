"""The management surface without HTTP: who is asking, what they may see, and which port knows the answer."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from omni_core.component import Check
from omni_core.ports.analytics import AnalyticsPort, UsageQuery, UsageReport
from omni_core.ports.auth import AuthPort, Configuration, CreatedKey, Identity, KeyInfo, NewKey
from omni_core.ports.context import CallContext
from omni_core.ports.quota import QuotaPort, QuotaSnapshot
from omni_wire.errors import DependencyUnavailable, GatewayError, InvalidRequest, PermissionDenied

from omni_dashboard.domain.access import ADMIN, allow
from omni_dashboard.settings import DashboardSettings

T = TypeVar("T")


class Management:
    """``clock`` is monotonic, in seconds. Every method raises ``DependencyUnavailable`` when its port is away."""

    def __init__(
        self,
        auth: AuthPort,
        quota: QuotaPort,
        analytics: AnalyticsPort,
        settings: DashboardSettings,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._auth = auth
        self._quota = quota
        self._analytics = analytics
        self._settings = settings
        self._clock = clock
        self._identities: dict[bytes, tuple[float, Identity]] = {}
        self.checks = {name: Check(False, "not asked yet") for name in ("auth", "quota", "analytics")}

    async def identify(self, context: CallContext, key: bytes, role: str) -> Identity:
        """Who holds ``key``. Raises ``Unauthenticated``, or ``PermissionDenied`` when they have not ``role``."""
        digest = hashlib.sha256(key).digest()
        now = self._clock()
        known = self._identities.get(digest)
        if known is not None and now < known[0]:
            identity = known[1]
        else:
            self._identities.pop(digest, None)
            identity = await self._ask("auth", self._auth.authenticate(context, digest))
            while len(self._identities) >= self._settings.identity_entries:
                del self._identities[next(iter(self._identities))]
            self._identities[digest] = (now + self._settings.identity_ttl, identity)
        allow(identity.role, role)
        return identity

    async def usage(self, identity: Identity, query: UsageQuery) -> UsageReport:
        """Raises ``PermissionDenied`` when a developer asks for a key other than their own."""
        if query.from_ms and query.until_ms and query.from_ms > query.until_ms:
            raise InvalidRequest("from is after until", param="from")
        if identity.role != ADMIN:
            if query.key_id not in ("", identity.key_id):
                raise PermissionDenied("a developer sees the usage of their own key only", param="key")
            query = UsageQuery(query.from_ms, query.until_ms, identity.key_id, query.group_by)
        return await self._ask("analytics", self._analytics.query(query), self._settings.query_timeout)

    async def keys(self) -> list[KeyInfo]:
        return await self._ask("auth", self._auth.list_keys())

    async def create_key(self, new: NewKey) -> CreatedKey:
        return await self._ask("auth", self._auth.create_key(new))

    async def revoke_key(self, key: str) -> KeyInfo:
        """By id or name. Here the key ends at once."""
        revoked = await self._ask("auth", self._auth.revoke_key(key))
        self._identities = {
            digest: entry for digest, entry in self._identities.items() if entry[1].key_id != revoked.id
        }
        return revoked

    async def quota(self) -> QuotaSnapshot:
        return await self._ask("quota", self._quota.snapshot())

    async def reset_breaker(self, account_id: str) -> None:
        await self._ask("quota", self._quota.reset(account_id))

    async def configuration(self) -> Configuration:
        return await self._ask("auth", self._auth.configuration())

    async def probe(self) -> None:
        """Ask each port something small, so that ``checks`` are true without traffic."""
        limit = self._settings.probe_timeout
        small = {
            "auth": self._ask("auth", self._auth.configuration(), limit),
            "quota": self._ask("quota", self._quota.snapshot("-"), limit),
            "analytics": self._ask("analytics", self._analytics.query(UsageQuery(1, 2)), limit),
        }
        results = await asyncio.gather(*small.values(), return_exceptions=True)
        for name, result in zip(small, results, strict=True):
            if isinstance(result, GatewayError):
                self.checks[name] = Check(False, result.message)
            elif isinstance(result, BaseException):
                self.checks[name] = Check(False, type(result).__name__)
            else:
                self.checks[name] = Check(True)

    async def _ask(self, whom: str, answer: Awaitable[T], timeout: float | None = None) -> T:
        try:
            async with asyncio.timeout(self._settings.call_timeout if timeout is None else timeout):
                return await answer
        except TimeoutError as error:
            raise DependencyUnavailable(f"{whom} does not answer", retry_after=1.0) from error
