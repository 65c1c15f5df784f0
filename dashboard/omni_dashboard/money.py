"""Prices and books: what anything costs, whether all that was spent is written down, and how the past is corrected."""

from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import TypeVar

import msgspec
from omni_catalogue import pricebook
from omni_catalogue.pricebook import PriceBook
from omni_catalogue.snapshot import decode
from omni_core.ports.analytics import AnalyticsPort, Charge, Repriced, StatementLine, UsageQuery, UsageReport
from omni_core.ports.auth import Identity
from omni_core.ports.configuration import Caller
from omni_core.ports.quota import QuotaPort
from omni_wire.errors import DependencyUnavailable, InvalidRequest, WireError

from omni_dashboard.asking import PAGE, every, within
from omni_dashboard.auditing import audited
from omni_dashboard.domain.access import actor, platform_only
from omni_dashboard.domain.pricelist import Offered, offered
from omni_dashboard.domain.reconciliation import Proof
from omni_dashboard.ports import ControlPort
from omni_dashboard.settings import DashboardSettings

T = TypeVar("T")
DAY_MS = 86_400_000
# Days of a statement: what it is held against comes by the month.
_MOST_DAYS = 100


class Money:
    """Of who runs the gateway alone. Every method raises ``PermissionDenied`` for others, and
    ``DependencyUnavailable`` when its port is away. ``now_ms`` is the wall clock."""

    def __init__(
        self,
        auth: ControlPort,
        quota: QuotaPort,
        analytics: AnalyticsPort,
        settings: DashboardSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self._auth = auth
        self._quota = quota
        self._analytics = analytics
        self._settings = settings
        self._now_ms = now_ms

    async def prices(self, identity: Identity) -> list[Offered]:
        """All that is paid for anything, and which of it is in force."""
        platform_only(identity.organisation, "see all prices")
        names = await self._named(Caller(actor(identity), identity.organisation))
        return offered(await self._book(), names, self._now_ms())

    async def audit(self) -> Proof:
        """What the ledger says was spent, held against what the recorded attempts were settled at."""
        return await audited(
            lambda: self._within("quota", self._quota.snapshot()),
            lambda: self._asked(self._analytics.standing()),
            self._usage,
            self._charges,
        )

    async def audit_for(self, identity: Identity) -> Proof:
        platform_only(identity.organisation, "audit all usage")
        return await self.audit()

    async def statement(self, identity: Identity, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        """What a provider's attempts used, by whole days of UTC."""
        platform_only(identity.organisation, "see a provider's statement")
        if until_ms - from_ms > _MOST_DAYS * DAY_MS:
            raise InvalidRequest(f"a statement is of at most {_MOST_DAYS} days", param="from")
        return await self._asked(self._analytics.statement(provider, from_ms, until_ms))

    async def reprice(self, identity: Identity, from_ms: int, until_ms: int, *, apply: bool) -> Repriced:
        """What attempts cost by the prices that are known today; with ``apply`` these are written, after the audit log
        has who did so, and to what it amounts."""
        platform_only(identity.organisation, "correct what was spent")
        book = pricebook.encode(await self._book())
        found = await self._repriced(from_ms, until_ms, book, apply=False)
        if not apply or not found.groups:
            return found
        sums = {
            name: msgspec.json.encode({"from_ms": from_ms, "until_ms": until_ms, **amounts}).decode()
            for name, amounts in (
                ("before", {"cost_nano_usd": sum(map(attrgetter("old_nano_usd"), found.groups))}),
                (
                    "after",
                    {
                        "cost_nano_usd": sum(map(attrgetter("new_nano_usd"), found.groups)),
                        "attempts": sum(map(attrgetter("attempts"), found.groups)),
                    },
                ),
            )
        }
        caller = Caller(actor(identity), identity.organisation)
        target = f"usage/{from_ms}-{until_ms}"
        await self._within("auth", self._auth.record_audit(caller, "usage.reprice", target, **sums))
        return await self._repriced(from_ms, until_ms, book, apply=True)

    # ---- below: the ports -------------------------------------------------------------------------------------------

    async def _book(self) -> PriceBook:
        found = await self._within("auth", self._auth.configuration())
        try:
            return PriceBook.of(decode(found.snapshot))
        except WireError as error:
            raise DependencyUnavailable(f"the configuration in force cannot be read: {error}") from error

    async def _named(self, caller: Caller) -> frozenset[str]:
        """The prices that stand for themselves in the configuration, as it names them."""
        found = await every(
            lambda after: self._within("auth", self._auth.list_objects(caller, "prices", after=after, limit=PAGE))
        )
        return frozenset(each.name for each in found)

    async def _usage(self, query: UsageQuery) -> UsageReport:
        return await self._asked(self._analytics.query(query))

    async def _charges(self, from_ms: int, until_ms: int) -> list[Charge]:
        return await self._asked(self._analytics.charges(from_ms, until_ms))

    async def _repriced(self, from_ms: int, until_ms: int, book: bytes, *, apply: bool) -> Repriced:
        answer = self._analytics.reprice(from_ms, until_ms, book, apply=apply)
        return await within(self._settings.reprice_timeout, "analytics", answer)

    async def _asked(self, answer: Awaitable[T]) -> T:
        return await within(self._settings.query_timeout, "analytics", answer)

    async def _within(self, whom: str, answer: Awaitable[T]) -> T:
        return await within(self._settings.call_timeout, whom, answer)
