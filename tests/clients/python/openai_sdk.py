"""OpenAI's SDK, over Chat Completions and over Responses."""

import json
from functools import lru_cache
from typing import Any

import openai

from tests.clients.door import Door
from tests.clients.jobs import Call, Job, Turn, Used


@lru_cache
def _client(url: str, key: str) -> openai.OpenAI:
    """One a key: making it costs more than a call (a TLS context of its own)."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)


def chat(door: Door, job: Job) -> list[Turn]:
    content: Any = job.prompt
    if job.image:
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{job.image}"}}
        content = [{"type": "text", "text": job.prompt}, picture]
    messages: list[Any] = [{"role": "user", "content": content}]
    asked: dict[str, Any] = {"model": job.model}
    if job.tools:
        asked["tools"] = [{"type": "function", "function": _function(tool)} for tool in job.tools]
    if job.schema is not None:
        named = {"name": "answer", "schema": job.schema, "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": named}
    if job.thinking:
        asked["reasoning_effort"] = "low"
    turns = []
    client = _client(door.url, door.key_for(job))
    message, turn = _chat_turn(client, {**asked, "messages": messages}, job)
    turns.append(turn)
    if job.results:
        messages.append(message.model_dump(exclude_none=True))
        for call, result in zip(message.tool_calls or [], job.results, strict=True):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        turns.append(_chat_turn(client, {**asked, "messages": messages}, job)[1])
    return turns


def _function(tool: Any) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


def _chat_turn(client: openai.OpenAI, asked: dict[str, Any], job: Job) -> tuple[Any, Turn]:
    events, thought = 0, ""
    if job.stream:
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            for event in stream:
                events += 1
                if event.type == "chunk" and event.chunk.choices:
                    thought += getattr(event.chunk.choices[0].delta, "reasoning_content", None) or ""
            done: Any = stream.get_final_completion()
    else:
        done = client.chat.completions.create(**asked)
    choice = done.choices[0]
    message = choice.message
    thought = thought or getattr(message, "reasoning_content", None) or ""
    turn = Turn(
        text=message.content or "",
        thinking=thought,
        calls=[Call(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []],
        used=_chat_usage(done.usage),
        end=choice.finish_reason,
        parsed=json.loads(message.content) if job.schema is not None and message.content else None,
        events=events,
    )
    return message, turn


def _chat_usage(usage: Any) -> Used | None:
    if usage is None:
        return None
    given, made = usage.prompt_tokens_details, usage.completion_tokens_details
    return Used(
        input=usage.prompt_tokens,
        cached=given.cached_tokens if given else None,
        output=usage.completion_tokens,
        reasoning=made.reasoning_tokens if made else None,
    )


def responses(door: Door, job: Job) -> list[Turn]:
    content: list[Any] = [{"type": "input_text", "text": job.prompt}]
    if job.image:
        picture = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{job.image}"}
        content.append(picture)
    items: list[Any] = [{"role": "user", "content": content}]
    asked: dict[str, Any] = {"model": job.model, "store": False}
    if job.tools:
        asked["tools"] = [{"type": "function", "strict": False, **_function(tool)} for tool in job.tools]
    if job.schema is not None:
        asked["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": job.schema, "strict": True}}
    if job.thinking:
        asked["reasoning"] = {"effort": "low", "summary": "auto"}
        asked["include"] = ["reasoning.encrypted_content"]
    turns = []
    client = _client(door.url, door.key_for(job))
    done, turn = _responses_turn(client, {**asked, "input": items}, job)
    turns.append(turn)
    if job.results:
        items += done.output
        calls = [item for item in done.output if item.type == "function_call"]
        for call, result in zip(calls, job.results, strict=True):
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
        turns.append(_responses_turn(client, {**asked, "input": items}, job)[1])
    return turns


def _responses_turn(client: openai.OpenAI, asked: dict[str, Any], job: Job) -> tuple[Any, Turn]:
    events = 0
    if job.stream:
        with client.responses.stream(**asked) as stream:
            for _ in stream:
                events += 1
            done: Any = stream.get_final_response()
    else:
        done = client.responses.create(**asked)
    thoughts = [part.text for item in done.output if item.type == "reasoning" for part in item.summary]
    turn = Turn(
        text=done.output_text,
        thinking="".join(thoughts),
        calls=[Call(item.name, json.loads(item.arguments)) for item in done.output if item.type == "function_call"],
        used=_responses_usage(done.usage),
        end=done.status,
        parsed=json.loads(done.output_text) if job.schema is not None and done.output_text else None,
        events=events,
    )
    return done, turn


def _responses_usage(usage: Any) -> Used | None:
    if usage is None:
        return None
    return Used(
        input=usage.input_tokens,
        cached=usage.input_tokens_details.cached_tokens,
        output=usage.output_tokens,
        reasoning=usage.output_tokens_details.reasoning_tokens,
    )
