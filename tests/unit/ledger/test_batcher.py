"""The batcher alone: what travels together, what is sent again, what fails and what is kept."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from omni_ledger import Grant, Ledger, Refusal
from omni_ledger import batcher as module
from omni_ledger.batcher import Batcher
from omni_ledger.metrics import LedgerMetrics
from omni_wire.errors import DependencyUnavailable, Internal
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

from tests.support.ledger import START, budget, hold, settlement
from tests.support.ledger_model import Model
from tests.support.ledger_step import step


class Wire:
    """Answers each operation with itself; ``faults`` are raised first, one a call."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.faults: list[Exception] = []
        self.results: dict[bytes, object] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def call(self, arguments: list[bytes]) -> object:
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        if arguments:
            self.calls.append(list(arguments))
        return msgspec.msgpack.encode([self.results.get(argument, ["ok", argument.decode()]) for argument in arguments])

    async def drop(self) -> None:
        pass

    async def close(self) -> None:
        await self.drop()


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[tuple[Batcher, Wire]]:
    wire = Wire()
    batcher = Batcher(wire, LedgerMetrics(CollectorRegistry()))  # type: ignore[arg-type]
    batcher.start()
    await asyncio.sleep(0.01)
    yield batcher, wire
    await batcher.stop()


Stage = tuple[Batcher, Wire]


async def test_what_is_submitted_in_one_turn_goes_in_one_call(stage: Stage) -> None:
    batcher, wire = stage
    entries = [batcher.submit([b"op%d" % i]) for i in range(5)]
    assert [await entry.answer() for entry in entries] == [["ok", f"op{i}"] for i in range(5)]
    assert wire.calls == [[b"op0", b"op1", b"op2", b"op3", b"op4"]]


async def test_what_arrives_during_a_call_goes_in_the_next_one_in_order_and_bounded(stage: Stage) -> None:
    batcher, wire = stage
    wire.gate.clear()
    first = batcher.submit([b"first"])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [batcher.submit([b"%d" % i]) for i in range(100)]
    wire.gate.set()
    await asyncio.gather(first.answer(), *(entry.answer() for entry in later))
    assert [len(call) for call in wire.calls] == [1, 64, 36]
    assert [name for call in wire.calls[1:] for name in call] == [b"%d" % i for i in range(100)]


async def test_a_batch_is_bounded_in_bytes_too(stage: Stage) -> None:
    batcher, wire = stage
    entries = [batcher.submit([letter * 200_000]) for letter in (b"a", b"b", b"c")]
    await asyncio.gather(*(entry.answer() for entry in entries))
    assert [len(call) for call in wire.calls] == [1, 1, 1]


async def test_a_connection_that_broke_is_replaced_and_the_batch_sent_again(stage: Stage) -> None:
    batcher, wire = stage
    wire.faults = [RedisConnectionError("reset"), ConnectionRefusedError()]
    assert await batcher.submit([b"op"]).answer() == ["ok", "op"]
    assert batcher.healthy


async def test_redis_away_past_the_deadline_fails_those_who_wait_keeps_the_kept_and_refuses_newcomers_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher, wire = stage
    monkeypatch.setattr(module, "DEADLINE", 0.1)
    wire.gate.clear()
    waiting = batcher.submit([b"waiting"])
    kept = batcher.submit([b"kept"], kept=True)
    with pytest.raises(DependencyUnavailable):
        await waiting.answer()
    assert waiting.sent
    assert not batcher.healthy
    with pytest.raises(DependencyUnavailable):
        batcher.submit([b"new"])
    later = batcher.submit([b"later"], kept=True)
    wire.gate.set()
    assert await kept.answer() == ["ok", "kept"]
    assert await later.answer() == ["ok", "later"]
    assert batcher.healthy
    assert wire.calls[-1][:1] in ([b"kept"], [b"later"])


@pytest.mark.parametrize(
    "error",
    [ResponseError("OOM command not allowed when used memory > 'maxmemory'."), ReadOnlyError("READONLY a replica")],
)
async def test_a_redis_that_refuses_everything_is_away(stage: Stage, error: Exception) -> None:
    batcher, wire = stage
    wire.faults = [error]
    with pytest.raises(DependencyUnavailable):
        await batcher.submit([b"op"]).answer()


async def test_one_operation_that_fails_leaves_the_others_alone(stage: Stage) -> None:
    batcher, wire = stage
    wire.results[b"bad"] = ["!", "WRONGTYPE Operation against a key"]
    bad, good = batcher.submit([b"bad"], kept=True), batcher.submit([b"good"])
    assert await good.answer() == ["ok", "good"]
    with pytest.raises(Internal):
        await bad.answer()


async def test_a_full_memory_seen_inside_the_script_keeps_settlements_until_there_is_room(stage: Stage) -> None:
    batcher, wire = stage
    wire.results[b"settle"] = ["!", "OOM command not allowed"]
    entry = batcher.submit([b"settle"], kept=True)
    await asyncio.sleep(0.1)
    assert not entry.answer().done()
    wire.results.clear()
    assert await entry.answer() == ["ok", "settle"]


async def test_what_nobody_waits_for_any_more_is_not_sent(stage: Stage) -> None:
    batcher, wire = stage
    entry = batcher.submit([b"gone"])
    entry.answer().cancel()
    await batcher.submit([b"here"]).answer()
    assert wire.calls == [[b"here"]]
    assert not entry.sent


async def test_kept_operations_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    batcher, wire = stage
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    wire.gate.clear()
    batcher.submit([b"1"], kept=True, wait=False)
    batcher.submit([b"2"], kept=True, wait=False)
    with pytest.raises(DependencyUnavailable):
        batcher.submit([b"3"], kept=True, wait=False)
    wire.gate.set()
    assert await batcher.flush(1.0)
    batcher.submit([b"4"], kept=True, wait=False)


async def test_flush_says_whether_everything_arrived(stage: Stage) -> None:
    batcher, wire = stage
    assert await batcher.flush(0.1)
    wire.gate.clear()
    batcher.submit([b"op"], kept=True, wait=False)
    assert not await batcher.flush(0.05)
    wire.gate.set()
    assert await batcher.flush(1.0)


async def test_a_batcher_that_stopped_takes_nothing(stage: Stage) -> None:
    batcher, _ = stage
    await batcher.stop()
    with pytest.raises(DependencyUnavailable):
        batcher.submit([b"op"])


class StepWire(Wire):
    """The ledger's model instead; what breaks arrives all the same, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.late = Model(), list[list[bytes]]()

    async def call(self, arguments: list[bytes]) -> object:
        if self.faults and arguments:
            self.late.append(arguments)
            raise self.faults.pop(0)
        return step(self.model, arguments)


async def test_an_admission_that_is_refused_when_sent_again_is_given_back_should_the_first_arrive_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = StepWire()
    wire.model.now = START
    monkeypatch.setattr("omni_ledger.ledger.ScriptConnection", lambda redis, script: wire)
    ledger = Ledger(None, CollectorRegistry())  # type: ignore[arg-type]
    await ledger.start()
    other, asked = (hold(name, budget=budget(100), wanted_output=100) for name in ("other", "asked"))
    assert isinstance(await ledger.admit(other), Grant)
    wire.faults.append(RedisConnectionError())
    answer = await ledger.admit(asked)
    assert isinstance(answer, Refusal)
    assert answer.reason == "budget_held"
    assert await ledger.flush(1.0)
    await ledger.settle(settlement("other", 0))
    for arguments in wire.late:
        step(wire.model, arguments)
    assert wire.model.open_reservations() == 0, "nobody knows of a grant that comes now, so nobody would settle it"
    await ledger.stop()
