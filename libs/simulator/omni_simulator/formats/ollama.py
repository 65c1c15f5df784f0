"""Ollama's chat (docs.ollama.com/api/chat): JSON, or a stream, one object a line. It streams unless told not to."""

from collections.abc import Sequence
from typing import Any

import msgspec
from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.base import around, encode
from omni_simulator.reading import Notes, arr, compact, filled, flag, obj, strings, text
from omni_simulator.values import Answer, Ask, Call, Frame, Frames, Tool

_FINISH = {"stop": "stop", "length": "length", "tool_calls": "stop", "filter": "content_filter"}
_ROLES = ("system", "user", "assistant", "tool")
_TIME = "2026-01-01T00:00:00Z"  # that of every answer: answers derive from the request alone


class OllamaFormat:
    request_id_header = b"x-request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        notes = Notes()
        for index, item in enumerate(filled(body.get("messages"), "messages")):
            _read_message(notes, obj(item, f"messages[{index}]"), f"messages[{index}]")
        stream, options = body.get("stream"), obj(body.get("options"), "options")
        most = options.get("num_predict")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool)):
            raise InvalidRequest("option 'num_predict' must be of type integer", param="options.num_predict")
        return notes.ask(
            model=text(body.get("model"), "model"),
            seed=seed,
            stream=stream is None or flag(stream, "stream"),
            tools=_read_tools(body),
            choice="auto",
            max_output=most if most is not None and most > 0 else None,
            stops=strings(options.get("stop"), "options.stop"),
            schema=_read_format(body.get("format")),
            framing="lines",
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.text)}
        if answer.thinking:
            message["thinking"] = "".join(answer.thinking)
        if answer.calls:
            message["tool_calls"] = [_call(call, index) for index, call in enumerate(answer.calls)]
        return encode(_ended(ask, answer, message))

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        frames: list[Frame] = []
        for key, pieces in (("thinking", answer.thinking), ("content", answer.text)):
            before, after = around(_line(ask, {"role": "assistant", "content": "", key: "@"}))
            frames += [(before + encode(piece) + after, 1) for piece in pieces]
        for index, call in enumerate(answer.calls):
            message = {"role": "assistant", "content": "", "tool_calls": [_call(call, index)]}
            frames.append((_line(ask, message), call.tokens))
        ending = len(frames)
        frames.append((encode(_ended(ask, answer, {"role": "assistant", "content": ""})) + b"\n", 0))
        return Frames(frames, ending)

    def count(self, tokens: int) -> bytes:
        return encode({"input_tokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode({"error": error.message})

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        return encode({"error": error.message}) + b"\n"

    def model(self, name: str) -> dict[str, Any]:
        details = {"format": "gguf", "family": "simulator", "parameter_size": "0B", "quantization_level": "Q0"}
        return {"name": name, "model": name, "modified_at": _TIME, "size": 0, "digest": "", "details": details}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {"models": [self.model(name) for name in names]}


def _line(ask: Ask, message: dict[str, Any]) -> bytes:
    return encode({"model": ask.model, "created_at": _TIME, "message": message, "done": False}) + b"\n"


def _ended(ask: Ask, answer: Answer, message: dict[str, Any]) -> dict[str, Any]:
    line = {"model": ask.model, "created_at": _TIME, "message": message, "done": True}
    line |= {"done_reason": _FINISH[answer.finish], "total_duration": 1_000_000, "load_duration": 1000}
    if answer.show_usage:
        line |= {"prompt_eval_count": answer.usage.input_tokens, "eval_count": answer.usage.output_tokens}
    return line


def _call(call: Call, index: int) -> dict[str, Any]:
    arguments = {"input": call.arguments} if call.custom else msgspec.Raw(call.arguments.encode())
    return {"id": f"call_{call.id}", "function": {"index": index, "name": call.name, "arguments": arguments}}


def _read_message(notes: Notes, message: dict[str, Any], where: str) -> None:
    role = text(message.get("role"), f"{where}.role")
    if role not in _ROLES:
        raise InvalidRequest(f"{where}.role: expected one of {', '.join(_ROLES)}", param=f"{where}.role")
    if role == "assistant":
        notes.model_spoke()
    words = text(message.get("content") or "", f"{where}.content")
    for image in arr(message.get("images"), f"{where}.images"):
        notes.shown("", text(image, f"{where}.images"), f"{where}.images")
    if role == "tool":
        notes.returned(None, words, where=where)
        return
    if words:
        notes.said(words, by_user=role == "user")
    for item in arr(message.get("tool_calls"), f"{where}.tool_calls"):
        function = obj(obj(item, f"{where}.tool_calls").get("function"), f"{where}.tool_calls.function")
        text(function.get("name"), f"{where}.tool_calls.function.name")
        notes.called("", compact(obj(function.get("arguments"), f"{where}.tool_calls.function.arguments")))


def _read_tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for index, item in enumerate(arr(body.get("tools"), "tools")):
        function = obj(obj(item, f"tools[{index}]").get("function"), f"tools[{index}].function")
        name = text(function.get("name"), f"tools[{index}].function.name")
        tools.append(Tool(name, obj(function.get("parameters"), f"tools[{index}].function.parameters")))
    return tuple(tools)


def _read_format(wanted: object) -> dict[str, Any] | None:
    if wanted is None or wanted == "":
        return None
    if wanted == "json":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return obj(wanted, "format")
