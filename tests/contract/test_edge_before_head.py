"""A stream whose answer has no head for long: the client is shown that its request lives, and then what comes of it."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import anthropic
import httpx
import msgspec
import ollama
import openai
import pytest
from google import genai
from google.genai import types
from omni_catalogue.rules import KEEP_ALIVE_OFF, Rules
from omni_catalogue.snapshot import Combo, KeyPolicy
from omni_core.ports.router import CompleteCall, Frame
from omni_edge.settings import EdgeSettings
from omni_wire.errors import BudgetExhausted, GatewayError, RateLimited, UpstreamFailed
from omni_wire.formats import WireFormat

from tests.support.dialects import ANTHROPIC, ARRAY, CHAT, GEMINI, LINES, OLLAMA, RESPONSES, STREAM, WORDS, frames
from tests.support.edge import BEARER, DONE, KEY, WHOLE, Edge, Script, chunk, completion, running_edge, snapshot

EVENTS = "/v1beta/models/acme/g:streamGenerateContent?alt=sse"
ELEMENTS = "/v1beta/models/acme/g:streamGenerateContent"
SSE, TEXT = "text/event-stream; charset=utf-8", "".join(WORDS)
# A path, its dialect, the content type of its streams, its sign of life.
STREAMS = [
    ("/v1/chat/completions", CHAT, SSE, b": keep-alive\n\n"),
    ("/v1/responses", RESPONSES, SSE, b": keep-alive\n\n"),
    ("/v1/messages", ANTHROPIC, SSE, b'event: ping\ndata: {"type":"ping"}\n\n'),
    (EVENTS, GEMINI, SSE, b"\n\n"),
    (ELEMENTS, GEMINI, "application/json; charset=utf-8", b"\n"),
    ("/api/chat", OLLAMA, "application/x-ndjson", b" "),
]
COMMENTED = (CHAT, RESPONSES, ANTHROPIC)
ABOUT = b": x-omniroute-provider: acme\n: x-omniroute-model: m\n: x-omniroute-translation: lossless\n\n"
QUICK = EdgeSettings(keep_alive=0.03, watch_after=0.02)
ASKED: dict[str, Any] = {"model": "m", "stream": True}


class Held:
    """A script that says nothing before it is let go, then answers or fails."""

    def __init__(self, error: GatewayError | None = None) -> None:
        self.go = asyncio.Event()
        self._error = error

    async def __call__(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        await self.go.wait()
        if self._error is not None:
            raise self._error
        array = call.framing == "array"
        yield ARRAY if array else LINES if call.client_format is OLLAMA else STREAM
        for part in answer_frames(call.client_format, array=array):
            yield part


def answer_frames(dialect: WireFormat, *, array: bool = False) -> list[bytes]:
    return [*map(chunk, WORDS), DONE] if dialect is CHAT else frames(dialect, array=array)


def late(seconds: float = 0.2, then: Script | None = None) -> Script:
    async def script(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        await asyncio.sleep(seconds)
        async for frame in (then or let_go())(call):
            yield frame

    return script


def let_go(error: GatewayError | None = None) -> Held:
    held = Held(error)
    held.go.set()
    return held


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge(QUICK) as edge:
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(("path", "dialect", "content_type", "sign"), STREAMS)
async def test_a_client_hears_a_sign_of_life_before_there_is_an_answer(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat, content_type: str, sign: bytes
) -> None:
    held = edge.router.script = Held()
    async with client.stream("POST", path, json=ASKED) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["x-request-id"]
        assert not [name for name in answer.headers if name.startswith("x-omniroute-")]  # nobody has answered yet
        arriving = answer.aiter_bytes()
        heard = b""
        while len(heard) < 2 * len(sign):
            heard += await anext(arriving)
        held.go.set()
        heard += b"".join([part async for part in arriving])
    told = b"".join(answer_frames(dialect, array=path is ELEMENTS))
    if dialect in COMMENTED:
        told = ABOUT + told
    assert heard.endswith(told)
    before = heard.removesuffix(told)
    assert before == sign * (len(before) // len(sign))


@pytest.mark.parametrize(("path", "dialect", "content_type", "sign"), STREAMS)
@pytest.mark.parametrize("error", [UpstreamFailed("no luck"), RateLimited("no luck", retry_after=9.0)])
async def test_what_fails_after_it_is_told_in_mid_stream(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat, content_type: str, sign: bytes,
    error: GatewayError,
) -> None:  # fmt: skip
    edge.router.script = late(then=let_go(error))
    answer = await client.post(path, json=ASKED)
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    assert "no luck" in answer.text
    assert b"[DONE]" not in answer.content
    if dialect is OLLAMA or path is ELEMENTS:
        assert "no luck" in json.dumps(answer.json())
    assert edge.sample("omniroute_edge_active_streams") == 0


@pytest.mark.parametrize(("path", "dialect", "content_type", "sign"), STREAMS)
@pytest.mark.parametrize("error", [BudgetExhausted("spent"), RateLimited("spent", retry_after=9.0)])
async def test_what_fails_before_it_keeps_its_status(
    path: str, dialect: WireFormat, content_type: str, sign: bytes, error: GatewayError
) -> None:
    async with running_edge(EdgeSettings(keep_alive=5.0, watch_after=0.02)) as edge:
        edge.router.script = late(0.1, then=let_go(error))  # looked at more than once by then
        async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
            answer = await client.post(path, json=ASKED)
    assert answer.status_code == error.status
    assert answer.headers.get("retry-after") == ("9" if error.retry_after else None)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "m"}),
        ("/v1/messages", {"model": "m", "stream": False}),
        ("/v1/responses", {"model": "m", "stream": "yes"}),
        ("/api/chat", {"model": "m", "stream": False}),
        ("/v1beta/models/acme/g:generateContent", {"stream": True}),
    ],
)
async def test_a_client_that_wants_no_stream_waits_for_its_status(
    edge: Edge, client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
    answer = await client.post(path, json=body)
    assert answer.status_code == 502


async def test_a_body_that_nobody_can_read_waits_for_its_status(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
    typed = {"content-type": "application/json"}
    answer = await client.post("/v1/chat/completions", content=b'{"stream": true', headers=typed)
    assert answer.status_code == 502


async def test_a_whole_answer_to_a_stream_begun_is_a_failure_not_a_mixture(
    edge: Edge, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def whole(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield WHOLE
        yield completion()

    edge.router.script = late(then=whole)
    answer = await client.post("/v1/chat/completions", json=ASKED)
    assert "inside the gateway" in answer.text
    assert "hello" not in answer.text


async def test_a_client_that_leaves_before_the_head_ends_the_routers_work(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    edge.router.script = Held()
    async with client.stream("POST", "/v1/messages", json=ASKED) as answer:
        await anext(answer.aiter_bytes())
    async with asyncio.timeout(30):
        await edge.router.closed.wait()


async def test_a_shutdown_before_the_head_is_told_in_mid_stream(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.router.script = Held()
    async with client.stream("POST", "/v1/chat/completions", json=ASKED) as answer:
        arriving = answer.aiter_bytes()
        await anext(arriving)
        edge.app.interrupt_all()
        rest = b"".join([part async for part in arriving])
    assert b"shutting down" in rest


# ---- the rule keep_alive ---------------------------------------------------------------------------------------------

UNSAID, OFF, SOON = Rules(), Rules(keep_alive=KEEP_ALIVE_OFF), Rules(keep_alive=0.03)


def ruled(whole: Rules = UNSAID, combo: Rules = UNSAID, key: Rules = UNSAID) -> Any:
    return msgspec.structs.replace(
        snapshot(), rules=whole, combos=(Combo(name="pair", strategy="priority", targets=(), rules=combo),),
        keys=(KeyPolicy(id="key-1", name="ci", rules=key),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("usual", "rules", "model", "early"),
    [
        (0.03, ruled(whole=OFF), "m", False),
        (0.03, ruled(combo=OFF), "pair", False),
        (0.03, ruled(combo=OFF), "m", True),
        (0.03, ruled(whole=SOON, key=OFF), "m", False),
        (9.0, ruled(whole=SOON), "m", True),
        (9.0, ruled(combo=SOON), "pair", True),
        (9.0, ruled(combo=SOON), "m", False),
        (9.0, ruled(whole=OFF, combo=OFF, key=SOON), "pair", True),
    ],
)
async def test_the_rule_of_the_narrowest_place_says_when(usual: float, rules: Any, model: str, early: bool) -> None:
    async with running_edge(EdgeSettings(keep_alive=usual, watch_after=0.02)) as edge:
        edge.service.configure(rules)
        edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
        async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
            answer = await client.post("/v1/chat/completions", json={"model": model, "stream": True})
    assert answer.status_code == (200 if early else 502)


async def test_the_rule_also_counts_after_a_body_that_came_slowly() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"model": "m", '
        await asyncio.sleep(0.1)
        yield b'"stream": true}'

    async with running_edge(EdgeSettings(keep_alive=9.0, watch_after=0.02)) as edge:
        edge.service.configure(ruled(key=SOON))
        edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
        headers = BEARER | {"content-type": "application/json"}
        async with httpx.AsyncClient(base_url=edge.url, headers=headers, trust_env=False) as client:
            answer = await client.post("/v1/chat/completions", content=slowly())
    assert answer.status_code == 200


# ---- what official SDKs make of it -----------------------------------------------------------------------------------


async def test_openais_sdk_waits_and_reads(edge: Edge) -> None:
    edge.router.script = late()
    async with openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEY, max_retries=0) as sdk:
        chat: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        chunks = [piece async for piece in await sdk.chat.completions.create(**chat, stream=True)]
        assert "".join(piece.choices[0].delta.content or "" for piece in chunks) == TEXT
        async with sdk.responses.stream(model="m", input="hi") as stream:
            assert (await stream.get_final_response()).output_text == TEXT
        edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
        with pytest.raises(openai.APIError, match="no luck"):
            [piece async for piece in await sdk.chat.completions.create(**chat, stream=True)]


async def test_anthropics_sdk_waits_and_reads(edge: Edge) -> None:
    edge.router.script = late()
    async with anthropic.AsyncAnthropic(base_url=edge.url, api_key=KEY, max_retries=0) as sdk:
        asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        async with sdk.messages.stream(**asked) as stream:
            assert (await stream.get_final_message()).content[0].text == TEXT  # type: ignore[union-attr]
        edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
        with pytest.raises(anthropic.APIStatusError, match="no luck"):
            async with sdk.messages.stream(**asked) as stream:
                await stream.get_final_message()


async def test_googles_sdk_waits_and_reads(edge: Edge) -> None:
    options = types.HttpOptions(base_url=edge.url, async_client_args={"transport": httpx.AsyncHTTPTransport()})
    async with genai.Client(api_key=KEY, http_options=options).aio as sdk:
        edge.router.script = late()
        stream = await sdk.models.generate_content_stream(model="m", contents="hi")
        assert "".join([piece.text or "" async for piece in stream]) == TEXT
        edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
        with pytest.raises(genai.errors.APIError, match="no luck"):
            async for _ in await sdk.models.generate_content_stream(model="m", contents="hi"):
                pass


async def test_ollamas_client_waits_and_reads(edge: Edge) -> None:
    edge.router.script = late()
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    async with ollama.AsyncClient(host=edge.url, headers=BEARER) as sdk:
        assert "".join([piece.message.content or "" async for piece in await sdk.chat(**asked, stream=True)]) == TEXT
        edge.router.script = late(then=let_go(UpstreamFailed("no luck")))
        with pytest.raises(ollama.ResponseError, match="no luck"):
            [piece async for piece in await sdk.chat(**asked, stream=True)]
