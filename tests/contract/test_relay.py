"""The relay on a real Redis and a real NATS: every event arrives, no batch twice, whoever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from omni_core.bus import Bus
from omni_core.events import pack_batch, unpack_batch
from omni_core.redis import open_redis
from omni_ledger import Janitor, Outbox, Relay, drain, ensure_stream
from omni_ledger.outbox import MAX_BYTES, MAX_EVENTS, publish, subject
from omni_quota.adapters.courier import JetStreamCourier
from omni_wire.errors import DependencyUnavailable
from omniroute_proto.events.v1 import events_pb2
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from tests.support.ledger import open_ledger, settlement, until
from tests.support.servers import NatsServer

Batch = tuple[str, str, list[bytes]]


def event(number: int, size: int = 0) -> bytes:
    request = events_pb2.RequestEvent(id=f"request-{number}", error_kind="x" * size)
    return events_pb2.Event(request=request).SerializeToString()


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    server = NatsServer().start()
    yield server
    server.close()


@pytest_asyncio.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    bus = Bus(nats.url, name="test-relay")
    yield bus
    await bus.close()


@pytest_asyncio.fixture
async def redis(clean_redis: str) -> AsyncIterator[Redis]:
    async with open_redis(clean_redis) as client:
        yield client


async def put(redis: Redis, router: str, *events: bytes) -> None:
    """As settling does, without the rest of it."""
    await redis.rpush(f"quota:{{omni}}:outbox:{router}", *events)
    await redis.sadd("quota:{omni}:outboxes", router)


async def received(bus: Bus, timeout: float = 0.3) -> list[Batch]:
    """What the stream holds and this consumer has not had yet."""
    consumer = await bus.pull("OMNIROUTE_USAGE", "test", "omniroute.usage.*")
    batches: list[Batch] = []
    while messages := await consumer.fetch(100, timeout):
        for message in messages:
            batches.append(unpack_batch(message.data))
            await message.ack()
    return batches


async def test_what_is_settled_arrives_soon_and_together(clean_redis: str, redis: Redis, bus: Bus) -> None:
    registry = CollectorRegistry()
    relay = Relay(redis, bus, "router", registry)
    await relay.start()
    async with open_ledger(clean_redis, on_events=relay.wake) as (ledger, _, _registry):
        await until(lambda: bus.connected)
        await asyncio.sleep(0.3)
        for i in range(500):
            ledger.settle_soon(settlement("", events=(event(2 * i), event(2 * i + 1))))
        await ledger.flush(5.0)
        await until(lambda: registry.get_sample_value("omniroute_ledger_relayed_events_total") == 1000, 20.0)
        batches = await received(bus)
    await relay.stop()
    assert [one for _, _, events in batches for one in events] == [event(i) for i in range(1000)]
    assert {router for _, router, _ in batches} == {"router"}
    assert len(batches) <= 8
    assert all(len(events) <= MAX_EVENTS for _, _, events in batches)
    assert await redis.exists("quota:{omni}:outbox:router", "quota:{omni}:sealed:router") == 0


async def test_a_relay_that_died_after_publishing_leaves_no_duplicate(redis: Redis, bus: Bus) -> None:
    await put(redis, "router", *(event(i) for i in range(5)))
    await ensure_stream(bus)
    outbox = Outbox(redis)
    turn = await outbox.turn("router")
    await publish(bus, "router", turn)  # and dies here, before it could forget the batch
    await put(redis, "router", event(5), event(6))
    relay = Relay(redis, bus, "router", CollectorRegistry())
    await relay.start()
    await asyncio.sleep(0.3)
    await relay.stop()
    await outbox.close()
    batches = await received(bus)
    assert batches[0][0] == turn.batch_id
    assert [events for _, _, events in batches] == [[event(i) for i in range(5)], [event(5), event(6)]]


async def test_two_that_drain_the_same_outbox_publish_each_event_once(redis: Redis, bus: Bus) -> None:
    await ensure_stream(bus)
    await put(redis, "router", *(event(i) for i in range(3000)))
    outboxes = [Outbox(redis) for _ in range(3)]
    await asyncio.gather(*(drain(outbox, bus, "router", on_batch=lambda *_: None) for outbox in outboxes))
    await asyncio.gather(*(outbox.close() for outbox in outboxes))
    assert [one for _, _, events in await received(bus) for one in events] == [event(i) for i in range(3000)]


async def test_events_wait_while_nats_is_away(redis: Redis, bus: Bus, nats: NatsServer) -> None:
    registry = CollectorRegistry()
    relay = Relay(redis, bus, "router", registry)
    await relay.start()
    await put(redis, "router", event(0))
    await until(lambda: registry.get_sample_value("omniroute_ledger_relayed_events_total") == 1)
    nats.kill()
    await put(redis, "router", *(event(i) for i in range(1, 400)))
    relay.wake()
    await until(lambda: (registry.get_sample_value("omniroute_ledger_relay_failures_total") or 0) >= 1)
    assert await redis.llen("quota:{omni}:outbox:router") == 399
    assert await redis.ttl("quota:{omni}:router:router") > 5  # its router lives, whatever NATS does
    await asyncio.to_thread(nats.start)
    await until(lambda: registry.get_sample_value("omniroute_ledger_relayed_events_total") == 400, 20)
    await relay.stop()
    assert sorted(one for _, _, events in await received(bus) for one in events) == sorted(map(event, range(400)))


async def test_messages_are_bounded_in_bytes(redis: Redis, bus: Bus) -> None:
    await ensure_stream(bus)
    big = [event(i, 200_000) for i in range(7)]
    await put(redis, "router", *big)
    outbox = Outbox(redis)
    await drain(outbox, bus, "router", on_batch=lambda *_: None)
    await outbox.close()
    batches = await received(bus)
    assert [one for _, _, events in batches for one in events] == big
    assert all(sum(map(len, events)) <= MAX_BYTES for _, _, events in batches)


async def test_stopping_publishes_what_is_there_and_withdraws_the_sign_of_life(redis: Redis, bus: Bus) -> None:
    relay = Relay(redis, bus, "router", CollectorRegistry())
    await relay.start()
    await asyncio.sleep(0.2)
    assert await redis.exists("quota:{omni}:router:router") == 1
    await put(redis, "router", event(1))
    await relay.stop()
    assert [events for _, _, events in await received(bus)] == [[event(1)]]
    assert await redis.exists("quota:{omni}:router:router") == 0


async def test_the_outbox_of_a_router_that_is_gone_is_found_and_delivered(redis: Redis, bus: Bus) -> None:
    janitor, courier = Janitor(redis), JetStreamCourier(redis, bus)
    relay = Relay(redis, bus, "alive", CollectorRegistry())
    await relay.start()
    await asyncio.sleep(0.2)
    await put(redis, "gone.router", event(1), event(2))
    await redis.sadd("quota:{omni}:outboxes", "alive", "empty")
    assert await janitor.orphans() == ["gone.router"]
    assert await courier.deliver("gone.router") == 2
    assert await janitor.orphans() == []
    assert await redis.smembers("quota:{omni}:outboxes") == {b"alive"}
    assert [(router, events) for _, router, events in await received(bus)] == [("gone.router", [event(1), event(2)])]
    await relay.stop()
    await courier.close()
    await janitor.close()


async def test_a_batch_redis_lost_is_sealed_anew(redis: Redis, bus: Bus) -> None:
    await put(redis, "router", event(1), event(2))
    outbox = Outbox(redis)
    lost = await outbox.turn("router")
    await redis.ltrim("quota:{omni}:outbox:router", 1, -1)  # it came back with less than it had
    turn = await outbox.turn("router")
    assert turn.batch_id != lost.batch_id
    assert turn.events == [event(2)]
    await outbox.close()


async def test_redis_away_is_said_and_got_over(bus: Bus) -> None:
    outbox = Outbox(open_redis("redis://127.0.0.1:1/0"))
    with pytest.raises(DependencyUnavailable):
        await outbox.turn("router")
    await outbox.close()


def test_subjects_are_one_token_and_batches_are_small_enough_for_nats() -> None:
    assert subject("router-1") == "omniroute.usage.router-1"
    assert subject("a.b >*") == "omniroute.usage.a_b___"
    assert len(pack_batch("b" * 32, "r" * 64, [b"x" * (256 * 1024)] * 3)) < 1024 * 1024
