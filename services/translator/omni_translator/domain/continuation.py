"""Going on with an answer that its provider broke off: what the client has of it, how another provider is asked for the
rest, and how the rest is fitted behind it.

Theory of operation. The bytes that the client was sent say all there is to know: a decoder of its own format makes
events of them, and an encoder that is shown these events stands where the first one stood. A **seam** then fits the
events of the second answer behind them: it begins no answer anew, goes on in the text that is open, counts parts from
there, and drops what the second provider says again of the end of that text. Only a text can be gone on with. What the
second one thinks first is left out: the place for thoughts is before the text.

Calls of tools are held until they are whole (``WholeCalls``), so that no half of one is ever with the client: where one
breaks off, it has not been begun, and is made anew.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from omni_wire.errors import UpstreamFailed, WireError
from omni_wire.usage import Usage

from omni_translator.domain.codec import Codec
from omni_translator.domain.events import (
    Checker,
    Event,
    Finished,
    KeepAlive,
    OfChoice,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    fold,
)
from omni_translator.domain.model import Conversation, Message, Reasoning, Response, Role, Text, ToolCall

PROMPT: Final = (
    "Your answer was cut off in transmission after the last character above. Go on from exactly there, in the same "
    "language and format, in mid-word if need be. Repeat nothing of it, add no introduction and no remark on the "
    "interruption."
)
# Fewer characters alike, or fewer letters among them, are no repetition: "ha" after "ha" may be meant, and so may a
# line with a brace after another.
_LEAST_REPEATED, _LEAST_LETTERS = 8, 3
# So much of a text said again from its beginning is one that begins anew; of a short one, more than half.
_ANEW: Final = 16
# Of less nobody can tell what is said again: "10" after "1" is ten, or a hundred and ten.
_LEAST_TEXT: Final = 4


class Begun(msgspec.Struct, frozen=True):
    """``events`` are those of what the client has. ``text`` is the last of its texts, ``inside`` whether that is still
    open, ``parts`` how many there are, that one included."""

    events: tuple[Event, ...]
    text: str
    inside: bool
    parts: int


def read(codec: Codec, sent: bytes) -> Begun:
    """What ``sent``, the beginning of a stream in the client's format, tells. Raises ``WireError`` where it cannot be
    gone on with: there is no text, a call that waits for its result, more than one answer, or its end."""
    decoder = codec.stream_decoder()
    events = [event for event in decoder.feed(sent) if type(event) is not KeepAlive]
    if decoder.error is not None:
        raise decoder.error
    checker = Checker()
    for event in events:
        checker.see(event)
    if checker.state not in ("inside", "between") or any(isinstance(event, OfChoice) for event in events):
        raise WireError("this answer has no single text to go on with")
    response = fold(events)
    last = response.parts[-1] if response.parts else None
    if not isinstance(last, Text) or len(last.text.strip()) < _LEAST_TEXT or not _only_text(response):
        raise WireError("this answer does not end in a text")
    return Begun(tuple(events), last.text, checker.state == "inside", len(response.parts))


def _only_text(response: Response) -> bool:
    return all(isinstance(part, Text | Reasoning) for part in response.parts)


def asked(conversation: Conversation, begun: Begun, prefill: bool) -> Conversation:
    """The request for the rest: the text as the model's own last words, with ``prefill`` for it to go on in, else with
    the user asking for that. Raises ``WireError`` where the answer is to have a form, which only a whole one has."""
    if conversation.output_format is not None:
        raise WireError("an answer of a given form is not gone on with")
    response = fold(begun.events)
    texts = [part for part in response.parts if isinstance(part, Text)]
    if prefill:  # which may not end in blanks (docs.anthropic.com, prefill): the seam knows that they are there
        texts[-1] = msgspec.structs.replace(texts[-1], text=texts[-1].text.rstrip())
    plain = tuple(Text(part.text) for part in texts if part.text)
    messages = [*conversation.messages, Message(role=Role.ASSISTANT, parts=plain)]
    if not prefill:
        messages.append(Message(role=Role.USER, parts=(Text(PROMPT),)))
    return msgspec.structs.replace(conversation, messages=tuple(messages))


class WholeCalls:
    """Holds a call of a tool until it has ended."""

    def __init__(self) -> None:
        self._held: list[Event] = []
        self._index = -1

    def see(self, event: Event) -> Sequence[Event]:
        if self._index < 0:
            if not (isinstance(event, PartStarted) and isinstance(event.part, ToolCall)):
                return (event,)
            self._index = event.index
        if isinstance(event, PartStarted | PartDelta | PartEnded):
            self._held.append(event)
            if isinstance(event, PartEnded):
                held, self._held, self._index = self._held, [], -1
                return held
            return ()
        if isinstance(event, UsageReported | KeepAlive):
            return (event,)
        held, self._held, self._index = self._held, [], -1  # its end comes with the answer's, or never
        return (*held, event) if isinstance(event, Finished) else (event,)


class Seam:
    """Fits the events of another answer behind ``begun``. ``used`` is what was used for that already.

    Raises ``UpstreamFailed`` where the other one begins the answer anew, so that what the client has would come twice.
    """

    def __init__(self, begun: Begun, used: Usage, prefill: bool) -> None:
        self._text, self._open, self._next = begun.text, begun.inside, begun.parts
        self._used, self._prefill = used, prefill
        self._at: dict[int, int] = {}  # the parts of the other answer, by index, as parts of the whole
        self._left_out: set[int] = set()
        self._fresh: str | None = ""  # the first of its text, until it is known to be none that the client has
        self.lost_thoughts = False

    def see(self, event: Event) -> Sequence[Event]:
        match event:
            case Started():
                return ()
            case PartStarted():
                return self._start(event)
            case PartDelta():
                return self._more(event)
            case PartEnded():
                return self._end(event)
            case UsageReported():
                return (UsageReported(self._used.plus(event.usage)),)
            case Finished():
                return (*self._close(), event)
            case OfChoice():
                raise WireError("an answer that was gone on with has one choice")
            case _:
                return (event,)

    def _start(self, event: PartStarted) -> Sequence[Event]:
        if isinstance(event.part, Reasoning):
            self._left_out.add(event.index)
            self.lost_thoughts = True
            return ()
        if isinstance(event.part, Text) and self._open and self._fresh is not None:
            self._at[event.index] = self._next - 1
            return self._more(PartDelta(event.index, event.part.text)) if event.part.text else ()
        closing = self._close()
        self._at[event.index] = self._next
        self._next += 1
        if not isinstance(event.part, Text):
            self._fresh = None
        return (*closing, PartStarted(self._at[event.index], event.part))

    def _more(self, event: PartDelta) -> Sequence[Event]:
        if event.index in self._left_out:
            return ()
        text = event.text if self._fresh is None else self._first(event.text, last=False)
        return (PartDelta(self._at[event.index], text),) if text else ()

    def _end(self, event: PartEnded) -> Sequence[Event]:
        if event.index in self._left_out:
            return ()
        at = self._at[event.index]
        rest = self._first("", last=True) if self._fresh is not None else ""
        if at == self._next - 1:
            self._open = False
        ended = PartEnded(at, event.signature, event.extra)
        return (PartDelta(at, rest), ended) if rest else (ended,)

    def _close(self) -> Sequence[Event]:
        """End the text that is open."""
        if not self._open:
            return ()
        self._open = False
        at = self._next - 1
        rest = self._first("", last=True) if self._fresh is not None else ""
        return (PartDelta(at, rest), PartEnded(at)) if rest else (PartEnded(at),)

    def _first(self, more: str, *, last: bool) -> str:
        """What is new of the other's first words; nothing until that can be told. ``last``: no more of them come."""
        fresh = self._fresh = (self._fresh or "") + more
        if self._prefill:
            blanks = self._text[len(self._text.rstrip()) :]
            if not last and fresh and len(fresh) < len(blanks) and blanks.startswith(fresh):
                return ""
            new = fresh[len(blanks) :] if fresh.startswith(blanks) else fresh.lstrip() if blanks else fresh
        else:
            text, said = self._text.lstrip(), fresh.lstrip()
            alike = _alike(said, text)
            if not last and fresh and (fresh in self._text or alike == len(said)):
                return ""
            if alike == len(text):
                new = said[alike:]
            elif alike >= min(_ANEW, len(text) // 2 + 1):
                raise UpstreamFailed("the provider that was to go on with the answer began it anew")
            else:
                new = fresh[_repeated(self._text, fresh) :]
        self._fresh = None
        return new


def _repeated(text: str, fresh: str) -> int:
    """How many of the first characters of ``fresh`` are the last of ``text``."""
    for length in range(min(len(text), len(fresh)), _LEAST_REPEATED - 1, -1):
        if text.endswith(fresh[:length]):
            letters = [char for char in fresh[:length] if char.isalnum()]
            return length if len(set(letters)) >= _LEAST_LETTERS else 0
    return 0


def _alike(one: str, other: str) -> int:
    """How many characters both begin with, however they are written."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right and left.casefold() != right.casefold():
            break
        count += 1
    return count
