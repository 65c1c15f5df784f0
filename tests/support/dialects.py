"""What a router sends in each dialect, as small as its official SDK takes it, for scripts of ``tests.support.edge``."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from omni_core.ports.router import CompleteCall, Frame, Head
from omni_wire.formats import WireFormat

WHOLE = Head(200, False, "application/json", "acme", "m")
STREAM = Head(200, True, "text/event-stream", "acme", "m")
ARRAY = Head(200, True, "application/json", "acme", "m")
LINES = Head(200, True, "application/x-ndjson", "acme", "m")

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
ANTHROPIC, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
OLLAMA = WireFormat.OLLAMA_CHAT
WORDS = ("one ", "two ", "three")


def _response(text: str, status: str = "completed") -> dict[str, Any]:
    item = {
        "type": "message", "id": "i1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }  # fmt: skip
    return {
        "id": "r1", "object": "response", "created_at": 1, "model": "m", "status": status,
        "output": [item] if text else [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": 1, "output_tokens": 1, "total_tokens": 2,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        },
    }  # fmt: skip


def _message(text: str) -> dict[str, Any]:
    return {
        "id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None,
        "content": [{"type": "text", "text": text}] if text else [], "stop_reason": "end_turn" if text else None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip


def _generated(text: str, end: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if end:
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "g1"}


def _line(text: str, end: bool = False) -> dict[str, Any]:
    line = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": text}}
    return line | ({"done": True, "done_reason": "stop"} if end else {"done": False})


def _event(body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (body["type"].encode(), json.dumps(body).encode())


def whole(dialect: WireFormat, text: str = "hello") -> bytes:
    if dialect is GEMINI:
        return json.dumps(_generated(text, end=True)).encode()
    if dialect is OLLAMA:
        return json.dumps(_line(text, end=True)).encode()
    return json.dumps(_response(text) if dialect is RESPONSES else _message(text)).encode()


def frames(dialect: WireFormat, *, array: bool = False) -> list[bytes]:
    """``WORDS``, one a frame, between what the dialect puts before and after."""
    if dialect is GEMINI:
        parts = [json.dumps(_generated(word, end=word is WORDS[-1])).encode() for word in WORDS]
        if array:
            return [b"[" + parts[0], *(b",\n" + part for part in parts[1:]), b"]\n"]
        return [b"data: %b\r\n\r\n" % part for part in parts]
    if dialect is RESPONSES:
        return _response_events()
    if dialect is OLLAMA:
        return [json.dumps(_line(word, end=word is WORDS[-1])).encode() + b"\n" for word in WORDS]
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": _message("")}, start]
    events += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS
    ]
    events += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return [_event(event) for event in events]


def _response_events() -> list[bytes]:
    done = _response("".join(WORDS))
    item: dict[str, Any] = done["output"][0]
    part = {"type": "output_text", "text": "", "annotations": []}
    at = {"item_id": "i1", "output_index": 0, "content_index": 0}
    opened = item | {"content": [], "status": "in_progress"}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response("", "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
        {"type": "response.content_part.added", **at, "part": part},
        *({"type": "response.output_text.delta", **at, "delta": word, "logprobs": []} for word in WORDS),
        {"type": "response.output_text.done", **at, "text": "".join(WORDS), "logprobs": []},
        {"type": "response.content_part.done", **at, "part": item["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    return [_event(event | {"sequence_number": number}) for number, event in enumerate(events)]


async def in_its_dialect(call: CompleteCall) -> AsyncGenerator[Frame, None]:
    """A script that answers every surface but chat as it asks."""
    if not (call.stream or json.loads(call.body).get("stream")):
        yield WHOLE
        yield whole(call.client_format)
        return
    array = call.framing == "array"
    yield ARRAY if array else LINES if call.client_format is OLLAMA else STREAM
    for frame in frames(call.client_format, array=array):
        yield frame
