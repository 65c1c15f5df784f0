"""Tunables of analytics."""

from collections.abc import Mapping

import msgspec
from omni_wire.errors import InvalidRequest

USAGE_STREAM = "OMNIROUTE_USAGE"
USAGE_SUBJECTS = "omniroute.usage.*"
DURABLE = "analytics"
DEAD_STREAM = "OMNIROUTE_DEAD"
DEAD_SUBJECTS = "omniroute.dead.*"
DEAD_SUBJECT = "omniroute.dead.usage"


BODIES_BYTES = 1 << 30


class AnalyticsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds.

    ``fetch_messages`` are taken at once and share one transaction; ``fetch_wait`` bounds the wait for the first. After
    a fetch that brought something, but not all it could, the next one waits ``linger``: while there is traffic, more
    messages then share a fetch and a commit, which cost as much for one event as for many.
    A message that cannot be taken is tried ``max_deliveries`` times, ``retry_delay`` (doubling, at most
    ``retry_delay_max``) apart. Behind by more than ``lag_limit`` is reported as not well. What begins more than
    ``clock_slack`` from now is marked. Rows are kept ``keep_days``
    whole days, 0 for ever; whether there are older ones is looked for every ``keep_every``. What webhooks are to be
    told is looked for every ``notify_every``, ``notices_at_once``, each for ``notify_timeout`` at the most. Bodies that
    are kept take ``bodies_most_bytes`` at the most, sealed; which of them must go is looked for every
    ``bodies_sweep_every``. The first start waits ``config_wait`` for the configuration that names webhooks.
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
    clock_slack: int = 300
    keep_days: int = 0
    keep_every: float = 600.0
    notify_every: float = 1.0
    notify_timeout: float = 10.0
    notices_at_once: int = 16
    bodies_most_bytes: int = BODIES_BYTES
    bodies_sweep_every: float = 30.0
    config_wait: float = 2.0


KEEP_DAYS = "OMNIROUTE_ANALYTICS_KEEP_DAYS"
# A row is forgotten long after whatever may yet replace it has come: a reservation ends within hours.
LEAST_DAYS = 2


def kept_days(env: Mapping[str, str]) -> int:
    """``OMNIROUTE_ANALYTICS_KEEP_DAYS``: how long rows are kept, 0 (the default) for ever. Raises
    ``InvalidRequest``."""
    given = env.get(KEEP_DAYS, "").strip() or "0"
    if given.isascii() and given.isdigit() and (int(given) == 0 or LEAST_DAYS <= int(given) <= 100_000):
        return int(given)
    raise InvalidRequest(f"{KEEP_DAYS} is 0, for ever, or a number of days from {LEAST_DAYS}", param=KEEP_DAYS)


BODIES_MAX_BYTES = "OMNIROUTE_ANALYTICS_BODIES_MAX_BYTES"


def most_bodies(env: Mapping[str, str]) -> int:
    """``OMNIROUTE_ANALYTICS_BODIES_MAX_BYTES``: what kept bodies may take, the oldest going first. Raises
    ``InvalidRequest``."""
    given = env.get(BODIES_MAX_BYTES, "").strip() or str(BODIES_BYTES)
    if given.isascii() and given.isdigit() and 1 << 20 <= int(given) <= 1 << 50:
        return int(given)
    raise InvalidRequest(f"{BODIES_MAX_BYTES} is a number of bytes, 1048576 at least", param=BODIES_MAX_BYTES)
