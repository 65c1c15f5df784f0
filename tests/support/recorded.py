"""Routers that share a Redis and record answers in it, and requests whose answers are watched as they come."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import msgspec
from omni_catalogue import snapshot as s
from omni_core.ports.router import CompleteCall, Head
from omni_router.adapters.embeddings import ProviderEmbeddings
from omni_router.adapters.local_embeddings import LocalEmbeddings
from omni_router.adapters.meanings import RedisMeanings
from omni_router.adapters.recordings import RedisRecordings
from omni_router.adapters.scripts import unavailable
from omni_router.service.embedding import Embedder
from omni_router.service.remembering import RememberingRouter
from omni_simulator import Simulator
from omni_wire.errors import GatewayError
from redis.asyncio import Redis

from tests.support.router import PATIENT, Harness, translator

LEASE = 1.0


class Recorder(Harness):
    """A router whose duplicates are answered from recordings; ``kill`` ends it as a crash does."""

    def __init__(self, redis: Redis, simulator: Simulator, lease: float = LEASE) -> None:
        super().__init__(redis, simulator, translator())
        settings = msgspec.structs.replace(self.tools.settings, recording_lease=lease)
        self.tools = msgspec.structs.replace(self.tools, settings=settings)
        self.store = RedisRecordings(redis, self.router_id, settings.recording_full_at)
        self.meanings = RedisMeanings(redis)
        at = partial(ProviderEmbeddings, self.upstream, self.tools.credentials)
        self.embedder = Embedder(self.tools, self.metrics, at, LocalEmbeddings())
        self.port = RememberingRouter(
            self.service, self.tools, self.store, self.store.cache(), self.meanings, self.embedder, self.metrics
        )

    def use(self, snapshot: s.Snapshot) -> None:
        self.port.prepare(snapshot)()

    def idempotent(self, **fields: Any) -> None:
        """Take ``routing.idempotency`` into use."""
        policy = s.Idempotency(**fields)
        self.configure(routing=s.Routing(breaker=None, timeouts=PATIENT, idempotency=policy))

    def begin(self, model: str, name: str | None = "one", **options: Any) -> "Asking":
        headers = options.pop("headers", {}) | ({"idempotency-key": name} if name is not None else {})
        return self.begin_call(self.call(model, headers=headers, **options))

    def begin_call(self, call: CompleteCall) -> "Asking":
        return Asking(self, call)

    def counted(self, outcome: str) -> float:
        return self.registry.get_sample_value("omniroute_router_recordings_total", {"outcome": outcome}) or 0.0

    def calls(self) -> int:
        """How often the provider was asked."""
        return len(self.simulator.recent)


class Asking:
    """One request under way: ``head``, ``data`` so far, ``error`` when it failed. ``leave`` as a client does."""

    def __init__(self, router: Recorder, call: CompleteCall) -> None:
        self.call = call
        self.head: Head | None = None
        self.data = b""
        self.error: GatewayError | None = None
        self._task = asyncio.create_task(self._read(router))

    async def _read(self, router: Recorder) -> None:
        try:
            async with contextlib.aclosing(router.port.complete(self.call)) as frames:
                async for frame in frames:
                    if isinstance(frame, Head):
                        self.head = frame
                    else:
                        self.data += frame
        except GatewayError as error:
            self.error = error

    @property
    def over(self) -> bool:
        return self._task.done()

    @property
    def mark(self) -> str:
        assert self.head is not None
        return self.head.idempotent

    async def done(self, seconds: float = 20.0) -> "Asking":
        async with asyncio.timeout(seconds):
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()
        return self

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@contextlib.asynccontextmanager
async def recorders(redis_url: str, count: int, lease: float = LEASE) -> AsyncIterator[Sequence[Recorder]]:
    simulator = Simulator("127.0.0.1", 0)
    await simulator.start()
    made = [Recorder(Redis.from_url(redis_url), simulator, lease) for _ in range(count)]
    for each in made:
        await each.upstream.start()
        await each.ledger.start()
        each.configure()
    try:
        yield made
    finally:
        for each in made:
            await each.port.stop()
            await each.store.close()
            await each.meanings.close()
            await each.ledger.stop()
            await each.upstream.stop()
        await simulator.stop()
        for each in made:
            await each.redis.aclose()


def crash(router: Recorder) -> None:
    """As a router dies, or its store goes away: it writes nothing any more."""

    async def silent(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(0.05)
        raise unavailable(None)

    router.store._scripts.call = silent  # type: ignore[method-assign]
