"""Cohere's Chat API, version 2 (docs.cohere.com/reference/chat)."""

from collections.abc import Sequence
from typing import Any

from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.base import around, encode, named_frame
from omni_simulator.reading import Notes, arr, compact, filled, flag, limit, obj, strings, text
from omni_simulator.values import Answer, Ask, Call, Frame, Frames, Tool

_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "filter": "ERROR_TOXIC"}


class CohereFormat:
    request_id_header = b"x-request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        notes = Notes()
        for index, item in enumerate(filled(body.get("messages"), "messages")):
            _read_message(notes, obj(item, f"messages[{index}]"), f"messages[{index}]")
        choice = body.get("tool_choice")
        if choice not in (None, "REQUIRED", "NONE"):
            raise InvalidRequest("tool_choice: expected REQUIRED or NONE", param="tool_choice")
        return notes.ask(
            model=text(body.get("model"), "model"),
            seed=seed,
            stream=flag(body.get("stream"), "stream"),
            tools=_read_tools(body),
            choice={"REQUIRED": "required", "NONE": "none"}.get(choice or "", "auto"),
            max_output=limit(body.get("max_tokens"), "max_tokens"),
            stops=strings(body.get("stop_sequences"), "stop_sequences"),
            schema=_read_schema(obj(body.get("response_format"), "response_format")),
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        content: list[dict[str, Any]] = []
        if answer.thinking:
            content.append({"type": "thinking", "thinking": "".join(answer.thinking)})
        if answer.text or not answer.calls:
            content.append({"type": "text", "text": "".join(answer.text)})
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if answer.calls:
            message["tool_calls"] = [_call(call) for call in answer.calls]
        body: dict[str, Any] = {"id": answer.seed, "message": message, "finish_reason": _finish(answer)}
        return encode(body | ({"usage": _usage(answer)} if answer.show_usage else {}))

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        opening = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        frames: list[Frame] = [(named_frame({"id": answer.seed, **_event("message-start", opening)}), 0)]
        spoken = [("thinking", answer.thinking), ("text", answer.text)]
        for index, (kind, pieces) in enumerate((kind, pieces) for kind, pieces in spoken if pieces):
            start = _event("content-start", {"content": {"type": kind, kind: ""}}, index=index)
            frames.append((named_frame(start), 0))
            before, after = around(named_frame(_event("content-delta", {"content": {kind: "@"}}, index=index)))
            frames += [(before + encode(piece) + after, 1) for piece in pieces]
            frames.append((named_frame({"type": "content-end", "index": index}), 0))
        for index, call in enumerate(answer.calls):
            whole = _call(call)
            whole["function"]["arguments"] = ""
            frames.append((named_frame(_event("tool-call-start", {"tool_calls": whole}, index=index)), 1))
            for piece in call.pieces:
                part = {"tool_calls": {"function": {"arguments": piece}}}
                frames.append((named_frame(_event("tool-call-delta", part, index=index)), 1))
            frames.append((named_frame({"type": "tool-call-end", "index": index}), 0))
        ending = len(frames)
        delta: dict[str, Any] = {"finish_reason": _finish(answer)}
        delta |= {"usage": _usage(answer)} if answer.show_usage else {}
        frames.append((named_frame({"type": "message-end", "id": answer.seed, "delta": delta}), 0))
        return Frames(frames, ending)

    def count(self, tokens: int) -> bytes:
        return encode({"input_tokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode({"id": request_id, "message": error.message})

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        return named_frame({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": error.message}})

    def model(self, name: str) -> dict[str, Any]:
        return {"name": name, "endpoints": ["chat"], "context_length": 256_000}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {"models": [self.model(name) for name in names]}


def _event(kind: str, message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields, "delta": {"message": message}}


def _finish(answer: Answer) -> str:
    return "STOP_SEQUENCE" if answer.stop_sequence is not None else _FINISH[answer.finish]


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {"billed_units": counts, "tokens": counts, "cached_tokens": usage.cached_input_tokens}


def _call(call: Call) -> dict[str, Any]:
    arguments = compact({"input": call.arguments}) if call.custom else call.arguments
    return {"id": f"call_{call.id}", "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _read_message(notes: Notes, message: dict[str, Any], where: str) -> None:
    role = text(message.get("role"), f"{where}.role")
    if role == "assistant":
        notes.model_spoke()
    elif role not in ("system", "user", "tool"):
        raise InvalidRequest(f"{where}.role: expected system, user, assistant or tool", param=f"{where}.role")
    words = _read_content(notes, message.get("content"), f"{where}.content")
    if role == "tool":
        notes.returned(text(message.get("tool_call_id"), f"{where}.tool_call_id"), "".join(words), where=where)
        return
    for said in words:
        notes.said(said, by_user=role == "user")
    if message.get("tool_plan") is not None:
        notes.said(text(message["tool_plan"], f"{where}.tool_plan"))
    for item in arr(message.get("tool_calls"), f"{where}.tool_calls"):
        call = obj(item, f"{where}.tool_calls")
        function = obj(call.get("function"), f"{where}.tool_calls.function")
        arguments = text(function.get("arguments"), f"{where}.tool_calls.function.arguments")
        notes.called(text(call.get("id"), f"{where}.tool_calls.id"), arguments)


def _read_content(notes: Notes, content: object, where: str) -> list[str]:
    if content is None or isinstance(content, str):
        return [content] if content else []
    found = []
    for item in arr(content, where):
        block = obj(item, where)
        kind = text(block.get("type"), f"{where}.type")
        if kind in ("text", "thinking"):
            found.append(text(block.get(kind), f"{where}.{kind}"))
        elif kind == "document":
            found.append(compact(obj(block.get("document"), f"{where}.document")))
        elif kind == "image_url":
            notes.linked(obj(block.get("image_url"), f"{where}.image_url").get("url"), f"{where}.image_url.url")
        else:
            notes.shown()
    return found


def _read_tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for index, item in enumerate(arr(body.get("tools"), "tools")):
        function = obj(obj(item, f"tools[{index}]").get("function"), f"tools[{index}].function")
        name = text(function.get("name"), f"tools[{index}].function.name")
        tools.append(Tool(name, obj(function.get("parameters"), f"tools[{index}].function.parameters")))
    return tuple(tools)


def _read_schema(wanted: dict[str, Any]) -> dict[str, Any] | None:
    if wanted.get("type") != "json_object":
        return None
    schema = wanted.get("json_schema")
    if schema is None:
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return obj(schema, "response_format.json_schema")
