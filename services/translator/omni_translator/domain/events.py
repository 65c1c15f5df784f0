"""An answer as events, the order they must come in, and the two ways between events and a whole answer.

Parts follow one another: a part ends before the next begins, and no part begins twice. ``Finished`` is the last event
of an answer that ended as its format prescribes; an answer without it was interrupted.
"""

from collections.abc import Iterable, Sequence

import msgspec
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_translator.domain.fields import gather
from omni_translator.domain.model import (
    Choice,
    FinishReason,
    Json,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
)


class Started(msgspec.Struct, frozen=True):
    origin: WireFormat
    id: str
    model: str


class PartStarted(msgspec.Struct, frozen=True):
    """``part`` is the part without its text, which comes in deltas. Indices count from 0 without gaps."""

    index: int
    part: Part


class PartDelta(msgspec.Struct, frozen=True, gc=False):
    """More of a part's text; of a tool call, more of its arguments."""

    index: int
    text: str


class PartEnded(msgspec.Struct, frozen=True):
    """``signature`` and ``extra`` are what is known of a part only at its end."""

    index: int
    signature: str = ""
    extra: Json = {}


class UsageReported(msgspec.Struct, frozen=True):
    """Cumulative: merge by maximum."""

    usage: Usage


class Finished(msgspec.Struct, frozen=True):
    """``extra`` gathers the unknown keys of the whole answer outside its parts."""

    reason: FinishReason
    detail: str = ""
    stop_sequence: str = ""
    extra: Json = {}


class OfChoice(msgspec.Struct, frozen=True):
    """An event of a further answer to the same request, of those that make and end its parts. ``choice`` counts from 1.

    Answers to one request come interleaved, each in the order of the grammar; the first one's end is the end of all.
    """

    choice: int
    event: "PartStarted | PartDelta | PartEnded | Finished"


class Failed(msgspec.Struct, frozen=True):
    """The provider's own error event. Nothing follows it. ``status`` is what its words stand for, 0 when unknown."""

    message: str
    status: int = 0


class KeepAlive(msgspec.Struct, frozen=True):
    pass


Event = Started | PartStarted | PartDelta | PartEnded | UsageReported | Finished | OfChoice | Failed | KeepAlive

# state -> event -> next state. A state without a row takes nothing more.
GRAMMAR: dict[str, dict[type, str]] = {
    "waiting": {Started: "between", Failed: "failed", KeepAlive: "waiting"},
    "between": {
        PartStarted: "inside",
        UsageReported: "between",
        OfChoice: "between",
        KeepAlive: "between",
        Finished: "finished",
        Failed: "failed",
    },
    "inside": {
        PartDelta: "inside",
        PartEnded: "between",
        UsageReported: "inside",
        OfChoice: "inside",
        KeepAlive: "inside",
        Failed: "failed",
    },
    "finished": {},
    "failed": {},
}


class Checker:
    """Follows events through ``GRAMMAR``. Raises ``WireError`` at the first that may not come."""

    __slots__ = ("_others", "parts", "state")

    def __init__(self, state: str = "waiting") -> None:
        self.state = state
        self.parts = 0
        self._others: dict[int, Checker] = {}

    def see(self, event: Event) -> None:
        following = GRAMMAR[self.state].get(type(event))
        if following is None:
            raise WireError(f"{type(event).__name__} may not come while {self.state}")
        if isinstance(event, PartStarted):
            if event.index != self.parts:
                raise WireError(f"part {event.index} began where part {self.parts} was due")
            self.parts += 1
        elif isinstance(event, PartDelta | PartEnded) and event.index != self.parts - 1:
            raise WireError(f"part {event.index} is not the one that is open")
        elif isinstance(event, OfChoice):
            if event.choice < 1:
                raise WireError("further choices count from 1")
            self._others.setdefault(event.choice, Checker("between")).see(event.event)
        self.state = following


def check(events: Iterable[Event]) -> str:
    """The state the events lead to. Raises ``WireError`` when they break the grammar."""
    checker = Checker()
    for event in events:
        checker.see(event)
    return checker.state


# ---- fold and unfold ------------------------------------------------------------------------------------------------


class _Open:
    """A part being put together."""

    __slots__ = ("extra", "head", "signature", "texts")

    def __init__(self, head: Part) -> None:
        self.head = head
        self.texts: list[str] = []
        self.signature = ""
        self.extra: Json = {}

    def close(self) -> Part:
        head, text = self.head, "".join(self.texts)
        if isinstance(head, Opaque):
            return msgspec.structs.replace(head, data=head.data | self.extra) if self.extra else head
        extra = head.extra
        if self.extra:
            extra = dict(extra)
            gather(extra, self.extra)
        if isinstance(head, Text | Refusal):
            return msgspec.structs.replace(head, text=head.text + text, extra=extra)
        if isinstance(head, Reasoning):
            return msgspec.structs.replace(
                head, text=head.text + text, signature=self.signature or head.signature, extra=extra
            )
        if isinstance(head, ToolCall):
            return msgspec.structs.replace(head, arguments=head.arguments + text, extra=extra)
        return head


class _Other:
    """A further answer being put together."""

    __slots__ = ("finish", "parts")

    def __init__(self) -> None:
        self.parts: list[_Open] = []
        self.finish: Finished | None = None

    def see(self, event: PartStarted | PartDelta | PartEnded | Finished) -> None:
        match event:
            case PartDelta():
                self.parts[-1].texts.append(event.text)
            case PartStarted():
                self.parts.append(_Open(event.part))
            case PartEnded():
                self.parts[-1].signature, self.parts[-1].extra = event.signature, event.extra
            case Finished():
                self.finish = event

    def close(self) -> Choice:
        finish = self.finish
        return Choice(
            parts=tuple(part.close() for part in self.parts),
            finish=finish.reason if finish else None,
            finish_detail=finish.detail if finish else "",
            stop_sequence=finish.stop_sequence if finish else "",
            extra=finish.extra if finish else {},
        )


def fold(events: Iterable[Event]) -> Response:
    """The whole answer that the events tell. Raises ``WireError`` on a broken grammar or a ``Failed``.

    A part that was never ended (an interrupted answer) is kept as far as it came.
    """
    checker = Checker()
    start, finish, usage = None, None, None
    parts: list[_Open] = []
    others: dict[int, _Other] = {}
    for event in events:
        checker.see(event)
        match event:
            case PartDelta():
                parts[-1].texts.append(event.text)
            case PartStarted():
                parts.append(_Open(event.part))
            case PartEnded():
                parts[-1].signature, parts[-1].extra = event.signature, event.extra
            case UsageReported():
                usage = event.usage if usage is None else usage.merge(event.usage)
            case Started():
                start = event
            case Finished():
                finish = event
            case OfChoice():
                others.setdefault(event.choice, _Other()).see(event.event)
            case Failed():
                raise WireError(event.message)
            case KeepAlive():
                pass
    if start is None:
        raise WireError("an answer that never started")
    return Response(
        origin=start.origin,
        id=start.id,
        model=start.model,
        parts=tuple(part.close() for part in parts),
        finish=finish.reason if finish else None,
        finish_detail=finish.detail if finish else "",
        stop_sequence=finish.stop_sequence if finish else "",
        usage=usage,
        extra=finish.extra if finish else {},
        others=tuple(others[choice].close() for choice in sorted(others)),
    )


def unfold(response: Response) -> Sequence[Event]:
    """The events of a whole answer: one delta a part. ``fold`` is its inverse (``extra`` of an answer that did not
    finish is not told)."""
    events: list[Event] = [Started(response.origin, response.id, response.model), *_unfold_parts(response.parts)]
    for choice, other in enumerate(response.others, 1):
        events += [OfChoice(choice, event) for event in _unfold_parts(other.parts)]
        if other.finish is not None:
            end = Finished(other.finish, other.finish_detail, other.stop_sequence, other.extra)
            events.append(OfChoice(choice, end))
    if response.usage is not None:
        events.append(UsageReported(response.usage))
    if response.finish is not None:
        events.append(Finished(response.finish, response.finish_detail, response.stop_sequence, response.extra))
    return events


def _unfold_parts(parts: Sequence[Part]) -> "list[PartStarted | PartDelta | PartEnded]":
    events: list[PartStarted | PartDelta | PartEnded] = []
    for index, part in enumerate(parts):
        signature, text = "", ""
        head: Part
        if isinstance(part, Text | Refusal):
            head, text = msgspec.structs.replace(part, text=""), part.text
        elif isinstance(part, Reasoning):
            head, text, signature = msgspec.structs.replace(part, text="", signature=""), part.text, part.signature
        elif isinstance(part, ToolCall):
            head, text = msgspec.structs.replace(part, arguments=""), part.arguments
        else:
            head = part
        events.append(PartStarted(index, head))
        if text:
            events.append(PartDelta(index, text))
        events.append(PartEnded(index, signature))
    return events
