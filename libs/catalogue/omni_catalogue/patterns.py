"""Patterns that a configuration may bring: a part of Python's regular expressions whose cost has a bound.

Theory of operation. A pattern is read into characters, repetitions, sequences and choices. Nothing in it looks around
or back, and nothing repeats without an end, so a match is at most ``MAX_WIDTH`` characters wide. ``ways`` bounds how
often one place of a text may be tried before it is given up: where two repetitions stand side by side and the same
characters fit both, their numbers multiply, otherwise not. A pattern with more than ``MAX_WAYS`` is refused, so that
searching takes time in proportion to the text, whatever stands in that.

Of each pattern there are two expressions: ``full`` finds a match, ``partial`` what at the end of a text could become
one if more came. The second is derived from the first, element by element, and holds for a stream what a match may
still need, and no more.
"""

import re
from typing import Final

import msgspec

MAX_WIDTH: Final = 256
MAX_WAYS: Final = 1024
MAX_LENGTH: Final = 200  # of what is written
MIN_WIDTH: Final = 3
_DEPTH: Final = 6
_CLASSES: Final = "dwsDWS"
_ESCAPED: Final = "nrt"
_SPECIAL: Final = "^$*+"
# What stands for all characters where two sets are compared.
_SAMPLE: Final = "".join(map(chr, range(128))) + "éßЖ漢٣\u00a0€"
# A match stands for itself: not within a word, but for one that begins as the second half of an escape (\nabc).
WORD_LEFT: Final = r"(?:(?<!\w)|(?<=\\[nrt]))"
WORD_RIGHT: Final = r"(?!\w)"


class PatternError(ValueError):
    """What is wrong with a pattern, and where: ``at`` counts characters from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(f"{message} (at character {at + 1})")
        self.at = at


class _Node(msgspec.Struct, frozen=True):
    """A piece of a pattern, with its widths, its ``ways``, and the characters it may begin and go on with."""

    full: str
    partial: str
    low: int
    high: int
    ways: int
    first: frozenset[str]
    letters: frozenset[str]
    loose: int = 0  # how many lengths it may have, where it may give some of it back; 0 where it may not
    single: bool = False  # whether it is one character or set of them


class Pattern(msgspec.Struct, frozen=True):
    """``full`` and ``partial`` are regular expressions, with what must stand beside a match in both."""

    full: str
    partial: str
    low: int
    high: int


def compile_pattern(text: str, left: str = WORD_LEFT, right: str = WORD_RIGHT) -> Pattern:
    """Raises ``PatternError``. ``right`` looks at no more than one character beyond a match."""
    if len(text) > MAX_LENGTH:
        raise PatternError(f"has more than {MAX_LENGTH} characters", MAX_LENGTH)
    any_case = text.startswith("(?i)")
    node = _Reader(text, 4 if any_case else 0).read()
    if node.high > MAX_WIDTH:
        raise PatternError(f"may match {node.high} characters, and more than {MAX_WIDTH} are not looked at", 0)
    if node.low < MIN_WIDTH:
        raise PatternError(f"may match fewer than {MIN_WIDTH} characters, which would be found everywhere", 0)
    if node.ways * (node.loose or 1) > MAX_WAYS:
        raise PatternError(
            "is too slow: repetitions stand side by side, or in one another, that the same characters fit; bound them "
            "lower or part them by a character that fits neither",
            0,
        )
    return _between(node, left, right, "i" if any_case else "")


def trusted(text: str, left: str = WORD_LEFT, right: str = WORD_RIGHT) -> Pattern:
    """A pattern of our own, whose length and ways are proved by tests: only its width is bounded here."""
    node = _Reader(text, 0).read()
    if node.high > MAX_WIDTH:
        raise PatternError(f"may match {node.high} characters", 0)
    return _between(node, left, right, "")


def _between(node: "_Node", left: str, right: str, flags: str) -> Pattern:
    return Pattern(
        f"(?{flags}:{left}(?:{node.full}){right})", f"(?{flags}:{left}(?:{node.partial}))", node.low, node.high
    )  # fmt: skip


class _Reader:
    __slots__ = ("_at", "_text")

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._at = at

    def read(self) -> _Node:
        node = self._choice(0)
        if self._at < len(self._text):
            raise PatternError("has a ')' that nothing opens", self._at)
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self, depth: int) -> _Node:
        if depth > _DEPTH:
            raise PatternError(f"has groups more than {_DEPTH} deep", self._at)
        options = [self._sequence(depth)]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else _either(options)

    def _sequence(self, depth: int) -> _Node:
        nodes: list[_Node] = []
        while (char := self._peek()) and char not in "|)":
            nodes.append(self._repeated(self._atom(depth), self._at))
        if not nodes:
            raise PatternError("has an empty choice or group", self._at)
        return _joined(nodes)

    def _atom(self, depth: int) -> _Node:
        at, char = self._at, self._peek()
        self._at += 1
        if char == "(":
            if self._text.startswith("?:", self._at):
                self._at += 2
            elif self._peek() == "?":
                raise PatternError("looks around or names a group, which is not known here; (?:…) groups", at)
            node = self._choice(depth + 1)
            if self._peek() != ")":
                raise PatternError("has a '(' that is not closed", at)
            self._at += 1
            return node
        if char == "[":
            return self._set(at)
        if char == "\\":
            return _chars(self._escape(at))
        if char in _SPECIAL:
            told = "repeats nothing" if char in "*+" else "matches are words of their own already: leave it out"
            raise PatternError(f"{char!r}: {told}; write \\{char} for the character", at)
        if char in "{}?":
            raise PatternError(f"{char!r} repeats nothing; write \\{char} for the character", at)
        return _chars("." if char == "." else re.escape(char))

    def _escape(self, at: int) -> str:
        char = self._peek()
        if not char:
            raise PatternError("ends with a lone '\\'", at)
        self._at += 1
        if char.isalnum() and char not in _CLASSES + _ESCAPED:
            known = ", ".join(f"\\{each}" for each in _CLASSES + _ESCAPED)
            raise PatternError(f"'\\{char}' is not known here (known: {known})", at)
        return "\\" + char

    def _set(self, at: int) -> _Node:
        self._at += self._peek() == "^"
        first = True
        while (char := self._peek()) != "]" or first:
            if not char:
                raise PatternError("has a '[' that is not closed", at)
            first = False
            self._at += 1
            if char == "\\":
                self._escape(self._at - 1)
            elif char == "[":
                raise PatternError("has '[' within '[…]'; write \\[", self._at - 1)
        self._at += 1
        source = self._text[at : self._at]
        try:
            return _chars(source)
        except re.error as error:
            raise PatternError(f"{source}: {error.msg}", at) from None

    def _repeated(self, node: _Node, at: int) -> _Node:
        char = self._peek()
        if char in ("*", "+"):
            more = f"{{{0 if char == '*' else 1},64}}"
            raise PatternError(f"repeats without an end; write {more} instead of {char}", at)
        if char == "?":
            self._at += 1
            low, high = 0, 1
        elif char == "{":
            end = self._text.find("}", at)
            found = re.fullmatch(r"([0-9]{1,3})(?:,([0-9]{1,3}))?", self._text[at + 1 : end]) if end > 0 else None
            if found is None:
                raise PatternError("a repetition is written {3} or {1,64}", at)
            low, high = int(found[1]), int(found[2] or found[1])
            self._at = end + 1
        else:
            return node
        if low > high or high == 0 or high > MAX_WIDTH:
            raise PatternError(f"a repetition is of 1 to {MAX_WIDTH}, the lower number first", at)
        if self._peek() in ("?", "*", "+", "{"):
            raise PatternError("repeats a repetition; put the first in (?:…)", self._at)
        return _many(node, low, high)


def _chars(source: str) -> _Node:
    known = re.compile(source, re.IGNORECASE | re.DOTALL)
    letters = frozenset(char for char in _SAMPLE if known.match(char))
    return _Node(source, r"\Z", 1, 1, 1, letters, letters, single=True)


def _either(nodes: list[_Node]) -> _Node:
    first = frozenset[str]().union(*(node.first for node in nodes))
    apart = sum(len(node.first) for node in nodes) == len(first)  # the first character tells which it is
    ways = max(node.ways for node in nodes) if apart else sum(node.ways for node in nodes)
    return _Node(
        f"(?:{'|'.join(node.full for node in nodes)})",
        f"(?:{'|'.join(node.partial for node in nodes)})",
        min(node.low for node in nodes),
        max(node.high for node in nodes),
        ways,
        first,
        frozenset[str]().union(*(node.letters for node in nodes)),
        max(node.loose for node in nodes),
    )


def _joined(nodes: list[_Node]) -> _Node:
    full, partial = "", r"\Z"
    low = high = 0
    ways = loose = 1
    first: frozenset[str] = frozenset()
    for node in reversed(nodes):
        if node.loose and node.letters & first:
            # What it gives back may begin what comes after, so each of its lengths is a way of its own.
            ways *= node.loose
        if low == 0:  # the sequence may end with it
            loose *= node.loose or 1
        ways *= node.ways
        partial = f"(?:{node.partial}|{node.full}{partial})"
        full = node.full + full
        low, high = low + node.low, high + node.high
        first = node.first | first if node.low == 0 else node.first
    letters = frozenset[str]().union(*(node.letters for node in nodes))
    return _Node(full, partial, low, high, ways, first, letters, loose if loose > 1 else 0)


def _many(node: _Node, low: int, high: int) -> _Node:
    if high == low == 1:
        return node
    body = node.full if node.single else f"(?:{node.full})"
    lengths = high - low + 1
    if node.high == 1:
        ways, loose = 1, lengths
    else:
        # Each round may end at several places, where its end may also begin the next.
        again = (node.loose or 1) if node.letters & node.first else 1
        rounds = max(1, node.ways * again)
        ways = min(rounds**high, MAX_WAYS + 1) if rounds > 1 else 1
        loose = lengths
    times = "?" if (low, high) == (0, 1) else f"{{{low}}}" if low == high else f"{{{low},{high}}}"
    partial = f"(?:{body}{{0,{high - 1}}}{node.partial})" if high > 1 else node.partial
    return _Node(
        f"(?:{body}{times})",
        partial,
        node.low * low,
        node.high * high,
        ways,
        node.first,
        node.letters,
        loose if lengths > 1 else 0,
    )
