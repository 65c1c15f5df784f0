"""Anthropic's SDK."""

import json
from functools import lru_cache
from typing import Any

import anthropic

from tests.clients.door import Door
from tests.clients.jobs import Call, Job, Turn, Used


@lru_cache
def _client(url: str, key: str) -> anthropic.Anthropic:
    """One a key: making it costs more than a call (a TLS context of its own)."""
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=30)


def messages(door: Door, job: Job) -> list[Turn]:
    content: list[Any] = [{"type": "text", "text": job.prompt}]
    if job.image:
        source = {"type": "base64", "media_type": "image/png", "data": job.image}
        content.append({"type": "image", "source": source})
    said: list[Any] = [{"role": "user", "content": content}]
    asked: dict[str, Any] = {"model": job.model, "max_tokens": 8000}
    if job.tools:
        asked["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in job.tools
        ]
    if job.schema is not None:
        asked["output_config"] = {"format": {"type": "json_schema", "schema": job.schema}}
    if job.thinking:
        asked["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    turns = []
    client = _client(door.url, door.key_for(job))
    message, turn = _turn(client, {**asked, "messages": said}, job)
    turns.append(turn)
    if job.results:
        said.append({"role": "assistant", "content": message.content})
        calls = [block for block in message.content if block.type == "tool_use"]
        answers = [
            {"type": "tool_result", "tool_use_id": call.id, "content": result}
            for call, result in zip(calls, job.results, strict=True)
        ]
        said.append({"role": "user", "content": answers})
        turns.append(_turn(client, {**asked, "messages": said}, job)[1])
    return turns


def _turn(client: anthropic.Anthropic, asked: dict[str, Any], job: Job) -> tuple[Any, Turn]:
    events = 0
    if job.stream:
        with client.messages.stream(**asked) as stream:
            for _ in stream:
                events += 1
            done: Any = stream.get_final_message()
    else:
        done = client.messages.create(**asked)
    text = "".join(block.text for block in done.content if block.type == "text")
    used = done.usage
    turn = Turn(
        text=text,
        thinking="".join(block.thinking for block in done.content if block.type == "thinking"),
        calls=[Call(block.name, block.input) for block in done.content if block.type == "tool_use"],
        used=Used(
            used.input_tokens, used.cache_read_input_tokens, used.cache_creation_input_tokens, used.output_tokens
        ),
        end=done.stop_reason or "",
        parsed=json.loads(text) if job.schema is not None and text else None,
        events=events,
    )
    return done, turn
