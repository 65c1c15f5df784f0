"""A Responses stream, read: named events, every item begun and done by its index, its parts by theirs.

Source: OpenAI's API reference for Responses streaming. What counts is the item when it is done; deltas are told as they
come, and what providers leave out of them (some send whole items only) is told then. The stream has ended as it should
when ``response.completed`` or ``response.incomplete`` has come.
"""

from collections.abc import Hashable
from typing import Any, Final

import msgspec
from omni_wire.errors import WireError, upstream_message
from omni_wire.sse import parse_event
from omni_wire.told_error import told_status

from omni_translator.domain.codecs.openai_responses.answer import (
    SHARED,
    error_of,
    read_end,
    read_output,
    read_usage,
    residue,
)
from omni_translator.domain.codecs.openai_responses.content import HOME, read_part
from omni_translator.domain.events import Event, Failed, Finished, KeepAlive, Started, UsageReported
from omni_translator.domain.fields import Fields, from_json, gather, to_json
from omni_translator.domain.model import Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.streams import SseDecoder

# delta event -> the group of parts within its item, and the key of the part's index there
_DELTAS: Final = {
    "response.output_text.delta": ("content", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.reasoning_text.delta": ("thought", "content_index"),
    "response.function_call_arguments.delta": ("call", ""),
    "response.custom_tool_call_input.delta": ("call", ""),
}
# What a delta event may hold without being more than its text.
_DELTA_KEYS: Final = frozenset(
    {
        *("type", "sequence_number", "item_id", "output_index", "content_index", "summary_index", "delta"),
        *("logprobs", "obfuscation"),
    }
)
# end of a part -> the group of parts, and the key of the part's index there
_PARTS: Final = {
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}
_ENDS: Final = ("response.completed", "response.incomplete", "response.done")


class _Item:
    """An output item that is open. ``lanes`` are its parts' keys, and whether any text of each has come in deltas."""

    __slots__ = ("kind", "lanes", "live", "name")

    def __init__(self, kind: Any, name: str) -> None:
        self.kind = kind
        self.name = name
        self.lanes: dict[Hashable, bool] = {}
        self.live: Hashable = None  # the last one begun, unless it has ended


class Decoder(SseDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_called", "_id", "_items", "_residues", "_rest", "_seen", "_started")

    def __init__(self) -> None:
        super().__init__(explicit_ends=True, numbered=True)
        self._started = False
        self._id = ""
        self._called = False
        self._items: dict[int, _Item] = {}
        self._seen: set[int] = set()  # indices of items that were begun
        self._residues: dict[int, Json] = {}
        self._rest: Json = {}

    def _read(self, raw: bytes, events: list[Event]) -> None:
        parsed = parse_event(raw)
        data = parsed.data
        if data is None or not data.strip() or data.strip() == b"[DONE]":
            events.append(KeepAlive())
            return
        event = from_json(data)
        if not isinstance(event, dict):
            raise WireError("an event must be an object")
        kind = event.get("type") or parsed.event.decode("utf-8", "replace")
        if kind == "error" or (not kind and event.get("error")):
            events.append(Failed(upstream_message(data), told_status(data)))
            self._done = True
            return
        if not kind or not isinstance(kind, str):
            raise WireError("type must be given", "type")
        response = event.get("response")
        if not self._started:
            self._start(response, events)
        if kind in _DELTAS:
            self._delta(kind, event, raw, events)
        elif kind == "response.output_item.added":
            self._item_added(event, events)
        elif kind in _PARTS:
            self._part_done(kind, event, events)
        elif kind == "response.output_item.done":
            self._item_done(_index(event, "output_index"), event.get("item"), events)
        elif kind == "response.failed":
            self._failed(response, events)
        elif kind in _ENDS:
            self._finish(kind, response, events)
        elif kind.startswith("response.audio"):
            self._rest[kind] = True  # not in any item, so declared

    def _start(self, response: Any, events: list[Event]) -> None:
        told = response if isinstance(response, dict) else {}
        name, model = told.get("id"), told.get("model")
        self._id = name if isinstance(name, str) else ""
        events.append(Started(HOME, self._id, model if isinstance(model, str) else ""))
        self._started = True

    # ---- parts ----

    def _delta(self, kind: str, event: Json, raw: bytes, events: list[Event]) -> None:
        group, key = _DELTAS[kind]
        at = _index(event, "output_index")
        text = event.get("delta")
        if not isinstance(text, str):
            raise WireError("delta must be a string", "delta")
        item = self._items.get(at)
        if item is None:
            if at in self._seen:
                raise WireError("more of an item that is done", "output_index")
            if group == "call":
                return  # a call without a name so far: its item will tell all of it
            item = self._open_item(at, "reasoning" if "reasoning" in kind else "message", event.get("item_id"))
        lane = (at, "content" if group == "refusal" else group, _index(event, key) if key else 0)
        if lane not in item.lanes:
            if group == "call":
                raise WireError("arguments of an item that is no call", "output_index")
            self._open_part(item, lane, _head(group, item.name), events)
        if not text:
            return
        item.lanes[lane] = True
        self._parts.delta(lane, text, events)
        if "obfuscation" in event:
            self._padded = True
        if _DELTA_KEYS.issuperset(event) and not event.get("logprobs"):
            self._learn(raw, b'"delta":', text)

    def _open_item(self, at: int, kind: Any, name: Any) -> _Item:
        item = _Item(kind, name if isinstance(name, str) else "")
        self._seen.add(at)
        self._items[at] = item
        return item

    def _open_part(self, item: _Item, lane: Hashable, head: Part, events: list[Event]) -> None:
        """Parts of an item follow one another: the beginning of one ends the one before."""
        if item.live is not None:
            self._parts.close(item.live, "", events)
        item.lanes[lane] = False
        item.live = lane
        self._parts.open(lane, head, events)

    def _part_done(self, kind: str, event: Json, events: list[Event]) -> None:
        """The end of a message's part; a thought's must wait for its item, which brings the signature."""
        group, key = _PARTS[kind]
        at = _index(event, "output_index")
        item, data = self._items.get(at), event.get("part")
        if item is None or not isinstance(data, dict):
            return
        if item.kind == "reasoning":
            thought = {name: value for name, value in data.items() if name not in ("type", "text")}
            lane = (at, "thought" if group == "content" else group, _index(event, key))
            if thought and lane in item.lanes and self._parts.has(lane):
                self._parts.annotate(lane, thought)
        elif group == "content":
            lane = (at, group, _index(event, key))
            self._tell(item, lane, read_part(Fields(data, "part"), item.name), events)
            if item.live == lane:
                self._parts.close(lane, "", events)
                item.live = None

    def _tell(self, item: _Item, lane: Hashable, part: Part, events: list[Event]) -> None:
        """Tell what of a whole part has not been told: all of it, or what only its end brings."""
        text, extra = _text_of(part), {} if isinstance(part, Opaque) else part.extra
        if lane not in item.lanes:
            self._open_part(item, lane, _empty(part), events)
        elif not self._parts.has(lane):
            return
        if extra and not isinstance(part, Reasoning):
            self._parts.annotate(lane, extra)
        if text and not item.lanes[lane]:
            item.lanes[lane] = True
            self._parts.delta(lane, text, events)

    # ---- items ----

    def _item_added(self, event: Json, events: list[Event]) -> None:
        at, data = _index(event, "output_index"), event.get("item")
        if at in self._seen:
            raise WireError("an item began twice", "output_index")
        if not isinstance(data, dict):
            raise WireError("item must be an object", "item")
        kind = data.get("type")
        if kind in ("function_call", "custom_tool_call") and not data.get("name"):
            return
        item = self._open_item(at, kind, data.get("id"))
        if kind in SHARED:
            return
        (part,) = read_output(Fields(data, "item"), self._call_id(at))
        if isinstance(part, ToolCall):
            self._called = True
            self._open_part(item, (at, "call", 0), _empty(part), events)
        else:
            self._open_part(item, (at, "item", 0), part, events)

    def _call_id(self, at: int) -> str:
        return f"call_{self._id}_{at}"

    def _item_done(self, at: int, data: Any, events: list[Event]) -> None:
        if at in self._seen and at not in self._items:
            raise WireError("an item was done twice", "output_index")
        fields = Fields(data, "item")
        kind = fields.peek("type")
        item = self._items.pop(at, None) or self._open_item(at, kind, fields.peek("id"))
        self._items.pop(at, None)
        parts = read_output(fields, self._call_id(at))
        signature = ""
        counts: dict[str, int] = {}
        for part in parts:
            group = _group(part, kind)
            lane = (at, group, counts.get(group, 0))
            counts[group] = lane[2] + 1
            if isinstance(part, Reasoning):
                signature = part.signature or signature
            elif isinstance(part, ToolCall):
                self._called = True
            if isinstance(part, Opaque) and lane in item.lanes and kind not in SHARED:
                self._parts.annotate(lane, part.data)
            else:
                self._tell(item, lane, part, events)
        if item.live is not None:
            self._parts.close(item.live, signature, events)
        if kind in SHARED:
            left = fields.rest()
            if left:
                self._residues[at] = left

    # ---- the end ----

    def _finish(self, kind: str, response: Any, events: list[Event]) -> None:
        if not isinstance(response, dict):
            raise WireError("response must be an object", "response")
        if response.get("status") is None and kind == "response.incomplete":
            response = response | {"status": "incomplete"}
        message = error_of(response)
        if message is not None:
            self._failed(response, events)
            return
        outputs = response.get("output")
        for at, data in enumerate(outputs if isinstance(outputs, list) else ()):
            if at not in self._seen:
                self._item_done(at, data, events)
        self._parts.finish(events)
        usage, usage_rest = read_usage(response)
        if usage is not None:
            events.append(UsageReported(usage))
        reason, detail = read_end(response, self._called)
        self._done = True
        if reason is None:
            return
        extra = self._rest
        gather(extra, residue(response))
        if self._residues:
            extra["output"] = [self._residues.get(at, {}) for at in sorted(self._seen)]
        if usage_rest:
            gather(extra, {"usage": usage_rest})
        events.append(Finished(reason, detail, extra=extra))

    def _failed(self, response: Any, events: list[Event]) -> None:
        told = response if isinstance(response, dict) else {}
        usage, _ = read_usage(told)
        if usage is not None:
            events.append(UsageReported(usage))
        message = error_of(told) or "the provider says that it failed"
        events.append(Failed(message, told_status(to_json({"error": told.get("error")}))))
        self._done = True

    def _close(self, events: list[Event]) -> None:
        """Nothing but its own event ends an answer."""


def _index(event: Json, key: str) -> int:
    index = event.get(key)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise WireError(f"{key} must be a count", key)
    return index


def _head(group: str, name: str) -> Part:
    if group == "content":
        return Text("", item=name)
    if group == "refusal":
        return Refusal("", item=name)
    return Reasoning(text="", origin=HOME, full=group == "thought", item=name)


def _group(part: Part, kind: Any) -> str:
    if kind == "message":
        return "content"
    if isinstance(part, Reasoning):
        return "thought" if part.full else "summary"
    return "call" if isinstance(part, ToolCall) else "item"


def _text_of(part: Part) -> str:
    match part:
        case Text() | Refusal() | Reasoning():
            return part.text
        case ToolCall():
            return part.arguments
        case _:
            return ""


def _empty(part: Part) -> Part:
    """The part without what its deltas and its end bring."""
    match part:
        case Text():
            return Text("", item=part.item)
        case Refusal():
            return Refusal("", item=part.item)
        case Reasoning():
            return Reasoning(text="", origin=HOME, full=part.full, item=part.item, extra=part.extra)
        case ToolCall():
            return msgspec.structs.replace(part, arguments="", extra={})
        case _:
            return part
