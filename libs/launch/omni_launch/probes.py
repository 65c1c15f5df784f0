"""Whether a Redis or a NATS answers, and which version it is. A probe makes its own connection and closes it."""

import asyncio

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from omni_launch.problems import CannotStart


async def probe_redis(url: str, *, timeout: float = 3.0) -> str:
    """Its version. Raises ``CannotStart`` without the URL, which may hold a password."""
    try:
        client = Redis.from_url(
            url, socket_connect_timeout=timeout, socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise CannotStart("the Redis URL is not one", "It looks like redis://host:6379/0") from error
    try:
        info = await client.info("server")
    except (RedisError, OSError, TimeoutError) as error:
        raise CannotStart(f"Redis does not answer: {_short(error)}") from error
    finally:
        await client.aclose()
    return str(info["redis_version"])


async def probe_nats(url: str, *, timeout: float = 3.0) -> str:
    """Its version, once JetStream answers. Raises ``CannotStart`` without the URL, which may hold a password."""
    client = Client()
    try:
        async with asyncio.timeout(timeout):
            # One try: by default a first connect is repeated sixty times, two seconds apart.
            await client.connect(
                url, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0, error_cb=_quiet
            )
            await client.jetstream(timeout=timeout).account_info()
        return str(client.connected_server_version)
    except nats.js.errors.Error as error:
        raise CannotStart(f"NATS answers, JetStream does not: {_short(error)}", "Start nats-server with -js") from error
    except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
        raise CannotStart(f"NATS does not answer: {_short(client.last_error or error)}") from error
    finally:
        await client.close()  # after a failed connect too: the client keeps the half-open socket


async def _quiet(_error: Exception) -> None:
    """The caller hears of it as an exception."""


def _short(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text[:200]
