"""Usage from a real JetStream into the store: whatever is delivered, however often, each event counts once."""

import asyncio
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
from omni_analytics.adapters.location import URL
from omni_analytics.adapters.store import SqlStore
from omni_analytics.build import AnalyticsComponent, build
from omni_analytics.domain.rows import UsageRow
from omni_analytics.ports import Recorded
from omni_analytics.settings import DEAD_STREAM, DEAD_SUBJECT, USAGE_STREAM, USAGE_SUBJECTS, AnalyticsSettings
from omni_core.bus import Bus
from omni_core.ports.analytics import Redriven, UsageQuery, UsageTotals
from omni_core.runtime import Runtime, close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_wire.errors import DependencyUnavailable
from omniroute_proto.events.v1 import events_pb2

from tests.support.postgres import PostgresServer
from tests.support.servers import NatsServer
from tests.support.usage_store import KINDS, Usage
from tests.unit.analytics.events import T0, attempt_event, batch, request_event

FAST = AnalyticsSettings(
    fetch_messages=16, fetch_wait=0.2, linger=0.02, retry_delay=0.05, retry_delay_max=0.2, reconnect_delay=0.1,
    query_timeout=5.0,
)  # fmt: skip

ONE = UsageTotals(1, 0, 1, 100, 10, 5, 50, 7, 600_000, 0)  # what request_event() and attempt_event() add


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    server = NatsServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    bus = Bus(nats.url, name="test")
    await bus.ensure_stream(USAGE_STREAM, [USAGE_SUBJECTS])
    yield bus
    await bus.close()


class Process:
    """One life of analytics over the data in ``data_dir``."""

    def __init__(self, url: str, data_dir: Path, env: Mapping[str, str] = MappingProxyType({})) -> None:
        settings = CoreSettings(data_dir=data_dir, redis_url="redis://127.0.0.1:1/0", nats_url=url, token="t", peers={})
        self.runtime: Runtime = open_runtime(settings, instance_id="analytics-test")
        self.component: AnalyticsComponent = build(self.runtime, env=env, settings=FAST)

    async def __aenter__(self) -> AnalyticsComponent:
        await self.component.start()
        return self.component

    async def __aexit__(self, *_: object) -> None:
        await self.component.drain()
        await self.component.stop()
        await close_runtime(self.runtime)

    def metric(self, name: str, **labels: str) -> float:
        return self.runtime.metrics.get_sample_value(f"omniroute_analytics_{name}", labels) or 0.0


@pytest.fixture
def process(nats: NatsServer, tmp_path: Path) -> Callable[[], Process]:
    return lambda: Process(nats.url, tmp_path)


async def until(true: Callable[[], Awaitable[bool]], what: str, timeout: float = 20.0) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout
    while clock() < deadline:
        if await true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


async def totals_become(component: AnalyticsComponent, expected: UsageTotals, timeout: float = 20.0) -> None:
    seen = UsageTotals()

    async def same() -> bool:
        nonlocal seen
        with suppress(DependencyUnavailable):
            seen = (await component.service.query(UsageQuery())).totals
        return seen == expected

    try:
        await until(same, "totals", timeout)
    except AssertionError:
        assert seen == expected


class Traffic:
    """Mixed requests of one client that keeps its own count: plain, failed over, aborted and settled later, refused."""

    def __init__(self, seed: int, requests: int) -> None:
        self._random = random.Random(seed)
        self.events: list[events_pb2.Event] = []
        self.count: dict[str, dict[str, int]] = {}
        for number in range(requests):
            self._request(number)

    def _request(self, number: int) -> None:
        dice, request_id = self._random, f"r{number:05d}"
        key, model = dice.choice(["k1", "k2", "k3"]), dice.choice(["gpt-x", "claude-x"])
        tries = dice.choice([0, 1, 1, 1, 2, 3])
        most = {"input_tokens": 1000, "cached_input_tokens": 100, "output_tokens": 5000, "reasoning_tokens": 50}
        spent = [{name: dice.randrange(limit) for name, limit in most.items()} for _ in range(tries)]
        costs = [dice.randrange(10**7) for _ in range(tries)]
        usage, cost = {name: sum(one[name] for one in spent) for name in most}, sum(costs)
        outcome = dice.choice(["ok", "ok", "ok", "failed", "partial", "cancelled"]) if tries else "failed"
        shared = {"key_id": key, "started_ms": T0 + number * 37_000}
        for attempt in range(tries):
            fields = shared | {"id": f"{request_id}-{attempt}", "request_id": request_id, "model": model,
                               "usage": spent[attempt], "cost_nano_usd": costs[attempt]}  # fmt: skip
            self.events.append(attempt_event(**fields, seq=2))
            if dice.random() < 0.2:  # the reaper spoke first
                fields |= {"outcome": "aborted", "usage": {}, "cost_nano_usd": 10**9, "provider_status": 0}
                self.events.append(attempt_event(**fields, seq=1))
        truth = shared | {"id": request_id, "model_served": model if tries else "", "model_requested": model,
                          "usage": usage, "cost_nano_usd": cost,
                          "outcome": outcome, "status": 200 if outcome == "ok" else 502}  # fmt: skip
        self.events.append(request_event(**truth, seq=3))
        if dice.random() < 0.2:
            self.events.append(request_event(**(truth | {"outcome": "failed", "cost_nano_usd": 10**9}), seq=1))
        for group in ("", f"key {key}", f"model {model}"):
            counted = self.count.setdefault(group, dict.fromkeys(UsageTotals.__struct_fields__, 0))
            counted["requests"] += 1
            counted["attempts"] += tries
            counted["errors"] += outcome in ("failed", "partial")
            counted["cost_nano_usd"] += cost
            for name, tokens in usage.items():
                counted[name] += tokens

    def totals(self, group: str = "") -> UsageTotals:
        return UsageTotals(**self.count[group])

    async def publish(self, bus: Bus) -> None:
        """In disorder, in batches of uneven size, a quarter of the events again in other batches."""
        events = self.events + self._random.sample(self.events, len(self.events) // 4)
        self._random.shuffle(events)
        at, number = 0, 0
        while at < len(events):
            size = self._random.choice([1, 3, 17, 64])
            data = batch(*events[at : at + size], batch_id=f"b{number}")
            await bus.publish(f"omniroute.usage.router-{number % 3}", data, msg_id=f"b{number}")
            at, number = at + size, number + 1


async def test_a_thousand_mixed_requests_match_the_clients_own_count_exactly(
    bus: Bus, process: Callable[[], Process], tmp_path: Path
) -> None:
    traffic = Traffic(seed=7, requests=1000)
    life = process()
    async with life as analytics:
        await traffic.publish(bus)
        await totals_become(analytics, traffic.totals())
        by_key = await analytics.service.query(UsageQuery(group_by="key"))
        assert by_key.groups == {key: traffic.totals(f"key {key}") for key in ("k1", "k2", "k3")}
        by_model = await analytics.service.query(UsageQuery(group_by="model"))
        assert by_model.groups == {model: traffic.totals(f"model {model}") for model in ("gpt-x", "claude-x")}
        assert life.metric("events_total", kind="request", result="ignored") > 0
        assert life.metric("dead_letters_total") == 0
        await until(settled(bus), "all messages acknowledged")
        assert all(check.ok for name, check in analytics.checks().items() if name != "lag"), analytics.checks()
    Usage("sqlite", tmp_path, None).check_rollups()


def settled(bus: Bus) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        subscription = await bus.subscribe(USAGE_STREAM, "analytics", USAGE_SUBJECTS)
        info = await subscription.consumer_info()
        await subscription.unsubscribe()
        return info.num_pending == 0 and info.num_ack_pending == 0

    return check


@pytest.mark.parametrize("kind", KINDS)
async def test_a_crash_between_commit_and_acknowledgement_counts_nothing_twice(
    bus: Bus, nats: NatsServer, kind: str, request: pytest.FixtureRequest, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    usage = Usage.of(request, kind, tmp_path)
    crashes = 0
    record = SqlStore.record

    async def record_then_crash(self: SqlStore, rows: Sequence[UsageRow]) -> Recorded:
        nonlocal crashes
        recorded = await record(self, rows)
        if rows and crashes < 10:
            crashes += 1
            raise OSError("killed right after the commit")
        return recorded

    monkeypatch.setattr(SqlStore, "record", record_then_crash)
    monkeypatch.setattr("omni_core.bus.ACK_WAIT", 0.5)  # nobody answers for what a dead process had fetched
    traffic = Traffic(seed=11, requests=200)
    async with Process(nats.url, tmp_path, usage.env) as analytics:
        await traffic.publish(bus)
        await totals_become(analytics, traffic.totals())
        await until(settled(bus), "all messages acknowledged")
        assert (await analytics.service.standing()).pending == 0
    assert crashes == 10
    usage.check_rollups()


async def test_a_restart_goes_on_where_it_stopped(bus: Bus, process: Callable[[], Process], tmp_path: Path) -> None:
    first, second = (
        Traffic(seed=1, requests=50),
        batch(request_event(id="later"), attempt_event(id="later"), batch_id="later"),
    )
    async with process() as analytics:
        await first.publish(bus)
        await totals_become(analytics, first.totals())
        await until(settled(bus), "all messages acknowledged")  # what changes no totals may come last
    await bus.publish("omniroute.usage.router-1", second, msg_id="later")
    life = process()
    async with life as analytics:
        await totals_become(analytics, add(first.totals(), ONE))
        assert life.metric("events_total", kind="request", result="stored") == 1
        assert life.metric("events_total", kind="attempt", result="stored") == 1
        assert life.metric("events_total", kind="attempt", result="ignored") == 0


def add(one: UsageTotals, other: UsageTotals) -> UsageTotals:
    pairs = zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    return UsageTotals(*(a + b for a, b in pairs))


async def test_a_poison_message_is_put_aside_after_five_deliveries_and_blocks_nobody(
    bus: Bus, process: Callable[[], Process]
) -> None:
    poison = b"\xff\xfe not protobuf"
    half = batch(attempt_event(id=""), request_event(id="good-one"), batch_id="half")
    await bus.publish("omniroute.usage.router-1", poison, msg_id="p1")
    await bus.publish("omniroute.usage.router-1", half, msg_id="p2")
    for number in range(20):
        data = batch(request_event(id=f"r{number}"), batch_id=f"b{number}")
        await bus.publish("omniroute.usage.router-1", data, msg_id=f"b{number}")
    life = process()
    async with life as analytics:

        async def all_counted() -> bool:
            return (await analytics.service.query(UsageQuery())).totals.requests == 21

        async def both_dead() -> bool:
            return life.metric("dead_letters_total") == 2

        await until(all_counted, "good ones counted")
        await until(both_dead, "poison put aside")
        await until(settled(bus), "poison ended")
    graves = await bus.pull(DEAD_STREAM, "test", DEAD_SUBJECT)
    letters = [msgspec.json.decode(message.data) for message in await graves.fetch(10, 2.0)]
    assert len(letters) == 2
    by_data = {letter["data"]: letter for letter in letters}
    undecodable = by_data[b64encode(poison).decode()]
    assert undecodable["deliveries"] == 5
    assert undecodable["reason"] == "not an events.v1.EventBatch"
    assert "id" in by_data[b64encode(half).decode()]["reason"]


async def test_nats_may_come_late_go_away_and_come_back(tmp_path: Path) -> None:
    server = NatsServer().start()
    server.stop()
    life = Process(server.url, tmp_path)
    try:
        async with life as analytics:
            assert (await analytics.service.query(UsageQuery())).totals == UsageTotals()
            assert not analytics.checks()["nats"].ok
            assert analytics.checks()["store"].ok
            server.start()
            for turn in range(2):
                await until(lambda: well(analytics), "connected")
                bus = Bus(server.url, name="test")
                data = batch(request_event(id=f"r{turn}"), attempt_event(id=f"a{turn}"))
                await bus.publish("omniroute.usage.r", data, msg_id=f"m{turn}")
                await bus.close()
                await totals_become(analytics, ONE if turn == 0 else add(ONE, ONE))
                if turn == 0:
                    server.kill()
                    await until(lambda: ill(analytics), "noticed")
                    server.start()
    finally:
        server.close()


async def well(analytics: AnalyticsComponent) -> bool:
    return analytics.checks()["nats"].ok


async def ill(analytics: AnalyticsComponent) -> bool:
    return not analytics.checks()["nats"].ok


async def test_a_database_may_come_late_and_what_was_published_meanwhile_is_counted(
    bus: Bus, nats: NatsServer, tmp_path: Path
) -> None:
    server = PostgresServer()
    try:
        server.start()
        env = {URL: server.database()}
        server.stop()
        async with Process(nats.url, tmp_path, env) as analytics:
            assert not analytics.checks()["store"].ok
            await bus.publish("omniroute.usage.r", batch(request_event(), attempt_event()), msg_id="m1")
            server.start()
            await totals_become(analytics, ONE)
            assert analytics.checks()["store"].ok
    finally:
        server.close()


async def test_a_dead_letter_is_counted_once_when_this_version_can_read_it_and_stays_when_not(
    bus: Bus, process: Callable[[], Process]
) -> None:
    await bus.ensure_stream(DEAD_STREAM, ["omniroute.dead.*"])
    readable = batch(attempt_event(), request_event())
    wrapper = {"stream": USAGE_STREAM, "durable": "analytics", "reason": "of a kind", "deliveries": 5, "at_ms": T0}
    await bus.publish(DEAD_SUBJECT, msgspec.json.encode(wrapper | {"data": readable}), "1")
    await bus.publish(DEAD_SUBJECT, msgspec.json.encode(wrapper | {"data": b"\xff"}), "2")
    await bus.publish(DEAD_SUBJECT, readable, "3")  # bare, as what is too large to be wrapped
    made = process()
    async with made as component:
        service = component.service
        await until(lambda: _is(made.metric("dead_letters_kept") == 3), "the letters are seen")
        page = await service.dead_letters(0, 2)
        assert [(one.id, one.reason, one.at_ms, one.deliveries, one.events) for one in page.letters] == [
            *((1, "of a kind", T0, 5, 2), (2, "of a kind", T0, 5, 0)),
        ]
        assert [one.fault for one in page.letters] == ["", "not an events.v1.EventBatch"]
        assert (page.total, page.next) == (3, 2)
        (bare,) = (await service.dead_letters(2, 2)).letters
        assert (bare.id, bare.reason, bare.size) == (3, "", len(readable))
        assert await service.redrive((1, 2)) == Redriven((1,), {2: "not an events.v1.EventBatch"})
        await totals_become(component, ONE)
        assert (await service.redrive((3,))).counted == (3,), "and what is in it is known already"
        await totals_become(component, ONE)
        assert await service.redrive((1, 3)) == Redriven(), "they are gone"
        left = await service.dead_letters(0, 9)
        assert ([one.id for one in left.letters], left.total, left.next) == ([2], 1, 0)
        assert await service.discard((1, 2, 9)) == (2,)
        assert (await service.dead_letters(0, 9)).total == 0
        assert made.metric("dead_letters_redriven_total", result="counted") == 2
        assert made.metric("dead_letters_kept") == 0
        await bus.forget(DEAD_STREAM, 2)
        await bus.forget(DEAD_STREAM, 99)


async def _is(true: bool) -> bool:
    return true
