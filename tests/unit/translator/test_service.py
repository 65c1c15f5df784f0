"""The port: one request out, one answer back."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omni_core.ports.context import CallContext
from omni_core.ports.translator import EncodeCall, StreamCall, Translated
from omni_core.telemetry import new_registry
from omni_translator.adapters.metrics import TranslatorMetrics
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import fold
from omni_translator.domain.model import Part, ToolCall
from omni_translator.service import TranslatorService
from omni_translator.settings import TranslatorSettings
from omni_wire.errors import InvalidRequest, LossRefused, NotBuilt, StreamInterrupted, UpstreamFailed, UpstreamTimeout
from omni_wire.formats import CLIENT_FORMATS, WireFormat
from omni_wire.usage import Usage
from prometheus_client import CollectorRegistry

CHAT, MESSAGES = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES
GEMINI, RESPONSES = WireFormat.GEMINI_GENERATE, WireFormat.OPENAI_RESPONSES
TRANSCRIPTS = Path(__file__).parents[2] / "transcripts"
REQUEST: dict[str, Any] = {"model": "claude/claude-x", "messages": [{"role": "user", "content": "hi"}], "stream": True}


@pytest.fixture
def registry() -> CollectorRegistry:
    return new_registry()


@pytest.fixture
def service(registry: CollectorRegistry) -> TranslatorService:
    settings = TranslatorSettings(max_answer_bytes=10_000, max_loss_fields=2)
    return TranslatorService(TranslatorMetrics(registry, settings), settings)


def encode_call(request: bytes | dict[str, Any] = REQUEST, **changes: Any) -> EncodeCall:
    fields: dict[str, Any] = {
        "context": CallContext("r-1"),
        "client_format": CHAT,
        "provider_format": MESSAGES,
        "body": request if isinstance(request, bytes) else msgspec.json.encode(request),
        "model": "claude-x",
        "max_output": 512,
        "stream": True,
    }
    return EncodeCall(**(fields | changes))


def stream_call(**changes: Any) -> StreamCall:
    fields: dict[str, Any] = {
        "context": CallContext("r-1"),
        "client_format": CHAT,
        "provider_format": MESSAGES,
        "stream": True,
        "provider_stream": changes.get("stream", True),
        "model": "claude/claude-x",
        "include_usage": True,
        "created": 1_700_000_000,
        "response_id": "chatcmpl-1",
    }
    return StreamCall(**(fields | changes))


async def chunks(data: bytes, size: int = 64) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def stored(wire_format: WireFormat, case: str) -> bytes:
    return (TRANSCRIPTS / wire_format / case).read_bytes()


async def collect(service: TranslatorService, call: StreamCall, source: AsyncIterator[bytes]) -> list[Translated]:
    return [item async for item in service.translate_stream(call, source)]


async def test_model_and_limit_of_the_call_replace_the_clients(service: TranslatorService) -> None:
    encoded = await service.encode_request(encode_call(REQUEST | {"max_tokens": 9999}))
    body = msgspec.json.decode(encoded.body)
    assert (body["model"], body["max_tokens"], body["stream"]) == ("claude-x", 512, True)
    assert encoded.losses == ()


@pytest.mark.parametrize("limit", [0, 1])  # without and with a budget
async def test_a_request_for_no_answer_at_all_asks_others_for_one_token_and_says_so(
    service: TranslatorService, limit: int
) -> None:
    asked = encode_call(
        REQUEST | {"max_tokens": 0},
        client_format=WireFormat.ANTHROPIC_MESSAGES, provider_format=WireFormat.OPENAI_CHAT, max_output=limit,
    )  # fmt: skip
    encoded = await service.encode_request(asked)
    assert msgspec.json.decode(encoded.body)["max_tokens"] == 1
    assert [(loss.field, loss.kind) for loss in encoded.losses] == [("max_tokens", "approximated")]


async def test_strict_refuses_and_names_every_loss(service: TranslatorService) -> None:
    call = encode_call(REQUEST | {"seed": 1, "logit_bias": {"1": 1}})
    assert {loss.field for loss in (await service.encode_request(call)).losses} == {"seed", "logit_bias"}
    with pytest.raises(LossRefused) as caught:
        await service.encode_request(msgspec.structs.replace(call, strict=True))
    assert "seed" in caught.value.message
    assert "logit_bias" in caught.value.message


async def test_a_bad_body_is_the_clients_fault_and_names_the_field(service: TranslatorService) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await service.encode_request(encode_call({"messages": [{"role": "user", "content": 7}]}))
    assert caught.value.param == "messages[0].content"
    with pytest.raises(InvalidRequest):
        await service.encode_request(encode_call(b"{"))


@pytest.mark.parametrize("wire_format", [WireFormat.OPENAI_RESPONSES, WireFormat.GEMINI_GENERATE])
async def test_a_format_without_a_codec_is_named_not_built(
    service: TranslatorService, wire_format: WireFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = {known: codec for known, codec in CODECS.items() if known is not wire_format}
    monkeypatch.setattr("omni_translator.service.CODECS", built)
    with pytest.raises(NotBuilt, match=wire_format):
        await service.encode_request(encode_call(provider_format=wire_format))
    with pytest.raises(NotBuilt, match=wire_format):
        await collect(service, stream_call(provider_format=wire_format), chunks(b""))


async def test_a_stream_ends_with_a_finished_item(service: TranslatorService) -> None:
    items = await collect(service, stream_call(), chunks(stored(MESSAGES, "parallel_tools.sse")))
    assert [item.finished for item in items] == [False] * (len(items) - 1) + [True]
    assert items[-1].finish_reason == "tool_calls"
    assert items[-1].usage == Usage(12, 0, 0, 61)
    data = b"".join(item.data for item in items)
    assert data.endswith(b"data: [DONE]\n\n")
    assert b'"model":"claude/claude-x"' in data
    assert b'"id":"chatcmpl-1"' in data


async def test_usage_is_known_as_soon_as_it_is_told(service: TranslatorService) -> None:
    items = await collect(service, stream_call(), chunks(stored(MESSAGES, "cached.sse")))
    assert items[0].usage == Usage(2008, 1900, 100, 1)


def _said(parts: tuple[Part, ...]) -> list[object]:
    """Without the white space of a call's arguments, which one format keeps and another writes anew."""
    return [(p.id, p.name, msgspec.json.decode(p.arguments)) if isinstance(p, ToolCall) else p for p in parts]


@pytest.mark.parametrize("client", CLIENT_FORMATS)
@pytest.mark.parametrize("provider", [CHAT, MESSAGES])
async def test_a_stream_becomes_a_whole_answer_and_a_whole_answer_a_stream(
    service: TranslatorService, client: WireFormat, provider: WireFormat
) -> None:
    """The same as if the provider had answered the way the client asked."""

    async def answer(case: str, *, stream: bool) -> Translated:
        call = stream_call(
            client_format=client, provider_format=provider, stream=stream, provider_stream=case.endswith(".sse")
        )
        items = await collect(service, call, chunks(stored(provider, case)))
        return Translated(
            b"".join(item.data for item in items), items[-1].usage, items[-1].finished, items[-1].finish_reason
        )

    folded = await answer("parallel_tools.sse", stream=False)
    assert folded.finished
    assert folded.finish_reason == "tool_calls"
    read = CODECS[client].decode_response(folded.data)
    streamed = await answer("parallel_tools.sse", stream=True)
    decoder = CODECS[client].stream_decoder()
    told = fold([*decoder.feed(streamed.data), *decoder.end()])
    assert _said(read.parts) == _said(told.parts)
    assert folded.usage == streamed.usage

    unfolded = await answer("text.json", stream=True)
    assert unfolded.finished
    decoder = CODECS[client].stream_decoder()
    whole = CODECS[client].decode_response((await answer("text.json", stream=False)).data)
    assert fold([*decoder.feed(unfolded.data), *decoder.end()]).parts == whole.parts


@pytest.mark.parametrize("provider", [CHAT, MESSAGES])
async def test_a_stream_that_broke_never_becomes_a_finished_whole(
    service: TranslatorService, provider: WireFormat
) -> None:
    call = stream_call(provider_format=provider, stream=False, provider_stream=True)
    assert not (await collect(service, call, chunks(stored(provider, "cut.sse"))))[-1].finished
    for case in ("error.sse", "malformed.sse"):
        with pytest.raises(UpstreamFailed):
            await collect(service, call, chunks(stored(provider, case)))


@pytest.mark.parametrize("provider", [CHAT, MESSAGES])
async def test_a_cut_stream_ends_unfinished(service: TranslatorService, provider: WireFormat) -> None:
    call = stream_call(provider_format=provider, client_format=MESSAGES)
    items = await collect(service, call, chunks(stored(provider, "cut.sse")))
    assert not any(item.finished for item in items)
    assert items[-1].finish_reason == ""
    assert b"message_stop" not in b"".join(item.data for item in items)
    assert b"Once upon" in b"".join(item.data for item in items)


@pytest.mark.parametrize(("provider", "words"), [(CHAT, "had an error"), (MESSAGES, "Overloaded")])
@pytest.mark.parametrize("size", [7, 100_000])
async def test_an_error_event_raises_after_what_came_before(
    service: TranslatorService, provider: WireFormat, words: str, size: int
) -> None:
    items: list[Translated] = []
    source = chunks(stored(provider, "error.sse"), size)
    with pytest.raises(UpstreamFailed, match=words):
        async for item in service.translate_stream(stream_call(provider_format=provider), source):
            items.append(item)  # noqa: PERF401 - what came before the error counts
    data = b"".join(item.data for item in items)
    assert b"Once" in data
    assert b"error" not in data


@pytest.mark.parametrize("provider", [CHAT, MESSAGES])
@pytest.mark.parametrize("size", [7, 100_000])
async def test_a_malformed_line_raises_after_what_came_before(
    service: TranslatorService, provider: WireFormat, size: int
) -> None:
    items: list[Translated] = []
    source = chunks(stored(provider, "malformed.sse"), size)
    with pytest.raises(UpstreamFailed, match=f"not {provider}"):
        async for item in service.translate_stream(stream_call(provider_format=provider), source):
            items.append(item)  # noqa: PERF401 - what came before the error counts
    data = b"".join(item.data for item in items)
    assert b"Once" in data
    assert b" upon" not in data


async def test_a_malformed_line_is_reported_without_waiting_for_the_next(service: TranslatorService) -> None:
    async def stalls() -> AsyncGenerator[bytes, None]:
        yield stored(CHAT, "malformed.sse")
        await asyncio.sleep(60)

    with pytest.raises(UpstreamFailed):
        await asyncio.wait_for(collect(service, stream_call(provider_format=CHAT), stalls()), 5)


async def test_what_the_source_raises_passes_through(service: TranslatorService) -> None:
    async def silent() -> AsyncGenerator[bytes, None]:
        yield stored(MESSAGES, "cut.sse")[:200]
        raise UpstreamTimeout("silence")

    with pytest.raises(UpstreamTimeout):
        await collect(service, stream_call(), silent())


@pytest.mark.parametrize("broken", [StreamInterrupted("reset"), UpstreamTimeout("silence")], ids=["cut", "silent"])
@pytest.mark.parametrize(
    ("provider", "last", "rest"),
    [
        (GEMINI, b'"finishReason"', b""),
        (GEMINI, b'"finishReason"', b'data: {"usageMeta'),
        (CHAT, b'"finish_reason":"stop"', b""),
        (CHAT, b'"finish_reason":"stop"', b'data: {"choices":[],"usage":{"pro'),
        (MESSAGES, b'"stop_reason": "end_turn"', b"event: message_st"),
    ],
)
async def test_what_breaks_after_an_answers_end_takes_nothing_from_it(
    service: TranslatorService, provider: WireFormat, last: bytes, rest: bytes, broken: Exception
) -> None:
    whole = stored(provider, "text.sse").replace(b"\r\n", b"\n")
    end = whole.index(b"\n\n", whole.index(last)) + 2

    async def source(data: bytes) -> AsyncGenerator[bytes, None]:
        yield data
        raise broken

    items = await collect(service, stream_call(provider_format=provider), source(whole[:end] + rest))
    assert (items[-1].finished, items[-1].finish_reason) == (True, "stop")
    assert b"".join(item.data for item in items).endswith(b"data: [DONE]\n\n")
    with pytest.raises(type(broken)):
        await collect(service, stream_call(provider_format=provider), source(whole[: whole.index(last)]))


async def test_a_whole_answer_is_one_item(service: TranslatorService) -> None:
    (item,) = await collect(service, stream_call(stream=False), chunks(stored(MESSAGES, "text.json")))
    assert (item.finished, item.finish_reason, item.usage) == (True, "stop", Usage(12, 0, 0, 9))
    body = msgspec.json.decode(item.data)
    assert body["choices"][0]["message"]["content"] == 'Grüße from "Zürich"\n😀'
    assert (body["id"], body["model"], body["created"]) == ("chatcmpl-1", "claude/claude-x", 1_700_000_000)


@pytest.mark.parametrize(
    "data", [b"", b"<html>busy</html>", b"x" * 10_001, b'{"type":"error","error":{"message":"no"}}']
)
async def test_what_is_no_whole_answer_is_the_providers_failure(service: TranslatorService, data: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        await collect(service, stream_call(stream=False), chunks(data))


async def test_metrics_tell_outcomes_losses_and_bytes(service: TranslatorService, registry: CollectorRegistry) -> None:
    def value(name: str, **labels: str) -> float:
        pair = {"client_format": CHAT.value, "provider_format": MESSAGES.value}
        return registry.get_sample_value(f"omniroute_translator_{name}_total", pair | labels) or 0

    await service.encode_request(encode_call())
    await service.encode_request(encode_call(REQUEST | {"x_one": 1, "x_two": 1, "x_three": 1, "x_four": 1}))
    await collect(service, stream_call(), chunks(stored(MESSAGES, "text.sse")))
    await collect(service, stream_call(), chunks(stored(MESSAGES, "cut.sse")))
    abandoned = service.translate_stream(stream_call(), chunks(stored(MESSAGES, "text.sse"), 400))
    await anext(abandoned)
    await abandoned.aclose()
    assert (value("requests", outcome="lossless"), value("requests", outcome="lossy")) == (1, 1)
    assert value("losses", field="x_one") == 1
    assert value("losses", field="other") == 2
    assert [value("answers", outcome=outcome) for outcome in ("finished", "interrupted", "abandoned")] == [1, 1, 1]
    assert value("bytes", flow="request_in") > 0
    assert value("bytes", flow="answer_out") > 0


async def test_a_stream_that_only_the_path_asks_for_is_asked_for_in_the_body(service: TranslatorService) -> None:
    said = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    for stream in (False, True):
        call = encode_call(said, client_format=GEMINI, provider_format=CHAT, stream=stream)
        assert msgspec.json.decode((await service.encode_request(call)).body)["stream"] is stream


async def test_an_array_is_one_json_text(service: TranslatorService) -> None:
    call = stream_call(client_format=GEMINI, framing="array", response_id="r-1")
    items = await collect(service, call, chunks(stored(MESSAGES, "text.sse")))
    answer = msgspec.json.decode(b"".join(item.data for item in items))
    assert answer[-1]["candidates"][0]["finishReason"] == "STOP"
    cut = await collect(service, call, chunks(stored(MESSAGES, "cut.sse")))
    assert not b"".join(item.data for item in cut).rstrip().endswith(b"]")


async def test_tools_made_plain_come_back_under_their_clients_names(service: TranslatorService) -> None:
    tools = [
        {"type": "namespace", "name": "crew", "tools": [{"type": "function", "name": "spawn", "parameters": {}}]},
        {"type": "custom", "name": "exec"},
    ]
    said = {"model": "m", "input": "hi", "tools": tools}
    encoded = await service.encode_request(encode_call(said, client_format=RESPONSES))
    sent = {tool.sent: (tool.name, tool.namespace, tool.freeform) for tool in encoded.tools}
    assert sent == {"crew__spawn": ("spawn", "crew", False), "exec": ("exec", "", True)}
    called = {
        "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
        "content": [
            {"type": "tool_use", "id": "toolu_1", "name": "crew__spawn", "input": {}},
            {"type": "tool_use", "id": "toolu_2", "name": "exec", "input": {"input": "ls"}},
        ],
    }  # fmt: skip
    call = stream_call(client_format=RESPONSES, stream=False, tools=encoded.tools)
    (item,) = await collect(service, call, chunks(msgspec.json.encode(called)))
    spawn, run = msgspec.json.decode(item.data)["output"]
    assert (spawn["name"], spawn["namespace"]) == ("spawn", "crew")
    assert (run["type"], run["name"], run["input"]) == ("custom_tool_call", "exec", "ls")


async def test_at_home_no_tool_is_renamed(service: TranslatorService) -> None:
    said = {"model": "m", "input": "hi", "tools": [{"type": "custom", "name": "exec"}]}
    call = encode_call(said, client_format=RESPONSES, provider_format=RESPONSES)
    assert (await service.encode_request(call)).tools == ()
