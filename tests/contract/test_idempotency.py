"""A request asked again, over routers that share a real Redis in front of a simulated provider over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.router import Head
from omni_router.service.router import RouterService
from omni_wire.errors import GatewayError
from omni_wire.formats import WireFormat

from tests.support.recorded import Recorder, crash, recorders
from tests.support.router import PATIENT, until
from tests.support.servers import RedisServer

Routers = Sequence[Recorder]


@pytest.fixture
async def routers(clean_redis: str) -> AsyncIterator[Routers]:
    async with recorders(clean_redis, 2) as made:
        yield made


async def events(*made: Recorder) -> tuple[list[Any], list[Any]]:
    attempts, requests = [], []
    for each in made:
        found = await each.events()
        attempts += found[0]
        requests += found[1]
    return attempts, requests


@pytest.mark.parametrize("stream", [False, True])
async def test_twenty_at_once_over_two_routers_are_one_call_one_bill_and_the_same_bytes(
    routers: Routers, stream: bool
) -> None:
    asked = [routers[at % 2].begin("acme/sim+tokens:30+tps:100", stream=stream) for at in range(20)]
    for each in asked:
        await each.done()
    assert {each.error for each in asked} == {None}
    assert len({each.data for each in asked}) == 1
    assert asked[0].data.endswith(b"data: [DONE]\n\n") if stream else json.loads(asked[0].data)
    assert sorted(each.mark for each in asked) == [""] + ["attached"] * 19
    assert routers[0].calls() == 1
    attempts, requests = await events(*routers)
    assert len(attempts) == 1
    assert sorted(event.outcome for event in requests) == ["ok"] + ["replayed"] * 19
    assert len({event.id for event in requests}) == 20
    told = [event for event in requests if event.outcome == "replayed"]
    assert {(event.cost_nano_usd, event.usage.output_tokens, event.attempts) for event in told} == {(0, 0, 0)}
    assert {(event.provider, event.model_requested) for event in told} == {("acme", "acme/sim+tokens:30+tps:100")}
    assert await routers[0].open_holds() == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_later_one_is_told_the_same_by_either_router(routers: Routers, stream: bool) -> None:
    first = await routers[0].begin("acme/sim+tokens:5", stream=stream).done()
    for router in routers:
        later = await router.begin("acme/sim+tokens:5", stream=stream).done()
        assert (later.mark, later.data) == ("replay", first.data)
        assert later.head is not None
        assert msgspec.structs.replace(later.head, idempotent="") == first.head
    assert routers[0].calls() == 1
    assert await until(lambda: routers[0].counted("recorded") == 1)


async def test_who_comes_in_mid_stream_first_gets_what_was_sent_and_then_follows(routers: Routers) -> None:
    first = routers[0].begin("acme/sim+tokens:200+tps:100", stream=True)
    assert await until(lambda: len(first.data) > 2000)
    other = routers[1].begin("acme/sim+tokens:200+tps:100", stream=True)
    beside = routers[0].begin("acme/sim+tokens:200+tps:100", stream=True)
    assert await until(lambda: len(other.data) > 2000 and len(beside.data) > 2000)
    assert not first.over, "what was sent comes at once, not when all is there"
    for each in (first, other, beside):
        await each.done()
    assert first.data == other.data == beside.data
    assert (other.mark, beside.mark) == ("attached", "attached")
    assert routers[0].calls() == 1


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(
    "changes", [{"temperature": 1}, {"stream": True}, {"model": "acme/other"}], ids=["body", "stream", "model"]
)
async def test_another_request_under_the_same_key_is_refused(
    routers: Routers, changes: dict[str, Any], at: int
) -> None:
    await routers[0].begin("acme/sim").done()
    fields = {"model": "acme/sim"} | changes
    other = await routers[at].begin(fields.pop("model"), **fields).done()
    assert isinstance(other.error, GatewayError)
    assert (other.error.status, other.error.code) == (422, "idempotency_key_reused")
    assert routers[0].calls() == 1
    _, requests = await events(routers[at])
    assert (requests[-1].outcome, requests[-1].status) == ("failed", 422)


async def test_another_endpoint_or_path_under_the_same_key_is_refused(routers: Routers) -> None:
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).encode()
    call = routers[0].call("x", headers={"idempotency-key": "g"})
    call = msgspec.structs.replace(call, client_format=WireFormat.GEMINI_GENERATE, body=body, model="acme/sim")
    first = await routers[0].begin_call(call).done()
    assert first.error is None
    changes: list[dict[str, Any]] = [
        {"model": "acme/sim2"}, {"stream": True}, {"client_format": WireFormat.ANTHROPIC_MESSAGES},
    ]  # fmt: skip
    for change in changes:
        other = await routers[1].begin_call(msgspec.structs.replace(call, event_id="e", **change)).done()
        assert other.error is not None
        assert other.error.status == 422, change


async def test_another_request_while_the_first_runs_is_refused_too(routers: Routers) -> None:
    first = routers[0].begin("acme/sim+latency:300")
    assert await until(lambda: routers[0].calls() == 1)
    for router in routers:
        other = await router.begin("acme/sim").done()
        assert other.error is not None
        assert other.error.status == 422
    await first.done()


async def test_keys_do_not_hear_of_each_other(routers: Routers) -> None:
    keys = (s.KeyPolicy(id="one", name="one"), s.KeyPolicy(id="two", name="two"))
    routers[0].configure(keys=keys)
    first = await routers[0].begin("acme/sim", key="one").done()
    second = await routers[0].begin("acme/sim", key="two").done()
    third = await routers[0].begin("acme/sim+tokens:3", key="two", name="another").done()
    assert (first.mark, second.mark, third.mark, routers[0].calls()) == ("", "", "", 3)


async def test_what_is_recorded_lives_for_its_window_and_who_records_it_is_alone_in_that_name(
    routers: Routers, clean_redis: str
) -> None:
    await routers[0].begin("acme/sim").done()
    assert await until(lambda: routers[0].counted("recorded") == 1)
    keys = [name async for name in routers[0].redis.scan_iter("idem:*")]
    assert len(keys) == 2, "the claim, and the entries"
    for name in keys:
        assert 86_390 < await routers[0].redis.ttl(name) <= 86_400
    routers[0].idempotent(window=60)
    await routers[0].begin("acme/sim", name="two").done()
    assert await until(lambda: routers[0].counted("recorded") == 2)
    for name in [name async for name in routers[0].redis.scan_iter("idem:*") if name not in keys]:
        assert 50 < await routers[0].redis.ttl(name) <= 60


# ---- failures ----


async def test_a_failure_is_told_to_all_who_wait_and_forgotten_so_that_another_try_is_one(routers: Routers) -> None:
    model = "acme/sim+latency:200+fail-first:1+status:500"
    asked = [routers[at % 2].begin(model) for at in range(6)]
    for each in asked:
        await each.done()
    assert {each.error.kind if each.error else "" for each in asked} == {"upstream_failed"}
    assert len({each.error.message for each in asked if each.error}) == 1
    assert routers[0].calls() == 1
    again = await routers[1].begin(model).done()
    assert (again.error, again.mark) == (None, "")
    _, requests = await events(*routers)
    assert [event.outcome for event in requests].count("failed") == 6


async def test_a_refusal_of_the_routers_own_is_forgotten(routers: Routers) -> None:
    refused = await routers[0].begin("nobody/sim").done()
    assert refused.error is not None
    assert refused.error.status == 404
    assert [name async for name in routers[0].redis.scan_iter("idem:{*}")] == []
    assert (await routers[1].begin("acme/sim").done()).error is None


async def test_a_stream_that_broke_is_not_told_again(routers: Routers) -> None:
    model = "acme/sim+tokens:20+tps:20+fail-first:1+cut:12"
    first = routers[0].begin(model, stream=True)
    assert await until(lambda: bool(first.data))
    beside = routers[1].begin(model, stream=True)
    await first.done()
    await beside.done()
    assert first.error is not None
    assert beside.error is not None
    assert first.error.kind == beside.error.kind == "stream_interrupted"
    assert beside.data == first.data
    again = await routers[1].begin(model, stream=True).done()
    assert again.error is None
    assert again.data.endswith(b"data: [DONE]\n\n")
    assert routers[0].calls() == 2


# ---- who goes away ----


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_holder_dies_exactly_one_of_those_who_wait_takes_over(clean_redis: str, stream: bool) -> None:
    async with recorders(clean_redis, 3) as made:
        model = "acme/sim+latency:1500"
        first = made[0].begin(model, stream=stream)
        assert await until(lambda: made[0].calls() == 1)
        waiting = [made[1 + at % 2].begin(model, stream=stream) for at in range(8)]
        await asyncio.sleep(0.2)
        crash(made[0])
        for each in waiting:
            assert (await each.done()).error is None
        assert made[0].calls() == 2
        assert sorted(each.mark for each in waiting) == [""] + ["attached"] * 7
        assert len({each.data for each in waiting}) == 1
        assert made[1].counted("taken_over") + made[2].counted("taken_over") == 1
        await first.leave()


async def test_who_was_taken_for_dead_writes_nothing_any_more(clean_redis: str) -> None:
    async with recorders(clean_redis, 2) as made:
        model = "acme/sim+tokens:10+latency:1500"
        first = made[0].begin(model)
        assert await until(lambda: made[0].calls() == 1)
        (claim,) = [name async for name in made[0].redis.scan_iter("idem:{*}")]
        await made[0].redis.delete(claim)  # as when its lease had run out
        second = made[1].begin(model)
        await first.done()
        await second.done()
        assert (first.error, second.error, made[0].calls()) == (None, None, 2)
        assert made[0].counted("lost") == 1
        assert await until(lambda: made[1].counted("recorded") == 1)
        third = await made[0].begin(model).done()
        assert third.mark == "replay"


async def test_who_read_half_a_stream_of_a_holder_that_died_is_told_that_it_broke(clean_redis: str) -> None:
    async with recorders(clean_redis, 2) as made:
        model = "acme/sim+tokens:400+tps:50"
        first = made[0].begin(model, stream=True)
        assert await until(lambda: bool(first.data))
        second = made[1].begin(model, stream=True)
        assert await until(lambda: bool(second.data))
        crash(made[0])
        await second.done()
        assert second.error is not None
        assert second.error.kind == "stream_interrupted"
        await first.leave()


async def test_the_edges_next_try_takes_over_at_once(clean_redis: str) -> None:
    async with recorders(clean_redis, 2, lease=30.0) as made:
        first = made[0].begin("acme/sim+latency:1000")
        assert await until(lambda: made[0].calls() == 1)
        crash(made[0])
        again = made[1].begin_call(msgspec.structs.replace(first.call, attempt=1))
        await again.done(10.0)
        assert (again.error, again.mark, made[0].calls()) == (None, "", 2)
        await first.leave()


@pytest.mark.parametrize("at", [0, 1])
async def test_when_the_first_client_leaves_the_call_goes_on_for_who_is_attached(routers: Routers, at: int) -> None:
    model = "acme/sim+tokens:100+tps:100"
    first = routers[0].begin(model, stream=True)
    assert await until(lambda: bool(first.data))
    other = routers[at].begin(model, stream=True)
    assert await until(lambda: bool(other.data))
    await first.leave()
    await other.done()
    assert other.error is None
    assert other.data.endswith(b"data: [DONE]\n\n")
    assert routers[0].calls() == 1
    attempts, requests = await events(*routers)
    assert [event.outcome for event in attempts] == ["ok"]
    assert sorted(event.outcome for event in requests) == ["ok", "replayed"]
    later = await routers[1 - at].begin(model, stream=True).done()
    assert (later.mark, later.data) == ("replay", other.data)


async def test_when_nobody_is_attached_the_call_ends_with_its_client(routers: Routers) -> None:
    model = "acme/sim+tokens:400+tps:50"
    first = routers[0].begin(model, stream=True)
    assert await until(lambda: bool(first.data))
    await first.leave()
    assert await until(lambda: routers[0].metrics.active == 0, 5.0)
    attempts, requests = await events(routers[0])
    assert ([event.outcome for event in attempts], [event.outcome for event in requests]) == (["cancelled"],) * 2
    assert [name async for name in routers[0].redis.scan_iter("idem:{*}")] == []
    again = routers[1].begin(model, stream=True)
    assert await until(lambda: bool(again.data))
    assert again.mark == ""
    await again.leave()


async def test_when_all_who_are_attached_have_left_too_the_call_ends(routers: Routers) -> None:
    model = "acme/sim+tokens:2000+tps:50"
    first, other = (router.begin(model, stream=True) for router in routers)
    assert await until(lambda: bool(first.data) and bool(other.data))
    await first.leave()
    await asyncio.sleep(0.3)
    assert sum(router.metrics.active for router in routers) >= 1
    await other.leave()
    assert await until(lambda: sum(router.metrics.active for router in routers) == 0, 5.0)
    _, requests = await events(*routers)
    assert {event.outcome for event in requests} == {"cancelled"}


async def test_a_router_that_stops_lets_another_go_on_at_once(clean_redis: str) -> None:
    async with recorders(clean_redis, 2, lease=30.0) as made:
        first = made[0].begin("acme/sim+latency:1000")
        assert await until(lambda: made[0].calls() == 1)
        other = made[1].begin("acme/sim+latency:1000")
        await asyncio.sleep(0.2)
        await made[0].port.stop()
        assert (await first.done(5.0)).error is not None
        assert (await other.done(5.0)).error is None
        assert other.mark == ""


# ---- bounds ----


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_larger_than_is_kept_is_served_and_a_duplicate_is_told_so(routers: Routers, stream: bool) -> None:
    for router in routers:
        router.idempotent(max_bytes=2000)
    model = "acme/sim+tokens:600"
    first = await routers[0].begin(model, stream=stream).done()
    assert first.error is None
    assert len(first.data) > 2000
    assert await until(lambda: routers[0].counted("unkept") == 1)
    for router in routers:
        other = await router.begin(model, stream=stream).done()
        assert other.error is not None
        assert (other.error.status, other.error.code) == (409, "idempotency_answer_not_kept")
    assert routers[0].calls() == 1
    assert [name async for name in routers[0].redis.scan_iter("idem:{*}:*")] == [], "nothing of it is left"


async def test_who_was_attached_when_it_became_too_large_is_told_so(routers: Routers) -> None:
    for router in routers:
        router.idempotent(max_bytes=20_000)
    model = "acme/sim+tokens:300+tps:300"
    first = routers[0].begin(model, stream=True)
    assert await until(lambda: bool(first.data))
    others = [router.begin(model, stream=True) for router in routers]
    await first.done()
    assert first.error is None
    assert first.data.endswith(b"data: [DONE]\n\n")
    for other in others:
        await other.done()
        assert other.error is not None
        assert other.error.status == 409
        assert first.data.startswith(other.data)


async def test_a_key_that_is_too_long_is_refused(routers: Routers) -> None:
    asked = await routers[0].begin("acme/sim", name="k" * 256).done()
    assert asked.error is not None
    assert asked.error.status == 400
    assert (await routers[0].begin("acme/sim", name="k" * 255).done()).error is None


# ---- who may be told ----


async def test_a_replay_counts_towards_the_keys_requests_per_minute(routers: Routers) -> None:
    keys = (s.KeyPolicy(id="key-all", name="all", requests_per_minute=3),)
    for router in routers:
        router.configure(keys=keys)
    asked = [await routers[at % 2].begin("acme/sim").done() for at in range(4)]
    assert [each.error.status if each.error else 200 for each in asked] == [200, 200, 200, 429]
    assert asked[3].error is not None
    assert asked[3].error.retry_after
    assert routers[0].calls() == 1
    assert await routers[0].open_holds() == 0
    _, requests = await events(*routers)
    assert sorted(event.outcome for event in requests) == ["failed", "ok", "replayed", "replayed"]


async def test_a_replay_counts_towards_limits_that_its_key_shares(routers: Routers) -> None:
    limit = s.Limit(id="team", name="busy", of="team", owner="core", requests_per_minute=2)
    keys = (s.KeyPolicy(id="key-all", name="all", limits=("team",)),)
    for router in routers:
        router.configure(keys=keys, limits=(limit,))
    asked = [await routers[at % 2].begin("acme/sim").done() for at in range(3)]
    assert [each.error.status if each.error else 200 for each in asked] == [200, 200, 429]
    assert asked[2].error is not None
    assert "the limit 'busy' of this key's team" in asked[2].error.message
    assert routers[0].calls() == 1


async def test_who_may_no_longer_ask_for_a_model_is_not_told_its_answer_again(routers: Routers) -> None:
    await routers[0].begin("acme/sim").done()
    routers[0].configure(keys=(s.KeyPolicy(id="key-all", name="all", models=("claude/*",)),))
    asked = await routers[0].begin("acme/sim").done()
    assert asked.error is not None
    assert (asked.error.status, asked.data) == (403, b"")


# ---- what is configured ----


async def test_a_request_without_a_key_is_none_of_this(routers: Routers) -> None:
    for _ in range(2):
        assert (await routers[0].begin("acme/sim", name=None).done()).mark == ""
    assert routers[0].calls() == 2
    assert [name async for name in routers[0].redis.scan_iter("idem:*")] == []


async def test_a_request_that_is_none_of_this_goes_straight_to_the_router(routers: Routers) -> None:
    """No layer around its answer, and nobody who hears of its end: all it costs is the look at its headers."""
    router = routers[0]
    for headers, straight in (({}, True), ({"idempotency-key": "k"}, False), ({"x-omniroute-cache": "on"}, False)):
        answer = router.port.complete(router.call("acme/sim", headers=headers))
        assert (answer.ag_code is RouterService.complete.__code__) is straight
        async for _ in answer:
            pass
        assert router.service.told is None


async def test_switched_off_a_key_is_only_a_header(routers: Routers) -> None:
    routers[0].configure(routing=s.Routing(breaker=None, timeouts=PATIENT, idempotency=None))
    for _ in range(2):
        assert (await routers[0].begin("acme/sim").done()).mark == ""
    assert routers[0].calls() == 2


async def test_the_same_request_without_a_key_is_found_where_that_is_asked_for(routers: Routers) -> None:
    for router in routers:
        router.idempotent(dedup=0.6)
    asked = [router.begin("acme/sim+latency:200", name=None) for router in routers]
    for each in asked:
        await each.done()
    assert sorted(each.mark for each in asked) == ["", "attached"]
    assert (await routers[0].begin("acme/sim+latency:200", name=None).done()).mark == "replay"
    assert (await routers[0].begin("acme/sim+latency:200", name=None, seed=1).done()).mark == ""
    await asyncio.sleep(0.8)
    assert (await routers[1].begin("acme/sim+latency:200", name=None).done()).mark == ""


async def test_the_clients_own_request_id_is_a_key_where_that_is_asked_for(routers: Routers) -> None:
    for expected in ("", "replay"):
        routers[0].idempotent(request_id=True)
        assert (await routers[0].begin("acme/sim", name=None).done()).mark == expected
    call = routers[0].call("acme/sim")
    made_up = msgspec.structs.replace(call, context=msgspec.structs.replace(call.context, request_id=call.event_id))
    for _ in range(2):
        assert (await routers[0].begin_call(made_up).done()).mark == "", "an id of the edge's is no key"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_port_yields_a_head_and_then_bytes_as_ever(routers: Routers, stream: bool) -> None:
    for _ in range(2):
        call = routers[0].call("acme/sim", headers={"idempotency-key": "k"}, stream=stream)
        frames = [frame async for frame in routers[0].port.complete(call)]
        assert isinstance(frames[0], Head)
        assert all(isinstance(frame, bytes) for frame in frames[1:])


# ---- the store is away ----


async def test_while_the_store_is_away_a_key_is_refused_and_a_request_without_one_goes_on(routers: Routers) -> None:
    crash(routers[0])
    asked = await routers[0].begin("acme/sim").done()
    assert asked.error is not None
    assert (asked.error.status, asked.error.retry_after) == (503, 1.0)
    assert routers[0].calls() == 0
    assert (await routers[0].begin("acme/sim", name=None).done()).error is None
    _, requests = await events(routers[0])
    assert sorted(event.outcome for event in requests) == ["failed", "ok"]


@pytest.mark.parametrize("name", ["one", None])
async def test_while_the_store_is_away_who_wants_it_open_is_served(routers: Routers, name: str | None) -> None:
    routers[0].idempotent(fail="open" if name else "refuse", dedup=0.0 if name else 5.0)
    crash(routers[0])
    for _ in range(2):
        assert (await routers[0].begin("acme/sim", name=name).done()).error is None
    assert routers[0].calls() == 2
    _, requests = await events(routers[0])
    assert [event.outcome for event in requests] == ["ok", "ok"]


async def test_a_redis_that_restarts_while_an_answer_is_recorded_has_it_in_the_end() -> None:
    server = RedisServer(durable=True)
    try:
        async with recorders(server.start().url, 2, lease=10.0) as made:
            model = "acme/sim+tokens:120+tps:60"
            first = made[0].begin(model, stream=True)
            assert await until(lambda: bool(first.data))
            other = made[1].begin(model, stream=True)
            assert await until(lambda: bool(other.data))
            server.kill()
            await asyncio.to_thread(server.start)
            await first.done()
            await other.done()
            assert (first.error, other.error) == (None, None)
            assert first.data == other.data
            assert await until(lambda: made[0].counted("recorded") == 1)
            later = await made[1].begin(model, stream=True).done()
            assert (later.mark, later.data, made[0].calls()) == ("replay", first.data, 1)
    finally:
        server.close()


async def test_a_redis_that_is_gone_refuses_a_key_in_time_and_takes_one_again_when_it_is_back() -> None:
    server = RedisServer()
    try:
        async with recorders(server.start().url, 1) as (router,):
            assert (await router.begin("acme/sim").done()).error is None
            server.kill()
            asked = await router.begin("acme/sim", name="two").done(8.0)
            assert asked.error is not None
            assert asked.error.kind == "dependency_unavailable"
            await asyncio.to_thread(server.start)
            assert await until(lambda: router.ledger.healthy)
            for mark in ("", "replay"):
                asked = await router.begin("acme/sim", name="three").done()
                assert (asked.error, asked.mark) == (None, mark)
    finally:
        server.close()


async def test_a_redis_that_is_nearly_full_keeps_no_answers_but_serves_them(clean_redis: str) -> None:
    async with recorders(clean_redis, 1) as (router,):
        assert await until(lambda: router.ledger.healthy), "its script takes memory too"
        used = int((await router.redis.info("memory"))["used_memory"])
        await router.redis.config_set("maxmemory", int(used * 1.15))
        try:
            first = await router.begin("acme/sim").done()
            assert first.error is None
            assert await until(lambda: router.counted("unkept") == 1)
            other = await router.begin("acme/sim").done()
            assert other.error is not None
            assert other.error.status == 409
        finally:
            await router.redis.config_set("maxmemory", 0)
