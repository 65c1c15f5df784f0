"""The quota component on a real Redis and NATS: snapshot, reset, reaping and the outboxes of the dead."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from omni_catalogue.snapshot import Account, Budget, KeyPolicy, Provider, Routing, Server, Snapshot
from omni_core.config_feed import BUCKET, KEY
from omni_core.events import unpack_batch
from omni_core.runtime import Runtime, close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_ledger import Grant
from omni_quota.build import QuotaComponent, build
from omni_quota.settings import QuotaSettings
from omni_wire.formats import WireFormat
from omniroute_proto.events.v1 import events_pb2

from tests.support.ledger import POLICY, budget, hold, open_ledger, settlement
from tests.support.servers import nats_server
from tests.support.signed import signed

OUTBOXES = "quota:{omni}:outboxes"
SNAPSHOT = Snapshot(
    revision=1,
    created=0,
    server=Server(),
    providers=(
        Provider(
            id="acme",
            format=WireFormat.OPENAI_CHAT,
            base_url="http://127.0.0.1:1/v1",
            accounts=(Account(id="acme/first", name="first", secret_version="1"),),
            models=(),
        ),
    ),
    combos=(),
    keys=(KeyPolicy(id="key", name="ci", requests_per_minute=600, budget=Budget(nano_usd=1000, window="month")),),
    routing=Routing(),
)


@pytest.fixture
def nats_of_its_own() -> Iterator[str]:
    with nats_server() as url:  # the configuration's bucket has a fixed name
        yield url


@pytest_asyncio.fixture
async def runtime(clean_redis: str, nats_of_its_own: str, tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = CoreSettings(data_dir=tmp_path, redis_url=clean_redis, nats_url=nats_of_its_own, token="t", peers={})
    runtime = open_runtime(settings, instance_id="quota-1")
    await runtime.bus.kv_put(BUCKET, KEY, signed(SNAPSHOT))
    yield runtime
    await close_runtime(runtime)


@pytest_asyncio.fixture
async def quota(runtime: Runtime) -> AsyncIterator[QuotaComponent]:
    component = build(runtime, settings=QuotaSettings(reap_every=0.05, adopt_every=0.05))
    await component.start()
    yield component
    await component.drain()
    await component.stop()


async def test_a_key_and_a_breaker_are_shown_as_they_stand(quota: QuotaComponent, clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, _, _registry):
        await ledger.admit(hold("a", requests_per_minute=600, budget=budget(1000)))
        await ledger.admit(hold("b", requests_per_minute=600, budget=budget(1000)))
        await ledger.settle(settlement("a", 40))
        for _ in range(3):
            await ledger.settle(settlement("", outcome="failure", breaker=POLICY))
        found = await quota.service.snapshot()
        (key,) = found.keys
        assert (key.requests_in_window, key.spent_nano_usd, key.held_nano_usd, key.budget_nano_usd) == (
            2,
            40,
            100,
            1000,
        )
        assert time.time() < key.budget_resets_at < time.time() + 31 * 86400
        (breaker,) = found.breakers
        assert (breaker.account_id, breaker.state, breaker.failures) == ("acme/first", "open", 3)
        assert 28 < breaker.retry_after <= 30
        assert found.open_reservations == 1
        await quota.service.reset("acme/first")
        assert (await quota.service.snapshot("key")).breakers[0].state == "closed"
        assert isinstance(await ledger.admit(hold("c", breaker=POLICY)), Grant)
    assert all(check.ok for check in quota.checks().values())


async def test_what_a_dead_router_held_is_charged_and_what_it_left_is_delivered(
    quota: QuotaComponent, runtime: Runtime, clean_redis: str
) -> None:
    aborted = events_pb2.Event(attempt=events_pb2.AttemptEvent(id="a", outcome="aborted"))
    failed = events_pb2.Event(request=events_pb2.RequestEvent(id="r", outcome="failed"))
    settled = events_pb2.Event(attempt=events_pb2.AttemptEvent(id="b", outcome="ok")).SerializeToString()
    router = "dead"
    async with open_ledger(clean_redis) as (ledger, redis, _):
        dying = hold(
            "a",
            budget=budget(1000),
            ttl_ms=300,
            router_id=router,
            abort_events=(aborted.SerializeToString(), failed.SerializeToString()),
        )
        await ledger.admit(dying)
        await ledger.settle(settlement("", router_id=router, events=(settled,)))
        for _ in range(200):
            if not (await quota.service.snapshot()).open_reservations and not await redis.exists(OUTBOXES):
                break
            await asyncio.sleep(0.05)
        (key,) = (await quota.service.snapshot()).keys
        assert (key.spent_nano_usd, key.held_nano_usd) == (100, 0)
    consumer = await runtime.bus.pull("OMNIROUTE_USAGE", router, f"omniroute.usage.{router}")
    events: list[bytes] = []
    while messages := await consumer.fetch(10, 0.3):
        for message in messages:
            _, origin, some = unpack_batch(message.data)
            assert origin == router
            events += some
            await message.ack()
    aborted.attempt.cost_nano_usd = failed.request.cost_nano_usd = 100
    events.remove(settled)
    assert [events_pb2.Event.FromString(event) for event in events] == [aborted, failed], "each says what was charged"
    assert runtime.metrics.get_sample_value("omniroute_quota_reaped_reservations_total") == 1
    assert runtime.metrics.get_sample_value("omniroute_quota_adopted_events_total") == 3
