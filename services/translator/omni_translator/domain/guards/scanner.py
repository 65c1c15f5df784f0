"""Personal data found in a text that comes in pieces cut anywhere, and what stands in its place.

Theory of operation. A ``Scanner`` reads one text. The first place at which a detector's match is proved is a finding;
of two at one place that of the earlier detector. What could still become a match, as the patterns' ``partial`` says, is
held back until more comes: 256 characters at most, and nothing where nothing can. So where a text is cut changes
nothing: all that is decided of a place would be decided alike with the rest of the text known. A secret without a fixed
end is swallowed from where it is certain that it is one up to where it ends, and told when it has.

What comes out are stretches of the text, in order: each stays as it is, or has a mark in its place.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from omni_catalogue.patterns import MAX_WIDTH

from omni_translator.domain.guards.detectors import LOOKS_BACK, Detector, Detectors

_MOST_SWALLOWED: Final = 8192  # characters of one secret
_MARKER: Final = 80  # what ends one has fewer
_MARK: Final = re.compile(r"\[([A-Z][A-Z0-9_]{0,40})_([0-9]{1,6})\]")


class Mark(msgspec.Struct, frozen=True):
    """What stands for ``original`` where that was masked."""

    token: str
    original: str

    def __repr__(self) -> str:
        return f"Mark({self.token})"


class Marks:
    """The marks of one request and its answer, numbered as their originals come; and what was ``found``, by kind.

    ``taken`` are marks that a client wrote itself: none of ours is called so.
    """

    __slots__ = ("_last", "_tokens", "found", "taken")

    def __init__(self, given: Iterable[Mark] = (), taken: Iterable[str] = ()) -> None:
        self.found: Counter[str] = Counter()
        self.taken = frozenset(taken)
        self._tokens: dict[tuple[str, str], str] = {}
        self._last: dict[str, int] = {}
        for mark in given:
            if (read := _MARK.fullmatch(mark.token)) is not None:
                kind = read[1]
                self._tokens[kind, mark.original] = mark.token
                self._last[kind] = max(self._last.get(kind, 0), int(read[2]))

    def mark(self, kind: str, original: str) -> str:
        self.found[kind] += 1
        name = kind.upper().replace("-", "_")
        token = self._tokens.get((name, original))
        while token is None or token in self.taken:
            self._last[name] = number = self._last.get(name, 0) + 1
            token = f"[{name}_{number}]"
        self._tokens[name, original] = token
        return token

    def all(self) -> tuple[Mark, ...]:
        return tuple(Mark(token, original) for (_, original), token in self._tokens.items())


def marks_in(text: str) -> frozenset[str]:
    """What in a text looks like one of our marks."""
    return frozenset(found[0] for found in _MARK.finditer(text)) if "_" in text else frozenset()


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """``length`` characters of the text; ``token`` stands in their place, empty where they stay."""

    length: int
    token: str = ""


class _Swallowed:
    """A secret that goes on: what of it has been read, of which the first ``begun`` characters made it certain."""

    __slots__ = ("begun", "detector", "text")

    def __init__(self, detector: Detector, text: str, begun: int) -> None:
        self.detector = detector
        self.text = text
        self.begun = begun


class Scanner:
    __slots__ = ("_before", "_detectors", "_held", "_marks", "_swallowed")

    def __init__(self, detectors: Detectors, marks: Marks) -> None:
        self._detectors = detectors
        self._marks = marks
        self._before = ""  # what was read last, for what looks back
        self._held = ""
        self._swallowed: _Swallowed | None = None

    @property
    def held(self) -> int:
        return len(self._held)

    def feed(self, text: str) -> list[Stretch]:
        return self._read(text, last=False)

    def end(self) -> list[Stretch]:
        return self._read("", last=True)

    def whole(self, text: str) -> list[Stretch]:
        """All of it at once, for a scanner that has read nothing."""
        return self._read(text, last=True)

    def _read(self, text: str, *, last: bool) -> list[Stretch]:
        told: list[Stretch] = []
        if (open_ := self._swallowed) is not None:
            before, open_.text = len(open_.text), open_.text + text
            end = _ends(open_.detector, open_.text, 0, max(open_.begun, before - _MARKER), last=last)
            if end < 0:
                return told
            self._swallowed = None
            original, text = open_.text[:end], open_.text[end:]
            told.append(Stretch(end, self._marks.mark(open_.detector.kind, original)))
            self._before = original[-LOOKS_BACK:]
        self._scan(self._before + self._held + text, len(self._before), told, last=last)
        return told

    def _scan(self, buffer: str, at: int, told: list[Stretch], *, last: bool) -> None:
        """Tell what is certain of ``buffer`` from ``at``, and hold back the rest."""
        sure = len(buffer) if last else self._unsure(buffer, at)
        whole = last and not self._before
        search = _Search(self._detectors.each, buffer, whole=whole)
        any_left = whole or self._detectors.any.search(buffer, at) is not None
        while any_left and (found := search.first(at)) is not None and found[0] < sure:
            start, number, end = found
            _keep(start - at, told)
            detector = self._detectors.each[number]
            if detector.stops is not None:
                certain, end = end, _ends(detector, buffer, start, end, last=last)
                if end < 0:
                    self._swallowed = _Swallowed(detector, buffer[start:], certain - start)
                    self._before = self._held = ""
                    return
            told.append(Stretch(end - start, self._marks.mark(detector.kind, buffer[start:end])))
            at = end
            if sure < at:  # what might have become a match began within this one
                sure = self._unsure(buffer, at)
        _keep(sure - at, told)
        self._before = buffer[max(0, sure - LOOKS_BACK) : sure]
        self._held = buffer[sure:]

    def _unsure(self, buffer: str, at: int) -> int:
        """Where that begins which could still become a match."""
        found = self._detectors.partial.search(buffer, max(at, len(buffer) - MAX_WIDTH))
        return found.start() if found is not None else len(buffer)


class _Search:
    """The next match of each detector, looked for again only once what was known is passed."""

    __slots__ = ("_buffer", "_each", "_next")

    def __init__(self, each: Sequence[Detector], buffer: str, *, whole: bool) -> None:
        self._buffer = buffer
        self._each: dict[int, Detector] = {
            number: detector
            for number, detector in enumerate(each)
            if not whole or not detector.hints or any(hint in buffer for hint in detector.hints)
        }
        self._next: dict[int, tuple[int, int, int]] = {}

    def first(self, at: int) -> tuple[int, int, int] | None:
        """Where the first proved match begins from ``at`` on, its detector's number, and where it ends."""
        for number, detector in tuple(self._each.items()):
            known = self._next.get(number)
            if known is None or known[0] < at:
                found = _find(detector, self._buffer, at, number)
                if found is None:
                    del self._each[number]
                    self._next.pop(number, None)
                else:
                    self._next[number] = found
        return min(self._next.values(), default=None)


def _ends(detector: Detector, text: str, start: int, certain: int, *, last: bool) -> int:
    """Where a secret of ``text`` ends that begins at ``start`` and goes on at least up to ``certain``; -1: not yet."""
    limit = min(len(text), start + _MOST_SWALLOWED)
    full = limit == start + _MOST_SWALLOWED
    stop = detector.stops.search(text, certain, limit) if detector.stops is not None else None
    if stop is not None and (last or full or stop.end() < limit):
        return stop.end() if detector.stop_belongs else stop.start()
    return limit if last or full else -1


def _find(detector: Detector, buffer: str, at: int, number: int) -> tuple[int, int, int] | None:
    """Where the next proved match begins, the detector's number, and where it ends."""
    while (found := detector.full.search(buffer, at)) is not None:
        proved = detector.proof(found[0])
        if proved:
            return found.start(), number, found.start() + proved
        at = found.start() + 1
    return None


def _keep(length: int, told: list[Stretch]) -> None:
    if length > 0:
        told.append(Stretch(length))
