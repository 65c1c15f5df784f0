"""A request to ``/api/chat``, read. Unlike everywhere else, it asks for a stream unless it says that it does not."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from omni_wire.errors import WireError

from omni_translator.domain.call_ids import Place, Step, pair
from omni_translator.domain.codecs.ollama_chat.content import HOME, VENDOR, read_call, read_images
from omni_translator.domain.codecs.openai_chat.decode import read_sampling
from omni_translator.domain.fields import Fields
from omni_translator.domain.model import (
    Conversation,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolResult,
)
from omni_translator.domain.talk import read_talk

_ROLES: Final = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = Fields.of_body(body)
    given = top.items("messages")
    if not given:
        raise WireError("messages must hold at least one message", "messages")
    reader = _Reader(pair(VENDOR, _steps(given)))
    messages = tuple(
        [
            read_talk(item, _ROLES) or reader.read(Fields(item, ("messages", turn)), turn)
            for turn, item in enumerate(given)
        ]
    )
    stream = top.flag("stream")
    options = top.child("options")
    return Conversation(
        origin=HOME,
        model=top.text("model") or "",
        messages=messages,
        tools=tuple(_tool(tool) for tool in top.each("tools")),
        sampling=read_sampling(options) if options is not None else Sampling(),
        max_output=_limit(options) if options is not None else None,
        output_format=_output_format(top),
        thinking=_thinking(top),
        stream=stream is not False,
        extra=top.rest(),
    )


def _steps(messages: list[Any]) -> Iterator[Step]:
    for turn, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        if message.get("role") == "tool":
            name = _word(message, "tool_name") or _word(message, "name")
            yield Step((turn, 0), True, _word(message, "tool_call_id"), name)
            continue
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                yield Step((turn, number), False, _word(call, "id"), _word(function, "name"))


def _word(holder: Any, key: str) -> str:
    value = holder.get(key)
    return value if isinstance(value, str) else ""


class _Reader:
    """Reads messages in order; ``ids`` gives each call and result its id by its place."""

    __slots__ = ("_ids", "_names")

    def __init__(self, ids: Mapping[Place, str]) -> None:
        self._ids = ids
        self._names: dict[str, str] = {}  # of the calls so far

    def read(self, message: Fields, turn: int) -> Message:
        role = message.need_text("role")
        if role == "tool":
            return self._result(message, turn)
        if role not in _ROLES:
            raise WireError(f"{message.at('role')} {role[:40]!r} is none this gateway knows", message.at("role"))
        parts: list[Part] = []
        thought = message.text("thinking") if role == "assistant" else None
        if thought:
            parts.append(Reasoning(text=thought, origin=HOME))
        parts += _said(message)
        if role == "assistant":
            for number, call in enumerate(message.each("tool_calls")):
                made = read_call(call, self._ids.get((turn, number), ""))
                self._names[made.id] = made.name
                parts.append(made)
        return Message(role=_ROLES[role], parts=tuple(parts), extra=message.rest())

    def _result(self, message: Fields, turn: int) -> Message:
        call_id, name = self._ids.get((turn, 0), ""), message.text("tool_name")
        message.text("tool_call_id")
        if name and self._names.get(call_id) != name:  # it answers no call here, or one of another name
            message.put_back("tool_name", name)
        result = ToolResult(id=call_id, parts=tuple(_said(message)))
        return Message(role=Role.USER, parts=(result,), extra=message.rest())


def _said(message: Fields) -> list[Part]:
    """The text, then the images: they stand beside it, in no order."""
    content = message.text("content")
    return [*([Text(content)] if content else ()), *read_images(message)]


def _tool(tool: Fields) -> Tool | Opaque:
    if tool.peek("type") not in ("function", None) or not isinstance(tool.peek("function"), dict):
        return Opaque(origin=HOME, data=tool.rest())
    tool.take("type")
    function = tool.need_child("function")
    return Tool(
        name=function.need_text("name"),
        description=function.text("description"),
        schema=function.plain("parameters"),
        extra=tool.rest(),
    )


def _limit(options: Fields) -> int | None:
    """-1 is no limit at all, -2 what the context holds: neither is a number of tokens."""
    limit = options.whole("num_predict")
    if limit is not None and limit < 1:
        options.put_back("num_predict", limit)
        return None
    return limit


def _output_format(top: Fields) -> OutputFormat | None:
    value = top.take("format")
    if value is None or value == "":
        return None
    if value == "json":
        return OutputFormat(kind="json_object")
    if not isinstance(value, dict):
        raise top.wrong("format", '"json" or a JSON schema')
    return OutputFormat(kind="json_schema", schema=value, strict=True)


def _thinking(top: Fields) -> Thinking | None:
    """Whoever asks to think is told the thoughts."""
    value = top.take("think")
    if value is None or value == "":
        return None
    if value is False:
        return Thinking(mode="disabled")
    if value is True:
        return Thinking(mode="adaptive", summary="auto")
    if not isinstance(value, str):
        raise top.wrong("think", "true, false or a level")
    return Thinking(effort=value, summary="auto")
