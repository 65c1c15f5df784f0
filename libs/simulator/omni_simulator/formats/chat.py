"""OpenAI Chat Completions (platform.openai.com/docs/api-reference/chat)."""

from collections.abc import Sequence
from typing import Any

from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.base import around, data_frame, encode
from omni_simulator.reading import Notes, arr, filled, flag, limit, obj, strings, text
from omni_simulator.values import CREATED, Answer, Ask, Call, Frame, Frames, Tool

_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "filter": "content_filter"}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class ChatFormat:
    request_id_header = b"x-request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        notes = Notes()
        for index, item in enumerate(filled(body.get("messages"), "messages")):
            _read_message(notes, obj(item, f"messages[{index}]"), f"messages[{index}]")
        longest = limit(body.get("max_completion_tokens"), "max_completion_tokens")
        parallel = body.get("parallel_tool_calls")
        return notes.ask(
            model=text(body.get("model"), "model"),
            seed=seed,
            stream=flag(body.get("stream"), "stream"),
            tools=_read_tools(body),
            choice=_read_choice(body.get("tool_choice")),
            parallel=parallel is None or flag(parallel, "parallel_tool_calls"),
            max_output=limit(body.get("max_tokens"), "max_tokens") if longest is None else longest,
            stops=strings(body.get("stop"), "stop"),
            schema=read_schema(obj(body.get("response_format"), "response_format"), "json_schema"),
            choices=limit(body.get("n"), "n") or 1,
            include_usage=flag(obj(body.get("stream_options"), "stream_options").get("include_usage"), "include_usage"),
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.text) or None, "refusal": None}
        if not answer.calls and message["content"] is None:
            message["content"] = ""
        if answer.thinking:
            message["reasoning_content"] = "".join(answer.thinking)
        if answer.calls:
            message["tool_calls"] = [_call(call) for call in answer.calls]
        if answer.cited:
            message["annotations"] = _annotations(answer)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[answer.finish]}
        choices = [{**choice, "index": at} for at in range(ask.choices)]
        payload = {**_envelope(ask, answer, "chat.completion"), "choices": choices}
        if answer.show_usage:
            payload["usage"] = _usage(answer)
        return encode(payload)

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        envelope = _envelope(ask, answer, "chat.completion.chunk")
        usage_field = {"usage": None} if ask.include_usage and answer.show_usage else {}

        def frame(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return data_frame({**envelope, "choices": [choice], **usage_field})

        frames: list[Frame] = [(frame({"role": "assistant", "content": "", "refusal": None}), 0)]
        for key, pieces in (("reasoning_content", answer.thinking), ("content", answer.text)):
            before, after = around(frame({key: "@"}), b'"@"},')
            frames += [(before + encode(piece) + b"}," + after, 1) for piece in pieces]
        for index, call in enumerate(answer.calls):
            whole = _call(call)
            whole[whole["type"]]["input" if call.custom else "arguments"] = ""
            frames.append((frame({"tool_calls": [{"index": index, **whole}]}), 1))
            for piece in call.pieces:
                part = {"input": piece} if call.custom else {"arguments": piece}
                frames.append((frame({"tool_calls": [{"index": index, whole["type"]: part}]}), 1))
        if answer.cited:
            frames.append((frame({"annotations": _annotations(answer)}), 0))
        ending = len(frames) * ask.choices
        frames.append((frame({}, _FINISH[answer.finish]), 0))
        if ask.choices > 1:
            frames = [(_numbered(data, at), weight) for data, weight in frames for at in range(ask.choices)]
        if usage_field:
            frames.append((data_frame({**envelope, "choices": [], "usage": _usage(answer)}), 0))
        frames.append((b"data: [DONE]\n\n", 0))
        return Frames(frames, ending)

    def count(self, tokens: int) -> bytes:
        return encode({"input_tokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode({"error": error_object(error)})

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        return data_frame({"error": error_object(error)})

    def model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {"object": "list", "data": [self.model(name) for name in names]}


def error_object(error: GatewayError) -> dict[str, Any]:
    """OpenAI's error object, as both of its formats carry it."""
    kind = _TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    code = error.code if error.code not in ("bad_request", "upstream_rejected") else _CODES.get(error.status)
    return {"message": error.message, "type": kind, "param": error.param, "code": code}


def read_schema(wanted: dict[str, Any], holder: str | None) -> dict[str, Any] | None:
    """The schema of a structured-output request; ``holder`` is the key that holds it in Chat."""
    kind = wanted.get("type")
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if kind != "json_schema":
        return None
    outer = wanted if holder is None else obj(wanted.get(holder), f"response_format.{holder}")
    return obj(outer.get("schema"), "json_schema.schema")


def _envelope(ask: Ask, answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.seed}",
        "object": kind,
        "created": CREATED,
        "model": ask.model,
        "system_fingerprint": "fp_simulator",
    }


def _numbered(frame: bytes, choice: int) -> bytes:
    return frame.replace(b'"choices":[{"index":0', b'"choices":[{"index":%d' % choice, 1)


def _annotations(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": at.start, "end_index": at.end, "url": at.url, "title": at.title},
        }
        for at in answer.cited
    ]


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _call(call: Call) -> dict[str, Any]:
    if call.custom:
        return {"id": f"call_{call.id}", "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{call.id}", "type": "function", "function": function}


def _read_message(notes: Notes, message: dict[str, Any], where: str) -> None:
    role = text(message.get("role"), f"{where}.role")
    if role == "assistant":
        notes.model_spoke()
    if role in ("tool", "function"):
        words = "".join(_read_content(notes, message.get("content"), where))
        notes.returned(None if role == "function" else text(message.get("tool_call_id"), where), words, where=where)
        return
    for words in _read_content(notes, message.get("content"), where):
        notes.said(words, by_user=role == "user")
    for item in arr(message.get("tool_calls"), f"{where}.tool_calls"):
        call = obj(item, f"{where}.tool_calls")
        custom = call.get("type") == "custom"
        inner = obj(call.get("custom" if custom else "function"), f"{where}.tool_calls.function")
        arguments = text(inner.get("input" if custom else "arguments"), f"{where}.tool_calls.function.arguments")
        notes.called(text(call.get("id"), f"{where}.tool_calls.id"), arguments)


def _read_content(notes: Notes, content: object, where: str) -> list[str]:
    if content is None or isinstance(content, str):
        return [content] if content else []
    found = []
    for item in arr(content, f"{where}.content"):
        part = obj(item, f"{where}.content")
        kind = text(part.get("type"), f"{where}.content.type")
        if kind in ("text", "refusal"):
            found.append(text(part.get(kind), f"{where}.content.{kind}"))
        elif kind == "image_url":
            at = f"{where}.content.image_url"
            notes.linked(obj(part.get("image_url"), at).get("url"), at)
        elif kind == "input_audio":
            audio = obj(part.get("input_audio"), f"{where}.content.input_audio")
            notes.shown(f"audio/{audio.get('format')}", audio.get("data"), f"{where}.content.input_audio")
        else:
            given = part.get("file")
            notes.linked(given.get("file_data") if isinstance(given, dict) else None, f"{where}.content.file")
    return found


def _read_tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for index, item in enumerate(arr(body.get("tools"), "tools")):
        where = f"tools[{index}]"
        tool = obj(item, where)
        kind = tool.get("type")
        if kind not in ("function", "custom"):
            raise InvalidRequest(f"{where}.type: expected function or custom", param=f"{where}.type")
        inner = obj(tool.get(kind), f"{where}.{kind}")
        name = text(inner.get("name"), f"{where}.{kind}.name")
        tools.append(Tool(name, obj(inner.get("parameters"), f"{where}.parameters"), kind == "custom"))
    return tuple(tools)


def _read_choice(choice: object) -> str:
    if choice is None or choice == "auto":
        return "auto"
    if isinstance(choice, str) and choice in ("none", "required"):
        return choice
    named = obj(choice, "tool_choice")
    inner = obj(named.get("function") or named.get("custom"), "tool_choice.function")
    return f"={text(inner.get('name'), 'tool_choice.function.name')}"
