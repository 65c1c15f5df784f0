"""A router that leases: what a hot key asks for is held, settled and told as ever, and what it may have while Redis is
away is what its limits say."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from omni_catalogue import snapshot as s
from omni_core.redis import open_redis
from omni_ledger import Janitor
from omni_wire.errors import BudgetExhausted, BudgetHeld, DependencyUnavailable

from tests.support.leasing import heard
from tests.support.ledger import until
from tests.support.router import PATIENT, Harness, fleet
from tests.support.servers import RedisServer

OPEN, CLOSED, MIXED, OWN, OWN_OPEN = "key-open", "key-closed", "key-mixed", "key-own", "key-own-open"


def limit(name: str, when_away: str, usd: int = 10**12) -> s.Limit:
    return s.Limit(id=name, name=name, budget=s.Budget(nano_usd=usd), when_away=when_away)


def put_in_force(routers: list[Harness], *limits: s.Limit, keys: tuple[s.KeyPolicy, ...]) -> None:
    for router in routers:
        router.configure(limits=limits, keys=keys, routing=s.Routing(timeouts=PATIENT, idempotency=None, caching=None))


def leased(router: Harness) -> float:
    return router.registry.get_sample_value("omniroute_ledger_leased_admissions_total") or 0.0


async def test_a_hot_keys_requests_are_billed_and_told_once_each_by_two_routers(
    clean_redis: str, tmp_path: Path
) -> None:
    cap = 30_000_000
    async with fleet(clean_redis, 2, journals=tmp_path) as routers:
        put_in_force(list(routers), limit("l1", "closed", cap), keys=(s.KeyPolicy(id=OPEN, name="k", limits=("l1",)),))

        async def client(number: int) -> int:
            for turn in range(60):
                try:
                    await routers[number % 2].ask("acme/sim+tokens:60", key=OPEN, max_tokens=60)
                except BudgetHeld:
                    await asyncio.sleep(0.01)
                except BudgetExhausted:
                    return turn
            return 60

        assert max(await asyncio.gather(*map(client, range(12)))) < 60, "it was used up"
        for router in routers:
            assert await router.ledger.flush(5.0)
        spent, held = await routers[0].money("limit:l1")
        assert (held, await routers[0].open_holds()) == (0, 0)
        assert 0.9 * cap < spent <= cap
        told = [await router.events() for router in routers]
        attempts = [attempt for each, _ in told for attempt in each]
        requests = [request for _, each in told for request in each]
        assert sum(request.cost_nano_usd for request in requests) == spent
        assert sum(attempt.cost_nano_usd for attempt in attempts) == spent
        assert max(Counter([*(each.id for each in attempts), *(each.id for each in requests)]).values()) == 1
        assert sum(map(leased, routers)) > 5


async def test_while_redis_is_away_only_what_all_limits_open_is_served(server: RedisServer, tmp_path: Path) -> None:
    own = s.Budget(nano_usd=10**12)
    keys = (
        s.KeyPolicy(id=OPEN, name="open", limits=("o",)),
        s.KeyPolicy(id=CLOSED, name="closed", limits=("c",)),
        s.KeyPolicy(id=MIXED, name="mixed", limits=("o", "c")),
        s.KeyPolicy(id=OWN, name="own", limits=("o",), budget=own),
        s.KeyPolicy(id=OWN_OPEN, name="own-open", budget=own, when_away="open"),
    )
    async with fleet(server.url, 1, journals=tmp_path) as (router,):
        put_in_force([router], limit("o", "open"), limit("c", "closed"), keys=keys)
        for _ in range(3):
            for key in keys:
                await router.ask("acme/sim+tokens:5", key=key.id, max_tokens=5)
                await asyncio.sleep(0.02)
        await heard(router.ledger, 3)
        before = leased(router)
        assert before > 0
        server.kill()
        await until(lambda: router.ledger._batcher.is_down)
        for name in (CLOSED, MIXED, OWN):
            started = time.monotonic()
            with pytest.raises(DependencyUnavailable):
                await router.ask("acme/sim+tokens:5", key=name, max_tokens=5)
            assert time.monotonic() - started < 1.0, "0.05 s, on a machine that has nothing else to do"
        for key in (OPEN, OWN_OPEN):
            for _ in range(5):
                await router.ask("acme/sim+tokens:5", key=key, max_tokens=5)
        assert leased(router) == before + 10
        await asyncio.to_thread(server.start)
        await until(lambda: router.ledger.healthy)
        await router.ask("acme/sim+tokens:5", key=CLOSED, max_tokens=5)
        assert await router.ledger.flush(10.0)
        _, requests = await router.events()
        assert Counter(each.key_id for each in requests if each.outcome == "ok") == {
            OPEN: 8,
            CLOSED: 4,
            MIXED: 3,
            OWN: 3,
            OWN_OPEN: 8,
        }
        async with open_redis(server.url) as redis:
            janitor = Janitor(redis)
            standing = await janitor.look([("limit:o", "month"), ("limit:c", "month")], [])
            await janitor.close()
        assert [each.held_nano_usd for each in standing.keys] == [0, 0]
        by_limit = [sum(each.cost_nano_usd for each in requests if each.key_id in own) for own in (
            (OPEN, MIXED, OWN), (CLOSED, MIXED),
        )]  # fmt: skip
        assert [each.spent_nano_usd for each in standing.keys] == by_limit
