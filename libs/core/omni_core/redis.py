"""Redis clients with deadlines."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

# Seconds, to connect and for one reply. Admission gives up within this and says so.
DEADLINE = 2.0


def open_redis(url: str, contexts: Callable[[], ssl.SSLContext] | None = None) -> "Redis":
    """A client of ``url`` that connects when first used and never waits longer than ``DEADLINE``. Where the URL says
    rediss://, each connection is encrypted as ``contexts`` has it at that moment.

    Nothing is retried: whether a script may run twice is for its caller to know. Connections that died while idle are
    replaced before use.
    """
    client = Redis.from_url(
        url,
        protocol=3,
        socket_timeout=DEADLINE,
        socket_connect_timeout=DEADLINE,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    if contexts is not None and issubclass(pool.connection_class, SSLConnection):
        pool.connection_class = _Encrypted
        pool.connection_kwargs["contexts"] = contexts
    return client


class _Encrypted(SSLConnection):
    """The library reads a certificate once and keeps it through reconnects; this one asks each time."""

    def __init__(self, *, contexts: Callable[[], ssl.SSLContext], **given: Any) -> None:
        super().__init__(**given)
        self._contexts = contexts

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._contexts()}
