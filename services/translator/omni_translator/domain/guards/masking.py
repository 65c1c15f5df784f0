"""Texts with marks in the place of what was found: plain ones, and JSON that comes in pieces cut anywhere.

``TextMasker`` and ``JsonMasker`` take pieces of one text and give what of it is certain; all that is no finding keeps
its spelling. JSON stays JSON: what its strings say is read with their escapes undone, a mark outside a string gets
quotes. Nothing is found across the border of a string.
"""

import re
from typing import Final, Protocol

from omni_translator.domain.guards.detectors import Detectors
from omni_translator.domain.guards.scanner import Marks, Scanner, Stretch

_PLAIN: Final = re.compile(r'[^"\\]+')
_OUTSIDE: Final = re.compile(r'[^"]+')
_WORD: Final = re.compile(r"[^\s{}\[\],:]+|[\s{}\[\],:]+")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_UNICODE: Final = 6  # characters of \u00e9
# A mark, whichever, and what could be the beginning of one: however many there are, they cost no more to look for.
_ONE: Final = re.compile(r"\[[A-Z][A-Z0-9_]{0,40}_[0-9]{1,9}\]")
_BEGUN: Final = re.compile(r"\[(?:[A-Z][A-Z0-9_]{0,50})?")


class Masker(Protocol):
    def feed(self, text: str) -> str: ...

    def end(self) -> str: ...


class TextMasker:
    __slots__ = ("_held", "_scanner")

    def __init__(self, detectors: Detectors, marks: Marks) -> None:
        self._scanner = Scanner(detectors, marks)
        self._held = ""

    def feed(self, text: str) -> str:
        return self._tell(text, self._scanner.feed(text))

    def end(self) -> str:
        return self._tell("", self._scanner.end())

    def _tell(self, text: str, stretches: list[Stretch]) -> str:
        buffer = self._held + text
        out, at = _spelt(buffer, stretches)
        self._held = buffer[at:]
        return out


def mask_text(text: str, detectors: Detectors, marks: Marks) -> str:
    """The very text where nothing is found in it."""
    stretches = Scanner(detectors, marks).whole(text)
    if all(not stretch.token for stretch in stretches):
        return text
    return _spelt(text, stretches)[0]


def mask_json(text: str, detectors: Detectors, marks: Marks) -> str:
    masker = JsonMasker(detectors, marks)
    return masker.feed(text) + masker.end()


def _spelt(text: str, stretches: list[Stretch]) -> tuple[str, int]:
    out: list[str] = []
    at = 0
    for stretch in stretches:
        out.append(stretch.token or text[at : at + stretch.length])
        at += stretch.length
    return "".join(out), at


class JsonMasker:
    __slots__ = ("_detectors", "_escape", "_inside", "_marks", "_scanner", "_spelt")

    def __init__(self, detectors: Detectors, marks: Marks) -> None:
        self._detectors = detectors
        self._marks = marks
        self._inside = False  # a string
        self._escape = ""  # the beginning of one
        self._spelt: list[str] = []  # how each character that the scanner holds is written
        self._scanner = Scanner(detectors, marks)

    def feed(self, text: str) -> str:
        out: list[str] = []
        text, self._escape, at = self._escape + text, "", 0
        while at < len(text):
            at = self._string(text, at, out) if self._inside else self._between(text, at, out)
        return "".join(out)

    def end(self) -> str:
        out: list[str] = []
        if self._escape:  # no JSON after all
            escape, self._escape = self._escape, ""
            self._read(escape, list(escape), out)
        self._close(out)
        return "".join(out)

    def _string(self, text: str, at: int, out: list[str]) -> int:
        """As much of a string as is there, read at one go: its escapes one by one would cost a search each."""
        meant: list[str] = []
        spelt: list[str] = []
        while at < len(text) and (char := text[at]) != '"':
            if char != "\\":
                plain = _PLAIN.match(text, at)
                end = plain.end() if plain is not None else at + 1
                meant.append(text[at:end])
                spelt += text[at:end]
                at = end
                continue
            wanted = _UNICODE if text[at + 1 : at + 2] == "u" else 2
            escape = text[at : at + wanted]
            if len(escape) < wanted:
                self._escape = escape
                at = len(text)
                break
            meant.append(_meant(escape))
            spelt.append(escape)
            at += wanted
        if spelt:
            self._read("".join(meant), spelt, out)
        if at < len(text):
            self._close(out)
            self._inside = False
            out.append('"')
            at += 1
        return at

    def _between(self, text: str, at: int, out: list[str]) -> int:
        """Numbers and words, each a text of its own."""
        if text[at] == '"':
            self._close(out)
            self._inside = True
            out.append('"')
            return at + 1
        outside = _OUTSIDE.match(text, at)
        end = outside.end() if outside is not None else at + 1
        for word in _WORD.finditer(text, at, end):
            if word[0][0] in "{}[],: \t\r\n" or word[0].isspace():
                self._close(out)
                out.append(word[0])
            else:
                self._read(word[0], list(word[0]), out)
        return end

    def _read(self, text: str, spelt: list[str], out: list[str]) -> None:
        """``spelt`` has a spelling a character of ``text``; an escape that is none is spelt as one character."""
        self._spelt += spelt
        self._tell(self._scanner.feed(text), out)

    def _close(self, out: list[str]) -> None:
        if self._spelt:
            self._tell(self._scanner.end(), out)
        self._scanner = Scanner(self._detectors, self._marks)

    def _tell(self, stretches: list[Stretch], out: list[str]) -> None:
        at = 0
        for stretch in stretches:
            end = at + stretch.length
            if not stretch.token:
                out += self._spelt[at:end]
            else:
                out.append(stretch.token if self._inside else f'"{stretch.token}"')
            at = end
        del self._spelt[:at]


def _meant(escape: str) -> str:
    """The one character that an escape stands for, or one that nothing looks for where it is none."""
    if escape[1] == "u":
        try:
            return chr(int(escape[2:], 16))
        except ValueError:
            return "\ufffd"
    return _ESCAPES.get(escape[1], escape[1])


class Restorer:
    """Marks of a request, back to what they stand for, in a text that comes in pieces; what could be the beginning of
    one is held back. In JSON the originals are escaped, as marks stand in strings there."""

    __slots__ = ("_held", "_originals", "restored")

    def __init__(self, originals: dict[str, str]) -> None:
        self._originals = originals
        self._held = ""
        self.restored = 0

    def feed(self, text: str) -> str:
        text = self._held + text
        self._held = ""
        begun = text.rfind("[") if self._originals else -1
        if begun < 0:
            return text
        if _BEGUN.fullmatch(text, begun):
            text, self._held = text[:begun], text[begun:]
        return _ONE.sub(self._original, text)

    def end(self) -> str:
        held, self._held = self._held, ""
        return held

    def _original(self, found: re.Match[str]) -> str:
        original = self._originals.get(found[0])
        if original is None:
            return found[0]
        self.restored += 1
        return original
