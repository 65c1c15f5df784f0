"""Calls spread over real gRPC servers; a server that goes away costs no call that it had not begun to answer."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import pytest
from omni_core import rpc
from omni_core.bus import Bus
from omni_core.clients import pool as pools
from omni_core.clients.pool import PoolMetrics, RouterPool, TranslatorPool
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame
from omni_core.ports.translator import EncodeCall, StreamCall
from omni_core.telemetry import new_registry
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from omni_wire.errors import DependencyUnavailable, GatewayError, RateLimited
from omni_wire.formats import WireFormat
from prometheus_client import CollectorRegistry

from tests.support.edge import ScriptedAuth
from tests.support.pools import CALLER, HEAD, Names, Router, Translator, until
from tests.support.servers import free_port

CALL = CompleteCall(CallContext("req-1"), "key", WireFormat.OPENAI_CHAT, b"{}", "event-1")
ENCODE = EncodeCall(CallContext("r"), WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES, b"{}", "m", 10)
STREAM = StreamCall(
    CallContext("r"), WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES, True, True, "m", False, 1, "id"
)
NO_BUS = Bus("nats://127.0.0.1:1", name="unused")


class House:
    """What a test has running, ended with it."""

    def __init__(self, exits: AsyncExitStack) -> None:
        self._exits = exits
        self.registry = CollectorRegistry()
        self._metrics = PoolMetrics(self.registry)

    async def router(self, name: str, host: str = "127.0.0.1", *, port: int = 0, max_age: float = 0.0) -> Router:
        made = Router(name, host, max_age=max_age)
        made.port = port
        self._exits.push_async_callback(made.stop)
        return await made.start()

    async def translator(self, name: str, enough: int = 1) -> Translator:
        made = Translator(name, enough)
        self._exits.push_async_callback(made.stop)
        return await made.start()

    async def pool(self, *addresses: str, bus: Bus = NO_BUS) -> RouterPool:
        address = ",".join(addresses) or "discover"
        return await self._opened(RouterPool(address, caller=CALLER, bus=bus, metrics=self._metrics))

    async def translators(self, *addresses: str) -> TranslatorPool:
        made = TranslatorPool(",".join(addresses), caller=CALLER, bus=NO_BUS, metrics=self._metrics)
        return await self._opened(made)

    async def _opened(self, pool: "pools.Pool[pools.C]") -> "pools.Pool[pools.C]":
        self._exits.push_async_callback(pool.close)
        await pool.start()
        return pool

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def members(self, state: str) -> float:
        return self.metric("omniroute_pool_members", service="router", state=state)

    def tries(self, outcome: str) -> float:
        return self.metric("omniroute_pool_tries_total", service="router", outcome=outcome)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as exits:
        yield House(exits)


async def answer(pool: RouterPool, call: CompleteCall = CALL) -> bytes:
    """The bytes of a whole answer."""
    async with aclosing(pool.complete(call)) as frames:
        return b"".join([frame async for frame in frames if isinstance(frame, bytes)])


async def spread(pool: RouterPool, count: int, at_once: int = 8) -> Counter[str]:
    """Who answered how many of ``count`` calls."""
    gate = asyncio.Semaphore(at_once)

    async def one() -> str:
        async with gate:
            return (await answer(pool)).decode()

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


def in_flight(pool: RouterPool) -> list[int]:
    return [seat.in_flight for seat in pool._seats._seats.values()]


# ---- spreading ------------------------------------------------------------------------------------------------------


async def test_calls_are_spread_over_all_members(house: House) -> None:
    routers = [await house.router(name) for name in "abc"]
    pool = await house.pool(*(router.address for router in routers))
    found = await spread(pool, 300)
    assert set(found) == set("abc")
    assert min(found.values()) > 50
    assert in_flight(pool) == [0, 0, 0]
    assert (house.tries("ok"), house.tries("retried"), house.members("ready")) == (300, 0, 3)


async def test_one_that_is_slow_gets_fewer_calls(house: House) -> None:
    slow, quick = await house.router("slow"), await house.router("quick")
    pool = await house.pool(slow.address, quick.address)
    slow.pause = 0.05
    found = await spread(pool, 100)
    assert found["quick"] > 3 * found["slow"] > 0


async def test_a_refusal_of_the_service_itself_is_final_and_says_nothing_against_the_member(house: House) -> None:
    for error in (RateLimited("slow down"), DependencyUnavailable("Redis is away")):
        router, other = await house.router("a"), await house.router("b")
        router.frames = other.frames = [error]
        pool = await house.pool(router.address, other.address)
        with pytest.raises(type(error), match=error.message):
            await answer(pool)
        assert len(router.calls) + len(other.calls) == 1
        assert house.tries("retried") == 0
        await pool.close()


# ---- one goes away --------------------------------------------------------------------------------------------------


async def test_a_call_cut_off_before_its_first_frame_is_tried_elsewhere_as_the_next_attempt_of_the_same_event(
    house: House,
) -> None:
    dies, lives = await house.router("dies"), await house.router("lives")
    pool = await house.pool(dies.address, lives.address)
    for router in (dies, lives):
        router.gate.clear()
    running = [asyncio.create_task(answer(pool)) for _ in range(20)]
    await until(lambda: dies.running + lives.running == 20)
    assert dies.running > 0
    cut = dies.running
    await dies.stop()
    lives.gate.set()
    assert await asyncio.gather(*running) == [b"lives"] * 20
    assert Counter(call.attempt for call in lives.calls) == {0: 20 - cut, 1: cut}
    assert {call.event_id for call in lives.calls} == {"event-1"}
    assert (house.tries("ok"), house.tries("retried"), house.tries("failed")) == (20, cut, 0)
    assert in_flight(pool) == [0, 0]


async def test_a_stream_cut_off_after_its_first_frame_is_not_tried_again_and_ends_with_an_error(house: House) -> None:
    routers = [await house.router("a"), await house.router("b")]
    for router in routers:
        router.frames, router.pause = [HEAD, b"first", b"never"], 60.0
    pool = await house.pool(*(router.address for router in routers))
    seen: list[Frame] = []
    with pytest.raises(DependencyUnavailable, match="the router went away before its answer was complete") as raised:
        async with aclosing(pool.complete(CALL)) as frames:
            async for frame in frames:
                seen.append(frame)
                await next(router for router in routers if router.running).stop()
    assert seen == [HEAD]
    assert raised.value.retry_after == pools.RETRY_AFTER
    assert [len(router.calls) for router in routers] in ([0, 1], [1, 0])
    assert house.tries("failed") == 1
    assert in_flight(pool) == [0, 0]


async def test_members_that_are_not_there_are_passed_over_and_left_alone(house: House) -> None:
    router = await house.router("here")
    pool = await house.pool(router.address, *(f"127.0.0.1:{free_port()}" for _ in range(2)))
    assert await spread(pool, 50) == {"here": 50}
    assert house.members("ejected") == 2
    before = house.tries("retried")
    assert await spread(pool, 50) == {"here": 50}
    assert house.tries("retried") == before


async def test_one_that_comes_back_is_called_again(house: House) -> None:
    routers = [await house.router("a"), await house.router("b")]
    pool = await house.pool(*(router.address for router in routers))
    await spread(pool, 20)
    await routers[0].stop()
    assert await spread(pool, 20) == {"b": 20}
    assert house.members("ejected") == 1
    await routers[0].start()
    began = time.monotonic()
    await until(lambda: house.members("ejected") == 0)
    assert time.monotonic() - began < 10
    assert set(await spread(pool, 50)) == {"a", "b"}


async def test_the_only_one_restarting_makes_calls_wait_and_none_fail(house: House) -> None:
    router = await house.router("a")
    pool = await house.pool(router.address)
    await spread(pool, 10)
    await router.stop()
    running = asyncio.create_task(spread(pool, 10))
    await until(lambda: house.members("ejected") == 1)
    await router.start()
    assert await running == {"a": 10}


async def test_after_three_tries_or_a_while_of_nobody_a_call_fails_and_says_when_to_come_back(house: House) -> None:
    pool = await house.pool(*(f"127.0.0.1:{free_port()}" for _ in range(5)))
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(DependencyUnavailable, match="the router is not reachable") as raised:
            await answer(pool)
        assert raised.value.retry_after == pools.RETRY_AFTER
        assert time.monotonic() - began < 10
    assert in_flight(pool) == [0] * 5


async def test_a_question_is_tried_elsewhere_too(house: House) -> None:
    routers = [await house.router("a"), await house.router("b")]
    pool = await house.pool(*(router.address for router in routers))
    await routers[0].stop()
    for _ in range(5):
        assert [entry.id for entry in await pool.models(CallContext("r"), "key")] == ["b"]
    assert in_flight(pool) == [0, 0]


# ---- one hangs ------------------------------------------------------------------------------------------------------


async def test_a_question_that_one_leaves_unanswered_is_asked_of_another_who_is_asked_first_from_then_on(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pools, "MODELS_SHARE", 0.2)
    hangs, lives = await house.router("hangs"), await house.router("lives")
    pool = await house.pool(hangs.address, lives.address)
    hangs.gate.clear()
    while house.tries("retried") == 0:
        began = time.monotonic()
        assert [entry.id for entry in await pool.models(CallContext("r"), "key")] == ["lives"]
        assert time.monotonic() - began < 10
    assert house.members("ejected") == 1
    assert house.tries("failed") == 0
    assert f"the router at {hangs.address} does not answer" in caplog.messages
    assert in_flight(pool) == [0, 0]
    hangs.gate.set()
    await until(lambda: house.members("ejected") == 0)


async def test_the_only_one_there_is_given_all_the_time_there_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MODELS_SHARE", 0.1)
    slow = await house.router("slow")
    pool = await house.pool(slow.address)
    slow.gate.clear()
    asyncio.get_running_loop().call_later(0.4, slow.gate.set)
    assert [entry.id for entry in await pool.models(CallContext("r"), "key")] == ["slow"]
    assert house.tries("retried") == 0


async def test_a_question_that_everybody_leaves_unanswered_fails_when_its_time_is_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MODELS_SHARE", 0.1)
    monkeypatch.setattr(pools, "CALL_TIMEOUT", 0.6)
    routers = [await house.router(name) for name in "ab"]
    for router in routers:
        router.gate.clear()
    pool = await house.pool(*(router.address for router in routers))
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable) as raised:
        await pool.models(CallContext("r"), "key")
    assert 0.1 < time.monotonic() - began < 10
    assert raised.value.retry_after == pools.RETRY_AFTER
    assert house.tries("failed") == 1
    assert in_flight(pool) == [0, 0]


async def test_one_of_two_routers_that_hangs_makes_no_edge_unready(house: House) -> None:
    hangs, lives = await house.router("hangs"), await house.router("lives")
    pool = await house.pool(hangs.address, lives.address)
    hangs.gate.clear()
    edge = EdgeService(pool, ScriptedAuth(), EdgeSettings(), new_registry())
    while house.tries("retried") == 0:
        await edge.probe()
        assert edge.checks()["router"].ok, edge.checks()
    assert house.tries("failed") == 0


async def test_a_request_that_a_translator_which_hangs_was_to_convert_is_converted_by_another(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "ENCODE_SHARE", 0.2)
    hangs, lives = await house.translator("hangs"), await house.translator("lives")
    pool = await house.translators(hangs.address, lives.address)
    hangs.gate.clear()
    while not hangs.asked.is_set():
        assert (await pool.encode_request(ENCODE)).body == b"lives"


# ---- leaving early --------------------------------------------------------------------------------------------------


async def closed(frames: AsyncGenerator[Frame, None]) -> None:
    await anext(frames)
    await frames.aclose()


async def cancelled(frames: AsyncGenerator[Frame, None]) -> None:
    async def read() -> None:
        async with aclosing(frames):
            async for _ in frames:
                pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize("leave", [closed, cancelled])
async def test_leaving_a_call_cancels_it_at_the_router_and_is_counted_out(
    house: House, leave: Callable[[AsyncGenerator[Frame, None]], Awaitable[None]]
) -> None:
    router = await house.router("a")
    router.frames, router.pause = [HEAD, b"x", b"never"], 60.0
    pool = await house.pool(router.address)
    await leave(pool.complete(CALL))
    await until(lambda: router.running == 0)
    assert in_flight(pool) == [0]
    never_read = pool.complete(CALL)
    await never_read.aclose()
    assert in_flight(pool) == [0]


async def test_cancelling_a_call_that_waits_for_somebody_ends_it(house: House) -> None:
    pool = await house.pool(f"127.0.0.1:{free_port()}")
    waiting = asyncio.create_task(answer(pool))
    await until(lambda: house.members("ejected") == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert in_flight(pool) == [0]


# ---- names ----------------------------------------------------------------------------------------------------------


async def test_a_name_of_several_addresses_is_called_in_turn_and_a_new_address_is_found_after_the_maximum_age(
    house: House,
) -> None:
    first = await house.router("one", max_age=0.5)
    second = await house.router("two", "127.0.0.2", port=first.port, max_age=0.5)
    async with Names("127.0.0.1") as names:
        pool = await house.pool(f"dns://127.0.0.1:{names.port}/router.test:{first.port}")
        assert await spread(pool, 50) == {"one": 50}
        names.records.append("127.0.0.2")

        async def found() -> bool:
            return set(await spread(pool, 10)) == {"one", "two"}

        await until(found)
        both = await spread(pool, 200)
        assert min(both.values()) > 80
        names.records.remove("127.0.0.1")
        await first.stop()
        assert await spread(pool, 50) == {"two": 50}
        await second.stop()


async def test_one_of_several_behind_a_name_that_dies_costs_no_call_it_had_not_answered(house: House) -> None:
    first = await house.router("one")
    second = await house.router("two", "127.0.0.2", port=first.port)
    async with Names("127.0.0.1", "127.0.0.2") as names:
        pool = await house.pool(f"dns://127.0.0.1:{names.port}/router.test:{first.port}")

        async def both() -> bool:
            return set(await spread(pool, 10)) == {"one", "two"}

        await until(both)
        for router in (first, second):
            router.gate.clear()
        running = [asyncio.create_task(answer(pool)) for _ in range(10)]
        await until(lambda: first.running + second.running == 10)
        await first.stop()
        second.gate.set()
        assert await asyncio.gather(*running) == [b"two"] * 10


# ---- the maximum age ------------------------------------------------------------------------------------------------


async def test_connections_that_reach_their_age_cost_no_call_and_cut_no_stream(house: House) -> None:
    routers = [await house.router(name, max_age=0.3) for name in "ab"]
    pool = await house.pool(*(router.address for router in routers))
    long = await house.router("long", max_age=0.3)
    long.frames, long.pause = [HEAD, *[b"x"] * 30], 0.05
    stream = asyncio.create_task(answer(await house.pool(long.address)))
    served: Counter[str] = Counter()
    while not stream.done():
        served += await spread(pool, 50)
        assert [entry.owned_by for entry in await pool.models(CallContext("r"), "key")] == ["test"]
    assert await stream == b"x" * 30
    assert set(served) == {"a", "b"}
    assert house.tries("failed") == 0


# ---- translators ----------------------------------------------------------------------------------------------------


async def test_translating_a_request_is_tried_at_another_translator(house: House) -> None:
    translators = [await house.translator("a"), await house.translator("b")]
    pool = await house.translators(*(translator.address for translator in translators))
    await translators[0].stop()
    for _ in range(5):
        assert (await pool.encode_request(ENCODE)).body == b"b"


async def test_a_translation_that_had_given_nothing_begins_again_elsewhere_with_all_it_was_given(house: House) -> None:
    dies, lives = await house.translator("dies", enough=100), await house.translator("lives", enough=100)
    pool = await house.translators(dies.address, lives.address)
    go_on = asyncio.Event()
    closed = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"a" * 40
            await go_on.wait()
            yield b"b" * 80
        finally:
            closed.set()

    async def read() -> bytes:
        async with aclosing(pool.translate_stream(STREAM, source())) as items:
            return b"".join([item.data async for item in items])

    reading = asyncio.create_task(read())
    await until(lambda: dies.asked.is_set() or lives.asked.is_set())
    first = dies if dies.asked.is_set() else lives
    other = lives if first is dies else dies
    await first.stop()
    await until(lambda: other.seen == b"a" * 40)
    go_on.set()
    assert await reading == b"a" * 40 + b"b" * 80
    assert closed.is_set()


async def test_a_translation_that_had_given_something_fails_when_its_translator_goes(house: House) -> None:
    translators = [await house.translator("a"), await house.translator("b")]
    pool = await house.translators(*(translator.address for translator in translators))
    closed = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    seen = b""
    with pytest.raises(DependencyUnavailable, match="the translator went away"):
        async with aclosing(pool.translate_stream(STREAM, source())) as items:
            async for item in items:
                seen += item.data
                await next(one for one in translators if one.asked.is_set()).stop()
    assert seen == b"first"
    assert closed.is_set(), "and nobody reads the provider's answer any further"


async def test_a_source_that_breaks_is_the_error_also_when_it_was_played_twice(house: House) -> None:
    dies, lives = await house.translator("dies", enough=100), await house.translator("lives", enough=100)
    pool = await house.translators(dies.address, lives.address)
    go_on = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        await go_on.wait()
        raise RateLimited("the provider broke off")

    async def read() -> None:
        async with aclosing(pool.translate_stream(STREAM, source())) as items:
            async for _ in items:
                pass

    reading = asyncio.create_task(read())
    await until(lambda: dies.asked.is_set() or lives.asked.is_set())
    await (dies if dies.asked.is_set() else lives).stop()
    await until(lambda: dies.asked.is_set() and lives.asked.is_set())
    go_on.set()
    with pytest.raises(GatewayError, match="the provider broke off"):
        await reading


# ---- what it costs --------------------------------------------------------------------------------------------------


async def test_the_pool_itself_costs_a_call_little(house: House) -> None:
    pool = await house.pool(*(f"127.0.0.1:{free_port()}" for _ in range(3)))

    class Instant:
        async def complete(self, _: CompleteCall) -> AsyncGenerator[Frame, None]:
            yield HEAD
            yield b"x"

    async def drain(frames: AsyncGenerator[Frame, None]) -> None:
        async for _ in frames:
            pass
        await frames.aclose()

    for seat in pool._seats._seats.values():
        seat.client = Instant()  # type: ignore[assignment]
    count = 2000
    bare, through = [], []
    for _ in range(5):
        began = time.process_time()
        for _ in range(count):
            await drain(Instant().complete(CALL))
        between = time.process_time()
        for _ in range(count):
            await drain(pool.complete(CALL))
        bare.append(between - began)
        through.append(time.process_time() - between)
    ratio = min(through) / min(bare)
    assert ratio < 8, f"a call through the pool takes {ratio:.1f} times what it takes beside it"


def test_streams_may_outlive_the_age_of_their_connection() -> None:
    assert dict(rpc._ages(300.0)) == {
        "grpc.max_connection_age_ms": 300_000,
        "grpc.max_connection_age_grace_ms": int(rpc.STREAM_TIMEOUT * 1000),
    }
