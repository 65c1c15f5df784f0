"""Ledgers that lease, as router processes have them, and what is left of one that is killed."""

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from omni_core.events import lost_slice
from omni_core.redis import open_redis
from omni_ledger import Journal, Leasing, Ledger
from omniroute_proto.events.v1 import events_pb2
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from tests.support.ledger import until


def leasing_of(router: str, folder: Path | None, hot: int) -> Leasing:
    """As a router's process has it. ``folder`` None notes nothing."""
    return Leasing(
        router_id=router,
        lost=lambda slice_id, key_id, owners: lost_slice(slice_id, router, key_id, owners, 1, "internal"),
        journal=Journal(folder, router) if folder is not None else None,
        hot=hot,
    )


class Leaser:
    """One process' worth. ``folder`` None is for one that notes nothing."""

    def __init__(self, url: str, name: str, folder: Path | None, **options: Any) -> None:
        self.name, self.registry = name, CollectorRegistry()
        self.redis = open_redis(url)
        leasing = leasing_of(name, folder, options.pop("hot", 1))
        self.ledger = Ledger(self.redis, self.registry, leasing=leasing, recovers=folder, **options)

    @property
    def leased(self) -> float:
        """Attempts that were admitted without asking Redis."""
        return self.metric("leased_admissions_total")

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"omniroute_ledger_{name}", labels) or 0.0

    async def kill(self) -> None:
        """As ``kill -9`` does: nothing is said, and the lock on the journal is gone."""
        ledger = self.ledger
        if ledger._recovery is not None:
            await ledger._recovery.stop()
        assert ledger._lessee is not None
        ledger._lessee.stop()
        await ledger._batcher.stop()
        if ledger._journal is not None:
            ledger._journal.broken = True
            ledger._journal._map.close()
            os.close(ledger._journal._file)
        await self.redis.aclose()


@asynccontextmanager
async def leaser(url: str, name: str, folder: Path | None, **options: Any) -> AsyncIterator[Leaser]:
    made = Leaser(url, name, folder, **options)
    await made.ledger.start()
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            await made.ledger.stop()
        await made.redis.aclose()


async def heard(ledger: Ledger, words: int = 1) -> None:
    """Until nothing that was settled from slices is untold, and Redis has heard so many words about each slice."""
    lessee = ledger._lessee
    assert lessee is not None
    await until(
        lambda: not lessee._pending and all(part.seq >= words and part.on_its_way is None for part in lessee._slices)
    )


async def given_back(ledger: Ledger) -> None:
    """Until there are no slices any more."""
    lessee = ledger._lessee
    assert lessee is not None
    await until(lambda: not lessee._slices)


async def events_of(redis: Redis, router: str) -> list[events_pb2.Event]:
    raw: list[bytes] = await redis.lrange(f"quota:{{omni}}:outbox:{router}", 0, -1)  # type: ignore[assignment]
    return [events_pb2.Event.FromString(item) for item in raw]


def told(name: str, cost: int = 0, outcome: str = "ok") -> bytes:
    """An attempt's event."""
    attempt = events_pb2.AttemptEvent(
        id=name, cost_nano_usd=cost, outcome=outcome, seq=0 if outcome == "aborted" else 1
    )
    return events_pb2.Event(attempt=attempt).SerializeToString()
