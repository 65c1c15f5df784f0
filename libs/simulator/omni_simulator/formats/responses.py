"""OpenAI Responses: rendering (platform.openai.com/docs/api-reference/responses, …/responses-streaming)."""

from collections.abc import Sequence
from typing import Any

from omni_wire.errors import GatewayError

from omni_simulator.formats.base import encode, named_frame
from omni_simulator.formats.chat import ChatFormat, error_object
from omni_simulator.formats.responses_input import read
from omni_simulator.values import CREATED, Answer, Ask, Call, Frame, Frames

_CHAT = ChatFormat()


class ResponsesFormat:
    request_id_header = b"x-request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        return read(body, seed)

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        return encode(_response(ask, answer, _items(ask, answer), _status(answer)))

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        stream = _Stream()
        opening = _response(ask, answer, [], "in_progress")
        stream.emit({"type": "response.created", "response": opening})
        stream.emit({"type": "response.in_progress", "response": opening})
        items = _items(ask, answer)
        calls = iter(answer.calls)
        for index, item in enumerate(items):
            if item["type"] == "reasoning":
                _stream_reasoning(stream, index, item, answer.thinking)
            elif item["type"] == "message":
                _stream_message(stream, index, item, answer.text)
            else:
                _stream_call(stream, index, item, next(calls))
        ending = len(stream.frames)
        status = _status(answer)
        stream.emit({"type": f"response.{status}", "response": _response(ask, answer, items, status)})
        return Frames(stream.frames, ending)

    def count(self, tokens: int) -> bytes:
        return encode({"object": "response.input_tokens", "input_tokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode({"error": error_object(error)})

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        said = error_object(error)
        code = said["code"] or said["type"]
        return named_frame({"type": "error", "code": code, "message": error.message, "param": None})

    def model(self, name: str) -> dict[str, Any]:
        return _CHAT.model(name)

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return _CHAT.models(names)


class _Stream:
    """Numbers the events, as every one of them must be."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def emit(self, payload: dict[str, Any], tokens: int = 0) -> None:
        self.frames.append((named_frame({**payload, "sequence_number": len(self.frames)}), tokens))


def _stream_reasoning(stream: _Stream, index: int, item: dict[str, Any], pieces: tuple[str, ...]) -> None:
    place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    part = item["summary"][0]
    stream.emit(_item("added", index, {**item, "summary": [], "status": "in_progress"}))
    stream.emit({"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}})
    for piece in pieces:
        stream.emit({"type": "response.reasoning_summary_text.delta", **place, "delta": piece}, 1)
    stream.emit({"type": "response.reasoning_summary_text.done", **place, "text": part["text"]})
    stream.emit({"type": "response.reasoning_summary_part.done", **place, "part": part})
    stream.emit(_item("done", index, item))


def _stream_message(stream: _Stream, index: int, item: dict[str, Any], pieces: tuple[str, ...]) -> None:
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    stream.emit(_item("added", index, {**item, "content": [], "status": "in_progress"}))
    stream.emit({"type": "response.content_part.added", **place, "part": {**part, "text": "", "annotations": []}})
    for piece in pieces:
        stream.emit({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}, 1)
    for at, note in enumerate(part["annotations"]):
        stream.emit(
            {"type": "response.output_text.annotation.added", **place, "annotation_index": at, "annotation": note}
        )
    stream.emit({"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []})
    stream.emit({"type": "response.content_part.done", **place, "part": part})
    stream.emit(_item("done", index, item))


def _stream_call(stream: _Stream, index: int, item: dict[str, Any], call: Call) -> None:
    place = {"item_id": item["id"], "output_index": index}
    kind, key = ("custom_tool_call_input", "input") if call.custom else ("function_call_arguments", "arguments")
    stream.emit(_item("added", index, {**item, key: "", "status": "in_progress"}), 1)
    for piece in call.pieces:
        stream.emit({"type": f"response.{kind}.delta", **place, "delta": piece}, 1)
    stream.emit({"type": f"response.{kind}.done", **place, key: call.arguments})
    stream.emit(_item("done", index, item))


def _item(moment: str, index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{moment}", "output_index": index, "item": item}


def _items(ask: Ask, answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.thinking:
        summary = [{"type": "summary_text", "text": "".join(answer.thinking)}]
        reasoning: dict[str, Any] = {"type": "reasoning", "id": f"rs_{answer.seed}", "summary": summary}
        if ask.encrypted_reasoning:
            reasoning["encrypted_content"] = answer.signature
        items.append(reasoning)
    if answer.text or not answer.calls:
        notes = [
            {"type": "url_citation", "start_index": at.start, "end_index": at.end, "url": at.url, "title": at.title}
            for at in answer.cited
        ]
        part = {"type": "output_text", "text": "".join(answer.text), "annotations": notes, "logprobs": []}
        done = "completed" if answer.finish in ("stop", "tool_calls") else "incomplete"
        message = {"type": "message", "id": f"msg_{answer.seed}", "status": done, "role": "assistant"}
        items.append({**message, "content": [part]})
    items += [_call(call) for call in answer.calls]
    return items


def _call(call: Call) -> dict[str, Any]:
    common = {"call_id": f"call_{call.id}", "name": call.name, "status": "completed"}
    if call.namespace:
        common["namespace"] = call.namespace
    if call.custom:
        return {"type": "custom_tool_call", "id": f"ctc_{call.id}", **common, "input": call.arguments}
    return {"type": "function_call", "id": f"fc_{call.id}", **common, "arguments": call.arguments}


def _status(answer: Answer) -> str:
    return "incomplete" if answer.finish in ("length", "filter") else "completed"


def _response(ask: Ask, answer: Answer, items: list[dict[str, Any]], status: str) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "filter": "content_filter"}.get(answer.finish)
    response: dict[str, Any] = {
        "id": f"resp_{answer.seed}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": ask.max_output,
        "model": ask.model,
        "output": items,
        "parallel_tool_calls": ask.parallel,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
    }
    if answer.show_usage and status != "in_progress":
        usage = answer.usage
        response["usage"] = {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_input_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
    return response
