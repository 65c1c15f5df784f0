"""An answer past its guards, whole or as it streams: marks in the place of what must not reach the client, and what was
masked in its request back in the place of its marks.

Each part of an answer is a text of its own. Thoughts keep their marks: their provider signed what it said, and wants
that back. A thought in which something is masked has lost its proof, and no longer says that it has one. What hangs on
a text and repeats it in pieces (probabilities of tokens) goes where something of the answer was masked.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from omni_catalogue.guards import BLOCK, MASK, OFF, REPORT, AnswerGuards

from omni_translator.domain.events import Event, OfChoice, PartDelta, PartEnded, PartStarted
from omni_translator.domain.fields import to_json
from omni_translator.domain.guards import tree
from omni_translator.domain.guards.detectors import detectors
from omni_translator.domain.guards.masking import JsonMasker, Masker, Restorer, TextMasker
from omni_translator.domain.guards.request import Finding, Refused, told
from omni_translator.domain.guards.scanner import Mark, Marks
from omni_translator.domain.model import Json, Part, Reasoning, Refusal, Response, Text, ToolCall

_PROBABLE: Final = frozenset(("logprobs", "logprobsResult", "avgLogprobs"))
_LEVELS: Final = 8


class AnswerGuard:
    """Of one answer, with all its choices. ``see`` and ``whole`` raise ``Refused`` where the guard blocks."""

    __slots__ = ("_detectors", "_escaped", "_marks", "_mode", "_open", "_originals")

    def __init__(self, guards: AnswerGuards, marks: Iterable[Mark] = ()) -> None:
        given = tuple(marks)
        self._mode = guards.pii
        looks = guards.pii != OFF
        self._detectors = detectors(guards.kinds, guards.patterns) if looks else detectors((), ())
        self._marks = Marks(given)
        self._originals = {mark.token: mark.original for mark in given} if guards.restore else {}
        self._escaped = {token: to_json(text).decode()[1:-1] for token, text in self._originals.items()}
        self._open: dict[int, _Open] = {}  # by choice

    @property
    def findings(self) -> tuple[Finding, ...]:
        return told(self._marks.found, self._mode)

    def see(self, event: Event) -> list[Event]:
        match event:
            case PartStarted() | PartDelta() | PartEnded():
                told_here: list[Event] = [*self._part(0, event)]
            case OfChoice(choice=choice, event=PartStarted() | PartDelta() | PartEnded() as inner):
                told_here = [OfChoice(choice, each) for each in self._part(choice, inner)]
            case _:
                return [event]
        self._refuse()
        return told_here

    def whole(self, response: Response) -> Response:
        parts = tuple([self._whole(part) for part in response.parts])
        others = tuple(
            [
                msgspec.structs.replace(
                    other, parts=tuple([self._whole(part) for part in other.parts]), extra=self._hangs(other.extra)
                )
                for other in response.others
            ]
        )
        self._refuse()
        return msgspec.structs.replace(response, parts=parts, others=others, extra=self._hangs(response.extra))

    def _refuse(self) -> None:
        if self._mode == BLOCK and self._marks.found:
            raise Refused(self.findings, answer=True)

    def _whole(self, part: Part) -> Part:
        """The same as a stream would make of it."""
        if not isinstance(part, Text | Refusal | Reasoning | ToolCall):
            return self._block(part)
        open_ = self._begin(part)
        said = open_.feed(_said(part)) + open_.end()
        extra = self._hangs(part.extra)
        if isinstance(part, ToolCall):
            return msgspec.structs.replace(part, arguments=said, extra=extra)
        if isinstance(part, Reasoning):
            return msgspec.structs.replace(
                part, text=said, extra=extra, signature="" if open_.changed else part.signature
            )
        return msgspec.structs.replace(part, text=said, extra=extra)

    def _block(self, part: Part) -> Part:
        def plain(text: str) -> str:
            open_ = self._reading(TextMasker(self._detectors, self._marks), self._originals)
            return open_.feed(text) + open_.end()

        return tree.of_part(part, tree.Texts(plain, plain))

    def _part(
        self, choice: int, event: PartStarted | PartDelta | PartEnded
    ) -> list[PartStarted | PartDelta | PartEnded]:
        match event:
            case PartStarted(part=Text() | Refusal() | Reasoning() | ToolCall() as part):
                self._open[choice] = open_ = self._begin(part)
                said = open_.feed(_said(part))
                field = "arguments" if isinstance(part, ToolCall) else "text"
                changed = part if said == _said(part) else msgspec.structs.replace(part, **{field: said})
                return [event if changed is part else PartStarted(event.index, changed)]
            case PartStarted():
                self._open.pop(choice, None)
                return [PartStarted(event.index, self._block(event.part))]
            case PartDelta():
                open_now = self._open.get(choice)
                said = open_now.feed(event.text) if open_now is not None else event.text
                return [event if said == event.text else PartDelta(event.index, said)] if said else []
            case PartEnded():
                ended = self._open.pop(choice, None)
                if ended is None:
                    return [event]
                rest = ended.end()
                signature = "" if ended.thinks and ended.changed else event.signature
                last = PartEnded(event.index, signature, self._hangs(event.extra))
                return [PartDelta(event.index, rest), last] if rest else [last]

    def _begin(self, part: Text | Refusal | Reasoning | ToolCall) -> "_Open":
        json = isinstance(part, ToolCall) and not part.freeform
        masker: Masker = (JsonMasker if json else TextMasker)(self._detectors, self._marks)
        thinks = isinstance(part, Reasoning)
        restored: dict[str, str] = {} if thinks else self._escaped if json else self._originals
        return self._reading(masker, restored, thinks=thinks)

    def _reading(self, masker: Masker, restored: dict[str, str], *, thinks: bool = False) -> "_Open":
        return _Open(masker, Restorer(restored), thinks=thinks, reports=self._mode == REPORT)

    def _hangs(self, extra: Json) -> Json:
        return _without(extra, _PROBABLE, 0) if extra and self._mode == MASK and self._marks.found else extra


class _Open:
    """A part on its way, of which what is found is only reported where it ``reports``. ``changed``: something of it was
    masked."""

    __slots__ = ("_came", "_masker", "_reports", "_restorer", "_went", "thinks")

    def __init__(self, masker: Masker, restorer: Restorer, *, thinks: bool, reports: bool) -> None:
        self._masker = masker
        self._restorer = restorer
        self._came = self._went = ""
        self._reports = reports
        self.thinks = thinks

    @property
    def changed(self) -> bool:
        return self._came != self._went

    def feed(self, text: str) -> str:
        return self._tell(text, self._masker.feed(text))

    def end(self) -> str:
        return self._tell("", self._masker.end()) + self._restorer.end()

    def _tell(self, text: str, masked: str) -> str:
        if self._reports:
            masked = text
        if self.thinks:
            self._came += text
            self._went += masked
        return self._restorer.feed(masked)


def _said(part: Text | Refusal | Reasoning | ToolCall) -> str:
    return part.arguments if isinstance(part, ToolCall) else part.text


def _without(value: Any, names: frozenset[str], level: int) -> Any:
    if level > _LEVELS:
        return value
    if isinstance(value, dict):
        return {key: _without(item, names, level + 1) for key, item in value.items() if key not in names}
    return [_without(item, names, level + 1) for item in value] if isinstance(value, list) else value
