"""The official OpenAI SDK against the edge: answers, streams, and errors as its own exception classes."""

from collections.abc import AsyncIterator

import openai
import pytest
from omni_wire.errors import (
    BodyTooLarge,
    BudgetExhausted,
    BudgetHeld,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    StreamInterrupted,
    UpstreamFailed,
)

from tests.support.edge import KEY, STREAM, Edge, chunk, raising, running_edge


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as edge:
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


async def ask(client: openai.AsyncOpenAI) -> str | None:
    answer = await client.chat.completions.create(model="acme/gpt-x", messages=[{"role": "user", "content": "hi"}])
    return answer.choices[0].message.content


async def test_an_answer(client: openai.AsyncOpenAI) -> None:
    assert await ask(client) == "hello"


async def test_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="acme/gpt-x", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    assert [part.choices[0].delta.content async for part in stream] == ["one ", "two ", "three"]


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["always-on", "acme/gpt-x"]
    assert (await client.models.retrieve("acme/gpt-x")).owned_by == "acme"


@pytest.mark.parametrize(
    ("error", "raised", "status"),
    [
        (InvalidRequest("bad"), openai.BadRequestError, 400),
        (BudgetExhausted("spent"), openai.APIStatusError, 402),
        (PermissionDenied("no"), openai.PermissionDeniedError, 403),
        (ModelNotFound("none"), openai.NotFoundError, 404),
        (BodyTooLarge("much"), openai.APIStatusError, 413),
        (RateLimited("slow", retry_after=3), openai.RateLimitError, 429),
        (BudgetHeld("held", retry_after=1), openai.RateLimitError, 429),
        (UpstreamFailed("down"), openai.InternalServerError, 502),
    ],
)
async def test_errors_are_the_sdks_own_classes(
    edge: Edge, client: openai.AsyncOpenAI, error: GatewayError, raised: type[openai.APIStatusError], status: int
) -> None:
    edge.router.script = raising(error)
    with pytest.raises(raised) as caught:
        await ask(client)
    assert caught.value.status_code == status
    assert caught.value.code == error.code
    assert caught.value.request_id == edge.router.calls[0].context.request_id
    assert error.message in str(caught.value)


async def test_a_wrong_key_is_an_authentication_error(edge: Edge) -> None:
    async with openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key="or-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="wrong"):
            await ask(client)


async def test_a_path_that_is_not_there_is_not_found(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="m", input="x")


async def test_a_break_in_mid_stream_is_an_api_error(edge: Edge, client: openai.AsyncOpenAI) -> None:
    edge.router.script = raising(StreamInterrupted("the provider hung up"), after=(STREAM, chunk("one")))
    stream = await client.chat.completions.create(
        model="acme/gpt-x", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    parts = aiter(stream)
    assert (await anext(parts)).choices[0].delta.content == "one"
    with pytest.raises(openai.APIError, match="hung up"):
        await anext(parts)
