"""The official SDKs of OpenAI (Responses), Anthropic, Google and Ollama against the edge: answers, streams, counts,
lists, and errors as their own exception classes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from google import genai
from google.genai import errors, types
from omni_core.ports.router import CompleteCall, Frame
from omni_edge.settings import EdgeSettings
from omni_wire.errors import (
    BodyTooLarge,
    BudgetExhausted,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    NoCandidate,
    PermissionDenied,
    RateLimited,
    StreamInterrupted,
    UpstreamFailed,
    UpstreamTimeout,
)

from tests.support.dialects import ANTHROPIC, GEMINI, LINES, OLLAMA, RESPONSES, STREAM, WORDS, frames, in_its_dialect
from tests.support.edge import KEY, Edge, raising, running_edge

TEXT = "".join(WORDS)
GONE = StreamInterrupted("the provider hung up")
QUICK = EdgeSettings(keep_alive=0.05, watch_after=0.05)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge(QUICK) as edge:
        edge.router.script = in_its_dialect
        yield edge


async def slowly(call: CompleteCall) -> AsyncGenerator[Frame, None]:
    """With silences in which signs of life come."""
    async for frame in in_its_dialect(call):
        yield frame
        if isinstance(frame, bytes) and b"one" in frame:
            await asyncio.sleep(0.2)


# ---- OpenAI Responses ------------------------------------------------------------------------------------------------


@pytest.fixture
async def responses(edge: Edge) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client.responses


async def test_a_response(responses: Any) -> None:
    answer = await responses.create(model="acme/m", input="hi")
    assert (answer.output_text, answer.usage.total_tokens) == ("hello", 2)
    assert answer._request_id


async def test_a_streamed_response(edge: Edge, responses: Any) -> None:
    edge.router.script = slowly
    async with responses.stream(model="acme/m", input="hi") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert (kinds[0], kinds[-1], final.output_text) == ("response.created", "response.completed", TEXT)


async def test_a_streamed_response_that_breaks(edge: Edge, responses: Any) -> None:
    edge.router.script = raising(GONE, after=(STREAM, *frames(RESPONSES)[:4]))
    with pytest.raises(openai.APIError, match="hung up"):
        async for _ in await responses.create(model="acme/m", input="hi", stream=True):
            pass


async def test_a_responses_input_is_counted(edge: Edge, responses: Any) -> None:
    count = await responses.input_tokens.count(model="acme/m", input="hi")
    assert (count.object, count.input_tokens) == ("response.input_tokens", 17)
    assert edge.router.counted[0][1:3] == (RESPONSES, "")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (InvalidRequest("bad", param="input.0"), openai.BadRequestError),
        (ModelNotFound("none"), openai.NotFoundError),
        (RateLimited("slow", retry_after=3), openai.RateLimitError),
        (UpstreamFailed("down"), openai.InternalServerError),
    ],
)
async def test_a_response_that_fails(
    edge: Edge, responses: Any, error: GatewayError, raised: type[openai.APIStatusError]
) -> None:
    edge.router.script = raising(error)
    with pytest.raises(raised) as caught:
        await responses.create(model="acme/m", input="hi")
    assert (caught.value.status_code, caught.value.code) == (error.status, error.code)
    assert caught.value.param == error.param


# ---- Anthropic -------------------------------------------------------------------------------------------------------

ASKED: dict[str, Any] = {"model": "acme/m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def claude(edge: Edge) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=edge.url, api_key=KEY, max_retries=0) as client:
        yield client


async def test_a_message(claude: anthropic.AsyncAnthropic) -> None:
    message = await claude.messages.create(**ASKED)
    assert [block.text for block in message.content if block.type == "text"] == ["hello"]
    assert message._request_id


async def test_a_key_given_as_a_token(edge: Edge) -> None:
    async with anthropic.AsyncAnthropic(base_url=edge.url, auth_token=KEY, api_key=None, max_retries=0) as client:
        assert (await client.messages.create(**ASKED)).stop_reason == "end_turn"
        assert [model.id async for model in client.models.list()] == ["always-on", "acme/gpt-x"]


async def test_a_streamed_message(edge: Edge, claude: anthropic.AsyncAnthropic) -> None:
    edge.router.script = slowly
    async with claude.messages.stream(**ASKED) as stream:
        assert [text async for text in stream.text_stream] == list(WORDS)
        assert (await stream.get_final_message()).stop_reason == "end_turn"


@pytest.mark.parametrize("sent", [0, 4])
async def test_a_streamed_message_that_breaks(edge: Edge, claude: anthropic.AsyncAnthropic, sent: int) -> None:
    edge.router.script = raising(GONE, after=(STREAM, *frames(ANTHROPIC)[:sent]))
    with pytest.raises(anthropic.APIStatusError, match="hung up") as caught:
        async for _ in await claude.messages.create(**ASKED, stream=True):
            pass
    assert caught.value.request_id == edge.router.calls[0].context.request_id


async def test_a_message_is_counted(edge: Edge, claude: anthropic.AsyncAnthropic) -> None:
    count = await claude.messages.count_tokens(model="acme/m", messages=ASKED["messages"])
    assert count.input_tokens == 17
    assert edge.router.counted[0][1:3] == (ANTHROPIC, "")


async def test_claudes_models(claude: anthropic.AsyncAnthropic) -> None:
    assert [model.id async for model in claude.models.list(limit=1)] == ["always-on", "acme/gpt-x"]
    model = await claude.models.retrieve("acme/gpt-x")
    assert (model.id, model.created_at.year, model.max_tokens) == ("acme/gpt-x", 1970, 128_000)
    with pytest.raises(anthropic.NotFoundError):
        await claude.models.retrieve("acme/none")


@pytest.mark.parametrize(
    ("error", "raised", "kind"),
    [
        (InvalidRequest("bad", param="messages.0"), anthropic.BadRequestError, "invalid_request_error"),
        (BudgetExhausted("spent"), anthropic.APIStatusError, "billing_error"),
        (PermissionDenied("no"), anthropic.PermissionDeniedError, "permission_error"),
        (ModelNotFound("none"), anthropic.NotFoundError, "not_found_error"),
        (BodyTooLarge("much"), anthropic.APIStatusError, "request_too_large"),
        (RateLimited("slow", retry_after=3), anthropic.RateLimitError, "rate_limit_error"),
        (UpstreamFailed("down"), anthropic.InternalServerError, "api_error"),
        (NoCandidate("none"), anthropic.InternalServerError, "overloaded_error"),
        (UpstreamTimeout("late"), anthropic.InternalServerError, "timeout_error"),
        (UpstreamFailed("full", status=529), anthropic.InternalServerError, "overloaded_error"),
    ],
)
async def test_a_message_that_fails(
    edge: Edge, claude: anthropic.AsyncAnthropic, error: GatewayError, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    edge.router.script = raising(error)
    with pytest.raises(raised) as caught:
        await claude.messages.create(**ASKED)
    assert caught.value.status_code == error.status
    assert caught.value.body["error"]["type"] == kind  # type: ignore[index]
    assert caught.value.request_id == edge.router.calls[0].context.request_id
    assert error.param is None or error.param in str(caught.value)
    assert caught.value.response.headers.get("retry-after") == ("3" if error.retry_after else None)


async def test_a_wrong_key_of_claudes(edge: Edge) -> None:
    async with anthropic.AsyncAnthropic(base_url=edge.url, api_key="or-wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError, match="wrong"):
            await client.messages.create(**ASKED)
        with pytest.raises(anthropic.AuthenticationError, match="wrong"):
            await client.messages.count_tokens(model="m", messages=ASKED["messages"])
        with pytest.raises(anthropic.AuthenticationError, match="wrong"):
            await client.models.list()


# ---- Google ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[None, "v1beta"])
async def google(edge: Edge, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """``aio`` of a client, once with the SDK's own API version (v1) and once with gemini-cli's."""
    client = _google(edge, KEY, request.param)
    yield client
    await client.aclose()


def _google(edge: Edge, key: str, version: str | None = None) -> Any:
    options = types.HttpOptions(
        base_url=edge.url,
        api_version=version,
        retry_options=types.HttpRetryOptions(attempts=1),
        async_client_args={"transport": httpx.AsyncHTTPTransport()},  # else aiohttp, whose use in the SDK warns
    )
    return genai.Client(api_key=key, vertexai=False, http_options=options).aio


async def test_content(edge: Edge, google: Any) -> None:
    answer = await google.models.generate_content(model="acme/g", contents="hi")
    assert answer.text == "hello"
    assert (edge.router.calls[0].model, edge.router.calls[0].client_format) == ("acme/g", GEMINI)


async def test_streamed_content(edge: Edge, google: Any) -> None:
    edge.router.script = slowly
    stream = await google.models.generate_content_stream(model="acme/g", contents="hi")
    assert [part.text async for part in stream] == list(WORDS)


@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_streamed_content_that_breaks(edge: Edge, google: Any, sent: int) -> None:
    edge.router.script = raising(GONE, after=(STREAM, *frames(GEMINI)[:sent]))
    seen: list[str] = []
    with pytest.raises(errors.ServerError, match="hung up") as caught:
        async for part in await google.models.generate_content_stream(model="acme/g", contents="hi"):
            seen += [part.text]
    assert (caught.value.code, seen) == (502, list(WORDS[:sent]))


async def test_content_is_counted(edge: Edge, google: Any) -> None:
    assert (await google.models.count_tokens(model="acme/g", contents="hi")).total_tokens == 17
    assert edge.router.counted[0][1:3] == (GEMINI, "acme/g")


async def test_googles_models(google: Any) -> None:
    for asked in ({}, {"page_size": 1}):
        names = [model.name async for model in await google.models.list(config=asked)]
        assert names == ["models/always-on", "models/acme/gpt-x"]
    model = await google.models.get(model="acme/gpt-x")
    assert (model.name, model.input_token_limit) == ("models/acme/gpt-x", 272_000)
    assert "generateContent" in model.supported_actions


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("bad", param="contents.0"), "INVALID_ARGUMENT"),
        (PermissionDenied("no"), "PERMISSION_DENIED"),
        (ModelNotFound("none"), "NOT_FOUND"),
        (RateLimited("slow", retry_after=3), "RESOURCE_EXHAUSTED"),
        (UpstreamFailed("down"), "INTERNAL"),
        (NoCandidate("none"), "UNAVAILABLE"),
    ],
)
async def test_content_that_fails(edge: Edge, google: Any, error: GatewayError, status: str) -> None:
    edge.router.script = raising(error)
    raised = errors.ClientError if error.status < 500 else errors.ServerError
    with pytest.raises(raised) as whole:
        await google.models.generate_content(model="acme/g", contents="hi")
    with pytest.raises(raised) as streamed:
        async for _ in await google.models.generate_content_stream(model="acme/g", contents="hi"):
            pass
    for caught in (whole, streamed):
        assert (caught.value.code, caught.value.status) == (error.status, status)
        assert error.param is None or error.param in str(caught.value.message)


async def test_a_wrong_key_of_googles(edge: Edge) -> None:
    client = _google(edge, "or-wrong")
    with pytest.raises(errors.ClientError, match="wrong") as caught:
        await client.models.generate_content(model="acme/g", contents="hi")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ClientError, match="wrong"):
        await client.models.list()
    await client.aclose()


# ---- Ollama ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def llama(edge: Edge) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=edge.url, headers={"authorization": f"Bearer {KEY}"}) as client:
        yield client


HELLO = [{"role": "user", "content": "hi"}]


async def test_a_chat_of_ollamas(llama: ollama.AsyncClient) -> None:
    answer = await llama.chat("acme/m", HELLO)
    assert (answer.message.content, answer.done_reason) == ("hello", "stop")


async def test_a_streamed_chat_of_ollamas_with_silences_in_it(edge: Edge, llama: ollama.AsyncClient) -> None:
    edge.router.script = slowly
    assert [line.message.content async for line in await llama.chat("acme/m", HELLO, stream=True)] == list(WORDS)


@pytest.mark.parametrize("sent", [0, 2])
async def test_a_streamed_chat_of_ollamas_that_breaks(edge: Edge, llama: ollama.AsyncClient, sent: int) -> None:
    edge.router.script = raising(GONE, after=(LINES, *frames(OLLAMA)[:sent]))
    came = []
    with pytest.raises(ollama.ResponseError, match="hung up"):
        came.extend([line async for line in await llama.chat("acme/m", HELLO, stream=True)])
    assert not came


@pytest.mark.parametrize(
    "error", [InvalidRequest("bad", param="messages"), ModelNotFound("none"), RateLimited("slow"), NoCandidate("none")]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_of_ollamas_that_fails(
    edge: Edge, llama: ollama.AsyncClient, error: GatewayError, stream: bool
) -> None:
    edge.router.script = raising(error)
    with pytest.raises(ollama.ResponseError, match=error.message) as caught:
        answer: Any = await llama.chat("acme/m", HELLO, stream=stream)
        async for _ in answer:
            pass
    assert caught.value.status_code == error.status


async def test_the_models_as_ollama_lists_them(llama: ollama.AsyncClient) -> None:
    assert [model.model for model in (await llama.list()).models] == ["always-on", "acme/gpt-x"]
