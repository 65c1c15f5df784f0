"""Newline-delimited JSON as bytes: cutting a stream into its lines.

Chunks may be cut anywhere, inside a UTF-8 character too: nothing is decoded here, and a line is passed on only when its
line feed has come. Lines may end in LF or CR LF; blank ones say nothing.
"""

from omni_wire.errors import WireError

MAX_LINE_BYTES = 16 * 1024 * 1024


class NdjsonSplitter:
    """``feed`` returns the lines that a chunk completes, each with its LF, blank ones left out; ``rest`` is what has
    come of the next. Raises ``WireError`` when one line grows past ``max_line_bytes``."""

    __slots__ = ("_max", "rest")

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.rest = b""
        self._max = max_line_bytes

    @property
    def between(self) -> bool:
        """Whether the next chunk begins a line."""
        return not self.rest

    def feed(self, chunk: bytes) -> list[bytes]:
        data = self.rest + chunk if self.rest else chunk
        *lines, self.rest = data.split(b"\n")
        if len(data) > self._max and (len(self.rest) > self._max or any(len(line) > self._max for line in lines)):
            raise WireError(f"one line is longer than {self._max} bytes")
        return [line + b"\n" for line in lines if line.strip()]
