"""One Lua script on one connection: calls that arrive while others are under way go out together in the next turn.

A connection of its own, so that nothing here waits behind the ledger, and the ledger never behind an answer of
megabytes. A turn whose connection broke is sent once more: what the script does is the same when done twice.
"""

import asyncio
import hashlib
import logging
from collections import deque
from typing import Any

import hiredis
from omni_core import redis
from omni_core.redis import FAILURES
from omni_wire.errors import DependencyUnavailable
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

log = logging.getLogger("omniroute.router")

DEADLINE = 1.8  # seconds, for a turn
MOST_AT_ONCE = 64
MOST_BYTES = 1024 * 1024

Argument = str | bytes | int


class Call:
    __slots__ = ("arguments", "future", "size")

    def __init__(self, key: str, arguments: tuple[Argument, ...], future: "asyncio.Future[Any]") -> None:
        self.arguments: tuple[Argument, ...] = ("1", key, *arguments)
        self.future = future
        self.size = sum(len(each) for each in arguments if not isinstance(each, int))


class ScriptQueue:
    """``call`` from any task. Nothing connects before the first."""

    def __init__(self, client: "Redis", script: str) -> None:
        self._redis = client
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._queue: deque[Call] = deque()
        self._turning: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    async def call(self, key: str, *arguments: Argument) -> Any:
        """The script's reply, undecoded. Raises ``DependencyUnavailable`` within two turns' time (4 s)."""
        loop = asyncio.get_running_loop()
        call = Call(key, arguments, loop.create_future())
        self._queue.append(call)
        if self._turning is None or self._turning.done():
            self._turning = loop.create_task(self._turns(), name="recordings")
        return await call.future

    async def close(self) -> None:
        """End; what still waits fails."""
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.wait([self._turning])
        await self._drop()

    async def _turns(self) -> None:
        batch: list[Call] = []
        try:
            while batch := self._take():
                try:
                    async with asyncio.timeout(DEADLINE):
                        replies = await self._exchange(batch)
                except FAILURES as error:
                    await self._drop()
                    _fail([*batch, *self._queue], error)  # the next turn would take as long to fail
                    self._queue.clear()
                    continue
                for call, reply in zip(batch, replies, strict=True):
                    if isinstance(reply, ResponseError):
                        log.error("redis refused a recording", extra={"fields": {"error": str(reply)}})
                        _fail([call], reply)
                    elif not call.future.done():
                        call.future.set_result(reply)
        finally:  # also cancelled: an answer may still be under way on this connection
            if batch:
                await self._drop()
                _fail([*batch, *self._queue], None)
                self._queue.clear()

    def _take(self) -> list[Call]:
        batch: list[Call] = []
        size = 0
        while self._queue and len(batch) < MOST_AT_ONCE:
            size += self._queue[0].size
            if batch and size > MOST_BYTES:
                break
            call = self._queue.popleft()
            if not call.future.done():  # whoever asked has gone
                batch.append(call)
        return batch

    async def _exchange(self, batch: list[Call]) -> list[Any]:
        try:
            return await self._ask(batch)
        except (RedisConnectionError, OSError):
            await self._drop()
            return await self._ask(batch)

    async def _ask(self, batch: list[Call]) -> list[Any]:
        connection = self._connection or await self._connect()
        replies = await self._send(connection, "EVALSHA", self._sha, batch)
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self._send(connection, "EVAL", self._script, [batch[at] for at in unknown])
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply
        return replies

    async def _send(self, connection: AbstractConnection, verb: str, script: str, batch: list[Call]) -> list[Any]:
        # Its stub knows tuples of one only.
        packed = b"".join([hiredis.pack_command((verb, script, *call.arguments)) for call in batch])  # type: ignore[arg-type]
        await connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        for _ in batch:
            try:
                replies.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
        return replies

    async def _connect(self) -> AbstractConnection:
        self._connection = connection = redis.bare_connection(self._redis)
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def unavailable(error: BaseException | None) -> DependencyUnavailable:
    return redis.unavailable("the store of recorded answers", error)


def _fail(calls: list[Call], error: BaseException | None) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(unavailable(error))
