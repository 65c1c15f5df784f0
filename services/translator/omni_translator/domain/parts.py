"""Vendors' flat ids turned into ordered parts, each begun and ended exactly once.

Theory of operation. A vendor's stream addresses its parts by keys of its own (a tool call's index, "content") and may
interleave them; canonical parts follow one another. So each key is a *lane*. The first lane is live: what comes for it
is told at once. The others wait in a queue with what has come for them, and are told when the live one ends.

A format with explicit ends says when (``close``). In one without them (OpenAI Chat) nothing does, so ``open`` of
another lane ends the live one as soon as that is complete: text always is, a tool call is when its arguments are a
whole JSON object. Calls that come one after another, which is nearly always, are so told without delay, and calls that
are really interleaved still come out whole.
"""

from collections import OrderedDict
from collections.abc import Hashable

from omni_wire.errors import WireError

from omni_translator.domain.events import Event, PartDelta, PartEnded, PartStarted
from omni_translator.domain.fields import gather, json_object
from omni_translator.domain.model import Json, Part, ToolCall


class _Lane:
    __slots__ = ("ended", "extra", "head", "is_call", "key", "signature", "texts")

    def __init__(self, key: Hashable, head: Part) -> None:
        self.key = key
        self.head = head
        self.texts: list[str] = []
        self.ended = False
        self.signature = ""
        self.extra: Json = {}
        self.is_call = isinstance(head, ToolCall)

    def complete(self) -> bool:
        if not self.is_call:
            return True
        last = next((text for text in reversed(self.texts) if text.strip()), "")
        return last.rstrip().endswith("}") and json_object("".join(self.texts)) is not None


class Assembler:
    """Turns lanes into events, appended to the list the caller gives. ``explicit_ends``: see the module."""

    __slots__ = ("_explicit", "_lanes", "_next")

    def __init__(self, *, explicit_ends: bool) -> None:
        self._explicit = explicit_ends
        self._lanes: OrderedDict[Hashable, _Lane] = OrderedDict()  # the first is live
        self._next = 0

    @property
    def live(self) -> int:
        """Index of the part that is open, when no other lane waits behind it; else -1."""
        return self._next - 1 if len(self._lanes) == 1 else -1

    def has(self, key: Hashable) -> bool:
        return key in self._lanes

    def open(self, key: Hashable, head: Part, events: list[Event]) -> None:
        if self.has(key):
            raise WireError("a part began twice")
        self._lanes[key] = _Lane(key, head)
        if len(self._lanes) == 1:
            self._begin(events)
        elif not self._explicit:
            self._settle(events)

    def delta(self, key: Hashable, text: str, events: list[Event]) -> None:
        lane = self._find(key)
        live = lane is self._first()
        if lane.is_call or not live:
            lane.texts.append(text)
        if live:
            events.append(PartDelta(self._next - 1, text))
            if len(self._lanes) > 1 and not self._explicit:
                self._settle(events)

    def noted(self) -> list[str] | None:
        """Where to note the deltas of the live part that the caller tells itself (its fast path); None: nowhere."""
        lane = self._first()
        return lane.texts if lane.is_call else None

    def annotate(self, key: Hashable, extra: Json) -> None:
        """Add what is only known of a part after its beginning."""
        gather(self._find(key).extra, extra)

    def close(self, key: Hashable, signature: str, events: list[Event]) -> None:
        lane = self._find(key)
        lane.ended, lane.signature = True, signature
        while self._lanes and self._first().ended:
            self._end(events)

    def finish(self, events: list[Event]) -> None:
        """End everything that is open or waiting."""
        while self._lanes:
            self._end(events)

    def _find(self, key: Hashable) -> _Lane:
        lane = self._lanes.get(key)
        if lane is None:
            raise WireError("more of a part that is not open")
        return lane

    def _first(self) -> _Lane:
        return next(iter(self._lanes.values()))

    def _settle(self, events: list[Event]) -> None:
        while len(self._lanes) > 1 and self._first().complete():
            self._end(events)

    def _begin(self, events: list[Event]) -> None:
        lane = self._first()
        events.append(PartStarted(self._next, lane.head))
        self._next += 1
        if lane.texts:
            events.append(PartDelta(self._next - 1, "".join(lane.texts)))

    def _end(self, events: list[Event]) -> None:
        _, lane = self._lanes.popitem(last=False)
        events.append(PartEnded(self._next - 1, lane.signature, lane.extra))
        if self._lanes:
            self._begin(events)
