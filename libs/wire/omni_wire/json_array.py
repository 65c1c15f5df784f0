"""A JSON array as it arrives: cutting a stream of ``[{…},{…}]`` into its elements.

Google's streaming APIs answer so unless asked for server-sent events. Chunks may be cut anywhere; every byte is looked
at once, and an element is passed on when its last brace has come.
"""

import re
from typing import Final

from omni_wire.errors import WireError
from omni_wire.sse import MAX_EVENT_BYTES

_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')
_BETWEEN: Final = b" \t\r\n,"


class JsonArraySplitter:
    """``feed`` returns the elements, each an object or a list, that a chunk completes. Whether an element is JSON is
    for its reader to find out. Raises ``WireError`` on what is no array of such, and when one element grows past
    ``max_bytes``; ``error`` is what went wrong after the elements just returned, which the next call raises."""

    __slots__ = ("_begun", "_depth", "_ended", "_escaped", "_max", "_pieces", "_quoted", "_size", "error")

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self.error: WireError | None = None
        self._max = max_bytes
        self._begun = False
        self._ended = False
        self._depth = 0  # of brackets open within the array
        self._quoted = False
        self._escaped = False
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        if self.error is not None:
            raise self.error
        elements: list[bytes] = []
        try:
            self._cut(chunk, elements)
        except WireError as error:
            self.error = error
            if not elements:
                raise
        return elements

    def _cut(self, chunk: bytes, elements: list[bytes]) -> None:
        start = 0  # of the element, or of what stands between elements
        at = 1 if self._escaped and chunk else 0
        self._escaped = self._escaped and not chunk
        while (mark := (_INSIDE if self._quoted else _OUTSIDE).search(chunk, at)) is not None:
            at = mark.end()
            sign = mark.group()
            if sign == b"\\":
                self._escaped = at == len(chunk)
                at += 1
                continue
            if self._depth == 0:
                self._between(chunk[start : mark.start()])
                start = at if self._bound(sign) else mark.start()
            elif sign == b'"':
                self._quoted = not self._quoted
            elif sign in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    self._keep(chunk[start:at])
                    elements.append(b"".join(self._pieces))
                    self._pieces, self._size = [], 0
                    start = at
        if self._depth:
            self._keep(chunk[start:])
        else:
            self._between(chunk[start:])

    def _bound(self, sign: bytes) -> bool:
        """Take a sign outside all elements: whether it is one of the array's own brackets."""
        if not self._begun:
            if sign != b"[":
                raise WireError("not a JSON array")
            self._begun = True
            return True
        if self._ended or sign not in (b"{", b"[", b"]"):
            raise WireError("not a JSON array of objects")
        if sign == b"]":
            self._ended = True
            return True
        self._depth = 1
        return False

    def _between(self, gap: bytes) -> None:
        if gap.strip(_BETWEEN):
            raise WireError("not a JSON array of objects")

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max:
            raise WireError(f"one element is longer than {self._max} bytes")
        self._pieces.append(piece)
