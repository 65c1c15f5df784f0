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
from omni_catalogue.prices import Special
from omni_core.clock import now_ms
from omni_core.ids import new_id
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Head
from omni_simulator.formats.cursor import machine_of
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.streams import Tally
from omni_wire.errors import (
    GatewayError,
    InvalidRequest,
    LossRefused,
    ModelNotFound,
    PermissionDenied,
    StreamInterrupted,
    UpstreamError,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
    WireError,
)
from omni_wire.formats import CLIENT_FORMATS, WireFormat
from omni_wire.usage import Usage

from tests.support.router import PATIENT, PRICE, Harness, harness, patience, provider, until
from tests.support.servers import free_port

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
CLOUDCODE, CURSOR = WireFormat.CLOUDCODE_GENERATE, WireFormat.CURSOR_CHAT
OLLAMA, COHERE = WireFormat.OLLAMA_CHAT, WireFormat.COHERE_CHAT
FORMATS = sorted(set(CLIENT_FORMATS) & set(CODECS))
BEDROCK = WireFormat.BEDROCK_CONVERSE
UPSTREAMS = [*FORMATS, CLOUDCODE, CURSOR, COHERE, BEDROCK]
PAIRS = [(client, upstream) for client in FORMATS for upstream in UPSTREAMS]
NAMES = {CHAT: "acme", MESSAGES: "claude", RESPONSES: "oai", GEMINI: "goo", CLOUDCODE: "cloud", CURSOR: "cursor"}
NAMES |= {BEDROCK: "bed"}
NAMES |= {OLLAMA: "llama", COHERE: "co"}
STREAMED = {OLLAMA: "application/x-ndjson"}
WORDS = "Say something"


@pytest.fixture
async def gw(clean_redis: str) -> AsyncIterator[Harness]:
    async with harness(clean_redis) as made:
        configure(made)
        yield made


def configure(gw: Harness, **changes: Any) -> None:
    base = gw.simulator.url
    bases = {CHAT: f"{base}/v1", RESPONSES: f"{base}/v1"}
    gw.configure(*(provider(NAMES[each], bases.get(each, base), each) for each in UPSTREAMS), **changes)


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
    assert head.content_type.startswith(STREAMED.get(client, "text/event-stream") if stream else "application/json")
    text, usage, whole = seen_by(client, body, stream=stream)
    assert (text, whole) == ("two words", True)
    served = gw.simulator.served
    (attempt,), (request,) = await gw.events()
    billed = attempt.usage
    if upstream is CURSOR:  # which counts nothing: the client is told nothing, and the books hold an estimate
        assert billed.estimated
        assert billed.input_tokens
        assert billed.output_tokens
        assert usage in (None, Usage())
        assert await gw.open_holds() == 0
        return
    assert (billed.input_tokens, billed.cached_input_tokens, billed.output_tokens, billed.estimated) == (
        served.input_tokens, 0 if upstream is OLLAMA else served.cached_input_tokens, served.output_tokens, False,
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
        CLOUDCODE: ("/v1internal:streamGenerateContent?alt=sse", "authorization", "Bearer secret-of-cloud/first"),
        CURSOR: (
            "/aiserver.v1.ChatService/StreamUnifiedChatWithTools",
            "authorization",
            "Bearer secret-of-cursor/first",
        ),
        BEDROCK: ("/model/sim/converse-stream", "authorization", "Bearer secret-of-bed/first"),
        OLLAMA: ("/api/chat", "authorization", "Bearer secret-of-llama/first"),
        COHERE: ("/v2/chat", "authorization", "Bearer secret-of-co/first"),
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


async def test_an_accounts_project_is_told_and_no_vendors_product_is_posed_as_unasked(gw: Harness) -> None:
    account = s.Account(id="cloud/first", name="first", secret_version="1", project="my-project")
    for identity in ("", "antigravity"):
        posing = msgspec.structs.replace(account, identity=identity)
        gw.configure(provider("cloud", gw.simulator.url, CLOUDCODE, accounts=(posing,)))
        tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
        await ask(gw, call(CHAT, "cloud/sim", tools=tools))
        seen = gw.simulator.recent[-1]
        sent = seen.json()
        assert (sent["model"], sent["project"]) == ("sim", "my-project")
        assert seen.header("user-agent") == "omniroute"
        posed = sent.keys() - {"model", "project", "request"}
        assert posed == ({"requestType", "userAgent"} if identity else set())
        mode = sent["request"].get("toolConfig", {}).get("functionCallingConfig", {}).get("mode")
        assert mode == ("VALIDATED" if identity else None)


async def test_cursors_own_client_is_looked_like_only_where_an_account_asks(gw: Harness) -> None:
    account = s.Account(id="cursor/first", name="first", secret_version="1")
    gw.configure(provider("cursor", gw.simulator.url, CURSOR, accounts=(account,)))
    await ask(gw, call(CHAT, "cursor/sim"))
    seen = gw.simulator.recent[-1]
    assert seen.header("user-agent") == "omniroute"
    assert not [name for name in seen.headers if name.startswith(b"x-cursor-")]

    posing = msgspec.structs.replace(account, identity="cursor", client_version="3.1.4", machine_id="0123abcd/4567cdef")
    gw.configure(provider("cursor", gw.simulator.url, CURSOR, accounts=(posing,)))
    before = now_ms() // 1_000_000
    _, body, error = await ask(gw, call(CHAT, "cursor/sim+say:fine"))
    assert error is None
    assert b"fine" in body
    seen = gw.simulator.recent[-1]
    assert seen.header("authorization") == "Bearer secret-of-cursor/first"
    assert seen.header("x-cursor-client-version") == "3.1.4"
    step, machine = machine_of(seen.header("x-cursor-checksum") or "")
    assert machine == "0123abcd/4567cdef"
    assert before <= step <= now_ms() // 1_000_000


async def test_codexs_own_tools_come_back_as_it_named_them(gw: Harness) -> None:
    tools = [
        {"type": "namespace", "name": "crew", "tools": [{"type": "function", "name": "spawn", "parameters": {}}]},
    ]
    for upstream in (CHAT, MESSAGES, GEMINI, CLOUDCODE, CURSOR):
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


# Events that only announce an answer, in each format as the simulator writes it.
ANNOUNCED = {CHAT: 1, RESPONSES: 4, MESSAGES: 3, GEMINI: 0, OLLAMA: 0, COHERE: 2, CLOUDCODE: 0, CURSOR: 1, BEDROCK: 1}


@pytest.mark.parametrize("fault", ["cut", "clean-cut", "error-event", "malformed", "stall"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_an_answer_that_was_only_announced_can_still_come_from_another(
    gw: Harness, client: WireFormat, upstream: WireFormat, fault: str
) -> None:
    bad, good = f"{NAMES[upstream]}/sim+{fault}:{ANNOUNCED[upstream]}", f"{NAMES[upstream]}/sim+tokens:4"
    combo = s.Combo(name="safe", strategy="fill-first", targets=(bad, good))
    configure(gw, combos=(combo,), timeouts=patience(fault))
    head, body, error = await ask(gw, call(client, "safe", stream=True))
    assert error is None
    assert head.model == "sim+tokens:4"
    text, _, whole = seen_by(client, body, stream=True)
    assert (len(text.split()), whole) == (4, True)
    _, (request,) = await gw.events()
    assert (request.outcome, request.attempts) == ("ok", 2)


@pytest.mark.parametrize("status", [401, 429, 529])
@pytest.mark.parametrize("fault", ["error-200", "error-event:0"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_an_error_under_status_200_is_told_with_the_status_of_its_words(
    gw: Harness, client: WireFormat, upstream: WireFormat, fault: str, status: int
) -> None:
    stream = fault != "error-200"
    with pytest.raises(UpstreamError) as caught:
        await ask(gw, call(client, f"{NAMES[upstream]}/sim+{fault}+status:{status}", stream=stream))
    if upstream is CURSOR and status == 529:  # "unavailable", in Connect's words
        status = 503
    if upstream in (OLLAMA, COHERE):  # whose errors are a sentence and nothing else
        assert caught.value.status in (status, 502)
        return
    if upstream is BEDROCK:  # whose words are its exceptions' types; a whole answer's stands in a header, unread
        status = {401: 403, 429: 429, 529: 500}[status] if stream else 502
    in_openais_words = 500 if status == 529 else status  # which are fewer
    assert caught.value.status == (in_openais_words if upstream in (CHAT, RESPONSES) else status)


@pytest.mark.parametrize("status", [401, 429])
@pytest.mark.parametrize("upstream", [*FORMATS, CLOUDCODE])
async def test_an_error_under_status_200_where_a_stream_was_asked_for_is_told_in_its_words(
    gw: Harness, upstream: WireFormat, status: int
) -> None:
    for client in (CHAT, GEMINI):
        with pytest.raises(UpstreamError, match=r"status 200: the simulator was told to fail") as caught:
            await ask(gw, call(client, f"{NAMES[upstream]}/sim+error-200+status:{status}", stream=True))
        assert caught.value.status == (502 if upstream is OLLAMA else status)  # whose errors are a sentence


@pytest.mark.parametrize("upstream", [CURSOR, WireFormat.KIRO_CONVERSATION])
async def test_a_strict_client_is_not_refused_for_a_limit_that_it_never_set(gw: Harness, upstream: WireFormat) -> None:
    gw.configure(provider("it", gw.simulator.url, upstream))
    strictly = {"x-omniroute-translation": "strict"}
    head, _, _ = await ask(gw, call(CHAT, "it/sim", headers=strictly))
    assert head.losses == ()
    with pytest.raises(LossRefused, match="max_tokens"):
        await ask(gw, call(CHAT, "it/sim", headers=strictly, max_tokens=100))


async def test_a_strict_client_is_answered_by_the_target_that_loses_nothing(gw: Harness) -> None:
    targets = ("claude/sim", "claude/sim+tokens:2", "acme/sim+tokens:4")
    configure(gw, combos=(s.Combo(name="safe", strategy="fill-first", targets=targets),))
    strict = call(CHAT, "safe", headers={"x-omniroute-translation": "strict"}, logit_bias={"1": 1})
    head, _, _ = await ask(gw, strict)
    assert (head.provider, head.losses) == ("acme", ())
    configure(gw, combos=(s.Combo(name="safe", strategy="fill-first", targets=targets[:2]),))
    with pytest.raises(LossRefused, match="logit_bias"):
        await ask(gw, strict)
    _, requests = await gw.events()
    assert [(request.outcome, request.attempts) for request in requests] == [("ok", 1), ("failed", 0)], (
        "what is refused before it is sent is no attempt"
    )
    assert await gw.open_holds() == 0


@pytest.mark.parametrize("fault", ["status:500", "reset", "empty", "error-200", "truncate", "malformed"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_whole_answer_that_fails_is_never_passed_on(
    gw: Harness, client: WireFormat, upstream: WireFormat, fault: str
) -> None:
    if upstream is CURSOR and fault == "truncate":  # its whole answers are streams, which are cut instead
        fault = "cut"
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
    configure(gw, timeouts=patience(fault))
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
@pytest.mark.parametrize("upstream", UPSTREAMS)
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
    assert await until(lambda: gw.simulator.cancelled == 1)
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
        (OLLAMA, {"options": {"num_predict": 9, "temperature": 0.1}}),
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
    inner = {GEMINI: "maxOutputTokens", OLLAMA: "num_predict"}.get(wire_format)
    assert (sent[name][inner] if inner else sent[name]) == 50, "the model's own limit"


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


async def test_what_is_cached_for_an_hour_is_held_where_it_has_a_price_whatever_the_size(gw: Harness) -> None:
    system = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    search = [{"type": "web_search_20250305", "name": "web_search"}]
    listed = msgspec.structs.replace(PRICE, special=Special(cache_write_1h=2 * PRICE.input))
    partly = msgspec.structs.replace(listed, above=(s.Above(100, PRICE),))
    budget = key(budget=s.Budget(nano_usd=10**12))

    async def attempted(price: s.Price, **more: Any) -> str:
        models = (s.Model(id="*", price=price),)
        gw.configure(provider("claude", gw.simulator.url, MESSAGES, models=models), keys=budget)
        try:
            await ask(gw, call(MESSAGES, "claude/sim", system=system, **more))
        except InvalidRequest as error:
            return str(error.param)
        return "answered"

    assert await attempted(listed) == "answered"
    assert await attempted(PRICE) == await attempted(partly) == "cache_control.ttl"
    assert await attempted(listed, tools=search) == "tools.0"


async def test_a_hosted_tool_does_not_close_the_providers_it_cannot_reach(gw: Harness) -> None:
    combo = s.Combo(name="any", strategy="fill-first", targets=("oai/sim", "claude/sim"))
    configure(gw, combos=(combo,), keys=key(budget=s.Budget(nano_usd=10**12)))
    head, _, _ = await ask(gw, call(RESPONSES, "any", tools=[{"type": "web_search"}]))
    assert head.provider == "claude"
    assert "tools" not in gw.simulator.recent[-1].json()


# Cursor's takes no output limit, so nothing of it is served under a budget.
@pytest.mark.parametrize(("client", "upstream"), [pair for pair in PAIRS if CURSOR not in pair])
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


@pytest.mark.parametrize("wire_format", [RESPONSES, MESSAGES, GEMINI])
async def test_a_provider_that_can_count_is_asked(gw: Harness, wire_format: WireFormat) -> None:
    assert await count(gw, wire_format, f"{NAMES[wire_format]}/sim+input:123") == 123
    seen = gw.simulator.recent[-1]
    assert seen.target.endswith(("/v1/responses/input_tokens", "/v1/messages/count_tokens", ":countTokens"))
    assert "/" not in seen.json().get("model", "")
    _, requests = await gw.events()
    assert not requests, "nothing is used"


async def test_geminis_wrapped_request_names_the_providers_model(gw: Harness) -> None:
    inner = {"model": "models/goo/sim", "contents": [{"parts": [{"text": WORDS}]}]}
    body = json.dumps({"generateContentRequest": inner}).encode()
    assert await gw.service.count_tokens(CallContext("r"), "key-all", GEMINI, "goo/sim+input:7", body) == 7
    assert gw.simulator.recent[-1].json()["generateContentRequest"]["model"] == "models/sim+input:7"


COUNTING = (RESPONSES, MESSAGES, GEMINI, CLOUDCODE, BEDROCK)
TOLD: dict[WireFormat, dict[str, Any]] = {
    CHAT: {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": WORDS}],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    },
    RESPONSES: {"instructions": "Be brief.", "tools": [{"type": "function", "name": "look", "parameters": {}}]},
    MESSAGES: {"system": "Be brief.", "tools": [{"name": "look", "input_schema": {"type": "object"}}]},
    GEMINI: {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": {"type": "object"}}]}],
    },
    OLLAMA: {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]},
}


@pytest.mark.parametrize("upstream", COUNTING)
@pytest.mark.parametrize("client", FORMATS)
async def test_a_provider_of_another_format_is_asked_in_its_own(
    gw: Harness, client: WireFormat, upstream: WireFormat
) -> None:
    told = {"temperature": 0.5} if client is not GEMINI else {"generationConfig": {"temperature": 0.5}}
    assert await count(gw, client, f"{NAMES[upstream]}/sim+input:123", **TOLD[client], **told) == 123
    seen = gw.simulator.recent[-1]
    assert seen.target.endswith(("input_tokens", "count_tokens", ":countTokens", "/count-tokens"))
    assert len(gw.simulator.recent) == 1
    for word in (WORDS.encode(), b"look", *([b"Be brief."] if client is not OLLAMA else [])):
        assert word in seen.body, "all that a request says is counted"


async def test_geminis_wrapped_request_is_asked_about_in_another_format_too(gw: Harness) -> None:
    inner = {"model": "models/bed/sim", "contents": [{"parts": [{"text": WORDS}]}]}
    body = json.dumps({"generateContentRequest": inner}).encode()
    assert await gw.service.count_tokens(CallContext("r"), "key-all", GEMINI, "bed/sim+input:7", body) == 7


async def test_bedrock_counts_for_the_model_behind_an_inference_profile(gw: Harness) -> None:
    await count(gw, MESSAGES, "bed/eu.anthropic.claude-haiku-4-5-v1:0")
    assert gw.simulator.recent[-1].target == "/model/anthropic.claude-haiku-4-5-v1%3A0/count-tokens"
    await count(gw, MESSAGES, "bed/us.sim")
    assert gw.simulator.recent[-1].target == "/model/us.sim/count-tokens"


@pytest.mark.parametrize("upstream", COUNTING)
async def test_what_cannot_be_asked_of_a_provider_of_another_format_is_estimated(
    gw: Harness, upstream: WireFormat
) -> None:
    unfit = {"messages": [{"role": "user", "content": [7]}]}
    assert 1 <= await count(gw, CHAT, f"{NAMES[upstream]}/sim+input:5000", **unfit) <= 40
    assert not gw.simulator.recent
    nowhere = provider(NAMES[upstream], f"{gw.simulator.url}/nowhere", upstream)
    gw.configure(nowhere, routing=s.Routing(breaker=None, timeouts=PATIENT))
    assert 4 <= await count(gw, CHAT, f"{NAMES[upstream]}/sim+input:5000") <= 40


@pytest.mark.parametrize(
    ("wire_format", "model"),
    [(client, f"{NAMES[upstream]}/sim") for client in FORMATS for upstream in UPSTREAMS if upstream not in COUNTING],
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
    gw.configure(provider("claude", base, MESSAGES), routing=s.Routing(breaker=None, timeouts=PATIENT))
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
