"""Google's SDK."""

import json
from base64 import b64decode
from functools import lru_cache
from typing import Any

from google import genai
from google.genai import types

from tests.clients.door import Door
from tests.clients.jobs import Call, Job, Turn, Used


@lru_cache
def _client(url: str, key: str) -> genai.Client:
    """One a key: making it costs more than a call (a TLS context of its own)."""
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, timeout=30_000))


def generate(door: Door, job: Job) -> list[Turn]:
    parts = [types.Part(text=job.prompt)]
    if job.image:
        parts.append(types.Part.from_bytes(data=b64decode(job.image), mime_type="image/png"))
    contents: list[Any] = [types.Content(role="user", parts=parts)]
    declared = [
        types.FunctionDeclaration(
            name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
        )
        for tool in job.tools
    ]  # fmt: skip
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=declared)] if declared else None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2000) if job.thinking else None,
        response_mime_type="application/json" if job.schema is not None else None,
        response_json_schema=job.schema,
    )
    turns = []
    client = _client(door.url, door.key_for(job))
    content, turn = _turn(client, job, contents, config)
    turns.append(turn)
    if job.results:
        contents.append(content)
        calls = [part.function_call for part in content.parts if part.function_call]
        answers = [
            types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": said}))
            for call, said in zip(calls, job.results, strict=True)
        ]
        contents.append(types.Content(role="user", parts=answers))
        turns.append(_turn(client, job, contents, config)[1])
    return turns


def _turn(client: genai.Client, job: Job, contents: list[Any], config: Any) -> tuple[Any, Turn]:
    asked: dict[str, Any] = {"model": job.model, "contents": contents, "config": config}
    if job.stream:
        chunks = list(client.models.generate_content_stream(**asked))
    else:
        chunks = [client.models.generate_content(**asked)]
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or []]
    parts: list[types.Part] = [part for found in candidates for part in (found.content and found.content.parts) or []]
    text = "".join(part.text or "" for part in parts if not part.thought)
    end = candidates[-1].finish_reason if candidates else None
    turn = Turn(
        text=text,
        thinking="".join(part.text or "" for part in parts if part.thought),
        calls=[Call(part.function_call.name or "", part.function_call.args) for part in parts if part.function_call],
        used=_usage(chunks[-1].usage_metadata),
        end=end.name if end is not None else "",
        parsed=json.loads(text) if job.schema is not None and text else None,
        events=len(chunks) if job.stream else 0,
    )
    return types.Content(role="model", parts=parts), turn


def _usage(usage: Any) -> Used | None:
    if usage is None:
        return None
    return Used(
        input=usage.prompt_token_count,
        cached=usage.cached_content_token_count,
        output=usage.candidates_token_count,
        reasoning=usage.thoughts_token_count,
    )
