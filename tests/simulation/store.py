"""In the place of Redis: the plain model of the ledger, and lines to it that lose and delay what they carry."""

import asyncio
import hashlib
from random import Random
from typing import Any

import msgspec
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.simulation.auditor import Auditor
from tests.support.ledger_model import Model
from tests.support.ledger_step import pack, perform, split


class Trace:
    """A digest of all that happened, to tell two runs apart."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.lines = 0

    def add(self, *what: object) -> None:
        self._hash.update(repr(what).encode())
        self.lines += 1

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class Store:
    """One for all routers. Every operation is looked at by the auditor, before and after."""

    def __init__(self, model: Model, auditor: Auditor, epoch_ms: int, trace: Trace) -> None:
        self.model, self._auditor, self._epoch, self._trace = model, auditor, epoch_ms, trace

    def step(self, arguments: list[bytes]) -> bytes:
        model = self.model
        model.now = self._epoch + int(asyncio.get_running_loop().time() * 1000)
        results = []
        for operation, blobs in split(arguments):
            before = self._auditor.before(operation)
            result = perform(model, operation, blobs)
            self._auditor.saw(operation, blobs, result, before)
            self._trace.add(model.now, operation, result)
            results.append(result)
        return pack(results)

    def reap(self) -> None:
        self.step([msgspec.msgpack.encode(("reap", 0, 100))])


class Trouble(msgspec.Struct, frozen=True):
    """Of a line: how often a message is lost before it arrives or its answer after, arrives late, or nothing is heard
    any more; seconds of delay at most; and when the whole of it is away, from and to."""

    lost: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    silent: float = 0.0
    delay: float = 0.01
    outages: tuple[tuple[float, float], ...] = ()


class Line:
    """A router's ``ScriptConnection``."""

    def __init__(self, store: Store, trouble: Trouble, chance: Random) -> None:
        self.trouble, self._store, self._chance = trouble, store, chance
        self.cut = False
        self.troubled: list[float] = []  # when

    async def call(self, arguments: list[bytes]) -> object:
        loop, chance, trouble = asyncio.get_running_loop(), self._chance, self.trouble
        await asyncio.sleep(chance.uniform(0.0005, trouble.delay))
        now = loop.time()
        draw = chance.random()
        if self.cut or any(start <= now < end for start, end in trouble.outages):
            self._fail(now, "away")
        for name in ("lost", "unanswered", "late", "silent"):
            share: float = getattr(trouble, name)
            if draw < share:
                self.troubled.append(now)
                return await self._go_wrong(name, arguments)
            draw -= share
        reply = self._store.step(arguments)
        await asyncio.sleep(chance.uniform(0.0005, trouble.delay))
        return reply

    async def _go_wrong(self, how: str, arguments: list[bytes]) -> Any:
        chance, loop = self._chance, asyncio.get_running_loop()
        heard = chance.random() < 0.6  # of the end of the connection; else it hangs
        if how == "unanswered":
            self._store.step(arguments)
        elif how == "late":  # it was in the network, and whoever sent it has given up
            loop.call_later(chance.uniform(0.0, 4.0), self._store.step, arguments)
        if heard and how != "silent":
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            self._fail(loop.time(), how)
        await asyncio.sleep(3600.0)  # until its deadline
        raise AssertionError("the batcher waits for ever")

    def _fail(self, now: float, how: str) -> None:
        self.troubled.append(now)
        raise RedisConnectionError(how)

    async def drop(self) -> None:
        """Nothing is kept open."""

    async def close(self) -> None:
        await self.drop()
