"""Redis clients with deadlines."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from omni_wire.errors import DependencyUnavailable
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# Seconds, to connect and for one reply. Admission gives up within this and says so.
DEADLINE = 2.0
# What a Redis that is away, starting, full or a replica says, by whichever exception it comes.
FAILURES = (RedisError, OSError, TimeoutError)


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


def bare_connection(redis: "Redis") -> AbstractConnection:
    """A connection beside the client's pool that tries nothing again and waits for ever: its user bounds each call with
    ``asyncio.timeout``, and disconnects it after any exception, as an answer may still be under way on it."""
    connection: AbstractConnection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    connection.retry = Retry(NoBackoff(), 0)
    connection.socket_timeout = None
    return connection


def unavailable(what: str, error: BaseException | None) -> DependencyUnavailable:
    """The error callers see. It names the kind of failure only: a message may hold an address or a user."""
    detail = f" ({type(error).__name__})" if error is not None else ""
    return DependencyUnavailable(f"{what} (Redis) is unavailable{detail}", retry_after=1.0)


class _Encrypted(SSLConnection):
    """The library reads a certificate once and keeps it through reconnects; this one asks each time."""

    def __init__(self, *, contexts: Callable[[], ssl.SSLContext], **given: Any) -> None:
        super().__init__(**given)
        self._contexts = contexts

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._contexts()}
