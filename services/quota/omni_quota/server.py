"""QuotaPort on a gRPC listener."""

import msgspec
from omni_core.ports.quota import (
    AccountQuota,
    AllowanceState,
    BreakerState,
    KeyState,
    LimitState,
    QuotaPort,
    QuotaWindowState,
    RateState,
)
from omni_core.rpc import RpcServer, unary
from omniroute_proto.quota.v1 import quota_pb2 as pb


def register(server: RpcServer, port: QuotaPort) -> None:
    async def snapshot(request: pb.SnapshotRequest) -> pb.SnapshotResponse:
        state = await port.snapshot(request.key_id)
        return pb.SnapshotResponse(
            keys=map(_key, state.keys),
            breakers=map(_breaker, state.breakers),
            open_reservations=state.open_reservations,
            limits=map(_limit, state.limits),
            rates=map(_rate, state.rates),
            waiting_events=state.waiting_events,
            accounts=map(_account, state.accounts),
        )

    async def reset(request: pb.ResetRequest) -> pb.ResetResponse:
        await port.reset(request.account_id)
        return pb.ResetResponse()

    async def refresh_quota(request: pb.RefreshQuotaRequest) -> pb.RefreshQuotaResponse:
        return pb.RefreshQuotaResponse(account=_account(await port.refresh_quota(request.account_id)))

    async def forget_rates(request: pb.ForgetRatesRequest) -> pb.ForgetRatesResponse:
        await port.forget_rates(request.account_id)
        return pb.ForgetRatesResponse()

    server.add(
        "omniroute.quota.v1.QuotaPort",
        {
            "Snapshot": unary(pb.SnapshotRequest, snapshot),
            "Reset": unary(pb.ResetRequest, reset),
            "RefreshQuota": unary(pb.RefreshQuotaRequest, refresh_quota),
            "ForgetRates": unary(pb.ForgetRatesRequest, forget_rates),
        },
    )


def _key(key: KeyState) -> pb.KeyState:
    return pb.KeyState(
        key_id=key.key_id,
        requests_in_window=key.requests_in_window,
        requests_per_minute=key.requests_per_minute,
        spent_nano_usd=key.spent_nano_usd,
        held_nano_usd=key.held_nano_usd,
        budget_nano_usd=key.budget_nano_usd,
        budget_window=key.budget_window,
        budget_resets_at=key.budget_resets_at,
        budget_since_ms=key.budget_since_ms,
        limit_ids=key.limit_ids,
    )


def _allowance(allowance: AllowanceState) -> pb.AllowanceState:
    return pb.AllowanceState(**msgspec.structs.asdict(allowance))


def _limit(limit: LimitState) -> pb.LimitState:
    return pb.LimitState(
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
        allowances=map(_allowance, limit.allowances),
    )


def _rate(rate: RateState) -> pb.RateState:
    return pb.RateState(
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


def _breaker(breaker: BreakerState) -> pb.BreakerState:
    return pb.BreakerState(
        account_id=breaker.account_id,
        state=breaker.state,
        failures=breaker.failures,
        retry_after=breaker.retry_after,
        model=breaker.model,
        combo=breaker.combo,
        cause=breaker.cause,
        told=breaker.told,
    )


def _account(quota: AccountQuota) -> pb.AccountQuota:
    fields = msgspec.structs.asdict(quota) | {"windows": map(_window, quota.windows)}
    return pb.AccountQuota(**fields)


def _window(window: QuotaWindowState) -> pb.QuotaWindowState:
    return pb.QuotaWindowState(**msgspec.structs.asdict(window))
