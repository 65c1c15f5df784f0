"""How accounts' quotas stand, as whoever looks after them tells it."""

import msgspec


class QuotaWindowState(msgspec.Struct, frozen=True):
    """What an account has of its provider in a window: ``used`` of ``total`` (0: not known) ``of`` "requests",
    "tokens", "input", "output", "usd", "percent" or "credits", whole numbers (nano-USD, hundredths of a percent or a
    credit). It begins anew at ``resets_at``, and would be used up at ``exhausts_at`` before that (epoch seconds, 0:
    nobody knows, or it would not). ``models`` are patterns of those that it is for, none for all. ``source`` is
    "counted" by ourselves, or told by the provider in a "header" or when it was asked ("fetched"), at ``as_of_ms``;
    what is ``stale`` may have changed since, and one that ``is_aside`` is of something that no request of ours takes,
    as far as is known."""

    name: str
    of: str
    used: int
    total: int
    resets_at: float = 0.0
    unlimited: bool = False
    models: tuple[str, ...] = ()
    source: str = "counted"
    as_of_ms: int = 0
    stale: bool = False
    exhausts_at: float = 0.0
    is_aside: bool = False

    @property
    def share_left(self) -> float | None:
        """From 0 to 1; None where nobody knows."""
        return max(0, self.total - self.used) / self.total if self.total > 0 and not self.unlimited else None

    @property
    def percent_left(self) -> float | None:
        """As ``share_left``; exact where it is a whole number."""
        return 100 * max(0, self.total - self.used) / self.total if self.share_left is not None else None


class AccountQuota(msgspec.Struct, frozen=True):
    """What a provider gives an account, as it is known. ``fetched_ms`` is when it was last fetched, ``asked_ms`` when
    that was last begun (0: never), ``failures`` how often it has failed since and ``reason`` why; ``asks`` is whether
    there is anybody to ask. ``forecast_exhausted_at`` is when the first of its windows would be used up (epoch
    seconds, 0: none). From ``cutoff`` percent on it is left alone, from ``warn`` on it is told."""

    account_id: str
    plan: str = ""
    message: str = ""
    windows: tuple[QuotaWindowState, ...] = ()
    fetched_ms: int = 0
    asked_ms: int = 0
    failures: int = 0
    reason: str = ""
    forecast_exhausted_at: float = 0.0
    asks: bool = False
    cutoff: float = 0.0
    warn: float = 0.0

    @property
    def word(self) -> str:
        """ "used_up" where no more than ``cutoff`` percent is left of a window that is for all models, "low" from
        ``warn`` on, else "ok"; "unknown" where nobody knows of any."""
        whole = [window for window in self.windows if not (window.is_aside or window.models or window.stale)]
        known = [left for window in whole if (left := window.percent_left) is not None]
        if not known:
            return "ok" if any(window.unlimited for window in self.windows) else "unknown"
        return "used_up" if min(known) <= self.cutoff else "low" if min(known) <= self.warn else "ok"
