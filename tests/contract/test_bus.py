"""The bus over a real NATS: acks, duplicates, redelivery, and what happens when NATS goes and comes back."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from omni_core.bus import Bus, KvChange, Message, PullConsumer
from omni_wire.errors import DependencyUnavailable

from tests.support.pools import until
from tests.support.servers import NatsServer, free_port


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    bus = Bus(nats_url, name="test")
    yield bus
    await bus.close()


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """One that a test may stop."""
    server = NatsServer().start()
    yield server
    server.close()


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


async def all_of(consumer: PullConsumer, count: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            try:
                found += await consumer.fetch(count, timeout=0.5)
            except DependencyUnavailable:
                await asyncio.sleep(0.05)
    return found


async def test_what_is_published_is_delivered_once_acked(bus: Bus, name: str) -> None:
    await bus.ensure_stream(name, [f"{name}.>"])
    await bus.publish(f"{name}.a", b"one", "1")
    await bus.publish(f"{name}.b", b"two", "2")
    consumer = await bus.pull(name, "reader", f"{name}.*")
    found = await all_of(consumer, 2)
    assert [(message.data, message.num_delivered) for message in found] == [(b"one", 1), (b"two", 1)]
    for message in found:
        await message.ack()
    assert await consumer.fetch(10, timeout=0.2) == []


async def test_a_message_id_already_seen_is_stored_once(bus: Bus, name: str) -> None:
    await bus.ensure_stream(name, [f"{name}.>"])
    for _ in range(3):
        await bus.publish(f"{name}.a", b"same", "batch-1")
    await bus.publish(f"{name}.a", b"other", "batch-2")
    consumer = await bus.pull(name, "reader", f"{name}.*")
    assert [message.data for message in await all_of(consumer, 2)] == [b"same", b"other"]


async def test_nak_brings_a_message_back_and_term_does_not(bus: Bus, name: str) -> None:
    await bus.ensure_stream(name, [f"{name}.>"])
    await bus.publish(f"{name}.a", b"again", "1")
    await bus.publish(f"{name}.a", b"poison", "2")
    consumer = await bus.pull(name, "reader", f"{name}.*")
    again, poison = await all_of(consumer, 2)
    await poison.term()
    await again.nak(0.05)
    (back,) = await all_of(consumer, 1)
    assert (back.data, back.num_delivered) == (b"again", 2)
    await back.ack()
    assert await consumer.fetch(1, timeout=0.2) == []


async def test_a_fetch_returns_as_soon_as_something_is_there(bus: Bus, name: str) -> None:
    await bus.ensure_stream(name, [f"{name}.>"])
    consumer = await bus.pull(name, "reader", f"{name}.*")
    fetch = asyncio.create_task(consumer.fetch(100, timeout=10.0))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await bus.publish(f"{name}.a", b"one", "1")
    assert [message.data for message in await fetch] == [b"one"]
    assert time.monotonic() - began < 10


async def test_streams_may_be_ensured_again_and_changed(bus: Bus, name: str) -> None:
    await bus.ensure_stream(name, [f"{name}.a"])
    await bus.ensure_stream(name, [f"{name}.a"])
    await bus.ensure_stream(name, [f"{name}.>"])
    await bus.publish(f"{name}.b", b"now taken", "1")


async def test_publishing_where_no_stream_listens_is_an_error_of_the_tree(bus: Bus, name: str) -> None:
    with pytest.raises(DependencyUnavailable, match="publish"):
        await bus.publish(f"{name}.nowhere", b"", "1", timeout=1.0)


async def test_consuming_a_stream_that_is_not_there_is_an_error_of_the_tree(bus: Bus, name: str) -> None:
    with pytest.raises(DependencyUnavailable):
        await bus.pull(name, "reader", f"{name}.*")


async def test_a_bucket_keeps_the_newest_value(bus: Bus, name: str) -> None:
    assert await bus.kv_get(name, "key") is None
    first = await bus.kv_put(name, "key", b"one")
    second = await bus.kv_put(name, "key", b"two")
    assert second > first
    assert await bus.kv_get(name, "key") == b"two"
    assert await bus.kv_get(name, "other") is None


async def test_a_watch_gives_the_current_value_and_then_the_changes(bus: Bus, name: str) -> None:
    await bus.kv_put(name, "key", b"old")
    await bus.kv_put(name, "key", b"current")
    await bus.kv_put(name, "other", b"not this")
    async with aclosing(bus.kv_watch(name, "key")) as values, asyncio.timeout(10):
        assert (await anext(values))[1] == b"current"
        await bus.kv_put(name, "key", b"next")
        assert (await anext(values))[1] == b"next"


async def test_a_watch_may_start_before_there_is_a_bucket(bus: Bus, name: str) -> None:
    async with aclosing(bus.kv_watch(name, "key")) as values, asyncio.timeout(10):
        first = asyncio.create_task(anext(values))
        await asyncio.sleep(0.1)
        await bus.kv_put(name, "key", b"first")
        assert (await first)[1] == b"first"


async def test_a_bucket_with_a_time_forgets_and_one_key_can_be_deleted(bus: Bus, name: str) -> None:
    for key in ("a.1", "a.2"):
        await bus.kv_put(name, key, b"x", ttl=0.5)
    await bus.kv_delete(name, "a.1")
    await bus.kv_delete(name, "a.nobody")
    assert await bus.kv_get(name, "a.1") is None
    assert await bus.kv_get(name, "a.2") == b"x"

    async def forgotten() -> bool:
        return await bus.kv_get(name, "a.2") is None

    await until(forgotten)


async def test_a_watch_of_many_keys_begins_with_what_is_there_and_tells_of_changes_and_deletions(
    bus: Bus, name: str
) -> None:
    count = 600  # more than one fetch
    for number in range(count):
        await bus.kv_put(name, f"a.{number}", b"old")
    await bus.kv_put(name, "b.1", b"not this")
    async with aclosing(bus.kv_watch_all(name, "a.>")) as changes, asyncio.timeout(20):
        assert await anext(changes) is None
        found = [await anext(changes) for _ in range(count)]
        assert {change.key for change in found if change is not None} == {f"a.{number}" for number in range(count)}
        await bus.kv_put(name, "b.1", b"nor this")
        await bus.kv_put(name, "a.7", b"new")
        await bus.kv_delete(name, "a.7")
        assert [await anext(changes), await anext(changes)] == [KvChange("a.7", b"new"), KvChange("a.7", None)]


async def test_without_nats_every_call_gives_up_in_time_and_says_so() -> None:
    bus = Bus(f"nats://127.0.0.1:{free_port()}", name="test")
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable, match="not reachable"):
        await bus.connect(timeout=0.3)
    with pytest.raises(DependencyUnavailable):
        await bus.publish("a", b"", "1", timeout=0.3)
    assert time.monotonic() - began < 10
    assert not bus.connected
    await bus.close()


async def test_a_url_that_makes_no_sense_is_not_fatal_either() -> None:
    bus = Bus("nats://:0:0", name="test")
    with pytest.raises(DependencyUnavailable):
        await bus.connect(timeout=0.2)
    await bus.close()


async def test_nats_may_come_after_its_users(own_nats: NatsServer, name: str) -> None:
    own_nats.stop()
    bus = Bus(own_nats.url, name="test")
    values = bus.kv_watch(name, "key")
    first = asyncio.create_task(anext(values))
    with pytest.raises(DependencyUnavailable):
        await bus.connect(timeout=0.2)
    own_nats.start()
    async with asyncio.timeout(10):
        await bus.kv_put(name, "key", b"late")
        assert (await first)[1] == b"late"
    await values.aclose()
    await bus.close()


async def test_a_restart_of_nats_is_survived_by_publishers_consumers_and_watchers(
    own_nats: NatsServer, name: str
) -> None:
    bus = Bus(own_nats.url, name="test")
    await bus.ensure_stream(name, [f"{name}.>"])
    consumer = await bus.pull(name, "reader", f"{name}.*")
    await bus.publish(f"{name}.a", b"before", "1")
    (before,) = await all_of(consumer, 1)
    await before.ack()
    await bus.kv_put(name, "key", b"before")
    async with aclosing(bus.kv_watch(name, "key")) as values:
        assert (await anext(values))[1] == b"before"
        own_nats.kill()
        with pytest.raises(DependencyUnavailable):
            await bus.publish(f"{name}.a", b"lost", "2", timeout=0.3)
        own_nats.start()
        async with asyncio.timeout(15):
            while True:
                try:
                    await bus.publish(f"{name}.a", b"after", "3", timeout=1.0)
                    await bus.kv_put(name, "key", b"after")
                    break
                except DependencyUnavailable:
                    await asyncio.sleep(0.1)
            while (await anext(values))[1] != b"after":
                pass
        # "lost" may have been sent when the connection came back: what was given up may still arrive, once.
        assert b"after" in [message.data for message in await all_of(consumer, 1)] + [
            message.data for message in await consumer.fetch(10, timeout=0.5)
        ]
    await bus.close()


async def test_a_server_that_came_back_empty_is_filled_anew(own_nats: NatsServer, name: str) -> None:
    bus = Bus(own_nats.url, name="test")
    await bus.kv_put(name, "key", b"before")
    async with aclosing(bus.kv_watch(name, "key")) as values, asyncio.timeout(20):
        assert (await anext(values))[1] == b"before"
        own_nats.forget()
        while True:
            try:
                await bus.kv_put(name, "key", b"after")
                break
            except DependencyUnavailable:
                await asyncio.sleep(0.1)
        assert (await anext(values))[1] == b"after"
    await bus.close()


async def test_closing_is_safe_before_and_after(nats_url: str) -> None:
    bus = Bus(nats_url, name="test")
    await bus.close()
    used = Bus(nats_url, name="test")
    await used.connect()
    assert used.connected
    await used.close()
    await used.close()
    assert not used.connected


async def test_who_asks_in_a_loop_hears_that_it_is_to_end(bus: Bus, name: str) -> None:
    """Also when the answer arrives at the very moment: without care about a third of these would go on for ever."""
    await bus.kv_put(name, "key", b"value")

    async def ask() -> None:
        while True:
            await bus.kv_get(name, "key")

    for turn in range(120):
        asking = asyncio.create_task(ask())
        for _ in range(turn % 40):
            await asyncio.sleep(0)
        asking.cancel()
        done, _ = await asyncio.wait([asking], timeout=2)
        assert done
