"""Whether a Redis or a NATS answers, and which version it is. A probe makes its own connection and closes it, encrypted
as a service's would be, and asks for nothing that a service with the least rights may not."""

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from omni_core import members
from omni_core.bus_link import Link
from omni_core.redis import open_redis
from redis.exceptions import RedisError, ResponseError

from omni_launch.problems import CannotStart

Encryption = Callable[[], ssl.SSLContext]


async def probe_redis(url: str, *, contexts: Encryption | None = None, timeout: float = 3.0) -> str:
    """Its version. Raises ``CannotStart`` without the URL, which may hold a password."""
    try:
        client = open_redis(url, contexts)
    except ValueError as error:
        raise CannotStart("the Redis URL is not one", "It looks like redis://host:6379/0") from error
    try:
        async with asyncio.timeout(timeout):
            told = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            raise CannotStart("Redis answers, and is older than 6.0", "Use 6.2 or newer") from error
        raise CannotStart(f"Redis refuses: {_short(error)}") from error
    except (RedisError, OSError, TimeoutError) as error:
        raise CannotStart(f"Redis does not answer: {_short(error)}") from error
    finally:
        await client.aclose()
    return str(told[b"version"].decode())


async def probe_nats(url: str, *, contexts: Encryption | None = None, timeout: float = 3.0) -> str:
    """Its version, once JetStream answers; of several, comma-separated, that of the first that does. Raises
    ``CannotStart`` without the URLs, which may hold a password."""
    refusals: list[CannotStart] = []
    for one in (part.strip() for part in url.split(",")):
        try:
            return await _probe_nats(one, contexts, timeout)
        except CannotStart as error:
            refusals.append(error)
    raise refusals[0]


async def _probe_nats(url: str, contexts: Encryption | None, timeout: float) -> str:
    client, link = Client(), Link(contexts)
    client._transport = link  # there is no public way in
    told: list[Exception] = []

    async def hear(error: Exception) -> None:
        told.append(error)

    try:
        async with asyncio.timeout(timeout):
            # One try: by default a first connect is repeated sixty times, two seconds apart.
            await client.connect(
                url,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=hear,
                inbox_prefix=_inbox(url),
            )
            await _ask_jetstream(client, timeout)
            version = client.connected_server_version
    except nats.js.errors.Error as error:
        raise CannotStart(f"NATS answers, JetStream does not: {_short(error)}", "Start nats-server with -js") from error
    except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
        why = _short((told or [client.last_error or error])[-1])
        if client.is_connected:
            raise CannotStart(f"NATS answers, JetStream does not: {why}", "See what its user may do") from error
        raise CannotStart(f"NATS does not answer: {why}") from error
    finally:
        await client.close()  # after a failed connect too: the client keeps the half-open socket
        link.abort()  # and does not wait for one that is being closed, which the loop would not outlive
    return f"{version.major}.{version.minor}.{version.patch}"


async def _ask_jetstream(client: Client, timeout: float) -> None:
    try:
        await client.jetstream(timeout=timeout).stream_info(f"KV_{members.BUCKET}")
    except nats.js.errors.NotFoundError:
        return  # nothing has announced itself yet, and that is an answer


def _inbox(url: str) -> str:
    """Where answers to its user come: those that are limited hear nothing else."""
    user = urlsplit(url).username
    return f"_INBOX_{user}" if user else "_INBOX"


def _short(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text[:200]
