"""Pydantic AI's models over the three vendors' SDKs; structured output by its usual way, a forced tool."""

import asyncio
from base64 import b64decode
from functools import lru_cache
from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import BinaryContent
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from tests.clients.door import Door
from tests.clients.jobs import Call, Job, Turn, Used

# One loop for all jobs: the clients below outlive each of them, and making one costs more than a call.
_LOOP = asyncio.new_event_loop()


@lru_cache
def _openai(url: str, key: str) -> OpenAIProvider:
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30))


@lru_cache
def _anthropic(url: str, key: str) -> AnthropicProvider:
    return AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=url, api_key=key, max_retries=0, timeout=30))


@lru_cache
def _google(url: str, key: str) -> GoogleProvider:
    return GoogleProvider(api_key=key, base_url=url)


def openai_chat(door: Door, job: Job) -> list[Turn]:
    settings = {"openai_reasoning_effort": "low"} if job.thinking else {}
    model = OpenAIChatModel(job.model, provider=_openai(door.url, door.key_for(job)))
    return _LOOP.run_until_complete(_converse(model, settings, job))


def openai_responses(door: Door, job: Job) -> list[Turn]:
    settings: dict[str, Any] = {"openai_store": False}
    if job.thinking:
        settings |= {"openai_reasoning_effort": "low", "openai_reasoning_summary": "auto"}
    # It goes by the model's name, and ours tells it nothing.
    profile: Any = {"openai_supports_encrypted_reasoning_content": True}
    model = OpenAIResponsesModel(job.model, provider=_openai(door.url, door.key_for(job)), profile=profile)
    return _LOOP.run_until_complete(_converse(model, settings, job))


def anthropic(door: Door, job: Job) -> list[Turn]:
    settings: dict[str, Any] = {"max_tokens": 8000}
    if job.thinking:
        settings["anthropic_thinking"] = {"type": "enabled", "budget_tokens": 2000}
    model = AnthropicModel(job.model, provider=_anthropic(door.url, door.key_for(job)))
    return _LOOP.run_until_complete(_converse(model, settings, job))


def google(door: Door, job: Job) -> list[Turn]:
    settings = {"google_thinking_config": {"include_thoughts": True, "thinking_budget": 2000}} if job.thinking else {}
    model = GoogleModel(job.model, provider=_google(door.url, door.key_for(job)))
    return _LOOP.run_until_complete(_converse(model, settings, job))


async def _converse(model: Any, settings: Any, job: Job) -> list[Turn]:
    content: list[Any] = [job.prompt]
    if job.image:
        content.append(BinaryContent(b64decode(job.image), media_type="image/png"))
    history: list[Any] = [ModelRequest(parts=[UserPromptPart(content)])]
    offered = [
        ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
        for tool in job.tools
    ]
    wanted: dict[str, Any] = {}
    if job.schema is not None:
        answer = ToolDefinition(name="final_result", parameters_json_schema=job.schema, kind="output")
        wanted = {"output_mode": "tool", "output_tools": [answer], "allow_text_output": False}
    asked = {
        "model_settings": settings,
        "model_request_parameters": ModelRequestParameters(function_tools=offered, **wanted),
    }
    response, turn = await _turn(model, history, asked, job)
    if not job.results:
        return [turn]
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    results = [
        ToolReturnPart(tool_name=call.tool_name, content=result, tool_call_id=call.tool_call_id)
        for call, result in zip(calls, job.results, strict=True)
    ]
    history += [response, ModelRequest(parts=results)]
    return [turn, (await _turn(model, history, asked, job))[1]]


async def _turn(model: Any, history: list[Any], asked: Any, job: Job) -> tuple[ModelResponse, Turn]:
    events = 0
    if job.stream:
        async with model_request_stream(model, history, **asked) as stream:
            async for _ in stream:
                events += 1
            response = stream.get() if hasattr(stream, "get") else stream.response
    else:
        response = await model_request(model, history, **asked)
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    used = response.usage
    turn = Turn(
        text="".join(part.content for part in response.parts if isinstance(part, TextPart)),
        thinking="".join(part.content for part in response.parts if isinstance(part, ThinkingPart)),
        calls=[Call(part.tool_name, part.args_as_dict()) for part in calls],
        used=Used(
            input=used.input_tokens,
            cached=used.cache_read_tokens,
            written=used.cache_write_tokens,
            output=used.output_tokens,
            reasoning=used.details.get("reasoning_tokens") or used.details.get("thoughts_tokens"),
        ),
        end=response.finish_reason or "",
        parsed=calls[0].args_as_dict() if job.schema is not None and calls else None,
        events=events,
    )
    return response, turn
