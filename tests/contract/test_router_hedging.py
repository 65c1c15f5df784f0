"""A second attempt besides one that is slow to begin: a real router, Redis and HTTP, and providers that take their
time. Who begins first answers, each is billed for what it did, and nothing stays held."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.router import Head
from omni_wire.errors import InvalidRequest, UpstreamError
from omniroute_proto.events.v1 import events_pb2

from tests.support.router import PATIENT, Harness, provider, until
from tests.support.scripted import Peer, scripted

HANGS, SLOW, ANSWERS, FAILS = "sim+hang", "sim+latency:2500+tokens:3", "sim+tokens:4", "sim+status:500"
SOON = s.Hedge(after=0.1, most_extra=100)
LEARNT = s.Hedge(least=0.2, most_extra=100)
BREAKER = s.BreakerPolicy(failures=1, window=60, open_for=60)
RICH = s.KeyPolicy(id="key-all", name="all", requests_per_minute=100, budget=s.Budget(nano_usd=10**12))


_STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\ndata: [DONE]\n\n'
)


def said(status: str, kind: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


GOOD = said("200 OK", "text/event-stream", _STREAM)
BAD = said("500 Oops", "application/json", b'{"error": {"message": "oops"}}')


class Hand:
    """A provider that answers when a test says so: ``calls`` came, of ``left`` the router has gone."""

    def __init__(self) -> None:
        self.calls = self.left = 0
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.url = ""

    async def play(self, peer: Peer) -> None:
        while await peer.request():
            self.calls += 1
            answer, gone = asyncio.ensure_future(self.answers.get()), asyncio.ensure_future(peer.gone(60.0))
            try:
                await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                if not answer.done():
                    answer.cancel()
                    self.left += 1
            await asyncio.wait({gone})
            if answer.cancelled() or not answer.done():
                return
            await peer.say(answer.result())

    async def asked(self, times: int = 1) -> None:
        assert await until(lambda: self.calls == times)


@pytest.fixture
async def hands() -> AsyncIterator[tuple[Hand, Hand, Hand]]:
    made = Hand(), Hand(), Hand()
    async with contextlib.AsyncExitStack() as stack:
        for hand in made:
            hand.url = (await stack.enter_async_context(scripted(hand.play))).url
        yield made


def configure(
    gw: Harness,
    *models: str | Hand,
    hedge: s.Hedge = SOON,
    key: s.KeyPolicy = RICH,
    strategy: str = "fill-first",
    own: dict[str, Any] | None = None,
    routing: dict[str, Any] | None = None,
) -> None:
    """A combo "c" of a provider a model, "p0", "p1" and so on; ``own`` is the combo's."""
    urls = [f"{model.url if isinstance(model, Hand) else gw.simulator.url}/v1" for model in models]
    providers = [provider(f"p{i}", url) for i, url in enumerate(urls)]
    targets = tuple(f"p{i}/{'m' if isinstance(model, Hand) else model}" for i, model in enumerate(models))
    combo = s.Combo(name="c", strategy=strategy, targets=targets, **(own or {}))
    fields = {"breaker": BREAKER, "timeouts": PATIENT, "hedge": hedge} | (routing or {})
    gw.configure(*providers, combos=(combo,), keys=(key,), routing=s.Routing(**fields))


async def ask(gw: Harness, **more: Any) -> Head:
    head, data = await gw.ask("c", stream=True, **more)
    assert data.endswith(b"data: [DONE]\n\n")
    return head


async def seen(gw: Harness) -> tuple[list[tuple[str, str, str]], events_pb2.RequestEvent]:
    """Provider, outcome and error of each attempt of the one request so far, whose bill agrees with the ledger."""
    attempts, (request,) = await gw.events()
    assert len({attempt.id for attempt in attempts}) == len(attempts) == request.attempts
    cost = sum(attempt.cost_nano_usd for attempt in attempts)
    assert (request.cost_nano_usd, await gw.money("key-all")) == (cost, (cost, 0))
    assert await gw.open_holds() == 0
    return [(each.provider, each.outcome, each.error_kind) for each in attempts], request


def counted(gw: Harness) -> dict[str, float]:
    found = {}
    for metric in gw.registry.collect():
        for sample in metric.samples:
            if sample.name == "omniroute_router_hedges_total":
                found[sample.labels["outcome"]] = sample.value
    return {name: value for name, value in found.items() if value}


def under_way(gw: Harness) -> set[int]:
    return {standing.in_flight for standing in gw.service._chooser.standings._standings.values()}


async def test_a_second_answers_in_the_place_of_a_first_that_is_slow_and_both_are_billed(gw: Harness) -> None:
    configure(gw, HANGS, ANSWERS)
    assert (await ask(gw)).provider == "p1"
    told, request = await seen(gw)
    assert told == [("p0", "cancelled", "outrun"), ("p1", "ok", "")]
    (first, second), _ = await gw.events()
    assert first.usage.estimated
    assert first.usage.input_tokens > 0 == first.usage.output_tokens
    assert first.first_byte_ms == -1
    assert not second.usage.estimated
    assert (request.provider, request.outcome, request.status) == ("p1", "ok", 200)
    assert counted(gw) == {"won": 1}


async def test_a_first_that_begins_while_the_second_waits_answers_and_the_second_is_let_go(
    gw: Harness, hands: tuple[Hand, ...]
) -> None:
    first, second, _ = hands
    configure(gw, first, second)
    asking = asyncio.ensure_future(ask(gw))
    await second.asked()
    first.answers.put_nowait(GOOD)
    assert (await asking).provider == "p0"
    told, request = await seen(gw)
    assert told == [("p1", "cancelled", "outrun"), ("p0", "ok", "")]
    assert request.provider == "p0"
    assert counted(gw) == {"lost": 1}
    assert await until(lambda: second.left == 1), "it is hung up on"


async def test_one_that_begins_in_time_is_left_alone(gw: Harness) -> None:
    configure(gw, ANSWERS, ANSWERS, hedge=s.Hedge(after=8.0, most_extra=100))
    await ask(gw)
    told, _ = await seen(gw)
    assert told == [("p0", "ok", "")]
    assert counted(gw) == {}


@pytest.mark.parametrize("fails", [0, 1])
async def test_when_one_of_two_fails_the_other_goes_on_alone(gw: Harness, hands: tuple[Hand, ...], fails: int) -> None:
    configure(gw, *hands, routing={"breaker": None})
    asking = asyncio.ensure_future(ask(gw))
    await hands[1].asked()
    hands[fails].answers.put_nowait(BAD)
    assert await until(lambda: hands[fails].answers.empty())
    await asyncio.sleep(0.2)
    assert hands[2].calls == 0
    hands[1 - fails].answers.put_nowait(GOOD)
    assert (await asking).provider == f"p{1 - fails}"
    told, _ = await seen(gw)
    assert told == [(f"p{fails}", "failed", "upstream_failed"), (f"p{1 - fails}", "ok", "")]
    assert counted(gw) == ({"failed": 1} if fails else {"won": 1})


async def test_when_the_first_fails_while_a_second_is_admitted_that_is_the_next(
    gw: Harness, hands: tuple[Hand, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(gw, *hands[:2], ANSWERS, routing={"breaker": None}, strategy="round-robin")
    admit, waiting, go_on = gw.ledger.admit, asyncio.Event(), asyncio.Event()

    async def slowly(hold: Any) -> Any:
        if not hold.count_request:
            waiting.set()
            await go_on.wait()
        return await admit(hold)

    monkeypatch.setattr(gw.ledger, "admit", slowly)
    asking = asyncio.ensure_future(ask(gw))
    await asyncio.wait_for(waiting.wait(), 20.0)
    hands[0].answers.put_nowait(BAD)
    assert await until(hands[0].answers.empty)
    await asyncio.sleep(0.2)
    go_on.set()
    await hands[1].asked()
    hands[1].answers.put_nowait(GOOD)
    assert (await asking).provider == "p1"
    told, _ = await seen(gw)
    assert [(name, outcome) for name, outcome, _ in told] == [("p0", "failed"), ("p1", "ok")]
    assert under_way(gw) == {0}


async def test_when_both_fail_the_next_is_asked_and_none_besides_it(gw: Harness, hands: tuple[Hand, ...]) -> None:
    configure(gw, *hands, ANSWERS)
    asking = asyncio.ensure_future(ask(gw))
    for hand in hands[:2]:
        await hand.asked()
    for hand in (hands[1], hands[0]):
        hand.answers.put_nowait(BAD)
        assert await until(hand.answers.empty)
        await asyncio.sleep(0.1)
    await hands[2].asked()
    await asyncio.sleep(0.3)
    hands[2].answers.put_nowait(GOOD)
    assert (await asking).provider == "p2"
    told, _ = await seen(gw)
    assert [(name, outcome) for name, outcome, _ in told] == [("p1", "failed"), ("p0", "failed"), ("p2", "ok")]


async def test_when_all_fail_each_is_named_once(gw: Harness, hands: tuple[Hand, ...]) -> None:
    configure(gw, *hands[:2])
    asking = asyncio.ensure_future(ask(gw))
    await hands[1].asked()
    for hand in hands[:2]:
        hand.answers.put_nowait(BAD)
    with pytest.raises(UpstreamError) as caught:
        await asking
    assert caught.value.message.count("[p0/") == caught.value.message.count("[p1/") == 1
    told, request = await seen(gw)
    assert [outcome for _, outcome, _ in told] == ["failed", "failed"]
    assert (request.outcome, request.cost_nano_usd) == ("failed", 0)


@pytest.mark.parametrize("last", [0, 1])
async def test_the_last_of_two_to_fail_is_tried_again_where_that_is_configured(
    gw: Harness, hands: tuple[Hand, ...], last: int
) -> None:
    configure(gw, *hands[:2], routing={"retries": 1, "breaker": None}, strategy="least-used")
    asking = asyncio.ensure_future(ask(gw))
    await asyncio.gather(hands[0].asked(), hands[1].asked())
    for hand in (hands[1 - last], hands[last]):
        hand.answers.put_nowait(BAD)
        assert await until(hand.answers.empty)
        await asyncio.sleep(0.1)
    hands[last].answers.put_nowait(GOOD)
    assert (await asking).provider == f"p{last}"
    told, _ = await seen(gw)
    named = [(name, outcome) for name, outcome, _ in told]
    assert named == [(f"p{1 - last}", "failed"), (f"p{last}", "failed"), (f"p{last}", "ok")]
    assert under_way(gw) == {0}


async def test_what_a_budget_does_not_cover_twice_in_full_is_not_asked_besides_but_after(
    gw: Harness, hands: tuple[Hand, ...]
) -> None:
    configure(gw, hands[0], ANSWERS, hedge=s.Hedge())
    hands[0].answers.put_nowait(GOOD)
    await ask(gw)
    (attempt,), _ = await gw.events()
    one = attempt.reserved_nano_usd
    for times, outcomes in ((1.0, {"unfit": 1}), (1.5, {"unfit": 2}), (2.5, {"unfit": 2, "won": 1})):
        spent, _ = await gw.money("key-all")
        poor = msgspec.structs.replace(RICH, budget=s.Budget(nano_usd=spent + int(one * times)))
        configure(gw, hands[0], ANSWERS, key=poor, routing={"breaker": None})
        before, _ = await gw.events()
        asking = asyncio.ensure_future(ask(gw))
        assert await until(lambda wanted=outcomes: counted(gw) == wanted)
        if "won" not in outcomes:
            hands[0].answers.put_nowait(BAD)
        assert (await asking).provider == "p1"
        attempts, _ = await gw.events()
        told = [(each.provider, each.outcome) for each in attempts[len(before) :]]
        assert told == [("p0", "cancelled" if "won" in outcomes else "failed"), ("p1", "ok")]
        assert await gw.open_holds() == 0


async def test_one_whose_breaker_is_open_is_passed_over_for_the_next(gw: Harness) -> None:
    configure(gw, HANGS, FAILS, ANSWERS)
    with contextlib.suppress(UpstreamError):
        await gw.ask(f"p1/{FAILS}")
    assert (await ask(gw)).provider == "p2"
    attempts, _ = await gw.events()
    assert [each.provider for each in attempts[1:]] == ["p0", "p2"]


async def test_who_was_let_go_is_no_failure_and_no_success_to_its_breaker(gw: Harness) -> None:
    configure(gw, HANGS, ANSWERS, own={"timeouts": s.Deadlines(first_byte=9.0)})
    for _ in range(3):
        assert (await ask(gw)).provider == "p1"
    attempts, _ = await gw.events()
    assert [each.provider for each in attempts] == ["p0", "p1"] * 3, "which is closed"
    assert not [name async for name in gw.redis.scan_iter("quota:{omni}:breaker:*")]


async def test_a_probe_that_is_let_go_leaves_its_breaker_to_the_next(gw: Harness, hands: tuple[Hand, ...]) -> None:
    routing = {"breaker": s.BreakerPolicy(failures=1, window=60, open_for=1)}
    configure(gw, hands[0], ANSWERS, routing=routing)
    hands[0].answers.put_nowait(BAD)
    with contextlib.suppress(UpstreamError):
        await gw.ask("p0/m")
    await asyncio.sleep(1.2)
    assert (await ask(gw)).provider == "p1"
    assert await until(lambda: hands[0].left == 1)
    configure(gw, hands[0], ANSWERS, routing=routing, hedge=s.Hedge())
    hands[0].answers.put_nowait(GOOD)
    assert (await ask(gw)).provider == "p0", "a probe once more, which is heard"
    attempts, _ = await gw.events()
    assert [(each.provider, each.outcome) for each in attempts[1:]] == [("p0", "cancelled"), ("p1", "ok"), ("p0", "ok")]


async def test_a_client_that_leaves_while_both_are_asked_pays_for_both_and_both_are_hung_up_on(gw: Harness) -> None:
    configure(gw, HANGS, HANGS)
    task = asyncio.ensure_future(ask(gw))
    assert await until(lambda: sum(gw.simulator.requests.values()) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    told, request = await seen(gw)
    assert sorted(told) == [("p0", "cancelled", "client_gone"), ("p1", "cancelled", "client_gone")]
    attempts, _ = await gw.events()
    assert all(each.usage.estimated and each.usage.input_tokens for each in attempts)
    assert request.outcome == "cancelled"
    assert counted(gw) == {"left": 1}


async def test_a_client_that_leaves_while_a_second_is_admitted_leaves_nothing_held(
    gw: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(gw, HANGS, HANGS)
    admit, waiting = gw.ledger.admit, asyncio.Event()

    async def slowly(hold: Any) -> Any:
        outcome = await admit(hold)
        if not hold.count_request:
            waiting.set()
            await asyncio.sleep(0.3)
        return outcome

    monkeypatch.setattr(gw.ledger, "admit", slowly)
    task = asyncio.ensure_future(ask(gw))
    await waiting.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    attempts, _ = await gw.events()
    assert [(each.provider, each.outcome) for each in attempts] == [("p0", "cancelled")]


async def test_a_stream_that_is_held_back_has_begun_and_nobody_is_asked_besides_it(gw: Harness) -> None:
    held = s.MidStream(hold_seconds=1.5)
    configure(gw, "sim+tokens:40+tps:20", ANSWERS, routing={"mid_stream": held}, hedge=s.Hedge(after=1, most_extra=100))
    assert (await ask(gw)).provider == "p0"
    told, _ = await seen(gw)
    assert told == [("p0", "ok", "")]


async def test_who_was_let_go_can_go_on_with_what_then_breaks_off(gw: Harness) -> None:
    resuming = s.MidStream(resume=True)
    text = "say:The%20quick%20brown%20fox%20jumps%20"
    configure(gw, "sim+fail-first:1+hang", f"sim+{text}+cut:3", routing={"mid_stream": resuming})
    assert (await ask(gw)).provider == "p1"
    told, _ = await seen(gw)
    assert [(name, outcome) for name, outcome, _ in told] == [("p0", "cancelled"), ("p1", "partial"), ("p0", "ok")]


@pytest.mark.parametrize("strategy", ["round-robin", "lowest-latency", "p2c", "least-used"])
async def test_whatever_a_strategy_counts_neither_of_two_stays_under_way(
    gw: Harness, hands: tuple[Hand, ...], strategy: str
) -> None:
    configure(gw, *hands, strategy=strategy)
    asking = asyncio.ensure_future(ask(gw))
    assert await until(lambda: sum(hand.calls for hand in hands) == 2)
    assert max(under_way(gw)) == 1
    for hand in hands:
        hand.answers.put_nowait(GOOD)
    await asking
    assert under_way(gw) == {0}
    told, _ = await seen(gw)
    assert sorted(outcome for _, outcome, _ in told) == ["cancelled", "ok"]


async def test_who_is_always_outrun_is_slow_to_a_strategy(gw: Harness) -> None:
    configure(gw, "sim+latency:8000+tokens:1", ANSWERS, strategy="lowest-latency")
    answered = [(await ask(gw)).provider for _ in range(3)]
    assert answered == ["p1"] * 3
    attempts, _ = await gw.events()
    assert len([each for each in attempts if each.provider == "p0"]) == 1, "it was asked once, and was slow"


# ---- which requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("its header", {"stream": True, "headers": {"x-omniroute-hedge": "off"}}),
        ("it wants no stream", {"stream": False}),
    ],
)
async def test_a_request_that_wants_none_has_none(gw: Harness, said: str, options: dict[str, Any]) -> None:
    configure(gw, "sim+latency:700+tokens:3", ANSWERS)
    head, _ = await gw.ask("c", **options)
    assert head.provider == "p0", said
    told, _ = await seen(gw)
    assert len(told) == 1


async def test_a_header_that_means_nothing_is_refused(gw: Harness) -> None:
    configure(gw, ANSWERS, ANSWERS)
    with pytest.raises(InvalidRequest, match="x-omniroute-hedge"):
        await ask(gw, headers={"x-omniroute-hedge": "always"})
    attempts, (request,) = await gw.events()
    assert (attempts, request.status) == ([], 400)


@pytest.mark.parametrize(
    ("own", "hedge", "hedged"),
    [({"hedge": s.Hedge()}, SOON, False), ({"hedge": SOON}, s.Hedge(), True), ({}, s.Hedge(), False)],
)
async def test_of_each_place_the_narrowest_is_heard(
    gw: Harness, own: dict[str, Any], hedge: s.Hedge, hedged: bool
) -> None:
    configure(gw, HANGS if hedged else "sim+latency:600+tokens:3", ANSWERS, own=own, hedge=hedge)
    assert (await ask(gw)).provider == ("p1" if hedged else "p0")


async def test_without_a_number_nobody_is_asked_besides_before_it_is_known_how_long_most_take(gw: Harness) -> None:
    configure(gw, SLOW, ANSWERS, hedge=LEARNT)
    model = f"p0/{SLOW}"
    assert (await ask(gw)).provider == "p0"
    times = gw.service._hedging._of(gw.service._offers["key-all", "c"].offers[0])
    for _ in range(20):
        times.add(0.05)
    assert (await ask(gw)).provider == "p1", model
    assert counted(gw) == {"won": 1}


async def test_the_time_that_most_take_is_learnt_of_what_was_asked(gw: Harness) -> None:
    configure(gw, ANSWERS, ANSWERS, hedge=LEARNT)
    for _ in range(20):
        await ask(gw)
    after = gw.service._hedging.after(gw.service._offers["key-all", "c"].offers[0])
    assert after is not None
    assert 0.2 <= after < 5.0


async def test_no_more_than_their_share_of_requests_ask_a_second(gw: Harness, hands: tuple[Hand, ...]) -> None:
    configure(gw, hands[0], ANSWERS, hedge=s.Hedge(after=0.1, most_extra=1))
    asking = asyncio.gather(*(ask(gw) for _ in range(8)))
    assert await until(lambda: counted(gw) == {"won": 5, "withheld": 3} and hands[0].left == 5)
    for _ in range(3):
        hands[0].answers.put_nowait(GOOD)
    assert sorted(head.provider for head in await asking) == ["p0"] * 3 + ["p1"] * 5


# ---- why ------------------------------------------------------------------------------------------------------------


async def test_the_record_and_the_trace_tell_of_both(gw: Harness) -> None:
    configure(gw, HANGS, ANSWERS)
    head = await ask(gw, headers={"x-omniroute-trace": "on"})
    assert head.trace.startswith(f"combo c fill-first; p0/first ({HANGS}) outrun after ")
    assert head.trace.endswith("ms, asked besides")
    _, (request,) = await gw.events()
    steps = json.loads(request.decision)["steps"]
    assert [(step["account"], step["outcome"], step.get("hedge", False)) for step in steps] == [
        ("p0/first", "outrun", False),
        ("p1/first", "answered", True),
    ]


async def test_an_explanation_says_after_how_long_the_next_would_be_asked_besides(gw: Harness) -> None:
    configure(gw, ANSWERS, ANSWERS)

    async def after(**more: Any) -> list[int | None]:
        call = gw.call("c", **more)
        return [step.get("hedge_ms") for step in json.loads(await gw.service.explain(call))["steps"]]

    assert await after(stream=True) == [100, None]
    assert await after(stream=False) == [None, None]
