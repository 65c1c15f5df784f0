"""What the management API says of accounts' quotas at their providers."""

from omni_catalogue.quota_states import AccountQuota, QuotaWindowState
from omni_catalogue.quotas import SCALE
from pydantic import BaseModel


class QuotaWindowOut(BaseModel):
    """``used`` of ``total`` ``of`` "requests", "tokens", "input", "output", "usd", "percent" or "credits", null where
    that is not known. It begins anew at ``resets_at``, in ``resets_in`` seconds, and would be used up at
    ``forecast_exhausted_at`` before that, as it has gone so far; epoch seconds, null where nobody knows. ``models`` are
    patterns of the ids that it is for, none for all. ``source`` is "counted" by the gateway itself, or told by the
    provider: in the "header" of an answer, or when it was asked ("fetched"); what is used since then is added. What is
    ``stale`` may have changed since ``as_of``."""

    name: str
    of: str
    used: float
    total: float | None
    remaining: float | None
    remaining_percent: float | None
    resets_at: float | None
    resets_in: float | None
    unlimited: bool
    models: list[str]
    source: str
    as_of: float
    stale: bool
    forecast_exhausted_at: float | None

    @classmethod
    def of_state(cls, state: QuotaWindowState, now: float) -> "QuotaWindowOut":
        scale, left = SCALE.get(state.of, 1), state.share_left
        return cls(
            name=state.name,
            of=state.of,
            used=state.used / scale,
            total=state.total / scale if state.total else None,
            remaining=max(0, state.total - state.used) / scale if left is not None else None,
            remaining_percent=round(state.percent_left, 2) if state.percent_left is not None else None,
            resets_at=state.resets_at or None,
            resets_in=max(0.0, state.resets_at - now) if state.resets_at else None,
            unlimited=state.unlimited,
            models=list(state.models),
            source=state.source,
            as_of=state.as_of_ms / 1000,
            stale=state.stale,
            forecast_exhausted_at=state.exhausts_at or None,
        )


class AccountQuotaOut(BaseModel):
    """``state`` is "ok", "low", "used_up" (it is left alone until then) or "unknown". ``asks`` is whether its provider
    can be asked; it last answered at ``fetched_at`` (epoch seconds, null for never), and has failed so often since, the
    last time for that ``reason``."""

    account: str
    plan: str
    message: str
    state: str
    windows: list[QuotaWindowOut]
    forecast_exhausted_at: float | None
    asks: bool
    fetched_at: float | None
    failures: int
    reason: str

    @classmethod
    def of_state(cls, state: AccountQuota, now: float) -> "AccountQuotaOut":
        return cls(
            account=state.account_id,
            plan=state.plan,
            message=state.message,
            state=state.word,
            windows=[QuotaWindowOut.of_state(window, now) for window in state.windows],
            forecast_exhausted_at=state.forecast_exhausted_at or None,
            asks=state.asks,
            fetched_at=state.fetched_ms / 1000 if state.fetched_ms else None,
            failures=state.failures,
            reason=state.reason,
        )
