"""A question in each client dialect, and the strict reading of what comes back: by the vendors' own rules, with nothing
of the gateway's codecs."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

CHAT, RESPONSES, MESSAGES, GEMINI, OLLAMA = "chat", "responses", "messages", "gemini", "ollama"
DIALECTS = (CHAT, RESPONSES, MESSAGES, GEMINI, OLLAMA)
FORMATS = {
    CHAT: "openai.chat",
    RESPONSES: "openai.responses",
    MESSAGES: "anthropic.messages",
    GEMINI: "gemini.generate",
    OLLAMA: "ollama.chat",
}
TOOL = "note_down"
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["ultramarine"]}, "shade": {"enum": ["vermilion"]}},
    "required": ["colour", "shade"],
}
ARGUMENTS = {"colour": "ultramarine", "shade": "vermilion"}
LIMIT = 400


class Heard(msgspec.Struct):
    """What a client makes of an answer. ``calls`` are those that it may carry out: told as whole; ``begun`` those that
    it has heard of. ``ends`` is every word of how the answer ended, ``last`` whether what ends a stream came."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = []
    begun: int = 0
    ends: list[str] = []
    last: bool = False
    error: dict[str, Any] | None = None


class Wrong(AssertionError):
    """The bytes are not what the dialect prescribes."""


def path(dialect: str, model: str, stream: bool) -> str:
    if dialect == GEMINI:
        return f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")
    return {CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses", MESSAGES: "/v1/messages"}.get(
        dialect, "/api/chat"
    )


def body(dialect: str, model: str, stream: bool, tools: bool) -> dict[str, Any]:
    asked = "Tell me"
    if dialect == GEMINI:
        made: dict[str, Any] = {
            "contents": [{"role": "user", "parts": [{"text": asked}]}],
            "generationConfig": {"maxOutputTokens": LIMIT},
        }
        declared = {"name": TOOL, "parametersJsonSchema": SCHEMA}
        return made | ({"tools": [{"functionDeclarations": [declared]}]} if tools else {})
    function = {"name": TOOL, "parameters": SCHEMA}
    made = {"model": model, "stream": stream}
    if dialect == RESPONSES:
        made |= {"input": asked, "max_output_tokens": LIMIT}
        return made | ({"tools": [{"type": "function", **function}]} if tools else {})
    made["messages"] = [{"role": "user", "content": asked}]
    if dialect == MESSAGES:
        made["max_tokens"] = LIMIT
        return made | ({"tools": [{"name": TOOL, "input_schema": SCHEMA}]} if tools else {})
    made |= {"options": {"num_predict": LIMIT}} if dialect == OLLAMA else {"max_completion_tokens": LIMIT}
    return made | ({"tools": [{"type": "function", "function": function}]} if tools else {})


def read(dialect: str, data: bytes, stream: bool) -> Heard:
    """Raises ``Wrong``."""
    try:
        heard = _STREAMS[dialect](data) if stream else _WHOLES[dialect](_object(data))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise Wrong(f"not {dialect}: {type(error).__name__} {error} in {data[-300:]!r}") from error
    if heard.error is not None and heard.ends:
        raise Wrong(f"an end was told, {heard.ends}, and an error")
    return heard


def read_error(dialect: str, data: bytes, status: int) -> None:
    """Raises ``Wrong`` unless it is the error body of the dialect for that status."""
    try:
        _is_error(dialect, _object(data), status)
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(f"no error of {dialect}: {data[:300]!r}") from error


def _object(data: bytes) -> dict[str, Any]:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise Wrong(f"no object: {data[:200]!r}")
    return found


def _is_error(dialect: str, told: dict[str, Any], status: int | None) -> None:
    """``status`` None where the dialect need not tell one."""
    inner = told["error"]
    if dialect == OLLAMA:
        good = isinstance(inner, str) and inner != ""
    elif dialect == GEMINI:
        good = (
            isinstance(inner["message"], str)
            and inner["status"].isupper()
            and inner["code"] == (status or inner["code"])
        )
        good = good and 400 <= inner["code"] < 600
    elif dialect == MESSAGES:
        good = told["type"] == "error" and inner["type"].endswith("_error") and inner["message"] != ""
        good = good or inner["type"] in ("request_too_large",)
    else:
        good = isinstance(inner["message"], str) and isinstance(inner["type"], str) and {"code", "param"} <= set(inner)
    if not good:
        raise Wrong(f"no error of {dialect}: {told}")


# ---- bodies ----


def _chat(told: dict[str, Any]) -> Heard:
    heard = Heard()
    (choice,) = told["choices"]
    message = choice["message"]
    heard.text, heard.thinking = message.get("content") or "", message.get("reasoning_content") or ""
    for call in message.get("tool_calls") or ():
        _called(heard, call["function"]["name"], json.loads(call["function"]["arguments"]))
    heard.ends, heard.last = [choice["finish_reason"]], True
    return heard


def _responses(told: dict[str, Any]) -> Heard:
    heard = Heard()
    for item in told["output"]:
        if item["type"] == "reasoning":
            heard.thinking += "".join(part["text"] for part in item["summary"] or item.get("content") or ())
        elif item["type"] == "message":
            heard.text += "".join(part["text"] for part in item["content"])
        else:
            _called(heard, item["name"], json.loads(item["arguments"]))
    heard.ends, heard.last = [told["status"]], True
    return heard


def _messages(told: dict[str, Any]) -> Heard:
    heard = Heard()
    for block in told["content"]:
        if block["type"] == "thinking":
            heard.thinking += block["thinking"]
        elif block["type"] == "text":
            heard.text += block["text"]
        else:
            _called(heard, block["name"], block["input"])
    heard.ends, heard.last = [told["stop_reason"]], True
    return heard


def _gemini(told: dict[str, Any]) -> Heard:
    heard = Heard()
    _candidate(heard, told)
    heard.last = True
    return heard


def _ollama(told: dict[str, Any]) -> Heard:
    heard = Heard()
    _line(heard, told)
    return heard


def _called(heard: Heard, name: str, arguments: Any) -> None:
    heard.begun += 1
    heard.calls.append((name, arguments))


def _candidate(heard: Heard, told: dict[str, Any]) -> None:
    for candidate in told["candidates"]:
        for part in candidate.get("content", {}).get("parts", ()):
            if "functionCall" in part:
                _called(heard, part["functionCall"]["name"], part["functionCall"]["args"])
            elif part.get("thought"):
                heard.thinking += part["text"]
            else:
                heard.text += part.get("text", "")
        if "finishReason" in candidate:
            heard.ends.append(candidate["finishReason"])
            heard.last = True


def _line(heard: Heard, told: dict[str, Any]) -> None:
    message = told["message"]
    heard.text += message.get("content") or ""
    heard.thinking += message.get("thinking") or ""
    for call in message.get("tool_calls") or ():
        _called(heard, call["function"]["name"], call["function"]["arguments"])
    if told["done"]:
        heard.ends.append(told["done_reason"])
        heard.last = True


# ---- streams ----


def _events(data: bytes) -> Iterator[tuple[str, str]]:
    """Name and data of each event, read as the standard for server-sent events has it; what is not ended is none."""
    if data and not data.endswith((b"\n\n", b"\r\n\r\n")):
        raise Wrong(f"it ends inside an event: {data[-100:]!r}")
    for block in data.decode().replace("\r\n", "\n").split("\n\n"):
        name, lines = "", []
        for line in block.split("\n"):
            field, _, value = line.partition(":")
            if field == "event":
                name = value.removeprefix(" ")
            elif field == "data":
                lines.append(value.removeprefix(" "))
        if lines:
            yield name, "\n".join(lines)


def _chat_stream(data: bytes) -> Heard:
    heard = Heard()
    calls: dict[int, list[str]] = {}
    for _, said in _events(data):
        if heard.error is not None or heard.last:
            raise Wrong(f"something comes after the end: {said[:200]}")
        if said == "[DONE]":
            heard.last = True
            continue
        told = json.loads(said)
        if "error" in told:
            _is_error(CHAT, told, None)
            heard.error = told
            continue
        for choice in told["choices"]:
            delta = choice["delta"]
            heard.text += delta.get("content") or ""
            heard.thinking += delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls") or ():
                known = calls.setdefault(call["index"], ["", ""])
                known[0] += call.get("function", {}).get("name") or ""
                known[1] += call.get("function", {}).get("arguments") or ""
            if choice.get("finish_reason"):
                heard.ends.append(choice["finish_reason"])
    heard.begun = len(calls)
    if heard.ends:
        heard.calls = [(name, json.loads(arguments)) for name, arguments in calls.values()]
    return heard


def _responses_stream(data: bytes) -> Heard:
    heard, number, done = Heard(), -1, set()
    items: dict[int, str] = {}
    for name, said in _events(data):
        told = json.loads(said)
        kind = told["type"]
        if heard.last or name != kind or told["sequence_number"] <= number:
            raise Wrong(f"{name} {kind} {told['sequence_number']} after {number}, ended: {heard.last}")
        number = told["sequence_number"]
        if heard.error is not None and kind != "response.failed":
            raise Wrong(f"{kind} after an error")
        if kind == "error":
            _is_error(RESPONSES, told, None)
            heard.error = told
        elif kind == "response.failed":
            if heard.error is None or told["response"]["status"] != "failed":
                raise Wrong(f"it failed without an error: {told}")
            heard.last = True
        elif kind == "response.output_text.delta":
            heard.text += told["delta"]
        elif kind.startswith("response.reasoning") and kind.endswith("text.delta"):
            heard.thinking += told["delta"]
        elif kind == "response.output_item.added":
            items[told["output_index"]] = told["item"]["type"]
            heard.begun += told["item"]["type"] == "function_call"
        elif kind == "response.output_item.done":
            item = told["item"]
            if items.get(told["output_index"]) != item["type"] or told["output_index"] in done:
                raise Wrong(f"an item ends that did not begin, or again: {item}")
            done.add(told["output_index"])
            if item["type"] == "function_call":
                heard.calls.append((item["name"], json.loads(item["arguments"])))
        elif kind in ("response.completed", "response.incomplete"):
            heard.ends, heard.last = [told["response"]["status"]], True
            whole = _responses(told["response"])
            if (whole.text, whole.calls) != (heard.text, heard.calls):
                raise Wrong(f"the deltas say {heard.text!r}, the whole {whole.text!r}")
    if heard.error is not None and not heard.last:
        raise Wrong("an error without response.failed")
    return heard


def _messages_stream(data: bytes) -> Heard:
    heard = Heard()
    blocks: dict[int, list[Any]] = {}
    began = False
    for name, said in _events(data):
        told = json.loads(said)
        kind = told["type"]
        if heard.last or heard.error is not None or name != kind:
            raise Wrong(f"{name} {kind} after the end: {heard.last}")
        if kind == "error":
            _is_error(MESSAGES, told, None)
            heard.error = told
        elif kind == "message_start":
            if began:
                raise Wrong("it begins twice")
            began = True
        elif kind == "content_block_start":
            if told["index"] in blocks:
                raise Wrong(f"block {told['index']} begins twice")
            blocks[told["index"]] = [told["content_block"], "", False]
            heard.begun += told["content_block"]["type"] == "tool_use"
        elif kind == "content_block_delta":
            block, delta = blocks[told["index"]], told["delta"]
            if block[2]:
                raise Wrong(f"a delta of a block that is over: {told}")
            heard.text += delta.get("text", "")
            heard.thinking += delta.get("thinking", "")
            block[1] += delta.get("partial_json", "")
        elif kind == "content_block_stop":
            block = blocks[told["index"]]
            block[2] = True
            if block[0]["type"] == "tool_use":
                heard.calls.append((block[0]["name"], json.loads(block[1] or "{}")))
        elif kind == "message_delta":
            if not all(block[2] for block in blocks.values()):
                raise Wrong("the message ends before its blocks")
            heard.ends.append(told["delta"]["stop_reason"])
        elif kind == "message_stop":
            heard.last = True
    return heard


def _gemini_stream(data: bytes) -> Heard:
    heard = Heard()
    for _, said in _events(data):
        told = json.loads(said)
        if heard.error is not None:
            raise Wrong(f"something comes after an error: {said[:200]}")
        if "error" in told:
            _is_error(GEMINI, told, None)
            heard.error = told
        else:
            _candidate(heard, told)
    return heard


def _ollama_stream(data: bytes) -> Heard:
    heard = Heard()
    if data and not data.endswith(b"\n"):
        raise Wrong(f"it ends inside a line: {data[-100:]!r}")
    for line in data.splitlines():
        if not line.strip():
            continue
        told = _object(line)
        if heard.error is not None or heard.last:
            raise Wrong(f"something comes after the end: {line[:200]!r}")
        if "error" in told:
            _is_error(OLLAMA, told, None)
            heard.error = told
        else:
            _line(heard, told)
    return heard


_WHOLES = {CHAT: _chat, RESPONSES: _responses, MESSAGES: _messages, GEMINI: _gemini, OLLAMA: _ollama}
_STREAMS = {
    CHAT: _chat_stream,
    RESPONSES: _responses_stream,
    MESSAGES: _messages_stream,
    GEMINI: _gemini_stream,
    OLLAMA: _ollama_stream,
}
GOOD_ENDS = {
    CHAT: (["stop"], ["tool_calls"]),
    RESPONSES: (["completed"], ["completed"]),
    MESSAGES: (["end_turn"], ["tool_use"]),
    GEMINI: (["STOP"], ["STOP"]),
    OLLAMA: (["stop"], ["stop"]),
}
"""How a good answer ends: one that says something, and one that calls a tool."""
