"""QuotaPort over gRPC."""

from omniroute_proto.quota.v1 import quota_pb2 as pb

from omni_core.ports.quota import (
    REFRESH_TIMEOUT,
    AccountQuota,
    AllowanceState,
    BreakerState,
    KeyState,
    LimitState,
    QuotaSnapshot,
    QuotaWindowState,
    RateState,
)
from omni_core.rpc import Peer, ServiceChannel


class QuotaClient:
    """Satisfies ``QuotaPort``."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.quota.v1.QuotaPort", "quota")
        self._snapshot = peer.unary("Snapshot", pb.SnapshotResponse)
        self._reset = peer.unary("Reset", pb.ResetResponse)
        self._refresh_quota = peer.unary("RefreshQuota", pb.RefreshQuotaResponse, REFRESH_TIMEOUT)
        self._forget_rates = peer.unary("ForgetRates", pb.ForgetRatesResponse)

    async def snapshot(self, key_id: str = "") -> QuotaSnapshot:
        response = await self._snapshot(pb.SnapshotRequest(key_id=key_id))
        return QuotaSnapshot(
            keys=tuple(map(_key, response.keys)),
            breakers=tuple(map(_breaker, response.breakers)),
            open_reservations=response.open_reservations,
            limits=tuple(map(_limit, response.limits)),
            rates=tuple(map(_rate, response.rates)),
            waiting_events=response.waiting_events,
            accounts=tuple(map(_account, response.accounts)),
        )

    async def reset(self, account_id: str) -> None:
        await self._reset(pb.ResetRequest(account_id=account_id))

    async def refresh_quota(self, account_id: str) -> AccountQuota:
        return _account((await self._refresh_quota(pb.RefreshQuotaRequest(account_id=account_id))).account)

    async def forget_rates(self, account_id: str) -> None:
        await self._forget_rates(pb.ForgetRatesRequest(account_id=account_id))


def _key(key: pb.KeyState) -> KeyState:
    return KeyState(
        key_id=key.key_id,
        requests_in_window=key.requests_in_window,
        requests_per_minute=key.requests_per_minute,
        spent_nano_usd=key.spent_nano_usd,
        held_nano_usd=key.held_nano_usd,
        budget_nano_usd=key.budget_nano_usd,
        budget_window=key.budget_window,
        budget_resets_at=key.budget_resets_at,
        budget_since_ms=key.budget_since_ms,
        limit_ids=tuple(key.limit_ids),
    )


def _allowance(state: pb.AllowanceState) -> AllowanceState:
    return AllowanceState(
        state.of, state.most, state.window, state.used, state.held, state.resets_at, state.mode or "hard"
    )


def _limit(limit: pb.LimitState) -> LimitState:
    return LimitState(
        limit_id=limit.limit_id,
        name=limit.name,
        organisation=limit.organisation,
        requests_in_window=limit.requests_in_window,
        requests_per_minute=limit.requests_per_minute,
        spent_nano_usd=limit.spent_nano_usd,
        held_nano_usd=limit.held_nano_usd,
        budget_nano_usd=limit.budget_nano_usd,
        budget_window=limit.budget_window,
        budget_resets_at=limit.budget_resets_at,
        budget_since_ms=limit.budget_since_ms,
        allowances=tuple(map(_allowance, limit.allowances)),
    )


def _rate(rate: pb.RateState) -> RateState:
    return RateState(
        provider=rate.provider,
        account_id=rate.account_id,
        model=rate.model,
        requests_per_minute=rate.requests_per_minute,
        tokens_per_minute=rate.tokens_per_minute,
        min_gap=rate.min_gap,
        concurrent=rate.concurrent,
        learned=rate.learned,
        requests_in_window=rate.requests_in_window,
        tokens_in_window=rate.tokens_in_window,
        under_way=rate.under_way,
        waiting=rate.waiting,
    )


def _breaker(breaker: pb.BreakerState) -> BreakerState:
    return BreakerState(
        account_id=breaker.account_id,
        state=breaker.state,
        failures=breaker.failures,
        retry_after=breaker.retry_after,
        model=breaker.model,
        combo=breaker.combo,
        cause=breaker.cause,
        told=breaker.told,
    )


def _account(quota: pb.AccountQuota) -> AccountQuota:
    return AccountQuota(
        account_id=quota.account_id,
        plan=quota.plan,
        message=quota.message,
        windows=tuple(map(_window, quota.windows)),
        fetched_ms=quota.fetched_ms,
        asked_ms=quota.asked_ms,
        failures=quota.failures,
        reason=quota.reason,
        forecast_exhausted_at=quota.forecast_exhausted_at,
        asks=quota.asks,
        cutoff=quota.cutoff,
        warn=quota.warn,
    )


def _window(window: pb.QuotaWindowState) -> QuotaWindowState:
    return QuotaWindowState(
        name=window.name,
        of=window.of,
        used=window.used,
        total=window.total,
        resets_at=window.resets_at,
        unlimited=window.unlimited,
        models=tuple(window.models),
        source=window.source,
        as_of_ms=window.as_of_ms,
        stale=window.stale,
        exhausts_at=window.exhausts_at,
        is_aside=window.is_aside,
    )
