"""Shorthands for tests of the ledger: holds and settlements with sensible fields, and a clock that tests turn."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from omni_catalogue.snapshot import BreakerPolicy
from omni_core.redis import open_redis
from omni_ledger import BudgetHold, Hold, Ledger, Level, Settlement
from omni_ledger.script import STEP_LUA
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

CLOCK = ("test:{omni}:s", "test:{omni}:us")
CLOCKED_LUA = STEP_LUA.replace("redis.call('TIME')", f"redis.call('MGET', '{CLOCK[0]}', '{CLOCK[1]}')")
assert CLOCKED_LUA != STEP_LUA

POLICY = BreakerPolicy(failures=3, window=60, open_for=30)


def hold(attempt_id: str, **changes: Any) -> Hold:
    fields: dict[str, Any] = {
        "attempt_id": attempt_id,
        "request_id": f"request-of-{attempt_id}",
        "key_id": "key",
        "account_id": "acme/first",
        "count_request": True,
        "requests_per_minute": 0,
        "budget": None,
        "wanted_output": 100,
        "breaker": None,
        "ttl_ms": 60_000,
        "router_id": "router",
    }
    return Hold(**(fields | changes))


def budget(cap: int, *, fixed: int = 0, per_token: int = 1, window: str = "month") -> BudgetHold:
    return BudgetHold(cap_nano_usd=cap, window=window, fixed_nano_usd=fixed, per_output_token_nano_usd=per_token)


def level(owner: str, budget: BudgetHold | None = None, requests_per_minute: int = 0) -> Level:
    return Level(owner=owner, requests_per_minute=requests_per_minute, budget=budget)


def settlement(attempt_id: str, cost: int = 0, **changes: Any) -> Settlement:
    fields: dict[str, Any] = {
        "attempt_id": attempt_id,
        "account_id": "acme/first",
        "cost_nano_usd": cost,
        "outcome": "success",
        "breaker": None,
        "events": (),
        "router_id": "router",
    }
    return Settlement(**(fields | changes))


@asynccontextmanager
async def open_ledger(url: str, **options: Any) -> AsyncIterator[tuple[Ledger, Redis, CollectorRegistry]]:
    """A started ledger with a client and a registry of its own, as a router process has."""
    redis, registry = open_redis(url), CollectorRegistry()
    ledger = Ledger(redis, registry, **options)
    await ledger.start()
    try:
        yield ledger, redis, registry
    finally:
        await ledger.stop()
        await redis.aclose()


async def set_clock(redis: Redis, now_ms: int) -> None:
    """What Redis' time is for scripts made of ``CLOCKED_LUA``."""
    await redis.mset({CLOCK[0]: now_ms // 1000, CLOCK[1]: now_ms % 1000 * 1000})


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait for something that has no event to wait for, such as a metric."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
