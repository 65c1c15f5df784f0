"""Bedrock and Kiro behind the router: every client's dialect, all that it can say, and an access key's signature."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core.ids import new_id
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import fold
from omni_translator.domain.model import (
    Conversation,
    FinishReason,
    Image,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Response,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from omni_wire.errors import (
    BudgetExhausted,
    CredentialUnavailable,
    GatewayError,
    StreamInterrupted,
    UpstreamFailed,
    UpstreamRejected,
)
from omni_wire.formats import CLIENT_FORMATS, WireFormat

from tests.contract.test_router_formats import MESSAGES, ask, call, seen_by
from tests.support.router import Harness, harness, provider

BEDROCK, KIRO = WireFormat.BEDROCK_CONVERSE, WireFormat.KIRO_CONVERSATION
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
every_client = pytest.mark.parametrize("client", CLIENT_FORMATS)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
async def gw(clean_redis: str) -> AsyncIterator[Harness]:
    async with harness(clean_redis) as made:
        configure(made)
        yield made


def configure(gw: Harness, combos: tuple[s.Combo, ...] = ()) -> None:
    base = gw.simulator.url
    gw.configure(
        provider("kiro", base, KIRO), provider("bed", base, BEDROCK), provider("acme", f"{base}/v1"), combos=combos
    )


@every_client
@both_ways
async def test_kiro_answers_every_dialect_and_its_usage_is_an_estimate(
    gw: Harness, client: WireFormat, stream: bool
) -> None:
    head, body, error = await ask(gw, call(client, "kiro/sim+say:two%20words", stream=stream))
    assert error is None
    assert (head.stream, head.passthrough) == (stream, False)
    text, _, whole = seen_by(client, body, stream=stream)
    assert (text, whole) == ("two words", True)
    assert gw.simulator.recent[-1].target == "/generateAssistantResponse"
    assert gw.simulator.recent[-1].header("authorization") == "Bearer secret-of-kiro/first"
    (attempt,), _ = await gw.events()
    assert attempt.usage.estimated
    assert attempt.usage.input_tokens > 0
    assert attempt.usage.output_tokens > 0


async def test_an_account_of_kiros_names_its_profile_where_it_has_one(gw: Harness) -> None:
    arn = "arn:aws:codewhisperer:us-east-1:123456789012:profile/ABCDEF"
    account = s.Account(id="kiro/first", name="first", secret_version="1")
    for project in ("", arn):
        named = msgspec.structs.replace(account, project=project)
        gw.configure(provider("kiro", gw.simulator.url, KIRO, accounts=(named,)))
        _, _, error = await ask(gw, call(MESSAGES, "kiro/sim"))
        assert error is None
        assert gw.simulator.recent[-1].json().get("profileArn", "") == project


@every_client
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("cut:8", StreamInterrupted),
        ("clean-cut:8", StreamInterrupted),
        ("malformed:8", UpstreamFailed),
        ("error-event:8", UpstreamFailed),
    ],
)
async def test_a_stream_of_kiros_that_breaks_says_so(
    gw: Harness, client: WireFormat, fault: str, expected: type[GatewayError]
) -> None:
    _, body, error = await ask(gw, call(client, f"kiro/sim+tokens:50+{fault}", stream=True))
    assert isinstance(error, expected)
    assert not seen_by(client, body, stream=True)[2]


@every_client
@pytest.mark.parametrize("fault", ["cut:8", "clean-cut:8", "malformed:8", "error-event:8", "error-200", "empty"])
async def test_half_a_stream_never_becomes_a_whole_answer(gw: Harness, client: WireFormat, fault: str) -> None:
    with pytest.raises(GatewayError):
        await ask(gw, call(client, f"kiro/sim+tokens:50+{fault}"))


@pytest.mark.parametrize("name", ["kiro", "bed"])
@pytest.mark.parametrize(
    "fault", ["status:429", "error-200", "empty", "cut:0", "clean-cut:0", "error-event:0", "malformed:0"]
)
async def test_any_failure_before_the_first_byte_moves_on(gw: Harness, name: str, fault: str) -> None:
    configure(gw, (s.Combo(name="safe", strategy="fill-first", targets=(f"{name}/sim+{fault}", "acme/sim+tokens:4")),))
    head, body, error = await ask(gw, call(MESSAGES, "safe", stream=True))
    assert (error, head.provider) == (None, "acme")
    assert seen_by(MESSAGES, body, stream=True)[2]


@pytest.mark.parametrize("name", ["kiro", "bed"])
@both_ways
async def test_a_refusal_keeps_its_status_and_its_words(gw: Harness, name: str, stream: bool) -> None:
    for status in (400, 404, 424, 429):
        with pytest.raises(UpstreamRejected, match=f"status {status}") as caught:
            await ask(gw, call(MESSAGES, f"{name}/sim+status:{status}+retry-after:7", stream=stream))
        assert (caught.value.status, caught.value.retry_after) == (status, 7)


# ---- more than words ----


def rich(client: WireFormat, model: str, parts: tuple[Part, ...], *, stream: bool = True, **more: Any) -> CompleteCall:
    """A request as a client of that dialect writes it."""
    message = Message(role=Role.USER, parts=parts)
    conversation = Conversation(origin=client, model=model, messages=(message,), stream=stream, **more)
    body = CODECS[client].encode_request(conversation).body
    return msgspec.structs.replace(call(client, model, stream=stream), body=body)


def told(client: WireFormat, body: bytes) -> Response:
    decoder = CODECS[client].stream_decoder()
    return fold([*decoder.feed(body), *decoder.end()])


every_provider = pytest.mark.parametrize("name", ["kiro", "bed"])


@every_client
@every_provider
async def test_thoughts_come_before_the_text(gw: Harness, client: WireFormat, name: str) -> None:
    _, body, error = await ask(gw, call(client, f"{name}/sim+think:3+say:Done", stream=True))
    assert error is None
    thought, text = told(client, body).parts
    assert isinstance(thought, Reasoning)
    assert isinstance(text, Text)
    assert (thought.text, text.text) == ("first I read", "Done")


@every_client
@every_provider
async def test_parallel_calls_keep_their_arguments_and_their_results_go_back(
    gw: Harness, client: WireFormat, name: str
) -> None:
    tools = (Tool(name="get_weather", description="The weather", schema=CITY),)
    asked = rich(client, f"{name}/sim+parallel:2", (Text("Hi"),), tools=tools)
    _, body, error = await ask(gw, asked)
    assert error is None
    answer = told(client, body)
    assert answer.finish is FinishReason.TOOL_CALLS or client is WireFormat.OPENAI_RESPONSES
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    assert [(made.name, msgspec.json.decode(made.arguments)) for made in calls] == [
        ("get_weather", {"city": "simulated city"})
    ] * 2
    results = tuple(ToolResult(id=made.id, parts=(Text("sunny"),)) for made in calls)
    turns = (
        Message(role=Role.USER, parts=(Text("Hi"),)),
        Message(role=Role.ASSISTANT, parts=tuple(calls)),
        Message(role=Role.USER, parts=results),
    )
    again = Conversation(origin=client, model=f"{name}/sim", messages=turns, tools=tools, stream=True)
    asked = msgspec.structs.replace(asked, body=CODECS[client].encode_request(again).body)
    asked = msgspec.structs.replace(asked, model=f"{name}/sim" if client is WireFormat.GEMINI_GENERATE else "")
    _, body, error = await ask(gw, msgspec.structs.replace(asked, event_id=new_id()))
    assert error is None
    assert "".join(part.text for part in told(client, body).parts if isinstance(part, Text)).count("sunny") == 2


@every_client
@every_provider
async def test_a_picture_arrives_as_it_was_sent(gw: Harness, client: WireFormat, name: str) -> None:
    parts = (Text("What is this?"), Image(data=PICTURE, media_type="image/png"))
    _, _, error = await ask(gw, rich(client, f"{name}/sim", parts))
    assert error is None
    assert PICTURE.encode() in gw.simulator.recent[-1].body


@every_client
@every_provider
async def test_structured_output_is_asked_for_as_far_as_the_provider_can(
    gw: Harness, client: WireFormat, name: str
) -> None:
    form = OutputFormat(kind="json_schema", schema=CITY, name="city", strict=True)
    head, body, error = await ask(gw, rich(client, f"{name}/sim", (Text("Where?"),), output_format=form))
    assert error is None
    text = "".join(part.text for part in told(client, body).parts if isinstance(part, Text))
    assert msgspec.json.decode(text) == {"city": "simulated city"}
    if name == "bed":
        assert "response_format" not in head.losses
    else:
        assert b"Answer with nothing but JSON of this schema" in gw.simulator.recent[-1].body
        assert "response_format" in head.losses


# ---- an access key ----


async def test_an_access_key_signs_what_is_sent(gw: Harness) -> None:
    async def keyed(context: CallContext, account_id: str) -> Credential:
        return Credential(f"AKIDEXAMPLE0000000:{SECRET}:session@eu-west-1", "1")

    gw.auth.credential = keyed  # type: ignore[method-assign]
    await ask(gw, call(MESSAGES, "bed/eu.anthropic.claude-x-v1:0", stream=True))
    seen = gw.simulator.recent[-1]
    assert seen.target == "/model/eu.anthropic.claude-x-v1%3A0/converse-stream"
    assert "/eu-west-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token" in (
        seen.header("authorization") or ""
    )
    assert seen.header("x-amz-security-token") == "session"
    assert SECRET not in str(seen.headers)


async def test_an_access_key_for_an_address_without_a_region_is_no_credential(gw: Harness) -> None:
    async def keyed(context: CallContext, account_id: str) -> Credential:
        return Credential(f"AKIDEXAMPLE0000000:{SECRET}", "1")

    gw.auth.credential = keyed  # type: ignore[method-assign]
    with pytest.raises(CredentialUnavailable, match="region"):
        await ask(gw, call(MESSAGES, "bed/sim"))
    assert not gw.simulator.recent


async def test_no_budget_is_held_against_a_format_that_cannot_bound_its_answers(gw: Harness) -> None:
    """The next target of a combo answers; without one the client is told why nobody does."""
    base, budget = gw.simulator.url, s.Budget(nano_usd=10**12)
    gw.configure(
        provider("kiro", base, KIRO),
        provider("acme", f"{base}/v1"),
        combos=(s.Combo(name="either", strategy="fill-first", targets=("kiro/sim", "acme/sim")),),
        keys=(s.KeyPolicy(id="key-all", name="all", budget=budget),),
    )
    head, _, error = await ask(gw, call(WireFormat.OPENAI_CHAT, "either"))
    assert (error, head.provider) == (None, "acme")
    with pytest.raises(BudgetExhausted, match="output limit") as caught:
        await ask(gw, call(WireFormat.OPENAI_CHAT, "kiro/sim"))
    assert caught.value.code == "output_unbounded"
    free = s.Budget(nano_usd=10**12, unpriced="serve")
    gw.configure(
        provider("kiro", base, KIRO, models=(s.Model(id="*"),)),
        keys=(s.KeyPolicy(id="key-all", name="all", budget=free),),
    )
    head, _, error = await ask(gw, call(WireFormat.OPENAI_CHAT, "kiro/sim"))
    assert (error, head.provider) == (None, "kiro")
