"""The router between a real ledger and real (simulated) providers: fallback, clamps, truth, settlement."""

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.scopes import Scopes
from omni_core.ports.context import CallContext
from omni_core.ports.router import Head
from omni_translator.domain.codecs import CODECS
from omni_wire.errors import (
    BudgetExhausted,
    BudgetHeld,
    GatewayError,
    ModelNotFound,
    NoCandidate,
    NotBuilt,
    PermissionDenied,
    RateLimited,
    StreamInterrupted,
    Unauthenticated,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from omni_wire.formats import WireFormat

from tests.support.router import PATIENT, PRICE, QUICK, Harness, patience, provider, until


def payloads(data: bytes) -> list[Any]:
    events = [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event.startswith(b"data: ")]
    return [json.loads(event) for event in events if event != b"[DONE]"]


def key(**fields: Any) -> tuple[s.KeyPolicy, ...]:
    return (s.KeyPolicy(id="key-all", name="all", **fields),)


def combo_of(model: str) -> s.Combo:
    """A combo named as its model, so that not even the model's name has to be edited."""
    return s.Combo(name=model, strategy="fill-first", targets=(f"acme/{model}",))


def scoped(*providers: str) -> tuple[s.KeyPolicy, ...]:
    return key(scopes=Scopes(providers=providers))


# ---- answers ----


async def test_a_chat_provider_is_answered_from_with_its_own_bytes(gw: Harness) -> None:
    head, body = await gw.ask("acme/sim+tokens:5")
    assert msgspec.structs.replace(head, stages=()) == Head(
        200, False, "application/json", "acme", "sim+tokens:5", (), True
    )
    assert json.loads(body)["usage"]["completion_tokens"] == 5
    seen = gw.simulator.recent[-1]
    assert seen.header("authorization") == "Bearer secret-of-acme/first"
    assert seen.json()["model"] == "sim+tokens:5", "the provider's prefix is not sent to it"


async def test_a_stream_ends_in_done_and_shows_usage_only_to_those_who_asked(gw: Harness) -> None:
    _, plain = await gw.ask("acme/sim+tokens:5", stream=True)
    assert plain.endswith(b"data: [DONE]\n\n")
    assert not any(chunk.get("usage") for chunk in payloads(plain))
    _, asked = await gw.ask("acme/sim+tokens:5", stream=True, stream_options={"include_usage": True})
    assert payloads(asked)[-1]["usage"]["completion_tokens"] == 5
    _, requests = await gw.events()
    assert [request.usage.output_tokens for request in requests] == [5, 5], "counted either way"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_anthropic_provider_answers_a_chat_client(gw: Harness, stream: bool) -> None:
    head, body = await gw.ask("claude/sim+tokens:6", stream=stream)
    assert not head.passthrough
    if stream:
        text = "".join(
            chunk["choices"][0]["delta"].get("content") or "" for chunk in payloads(body) if chunk["choices"]
        )
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        text = json.loads(body)["choices"][0]["message"]["content"]
    assert len(text.split()) == 6
    seen = gw.simulator.recent[-1]
    assert (seen.header("x-api-key"), seen.header("anthropic-version")) == ("secret-of-claude/first", "2023-06-01")
    assert seen.json()["max_tokens"] == 32_000
    _, (request,) = await gw.events()
    assert request.usage.output_tokens == 6
    assert not request.usage.estimated


async def test_the_bill_is_the_providers_own_count(gw: Harness) -> None:
    await gw.ask("acme/sim+tokens:7+cached:3+input:100")
    (attempt,), (request,) = await gw.events()
    assert (attempt.usage.input_tokens, attempt.usage.cached_input_tokens, attempt.usage.output_tokens) == (100, 3, 7)
    assert request.cost_nano_usd == attempt.cost_nano_usd == 97 * 1250 + 3 * 125 + 7 * 10_000
    assert (request.status, request.outcome, request.attempts, attempt.outcome) == (200, "ok", 1, "ok")


# ---- fallback before the first byte ----

FAULTS = [
    "status:500", "status:503", "status:429", "status:401", "status:404", "status:400", "reset", "hang", "empty",
    "error-200",
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "stream"),
    [
        *((fault, stream) for fault in [*FAULTS, "cut:0", "malformed:0"] for stream in (False, True)),
        ("clean-cut:0", True),
        ("error-event:0", True),
        ("truncate", False),
    ],
)
async def test_any_failure_before_the_first_byte_moves_on_to_the_next_target(
    gw: Harness, fault: str, stream: bool
) -> None:
    bad = f"acme/sim+{fault}"
    combo = s.Combo(name="safe", strategy="fill-first", targets=(bad, "claude/sim+tokens:4"))
    gw.configure(combos=(combo,), timeouts=patience(fault))
    head, body = await gw.ask("safe", stream=stream)
    assert (head.provider, head.model) == ("claude", "sim+tokens:4")
    assert body
    attempts, (request,) = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["failed", "ok"]
    assert (request.outcome, request.attempts, request.combo, request.provider) == ("ok", 2, "safe", "claude")
    assert await gw.open_holds() == 0


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("status:500", UpstreamFailed, 500),
        ("status:503", UpstreamFailed, 503),
        ("status:529", UpstreamFailed, 529),
        ("status:400", UpstreamRejected, 400),
        ("status:404", UpstreamRejected, 404),
        ("status:422", UpstreamRejected, 422),
        ("reset", UpstreamUnreachable, 502),
        ("hang", UpstreamTimeout, 504),
        ("empty", UpstreamFailed, 502),
        ("error-200", UpstreamFailed, 500),
    ],
)
async def test_alone_each_failure_is_told_as_what_it_is(
    gw: Harness, fault: str, error: type[GatewayError], status: int
) -> None:
    gw.configure(timeouts=patience(fault))
    with pytest.raises(error) as caught:
        await gw.ask(f"acme/sim+{fault}")
    assert caught.value.status == status
    (attempt,), (request,) = await gw.events()
    assert (request.status, request.outcome, request.error_kind) == (status, "failed", error.kind)
    assert attempt.cost_nano_usd == 0
    assert await gw.open_holds() == 0


async def test_a_providers_retry_after_is_passed_on(gw: Harness) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await gw.ask("acme/sim+status:429+retry-after:7")
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)


async def test_retries_are_further_tries_of_the_same_account(gw: Harness) -> None:
    gw.configure(routing=s.Routing(retries=2, breaker=None, timeouts=PATIENT))
    head, _ = await gw.ask("acme/sim+fail-first:2+status:503")
    assert head.provider == "acme"
    attempts, (request,) = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["failed", "failed", "ok"]
    assert request.attempts == 3


async def test_without_retries_a_failure_is_final(gw: Harness) -> None:
    with pytest.raises(UpstreamFailed):
        await gw.ask("acme/sim+fail-first:1+status:503")


async def test_a_refused_request_is_not_sent_to_another_account_of_the_same_model(gw: Harness) -> None:
    two = tuple(s.Account(id=f"acme/{name}", name=name, secret_version="1") for name in ("first", "second"))
    gw.configure(provider("acme", f"{gw.simulator.url}/v1", accounts=two))
    with pytest.raises(UpstreamRejected):
        await gw.ask("acme/sim+status:400")
    assert gw.auth.asked == ["acme/first"]
    with pytest.raises(UpstreamRejected):
        await gw.ask("acme/sim+status:401")
    assert gw.auth.asked == ["acme/first", "acme/second"], "a wrong credential is the account's own trouble"


async def test_a_format_without_codec_is_not_built(gw: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    built = {known: codec for known, codec in CODECS.items() if known is not WireFormat.GEMINI_GENERATE}
    monkeypatch.setattr("omni_translator.service.CODECS", built)
    gw.configure(provider("g", gw.simulator.url, WireFormat.GEMINI_GENERATE))
    with pytest.raises(NotBuilt):
        await gw.ask("g/sim")
    assert await gw.open_holds() == 0


# ---- truth in mid-stream ----


@pytest.mark.parametrize("where", ["acme", "claude"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("cut:5", StreamInterrupted),
        ("clean-cut:5", StreamInterrupted),
        ("stall:5", UpstreamTimeout),
        ("malformed:5", UpstreamFailed),
        ("error-event:5", UpstreamFailed),
    ],
)
async def test_a_stream_that_breaks_says_so_and_bills_what_came(
    gw: Harness, where: str, fault: str, error: type[GatewayError]
) -> None:
    got = b""
    gw.configure(timeouts=patience(fault))
    with pytest.raises(error):
        async for frame in gw.service.complete(gw.call(f"{where}/sim+tokens:50+{fault}", stream=True)):
            got += frame if isinstance(frame, bytes) else b""
    assert got
    assert b"[DONE]" not in got
    assert b'"finish_reason":"stop"' not in got
    (attempt,), (request,) = await gw.events()
    assert (request.outcome, request.error_kind, request.status) == ("partial", error.kind, 200)
    assert request.usage.estimated
    assert 0 < request.usage.output_tokens < 50
    assert request.cost_nano_usd == attempt.cost_nano_usd > 0
    assert await gw.open_holds() == 0


@pytest.mark.parametrize("where", ["acme", "claude"])
async def test_bytes_cut_inside_characters_arrive_whole(gw: Harness, where: str) -> None:
    say = "Gr%C3%BC%C3%9Fe%20an%20%E4%B8%96%E7%95%8C"
    _, body = await gw.ask(f"{where}/sim+say:{say}+split-utf8", stream=True)
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in payloads(body) if chunk["choices"])
    assert text == "Grüße an 世界"


@pytest.mark.parametrize("where", ["acme", "claude"])
async def test_a_client_that_leaves_ends_the_providers_work_within_a_second(gw: Harness, where: str) -> None:
    gw.configure(routing=s.Routing(breaker=None))
    answer = gw.service.complete(gw.call(f"{where}/sim+tokens:1000+tps:50", stream=True))
    async for frame in answer:
        if isinstance(frame, bytes) and b'"content":"' in frame.replace(b'"content":""', b"").replace(b": ", b":"):
            break
    await answer.aclose()
    assert await until(lambda: gw.simulator.cancelled == 1)
    _, (request,) = await gw.events()
    assert (request.outcome, request.status) == ("cancelled", 499)
    assert 0 < request.usage.output_tokens < 1000
    assert await gw.open_holds() == 0


async def test_a_client_that_leaves_before_the_first_byte_leaves_nothing_behind(gw: Harness) -> None:
    gw.configure(routing=s.Routing(breaker=None))
    answer = gw.service.complete(gw.call("acme/sim+hang"))
    waiting = asyncio.ensure_future(anext(answer))
    assert await until(lambda: gw.simulator.active == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await until(lambda: gw.simulator.active == 0)
    _, (request,) = await gw.events()
    assert request.outcome == "cancelled"
    assert request.usage.estimated
    assert request.usage.input_tokens > 0, "the provider had read it: leaving early is not a way to read for nothing"
    assert request.cost_nano_usd > 0
    assert await gw.open_holds() == 0


async def test_any_number_of_unknown_fields_is_settled_like_the_rest(gw: Harness) -> None:
    unknown = {f"unknown_{number}_{'x' * 200}": 1 for number in range(2000)}
    for stream in (False, True):
        head, _ = await gw.ask("claude/sim", stream=stream, **unknown)
        assert len(head.losses) <= 50
        assert all(len(field) <= 100 for field in head.losses)
    _, requests = await gw.events()
    assert [request.outcome for request in requests] == ["ok", "ok"]
    assert await gw.open_holds() == 0


async def test_a_conversation_of_forty_thousand_turns_neither_takes_long_nor_holds_others_up(gw: Harness) -> None:
    gw.configure(routing=s.Routing(breaker=None))
    turns = [{"role": "user", "content": "x"}] * 40_000
    long = asyncio.ensure_future(gw.ask("claude/sim", messages=turns))
    others = 0
    async with asyncio.timeout(20):
        while not long.done():
            await gw.ask("acme/sim+tokens:1")
            others += 1
    assert (await long)[0].provider == "claude"
    assert others > 3


# ---- limits and money ----


async def test_a_combo_goes_only_to_providers_that_the_key_may_use(gw: Harness) -> None:
    combo = s.Combo(name="both", strategy="fill-first", targets=("acme/sim", "claude/sim"))
    gw.configure(combos=(combo,), keys=scoped("claude"))
    assert (await gw.ask("both"))[0].provider == "claude"
    assert not [account for account in gw.auth.asked if account.startswith("acme")]
    gw.configure(combos=(combo,), keys=scoped("cl*", "acme"))
    assert (await gw.ask("both"))[0].provider == "acme"


async def test_a_fallback_never_leaves_the_providers_that_the_key_may_use(gw: Harness) -> None:
    combo = s.Combo(name="both", strategy="fill-first", targets=("acme/sim+status:503", "claude/sim"))
    gw.configure(combos=(combo,), keys=scoped("acme"))
    with pytest.raises(UpstreamFailed):
        await gw.ask("both")


@pytest.mark.parametrize("model", ["acme/sim", "acme/free", "both"])
async def test_with_no_provider_left_the_request_is_refused(gw: Harness, model: str) -> None:
    combo = s.Combo(name="both", strategy="fill-first", targets=("acme/sim",))
    gw.configure(combos=(combo,), keys=scoped("claude"))
    with pytest.raises(PermissionDenied, match=model) as caught:
        await gw.ask(model)
    assert caught.value.code == "provider_not_allowed"
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
    with pytest.raises(PermissionDenied, match=model):
        await gw.service.count_tokens(CallContext("r"), "key-all", WireFormat.OPENAI_CHAT, "", body)
    assert not gw.auth.asked


async def test_the_list_has_what_the_keys_providers_serve(gw: Harness) -> None:
    combos = tuple(
        s.Combo(name=f"to-{name}", strategy="fill-first", targets=(f"{name}/sim",)) for name in ("acme", "claude")
    )
    gw.configure(combos=combos, keys=scoped("claude"))
    shown = [entry.id for entry in await gw.service.models(CallContext("r"), "key-all")]
    assert shown == ["to-claude", "claude/free", "claude/small"]


async def test_requests_per_minute_are_counted_once_a_request(gw: Harness) -> None:
    gw.configure(
        keys=key(requests_per_minute=2),
        combos=(s.Combo(name="safe", strategy="fill-first", targets=("acme/sim+status:500", "acme/sim")),),
    )
    await gw.ask("safe")
    await gw.ask("acme/sim")
    with pytest.raises(RateLimited) as caught:
        await gw.ask("acme/sim")
    assert 0 < (caught.value.retry_after or 0) <= 61
    _, requests = await gw.events()
    assert [(request.status, request.attempts) for request in requests] == [(200, 2), (200, 1), (429, 0)]


async def test_a_request_that_another_router_had_been_given_first_is_not_counted_again(gw: Harness) -> None:
    gw.configure(keys=key(requests_per_minute=1))
    first = gw.call("acme/sim")
    for attempt in range(3):
        async for _ in gw.service.complete(msgspec.structs.replace(first, attempt=attempt)):
            pass
    with pytest.raises(RateLimited):
        await gw.ask("acme/sim")


async def test_the_output_is_clamped_to_what_was_reserved(gw: Harness) -> None:
    gw.configure(keys=key(budget=s.Budget(nano_usd=10**12)))
    await gw.ask("acme/sim+tokens:3")
    assert gw.simulator.recent[-1].json()["max_tokens"] == 32_000, "the default"
    await gw.ask("acme/small")
    assert gw.simulator.recent[-1].json()["max_tokens"] == 50, "the model's own limit"
    await gw.ask("acme/sim", max_completion_tokens=9)
    sent = gw.simulator.recent[-1].json()
    assert sent["max_completion_tokens"] == 9
    assert "max_tokens" not in sent


async def test_a_limit_that_comes_twice_is_sent_once(gw: Harness) -> None:
    gw.configure(keys=key(budget=s.Budget(nano_usd=10**12)), combos=(combo_of("sim"),))
    call = gw.call("sim")
    twice = call.body.replace(b'"model"', b'"max_tokens": 99999, "max_tokens": 5, "model"')
    async for _ in gw.service.complete(msgspec.structs.replace(call, body=twice)):
        pass
    assert gw.simulator.recent[-1].body.count(b"max_tokens") == 1
    assert gw.simulator.recent[-1].json()["max_tokens"] == 5


async def test_a_budget_that_affords_less_clamps_lower_and_is_never_exceeded(gw: Harness) -> None:
    cap = 5_000_000  # 0.005 USD: some 400 tokens of output beside the input
    gw.configure(keys=key(budget=s.Budget(nano_usd=cap)))
    head, body = await gw.ask("acme/sim+tokens:10000")
    limit = gw.simulator.recent[-1].json()["max_tokens"]
    assert head.status == 200
    assert 300 < limit < 500
    assert json.loads(body)["choices"][0]["finish_reason"] == "length"
    spent, held = await gw.money("key-all")
    assert held == 0
    assert 0 < spent <= cap
    with pytest.raises(BudgetExhausted):
        for _ in range(50):
            await gw.ask("acme/sim+tokens:10000")
    assert (await gw.money("key-all"))[0] <= cap


async def test_a_budget_held_by_requests_in_flight_is_a_short_wait_not_an_end(gw: Harness) -> None:
    gw.configure(keys=key(budget=s.Budget(nano_usd=2_000_000)), routing=s.Routing(breaker=None))
    first = asyncio.ensure_future(gw.ask("acme/sim+latency:600+tokens:2"))
    assert await until(lambda: gw.simulator.active == 1)
    with pytest.raises(BudgetHeld) as caught:
        await gw.ask("acme/sim+tokens:2")
    assert 0 < (caught.value.retry_after or 0) <= 5
    await first
    await gw.ask("acme/sim+tokens:2")


async def test_a_model_without_price_is_skipped_under_a_budget(gw: Harness) -> None:
    budget = s.Budget(nano_usd=10**12)
    combo = s.Combo(name="mixed", strategy="fill-first", targets=("acme/free", "acme/sim"))
    gw.configure(keys=key(budget=budget), combos=(combo,))
    head, _ = await gw.ask("mixed")
    assert head.model == "sim"
    with pytest.raises(BudgetExhausted) as caught:
        await gw.ask("acme/free")
    assert caught.value.status == 402


async def test_unpriced_models_may_be_served_or_given_an_assumed_price(gw: Harness) -> None:
    gw.configure(keys=key(budget=s.Budget(nano_usd=10**12, unpriced="serve")))
    await gw.ask("acme/free")
    gw.configure(keys=key(budget=s.Budget(nano_usd=10**12, unpriced="assume", assumed_price=PRICE)))
    await gw.ask("acme/free")
    _, (served, assumed) = await gw.events()
    assert (served.pricing, served.cost_nano_usd) == ("unpriced", 0)
    assert assumed.pricing == "assumed"
    assert assumed.cost_nano_usd == (await gw.money("key-all"))[0] > 0


async def test_what_was_spent_is_what_the_events_say(gw: Harness) -> None:
    gw.configure(keys=key(budget=s.Budget(nano_usd=10**12)))
    models = [
        "acme/sim+tokens:9",
        "claude/sim+tokens:4",
        "acme/sim+status:500",
        "acme/sim+tokens:40+cut:5",
        "claude/sim+think",
    ]
    for model in models:
        try:
            await gw.ask(model, stream="cut" in model)
        except GatewayError:
            continue
    attempts, requests = await gw.events()
    spent, held = await gw.money("key-all")
    assert held == 0
    assert (
        spent
        == sum(attempt.cost_nano_usd for attempt in attempts)
        == sum(request.cost_nano_usd for request in requests)
    )


# ---- breaker ----


async def test_a_breaker_opens_after_failures_and_sends_the_rest_elsewhere(gw: Harness) -> None:
    policy = s.BreakerPolicy(failures=3, window=60, open_for=60)
    combo = s.Combo(name="safe", strategy="fill-first", targets=("acme/sim+status:500", "claude/sim"))
    gw.configure(combos=(combo,), routing=s.Routing(breaker=policy, timeouts=PATIENT))
    for _ in range(5):
        await gw.ask("safe")
    assert gw.simulator.requests["/v1/chat/completions"] == 3
    with pytest.raises(NoCandidate, match=r"\[acme/sim\+status:500\] was not asked, as it failed too often") as caught:
        await gw.ask("acme/sim+status:500")
    assert 0 < (caught.value.retry_after or 0) <= 60
    await gw.ask("acme/sim")  # another model of the same account


async def test_what_a_router_did_not_hear_because_it_was_held_up_itself_is_no_evidence_against_the_account(
    gw: Harness,
) -> None:
    policy = s.BreakerPolicy(failures=1, window=60, open_for=60)
    gw.configure(routing=s.Routing(breaker=policy, timeouts=QUICK))
    asking = asyncio.create_task(gw.ask("acme/sim+hang"))
    assert await until(lambda: gw.simulator.requests["/v1/chat/completions"] == 1)
    time.sleep(QUICK.total + 1.2)  # noqa: ASYNC251 — the loop is to be held up
    with pytest.raises(UpstreamTimeout):
        await asking
    await gw.ask("acme/sim")


async def test_a_request_the_provider_refuses_is_no_evidence_against_the_account(gw: Harness) -> None:
    gw.configure(routing=s.Routing(breaker=s.BreakerPolicy(failures=1), timeouts=PATIENT))
    for status in (400, 403, 404):
        with pytest.raises(UpstreamRejected):
            await gw.ask(f"acme/sim+status:{status}")
    await gw.ask("acme/sim")


# ---- refusals ----


async def test_refusals_are_written_down_too(gw: Harness) -> None:
    gw.configure(keys=key(models=("acme/*",)))
    for model, error in [("claude/sim", PermissionDenied), ("acme/", ModelNotFound)]:
        with pytest.raises(error):
            await gw.ask(model)
    with pytest.raises(Unauthenticated):
        await gw.ask("acme/sim", key="key-revoked")
    _, requests = await gw.events()
    assert [(request.status, request.attempts) for request in requests] == [(403, 0), (404, 0), (401, 0)]


async def test_a_private_address_is_refused_unless_allowed(gw: Harness) -> None:
    gw.configure(provider("acme", f"{gw.simulator.url}/v1", allow_private_address=False))
    with pytest.raises(UpstreamUnreachable, match="allow_private_address"):
        await gw.ask("acme/sim")
    local = gw.simulator.url.replace("127.0.0.1", "localhost")
    gw.configure(provider("acme", f"{local}/v1", allow_private_address=False))
    with pytest.raises(UpstreamUnreachable, match="allow_private_address"):
        await gw.ask("acme/sim")
