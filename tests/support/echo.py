"""What clients send next: the answer they got, as they saw it but without its thoughts, and its calls' results."""

from typing import Any

import msgspec
from omni_wire.formats import WireFormat

Json = dict[str, Any]
QUESTION = "What is the weather?"


def next_request(client: WireFormat, answers: list[bytes], **more: Any) -> bytes:
    """A whole conversation in ``client``'s dialect: a question, each of ``answers`` (bodies of that dialect), and the
    results of its calls."""
    turns = [turn for answer in answers for turn in _ECHOES[client](msgspec.json.decode(answer))]
    held, first = _HOLDERS[client]
    return msgspec.json.encode({"model": "m", held: [first, *turns]} | more)


def _chat(answer: Json) -> list[Json]:
    message = answer["choices"][0]["message"]
    message.pop("reasoning_content", None)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in message.get("tool_calls", [])
    ]
    return [message, *results]


def _messages(answer: Json) -> list[Json]:
    content = [block for block in answer["content"] if block["type"] != "thinking"]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "sunny"}
        for block in content
        if block["type"] == "tool_use"
    ]
    return [{"role": "assistant", "content": content}, {"role": "user", "content": results or "Go on."}]


def _responses(answer: Json) -> list[Json]:
    items = [item for item in answer["output"] if item["type"] != "reasoning"]
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
        for item in items
        if item["type"] == "function_call"
    ]
    return [*items, *results]


def _gemini(answer: Json) -> list[Json]:
    parts = [part for part in answer["candidates"][0]["content"]["parts"] if not part.get("thought")]
    results = [
        {"functionResponse": part["functionCall"] | {"response": {"output": "sunny"}}}
        for part in parts
        if "functionCall" in part
    ]
    for result in results:
        result["functionResponse"].pop("args", None)
    return [{"role": "model", "parts": parts}, {"role": "user", "parts": results or [{"text": "Go on."}]}]


def _ollama(answer: Json) -> list[Json]:
    message = {key: value for key, value in answer["message"].items() if key != "thinking"}
    results = [
        {"role": "tool", "tool_name": call["function"]["name"], "tool_call_id": call["id"], "content": "sunny"}
        for call in message.get("tool_calls", [])
    ]
    return [message, *results]


_ASKED = {"role": "user", "content": QUESTION}
_ECHOES = {
    WireFormat.OPENAI_CHAT: _chat,
    WireFormat.ANTHROPIC_MESSAGES: _messages,
    WireFormat.OPENAI_RESPONSES: _responses,
    WireFormat.GEMINI_GENERATE: _gemini,
    WireFormat.OLLAMA_CHAT: _ollama,
}
_HOLDERS: dict[WireFormat, tuple[str, Json]] = {
    WireFormat.OPENAI_CHAT: ("messages", _ASKED),
    WireFormat.ANTHROPIC_MESSAGES: ("messages", _ASKED),
    WireFormat.OPENAI_RESPONSES: ("input", _ASKED),
    WireFormat.OLLAMA_CHAT: ("messages", _ASKED),
    WireFormat.GEMINI_GENERATE: ("contents", {"role": "user", "parts": [{"text": QUESTION}]}),
}
