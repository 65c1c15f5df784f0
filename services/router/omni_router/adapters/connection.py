"""One connection to a provider: a request out, an answer in, one after the other."""

import asyncio
import math
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from omni_wire.errors import StreamInterrupted, UpstreamError, UpstreamFailed, UpstreamUnreachable

from omni_router.adapters.answer import HttpAnswer
from omni_router.adapters.inflate import Inflater
from omni_router.domain.verdict import Unheard

_MAX_HEAD = 64 * 1024
_MAX_HEADERS = 256
_IDLE = 30.0  # seconds a connection waits for its next request; most servers wait longer
_TIMER_SLACK = 0.002  # timers may fire a little early, as event loops count in milliseconds
# Seconds. What the loop has not come to read yet is no silence of the provider: at its deadline it is listened to for
# one more turn, and for longer where this process was held up for more than ``LAG``.
_TURN = 0.01
LAG = 1.0
_CATCH_UP = 1.0

_KNOWN = {
    spelling.encode(): name
    for name in (
        "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "date",
        "server", "cache-control", "vary", "via", "retry-after", "x-request-id", "request-id",
        "strict-transport-security", "cf-ray", "cf-cache-status", "alt-svc", "set-cookie", "openai-processing-ms",
        "openai-version", "openai-organization", "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-requests",
        "x-ratelimit-reset-tokens", "access-control-expose-headers", "x-content-type-options",
    )
    for spelling in (name, name.title())
}  # fmt: skip


class Connection(asyncio.Protocol):
    """Reusable once an answer came to its declared end, the server holds with it, and nothing unasked followed.

    ``released`` is called whenever that is so, ``lost`` once, when the socket is closed.
    """

    __slots__ = (
        "_answer",
        "_close_delimited",
        "_done",
        "_head_size",
        "_idle_talk",
        "_inflater",
        "_interim",
        "_keep_for",
        "_late",
        "_listen_until",
        "_lost",
        "_parser",
        "_paused",
        "_raw",
        "_released",
        "_reusable",
        "_timer",
        "_timer_at",
        "_transport",
        "_trouble",
        "_watched",
        "closed",
        "idle_until",
        "loop",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        released: Callable[["Connection"], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        self.loop = loop
        self.closed = False
        self.idle_until = math.inf
        self._released = released
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser: Any = HttpResponseParser(self)
        self._answer: HttpAnswer | None = None
        self._raw: list[tuple[bytes, bytes]] = []
        self._inflater: Inflater | None = None
        self._trouble: UpstreamError | None = None
        self._head_size = self._idle_talk = 0
        self._keep_for = _IDLE
        self._interim = self._close_delimited = self._done = self._reusable = self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._watched = self._listen_until = math.inf
        self._late = -1.0  # how late this process came to what was overdue; negative before

    def start(self, answer: HttpAnswer, request: bytes) -> None:
        """Send ``request``; ``answer`` gets what comes back."""
        transport = self._transport
        if self.closed or transport is None or transport.is_closing():
            answer.error = UpstreamUnreachable("the provider closed the connection")
            return
        self._answer = answer
        answer.source = self
        self._head_size = self._idle_talk = 0
        self._done = self._reusable = False
        self._watched = math.inf
        self._inflater = None
        transport.write(request)

    # ---- what an answer asks for ------------------------------------------------------------------------------------

    def watch(self, deadline: float) -> None:
        # The timer is left alone when it will fire early enough: it looks again then. So a busy connection
        # sets a timer once in a timeout, not once in a chunk.
        if deadline != self._watched:  # the same one again gets no more turns
            self._watched = self._listen_until = deadline
            self._late = -1.0
        if self._listen_until < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._set_timer(self._listen_until)

    def _set_timer(self, at: float) -> None:
        self._timer_at = at
        self._timer = self.loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        answer = self._answer
        if answer is None or not answer.waiting:
            return  # the next wait sets a timer again
        now = self.loop.time()
        late = now - self._listen_until
        if late < -_TIMER_SLACK:
            self._set_timer(self._listen_until)
        elif self._late < 0.0:
            self._late = max(late, 0.0)
            self._listen_until = now + (_TURN if late <= LAG else _CATCH_UP)
            self._set_timer(self._listen_until)
        else:
            error = answer.overdue()
            self.cut(error if max(late, self._late) <= LAG else Unheard(error.message))

    def resume(self) -> None:
        transport = self._transport
        # uvloop raises RuntimeError for a transport that is closing.
        if self._paused and not self.closed and transport is not None and not transport.is_closing():
            self._paused = False
            transport.resume_reading()

    def abort(self) -> None:
        self._gone()
        if self._transport is not None:
            self._transport.abort()

    def cut(self, error: UpstreamError) -> None:
        """``abort``, and tell the answer under way why."""
        answer = self._answer
        self.abort()
        if answer is not None:
            answer.fail(error)

    @property
    def usable(self) -> bool:
        return not self.closed and self._transport is not None and not self._transport.is_closing()

    # ---- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.abort()  # nobody asked
            return
        answer.touched = True
        size = answer.size
        if not answer.headed:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._reusable = False
            if not self._done and self._trouble is None:
                self._trouble = UpstreamFailed("the provider's answer is not HTTP")
        if self._trouble is not None:
            self.cut(self._trouble)
            return
        if self._done:
            self._finish(answer)
        elif not answer.headed:
            if self._head_size > _MAX_HEAD:
                self.cut(UpstreamFailed("the provider's answer has too large a head"))
            return
        elif answer.size == size:
            self._add_idle_talk(len(data))
            if answer.want:  # 0 is a reader who waits for the head, which is here
                return
        else:
            self._idle_talk = 0
            if answer.size > answer.high and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        if answer.size >= answer.want or self._done:
            answer.wake()

    def _add_idle_talk(self, size: int) -> None:
        """Chunk extensions and trailers need no end, and nobody is woken for them."""
        self._idle_talk += size
        if self._idle_talk > _MAX_HEAD and self._inflater is None:  # which may take a while before it gives
            self.cut(UpstreamFailed("the provider's answer goes on without saying anything"))

    def eof_received(self) -> bool:
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._parser = None
        self._transport = None
        self._lost(self)

    # ---- httptools --------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._done:
            self._reusable = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw.append((name, value))

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None or self._done or answer.headed:
            return
        raw, self._raw = self._raw, []
        status = self._parser.get_status_code()
        if status < 200:
            self._interim = True
            if status == 101 or status < 100:
                self._trouble = UpstreamFailed(f"the provider answered status {status}, which was not asked for")
            return
        large = self._head_size > _MAX_HEAD and sum(len(name) + len(value) + 4 for name, value in raw) > _MAX_HEAD
        if large or len(raw) > _MAX_HEADERS:
            self._trouble = UpstreamFailed("the provider's answer has too large a head")
            return
        headers = _headers(raw)
        try:
            self._read_framing(status, headers)
        except UpstreamFailed as error:
            self._trouble = error
            return
        answer.status = status
        answer.headers = headers
        answer.headed = True
        self._reusable = self._parser.should_keep_alive()

    def _read_framing(self, status: int, headers: dict[str, str]) -> None:
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise UpstreamFailed("the provider's answer has a transfer coding it was not asked for")
        self._close_delimited = coding is None and "content-length" not in headers and status not in (204, 304)
        encoding = headers.get("content-encoding")
        if encoding and encoding.lower() != "identity":
            self._inflater = Inflater(encoding.lower())
        keep_alive = headers.get("keep-alive")
        self._keep_for = _IDLE if keep_alive is None else min(_IDLE, _hinted(keep_alive))

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or self._done or self._trouble is not None:
            return
        if self._inflater is not None:
            try:
                data = self._inflater.feed(data)
            except UpstreamFailed as error:
                self._trouble = error
            if not data:
                return
        answer.parts.append(data)
        answer.size += len(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self._done = True

    # ---- the end of an answer, and of the connection ----------------------------------------------------------------

    def _finish(self, answer: HttpAnswer) -> None:
        """The answer is complete; it needs its connection no longer."""
        self._answer = answer.source = None
        if self._inflater is not None and not self._inflater.finished:
            answer.fail(StreamInterrupted("the provider's compressed answer was cut"))
            self.abort()
            return
        answer.complete = True
        transport = self._transport
        # What is not written yet would come before the next request.
        if not self._reusable or transport is None or transport.get_write_buffer_size():
            self.abort()
            return
        self.resume()
        self._raw.clear()
        self.idle_until = self.loop.time() + self._keep_for
        self._released(self)

    def _end(self, exc: Exception | None) -> None:
        """Nothing more comes in."""
        answer = self._answer
        self._gone()
        if answer is None or answer.complete or answer.error is not None:
            return
        if answer.headed and self._close_delimited and exc is None:
            self._reusable = False
            self._finish(answer)
            answer.wake()
        elif answer.touched:
            answer.fail(StreamInterrupted("the provider's answer was cut"))
        else:
            answer.fail(UpstreamUnreachable("the provider closed the connection without an answer"))

    def _gone(self) -> None:
        self.closed = True
        self._answer = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names; the values of one that comes again are joined by a comma (RFC 9110, 5.3)."""
    headers = {_KNOWN.get(name) or name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}
    if len(headers) != len(raw):
        gathered: dict[str, list[str]] = {}
        for name, value in raw:
            gathered.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        headers = {name: ", ".join(values) for name, values in gathered.items()}
    return headers


def _hinted(keep_alive: str) -> float:
    """Seconds the server says it keeps an idle connection, less one for the way."""
    for part in keep_alive.split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdecimal():
            return float(value.strip()[:6]) - 1.0
    return _IDLE
