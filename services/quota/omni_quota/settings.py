"""Tunables of quota."""

import msgspec


class QuotaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds between two looks for expired reservations, for outboxes without a router and at the breakers;
    ``reap_at_once`` bounds how many reservations one atomic step closes (Redis does nothing else meanwhile)."""

    reap_every: float = 2.0
    reap_at_once: int = 100
    adopt_every: float = 5.0
    watch_every: float = 5.0
    config_wait: float = 5.0
