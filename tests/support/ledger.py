"""Shorthands for tests of the ledger: holds and settlements with sensible fields, and a clock that tests turn."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from omni_catalogue.snapshot import BreakerPolicy
from omni_catalogue.windows import Window
from omni_core.redis import open_redis
from omni_ledger import AllowanceHold, BudgetHold, Evidence, Hold, Janitor, Ledger, Level, Settlement
from omni_ledger.script import STEP_LUA
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

CLOCK = ("test:{omni}:s", "test:{omni}:us")
CLOCKED_LUA = STEP_LUA.replace("redis.call('TIME')", f"redis.call('MGET', '{CLOCK[0]}', '{CLOCK[1]}')")
assert CLOCKED_LUA != STEP_LUA

POLICY = BreakerPolicy(failures=3, window=60, open_for=30)
START = 1_900_000_000_000  # milliseconds; 2030-03-17T17:46:40Z. Not in the past: the keys' own expiry is by real time


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


def budget(
    cap: int, *, fixed: int = 0, per_token: int = 1, window: Window = "month", is_whole: bool = False
) -> BudgetHold:
    return BudgetHold(
        cap_nano_usd=cap,
        window=window,
        fixed_nano_usd=fixed,
        per_output_token_nano_usd=per_token,
        is_whole=is_whole,
    )


def level(
    owner: str, budget: BudgetHold | None = None, requests_per_minute: int = 0, *allowances: AllowanceHold
) -> Level:
    return Level(owner=owner, requests_per_minute=requests_per_minute, budget=budget, allowances=allowances)


def allowance(
    of: str,
    most: int,
    window: Window = "",
    fixed: int = 0,
    per_token: int = 0,
    warn: tuple[int, ...] | None = None,
    *,
    refuses: bool = False,
) -> AllowanceHold:
    """Without percents it refuses whatever is said."""
    limit = ("l1", "team/core/soft", "default")
    return AllowanceHold(
        of=of,
        most=most,
        window=window,
        fixed=fixed,
        per_output_token=per_token,
        warn=warn,
        limit=limit,
        refuses=refuses or warn is None,
    )


def settlement(
    attempt_id: str,
    cost: int = 0,
    *,
    outcome: str = "success",
    cause: str = "",
    told: float = 0.0,
    circuit: str = "acme/first",
    **changes: Any,
) -> Settlement:
    fields: dict[str, Any] = {
        "attempt_id": attempt_id,
        "cost_nano_usd": cost,
        "breaker": None,
        "events": (),
        "router_id": "router",
        "evidence": (Evidence(circuit, outcome, cause or ("failing" if outcome == "failure" else ""), told),),
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


class Stage:
    """A ledger and a janitor whose clock the test turns."""

    def __init__(self, ledger: Ledger, janitor: Janitor, redis: Redis, registry: CollectorRegistry) -> None:
        self.ledger, self.janitor, self.redis, self.registry = ledger, janitor, redis, registry
        self.now = START

    async def at(self, now_ms: int) -> None:
        self.now = now_ms
        await set_clock(self.redis, now_ms)

    async def later(self, seconds: float) -> None:
        await self.at(self.now + round(seconds * 1000))

    async def money(self, window: str = "month") -> tuple[int, int]:
        """Spent and held of "key"."""
        (standing,) = (await self.janitor.look([("key", window)], [])).keys
        return standing.spent_nano_usd, standing.held_nano_usd

    async def outbox(self, router: str = "router") -> list[bytes]:
        events: list[bytes] = await self.redis.lrange(f"quota:{{omni}}:outbox:{router}", 0, -1)  # type: ignore[assignment]
        return events

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"omniroute_ledger_{name}", labels)


@asynccontextmanager
async def open_stage(url: str) -> AsyncIterator[Stage]:
    async with open_redis(url) as client:
        await set_clock(client, START)
    async with open_ledger(url, script=CLOCKED_LUA) as (ledger, redis, registry):
        janitor = Janitor(redis, script=CLOCKED_LUA)
        yield Stage(ledger, janitor, redis, registry)
        await janitor.close()
