"""A stream of Kiro's, read: events that stand for themselves, without a first and, from some models, without a last.

A tool call is told in pieces up to one that says ``stop``; text and thoughts end where something else begins. The
answer has ended as it should when an event has said so that comes after all content: ``metadataEvent`` with a reason,
``messageStopEvent``, or what the whole answer cost (``meteringEvent``, ``contextUsageEvent``). Where none of them has
a reason, it is that tools were called, or that nothing more was to say. A call whose end never came is no whole answer.
"""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codecs.kiro_conversation.words import HOME, read_reason, read_usage
from omni_translator.domain.event_streams import EventStreamDecoder
from omni_translator.domain.events import Event, Failed, Finished, Started, UsageReported
from omni_translator.domain.fields import gather, to_json
from omni_translator.domain.model import FinishReason, Json, Opaque, Part, Reasoning, Text, ToolCall
from omni_translator.domain.parts import Assembler

_LAST: Final = frozenset({"messageStopEvent", "meteringEvent", "contextUsageEvent"})
# What an answer cost, and how full the conversation is: no part of it.
_TOLD: Final = {
    "meteringEvent": frozenset({"usage", "unit", "unitPlural"}),
    "contextUsageEvent": frozenset({"contextUsagePercentage"}),
}


class Reader:
    """Events by their names into canonical ones, whether they came in frames or in a list.

    What is not understood of ``metadataEvent`` becomes the answer's own extra, that of other events stands under their
    names.
    """

    __slots__ = (
        "_calls",
        "_detail",
        "_ended",
        "_next",
        "_open",
        "_parts",
        "_reason",
        "_rest",
        "_signature",
        "_started",
    )

    def __init__(self) -> None:
        self._parts = Assembler(explicit_ends=True)
        self._started = False
        self._calls: dict[str, bool] = {}  # of those that are open: whether their arguments have begun
        self._next = 0  # lanes so far
        self._open: Part | None = None  # the text or thought that is being told, in the lane before ``_next``
        self._signature = ""
        self._ended = False
        self._reason: FinishReason | None = None
        self._detail = ""
        self._rest: Json = {}

    def read(self, name: str, payload: Json, events: list[Event]) -> None:
        if name == "invalidStateEvent":
            reason, message = payload.get("reason"), payload.get("message")
            said = ": ".join(word for word in (reason, message) if isinstance(word, str) and word)
            events.append(Failed(said or "the conversation is in an invalid state"))
            return
        if not self._started:
            self._started = True
            given = payload.get("conversationId") if name == "messageMetadataEvent" else None
            events.append(Started(HOME, given if isinstance(given, str) else "", ""))
        if name == "assistantResponseEvent":
            payload.pop("modelId", None)  # that of the request
            self._say(Text(""), payload, "content", events)
        elif name == "toolUseEvent":
            self._call(payload, events)
        elif name == "reasoningContentEvent":
            self._think(payload, events)
        elif name == "metadataEvent":
            self._metadata(payload, events)
        elif name == "messageMetadataEvent":
            self._keep(name, {key: value for key, value in payload.items() if key != "conversationId"})
        else:
            self._ended = self._ended or name in _LAST
            self._keep(name, {key: value for key, value in payload.items() if key not in _TOLD.get(name, ())})

    def _keep(self, name: str, payload: Json) -> None:
        if payload:
            gather(self._rest, {name: payload})

    def _say(self, head: Part, payload: Json, key: str, events: list[Event]) -> None:
        text = payload.pop(key, None)
        if text is not None and not isinstance(text, str):
            raise WireError(f"{key} must be a string", key)
        if type(self._open) is not type(head) or self._signature:  # what is signed is told to its end
            self._end_open(events)
            self._open = head
            self._parts.open(self._next, head, events)
            self._next += 1
        if text:
            self._parts.delta(self._next - 1, text, events)
        extra = {name: value for name, value in payload.items() if value is not None}
        if extra:
            self._parts.annotate(self._next - 1, extra)

    def _think(self, payload: Json, events: list[Event]) -> None:
        if isinstance(payload.get("redactedContent"), str):
            self._end_open(events)
            self._parts.open(self._next, Opaque(origin=HOME, data=payload), events)
            self._parts.close(self._next, "", events)
            self._next += 1
            return
        signature = payload.pop("signature", None)
        self._say(Reasoning(text="", origin=HOME), payload, "text", events)
        if isinstance(signature, str):
            self._signature += signature

    def _end_open(self, events: list[Event]) -> None:
        if self._open is not None:
            self._parts.close(self._next - 1, self._signature, events)
        self._open, self._signature = None, ""

    def _call(self, payload: Json, events: list[Event]) -> None:
        call_id, name = payload.pop("toolUseId", None), payload.pop("name", None)
        given, stop = payload.pop("input", None), payload.pop("stop", None)
        if not isinstance(call_id, str) or not isinstance(name, str):
            raise WireError("a toolUseEvent must carry toolUseId and name", "toolUseId")
        if call_id not in self._calls:
            self._end_open(events)
            self._calls[call_id] = False
            self._parts.open(call_id, ToolCall(id=call_id, name=name), events)
        text = given if isinstance(given, str) else "" if given is None else to_json(given).decode()
        if text:
            self._calls[call_id] = True
            self._parts.delta(call_id, text, events)
        extra = {key: value for key, value in payload.items() if value is not None}
        if extra:
            self._parts.annotate(call_id, extra)
        if stop is True:
            if not self._calls.pop(call_id):
                self._parts.delta(call_id, "{}", events)
            self._parts.close(call_id, "", events)
            self._reason = self._reason or FinishReason.TOOL_CALLS

    def _metadata(self, payload: Json, events: list[Event]) -> None:
        usage, usage_rest = read_usage(payload.pop("tokenUsage", None))
        if usage is not None:
            events.append(UsageReported(usage))
        word = payload.pop("stopReason", None)
        if isinstance(word, str) and word:
            self._ended = True
            self._reason, self._detail = read_reason(word)
        left = {key: value for key, value in payload.items() if value is not None}
        gather(self._rest, left | ({"tokenUsage": usage_rest} if usage_rest else {}))

    def close(self, events: list[Event]) -> None:
        if not self._ended or self._calls:
            return
        self._end_open(events)
        self._parts.finish(events)
        events.append(Finished(self._reason or FinishReason.STOP, self._detail, "", self._rest))


class Decoder(EventStreamDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_reader",)

    def __init__(self) -> None:
        super().__init__()
        self._reader = Reader()

    def _read(self, name: str, payload: Json, events: list[Event]) -> None:
        self._reader.read(name, payload, events)
        self._done = bool(events) and isinstance(events[-1], Failed)

    def _close(self, events: list[Event]) -> None:
        self._reader.close(events)
