"""What a router's plan of a request costs, a JSON line a shape: ``make bench-planning``.

A *plan* is everything from the bytes of a request of 1 KB to the first candidate: reading what it asks, whose it is and
what that key may do, the candidates with their prices, rules and limits, and the order that the strategies give; and
then the reservation that is asked for, packed for the ledger. The ledger answers at once, so that no waiting for Redis
is in it: that is in ``make bench``. Each figure is processor time of one thread, the best of many short rounds.
"""

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from time import process_time
from typing import Any, Final, cast

from omni_catalogue import snapshot as s
from omni_core.ids import new_id
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall
from omni_core.telemetry import new_registry
from omni_ledger import Grant, Hold, Ledger, Pick, Picked, WarmPlace, operations
from omni_router.adapters.events import ProtobufEvents
from omni_router.service.attempt import Attempt
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.router import RouterService
from omni_router.service.run import Run
from omni_router.service.turns import Turns
from omni_router.settings import RouterSettings
from omni_wire.formats import WireFormat

from tests.bench.__main__ import body

ROUNDS: Final = 60
TIMES: Final = 200
TARGET_US: Final = 60.0
ROUTER: Final = "router-1"
PRICE: Final = s.Price(input=1_250_000_000, output=10_000_000_000, cached_input=125_000_000, cache_write=1_250_000_000)


class Immediate:
    """A ledger that packs what it is asked, as for Redis, and grants it."""

    async def admit(self, hold: Hold) -> Grant:
        operations.admit(hold)
        return Grant(hold.wanted_output, 0, probe=False)

    async def pick(self, wanted: Pick) -> Picked:
        operations.pick(wanted)
        uses = tuple(range(len(wanted.members)))
        return Picked(7, uses, (WarmPlace("p1/a0 m", 900, 20.0),) if wanted.conversation else ())


def snapshot() -> s.Snapshot:
    """Five providers with three accounts each; a combo of all for each strategy; a key with a budget, and limits."""
    providers = tuple(
        s.Provider(
            id=f"p{number}",
            format=WireFormat.OPENAI_CHAT,
            base_url=f"https://p{number}.example/v1",
            accounts=tuple(
                s.Account(id=f"p{number}/a{one}", name=f"a{one}", secret_version="1", weight=one + 1)
                for one in range(3)
            ),
            models=(s.Model(id="m", price=PRICE, context=200_000, max_output=64_000),),
            strategy="round-robin",
        )
        for number in range(5)
    )
    targets = tuple(f"{provider.id}/m" for provider in providers)
    plain = tuple(s.Provider(**{**_fields(each), "id": f"q{each.id}", "strategy": "fill-first"}) for each in providers)
    listed = tuple(f"{provider.id}/m" for provider in plain)
    combos = (
        s.Combo(name="fill-first", strategy="fill-first", targets=listed),
        *(s.Combo(name=name, strategy=name, targets=targets) for name in s.STRATEGIES if name != "fill-first"),
    )
    budget = s.Budget(nano_usd=10**12)
    return s.Snapshot(
        revision=1,
        created=0,
        server=s.Server(),
        providers=(*providers, *plain),
        combos=combos,
        keys=(
            s.KeyPolicy(id="free", name="free"),
            s.KeyPolicy(id="limited", name="limited", requests_per_minute=600, budget=budget, limits=("team",)),
        ),
        limits=(s.Limit(id="team", name="monthly", of="team", owner="core", budget=budget),),
        routing=s.Routing(),
    )


def _fields(provider: s.Provider) -> dict[str, Any]:
    fields = {name: getattr(provider, name) for name in provider.__struct_fields__}
    accounts = tuple(
        s.Account(id=f"q{account.id}", name=account.name, secret_version="1") for account in provider.accounts
    )
    return fields | {"accounts": accounts}


def service() -> RouterService:
    ledger = cast(Ledger, Immediate())
    tools = Tools(
        ledger=ledger,
        translator=cast(Any, None),
        upstream=cast(Any, None),
        credentials=cast(Any, None),
        events=ProtobufEvents(),
        settings=RouterSettings(),
        router_id=ROUTER,
        turns=Turns(ledger, ROUTER, None),
    )
    made = RouterService(tools, RouterMetrics(new_registry()))
    made.configure(snapshot())
    return made


async def best(work: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of one call."""
    found = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            start = process_time()
            for _ in range(TIMES):
                await work()
            found = min(found, (process_time() - start) / TIMES)
    finally:
        gc.enable()
    return found * 1e6


async def figures() -> AsyncIterator[dict[str, Any]]:
    router = service()
    shapes = [("qp0/m", "free"), ("fill-first", "free"), ("fill-first", "limited")]
    shapes += [(name, "free") for name in s.STRATEGIES if name != "fill-first"]
    for model, key in shapes:
        data = body(model, stream=True)

        def call(key: str = key, data: bytes = data) -> CompleteCall:
            return CompleteCall(CallContext("client"), key, WireFormat.OPENAI_CHAT, data, new_id(), {})

        async def planned(call: Callable[[], CompleteCall] = call) -> Run:
            run = Run(call(), ROUTER)
            _, offers = await router._plan(run, router._chooser)
            run.as_listed = iter(offers)
            await run.next()
            return run

        async def reserved(planned: Callable[[], Awaitable[Run]] = planned) -> None:
            run = await planned()
            assert run.asked is not None
            await Attempt(router._tools, run.asked, run.offers[0]).admit(True, 1, run.started_ms)

        plan = await best(planned)
        whole = await best(reserved)
        told = {"plan_us": round(plan, 1), "reservation_us": round(whole - plan, 1), "target_us": TARGET_US}
        yield {"test": f"planning {model} {key}", "seed": 0, "figures": told, "pass": plan <= TARGET_US}


async def main() -> int:
    fine = True
    async for line in figures():
        print(json.dumps(line), flush=True)
        fine = fine and line["pass"]
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
