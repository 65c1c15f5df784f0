"""Redis clients with deadlines."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

# Seconds, to connect and for one reply. Admission gives up within this and says so.
DEADLINE = 2.0


def open_redis(url: str) -> "Redis":
    """A client of ``url`` that connects when first used and never waits longer than ``DEADLINE``.

    Nothing is retried: whether a script may run twice is for its caller to know. Connections that died while idle are
    replaced before use.
    """
    return Redis.from_url(
        url,
        protocol=3,
        socket_timeout=DEADLINE,
        socket_connect_timeout=DEADLINE,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
