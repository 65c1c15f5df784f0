"""The quota service: show what stands, close what nobody settled, deliver what nobody relays."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from omni_catalogue import circuits
from omni_catalogue.lanes import Lane
from omni_catalogue.snapshot import Allowance, KeyPolicy, Limit, Snapshot
from omni_core import clock
from omni_core.ports.quota import (
    AccountQuota,
    AllowanceState,
    BreakerState,
    KeyState,
    LimitState,
    QuotaSnapshot,
    RateState,
)
from omni_ledger import AllowanceStanding, BreakerStanding, KeyStanding, LaneStanding
from omni_wire.errors import DependencyUnavailable, GatewayError

from omni_quota.domain.rates import is_of_account, shown_lanes
from omni_quota.domain.scope import budget_window, scope_of
from omni_quota.ports import Books, Courier, Meter
from omni_quota.service.accounts import Accounts
from omni_quota.settings import MOST_LANES, QuotaSettings

log = logging.getLogger("omniroute.quota")

# Model ids can come from clients, so what is shown of them is bounded.
_MOST_CIRCUITS = 1000


class QuotaService:
    """Satisfies ``QuotaPort``. ``configuration`` gives the snapshot in force, None before the first."""

    def __init__(
        self,
        books: Books,
        courier: Courier,
        meter: Meter,
        configuration: Callable[[], Snapshot | None],
        settings: QuotaSettings,
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._books = books
        self._courier = courier
        self._meter = meter
        self._configuration = configuration
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self.trouble = "not started"

    # ---- QuotaPort --------------------------------------------------------------------------------------------------

    async def snapshot(self, key_id: str = "") -> QuotaSnapshot:
        """Raises ``DependencyUnavailable`` when Redis is away or no configuration has come yet."""
        configuration = self._configuration()
        if configuration is None:
            raise DependencyUnavailable("no configuration has been published yet", retry_after=1.0)
        scope, now = scope_of(configuration, key_id), clock.now_ms() / 1000
        standing = await self._books.look(scope.owners(now), list(scope.accounts), scope.allowances(now))
        keys, allowances = len(scope.policies), iter(standing.allowances)
        return QuotaSnapshot(
            keys=tuple(map(_key_state, scope.policies, standing.keys[:keys])),
            limits=tuple(
                _limit_state(limit, found, [(each, next(allowances)) for each in limit.allowances])
                for limit, found in zip(scope.limits, standing.keys[keys:], strict=True)
            ),
            breakers=(
                *map(_breaker_state, scope.accounts, standing.breakers),
                *(_breaker_state(name, breaker) for name, breaker in await self._inside(scope.accounts)),
            ),
            open_reservations=standing.open_reservations,
            rates=await self._rates(configuration),
            waiting_events=await self._books.waiting(),
            accounts=tuple(await self._accounts.states()) if not key_id else (),
        )

    async def _rates(self, configuration: Snapshot) -> tuple[RateState, ...]:
        known = {standing.name: standing for standing in await self._books.lanes(MOST_LANES)}
        return tuple(_rate_state(lane, known.get(lane.name)) for lane in shown_lanes(configuration, known))

    async def _inside(self, accounts: Sequence[str]) -> list[tuple[str, BreakerStanding]]:
        """The breakers that are not a whole account's, of the accounts and of targets at their providers."""
        known = frozenset(accounts)
        providers = {account.partition("/")[0] for account in accounts}
        found = []
        for name, breaker in await self._books.circuits(_MOST_CIRCUITS):
            circuit = circuits.read(name)
            if circuit.combo:
                if circuit.model.partition("/")[0] in providers:
                    found.append((name, breaker))
            elif circuit.model and circuit.account in known:
                found.append((name, breaker))
        return found

    async def reset(self, account_id: str) -> None:
        """Raises ``DependencyUnavailable`` when Redis is away."""
        await self._books.reset(account_id)
        for name, _ in await self._inside((account_id,)):
            if circuits.read(name).combo:
                await self._books.reset(name)
        log.info("breaker closed by hand", extra={"fields": {"account": account_id}})

    async def refresh_quota(self, account_id: str) -> AccountQuota:
        """Raises as ``Accounts.refresh``."""
        return await self._accounts.refresh(account_id)

    async def forget_rates(self, account_id: str) -> None:
        """Raises ``DependencyUnavailable`` when Redis is away."""
        for lane in await self._books.lanes(MOST_LANES):
            if is_of_account(lane.name, account_id):
                await self._books.forget(lane.name)
        log.info("rate limits forgotten by hand", extra={"fields": {"account": account_id}})

    # ---- tidying ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        settings, accounts = self._settings, self._accounts
        rounds = (
            (settings.reap_every, self.reap, "reap"),
            (settings.adopt_every, self.adopt, "adopt"),
            (settings.watch_every, self.watch, "watch"),
            (settings.watch_every, accounts.watch, "quotas"),
            (settings.poll_every, accounts.poll, "poll"),
        )
        self._tasks = [
            asyncio.create_task(self._every(pause, work, task), name=f"quota-{task}") for pause, work, task in rounds
        ]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.trouble = "stopped"

    async def reap(self) -> None:
        """Close every reservation past its expiry. Raises ``DependencyUnavailable``."""
        at_once = self._settings.reap_at_once
        while True:
            reaped = await self._books.reap(at_once)
            if reaped.reservations:
                self._meter.reaped(reaped.reservations, reaped.charged_nano_usd)
                log.warning(
                    "charged reservations that nobody settled",
                    extra={"fields": {"count": reaped.reservations, "nano_usd": reaped.charged_nano_usd}},
                )
            if reaped.reservations < at_once:
                break
        self._meter.open_reservations((await self._books.look([], [])).open_reservations)

    async def adopt(self) -> None:
        """Deliver the events of routers that are gone. Raises ``DependencyUnavailable``."""
        for router_id in await self._books.orphans():
            events = await self._courier.deliver(router_id)
            self._meter.adopted(events)
            log.info("delivered what a router left", extra={"fields": {"router": router_id, "events": events}})

    async def watch(self) -> None:
        """Count the breakers by state. Raises ``DependencyUnavailable``."""
        configuration = self._configuration()
        if configuration is not None:
            accounts = scope_of(configuration, "").accounts
            standing = await self._books.look([], list(accounts))
            inside = [breaker for _, breaker in await self._inside(accounts)]
            self._meter.breakers([_counted(breaker) for breaker in (*standing.breakers, *inside)])

    async def _every(self, pause: float, work: Callable[[], Awaitable[None]], task: str) -> None:
        while True:
            try:
                await work()
            except GatewayError as error:
                self._meter.failed(task)
                if task == "reap":
                    if not self.trouble:
                        log.warning("cannot tidy", extra={"fields": {"error": error.message}})
                    self.trouble = error.message
            else:
                if task == "reap":
                    self.trouble = ""
            await asyncio.sleep(pause)


def _counted(breaker: BreakerStanding) -> str:
    """Its state for the metric: where the provider itself said how long, nothing is wrong that anybody looks into."""
    if not breaker.told:
        return breaker.state
    return "cooling" if breaker.state == "open" else "closed"


def _breaker_state(name: str, breaker: BreakerStanding) -> BreakerState:
    circuit = circuits.read(name)
    return BreakerState(
        account_id=circuit.account,
        state=breaker.state,
        failures=breaker.failures,
        retry_after=breaker.retry_after,
        model=circuit.model,
        combo=circuit.combo,
        cause=breaker.cause,
        told=breaker.told,
    )


def _rate_state(lane: Lane, standing: LaneStanding | None) -> RateState:
    """What is configured, else what was learned."""
    limit, name = lane.limit, circuits.read(lane.name)
    provider, slash, _ = name.account.partition("/")
    found = standing or LaneStanding(lane.name, 0, 0, 0, "", 0, 0, 0, 0)
    return RateState(
        provider=provider,
        account_id=name.account if slash else "",
        model=name.model,
        requests_per_minute=limit.requests_per_minute or found.requests_per_minute,
        tokens_per_minute=limit.tokens_per_minute or found.tokens_per_minute,
        min_gap=limit.min_gap,
        concurrent=limit.concurrent or found.at_once,
        learned=found.learned,
        requests_in_window=found.requests_in_window,
        tokens_in_window=found.tokens_in_window,
        under_way=found.under_way,
        waiting=found.waiting,
    )


def _key_state(policy: KeyPolicy, standing: KeyStanding) -> KeyState:
    return KeyState(
        key_id=policy.id,
        requests_in_window=standing.requests_in_window,
        requests_per_minute=policy.requests_per_minute,
        spent_nano_usd=standing.spent_nano_usd,
        held_nano_usd=standing.held_nano_usd,
        budget_nano_usd=policy.budget.nano_usd if policy.budget is not None else 0,
        budget_window=budget_window(policy.budget),
        budget_resets_at=standing.resets_at,
        budget_since_ms=standing.since_ms,
        limit_ids=tuple(policy.limits),
    )


def _limit_state(
    limit: Limit, standing: KeyStanding, allowances: Iterable[tuple[Allowance, AllowanceStanding]]
) -> LimitState:
    return LimitState(
        limit_id=limit.id,
        name=limit.full_name,
        organisation=limit.organisation,
        requests_in_window=standing.requests_in_window,
        requests_per_minute=limit.requests_per_minute,
        spent_nano_usd=standing.spent_nano_usd,
        held_nano_usd=standing.held_nano_usd,
        budget_nano_usd=limit.budget.nano_usd if limit.budget is not None else 0,
        budget_window=budget_window(limit.budget),
        budget_resets_at=standing.resets_at,
        budget_since_ms=standing.since_ms,
        allowances=tuple(
            AllowanceState(each.of, each.most, each.window, found.used, found.held, found.resets_at, each.mode)
            for each, found in allowances
            if not limit.warns_by(each)
        ),
    )
