"""Server-sent events (WHATWG HTML, section 9.2) as bytes: cutting a stream into whole events, and reading one.

Chunks may be cut anywhere, inside a UTF-8 character too: nothing is decoded here, and an event is passed on only when
its blank line has come. Lines may end in LF, CRLF or CR.
"""

from omni_wire.errors import WireError

MAX_EVENT_BYTES = 16 * 1024 * 1024

# One byte order mark may precede the stream.
_BOM = b"\xef\xbb\xbf"


class SseSplitter:
    """Cut a byte stream into whole events, each with its blank line, lines ending in LF.

    ``feed`` returns the events that a chunk completes; ``rest`` is what has come of the next. Raises ``WireError`` when
    one event grows past ``max_event_bytes``.
    """

    __slots__ = ("_after_cr", "_begun", "_max", "rest")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.rest = b""
        self._max = max_event_bytes
        self._after_cr = False
        self._begun = False

    @property
    def between(self) -> bool:
        """Whether the next chunk begins an event."""
        return not self.rest and not self._after_cr

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk:
            # A CR ended the last chunk and was taken as a line's end at once; an LF after it belongs to it.
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        data = self.rest + chunk if self.rest else chunk
        *events, self.rest = data.split(b"\n\n")
        # The rest may hold the first half of its blank line.
        if len(data) > self._max and (len(self.rest) > self._max + 1 or any(len(e) > self._max for e in events)):
            raise WireError(f"one event is longer than {self._max} bytes")
        if not self._begun and events:
            self._begun = True
            events[0] = events[0].removeprefix(_BOM)
        return [event + b"\n\n" for event in events if event.strip(b"\n")]


class SseEvent:
    """The fields of one event. ``data`` is None for an event that is only comments or names."""

    __slots__ = ("data", "event")

    def __init__(self, event: bytes, data: bytes | None) -> None:
        self.event = event
        self.data = data


def parse_event(raw: bytes) -> SseEvent:
    """Read one whole event; several ``data`` lines are joined by a newline, comments and other fields are skipped."""
    if raw.startswith(b"data: ") and raw.find(b"\n", 0, -2) < 0:  # nearly every event: one data line
        return SseEvent(b"", raw[6:-2])
    name, data = b"", None
    for line in raw.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data = value if data is None else data + b"\n" + value
        elif field == b"event":
            name = value
    return SseEvent(name, data)
