"""A stream of ``/v2/chat``, read: server-sent events, each with its ``type`` in its data too.

Blocks and calls are numbered apart and say when they begin and end; only the plan does not, and is over when anything
else begins. ``message-end`` holds the reason, the usage and, where it went wrong, an error.
"""

from typing import Any, Final

from omni_wire.errors import WireError, upstream_message
from omni_wire.sse import parse_event

from omni_translator.domain.codecs.cohere_chat.answer import FAILURES, read_reason, read_usage
from omni_translator.domain.codecs.cohere_chat.content import HOME, PLAN, read_block, read_call
from omni_translator.domain.events import Event, Failed, Finished, KeepAlive, Started, UsageReported
from omni_translator.domain.fields import Fields, from_json, gather
from omni_translator.domain.model import Json, Part, Reasoning, Text
from omni_translator.domain.streams import SseDecoder

_TYPED: Final = ("type", "id", "index", "delta")


class Decoder(SseDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_extra", "_started")

    def __init__(self) -> None:
        super().__init__(explicit_ends=True)
        self._started = False
        self._extra: Json = {}

    def _read(self, raw: bytes, events: list[Event]) -> None:
        data = parse_event(raw).data
        if data is None or not data.strip():
            events.append(KeepAlive())
            return
        if data.strip() == b"[DONE]":
            self._done = True
            return
        event = from_json(data)
        if not isinstance(event, dict):
            raise WireError("an event must be an object")
        kind = event.get("type")
        if kind is None and (event.get("error") or isinstance(event.get("message"), str)):
            events.append(Failed(upstream_message(data)))
            self._done = True
            return
        if not self._started:
            name = event.get("id")
            events.append(Started(HOME, name if isinstance(name, str) else "", ""))
            self._started = True
        delta = event.get("delta")
        inside = delta.get("message") if isinstance(delta, dict) else None
        message: Json = inside if isinstance(inside, dict) else {}
        if kind != "tool-plan-delta" and self._parts.has(PLAN):
            self._parts.close(PLAN, "", events)
        rest = {key: value for key, value in event.items() if key not in _TYPED and value is not None}
        if rest and kind != "debug":
            gather(self._extra, rest)
            raw = b""  # no event to come need be like this one
        match kind:
            case "content-delta":
                self._more_content(("content", event.get("index")), message, raw, events)
            case "tool-call-delta":
                self._more_call(("call", event.get("index")), message, raw, events)
            case "tool-plan-delta":
                self._plan(message.get(PLAN), raw, events)
            case "content-start":
                self._begin_content(("content", event.get("index")), message.get("content"), events)
            case "tool-call-start":
                self._begin_call(("call", event.get("index")), message.get("tool_calls"), events)
            case "content-end" | "tool-call-end":
                lane = ("content" if kind == "content-end" else "call", event.get("index"))
                if self._parts.has(_lane(lane)):
                    self._parts.close(_lane(lane), "", events)
            case "citation-start":
                if message.get("citations") is not None:
                    gather(self._extra, {"message": {"citations": [message["citations"]]}})
            case "message-end":
                self._finish(delta if isinstance(delta, dict) else {}, events)
            case _:
                pass

    # ---- content ----

    def _begin_content(self, lane: tuple[str, Any], content: Any, events: list[Event]) -> None:
        part = read_block(Fields(content, "delta.message.content"))
        self._open(lane, part, events)

    def _open(self, lane: tuple[str, Any], part: Part, events: list[Event]) -> None:
        self._parts.open(_lane(lane), part, events)

    def _more_content(self, lane: tuple[str, Any], message: Json, raw: bytes, events: list[Event]) -> None:
        content = message.get("content")
        if not isinstance(content, dict):
            raise WireError("delta.message.content must be an object", "delta.message.content")
        for key in ("text", "thinking"):
            text = content.get(key)
            if text is None or text == "":
                continue
            if not isinstance(text, str):
                raise WireError(f"delta.message.content.{key} must be a string", f"delta.message.content.{key}")
            if not self._parts.has(_lane(lane)):  # some leave its beginning out
                self._open(lane, Text("") if key == "text" else Reasoning(text="", origin=HOME), events)
            self._parts.delta(_lane(lane), text, events)
            if raw and len(content) == 1:
                self._learn(raw, b'"%b":' % key.encode(), text)
        rest = {key: value for key, value in content.items() if key not in ("type", "text", "thinking")}
        if rest and self._parts.has(_lane(lane)):
            self._parts.annotate(_lane(lane), rest)

    def _plan(self, text: Any, raw: bytes, events: list[Event]) -> None:
        if not isinstance(text, str):
            raise WireError("delta.message.tool_plan must be a string", "delta.message.tool_plan")
        if not text:
            return
        if not self._parts.has(PLAN):
            self._parts.open(PLAN, Reasoning(text="", origin=HOME, item=PLAN), events)
        self._parts.delta(PLAN, text, events)
        if raw:
            self._learn(raw, b'"tool_plan":', text)

    # ---- calls ----

    def _begin_call(self, lane: tuple[str, Any], call: Any, events: list[Event]) -> None:
        self._open(lane, read_call(Fields(_only(call), "delta.message.tool_calls")), events)

    def _more_call(self, lane: tuple[str, Any], message: Json, raw: bytes, events: list[Event]) -> None:
        call = _only(message.get("tool_calls"))
        function = call.get("function") if isinstance(call, dict) else None
        text = function.get("arguments") if isinstance(function, dict) else None
        if text is None or text == "":
            return
        if not isinstance(text, str):
            raise WireError("a tool call's arguments must be a string", "delta.message.tool_calls.function.arguments")
        self._parts.delta(_lane(lane), text, events)
        if raw:
            self._learn(raw, b'"arguments":', text)

    # ---- the end ----

    def _finish(self, delta: Json, events: list[Event]) -> None:
        word, error = delta.get("finish_reason"), delta.get("error")
        if (isinstance(error, str) and error) or (isinstance(word, str) and word in FAILURES):
            events.append(Failed(error if isinstance(error, str) and error else FAILURES.get(str(word), "")))
            self._done = True
            return
        usage, usage_rest = read_usage(delta.get("usage"))
        if usage is not None:
            events.append(UsageReported(usage))
        rest = {
            key: value
            for key, value in delta.items()
            if key not in ("finish_reason", "usage", "error") and value is not None
        }
        gather(self._extra, rest | ({"usage": usage_rest} if usage_rest else {}))
        self._done = True
        if not isinstance(word, str) or not word:
            return
        self._parts.finish(events)
        reason, detail = read_reason(word)
        events.append(Finished(reason, detail, extra=self._extra))

    def _close(self, events: list[Event]) -> None:
        """Without its ``message-end`` an answer has not ended, and is left open."""


def _lane(lane: tuple[str, Any]) -> tuple[str, int]:
    name, index = lane
    if index is None:
        index = 0
    if not isinstance(index, int):
        raise WireError("index must be an integer", "index")
    return name, index


def _only(value: Any) -> Any:
    """Cohere's list of one call is mostly the call itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
