"""How an account's quota stands: what we count of it ourselves, corrected by what its provider said last. Pure.

What was told of a window holds until that ends; what has gone through us since is added to it. Then our own count
stands alone until somebody tells again. Nothing that was told is believed for longer than such a window lasts.
"""

from collections.abc import Iterator, Sequence

from omni_catalogue.quota_states import AccountQuota, QuotaWindowState
from omni_catalogue.quotas import PERCENT, SPANS, Quota, QuotaWindow, matches
from omni_ledger import FETCHED, Counts, Known, QuotaStanding

from omni_quota.domain.forecast import exhausted_at, used_up_at

COUNTED = "counted"
# Milliseconds that two clocks may be apart; what was told later than that by ours is of one that was put back.
_SLACK = 60_000
# Seconds: what headers told so long ago may have changed by others' use.
_HEADERS_HOLD = 3_600.0
# Seconds for which an account is left alone of which nothing says when it has some again.
_UNTIL_TOLD = 600.0


def counts_of(quota: Quota, account: str, now: float) -> tuple[Counts, ...]:
    """What the ledger is asked for, of the windows that are counted; ``now`` in epoch seconds."""
    return tuple(
        Counts(window.owner(account), window.of, window.at(now)) for window in quota.windows if window.is_counted
    )


def state_of(account: str, quota: Quota, standing: QuotaStanding, now_ms: int) -> AccountQuota:
    """``standing`` has what ``counts_of`` asks for; ``now_ms`` is Redis' time."""
    windows = tuple(_windows(quota, standing, now_ms))
    ends = [window.exhausts_at for window in windows if window.exhausts_at and not window.is_aside]
    return AccountQuota(
        account_id=account,
        plan=standing.plan,
        message=standing.message,
        windows=windows,
        fetched_ms=standing.fetched_ms,
        asked_ms=standing.asked_ms,
        failures=standing.failures,
        reason=standing.reason,
        forecast_exhausted_at=min(ends, default=0.0),
        asks=bool(quota.address),
        cutoff=quota.cutoff,
        warn=quota.warn,
    )


def _windows(quota: Quota, standing: QuotaStanding, now_ms: int) -> Iterator[QuotaWindowState]:
    told = {known.name: known for known in standing.windows if not _is_over(known, now_ms)}
    counts = iter(standing.counts)
    for window in quota.windows:
        counted = next(counts, None) if window.is_counted else None
        known = told.pop(window.name, None)
        if known is not None:
            since = _since(known, window, counted[0] if counted is not None else -1)
            yield _told(known, window, since, quota, standing, now_ms)
        elif counted is not None:
            used, _, ends = counted
            yield _shown(
                window.name, window.of, used, window.most, float(ends), False, window.models, COUNTED, now_ms, False,
                now_ms, window,
            )  # fmt: skip
    for known in told.values():
        yield _told(known, None, 0, quota, standing, now_ms)


def _is_over(known: Known, now_ms: int) -> bool:
    """Its window has ended, or must have; or it was told in the future."""
    if known.at_ms > now_ms + _SLACK:
        return True
    span = _span(known.name) * 1000
    return 0 < known.ends_ms <= now_ms or (span > 0 and known.at_ms + span <= now_ms)


def _span(name: str) -> int:
    """Seconds that a window lasts, by its name; 0 for one that does not end, or has a name of its own."""
    return SPANS.get(name.partition(":")[0], 0)


def _since(known: Known, window: QuotaWindow, counted: int) -> int:
    """What we have counted since it was told, as what it is told in; 0 where that is of another window by now."""
    more = counted - known.counted
    if known.counted < 0 or more <= 0:
        return 0
    if known.of == window.of:
        return more
    return more * PERCENT // window.most if known.of == "percent" and window.most else 0


def _told(
    known: Known, window: QuotaWindow | None, since: int, quota: Quota, standing: QuotaStanding, now_ms: int
) -> QuotaWindowState:
    age = (now_ms - known.at_ms) / 1000
    if known.how == FETCHED:
        stale = standing.failures > 0 or age > 3 * quota.every + _SLACK / 1000
    else:
        stale = age > max(_HEADERS_HOLD, 3 * quota.every)
    models = known.models or (window.models if window is not None else ())
    return _shown(
        known.name, known.of, known.used + since, known.total, known.ends_ms / 1000, known.unlimited, models,
        known.how, known.at_ms, stale, now_ms, window, known.days,
    )  # fmt: skip


def _shown(
    name: str, of: str, used: int, total: int, ends: float, unlimited: bool, models: tuple[str, ...], source: str,
    as_of_ms: int, stale: bool, now_ms: int, window: QuotaWindow | None, days: Sequence[tuple[int, int]] = (),
) -> QuotaWindowState:  # fmt: skip
    now = now_ms / 1000
    begins = _begins(window, ends, now) if window is not None else ends - _span(name)
    foreseen = exhausted_at(used, total, begins, ends, now) if not unlimited and ends > begins else None
    if not unlimited and not ends and days and not _span(name):
        foreseen = used_up_at(used, total, [(at / 1000, then) for at, then in days], now)
    return QuotaWindowState(
        name=name,
        of=of,
        used=used,
        total=total,
        resets_at=ends,
        unlimited=unlimited,
        models=models,
        source=source,
        as_of_ms=as_of_ms,
        stale=stale,
        exhausts_at=foreseen or 0.0,
        # A part of what there is, of which nobody says for which models it is, and nobody asked about.
        is_aside=window is None and not models and ":" in name,
    )


def _begins(window: QuotaWindow, ends: float, now: float) -> float:
    if window.resets == "calendar" and isinstance(borders := window.at(now), tuple) and len(borders) == 5:
        return float(max((start for start in borders[1:] if start < ends), default=0))
    return ends - SPANS[window.window]


# ---- what follows from it -------------------------------------------------------------------------------------------


def is_used_up(window: QuotaWindowState, cutoff: float) -> bool:
    """Whether no more than ``cutoff`` percent is left. What is stale says nothing: then it is tried."""
    left = window.percent_left
    return left is not None and not window.stale and not window.is_aside and left <= cutoff


def pauses(quota: AccountQuota, models: Sequence[str], now: float) -> tuple[float, dict[str, float]]:
    """For how many seconds the account is to be left alone, and it for each of the ``models`` that a window of its own
    is for; 0 for not at all. ``now`` in epoch seconds."""
    whole, parts = 0.0, dict[str, float]()
    for window in quota.windows:
        spent = is_used_up(window, quota.cutoff)
        wait = max(0.0, (window.resets_at or now + _UNTIL_TOLD) - now) if spent else 0.0
        if not window.models:
            whole = max(whole, wait)
            continue
        for model in models:
            if matches(window.models, model):
                parts[model] = max(parts.get(model, 0.0), wait)
    return whole, parts


def shares_left(quota: AccountQuota, models: Sequence[str]) -> tuple[float | None, dict[str, float]]:
    """Of the account's tightest window that is for all models, and of the tightest for each of the ``models`` that a
    window of its own is for: from 0 to 1, None where nobody knows. What is stale says nothing."""
    whole: float | None = None
    parts = dict[str, float]()
    for window in quota.windows:
        left = window.share_left
        if left is None or window.stale or window.is_aside:
            continue
        if not window.models:
            whole = left if whole is None else min(whole, left)
            continue
        for model in models:
            if matches(window.models, model):
                parts[model] = min(parts.get(model, 1.0), left)
    return whole, parts
