"""LangChain's chat models over OpenAI's and Anthropic's SDKs."""

from functools import lru_cache
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.clients.door import Door
from tests.clients.jobs import Call, Job, Turn, Used


@lru_cache(maxsize=256)
def _openai(url: str, key: str, model: str, thinking: bool, responses: bool) -> Any:
    asked: dict[str, Any] = {}
    if responses:
        asked |= {"use_responses_api": True, "store": False, "output_version": "responses/v1"}
        if thinking:
            asked |= {
                "reasoning": {"effort": "low", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
            }  # fmt: skip
    elif thinking:
        asked |= {"reasoning_effort": "low"}
    return ChatOpenAI(
        model=model, base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30, stream_usage=True, **asked
    )  # fmt: skip


@lru_cache(maxsize=256)
def _anthropic(url: str, key: str, model: str, thinking: bool) -> Any:
    asked: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 2000}} if thinking else {}
    return ChatAnthropic(
        model=model, base_url=url, api_key=key, max_retries=0, timeout=30, max_tokens=8000, **asked
    )  # fmt: skip


def openai_chat(door: Door, job: Job) -> list[Turn]:
    return _converse(_openai(door.url, door.key_for(job), job.model, job.thinking, False), job, "finish_reason")


def openai_responses(door: Door, job: Job) -> list[Turn]:
    return _converse(_openai(door.url, door.key_for(job), job.model, job.thinking, True), job, "status")


def anthropic(door: Door, job: Job) -> list[Turn]:
    return _converse(_anthropic(door.url, door.key_for(job), job.model, job.thinking), job, "stop_reason")


def _converse(model: Any, job: Job, end: str) -> list[Turn]:
    content: list[Any] = [{"type": "text", "text": job.prompt}]
    if job.image:
        content.append({"type": "image", "base64": job.image, "mime_type": "image/png"})
    messages: list[Any] = [HumanMessage(content=content)]
    if job.schema is not None:
        schema = {"title": "answer", "description": "The answer", **job.schema}
        asked = model.with_structured_output(schema, method="json_schema")
        said = list(asked.stream(messages)) if job.stream else [asked.invoke(messages)]
        return [Turn(parsed=said[-1], events=len(said) if job.stream else 0)]
    if job.tools:
        model = model.bind_tools(
            [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in job.tools
            ]
        )
    message, turn = _turn(model, messages, job, end)
    if not job.results:
        return [turn]
    results = [
        ToolMessage(content=result, tool_call_id=call["id"])
        for call, result in zip(message.tool_calls, job.results, strict=True)
    ]
    return [turn, _turn(model, [*messages, message, *results], job, end)[1]]


def _turn(model: Any, messages: list[Any], job: Job, end: str) -> tuple[Any, Turn]:
    events = 0
    if job.stream:
        message: Any = None
        for chunk in model.stream(messages):
            events += 1
            message = chunk if message is None else message + chunk
    else:
        message = model.invoke(messages)
    used = message.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    given, made = used.get("input_token_details", {}), used.get("output_token_details", {})
    turn = Turn(
        text=str(message.text),
        thinking="".join(
            block.get("reasoning", "") for block in message.content_blocks if block["type"] == "reasoning"
        ),
        calls=[Call(call["name"], call["args"]) for call in message.tool_calls],
        used=Used(
            input=used["input_tokens"],
            cached=given.get("cache_read"),
            written=given.get("cache_creation"),
            output=used["output_tokens"],
            reasoning=made.get("reasoning"),
        ),
        end=message.response_metadata.get(end) or "",
        events=events,
    )  # fmt: skip
    return message, turn
