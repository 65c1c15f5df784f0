"""uvicorn's HTTP protocol with bounds on a request's head: its size, its lines, the time to send it, and its framing.

httptools keeps whatever comes, so the bounds are held here, ahead of authentication. What is counted is the bytes since
the parser last had something to say (a head's end, a piece of body, a message's end): in a head those are the head's
own, and after a body in chunks the trailer's, which is bounded by the same. A head that begins in the same read as an
earlier request's end is counted from the next read on, so it may be up to twice as large.

Time costs an ordinary request nothing: a clock runs only for a head that a read has left unfinished, and one timer a
connection looks at it and at how long the connection has been idle.

What two readers of one request could take for different things is refused, and its connection closed: the parser does
most of that, and what it lets through is looked for at a head's end (``_fault_of``). A trailer is no part of a head:
what it says is dropped.

What happens between the parser and the application (``http_cycle``) is also ours: uvicorn's own costs twice as much.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from omni_core.crowd import Crowd
from omni_core.http_cycle import Cycle

MAX_HEAD = 64 * 1024  # bytes of request line and header lines
MAX_LINES = 256  # header lines
MAX_URL = 16 * 1024  # bytes
HEAD_TIME = 15.0  # seconds from a head's first byte to its last
SILENCE = 30.0  # seconds a new connection may say nothing at all
CLOSE = (b"connection", b"close")
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_HOST = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:[]%-"
# Header lines that say where a request ends or whom it is for, the spellings that some servers take for them too, and
# what the server itself heeds.
_TELLING = frozenset((
    b"host", b"transfer-encoding", b"upgrade", b"expect", b"content_length", b"transfer_encoding",
))  # fmt: skip
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-:~"  # a URL of these is its path
LINGER = 2.0  # seconds to go on reading after a refusal: closing on unread data would reset it away


class Refusal(msgspec.Struct, frozen=True):
    status: int
    code: str
    message: str


TOO_LARGE = Refusal(
    431, "headers_too_large", f"The request's head is larger than {MAX_HEAD} bytes or {MAX_LINES} header lines."
)  # fmt: skip
URL_TOO_LONG = Refusal(414, "url_too_long", f"The request's URL is longer than {MAX_URL} bytes.")
TOO_SLOW = Refusal(408, "request_timeout", f"The request's head did not arrive within {HEAD_TIME:g} s.")


NO_SUCH_VERSION = Refusal(505, "http_version_not_supported", "This gateway speaks HTTP/1.1.")
NO_UPGRADE = Refusal(400, "upgrade_refused", "This gateway speaks HTTP/1.1: send the request without 'Upgrade'.")
NOT_OURS = Refusal(400, "bad_request_target", "A request names a path, such as /v1/models; this is no proxy.")
_HOSTS = Refusal(400, "bad_host", "A request has one Host header, with a host and perhaps a port in it.")
_FRAMING = Refusal(
    400, "bad_framing", "Where the body ends must be said once: by Content-Length, or 'Transfer-Encoding: chunked'."
)  # fmt: skip


class _Refused(Exception):
    """Ends the parser's work from inside a callback, and goes no further."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """For ``uvicorn.Config(http=…)``. The times are the class's, for a test to shorten."""

    head_time = HEAD_TIME
    silence = SILENCE
    crowd: Crowd | None = None  # of the listener, where connections are counted
    _defaults: tuple[list[tuple[bytes, bytes]], bytes, bool] = ([], b"", False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unheard = 0  # bytes since the parser last said something; ``MAX_HEAD`` once refused
        self._in_body = False  # or in its trailer
        self._refusal: Refusal | None = None
        self._since = 0.0  # when the unfinished head began; 0 while there is none
        self._behind = False  # whether it came, or was last looked at, behind an answer still to be finished
        self._timer: asyncio.TimerHandle | None = None
        self._host: bytes | None = None
        self._upgrade = b""
        self._fault: Refusal | None = None
        self._counted: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.crowd is not None:
            self._counted = self.crowd.enter(self.client[0] if self.client else "")
            if self._counted is None:
                transport.abort()  # without a word: a flood is not worth an answer each
                return
        self._idle_since = self.loop.time()
        # Never set further ahead than a head's time: one that begins meanwhile is then looked at soon enough.
        self._timer = self.loop.call_later(min(self.silence, self.head_time), self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.crowd is not None and self._counted is not None:
            self.crowd.leave(self._counted)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        size = self._unheard + len(data)
        if size <= MAX_HEAD:
            self._unheard = size
            self._feed(data)
            if self._unheard:
                self._weigh()
        else:
            self._feed_pieces(data)

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()

    def _feed_pieces(self, data: bytes) -> None:
        """``data`` no further than the bounds allow: the parser is never given more than they leave."""
        rest = memoryview(data)
        while rest and self._refusal is None and not self.transport.is_closing():
            room = MAX_HEAD - self._unheard
            if room <= 0:
                self._refuse(TOO_LARGE)
                return
            piece, rest = rest[:room], rest[room:]
            self._unheard += len(piece)
            self._feed(piece)
            if self._unheard:
                self._weigh()

    def _weigh(self) -> None:
        """Look at what a read has left unfinished: a head, a trailer, or nothing but empty lines."""
        if self._refusal is not None or self.transport.is_closing():
            return
        refusal = self._excess() if self.headers is not None else None
        if refusal is not None:
            self._refuse(refusal)
        elif not self._in_body and not self._since:
            self._since = self.loop.time()
            self._behind = self._answering()
            if self._timer is None:
                self._timer = self.loop.call_later(self.head_time, self._look)

    def _excess(self) -> Refusal | None:
        if len(self.url) > MAX_URL:
            return URL_TOO_LONG
        return TOO_LARGE if len(self.headers) > MAX_LINES else None

    # ---- what the parser says ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._host = self._fault = None
        self._upgrade = b""
        if not self._unheard:
            self._unheard = 1  # behind another request in one read; what is unfinished must not look done

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return
        name = name.lower()
        if name in _TELLING:
            self._heed(name, value)
        self.headers.append((name, value))

    def _heed(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            if self._host is not None or value.translate(None, _HOST):
                self._fault = _HOSTS
            self._host = value
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"upgrade":
            self._upgrade = value
        elif name != b"transfer-encoding" or value.lower() != b"chunked":
            self._fault = _FRAMING

    def _is_ours(self, url: bytes) -> bool:
        """Whether a target that is no path is "*" for OPTIONS, or a whole URL of the very host that is asked for."""
        if url == b"*":
            return bool(self.parser.get_method() == b"OPTIONS")
        scheme, _, rest = url.partition(b"://")
        authority = rest.partition(b"/")[0].partition(b"?")[0]
        return scheme.lower() in (b"http", b"https") and bool(authority) and authority == self._host

    def _fault_of(self, version: str, url: bytes) -> Refusal | None:
        """What is wrong with a head that the parser took."""
        if self._fault is not None:
            return self._fault
        if version != "1.1":
            if version != "1.0":
                return NO_SUCH_VERSION
            if any(name == b"transfer-encoding" for name, _ in self.headers):
                return _FRAMING
        elif self._host is None:
            return _HOSTS
        if b"#" in url or (url[:1] != b"/" and not self._is_ours(url)):
            return NOT_OURS
        if self._upgrade and self.parser.should_upgrade() and self._upgrade.lower() != b"websocket":
            # The parser ends where another protocol would begin, and the body would be lost.
            return None if self.parser.get_method() in (b"GET", b"HEAD") else NO_UPGRADE
        return None

    def on_headers_complete(self) -> None:
        url, parser = self.url, self.parser
        if len(self.headers) > MAX_LINES or len(url) > MAX_URL:
            self._refusal = self._excess()
            raise _Refused
        version = parser.get_http_version()
        if fault := self._fault_of(version, url):
            self._refusal = fault
            raise _Refused
        self._unheard = 0
        self._since = 0.0
        self._in_body = True
        if url[:1] != b"/" or url.translate(None, _PLAIN):
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path or b"/", parsed.query or b""
            path = unquote(raw_path.decode("ascii"))
        else:
            raw_path, query, path = url, b"", url.decode("ascii")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
        }
        before = self.cycle
        keep_alive = version != "1.0" and not self._upgrade and parser.should_keep_alive()
        cycle = Cycle(self, scope, expect_continue=self.expect_100_continue, keep_alive=keep_alive)
        self.cycle = cycle  # type: ignore[assignment]  # all that uvicorn asks of its own
        if before is None or before.response_complete:
            cycle.start(self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        cycle = cast(Cycle, self.cycle)
        if not cycle.response_complete and cycle.take(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        self._unheard = 0
        self._in_body = False
        cycle = cast(Cycle, self.cycle)
        cycle.more_body = False
        cycle.set()

    # ---- answers ----------------------------------------------------------------------------------------------------

    def defaults(self) -> tuple[list[tuple[bytes, bytes]], bytes, bool]:
        """The headers every answer has (the server makes a new list of them every second), as the lines they are, and
        whether "connection: close" is among them: then the server is leaving, and every answer its connection's last.
        """
        headers = self.server_state.default_headers
        known = BoundedHttpProtocol._defaults
        if known[0] is headers:
            return known
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers if pair != CLOSE)
        BoundedHttpProtocol._defaults = headers, lines, CLOSE in headers
        return BoundedHttpProtocol._defaults

    def on_response_complete(self) -> None:
        """The cycle has written its last byte: on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            cast(Cycle, cycle).start(app)
            return
        self._idle_since = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(min(self.timeout_keep_alive, self.head_time), self._look)

    def shutdown(self) -> None:
        """The server's word that it ends. Who is in the middle of asking may finish, and is told with the answer."""
        if not self._unheard:
            super().shutdown()

    # ---- refusing ---------------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """uvicorn's word for whatever the parser would not take, ``_Refused`` included."""
        if self._refusal is not None:
            self._refuse(self._refusal)
        else:
            super().send_400_response(msg)

    def _answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def _refuse(self, refusal: Refusal) -> None:
        """Say so and take nothing more. While another answer is being written there is no room to say it."""
        self._refusal = refusal
        self._unheard = MAX_HEAD
        self._unset_keepalive_if_required()
        if self._answering():
            self.transport.close()
            return
        self.transport.write(_answer(refusal, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(LINGER, self.transport.close)

    def _look(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self._since:
            if self._behind:  # the rest may have waited for a read that was paused: its time begins anew
                self._since = now
                self._behind = self._answering()
            due = self._since + self.head_time
        elif self._answering():
            return  # whoever answers keeps time, and its end sets the next look
        else:
            due = self._idle_since + (self.silence if self.cycle is None else self.timeout_keep_alive)
        if now < due - 0.002:  # a loop's clock may call a tick early
            self._timer = self.loop.call_later(min(due - now, self.head_time), self._look)
        elif self._since:
            self._refuse(TOO_SLOW)
        else:
            self.transport.close()


def _answer(refusal: Refusal, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    error = {"message": refusal.message, "type": "invalid_request_error", "code": refusal.code, "param": None}
    body = msgspec.json.encode({"error": error})
    status = HTTPStatus(refusal.status)
    head = [f"HTTP/1.1 {refusal.status} {status.phrase}".encode()]
    head += [name + b": " + value for name, value in default_headers]
    head += [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close", b"", body]
    return b"\r\n".join(head)
