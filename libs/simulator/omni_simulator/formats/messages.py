"""Anthropic Messages (docs.anthropic.com/en/api/messages, /en/api/messages-streaming)."""

from collections.abc import Sequence
from typing import Any

import msgspec
from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.base import around, encode, named_frame
from omni_simulator.reading import Notes, arr, compact, filled, flag, limit, obj, strings, text
from omni_simulator.values import Answer, Ask, Call, Frame, Frames, Tool

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "filter": "refusal"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CREATED_AT = "2026-01-01T00:00:00Z"


class MessagesFormat:
    request_id_header = b"request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        notes = Notes()
        _read_content(notes, body.get("system"), "system", by_user=False)
        for index, item in enumerate(filled(body.get("messages"), "messages")):
            where = f"messages.{index}"
            message = obj(item, where)
            role = text(message.get("role"), f"{where}.role")
            if role == "assistant":
                notes.model_spoke()
            if message.get("content") is None:
                raise InvalidRequest(f"{where}.content: Field required", param=f"{where}.content")
            _read_content(notes, message["content"], f"{where}.content", by_user=role == "user")
        longest = limit(body.get("max_tokens"), "max_tokens", least=0)  # 0 fills the prompt cache
        if longest is None and action != "count":
            raise InvalidRequest("max_tokens: Field required", param="max_tokens")
        choice = obj(body.get("tool_choice"), "tool_choice")
        output = obj(obj(body.get("output_config"), "output_config").get("format"), "output_config.format")
        return notes.ask(
            model=text(body.get("model"), "model"),
            seed=seed,
            stream=flag(body.get("stream"), "stream"),
            tools=_read_tools(body),
            choice=_read_choice(choice),
            parallel=not flag(choice.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use"),
            max_output=longest,
            stops=strings(body.get("stop_sequences"), "stop_sequences"),
            schema=obj(output["schema"], "output_config.format.schema") if "schema" in output else None,
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        blocks: list[dict[str, Any]] = []
        if answer.thinking:
            thinking = "".join(answer.thinking)
            blocks.append({"type": "thinking", "thinking": thinking, "signature": answer.signature})
        if answer.text:
            said = {"type": "text", "text": "".join(answer.text)}
            blocks.append({**said, "citations": _citations(answer)} if answer.cited else said)
        blocks += [_tool_use(call, _input(call)) for call in answer.calls]
        message = _message(ask, answer, blocks, _finish(answer), answer.stop_sequence)
        if answer.show_usage:
            message["usage"] = _usage(answer, answer.usage.output_tokens)
        return encode(message)

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        opening = _message(ask, answer, [], None, None)
        if answer.show_usage:
            opening["usage"] = _usage(answer, 1)
        frames: list[Frame] = [(named_frame({"type": "message_start", "message": opening}), 0)]
        index = 0

        def block(start: dict[str, Any], deltas: list[Frame], named: int = 0) -> None:
            nonlocal index
            opened = {"type": "content_block_start", "index": index, "content_block": start}
            frames.append((named_frame(opened), named))
            if index == 0:
                frames.append((named_frame({"type": "ping"}), 0))
            frames.extend(deltas)
            frames.append((named_frame({"type": "content_block_stop", "index": index}), 0))
            index += 1

        def deltas(kind: str, key: str, pieces: tuple[str, ...]) -> list[Frame]:
            template = {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: "@"}}
            before, after = around(named_frame(template))
            return [(before + encode(piece) + after, 1) for piece in pieces]

        if answer.thinking:
            said = deltas("thinking_delta", "thinking", answer.thinking)
            signed = [(frame, 0) for frame, _ in deltas("signature_delta", "signature", (answer.signature,))]
            block({"type": "thinking", "thinking": "", "signature": ""}, said + signed)
        if answer.cited:
            template = {"type": "content_block_delta", "index": index}
            told = [{"type": "citations_delta", "citation": citation} for citation in _citations(answer)]
            cited = [(named_frame({**template, "delta": delta}), 0) for delta in told]
            said = deltas("text_delta", "text", answer.text)
            block({"type": "text", "text": "", "citations": []}, said + cited)
        elif answer.text or not (answer.thinking or answer.calls):
            block({"type": "text", "text": ""}, deltas("text_delta", "text", answer.text))
        for call in answer.calls:
            pieces = call.pieces if not call.custom else (encode(_input(call)).decode(),)
            parts = deltas("input_json_delta", "partial_json", pieces)
            block(_tool_use(call, {}), parts, call.tokens - len(parts))
        ending = len(frames)
        closing = {"stop_reason": _finish(answer), "stop_sequence": answer.stop_sequence}
        delta: dict[str, Any] = {"type": "message_delta", "delta": closing}
        if answer.show_usage:
            delta["usage"] = _usage(answer, answer.usage.output_tokens)
        frames += [(named_frame(delta), 0), (named_frame({"type": "message_stop"}), 0)]
        return Frames(frames, ending)

    def count(self, tokens: int) -> bytes:
        return encode({"input_tokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode(_error(error, request_id))

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        return named_frame(_error(error, request_id))

    def model(self, name: str) -> dict[str, Any]:
        return {"type": "model", "id": name, "display_name": name, "created_at": _CREATED_AT}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        first, last = (names[0], names[-1]) if names else (None, None)
        data = [self.model(name) for name in names]
        return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def _finish(answer: Answer) -> str:
    return "stop_sequence" if answer.stop_sequence is not None else _FINISH[answer.finish]


def _citations(answer: Answer) -> list[dict[str, Any]]:
    """Of pages that a search found, which the block's whole text cites."""
    said = "".join(answer.text)
    return [
        {
            "type": "web_search_result_location",
            "url": at.url,
            "title": at.title,
            "cited_text": said[at.start : at.end],
            "encrypted_index": answer.signature,
        }
        for at in answer.cited
    ]


def _message(ask: Ask, answer: Answer, blocks: list[Any], finish: str | None, stop: str | None) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.seed}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": blocks,
        "stop_reason": finish,
        "stop_sequence": stop,
    }


def _usage(answer: Answer, output: int) -> dict[str, Any]:
    """Anthropic's input count leaves out what was read from or written to the cache."""
    usage = answer.usage
    return {
        "input_tokens": usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": output,
    }


def _error(error: GatewayError, request_id: str) -> dict[str, Any]:
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}


def _tool_use(call: Call, arguments: object) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": arguments}


def _input(call: Call) -> Any:
    return {"input": call.arguments} if call.custom else msgspec.Raw(call.arguments.encode())


def _read_content(notes: Notes, content: object, where: str, *, by_user: bool) -> None:
    if isinstance(content, str):
        notes.said(content, by_user=by_user)
        return
    for index, item in enumerate(arr(content, where)):
        at = f"{where}.{index}"
        block = obj(item, at)
        kind = text(block.get("type"), f"{at}.type")
        if kind == "text":
            notes.said(text(block.get("text"), f"{at}.text"), by_user=by_user)
        elif kind == "thinking":
            notes.said(text(block.get("thinking"), f"{at}.thinking"))
            notes.vouched(text(block.get("signature"), f"{at}.signature"), f"{at}.signature")
        elif kind == "tool_use":
            call_id = text(block.get("id"), f"{at}.id")
            notes.called(call_id, compact(obj(block.get("input"), f"{at}.input")))
        elif kind == "tool_result":
            call_id = text(block.get("tool_use_id"), f"{at}.tool_use_id")
            words = _result_text(notes, block.get("content"), f"{at}.content")
            notes.returned(call_id, words, failed=flag(block.get("is_error"), f"{at}.is_error"), where=at)
        else:
            _show(notes, block, at)


def _show(notes: Notes, block: dict[str, Any], at: str) -> None:
    source = block.get("source")
    given = source if isinstance(source, dict) else {}
    notes.shown(str(given.get("media_type", "")), given.get("data") if given.get("type") == "base64" else None, at)


def _result_text(notes: Notes, content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    found = []
    for item in arr(content, where):
        block = obj(item, where)
        if block.get("type") == "text":
            found.append(text(block.get("text"), f"{where}.text"))
        else:
            _show(notes, block, where)
    return "".join(found)


def _read_tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for index, item in enumerate(arr(body.get("tools"), "tools")):
        tool = obj(item, f"tools.{index}")
        if tool.get("type") not in (None, "custom"):
            continue  # a server-side tool: not the model's to call here
        name = text(tool.get("name"), f"tools.{index}.name")
        if not isinstance(tool.get("input_schema"), dict):
            raise InvalidRequest(f"tools.{index}.input_schema: Field required", param=f"tools.{index}.input_schema")
        tools.append(Tool(name, tool["input_schema"]))
    return tuple(tools)


def _read_choice(choice: dict[str, Any]) -> str:
    kind = choice.get("type", "auto")
    known = {"auto": "auto", "none": "none", "any": "required"}
    if kind == "tool":
        return f"={text(choice.get('name'), 'tool_choice.name')}"
    if not isinstance(kind, str) or kind not in known:
        raise InvalidRequest("tool_choice.type: expected auto, any, tool or none", param="tool_choice.type")
    return known[kind]
