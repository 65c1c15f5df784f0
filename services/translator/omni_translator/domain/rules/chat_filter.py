"""Answer rules over Chat's own bytes: only the events that a rule changes are written anew, all others stay.

For an answer that is relayed, whose choices and unknown fields the canonical model would not all hold, and for what is
written to a client that wants it sanitized. It sees what the taps have seen before, and judges nothing: what it cannot
read it passes on.
"""

from typing import Any, Final

from omni_catalogue.rules import AnswerRules
from omni_wire.errors import WireError
from omni_wire.sse import SseSplitter, parse_event

from omni_translator.domain.citations import KEY, moved
from omni_translator.domain.fields import from_json, to_json
from omni_translator.domain.model import Json
from omni_translator.domain.rules.sanitize import sanitized
from omni_translator.domain.rules.think_tags import GAP, Piece, Splitter

_DONE: Final = b"[DONE]"
# What an event has that may hold a tag, whose sign Go writes as an escape, or a citation.
_TELLING: Final = (b"<", b"\\u003", KEY.encode())
_ENVELOPE: Final = ("id", "object", "created", "model", "system_fingerprint")


class ChatFilter:
    """``changed`` names the rules that have changed something."""

    __slots__ = ("_calling", "_choices", "_envelope", "_events", "_rules", "changed")

    def __init__(self, rules: AnswerRules) -> None:
        self._rules = rules
        self._events = SseSplitter()
        self._choices: dict[int, _Choice] = {}
        self._calling: set[int] = set()
        self._envelope: Json = {}
        self.changed: set[str] = set()

    def whole(self, body: bytes) -> bytes:
        answer = _object(body)
        if answer is None:
            return body
        edited = answer
        if self._rules.think_tags:
            edited = self._apart(answer, last=True)
        if self._rules.sanitize:
            edited = self._clean(edited)
        return body if edited is answer else to_json(edited)

    def feed(self, chunk: bytes) -> bytes:
        return b"".join([self._event(raw) for raw in self._events.feed(chunk)])

    def end(self) -> bytes:
        """What came last without its blank line. A stream that broke off tells no more than it did."""
        return self._events.rest

    def _event(self, raw: bytes) -> bytes:
        thinks = self._rules.think_tags
        if not self._rules.sanitize and not any(sign in raw for sign in _TELLING) and self._in_the_middle():
            return raw
        data = parse_event(raw).data
        if data == _DONE:
            return self._left_over() + raw
        chunk = _object(data)
        if chunk is None:
            return raw
        self._remember(chunk)
        edited = self._apart(chunk, last=False) if thinks else chunk
        if self._rules.sanitize:
            edited = self._clean(edited)
        return raw if edited is chunk else b"data: %b\n\n" % to_json(edited)

    def _in_the_middle(self) -> bool:
        """Whether text without a tag says nothing new: what comes first of a choice does, to the line ends after it."""
        choices = self._choices.values()
        return bool(choices) and all(choice.at_rest and choice.splitter.said for choice in choices)

    def _remember(self, chunk: Json | None) -> None:
        if chunk is not None and not self._envelope:
            self._envelope = {name: chunk[name] for name in _ENVELOPE if name in chunk}

    def _clean(self, answer: Json) -> Json:
        clean = sanitized(answer, self._calling)
        if clean is not answer:
            self.changed.add("sanitize")
        return clean

    def _apart(self, answer: Json, *, last: bool) -> Json:
        choices = answer.get("choices")
        if not isinstance(choices, list):
            return answer
        edited = [self._choice(choice, at, last=last) for at, choice in enumerate(choices)]
        if all(new is old for new, old in zip(edited, choices, strict=True)):
            return answer
        self.changed.add("think_tags")
        return answer | {"choices": edited}

    def _choice(self, choice: Any, at: int, *, last: bool) -> Any:
        if not isinstance(choice, dict):
            return choice
        field = "message" if last else "delta"
        said = choice.get(field)
        index = choice.get("index", at)
        if not isinstance(said, dict | None) or not isinstance(index, int):
            return choice
        text = said.get("content") if said is not None else None
        state = self._choices.setdefault(index, _Choice())
        if state.tells_apart(said or {}):
            return choice
        pieces = state.splitter.feed(text) if isinstance(text, str) else []
        if last or choice.get("finish_reason") is not None:
            pieces += state.splitter.end()
        if not pieces and not isinstance(text, str) and not (said and KEY in said):
            return choice
        content, thought = state.told(pieces)
        placed = moved(said or {}, state.splitter.place)
        if not thought and content == (text or "") and placed == (said or {}):
            return choice
        edited = dict(placed)
        if content or "content" in edited:
            edited["content"] = content
        if thought:
            edited["reasoning_content"] = thought
        return choice | {field: edited}

    def _left_over(self) -> bytes:
        """What was held back of choices that the provider gave no end."""
        choices = []
        for index, choice in self._choices.items():
            content, thought = choice.told(choice.splitter.end())
            delta = {"content": content} if content else {"reasoning_content": thought} if thought else {}
            if delta:
                choices.append({"index": index, "delta": delta, "finish_reason": None})
        return b"data: %b\n\n" % to_json(self._envelope | {"choices": choices}) if choices else b""


class _Choice:
    """One choice of an answer: where its text stands, and whether its thoughts come in a field of their own."""

    __slots__ = ("_apart", "_between", "_thought", "splitter")

    def __init__(self) -> None:
        self.splitter = Splitter()
        self._apart = False
        self._thought = False  # has told one
        self._between = False  # and text after it

    @property
    def at_rest(self) -> bool:
        return self.splitter.idle

    def tells_apart(self, said: Json) -> bool:
        """Whether the provider tells thoughts in a field, and so its tags are text like any other."""
        if self.at_rest and not self._thought and any(said.get(name) for name in ("reasoning_content", "reasoning")):
            self._apart = True
        return self._apart

    def told(self, pieces: list[Piece]) -> tuple[str, str]:
        """Content and thoughts, which have a blank line wherever text parted them."""
        content, thought = "", ""
        for inside, text in pieces:
            if inside:
                thought += (GAP if self._between else "") + text
                self._thought, self._between = True, False
            else:
                content += text
                self._between = self._thought
        return content, thought


def _object(data: bytes | None) -> Json | None:
    if not data:
        return None
    try:
        value = from_json(data)
    except WireError:
        return None
    return value if isinstance(value, dict) else None
