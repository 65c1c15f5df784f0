"""Thoughts that a model writes between tags of its text, taken out of it.

Theory of operation. ``Splitter`` reads text in pieces cut anywhere. Outside a thought it looks for an opening tag,
inside for the closing one of the same name; what could be the beginning of either is held back until the next piece
decides. Line ends beside a tag belong to the markup: they are dropped at both ends of a thought, and before an answer
that has said nothing yet; between two thoughts is a blank line. A thought that is never closed lasts to the end. Text
without tags comes out as it went in. Of each stretch of what is said the splitter remembers where it began, before and
after, for places in the text (of citations) that are told later.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from omni_wire.formats import WireFormat

from omni_translator.domain.citations import moved
from omni_translator.domain.events import Event, Finished, OfChoice, PartDelta, PartEnded, PartStarted, Started
from omni_translator.domain.model import Json, Part, Reasoning, Response, Text

_NAMES: Final = ("think", "thinking", "thought", "internal_thought")
_OPENING: Final = tuple(f"<{name}>" for name in _NAMES)
_LINE_ENDS: Final = "\r\n"
GAP: Final = "\n\n"

Piece = tuple[bool, str]  # whether it is a thought, and its text, never empty


class Splitter:
    __slots__ = ("_at", "_blanks", "_closing", "_fresh", "_held", "_last", "_length", "_starts")

    def __init__(self) -> None:
        self._at = 0  # how many characters have been read
        self._length = 0  # and how many of them said
        self._starts: list[tuple[int, int]] = []  # of each stretch of what is said: where it was read, and is said
        self._closing = ""  # the tag that ends the open thought; empty outside one
        self._held = ""  # could be the beginning of a tag
        self._blanks = ""  # line ends at the end of a thought, as far as it has come
        self._fresh = False  # nothing came since the last tag
        self._last = False  # whether the last piece was a thought

    @property
    def idle(self) -> bool:
        """Whether text without a ``<`` would come out as it goes in."""
        return not self._closing and not self._held and not self._fresh

    @property
    def said(self) -> bool:
        """Whether there was text outside a thought."""
        return self._length > 0

    @property
    def length(self) -> int:
        """How many characters there were outside thoughts."""
        return self._length

    def place(self, at: int) -> int:
        """Where among all that was said that stands which was read at ``at``; what is said next, if it was no such."""
        number = bisect_right(self._starts, at, key=lambda start: start[0]) - 1
        if number < 0:
            return 0
        read, said = self._starts[number]
        end = self._starts[number + 1][1] if number + 1 < len(self._starts) else self._length
        return min(said + at - read, end)

    def feed(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        rest, self._held = self._held + text, ""
        while rest:
            tags = (self._closing,) if self._closing else _OPENING
            at, tag = _first(rest, tags)
            if at < 0:
                kept = _beginning(rest, tags)
                self._held = rest[len(rest) - kept :]
                self._tell(rest[: len(rest) - kept], pieces)
                return pieces
            self._tell(rest[:at], pieces)
            self._at += len(tag)
            rest = rest[at + len(tag) :]
            self._blanks = ""
            self._closing = "" if self._closing else f"</{tag[1:]}"
            self._fresh = True
        return pieces

    def end(self) -> list[Piece]:
        """What was held back, which is no tag after all."""
        pieces: list[Piece] = []
        held, self._held = self._held, ""
        self._tell(held, pieces)
        self._blanks = ""
        return pieces

    def _tell(self, text: str, pieces: list[Piece]) -> None:
        inside = bool(self._closing)
        self._at += len(text)
        if self._fresh and (inside or not self.said):
            text = text.lstrip(_LINE_ENDS)
        if not text:
            return
        fresh, self._fresh = self._fresh, False
        if inside:
            bare = text.rstrip(_LINE_ENDS)
            if not bare:
                self._blanks += text
                return
            text, self._blanks = self._blanks + bare, text[len(bare) :]
            if fresh and self._last:
                text = GAP + text
        else:
            self._begin(self._at - len(text))
            self._length += len(text)
        self._last = inside
        pieces.append((inside, text))

    def _begin(self, at: int) -> None:
        """Note that what was read at ``at`` is said now, if that is not just what follows."""
        read, said = self._starts[-1] if self._starts else (-1, 0)
        if read < 0 or at - read != self._length - said:
            self._starts.append((at, self._length))


def _first(text: str, tags: Iterable[str]) -> tuple[int, str]:
    """Where the first of ``tags`` stands, and which; -1 without one."""
    found = [(at, tag) for tag in tags if (at := text.find(tag)) >= 0]
    return min(found, default=(-1, ""))


def _beginning(text: str, tags: Iterable[str]) -> int:
    """How many characters at the end of ``text`` could be the beginning of one of ``tags``."""
    at = text.rfind("<")
    tail = text[at:] if at >= 0 else ""
    return len(tail) if tail and any(tag.startswith(tail) for tag in tags) else 0


# ---- whole answers --------------------------------------------------------------------------------------------------


def split_response(response: Response) -> Response:
    """The same as a stream would make of it; the very response where there is nothing to take out."""
    parts = _split_parts(response.parts, response.origin)
    others = tuple(
        [msgspec.structs.replace(other, parts=_split_parts(other.parts, response.origin)) for other in response.others]
    )
    if parts == response.parts and others == response.others:
        return response
    return msgspec.structs.replace(response, parts=parts, others=others)


def _split_parts(parts: tuple[Part, ...], origin: WireFormat) -> tuple[Part, ...]:
    """Of one answer."""
    told: list[Part] = []
    apart = False
    for part in parts:
        apart = apart or isinstance(part, Reasoning)
        told.extend((part,) if apart else _split(part, origin))
    return tuple(told)


def _split(part: Part, origin: WireFormat) -> list[Part]:
    if not isinstance(part, Text) or "<" not in part.text:
        return [part]
    splitter = Splitter()
    runs: list[tuple[bool, list[str]]] = []
    for inside, piece in (*splitter.feed(part.text), *splitter.end()):
        if not runs or runs[-1][0] is not inside:
            runs.append((inside, []))
        runs[-1][1].append(piece)
    parts: list[Part] = [
        Reasoning(text="".join(texts), origin=origin)
        if inside
        else msgspec.structs.replace(part, text="".join(texts), extra={})
        for inside, texts in runs
    ]
    last = parts[-1] if parts else None
    if isinstance(last, Text):  # what is known of a text besides its words, such as a signature, stands once
        before = splitter.length - len(last.text)
        parts[-1] = msgspec.structs.replace(last, extra=_known(part.extra, splitter, before))
    return parts


def _known(extra: Json, splitter: Splitter, before: int) -> Json:
    """What is known of a text, for the last stretch of it; ``before`` it that many characters were said."""
    return moved(extra, lambda at: max(0, splitter.place(at) - before))


# ---- streams --------------------------------------------------------------------------------------------------------


class ThinkingApart:
    """Events in, events out: each text part becomes as many parts of text and of thought as its tags make of it, in
    every answer to the request for itself.

    Where the provider tells a thought as one, the tags of that answer are text like any other from there on.
    """

    __slots__ = ("_answers", "_origin")

    def __init__(self) -> None:
        self._origin = WireFormat.OPENAI_CHAT
        self._answers: dict[int, _Answer] = {}

    @property
    def changed(self) -> bool:
        return any(answer.changed for answer in self._answers.values())

    def see(self, event: Event) -> Sequence[Event]:
        match event:
            case PartDelta() | PartStarted() | PartEnded():
                return self._answer(0).see(event)
            case OfChoice(event=Finished()):
                return [event]
            case OfChoice(event=PartDelta() | PartStarted() | PartEnded() as inner):
                return [OfChoice(event.choice, told) for told in self._answer(event.choice).see(inner)]
            case Started():
                self._origin = event.origin
        return [event]

    def _answer(self, choice: int) -> "_Answer":
        found = self._answers.get(choice)
        if found is None:
            found = self._answers[choice] = _Answer(self._origin)
        return found


_OfPart = PartStarted | PartDelta | PartEnded


class _Answer:
    """The parts of one answer."""

    __slots__ = ("_apart", "_at", "_head", "_open", "_origin", "_splitter", "_told", "changed")

    def __init__(self, origin: WireFormat) -> None:
        self._apart = False
        self._origin = origin
        self._at = -1  # the last index told
        self._splitter: Splitter | None = None  # of the text part that is open
        self._head: Text | None = None  # of the same, until it is told
        self._open: bool | None = None  # of the part being told: whether it is a thought
        self._told = 0  # characters of the same
        self.changed = False

    def see(self, event: _OfPart) -> list[_OfPart]:
        match event:
            case PartDelta() if self._splitter is not None:
                return self._tell(self._splitter.feed(event.text))
            case PartDelta():
                return [PartDelta(self._at, event.text)]
            case PartStarted(part=Text() as part) if not self._apart:
                self._splitter, self._open = Splitter(), None
                self._head = msgspec.structs.replace(part, text="")
                return self._tell(self._splitter.feed(part.text)) if part.text else []
            case PartStarted():
                self._apart = self._apart or isinstance(event.part, Reasoning)
                self._at += 1
                return [PartStarted(self._at, event.part)]
            case PartEnded() if self._splitter is not None:
                return self._end(event, self._splitter)
            case PartEnded():
                return [PartEnded(self._at, event.signature, event.extra)]

    def _end(self, event: PartEnded, splitter: Splitter) -> list[_OfPart]:
        events = self._tell(splitter.end())
        if self._open is None and self._head is not None and splitter.idle:  # not tags alone
            events += self._begin(inside=False)
        if self._open is not None:
            # What is only known of a text at its end belongs to no thought.
            extra = {} if self._open else _known(event.extra, splitter, splitter.length - self._told)
            events.append(PartEnded(self._at, event.signature, extra))
        self._splitter = self._head = self._open = None
        return events

    def _tell(self, pieces: list[Piece]) -> list[_OfPart]:
        events: list[_OfPart] = []
        for inside, text in pieces:
            if self._open is not inside:
                if self._open is not None:
                    events.append(PartEnded(self._at))
                events += self._begin(inside=inside)
            events.append(PartDelta(self._at, text))
            self._told += len(text)
        return events

    def _begin(self, *, inside: bool) -> list[_OfPart]:
        self._at += 1
        self._open, self._told = inside, 0
        if inside:
            self.changed = True
            return [PartStarted(self._at, Reasoning(text="", origin=self._origin))]
        return [PartStarted(self._at, self._head or Text(""))]
