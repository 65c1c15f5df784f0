"""The official SDKs take the simulator for the vendor itself: answers, streams, tools, thinking, errors."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from omni_simulator import Simulator

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
RESPONSES_TOOLS: Any = [{"type": "function", "name": "weather", "parameters": CITY, "strict": False}]
MESSAGES_TOOLS: Any = [{"name": "weather", "input_schema": CITY}]
HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = Simulator("127.0.0.1", 0)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def gpt(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{simulator.url}/v1", api_key="any", max_retries=0, timeout=5) as client:
        yield client


@pytest.fixture
async def claude(simulator: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=simulator.url, api_key="any", max_retries=0, timeout=5) as client:
        yield client


async def test_openai_chat_answers_whole_and_streamed(gpt: openai.AsyncOpenAI):
    whole = await gpt.chat.completions.create(model="sim+tokens:5", messages=HELLO)
    assert whole.choices[0].message.content == "the gateway takes each request"
    assert whole.usage is not None
    assert (whole.model, whole.usage.completion_tokens) == ("sim+tokens:5", 5)
    stream = await gpt.chat.completions.create(
        model="sim+tokens:5", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == "the gateway takes each request"
    assert chunks[-1].usage == whole.usage


async def test_openai_chat_runs_a_tool_loop(gpt: openai.AsyncOpenAI):
    async with gpt.chat.completions.stream(model="sim+tools+parallel:2", messages=HELLO, tools=CHAT_TOOLS) as stream:
        async for _ in stream:
            pass
        message = (await stream.get_final_completion()).choices[0].message
    assert message.tool_calls is not None
    assert [call.function.arguments for call in message.tool_calls] == ['{"city":"simulated city"}'] * 2
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
    turns: Any = [*HELLO, message.model_dump(exclude_none=True, exclude={"parsed"}), *results]
    last = await gpt.chat.completions.create(model="sim+tools", messages=turns, tools=CHAT_TOOLS)
    assert last.choices[0].message.content == 'Done. The tool said: "sunny" "sunny"'


async def test_openai_responses_answer_whole_and_streamed(gpt: openai.AsyncOpenAI):
    whole = await gpt.responses.create(model="sim+think:2+tokens:3", input="hello")
    assert (whole.output_text, whole.output[0].type) == ("the gateway takes", "reasoning")
    async with gpt.responses.stream(model="sim+think:2+tokens:3", input="hello") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "the gateway takes"
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert final.usage == whole.usage


async def test_openai_responses_run_a_tool_loop(gpt: openai.AsyncOpenAI):
    async with gpt.responses.stream(model="sim+tools", input="hello", tools=RESPONSES_TOOLS) as stream:
        first = await stream.get_final_response()
    call = first.output[0]
    assert call.type == "function_call"
    turns: Any = [*HELLO, call.model_dump(exclude_none=True, exclude={"parsed_arguments"})]
    turns.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    last = await gpt.responses.create(model="sim+tools", input=turns, tools=RESPONSES_TOOLS)
    assert last.output_text == 'Done. The tool said: "sunny"'


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
async def test_openai_raises_its_own_class_for_each_status(
    gpt: openai.AsyncOpenAI, status: int, kind: type[openai.APIStatusError]
):
    with pytest.raises(kind) as caught:
        await gpt.chat.completions.create(model=f"sim+status:{status}", messages=HELLO, stream=True)
    assert caught.value.request_id is not None
    with pytest.raises(kind):
        await gpt.responses.create(model=f"sim+status:{status}", input="hello")


async def test_openai_raises_on_an_error_in_mid_stream(gpt: openai.AsyncOpenAI):
    stream = await gpt.chat.completions.create(model="sim+error-event:2", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="told to fail"):
        [chunk async for chunk in stream]
    events = await gpt.responses.create(model="sim+error-event:2", input="hello", stream=True)
    last = [event async for event in events][-1]  # here the SDK hands the error over instead of raising it
    assert last.type == "error"
    assert "told to fail" in last.message


async def test_openai_lists_models(gpt: openai.AsyncOpenAI):
    assert "sim" in [model.id async for model in gpt.models.list()]


async def test_anthropic_answers_whole_and_streamed(claude: anthropic.AsyncAnthropic):
    model = "sim+think:2+tokens:3+cached:1"
    whole = await claude.messages.create(model=model, max_tokens=50, messages=HELLO)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert (whole.usage.input_tokens, whole.usage.cache_read_input_tokens, whole.usage.output_tokens) == (1, 1, 5)
    async with claude.messages.stream(model=model, max_tokens=50, messages=HELLO) as stream:
        final = await stream.get_final_message()
    thinking, text = final.content
    assert thinking.type == "thinking"
    assert text.type == "text"
    assert (thinking.thinking, text.text) == ("first I", "the gateway takes")
    assert thinking.signature
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 5)


async def test_anthropic_runs_a_tool_loop(claude: anthropic.AsyncAnthropic):
    asked: Any = {"model": "sim+tools+parallel:2", "max_tokens": 50, "tools": MESSAGES_TOOLS}
    async with claude.messages.stream(messages=HELLO, **asked) as stream:
        first = await stream.get_final_message()
    uses = [block for block in first.content if block.type == "tool_use"]
    assert (first.stop_reason, [use.input for use in uses]) == ("tool_use", [{"city": "simulated city"}] * 2)
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses]
    said = [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input} for use in uses]
    turns: Any = [*HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": results}]
    last = await claude.messages.create(messages=turns, **asked)
    assert last.content[0].type == "text"
    assert last.content[0].text == 'Done. The tool said: "sunny" "sunny"'


async def test_anthropic_counts_tokens_and_lists_models(claude: anthropic.AsyncAnthropic):
    counted = await claude.messages.count_tokens(model="sim", messages=HELLO)
    assert counted.input_tokens == 2
    assert "sim" in [model.id async for model in claude.models.list()]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (529, anthropic.InternalServerError),
    ],
)
async def test_anthropic_raises_its_own_class_for_each_status(
    claude: anthropic.AsyncAnthropic, status: int, kind: type[anthropic.APIStatusError]
):
    with pytest.raises(kind) as caught:
        await claude.messages.create(model=f"sim+status:{status}", max_tokens=5, messages=HELLO)
    assert caught.value.request_id is not None


async def test_anthropic_raises_on_an_error_in_mid_stream(claude: anthropic.AsyncAnthropic):
    async with claude.messages.stream(model="sim+error-event:3", max_tokens=50, messages=HELLO) as stream:
        with pytest.raises(anthropic.APIStatusError, match="told to fail"):
            await stream.get_final_message()


async def test_a_second_http_client_reads_gemini_whole_and_streamed(simulator: Simulator):
    asked = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    headers = {"x-goog-api-key": "any"}
    async with aiohttp.ClientSession(simulator.url, headers=headers) as session:
        async with session.post("/v1/models/sim+tokens:3:generateContent", json=asked) as response:
            whole = await response.json()
        async with session.post("/v1beta/models/sim+tokens:3:streamGenerateContent?alt=sse", json=asked) as response:
            lines = [line async for line in response.content if line.startswith(b"data: ")]
    assert whole["candidates"][0]["content"]["parts"] == [{"text": "the gateway takes"}]
    assert len(lines) == 4


async def test_openai_embeddings(gpt: openai.AsyncOpenAI) -> None:
    near = ["How do I reset my password?", "What is the way to change a password?", "Where is Rome?"]
    answer = await gpt.embeddings.create(model="embed", input=near, dimensions=128)
    one, other, far = (each.embedding for each in answer.data)
    assert {len(each) for each in (one, other, far)} == {128}
    assert sum(a * b for a, b in zip(one, other, strict=True)) > 0.95
    assert sum(a * b for a, b in zip(one, far, strict=True)) < 0.7
    assert answer.usage.prompt_tokens == sum(len(each) for each in near) // 4 + 1
