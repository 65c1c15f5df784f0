"""A process that is cut off from NATS, in each of the ways a network has, is in step soon after it is back.

What is simulated: the network, by a proxy between the process and a real NATS; and ten minutes, by what they leave
behind. For us that is a connection given up, as the bus does after six seconds at most, and for NATS a consumer gone,
as it forgets one that is silent for a minute (here it is told to), or even all its data. Nothing else ages: the bus
tries again at one pace however long it lasts.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from nats.aio.client import Client
from omni_catalogue.snapshot import Routing, Server, Snapshot
from omni_core.bus import Bus
from omni_core.config_feed import BUCKET, KEY, ConfigFeed
from omni_wire.errors import DependencyUnavailable

from tests.support.servers import NatsServer, free_port
from tests.support.signed import believed, signed
from tests.support.tcp_proxy import Mode, TcpProxy

STREAM = f"KV_{BUCKET}"
NOTICED_WITHIN = 7.0
IN_STEP_WITHIN = 2.0


def snapshot(revision: int) -> bytes:
    return signed(
        Snapshot(revision=revision, created=1, server=Server(), providers=(), combos=(), keys=(), routing=Routing())
    )


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    server = NatsServer().start()
    yield server
    server.close()


@pytest.fixture
async def proxy(nats: NatsServer) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(nats.port) as proxy:
        yield proxy


@pytest.fixture
async def auth(nats: NatsServer) -> AsyncIterator[Bus]:
    """The publisher, who is never cut off."""
    bus = Bus(nats.url, name="auth")
    await bus.kv_put(BUCKET, KEY, snapshot(1))
    yield bus
    await bus.close()


@pytest.fixture
async def bus(proxy: TcpProxy) -> AsyncIterator[Bus]:
    bus = Bus(proxy.url, name="router")
    yield bus
    await bus.close()


@pytest.fixture
async def feed(bus: Bus, auth: Bus) -> AsyncIterator[ConfigFeed]:
    feed = ConfigFeed(bus, None, believed())
    await feed.start(10.0)
    assert feed.revision == 1
    yield feed
    await feed.stop()


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """How long it took. Raises ``TimeoutError``."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 — what is awaited has no event
            await asyncio.sleep(0.01)
    return time.monotonic() - began


async def forget_consumers(nats: NatsServer) -> int:
    """As NATS does with those that were silent for a minute; how many there were."""
    client = Client()
    await client.connect(nats.url)
    stream = client.jetstream()
    consumers = await stream.consumers_info(STREAM)
    for consumer in consumers:
        await stream.delete_consumer(STREAM, consumer.name)
    await client.close()
    return len(consumers)


async def flood(bus: Bus, name: str) -> None:
    """More than the buffers between here and a proxy that does not read can take."""
    sends = [bus.publish(f"{name}.a", bytes(900_000), str(number), timeout=1.0) for number in range(12)]
    for result in await asyncio.gather(*sends, return_exceptions=True):
        assert isinstance(result, DependencyUnavailable)


@pytest.mark.parametrize("way", ["refuse", "swallow", "stall"])
async def test_a_process_cut_off_for_ten_minutes_is_in_step_two_seconds_after_it_is_back(
    way: Mode, nats: NatsServer, proxy: TcpProxy, bus: Bus, auth: Bus, feed: ConfigFeed
) -> None:
    await auth.ensure_stream("flood", ["flood.>"])
    await proxy.cut(way)
    if way == "stall":
        await flood(bus, "flood")
    await until(lambda: not bus.connected, NOTICED_WITHIN)
    assert await forget_consumers(nats) >= 1
    await auth.kv_put(BUCKET, KEY, snapshot(2))
    seen = proxy.accepted
    if way != "refuse":
        await until(lambda: proxy.accepted > seen, 5)  # the worst moment to come back: a try has just begun, in vain
    await proxy.cut("open")
    assert await until(lambda: feed.revision == 2, 10) < IN_STEP_WITHIN
    # And it goes on from there.
    await auth.kv_put(BUCKET, KEY, snapshot(3))
    await until(lambda: feed.revision == 3, 20)


async def test_a_server_that_comes_back_without_its_data_is_followed_as_soon_as_it_is_told_again(
    nats: NatsServer, auth: Bus, feed: ConfigFeed
) -> None:
    nats.forget()
    async with asyncio.timeout(10):
        while True:
            try:
                await auth.kv_put(BUCKET, KEY, snapshot(2))
            except DependencyUnavailable:
                await asyncio.sleep(0.02)
            else:
                break
    await until(lambda: feed.revision == 2, IN_STEP_WITHIN)


async def test_a_consumer_that_vanishes_under_an_open_connection_is_replaced(
    nats: NatsServer, bus: Bus, auth: Bus, feed: ConfigFeed
) -> None:
    """As when the machine slept for a minute, or the member of the cluster that held the consumer in memory died."""
    assert await forget_consumers(nats) == 1
    await auth.kv_put(BUCKET, KEY, snapshot(2))
    await until(lambda: feed.revision == 2, 5)
    assert bus.connected


async def test_a_server_that_turns_us_away_for_good_is_asked_again(
    proxy: TcpProxy, bus: Bus, auth: Bus, feed: ConfigFeed
) -> None:
    """The client library closes for good when the server says this, for instance while passwords are changed."""
    proxy.say(b"-ERR 'Authorization Violation'\r\n")
    await until(lambda: bus.epoch == 2 and bus.connected, 5)
    await auth.kv_put(BUCKET, KEY, snapshot(2))
    await until(lambda: feed.revision == 2, 5)
    await auth.ensure_stream("later", ["later.>"])
    await bus.publish("later.a", b"", "1")


async def test_any_server_of_a_cluster_will_do(nats: NatsServer, auth: Bus) -> None:
    bus = Bus(f"nats://127.0.0.1:{free_port()}, {nats.url}", name="router")
    assert await bus.kv_get(BUCKET, KEY) == snapshot(1)
    await bus.close()
