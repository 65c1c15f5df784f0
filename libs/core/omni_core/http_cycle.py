"""One request and its answer on a connection: uvicorn's ASGI cycle, written for few calls.

What differs from uvicorn's own: an answer's head waits for the first piece of its body and leaves with it; nothing is
made that an ordinary request does not need (an event to wait on, a copy of the body); headers are checked in one look
at all of them. What ASGI promises an application stays as it is.
"""

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from omni_core.http_protocol import BoundedHttpProtocol

_log = logging.getLogger("uvicorn.error")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DISCONNECT: dict[str, Any] = {"type": "http.disconnect"}
_WITHOUT_BODY = frozenset((204, 304))
_SORRY = b"Internal Server Error"
_UNKNOWN = -1  # no length was announced, and the body goes in chunks


class Cycle:
    """Made by the protocol at a head's end. The protocol appends to ``body``, sets ``more_body`` and ``disconnected``,
    and calls ``set`` after each."""

    __slots__ = (
        "_flow", "_fresh", "_head", "_left", "_protocol", "_task", "_transport", "_waiters", "body", "disconnected",
        "expect_continue", "keep_alive", "more_body", "response_complete", "response_started", "scope",
    )  # fmt: skip

    def __init__(
        self, protocol: "BoundedHttpProtocol", scope: dict[str, Any], *, expect_continue: bool, keep_alive: bool
    ) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._flow: FlowControl = protocol.flow
        self.scope = scope
        self.expect_continue = expect_continue
        self.keep_alive = keep_alive
        self.body: bytes | bytearray = b""
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self._fresh = False  # something came that ``receive`` has not told yet
        self._waiters: asyncio.Event | None = None
        self._head: list[bytes] | None = None  # begun and not sent
        self._left = 0  # bytes of the body still to be sent
        self._task: asyncio.Task[None] | None = None

    @property
    def message_event(self) -> "Cycle":
        """uvicorn's connection calls its ``set`` when it is lost."""
        return self

    def set(self) -> None:
        """Something has come, or the client has gone."""
        self._fresh = True
        if self._waiters is not None:
            self._waiters.set()

    def take(self, piece: bytes) -> int:
        """A piece of the body; returns how much waits to be received."""
        if not self.body:
            self.body = piece
        elif isinstance(self.body, bytearray):
            self.body += piece
        else:
            self.body = bytearray(self.body) + piece
        self.set()
        return len(self.body)

    def start(self, app: Any) -> None:
        """Let ``app`` answer, in a task that the server waits for when it ends."""
        self._task = task = self._protocol.loop.create_task(self._run(app))
        self._protocol.tasks.add(task)

    async def _run(self, app: Any) -> None:
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                _log.error("the application returned without completing its answer")
                await self._give_up()
        except BaseException as error:  # noqa: BLE001 - also a cancellation: the connection must not be left half used
            _log.error("the application failed", exc_info=error)
            await self._give_up()
        finally:
            if self._task is not None:
                self._protocol.tasks.discard(self._task)
                self._task = None

    async def _give_up(self) -> None:
        if self.response_started and self._head is None:
            self._transport.close()
            return
        self.response_started, self._head = False, None
        kind, length = (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_SORRY))
        headers = [kind, length, (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": _SORRY})

    # ---- what the application calls ---------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        if self.expect_continue and not self._transport.is_closing():
            self._transport.write(_CONTINUE)
            self.expect_continue = False
        if not self._fresh and not self.disconnected and not self.response_complete:
            await self._news()
        if self.disconnected or self.response_complete:
            return _DISCONNECT
        self._fresh = False
        body, self.body = self.body, b""
        return {
            "type": "http.request",
            "body": body if isinstance(body, bytes) else bytes(body),
            "more_body": self.more_body,
        }

    async def _news(self) -> None:
        self._flow.resume_reading()
        if self._waiters is None:
            self._waiters = asyncio.Event()
        self._waiters.clear()
        await self._waiters.wait()

    async def send(self, message: dict[str, Any]) -> None:
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message)
        elif not self.response_complete:
            self._go_on(message)
        else:
            raise RuntimeError(f"{message['type']!r} after the answer was complete")

    def _begin(self, message: dict[str, Any]) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"{message['type']!r} where an answer begins")
        status = message["status"]
        given = message.get("headers", ())
        lines: list[bytes] = []
        length, closes = _UNKNOWN, False
        for name, value in given:
            lines += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                raise RuntimeError("transfer-encoding is the server's to set")
            elif name == b"connection":
                closes = b"close" in value.lower()
        block = b"".join(lines)
        if _CONTROL.search(block) or not len(given) == block.count(b"\n") == block.count(b"\r"):
            raise RuntimeError("a header holds what no header may")
        self.response_started = True
        self.expect_continue = False
        _, lines_of_all, leaving = self._protocol.defaults()
        if closes or leaving:
            self.keep_alive = False
        head = [STATUS_LINE[status], lines_of_all, block]
        if not self.keep_alive and not closes:
            head.append(b"connection: close\r\n")
        if length == _UNKNOWN and (status in _WITHOUT_BODY or self.scope["method"] == "HEAD"):
            length = 0
        if length == _UNKNOWN:
            head.append(b"transfer-encoding: chunked\r\n")
        head.append(b"\r\n")
        self._head, self._left = head, length

    def _go_on(self, message: dict[str, Any]) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError(f"{message['type']!r} in the middle of an answer")
        body, more = message.get("body", b""), message.get("more_body", False)
        out = self._head or []
        if self.scope["method"] == "HEAD":
            self._left = 0
        elif self._left == _UNKNOWN:
            if body:
                out += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                out.append(b"0\r\n\r\n")
        else:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the body is longer than was announced")
            out.append(body)
        if not more and self._left > 0:
            raise RuntimeError("the body is shorter than was announced")
        self._head = None
        self._transport.write(b"".join(out))
        if not more:
            self.response_complete = True
            self.set()
            if not self.keep_alive:
                self._transport.close()
            self._protocol.on_response_complete()
