"""Streams that break: begun anew unseen, gone on with by another provider, or ended with an error. Never said twice,
never made up, and every attempt paid for once."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.router import CompleteCall, Head
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.continuation import PROMPT
from omni_translator.domain.events import fold
from omni_translator.domain.model import FinishReason, Response, Text, ToolCall
from omni_wire.errors import GatewayError, StreamInterrupted, UpstreamError
from omni_wire.formats import CLIENT_FORMATS, WireFormat

from tests.support.router import PATIENT, QUICK, Harness, provider

FIRST, REST = "The quick brown fox jumps ", "over the lazy dog."
HOLDING = s.MidStream(hold_tokens=20)
RESUMING = s.MidStream(resume=True)
CHAT, MESSAGES, GEMINI, OLLAMA = (
    *(WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES),
    *(WireFormat.GEMINI_GENERATE, WireFormat.OLLAMA_CHAT),
)
FORMATS = (CHAT, WireFormat.OPENAI_RESPONSES, MESSAGES, GEMINI, OLLAMA)
PATHS = {CHAT: "/v1", WireFormat.OPENAI_RESPONSES: "/v1"}
BODIES: dict[WireFormat, dict[str, Any]] = {
    CHAT: {"stream_options": {"include_usage": True}, "messages": [{"role": "user", "content": "Tell"}]},
    WireFormat.OPENAI_RESPONSES: {"input": "Tell"},
    MESSAGES: {"max_tokens": 900, "messages": [{"role": "user", "content": "Tell"}]},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "Tell"}]}]},
    OLLAMA: {"messages": [{"role": "user", "content": "Tell"}]},
}


def say(text: str, *steps: str) -> str:
    return "+".join((f"sim+say:{quote(text, safe='')}", *steps))


def configure(
    gw: Harness,
    *targets: tuple[WireFormat, str],
    mid_stream: s.MidStream = RESUMING,
    timeouts: s.Timeouts = PATIENT,
    resumes: str = "prompt",
    keys: tuple[s.KeyPolicy, ...] = (s.KeyPolicy(id="key-all", name="all"),),
) -> None:
    """A combo "best" of a provider a target, "p0", "p1" and so on, each of the given format."""
    base = gw.simulator.url
    providers = [
        provider(f"p{i}", base + PATHS.get(wire_format, ""), wire_format, resumes=resumes)
        for i, (wire_format, _) in enumerate(targets)
    ]
    combo = s.Combo(
        name="best", strategy="fill-first", targets=tuple(f"p{i}/{model}" for i, (_, model) in enumerate(targets))
    )
    routing = s.Routing(breaker=None, timeouts=timeouts, mid_stream=mid_stream)
    gw.configure(*providers, combos=(combo,), routing=routing, keys=keys)


async def ask(gw: Harness, wire_format: WireFormat = CHAT, **more: Any) -> tuple[bytes, GatewayError | None]:
    """All bytes, and what ended them if not their end."""
    call = msgspec.structs.replace(
        gw.call("best"),
        client_format=wire_format,
        body=json.dumps({"model": "best", "stream": True} | BODIES[wire_format] | more).encode(),
        model="best" if wire_format is GEMINI else "",
        stream=wire_format is GEMINI,
        framing="lines" if wire_format is OLLAMA else "sse",
    )
    return await drain(gw, call)


async def drain(gw: Harness, call: CompleteCall) -> tuple[bytes, GatewayError | None]:
    data = b""
    try:
        async for frame in gw.service.complete(call):
            data += b"" if isinstance(frame, Head) else frame
    except GatewayError as error:
        return data, error
    return data, None


def read(wire_format: WireFormat, data: bytes) -> Response:
    decoder = CODECS[wire_format].stream_decoder()
    return fold([*decoder.feed(data), *decoder.end()])


def text_of(wire_format: WireFormat, data: bytes) -> str:
    return "".join(part.text for part in read(wire_format, data).parts if isinstance(part, Text))


# ---- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("client", CLIENT_FORMATS)
async def test_another_provider_goes_on_with_the_text_in_every_dialect(
    gw: Harness, client: WireFormat, to: WireFormat
) -> None:
    configure(gw, (client, say(FIRST, "cut:6")), (to, say(REST)))
    data, error = await ask(gw, client)
    assert error is None
    response = read(client, data)
    text = text_of(client, data)
    assert text.endswith(REST), text
    assert FIRST.startswith(text.removesuffix(REST))
    assert len(text) > len(REST), "something of the first was there"
    assert response.finish is FinishReason.STOP
    attempts, (request,) = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["partial", "ok"]
    assert (request.outcome, request.status, request.attempts, request.provider) == ("ok", 200, 2, "p1")
    assert request.cost_nano_usd == sum(attempt.cost_nano_usd for attempt in attempts) > 0
    assert all(attempt.cost_nano_usd > 0 for attempt in attempts), "both are paid for"
    if response.usage is not None and client is not OLLAMA:
        assert response.usage.output_tokens == sum(attempt.usage.output_tokens for attempt in attempts)


async def test_what_a_provider_counted_before_it_broke_off_is_paid_for_by_its_own_attempt(gw: Harness) -> None:
    """Its count came with the announcement of the answer, before a first word; the next candidate answers."""
    configure(gw, (MESSAGES, say(FIRST, "cut:1")), (CHAT, say(REST)), mid_stream=s.MidStream())
    data, error = await ask(gw, MESSAGES)
    assert error is None
    assert text_of(MESSAGES, data) == REST
    (broken, good), (request,) = await gw.events()
    assert (broken.outcome, broken.first_byte_ms, good.outcome) == ("failed", -1, "ok")
    assert broken.usage.input_tokens > 0
    assert broken.cost_nano_usd > 0
    assert request.cost_nano_usd == broken.cost_nano_usd + good.cost_nano_usd


async def test_the_rest_is_asked_for_with_what_the_client_has(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:6")), (MESSAGES, say(REST)))
    data, _ = await ask(gw)
    had = text_of(CHAT, data).removesuffix(REST)
    asked = gw.simulator.recent[-1].json()["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    assert had in json.dumps(asked[1])
    assert PROMPT in json.dumps(asked[2])


async def test_a_provider_that_goes_on_in_its_own_words_is_not_asked_to(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:6")), (MESSAGES, say(REST)), resumes="prefill")
    data, error = await ask(gw)
    assert error is None
    assert [message["role"] for message in gw.simulator.recent[-1].json()["messages"]] == ["user", "assistant"]
    assert text_of(CHAT, data).endswith(REST)


@pytest.mark.parametrize("fault", ["cut:6", "malformed:6", "error-event:6", "stall:6+stall-ms:60000"])
async def test_however_it_breaks(gw: Harness, fault: str) -> None:
    timeouts = QUICK if "stall" in fault else PATIENT
    configure(gw, (CHAT, say(FIRST, fault)), (CHAT, say(REST)), timeouts=timeouts)
    data, error = await ask(gw)
    assert error is None
    assert text_of(CHAT, data).endswith(REST)
    assert data.count(b"[DONE]") == 1
    assert len({json.loads(line[6:])["id"] for line in data.split(b"\n\n") if line.startswith(b"data: {")}) == 1


async def test_a_third_goes_on_where_the_second_breaks_off_as_well(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:6")), (CHAT, say("over the lazy old dog ", "cut:6")), (MESSAGES, say("END.")))
    data, error = await ask(gw)
    assert error is None
    assert text_of(CHAT, data).endswith("END.")
    attempts, _ = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["partial", "partial", "ok"]


async def test_what_the_second_says_again_is_not_said_twice(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:9")), (CHAT, say(FIRST + REST)))
    data, error = await ask(gw)
    assert error is None
    assert text_of(CHAT, data) == FIRST + REST


async def test_one_that_falls_silent_while_it_says_again_what_was_said_is_left_as_any_stream_is(gw: Harness) -> None:
    timeouts = s.Timeouts(connect=5.0, first_byte=60.0, idle=0.7, total=60.0)
    again = say(FIRST + REST, "stall:3+stall-ms:60000")
    configure(gw, (CHAT, say(FIRST, "cut:9")), (CHAT, again), (CHAT, say(REST)), timeouts=timeouts)
    async with asyncio.timeout(40.0):  # and not for as long as it may take to begin
        data, error = await ask(gw)
    assert error is None
    assert text_of(CHAT, data) == FIRST + REST
    attempts, _ = await gw.events()
    assert [(attempt.outcome, attempt.error_kind) for attempt in attempts] == [
        *(("partial", "stream_interrupted"), ("failed", "upstream_timeout"), ("ok", "")),
    ]


async def test_one_that_begins_the_answer_anew_ends_it_with_an_error(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:9")), (CHAT, say("The quick brown dog sleeps all day.")))
    data, error = await ask(gw)
    assert error is not None
    assert FIRST.startswith(text_of(CHAT, data))
    assert b'finish_reason":"' not in data


async def test_when_nobody_can_go_on_the_stream_ends_in_the_error_that_broke_it(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:6")), (CHAT, "sim+status:500"))
    data, error = await ask(gw)
    assert isinstance(error, StreamInterrupted)
    assert FIRST.startswith(text_of(CHAT, data))
    attempts, (request,) = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["partial", "failed"]
    assert (request.outcome, request.status) == ("partial", 200)
    assert await gw.ledger.flush(20.0)
    assert [key async for key in gw.redis.scan_iter("quota:{omni}:holds")] == []


async def test_without_the_word_for_it_a_broken_stream_is_not_gone_on_with(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:6")), (CHAT, say(REST)), mid_stream=s.MidStream())
    _, error = await ask(gw)
    assert isinstance(error, StreamInterrupted)
    assert len((await gw.events())[0]) == 1


async def test_a_provider_may_be_left_out_of_it(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:6")), (CHAT, say(REST)), resumes="off")
    _, error = await ask(gw)
    assert isinstance(error, StreamInterrupted)


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("cut", range(3, 12))
async def test_half_a_call_never_reaches_the_client_and_is_made_anew(gw: Harness, cut: int) -> None:
    configure(gw, (CHAT, f"sim+tools+cut:{cut}"), (MESSAGES, "sim+tools"))
    data, error = await ask(gw, tools=TOOLS)
    calls = [part for part in read(CHAT, data).parts if isinstance(part, ToolCall)] if data else []
    for call in calls:
        json.loads(call.arguments)
    if error is None:
        assert len(calls) >= 1
        assert read(CHAT, data).finish is FinishReason.TOOL_CALLS
    else:  # a whole call was there already, which its client may have begun to work on
        assert calls
        assert isinstance(error, StreamInterrupted)


async def test_a_limit_holds_for_both_together(gw: Harness) -> None:
    configure(gw, (CHAT, say(FIRST, "cut:6")), (CHAT, say(REST)))
    await ask(gw, max_tokens=40)
    first, second = gw.simulator.recent[-2].json(), gw.simulator.recent[-1].json()
    attempts, _ = await gw.events()
    sent = second.get("max_tokens") or second.get("max_completion_tokens")
    assert sent == first["max_tokens"] - attempts[0].usage.output_tokens


async def test_a_budget_that_cannot_hold_the_rest_ends_it_truly(gw: Harness) -> None:
    budget = s.Budget(nano_usd=900_000)
    keys = (s.KeyPolicy(id="key-all", name="all", budget=budget),)
    configure(gw, (CHAT, say(FIRST, "cut:6")), (CHAT, say(REST)), keys=keys)
    data, error = await ask(gw, max_tokens=80)
    assert error is None or isinstance(error, StreamInterrupted)
    attempts, _ = await gw.events()
    assert sum(attempt.cost_nano_usd for attempt in attempts) <= budget.nano_usd
    assert text_of(CHAT, data).startswith(FIRST[:5])


# ---- held back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [CHAT, MESSAGES])
@pytest.mark.parametrize("client", CLIENT_FORMATS)
async def test_a_start_that_is_held_back_is_begun_anew_unseen(gw: Harness, client: WireFormat, to: WireFormat) -> None:
    configure(gw, (client, say(FIRST, "cut:6")), (to, say(REST)), mid_stream=HOLDING)
    data, error = await ask(gw, client)
    assert error is None
    assert text_of(client, data) == REST
    attempts, (request,) = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["failed", "ok"]
    assert all(attempt.cost_nano_usd > 0 for attempt in attempts), "what nobody saw was billed all the same"
    assert request.cost_nano_usd == sum(attempt.cost_nano_usd for attempt in attempts)


@pytest.mark.parametrize("fault", ["cut:6", "clean-cut:6", "malformed:6", "error-event:6", "stall:6+stall-ms:60000"])
@pytest.mark.parametrize("first", [CHAT, MESSAGES, GEMINI, OLLAMA])
async def test_a_held_start_is_begun_anew_however_it_breaks(gw: Harness, first: WireFormat, fault: str) -> None:
    timeouts = QUICK if "stall" in fault else PATIENT
    configure(gw, (first, say(FIRST * 3, fault)), (CHAT, say(REST)), mid_stream=HOLDING, timeouts=timeouts)
    for client in (CHAT, first):
        data, error = await ask(gw, client)
        assert error is None
        assert text_of(client, data) == REST
    attempts, _ = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["failed", "ok"] * 2
    assert all(attempt.cost_nano_usd > 0 for attempt in attempts)


@pytest.mark.parametrize("fault", ["cut:6", "clean-cut:6", "malformed:6", "error-event:6"])
async def test_a_held_start_that_breaks_is_a_plain_error_where_nobody_else_can_answer(gw: Harness, fault: str) -> None:
    configure(gw, (CHAT, say(FIRST * 3, fault)), mid_stream=HOLDING)
    data, error = await ask(gw)
    assert data == b""
    assert isinstance(error, UpstreamError)


async def test_a_held_answer_that_is_whole_is_given_though_its_connection_breaks_then(gw: Harness) -> None:
    chunk = b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    said = chunk + b'{"content":"Done."},"finish_reason":null}]}\n\n' + chunk + b'{},"finish_reason":"stop"}]}\n\n'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n" + said[:200])
        await asyncio.sleep(0.05)
        writer.write(said[200:] + b"data: [DONE]\n\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        providers = (provider("p0", f"http://127.0.0.1:{port}/v1"), provider("p1", f"{gw.simulator.url}/v1"))
        combo = s.Combo(name="best", strategy="fill-first", targets=("p0/m", "p1/sim"))
        gw.configure(*providers, combos=(combo,), routing=s.Routing(breaker=None, mid_stream=HOLDING))
        data, error = await ask(gw)
    assert error is None
    assert text_of(CHAT, data) == "Done."
    assert not gw.simulator.requests


async def test_what_is_held_back_is_relayed_byte_for_byte_afterwards(gw: Harness) -> None:
    answers = []
    for mid_stream in (HOLDING, s.MidStream()):
        configure(gw, (CHAT, say(FIRST + REST)), mid_stream=mid_stream)
        answers.append(await ask(gw))
    assert answers[0] == answers[1]


async def test_a_time_to_hold_back_ends_though_nothing_comes(gw: Harness) -> None:
    mid_stream = s.MidStream(hold_tokens=1000, hold_seconds=0.2)
    configure(gw, (CHAT, say(FIRST, "stall:4", "stall-ms:1500")), mid_stream=mid_stream)
    call = msgspec.structs.replace(
        gw.call("best"), body=json.dumps({"model": "best", "stream": True} | BODIES[CHAT]).encode()
    )
    answer = gw.service.complete(call)
    assert isinstance(await anext(answer), Head)
    began = asyncio.get_running_loop().time()
    parts = [await anext(answer)]
    assert asyncio.get_running_loop().time() - began < 1.0, "the rest is a second away"
    parts += [frame async for frame in answer if not isinstance(frame, Head)]
    assert text_of(CHAT, b"".join(part for part in parts if not isinstance(part, Head))) == FIRST


@pytest.mark.parametrize("wire_format", [CHAT, MESSAGES])
async def test_a_client_that_leaves_while_its_start_is_held_back_leaves_nothing(
    gw: Harness, wire_format: WireFormat
) -> None:
    configure(gw, (wire_format, say(FIRST, "stall:4", "stall-ms:60000")), mid_stream=s.MidStream(hold_tokens=1000))
    call = msgspec.structs.replace(
        gw.call("best"), body=json.dumps({"model": "best", "stream": True} | BODIES[CHAT]).encode()
    )
    answer = gw.service.complete(call)
    waiting = asyncio.ensure_future(anext(answer))
    await asyncio.sleep(0.3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    _, (request,) = await gw.events()
    assert request.outcome == "cancelled"
    assert [key async for key in gw.redis.scan_iter("quota:{omni}:holds")] == []


async def test_both_together_a_held_start_and_a_text_gone_on_with(gw: Harness) -> None:
    mid_stream = s.MidStream(hold_tokens=2, resume=True)
    configure(gw, (CHAT, "sim+reset"), (CHAT, say(FIRST, "cut:8")), (MESSAGES, say(REST)), mid_stream=mid_stream)
    data, error = await ask(gw)
    assert error is None
    assert text_of(CHAT, data).endswith(REST)
