"""The official OpenAI SDK through edge, router, translator and ledger to a provider of either format.

The same assertions hold with the router and the translator in process and over gRPC.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import openai
import pytest
from omni_catalogue import snapshot as s
from omni_core.clients.router import RouterClient
from omni_core.clients.translator import TranslatorClient
from omni_core.identity import SERVICES, Caller
from omni_core.ports.router import RouterPort
from omni_core.rpc import RpcServer, open_channel
from omni_router.server import register as serve_router
from omni_translator.server import register as serve_translator

from tests.support.edge import KEY, running_edge
from tests.support.router import Harness, harness, patience, translator

HELLO = [{"role": "user", "content": "Hello there"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
KEYS = (s.KeyPolicy(id="key-1", name="ci"),)
FORMATS = pytest.mark.parametrize("provider", ["acme", "claude"])

ANYBODY = Caller(SERVICES, "token")


@pytest.fixture(params=["in process", "gRPC"])
async def stack(request: pytest.FixtureRequest, clean_redis: str) -> AsyncIterator[tuple[Harness, openai.AsyncOpenAI]]:
    async with AsyncExitStack() as exits:
        port = translator()
        if request.param == "gRPC":
            server = RpcServer("127.0.0.1", 0, "token")
            serve_translator(server, port)
            channel = await exits.enter_async_context(open_channel(f"127.0.0.1:{await server.start()}", ANYBODY))
            exits.push_async_callback(server.stop, 0)
            port = TranslatorClient(channel)
        made = await exits.enter_async_context(harness(clean_redis, port))
        made.configure(keys=KEYS)
        router: RouterPort = made.service
        if request.param == "gRPC":
            server = RpcServer("127.0.0.1", 0, "token")
            serve_router(server, router)
            channel = await exits.enter_async_context(open_channel(f"127.0.0.1:{await server.start()}", ANYBODY))
            exits.push_async_callback(server.stop, 0)
            router = RouterClient(channel)
        edge = await exits.enter_async_context(running_edge(router=router))
        client = openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key=KEY, max_retries=0)
        yield made, await exits.enter_async_context(client)


@FORMATS
async def test_a_stream_has_its_words_its_reason_and_its_usage(
    stack: tuple[Harness, openai.AsyncOpenAI], provider: str
) -> None:
    gateway, client = stack
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model=f"{provider}/sim+tokens:6", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    ]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) == 6
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6
    _, (request,) = await gateway.events()
    assert (request.usage.output_tokens, request.outcome) == (6, "ok")


@FORMATS
async def test_parallel_tools_go_round(stack: tuple[Harness, openai.AsyncOpenAI], provider: str) -> None:
    _, client = stack
    model = f"{provider}/sim+parallel:2"
    asked = await client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER])
    calls = asked.choices[0].message.tool_calls or []
    assert asked.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments).keys() for call in calls] == [{"city"}, {"city"}]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    turn = asked.choices[0].message.model_dump(exclude_none=True)
    answer = await client.chat.completions.create(model=model, messages=[*HELLO, turn, *results], tools=[WEATHER])
    assert "sunny" in (answer.choices[0].message.content or "")


@FORMATS
@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ("status:400", openai.BadRequestError),
        ("status:401", openai.AuthenticationError),
        ("status:404", openai.NotFoundError),
        ("status:429", openai.RateLimitError),
        ("status:500", openai.InternalServerError),
        ("hang", openai.InternalServerError),
    ],
)
async def test_a_providers_failure_is_the_sdks_own_class(
    stack: tuple[Harness, openai.AsyncOpenAI], provider: str, fault: str, raised: type[openai.APIStatusError]
) -> None:
    gateway, client = stack
    gateway.configure(keys=KEYS, timeouts=patience(fault))
    with pytest.raises(raised, match=rf"\[{provider}/sim"):
        await client.chat.completions.create(model=f"{provider}/sim+{fault}", messages=HELLO)
    assert await gateway.open_holds() == 0


@FORMATS
async def test_a_stream_that_is_cut_raises(stack: tuple[Harness, openai.AsyncOpenAI], provider: str) -> None:
    gateway, client = stack
    got = ""
    with pytest.raises(openai.APIError):
        async for chunk in await client.chat.completions.create(
            model=f"{provider}/sim+tokens:40+cut:6", messages=HELLO, stream=True
        ):
            got += chunk.choices[0].delta.content or ""
    assert got
    _, (request,) = await gateway.events()
    assert (request.outcome, request.usage.estimated) == ("partial", True)
    assert await gateway.open_holds() == 0
