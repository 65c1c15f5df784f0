"""Tunables of analytics."""

import msgspec

USAGE_STREAM = "OMNIROUTE_USAGE"
USAGE_SUBJECTS = "omniroute.usage.*"
DURABLE = "analytics"
DEAD_STREAM = "OMNIROUTE_DEAD"
DEAD_SUBJECTS = "omniroute.dead.*"
DEAD_SUBJECT = "omniroute.dead.usage"


class AnalyticsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds.

    ``fetch_messages`` are taken at once and share one transaction; ``fetch_wait`` bounds the wait for the first. After
    a fetch that brought something, but not all it could, the next one waits ``linger``: while there is traffic, more
    messages then share a fetch and a commit, which cost as much for one event as for many.
    A message that cannot be taken is tried ``max_deliveries`` times, ``retry_delay`` (doubling, at most
    ``retry_delay_max``) apart. Behind by more than ``lag_limit`` is reported as not well.
    """

    fetch_messages: int = 64
    fetch_wait: float = 1.0
    linger: float = 0.5
    max_deliveries: int = 5
    retry_delay: float = 1.0
    retry_delay_max: float = 30.0
    reconnect_delay: float = 1.0
    query_timeout: float = 5.0
    lag_limit: float = 300.0
