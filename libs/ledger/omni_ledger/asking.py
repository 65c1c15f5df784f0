"""One question at a time to the ledger's script, on a connection of its own, within a deadline."""

import asyncio
from typing import Any

from omni_wire.errors import Internal
from redis.asyncio import Redis

from omni_ledger import operations
from omni_ledger.operations import Operation
from omni_ledger.script import FAILURES, STEP_LUA, ScriptConnection, unavailable

WITHIN = 5.0


class Asking:
    """What is not on the way of a request asks like this. ``script`` is for tests."""

    def __init__(self, redis: Redis, *, script: str = STEP_LUA) -> None:
        self._connection = ScriptConnection(redis, script)
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        await self._connection.close()

    async def _run(self, operation: Operation) -> Any:
        """The operation's result. Raises ``DependencyUnavailable``, or ``Internal`` where the script refuses it."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(WITHIN):
                    reply = await self._connection.call(operation)
            except BaseException as error:  # also cancelled: an answer may still be under way on this connection
                await self._connection.drop()
                if isinstance(error, FAILURES):
                    raise unavailable(error) from error
                raise
        (result,) = operations.results(reply)
        if operations.failure(result) is not None:
            raise Internal("the quota ledger refused an operation")
        return result
