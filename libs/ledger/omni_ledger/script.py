"""Lua scripts and the one connection that runs each of them.

The scripts are in ``lua/``. ``EVALSHA`` first, ``EVAL`` when Redis does not know it (a restart, ``SCRIPT FLUSH``); a
script that was not known has not run, so that is always safe.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

import hiredis
from omni_core import redis
from omni_core.redis import FAILURES as FAILURES
from omni_wire.errors import DependencyUnavailable
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

# Routes the call on Redis Cluster: every key the scripts touch has this hash tag.
_ANCHOR = "quota:{omni}:ledger"
_LUA = Path(__file__).parent / "lua"

_PARTS = (
    *("base", "rate", "budget", "counts", "leases", "levels", "breaker", "lanes", "retries", "choice", "quotas"),
    "step",
)
STEP_LUA = "\n".join((_LUA / f"{part}.lua").read_text() for part in _PARTS)
RELAY_LUA = (_LUA / "relay.lua").read_text()


class ScriptConnection:
    """One script on one connection of its own, one call at a time (the caller sees to that).

    A connection of its own, because redis-py's pool, retries and timers cost more than the call itself, and because
    its own retries would outlast our deadlines: the caller bounds a call with ``asyncio.timeout`` and, after any
    exception, must ``drop`` the connection (an answer may still be under way on it).
    """

    def __init__(self, client: "Redis", script: str) -> None:
        self._redis = client
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._known = ("EVALSHA", sha, "1", _ANCHOR)
        self._whole = ("EVAL", script, "1", _ANCHOR)
        self._connection: AbstractConnection | None = None

    async def call(self, args: list[bytes]) -> object:
        """Run the script with ``args``; the reply is undecoded. Raises one of ``FAILURES``."""
        connection = self._connection or await self._connect()
        try:
            return await self._ask(connection, (*self._known, *args))
        except NoScriptError:
            return await self._ask(connection, (*self._whole, *args))

    async def _ask(self, connection: AbstractConnection, command: tuple[str | bytes, ...]) -> object:
        # hiredis packs into one buffer, several times cheaper than redis-py; its stub knows tuples of one only.
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]
        await connection.send_packed_command(packed, check_health=False)
        return await connection.read_response(disable_decoding=True)

    async def _connect(self) -> AbstractConnection:
        connection = self._connection = redis.bare_connection(self._redis)
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    async def drop(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """``drop``, and wait until it is closed, as long as that does not take longer than connecting may."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisTimeoutError):
                await connection.disconnect()


def unavailable(error: BaseException | None) -> DependencyUnavailable:
    """The error callers see."""
    return redis.unavailable("the quota ledger", error)
