"""Tunables of quota."""

import msgspec

# Lanes that are looked at: model ids can come from clients.
MOST_LANES = 1000


class QuotaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds between two looks for expired reservations, for outboxes without a router and at the breakers;
    ``reap_at_once`` bounds how many reservations one atomic step closes (Redis does nothing else meanwhile).

    ``poll_every`` is between two looks for accounts whose provider is to be asked, ``ask_within`` is how long that may
    take, for ``ask_at_once`` at a time, ``ask_lease`` after which another may ask, ``look_again`` the longest until it
    is asked whether it is due, ``refresh_gap`` between two that are asked for by hand."""

    reap_every: float = 2.0
    reap_at_once: int = 100
    adopt_every: float = 5.0
    watch_every: float = 5.0
    config_wait: float = 5.0
    poll_every: float = 5.0
    ask_within: float = 15.0
    ask_at_once: int = 8
    ask_lease: float = 60.0
    look_again: float = 60.0
    refresh_gap: float = 10.0
