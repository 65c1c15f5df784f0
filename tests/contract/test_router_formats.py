"""The router in all its dialects: every client's on every provider's, over a real ledger and real HTTP.

What the simulated provider says it served is what must be billed, and what it broke off must never look whole.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core.ids import new_id
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Head
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.streams import Tally
from omni_wire.errors import (
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    StreamInterrupted,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
    WireError,
)
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from tests.support.router import QUICK, Harness, harness, provider, until
from tests.support.servers import free_port

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
FORMATS = sorted(CODECS)
PAIRS = [(client, upstream) for client in FORMATS for upstream in FORMATS]
NAMES = {CHAT: "acme", MESSAGES: "claude", RESPONSES: "oai", GEMINI: "goo"}
WORDS = "Say something"


@pytest.fixture
async def gw(clean_redis: str) -> AsyncIterator[Harness]:
    async with harness(clean_redis) as made:
        configure(made)
        yield made


def configure(gw: Harness, **changes: Any) -> None:
    base = gw.simulator.url
    bases = {CHAT: f"{base}/v1", RESPONSES: f"{base}/v1", MESSAGES: base, GEMINI: base}
    gw.configure(*(provider(NAMES[each], bases[each], each) for each in FORMATS), **changes)


def asking(wire_format: WireFormat, model: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A body as that dialect's clients write it."""
    if wire_format is GEMINI:
        return {"contents": [{"role": "user", "parts": [{"text": WORDS}]}]} | more
    body: dict[str, Any] = {"model": model, "stream": stream}
    if wire_format is RESPONSES:
        return body | {"input": WORDS} | more
    body |= {"messages": [{"role": "user", "content": WORDS}]}
    return body | ({"max_tokens": 1000} if wire_format is MESSAGES else {}) | more


def call(
    wire_format: WireFormat,
    model: str,
    *,
    stream: bool = False,
    framing: str = "sse",
    headers: dict[str, str] | None = None,
    **more: Any,
) -> CompleteCall:
    return CompleteCall(
        CallContext("the-clients-own"),
        "key-all",
        wire_format,
        json.dumps(asking(wire_format, model, stream=stream, **more)).encode(),
        new_id(),
        headers or {},
        model=model if wire_format is GEMINI else "",
        stream=stream and wire_format is GEMINI,
        framing=framing,
    )


async def ask(gw: Harness, asked: CompleteCall) -> tuple[Head, bytes, GatewayError | None]:
    """The head, all bytes, and the error after the head, if any."""
    head, parts = None, []
    try:
        async for frame in gw.service.complete(asked):
            if isinstance(frame, Head):
                head = frame
            else:
                parts.append(frame)
    except GatewayError as error:
        if head is None:
            raise
        return head, b"".join(parts), error
    assert head is not None
    return head, b"".join(parts), None


def seen_by(wire_format: WireFormat, data: bytes, *, stream: bool) -> tuple[str, Usage | None, bool]:
    """What a client makes of an answer: its text, its usage, and whether it is whole."""
    codec = CODECS[wire_format]
    if not stream:
        response = codec.decode_response(data)
        return "".join(getattr(part, "text", "") for part in response.parts), response.usage, True
    decoder, tally, text = codec.stream_decoder(), Tally(), []
    try:
        for events in (decoder.feed(data), decoder.end()):
            for event in events:
                tally.see(event)
                text.append(getattr(event, "text", ""))
    except WireError:
        pass
    return "".join(text), tally.usage.usage if tally.usage else None, tally.finished is not None and not tally.failed


def key(**fields: Any) -> tuple[s.KeyPolicy, ...]:
    return (s.KeyPolicy(id="key-all", name="all", **fields),)


# ---- answers ----


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_every_dialect_is_answered_from_every_provider_and_billed_by_its_count(
    gw: Harness, client: WireFormat, upstream: WireFormat, stream: bool
) -> None:
    asked = call(client, f"{NAMES[upstream]}/sim+say:two%20words+input:90+cached:7", stream=stream)
    head, body, error = await ask(gw, asked)
    assert error is None
    assert (head.status, head.stream, head.provider) == (200, stream, NAMES[upstream])
    assert head.passthrough is (client is upstream)
    assert head.content_type.startswith("text/event-stream" if stream else "application/json")
    text, usage, whole = seen_by(client, body, stream=stream)
    assert (text, whole) == ("two words", True)
    served = gw.simulator.served
    (attempt,), (request,) = await gw.events()
    billed = attempt.usage
    assert (billed.input_tokens, billed.cached_input_tokens, billed.output_tokens, billed.estimated) == (
        served.input_tokens, served.cached_input_tokens, served.output_tokens, False,
    )  # fmt: skip
    assert (served.input_tokens, served.cached_input_tokens) == (90, 7)
    assert (request.outcome, request.client_format, request.stream) == ("ok", client.value, stream)
    if client is not CHAT or not stream:  # a chat client has to ask for it
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (90, served.output_tokens)
    assert await gw.open_holds() == 0


@pytest.mark.parametrize("upstream", FORMATS)
async def test_a_client_that_wants_an_array_gets_one(gw: Harness, upstream: WireFormat) -> None:
    asked = call(GEMINI, f"{NAMES[upstream]}/sim+tokens:5", stream=True, framing="array")
    head, body, error = await ask(gw, asked)
    assert error is None
    assert head.content_type == "application/json; charset=utf-8"
    chunks = json.loads(body)
    text = "".join(
        part.get("text", "") for chunk in chunks for part in chunk["candidates"][0].get("content", {}).get("parts", [])
    )
    assert len(text.split()) == 5
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == 5
    (attempt,), _ = await gw.events()
    assert (attempt.usage.output_tokens, attempt.usage.estimated) == (5, False)


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_between_equals_unknown_fields_arrive_and_only_the_model_is_another(
    gw: Harness, wire_format: WireFormat
) -> None:
    more = {"x_unknown": {"deep": [1.10, "ü"]}, "metadata": {"user_id": "me"}}
    await ask(gw, call(wire_format, f"{NAMES[wire_format]}/sim", **more))
    seen = gw.simulator.recent[-1]
    assert seen.json() == asking(wire_format, "sim", **more)
    await ask(gw, call(wire_format, f"{NAMES[wire_format]}/sim", stream=True, **more))
    sent = gw.simulator.recent[-1].json()
    sent.pop("stream_options", None)
    assert sent == asking(wire_format, "sim", stream=True, **more)


async def test_each_provider_gets_its_own_kind_of_key_and_address(gw: Harness) -> None:
    expected = {
        CHAT: ("/v1/chat/completions", "authorization", "Bearer secret-of-acme/first"),
        RESPONSES: ("/v1/responses", "authorization", "Bearer secret-of-oai/first"),
        MESSAGES: ("/v1/messages", "x-api-key", "secret-of-claude/first"),
        GEMINI: ("/v1beta/models/sim:streamGenerateContent?alt=sse", "x-goog-api-key", "secret-of-goo/first"),
    }
    for wire_format, (target, header, value) in expected.items():
        await ask(gw, call(CHAT, f"{NAMES[wire_format]}/sim", stream=True))
        seen = gw.simulator.recent[-1]
        assert (seen.target, seen.header(header)) == (target, value)
        others = {"authorization", "x-api-key", "x-goog-api-key"} - {header}
        assert not any(seen.header(other) for other in others)


async def test_a_clients_betas_reach_providers_of_its_own_format_only(gw: Harness) -> None:
    told = {"anthropic-version": "2024-01-01", "anthropic-beta": "effort-2025-11-24", "openai-beta": "x=v1"}
    for client, upstream, expected in [
        (MESSAGES, MESSAGES, ("2024-01-01", "effort-2025-11-24", None)),
        (CHAT, MESSAGES, ("2023-06-01", None, None)),
        (RESPONSES, RESPONSES, (None, None, "x=v1")),
        (MESSAGES, RESPONSES, (None, None, None)),
        (GEMINI, GEMINI, (None, None, None)),
    ]:
        await ask(gw, call(client, f"{NAMES[upstream]}/sim", headers=told))
        seen = gw.simulator.recent[-1]
        assert (seen.header("anthropic-version"), seen.header("anthropic-beta"), seen.header("openai-beta")) == expected


async def test_codexs_own_tools_come_back_as_it_named_them(gw: Harness) -> None:
    tools = [
        {"type": "namespace", "name": "crew", "tools": [{"type": "function", "name": "spawn", "parameters": {}}]},
    ]
    for upstream in (CHAT, MESSAGES, GEMINI):
        for stream in (False, True):
            asked = call(RESPONSES, f"{NAMES[upstream]}/sim+tools", stream=stream, tools=tools)
            _, body, error = await ask(gw, asked)
            assert error is None
            assert b'"namespace":"crew"' in body
            assert b'"name":"spawn"' in body


# ---- truth ----

BEFORE = ["status:500", "reset", "empty", "error-200", "cut:0", "clean-cut:0", "error-event:0", "malformed:0"]


@pytest.mark.parametrize("fault", BEFORE)
@pytest.mark.parametrize("wire_format", FORMATS)
async def test_any_failure_before_the_first_byte_moves_on_between_equals(
    gw: Harness, wire_format: WireFormat, fault: str
) -> None:
    bad, good = f"{NAMES[wire_format]}/sim+{fault}", f"{NAMES[wire_format]}/sim+tokens:4"
    configure(gw, combos=(s.Combo(name="safe", strategy="fill-first", targets=(bad, good)),))
    framings = ("sse", "array") if wire_format is GEMINI else ("sse",)
    for framing in framings:
        head, body, error = await ask(gw, call(wire_format, "safe", stream=True, framing=framing))
        assert error is None
        assert head.model == "sim+tokens:4"
        assert seen_by(wire_format, body, stream=True)[2]
    _, requests = await gw.events()
    assert [(request.outcome, request.attempts) for request in requests] == [("ok", 2)] * len(framings)


@pytest.mark.parametrize("fault", ["status:500", "reset", "empty", "error-200", "truncate", "malformed"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_whole_answer_that_fails_is_never_passed_on(
    gw: Harness, client: WireFormat, upstream: WireFormat, fault: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        await ask(gw, call(client, f"{NAMES[upstream]}/sim+{fault}"))
    assert caught.value.status in (500, 502)
    assert await gw.open_holds() == 0


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("cut:8", StreamInterrupted),
        ("clean-cut:8", StreamInterrupted),
        ("stall:8", UpstreamTimeout),
        ("malformed:8", UpstreamFailed),
        ("error-event:8", UpstreamFailed),
    ],
)
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_stream_that_breaks_says_so_and_is_billed_for_what_came(
    gw: Harness, client: WireFormat, upstream: WireFormat, fault: str, expected: type[GatewayError]
) -> None:
    _, body, error = await ask(gw, call(client, f"{NAMES[upstream]}/sim+tokens:50+{fault}", stream=True))
    assert isinstance(error, expected)
    assert type(error) is expected or expected is UpstreamFailed
    assert body
    assert not seen_by(client, body, stream=True)[2]
    _, (request,) = await gw.events()
    assert (request.outcome, request.error_kind, request.status) == ("partial", expected.kind, 200)
    assert request.usage.estimated
    assert 0 < request.usage.output_tokens < 50
    assert await gw.open_holds() == 0


@pytest.mark.parametrize("fault", ["cut:8", "clean-cut:8", "malformed:8", "error-event:8"])
@pytest.mark.parametrize("upstream", FORMATS)
async def test_a_broken_array_is_left_open_for_the_error(gw: Harness, upstream: WireFormat, fault: str) -> None:
    asked = call(GEMINI, f"{NAMES[upstream]}/sim+tokens:50+{fault}", stream=True, framing="array")
    _, body, error = await ask(gw, asked)
    assert error is not None
    assert all("finishReason" not in chunk["candidates"][0] for chunk in json.loads(body + b"]"))
    _, (request,) = await gw.events()
    assert 0 < request.usage.output_tokens < 50


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_bytes_cut_inside_characters_arrive_whole(gw: Harness, wire_format: WireFormat) -> None:
    say = "Gr%C3%BC%C3%9Fe%20an%20%E4%B8%96%E7%95%8C"
    for framing in ("sse", "array") if wire_format is GEMINI else ("sse",):
        asked = call(wire_format, f"{NAMES[wire_format]}/sim+say:{say}+split-utf8", stream=True, framing=framing)
        _, body, _ = await ask(gw, asked)
        assert seen_by(wire_format, body, stream=True)[0] == "Grüße an 世界"


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_a_client_that_leaves_ends_the_providers_work(gw: Harness, wire_format: WireFormat) -> None:
    configure(gw, routing=s.Routing(breaker=None))
    answer = gw.service.complete(call(wire_format, f"{NAMES[wire_format]}/sim+tokens:1000+tps:200", stream=True))
    bytes_seen = 0
    async for frame in answer:
        bytes_seen += len(frame) if isinstance(frame, bytes) else 0
        if bytes_seen > 3000:
            break
    await answer.aclose()
    assert await until(lambda: gw.simulator.cancelled == 1, 1.0)
    _, (request,) = await gw.events()
    assert (request.outcome, request.status) == ("cancelled", 499)
    assert 0 < request.usage.output_tokens < 1000


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_a_providers_refusal_keeps_its_status_and_its_words(gw: Harness, wire_format: WireFormat) -> None:
    for status in (400, 404, 429):
        with pytest.raises(UpstreamRejected, match=f"status {status}") as caught:
            await ask(gw, call(wire_format, f"{NAMES[wire_format]}/sim+status:{status}+retry-after:7", stream=True))
        assert (caught.value.status, caught.value.retry_after) == (status, 7.0)


# ---- limits and money ----


@pytest.mark.parametrize(
    ("wire_format", "limit"),
    [
        (CHAT, {"max_tokens": 9}),
        (RESPONSES, {"max_output_tokens": 9}),
        (MESSAGES, {"max_tokens": 9}),
        (GEMINI, {"generationConfig": {"maxOutputTokens": 9, "temperature": 0.1}}),
    ],
)
async def test_the_limit_is_clamped_where_the_dialect_has_it(
    gw: Harness, wire_format: WireFormat, limit: dict[str, Any]
) -> None:
    configure(gw, keys=key(budget=s.Budget(nano_usd=10**12)))
    await ask(gw, call(wire_format, f"{NAMES[wire_format]}/small", **limit))
    assert gw.simulator.recent[-1].json() == asking(wire_format, "small", **limit)
    unlimited = dict.fromkeys(limit)
    await ask(gw, call(wire_format, f"{NAMES[wire_format]}/small", **unlimited))
    sent = gw.simulator.recent[-1].json()
    (name,) = limit
    assert (sent[name]["maxOutputTokens"] if wire_format is GEMINI else sent[name]) == 50, "the model's own limit"


async def test_geminis_limit_is_spliced_in_and_nothing_else_is_touched(gw: Harness) -> None:
    configure(gw, keys=key(budget=s.Budget(nano_usd=10**12)))
    asked = call(GEMINI, "goo/small")
    raw = (
        b'{"contents":[{"parts":[{"text":"hi"}]}],'
        b'"generation_config":{"top_p":1.10,"max_output_tokens":"900","max_output_tokens":99999,"x":12345678901234567890}}'
    )
    await ask(gw, msgspec.structs.replace(asked, body=raw))
    sent = gw.simulator.recent[-1].body
    assert b'"top_p":1.10' in sent
    assert b"12345678901234567890" in sent
    assert sent.count(b"max_output_tokens") == 1
    assert gw.simulator.recent[-1].json()["generation_config"]["max_output_tokens"] == 50


@pytest.mark.parametrize(
    ("client", "more", "param"),
    [
        (RESPONSES, {"tools": [{"type": "web_search"}]}, "tools.0"),
        (
            RESPONSES,
            {"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}, {"role": "user", "content": "x"}]},
            "input.0.tools.0",
        ),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        (GEMINI, {"tools": [{"functionDeclarations": []}, {"googleSearch": {}}]}, "tools.1.googleSearch"),
        (GEMINI, {"generationConfig": {"responseModalities": ["AUDIO"]}}, "generationConfig.responseModalities"),
        (
            MESSAGES,
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            "cache_control.ttl",
        ),
        (RESPONSES, {"service_tier": "priority"}, "service_tier"),
        (MESSAGES, {"speed": "fast"}, "speed"),
    ],
)
async def test_what_is_billed_apart_is_refused_under_a_budget_and_only_there(
    gw: Harness, client: WireFormat, more: dict[str, Any], param: str
) -> None:
    model = f"{NAMES[client]}/sim"
    seen = len(gw.simulator.recent)
    configure(gw, keys=key(budget=s.Budget(nano_usd=10**12)))
    with pytest.raises(InvalidRequest) as caught:
        await ask(gw, call(client, model, **more))
    assert caught.value.param == param
    assert len(gw.simulator.recent) == seen
    configure(gw)
    with contextlib.suppress(UpstreamRejected):  # the simulator has its own mind about some
        await ask(gw, call(client, model, **more))
    assert len(gw.simulator.recent) == seen + 1


async def test_a_hosted_tool_does_not_close_the_providers_it_cannot_reach(gw: Harness) -> None:
    combo = s.Combo(name="any", strategy="fill-first", targets=("oai/sim", "claude/sim"))
    configure(gw, combos=(combo,), keys=key(budget=s.Budget(nano_usd=10**12)))
    head, _, _ = await ask(gw, call(RESPONSES, "any", tools=[{"type": "web_search"}]))
    assert head.provider == "claude"
    assert "tools" not in gw.simulator.recent[-1].json()


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_the_money_adds_up_and_stays_within_the_budget(
    gw: Harness, client: WireFormat, upstream: WireFormat
) -> None:
    cap = 5_000_000
    configure(gw, keys=key(budget=s.Budget(nano_usd=cap)))
    for stream in (False, True):
        try:
            await ask(gw, call(client, f"{NAMES[upstream]}/sim+tokens:10000", stream=stream))
        except GatewayError:
            continue
    attempts, requests = await gw.events()
    spent, held = await gw.money("key-all")
    assert held == 0
    assert 0 < spent <= cap
    assert spent == sum(attempt.cost_nano_usd for attempt in attempts)
    assert spent == sum(request.cost_nano_usd for request in requests)
    assert not any(attempt.overrun for attempt in attempts)


# ---- counting ----


async def count(gw: Harness, wire_format: WireFormat, model: str, **more: Any) -> int:
    body = json.dumps(asking(wire_format, model, **more)).encode()
    path = model if wire_format is GEMINI else ""
    return await gw.service.count_tokens(CallContext("r"), "key-all", wire_format, path, body)


@pytest.mark.parametrize("wire_format", [MESSAGES, GEMINI])
async def test_a_provider_that_can_count_is_asked(gw: Harness, wire_format: WireFormat) -> None:
    assert await count(gw, wire_format, f"{NAMES[wire_format]}/sim+input:123") == 123
    seen = gw.simulator.recent[-1]
    assert seen.target.endswith(("/v1/messages/count_tokens", ":countTokens"))
    assert "/" not in seen.json().get("model", "")
    _, requests = await gw.events()
    assert not requests, "nothing is used"


async def test_geminis_wrapped_request_names_the_providers_model(gw: Harness) -> None:
    inner = {"model": "models/goo/sim", "contents": [{"parts": [{"text": WORDS}]}]}
    body = json.dumps({"generateContentRequest": inner}).encode()
    assert await gw.service.count_tokens(CallContext("r"), "key-all", GEMINI, "goo/sim+input:7", body) == 7
    assert gw.simulator.recent[-1].json()["generateContentRequest"]["model"] == "models/sim+input:7"


@pytest.mark.parametrize(
    ("wire_format", "model"),
    [
        *((client, f"{NAMES[upstream]}/sim") for client in FORMATS for upstream in FORMATS if client is not upstream),
        (CHAT, "acme/sim"),
    ],
)
async def test_where_none_can_the_count_is_estimated(gw: Harness, wire_format: WireFormat, model: str) -> None:
    few = await count(gw, wire_format, model)
    assert 4 <= few <= 40
    more = await count(gw, wire_format, model, x_more=["word " * 400])
    assert 480 <= more - few <= 520
    assert not gw.simulator.recent


@pytest.mark.parametrize("where", ["/nowhere", "gone"])
async def test_a_provider_that_fails_to_count_leaves_the_estimate(gw: Harness, where: str) -> None:
    base = f"http://127.0.0.1:{free_port()}" if where == "gone" else gw.simulator.url + where
    gw.configure(provider("claude", base, MESSAGES), routing=s.Routing(breaker=None, timeouts=QUICK))
    assert 4 <= await count(gw, MESSAGES, "claude/sim+input:5000") <= 40


async def test_a_request_that_cannot_be_counted_is_refused(gw: Harness) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await count(gw, MESSAGES, "claude/sim", messages=[])
    assert caught.value.status == 400
    with pytest.raises(ModelNotFound):
        await count(gw, MESSAGES, "nobody/sim")
    with pytest.raises(InvalidRequest):
        await gw.service.count_tokens(CallContext("r"), "key-all", MESSAGES, "", b"[]")
    configure(gw, keys=key(models=("acme/*",)))
    with pytest.raises(PermissionDenied):
        await count(gw, MESSAGES, "claude/sim")
