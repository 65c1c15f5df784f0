"""What answers tell of rate limits, passed on to the fleet where it is news."""

from collections.abc import Mapping

from omni_ledger import LaneNews
from omni_wire.errors import GatewayError

from omni_router.domain import told_rates
from omni_router.domain.offer import Offer
from omni_router.domain.told_rates import NOTHING

# Seconds after which the same is told again, as it may have been forgotten.
_AGAIN = 60.0
# Model ids can come from clients, so what is remembered about them is bounded.
_MOST = 4096


class Rates:
    """What this router has told, by lane."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, int, float]] = {}

    def news(self, offer: Offer, headers: Mapping[str, str], error: GatewayError | None, now: float) -> LaneNews | None:
        """Of an attempt that has ended; None where it says nothing new. ``now`` is in epoch seconds."""
        told = told_rates.told(headers, error, now)
        if told is NOTHING:
            return None
        lane, limits = offer.lanes[-1].name, (told.requests_per_minute, told.tokens_per_minute)
        *known, since = self._told.get(lane, (0, 0, 0.0))
        if not told.refused and not told.left_for and (*known,) == limits and now - since < _AGAIN:
            return None
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told[lane] = (*limits, now)
        return LaneNews(
            lane=lane,
            requests_per_minute=told.requests_per_minute,
            tokens_per_minute=told.tokens_per_minute,
            requests_left=told.requests_left,
            tokens_left=told.tokens_left,
            left_for=told.left_for,
            refused=told.refused,
        )
