"""The product's own rules, from a configuration to what a provider is asked and what a client reads.

What crosses the translator's port runs twice: with the translator in process, and over gRPC.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, nullcontext
from typing import Any
from urllib.parse import quote

import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.rules import Rules, ThinkingRule
from omni_core.clients.translator import TranslatorClient
from omni_core.identity import SERVICES, Caller
from omni_core.ids import new_id
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Head
from omni_core.ports.translator import EncodeCall, EncodedRequest, StreamCall, Translated
from omni_core.rpc import RpcServer, open_channel
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import fold
from omni_translator.domain.model import Reasoning, Response, Text
from omni_translator.server import register
from omni_wire.errors import BudgetExhausted, DependencyUnavailable, LossRefused
from omni_wire.formats import WireFormat

from tests.support.router import PRICE, Harness, harness, provider, translator

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
ANYBODY = Caller(SERVICES, "token")
FORMATS = (CHAT, RESPONSES, MESSAGES, GEMINI)
CLOUDCODE, BEDROCK = WireFormat.CLOUDCODE_GENERATE, WireFormat.BEDROCK_CONVERSE
UPSTREAMS = (*FORMATS, CLOUDCODE, BEDROCK)
PAIRS = [(client, upstream) for client in FORMATS for upstream in FORMATS]
ALL_PAIRS = [(client, upstream) for client in FORMATS for upstream in UPSTREAMS]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = {"x-omniroute-translation": "strict"}
THINKS = "sim+say:%3Cthink%3Ehm%20hm%3C/think%3E%0A%0Ayes%2C%202%20%3C%203"
MODELS = (
    s.Model(id="*", price=PRICE),
    s.Model(id="plain", price=PRICE, reasons=False),
    s.Model(id="small", price=PRICE, max_output=50),
)


@pytest.fixture(params=["in process", "gRPC"])
async def gw(request: pytest.FixtureRequest, clean_redis: str) -> AsyncIterator[Harness]:
    async with AsyncExitStack() as exits:
        port = translator()
        if request.param == "gRPC":
            server = RpcServer("127.0.0.1", 0, "token")
            register(server, port)
            channel = await exits.enter_async_context(open_channel(f"127.0.0.1:{await server.start()}", ANYBODY))
            exits.push_async_callback(server.stop, 0)
            port = TranslatorClient(channel)
        yield await exits.enter_async_context(harness(clean_redis, port))


@pytest.fixture
async def near(clean_redis: str) -> AsyncIterator[Harness]:
    """For what is the router's own, whichever way the translator is reached."""
    async with harness(clean_redis) as made:
        yield made


def configure(gw: Harness, rules: Rules | None = None, *, key: Rules | None = None, **changes: Any) -> None:
    base = gw.simulator.url
    bases = {CHAT: f"{base}/v1", RESPONSES: f"{base}/v1"}
    gw.configure(
        *(
            provider(each.value, bases.get(each, base), each, models=MODELS, rules=rules or Rules(), **changes)
            for each in UPSTREAMS
        ),
        keys=(s.KeyPolicy(id="key-all", name="all", rules=key or Rules()),),
    )


async def ask(
    gw: Harness,
    client: WireFormat,
    model: str,
    *,
    stream: bool = False,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> tuple[Head, bytes]:
    body: dict[str, Any] = {"model": model}
    if stream and client is not GEMINI:
        body["stream"] = True
    if client is GEMINI:
        body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    elif client is RESPONSES:
        body["input"] = "hi"
    else:
        body["messages"] = [{"role": "user", "content": "hi"}]
        body |= {"max_tokens": 5_000} if client is MESSAGES else {}
    call = CompleteCall(
        CallContext("r"), "key-all", client, json.dumps(body | more).encode(), new_id(), headers or {},
        model=model if client is GEMINI else "", stream=stream and client is GEMINI,
    )  # fmt: skip
    head, parts = None, []
    async for frame in gw.service.complete(call):
        if isinstance(frame, Head):
            head = frame
        else:
            parts.append(frame)
    assert head is not None
    return head, b"".join(parts)


def read(client: WireFormat, data: bytes, *, stream: bool) -> Response:
    codec = CODECS[client]
    if not stream:
        return codec.decode_response(data)
    decoder = codec.stream_decoder()
    return fold([*decoder.feed(data), *decoder.end()])


def said(response: Response) -> tuple[str, str]:
    """Thoughts and text."""
    thoughts = "".join(part.text for part in response.parts if isinstance(part, Reasoning))
    return thoughts, "".join(part.text for part in response.parts if isinstance(part, Text))


def sent(gw: Harness) -> Any:
    return gw.simulator.meter.recent[-1].json()


# ---- thoughts between tags ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("client", "upstream"), ALL_PAIRS)
async def test_thoughts_between_tags_reach_every_dialect_as_thoughts(
    gw: Harness, client: WireFormat, upstream: WireFormat, stream: bool
) -> None:
    configure(gw, Rules(think_tags="on"))
    head, body = await ask(gw, client, f"{upstream.value}/{THINKS}+input:9", stream=stream)
    assert said(read(client, body, stream=stream)) == ("hm hm", "yes, 2 < 3")
    assert head.rules == ("think_tags",)
    (attempt,), _ = await gw.events()
    served = gw.simulator.served
    assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (9, served.output_tokens)
    assert not attempt.usage.estimated


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("upstream", [GEMINI, CLOUDCODE, BEDROCK])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("<thinking>never closed, 1 < 2", ("never closed, 1 < 2", "")),
        ("a <thought>b</thought> c", ("b", "a  c")),
        ("<think>a</think>\n<think>b</think>\n{}", ("a\n\nb", "{}")),
        ("<thinking>a</think></thinking>b", ("a</think>", "b")),
        ("<think></think>only this", ("", "only this")),
        ("no <thin king", ("", "no <thin king")),
    ],
)
async def test_tags_are_read_the_same_whoever_is_behind(
    near: Harness, upstream: WireFormat, words: str, expected: tuple[str, str], stream: bool
) -> None:
    configure(near, Rules(think_tags="on"))
    for client in FORMATS:
        _, body = await ask(near, client, f"{upstream.value}/sim+say:{quote(words, safe='')}", stream=stream)
        assert said(read(client, body, stream=stream)) == expected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("upstream", [CLOUDCODE, BEDROCK])
async def test_where_a_provider_tells_a_thought_as_one_its_tags_are_text(
    near: Harness, upstream: WireFormat, stream: bool
) -> None:
    configure(near, Rules(think_tags="on"))
    for client in FORMATS:
        _, body = await ask(near, client, f"{upstream.value}/sim+think+say:%3Cthink%3Ex%3C/think%3E", stream=stream)
        thought, text = said(read(client, body, stream=stream))
        assert (bool(thought), text) == (True, "<think>x</think>")


async def test_by_default_only_a_known_models_tags_are_taken_out(gw: Harness) -> None:
    configure(gw)
    _, body = await ask(gw, CHAT, f"openai.chat/{THINKS}")
    assert json.loads(body)["choices"][0]["message"]["content"].startswith("<think>")
    head, body = await ask(gw, CHAT, f"openai.chat/deepseek-r1{THINKS[3:]}")
    assert json.loads(body)["choices"][0]["message"]["reasoning_content"] == "hm hm"
    assert (head.passthrough, head.rules) == (True, ("think_tags",))


# ---- the strict client ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upstream", FORMATS)
async def test_a_strict_client_gets_openais_fields_only(gw: Harness, upstream: WireFormat) -> None:
    configure(gw, Rules(sanitize=True))
    for stream in (False, True):
        head, body = await ask(gw, CHAT, f"{upstream.value}/sim+tokens:3", stream=stream)
        events = body.split(b"\n\n") if stream else [b"data: " + body]
        answers = [json.loads(event[6:]) for event in events if event.startswith(b"data: {")]
        allowed = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}
        assert all(set(answer) <= allowed for answer in answers)
        assert all(answer["id"].startswith("chatcmpl-") for answer in answers)
        assert head.rules == ("sanitize",)
        assert said(read(CHAT, body, stream=stream))[1].split()


# ---- requests -------------------------------------------------------------------------------------------------------


async def test_a_body_that_no_rule_changes_arrives_as_it_was_sent(gw: Harness) -> None:
    configure(gw)
    raw = b'{"model":"openai.chat/m",  "messages" : [{"role":"user","content":"a developer asks"}], "odd":1.50}'
    call = CompleteCall(CallContext("r"), "key-all", CHAT, raw, new_id(), {})
    frames = [frame async for frame in gw.service.complete(call)]
    assert isinstance(frames[0], Head)
    assert frames[0].rules == ()
    body = gw.simulator.meter.recent[-1].body
    assert b'[{"role":"user","content":"a developer asks"}]' in body
    assert b"1.50" in body


async def test_the_developer_role_is_the_systems_for_a_provider_that_needs_it(gw: Harness) -> None:
    configure(gw)
    turns = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}]
    head, _ = await ask(gw, CHAT, "openai.chat/m", messages=turns, odd={"kept": True})
    assert [turn["role"] for turn in sent(gw)["messages"]] == ["system", "user"]
    assert sent(gw)["odd"] == {"kept": True}
    assert (head.rules, head.passthrough) == (("developer_to_system",), True)
    configure(gw, Rules(developer_to_system="off"))
    await ask(gw, CHAT, "openai.chat/m", messages=turns)
    assert sent(gw)["messages"][0]["role"] == "developer"


async def test_a_glm_is_told_by_the_user_what_the_system_says(gw: Harness) -> None:
    configure(gw)
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    head, _ = await ask(gw, CHAT, "openai.chat/glm-4.6", messages=turns)
    (turn,) = sent(gw)["messages"]
    assert turn["role"] == "user"
    assert "be brief" in turn["content"]
    assert head.rules == ("system_to_user",)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_the_operators_words_reach_every_provider_unless_a_client_may_refuse_them(
    near: Harness, client: WireFormat, upstream: WireFormat
) -> None:
    rules = Rules(prompt_prefix="WORDS OF THE HOUSE")
    for refuses, may, there in ((False, False, True), (True, False, True), (True, True, False)):
        configure(near, rules, key=Rules(prompt_skippable=may))
        headers = {"x-omniroute-system-prompt": "skip"} if refuses else {}
        head, _ = await ask(near, client, f"{upstream.value}/m", headers=headers)
        assert ("WORDS OF THE HOUSE" in json.dumps(sent(near))) is there
        assert ("system_prompt" in head.rules) is there


@pytest.mark.parametrize(
    ("upstream", "model", "field", "want"),
    [
        (CHAT, "m", "reasoning_effort", "medium"),
        (RESPONSES, "m", "reasoning", {"effort": "medium"}),
        (MESSAGES, "claude-sonnet-4-5", "thinking", {"type": "enabled", "budget_tokens": 4_000}),
        (
            GEMINI,
            "gemini-2.5-flash",
            "generationConfig",
            {"thinkingConfig": {"thinkingBudget": 4_000}},
        ),
        (CLOUDCODE, "gemini-2.5-flash", "generationConfig", {"thinkingConfig": {"thinkingBudget": 4_000}}),
        (
            BEDROCK,
            "eu.anthropic.claude-sonnet-4-5-v1:0",
            "additionalModelRequestFields",
            {"thinking": {"type": "enabled", "budget_tokens": 4_000}},
        ),
    ],
)
@pytest.mark.parametrize("client", FORMATS)
async def test_a_thinking_budget_is_said_in_each_providers_words(
    gw: Harness, client: WireFormat, upstream: WireFormat, model: str, field: str, want: Any
) -> None:
    configure(gw, Rules(thinking=ThinkingRule(mode="custom", budget=4_000)))
    head, _ = await ask(gw, client, f"{upstream.value}/{model}")
    got = (sent(gw)["request"] if upstream is CLOUDCODE else sent(gw))[field]
    if upstream in (GEMINI, CLOUDCODE):
        got = {"thinkingConfig": {"thinkingBudget": got["thinkingConfig"]["thinkingBudget"]}}
    assert got == want
    assert "thinking" in head.rules


STRICT_FORM: dict[WireFormat, dict[str, Any]] = {
    CHAT: {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}},
    RESPONSES: {"text": {"format": {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}}},
    MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": CITY}}},
    GEMINI: {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": CITY}},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["sonnet-4-5-v1:0", "opus-4-6-v1", "opus-4-6-v1:0"])
@pytest.mark.parametrize("client", FORMATS)
async def test_claude_on_bedrock_thinks_before_it_answers_by_a_schema(
    near: Harness, client: WireFormat, model: str, stream: bool
) -> None:
    configure(near, Rules(thinking=ThinkingRule(mode="custom", effort="low")))
    name = f"bedrock.converse/eu.anthropic.claude-{model}"
    head, _ = await ask(near, client, name, stream=stream, **STRICT_FORM[client])
    asked = sent(near)
    assert json.loads(asked["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]) == CITY
    thinking = asked["additionalModelRequestFields"]["thinking"]
    if "opus" in model:
        assert (thinking, asked["outputConfig"]["effort"]) == ({"type": "adaptive"}, "low")
    else:
        assert thinking == {"type": "enabled", "budget_tokens": 4_096}
        assert asked["inferenceConfig"]["maxTokens"] > 4_096
    assert "thinking" in head.rules
    assert not {"thinking", "reasoning_effort", "response_format"} & set(head.losses)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("model", "told"), [("gemini-2.5-flash", 4_096), ("gemini-3-flash", "LOW")])
@pytest.mark.parametrize("client", FORMATS)
async def test_gemini_in_cloud_code_thinks_before_it_answers_by_a_schema(
    near: Harness, client: WireFormat, model: str, told: int | str, stream: bool
) -> None:
    configure(near, Rules(thinking=ThinkingRule(mode="custom", effort="low")))
    head, _ = await ask(near, client, f"cloudcode.generate/{model}", stream=stream, **STRICT_FORM[client])
    config = sent(near)["request"]["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    schema = config.get("responseJsonSchema") or config["responseSchema"]  # of its own two words, Gemini may say either
    assert (list(schema["properties"]), schema["required"]) == (["city"], ["city"])
    assert told in config["thinkingConfig"].values()
    assert not {"thinking", "reasoning_effort"} & set(head.losses)


async def test_what_bedrock_is_told_of_thinking_bars_a_temperature_and_is_barred_by_a_forced_tool(
    near: Harness,
) -> None:
    configure(near, Rules(thinking=ThinkingRule(mode="custom", budget=2_000)))
    name = "bedrock.converse/eu.anthropic.claude-sonnet-4-5-v1:0"
    head, _ = await ask(near, CHAT, name, temperature=0.2, max_tokens=9_000)
    assert "temperature" not in sent(near)["inferenceConfig"]
    assert "temperature" in head.losses
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    await ask(near, CHAT, name, temperature=0.2, tools=tools, tool_choice="required")
    assert "additionalModelRequestFields" not in sent(near)
    assert sent(near)["inferenceConfig"]["temperature"] == 0.2


async def test_a_model_on_bedrock_that_is_not_claudes_is_told_nothing_of_thinking(near: Harness) -> None:
    configure(near, Rules(thinking=ThinkingRule(mode="custom", budget=2_000)))
    head, _ = await ask(near, CHAT, "bedrock.converse/amazon.nova-pro-v1:0", headers=STRICT)
    assert "additionalModelRequestFields" not in sent(near)
    assert head.losses == ()


async def test_a_model_that_does_not_reason_is_asked_for_no_thought(gw: Harness) -> None:
    configure(gw)
    head, _ = await ask(gw, CHAT, "openai.chat/plain", reasoning_effort="high")
    assert "reasoning_effort" not in sent(gw)
    assert head.rules == ("thinking",)
    await ask(gw, CHAT, "openai.chat/other", reasoning_effort="high")
    assert sent(gw)["reasoning_effort"] == "high"


async def test_a_clamp_is_a_loss_that_strictness_refuses(gw: Harness) -> None:
    configure(gw, Rules(clamp="on"))
    head, _ = await ask(gw, CHAT, "openai.chat/small", max_tokens=900, temperature=3)
    assert (sent(gw)["max_tokens"], sent(gw)["temperature"]) == (50, 2)
    assert set(head.losses) == {"max_tokens", "temperature"}
    with pytest.raises(LossRefused, match="max_tokens"):
        await ask(gw, CHAT, "openai.chat/small", max_tokens=900, headers={"x-omniroute-translation": "strict"})


async def test_by_default_only_what_is_translated_is_clamped(gw: Harness) -> None:
    configure(gw)
    head, _ = await ask(gw, CHAT, "openai.chat/small", max_tokens=900)
    assert (sent(gw)["max_tokens"], head.losses) == (900, ())
    head, _ = await ask(gw, CHAT, "anthropic.messages/small", max_tokens=900)
    assert (sent(gw)["max_tokens"], head.losses) == (50, ("max_tokens",))


async def test_a_budget_holds_the_words_that_a_rule_adds(near: Harness) -> None:
    words = "x" * 4_000
    price = s.Price(input=1_000_000, output=1, cached_input=1_000_000, cache_write=1_000_000)
    for added, refused in ((Rules(), False), (Rules(prompt_suffix=words), True)):
        near.configure(
            provider("acme", f"{near.simulator.url}/v1", models=(s.Model(id="*", price=price),), rules=added),
            keys=(s.KeyPolicy(id="key-all", name="all", budget=s.Budget(nano_usd=2_000)),),
        )
        with pytest.raises(BudgetExhausted, match="budget") if refused else nullcontext():
            await ask(near, CHAT, "acme/m", max_tokens=5)


class Away:
    """A translator that is not there."""

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        raise DependencyUnavailable("the translator is away")

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        raise DependencyUnavailable("the translator is away")
        yield


async def test_without_a_translator_only_what_a_rule_may_change_is_refused(clean_redis: str) -> None:
    async with harness(clean_redis, Away()) as gw:
        configure(gw)
        head, _ = await ask(gw, CHAT, "openai.chat/m")
        assert head.status == 200
        with pytest.raises(DependencyUnavailable):
            await ask(gw, CHAT, "openai.chat/m", messages=[{"role": "developer", "content": "x"}])
        with pytest.raises(DependencyUnavailable):
            await ask(gw, CHAT, "openai.chat/deepseek-r1")


# ---- how it is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("streaming", ["only", "never"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_client_is_answered_its_way_whatever_way_a_provider_has(
    near: Harness, client: WireFormat, upstream: WireFormat, streaming: str, stream: bool
) -> None:
    configure(near, streaming=streaming)
    head, body = await ask(near, client, f"{upstream.value}/sim+say:two%20words+input:9", stream=stream)
    assert head.stream is stream
    response = read(client, body, stream=stream)
    assert said(response)[1] == "two words"
    assert response.finish is not None
    asked = near.simulator.meter.recent[-1]
    streamed = "stream" in asked.target if upstream is GEMINI else bool(asked.json().get("stream"))
    assert streamed is (streaming == "only")
    (attempt,), _ = await near.events()
    assert (attempt.usage.input_tokens, attempt.usage.estimated) == (9, False)


async def test_a_models_own_way_to_answer_counts_before_its_providers(near: Harness) -> None:
    models = (s.Model(id="*"), s.Model(id="whole", streaming="never"))
    near.configure(provider("acme", f"{near.simulator.url}/v1", models=models, streaming="only"))
    await ask(near, CHAT, "acme/whole", stream=True)
    assert not sent(near).get("stream")
    await ask(near, CHAT, "acme/other")
    assert sent(near)["stream"] is True


@pytest.mark.parametrize("client", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("upstream", FORMATS)
async def test_an_accept_header_asks_for_a_stream_where_the_rule_says_so(
    near: Harness, client: WireFormat, upstream: WireFormat
) -> None:
    accept = {"accept": "text/event-stream"}
    configure(near)
    head, _ = await ask(near, client, f"{upstream.value}/m", headers=accept)
    assert not head.stream
    configure(near, key=Rules(stream_on_accept=True))
    head, body = await ask(near, client, f"{upstream.value}/sim+say:hello", headers=accept)
    assert head.stream
    assert said(read(client, body, stream=True))[1] == "hello"
    head, _ = await ask(near, client, f"{upstream.value}/m", headers=accept, stream=False)
    assert head.stream
    head, _ = await ask(near, client, f"{upstream.value}/m", headers={"accept": "application/json"})
    assert not head.stream


async def test_a_body_that_says_no_to_a_stream_is_heard_before_its_header(near: Harness) -> None:
    configure(near, key=Rules(stream_on_accept=True))
    raw = json.dumps({"model": "openai.chat/m", "stream": False, "messages": [{"role": "user", "content": "hi"}]})
    call = CompleteCall(CallContext("r"), "key-all", CHAT, raw.encode(), new_id(), {"accept": "text/event-stream"})
    frames = [frame async for frame in near.service.complete(call)]
    assert isinstance(frames[0], Head)
    assert not frames[0].stream


async def test_progress_is_told_to_who_asks_or_where_it_is_on(near: Harness) -> None:
    asks = {"x-omniroute-progress": "true"}
    on, off = Rules(progress="on"), Rules(progress="off")
    for rules, headers, told in ((Rules(), {}, False), (Rules(), asks, True), (off, asks, False), (on, {}, True)):
        configure(near, rules, key=Rules(keep_alive=3.0))
        head, _ = await ask(near, CHAT, "openai.chat/m", stream=True, headers=headers)
        assert (head.progress, head.keep_alive) == (told, 3.0)
        head, _ = await ask(near, CHAT, "openai.chat/m", headers=headers)
        assert not head.progress
