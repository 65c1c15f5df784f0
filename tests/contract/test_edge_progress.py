"""Progress events and signs of life on streams, as official SDKs take them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import anthropic
import httpx
import msgspec
import openai
import pytest
from google import genai
from google.genai import types
from omni_core.ports.router import CompleteCall, Frame, Head
from omni_edge.settings import EdgeSettings
from omni_wire.errors import StreamInterrupted
from omni_wire.formats import WireFormat

from tests.support.dialects import STREAM, WORDS, frames
from tests.support.edge import BEARER, DONE, KEY, Edge, chunk, running_edge

CHAT = WireFormat.OPENAI_CHAT
TOLD = msgspec.structs.replace(STREAM, progress=True, rules=("think_tags",))
TEXT = "".join(WORDS)


def pausing(head: Head, pause: float = 0.05) -> Any:
    async def script(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield head
        dialect = call.client_format
        array = call.framing == "array"
        pieces = [*map(chunk, WORDS), DONE] if dialect is CHAT else frames(dialect, array=array)
        for piece in pieces:
            yield piece
            await asyncio.sleep(pause)

    return script


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    settings = EdgeSettings(progress=0.02, watch_after=0.01)
    async with running_edge(settings=settings) as made:
        made.router.script = pausing(TOLD)
        yield made


def events(text: str) -> list[dict[str, Any]]:
    """The data of progress events, in order."""
    told = [block for block in text.split("\n\n") if block.startswith("event: progress\n")]
    return [json.loads(block.partition("data: ")[2]) for block in told]


async def test_a_client_that_asked_is_told_how_far_its_answer_has_come(edge: Edge) -> None:
    async with httpx.AsyncClient() as client:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post(f"{edge.url}/v1/chat/completions", headers=BEARER, json=body)
    told = events(answer.text)
    assert answer.headers["x-omniroute-progress"] == "enabled"
    assert answer.headers["x-omniroute-rules"] == "think_tags"
    assert len(told) > 2
    counts = [event["tokens_generated"] for event in told]
    assert counts == sorted(counts)
    assert counts[0] >= 1
    assert all(event["elapsed_ms"] >= 0 for event in told)
    assert [event.get("done", False) for event in told] == [False] * (len(told) - 1) + [True]


async def test_nobody_else_is(edge: Edge) -> None:
    edge.router.script = pausing(STREAM)
    async with httpx.AsyncClient() as client:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post(f"{edge.url}/v1/chat/completions", headers=BEARER, json=body)
    assert "x-omniroute-progress" not in answer.headers
    assert events(answer.text) == []


async def test_an_answer_that_breaks_is_never_told_done(edge: Edge) -> None:
    async def breaks(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield TOLD
        yield chunk("one")
        await asyncio.sleep(0.1)
        raise StreamInterrupted("the provider hung up")

    edge.router.script = breaks
    async with httpx.AsyncClient() as client:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post(f"{edge.url}/v1/chat/completions", headers=BEARER, json=body)
    assert events(answer.text)
    assert not any(event.get("done") for event in events(answer.text))
    assert "hung up" in answer.text


async def test_openais_sdk_reads_a_chat_stream_around_them(edge: Edge) -> None:
    async with openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEY, max_retries=0) as client:
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        chunks = [piece async for piece in await client.chat.completions.create(**asked, stream=True)]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
        told: list[Any] = [c for c in chunks if c.object == "progress"]  # type: ignore[comparison-overlap]
        assert len(told) > 1
        assert (told[-1].done, told[-1].tokens_generated) == (True, len(WORDS))
        async with client.chat.completions.stream(**asked) as events:
            done = await events.get_final_completion()
        assert done.choices[0].message.content == TEXT


async def test_openais_sdk_reads_a_responses_stream_around_them(edge: Edge) -> None:
    async with openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEY, max_retries=0) as client:
        async with client.responses.stream(model="m", input="hi") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert final.output_text == TEXT
        assert "keepalive" in kinds  # the one type that its helpers know and that changes nothing


async def test_anthropics_sdk_reads_a_stream_around_them(edge: Edge) -> None:
    async with anthropic.AsyncAnthropic(base_url=edge.url, api_key=KEY, max_retries=0) as client:
        asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        async with client.messages.stream(**asked) as stream:
            assert [text async for text in stream.text_stream] == list(WORDS)
            assert (await stream.get_final_message()).stop_reason == "end_turn"


async def test_googles_clients_get_none_for_they_take_no_events(edge: Edge) -> None:
    options = types.HttpOptions(base_url=edge.url, async_client_args={"transport": httpx.AsyncHTTPTransport()})
    async with genai.Client(api_key=KEY, http_options=options).aio as client:
        stream = await client.models.generate_content_stream(model="m", contents="hi")
        assert "".join([piece.text or "" async for piece in stream]) == TEXT
    async with httpx.AsyncClient() as plain:
        answer = await plain.post(
            f"{edge.url}/v1beta/models/m:streamGenerateContent?alt=sse",
            headers=BEARER,
            json={"contents": [{"parts": []}]},
        )
    assert "x-omniroute-progress" not in answer.headers
    assert "progress" not in answer.text


@pytest.mark.parametrize(("keep_alive", "expected"), [(0.02, True), (-1.0, False)])
async def test_signs_of_life_come_as_often_as_the_rule_says(keep_alive: float, expected: bool) -> None:
    usual = 30.0 if expected else 0.02
    async with running_edge(settings=EdgeSettings(keep_alive=usual, watch_after=0.01)) as edge:
        edge.router.script = pausing(msgspec.structs.replace(STREAM, keep_alive=keep_alive), pause=0.15)
        async with httpx.AsyncClient() as client:
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            answer = await client.post(f"{edge.url}/v1/chat/completions", headers=BEARER, json=body)
    assert (": keep-alive" in answer.text) is expected
