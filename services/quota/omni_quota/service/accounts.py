"""Looking after accounts' quotas: ask the providers in turn, show how they stand, go round who has nothing left.

Any number of replicas may do so: Redis gives one of them at a time the right to ask about an account, and what they
make of what is known there is the same. A provider that cannot be asked changes nothing but that it is told.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence

import msgspec
from omni_catalogue import circuits
from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account, Provider, Snapshot
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.context import CallContext
from omni_core.ports.quota import AccountQuota, QuotaWindowState
from omni_core.redaction import keep_secret, redact_shapes
from omni_ledger import QuotaTurn, Told
from omni_wire.errors import GatewayError, InvalidRequest, NotBuilt, RateLimited

from omni_quota.domain.standing import counts_of, is_used_up, pauses, shares_left, state_of
from omni_quota.domain.usage import Usage, UsageUnreadable, ask, read
from omni_quota.ports import AccountMeter, Lanes, QuotaBook, Secrets, Web
from omni_quota.settings import MOST_LANES, QuotaSettings

log = logging.getLogger("omniroute.quota")

# A failure doubles the time until the next try, up to this (s).
_LONGEST = 3_600.0
_JITTER = 0.1


class Cared(msgspec.Struct, frozen=True):
    """An account whose quota is looked after."""

    provider: Provider
    account: Account
    quota: Quota


class Accounts:
    """``configuration`` gives the snapshot in force, None before the first; with ``secrets`` None nobody is asked."""

    def __init__(
        self,
        book: QuotaBook,
        lanes: Lanes,
        web: Web,
        secrets: Secrets | None,
        meter: AccountMeter,
        configuration: Callable[[], Snapshot | None],
        settings: QuotaSettings,
    ) -> None:
        self._book, self._lanes, self._web, self._secrets = book, lanes, web, secrets
        self._meter, self._configuration, self._settings = meter, configuration, settings
        self._not_before: dict[str, float] = {}
        self._at_once = asyncio.Semaphore(settings.ask_at_once)
        self._low: set[tuple[str, str]] = set()

    # ---- how they stand ---------------------------------------------------------------------------------------------

    async def states(self) -> list[AccountQuota]:
        """By account. Raises ``DependencyUnavailable``."""
        return await self._look(list(self._cared()))

    async def _look(self, cared: Sequence[Cared]) -> list[AccountQuota]:
        if not cared:
            return []
        now = clock.now_ms() / 1000
        asked = [(each.account.id, counts_of(each.quota, each.account.id, now)) for each in cared]
        now_ms, found = await self._book.look(asked)
        return [
            state_of(each.account.id, each.quota, standing, now_ms) for each, standing in zip(cared, found, strict=True)
        ]

    def _cared(self) -> Iterator[Cared]:
        configuration = self._configuration()
        for provider in configuration.providers if configuration is not None else ():
            for account in provider.accounts:
                if account.quota is not None:
                    yield Cared(provider, account, account.quota)

    # ---- who has nothing left ---------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Measure all, tell of those that have little left and routers how much each has, and open the breakers of
        those that have nothing, or close those that this has opened. Raises ``DependencyUnavailable``."""
        cared = list(self._cared())
        states = await self._look(cared)
        self._meter.remaining(
            {(state.account_id, window.name): left for state, window, left in _known(states)}
        )  # fmt: skip
        self._tell_low(states)
        configuration = self._configuration()
        if configuration is None:
            return
        used = await self._models_used() if any(window.models for state in states for window in state.windows) else {}
        wanted: list[tuple[str, float]] = []
        left = dict[str, float]()
        for each, state in zip(cared, states, strict=True):
            account = each.account.id
            models = {model.id for model in each.provider.models if model.id != "*"} | used.get(account, set())
            whole, parts = pauses(state, sorted(models), clock.now_ms() / 1000)
            wanted.append((account, whole))
            wanted += [(circuits.seat(account, model), wait) for model, wait in parts.items()]
            share, shares = shares_left(state, sorted(models))
            left |= {circuits.seat(account, model): each for model, each in shares.items()}
            left |= {account: share} if share is not None else {}
        await self._book.left(left)
        await self._book.cut(wanted if configuration.routing.breaker is not None else [])

    async def _models_used(self) -> dict[str, set[str]]:
        """Of each account the models that it was asked for of late."""
        found: dict[str, set[str]] = {}
        for lane in await self._lanes.lanes(MOST_LANES):
            circuit = circuits.read(lane.name)
            if circuit.model:
                found.setdefault(circuit.account, set()).add(circuit.model)
        return found

    def _tell_low(self, states: Sequence[AccountQuota]) -> None:
        """Once for each time that it comes to be so."""
        low = set()
        for state, window, left in _known(states):
            if (window.percent_left or 0.0) <= state.warn and not window.stale:
                low.add((state.account_id, window.name))
                if (state.account_id, window.name) not in self._low:
                    spent = is_used_up(window, state.cutoff)
                    told = {"account": state.account_id, "window": window.name, "left": round(left, 4)}
                    log.warning("a quota is used up" if spent else "a quota is running low", extra={"fields": told})
        self._low = low

    # ---- asking -----------------------------------------------------------------------------------------------------

    async def poll(self) -> None:
        """Ask about each account that is due, and is nobody else's to ask about. Raises ``DependencyUnavailable``."""
        due = [each for each in self._cared() if self._may_ask(each)]
        for outcome in await asyncio.gather(*map(self._if_due, due), return_exceptions=True):
            if isinstance(outcome, BaseException):  # Redis is away, for all of them
                raise outcome

    def _may_ask(self, cared: Cared) -> bool:
        later = self._not_before.get(cared.account.id, 0.0) > clock.monotonic()
        return bool(cared.quota.address) and self._secrets is not None and not later

    async def _if_due(self, cared: Cared) -> None:
        async with self._at_once:
            turn = await self._book.claim(cared.account.id, self._settings.ask_lease)
            if turn.fence:
                await self._ask(cared, turn)
            else:
                wait = min(turn.wait, self._settings.look_again)
                self._not_before[cared.account.id] = clock.monotonic() + wait

    async def refresh(self, account_id: str) -> AccountQuota:
        """Ask now, whenever it would be due. Raises ``InvalidRequest`` (404) for an account of which nobody can be
        asked, ``RateLimited`` where that was only just done or is under way, ``DependencyUnavailable``."""
        cared = next((each for each in self._cared() if each.account.id == account_id), None)
        if cared is None or not cared.quota.address or self._secrets is None:
            told = f"there is no account '{account_id}' whose provider is asked for its quota (quota: {{ask: …}})"
            raise InvalidRequest(told, status=404, code="not_found", param="account")
        turn = await self._book.claim(account_id, self._settings.ask_lease, self._settings.refresh_gap)
        if not turn.fence:
            told = f"the quota of {account_id} was asked for only just now, or is being asked for"
            raise RateLimited(told, retry_after=max(1.0, turn.wait))
        await self._ask(cared, turn)
        return (await self._look([cared]))[0]

    async def _ask(self, cared: Cared, turn: QuotaTurn) -> None:
        """And keep what comes of it. Raises ``DependencyUnavailable``."""
        account, quota = cared.account, cared.quota
        self._not_before.pop(account.id, None)
        try:
            async with asyncio.timeout(self._settings.ask_within):
                usage, now = await self._answer(cared)
        except (UsageUnreadable, GatewayError, TimeoutError) as error:
            reason = redact_shapes(str(error)) or f"no answer in {self._settings.ask_within:g} s"
            wait = max(_spread(_backoff(quota.every, turn.failures)), getattr(error, "wait", 0.0))
            await self._book.failed(account.id, turn, wait, reason)
            self._meter.asked(quota.ask, "failed")
            log.info("no answer on a quota", extra={"fields": {"account": account.id, "reason": reason}})
            return
        told = _told(usage, cared, now)
        said = redact_shapes(usage.plan), redact_shapes(usage.message)  # a provider may repeat what it was asked with
        await self._book.fetched(account.id, turn, _spread(quota.every), *said, told)
        self._meter.asked(quota.ask, "answered")

    async def _answer(self, cared: Cared) -> tuple[Usage, float]:
        """What is said, and when that was by the provider's clock, else ours (epoch seconds)."""
        account, quota, secret = cared.account, cared.quota, ""
        if account.secret_version and self._secrets is not None:
            found = await self._secrets.credential(CallContext(new_id()), account.id)
            secret = found.usage_secret or found.secret
            keep_secret(secret)
            if found.project and not account.project:  # what a login knows of its account
                account = msgspec.structs.replace(account, project=found.project)
        asked = ask(quota, account, secret)
        if asked is None:
            raise NotBuilt(f"nobody here knows how to ask {quota.ask}")
        answer = await self._web.fetch_for(
            account.egress,
            asked,
            allow_private=cared.provider.allow_private_address,
            within=self._settings.ask_within,
        )
        now = answer.date or clock.now_ms() / 1000
        return read(quota, answer.status, answer.headers, answer.body, now), now


def _known(states: Sequence[AccountQuota]) -> Iterator[tuple[AccountQuota, QuotaWindowState, float]]:
    for state in states:
        for window in state.windows:
            if (left := window.share_left) is not None:
                yield state, window, left


def _told(usage: Usage, cared: Cared, now: float) -> list[Told]:
    counted = counts_of(cared.quota, cared.account.id, now)
    counts = dict(zip((each.name for each in cared.quota.windows if each.is_counted), counted, strict=True))
    return [
        Told(
            name=window.name,
            of=window.of,
            used=window.used,
            total=window.total,
            ends_in=max(0.0, window.ends - now) if window.ends else 0.0,
            unlimited=window.unlimited,
            models=window.models,
            counts=counts.get(window.name),
        )
        for window in usage.windows
        if not window.ends or window.ends > now  # one that is over says nothing of the next
    ]


def _backoff(every: float, failures: int) -> float:
    return min(max(every, _LONGEST), every * 2.0 ** min(failures + 1, 10))


def _spread(seconds: float) -> float:
    return seconds * (1 + _JITTER * (2 * random.random() - 1))
