"""What answers tell of their accounts' quotas, passed on to the fleet where it is news."""

from collections.abc import Mapping

from omni_catalogue.quotas import SCALE, Quota
from omni_ledger import Counts, Told

from omni_router.domain import told_quotas

# Seconds after which the same is told again: it is how the fleet knows that it still holds.
_AGAIN = 60.0
# Less than a percent (but for a hair's breadth, as these are no whole numbers), and than so many seconds, is no news.
_SHARE, _ENDS = 0.0099, 60.0
_WHOLE = 100 * SCALE["percent"]


class QuotaNews:
    """What this router has told, by account and window. There are as many as are configured."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, tuple[float, float, float]]] = {}

    def news(self, account: str, quota: Quota, headers: Mapping[str, str], now: float) -> tuple[Told, ...]:
        """Of an answer; empty where it says nothing new. ``now`` is in epoch seconds."""
        shares = told_quotas.told(headers, now)
        if not shares:
            return ()
        known = self._told.setdefault(account, {})
        if all(_is_known(known.get(share.window), share, now) for share in shares):
            return ()
        known.update({share.window: (share.used, now + share.ends_in, now) for share in shares})
        counts = {
            window.name: Counts(window.owner(account), window.of, window.at(now))
            for window in quota.windows
            if window.is_counted
        }
        return tuple(
            Told(
                name=share.window,
                of="percent",
                used=round(share.used * _WHOLE),
                total=_WHOLE,
                ends_in=share.ends_in,
                counts=counts.get(share.window),
            )
            for share in shares
        )


def _is_known(known: tuple[float, float, float] | None, share: told_quotas.Share, now: float) -> bool:
    if known is None:
        return False
    used, ends, at = known
    moved = abs(share.used - used) >= _SHARE or abs(now + share.ends_in - ends) > _ENDS
    return not moved and 0 <= now - at < _AGAIN
