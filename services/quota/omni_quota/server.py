"""QuotaPort on a gRPC listener."""

from omni_core.ports.quota import BreakerState, KeyState, QuotaPort
from omni_core.rpc import RpcServer, unary
from omniroute_proto.quota.v1 import quota_pb2 as pb


def register(server: RpcServer, port: QuotaPort) -> None:
    async def snapshot(request: pb.SnapshotRequest) -> pb.SnapshotResponse:
        state = await port.snapshot(request.key_id)
        return pb.SnapshotResponse(
            keys=map(_key, state.keys),
            breakers=map(_breaker, state.breakers),
            open_reservations=state.open_reservations,
        )

    async def reset(request: pb.ResetRequest) -> pb.ResetResponse:
        await port.reset(request.account_id)
        return pb.ResetResponse()

    server.add(
        "omniroute.quota.v1.QuotaPort",
        {"Snapshot": unary(pb.SnapshotRequest, snapshot), "Reset": unary(pb.ResetRequest, reset)},
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
