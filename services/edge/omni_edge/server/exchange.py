"""One request on a completing surface, from its head to the last byte of its answer, as raw ASGI.

Theory of operation. The server's task runs ``run``: it reads the body, asks the router, relays the answer. One look
serves every deadline: it sees where the request stands, so that progress costs an assignment and not a timer. The first
look is the roster's, which one timer serves for all; an exchange that is still here then times its next looks itself.
Once the body is in, a look also starts a second task that waits on ``receive`` for the client to leave; most requests
of a fast provider are over before. A look also begins a stream that stays without a head for too long: the client then
has its 200 and a sign of life, and an error that follows is told in mid-stream. Whoever must end the request from
outside (the watcher, a look, the component's stop) leaves a verdict and cancels the task; cancellation reaches the
router's generator at whatever it awaits, and that stops the provider call.

The way of an ordinary request through ``run`` is written for few calls and few awaits: it is most of what the edge
costs, and every coroutine in between is paid again each time the router below waits for something.
"""

import asyncio
import logging
import math
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

from omni_core.ids import new_id
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame, Head
from omni_core.telemetry import about_request
from omni_wire.errors import ClientGone, GatewayError, Internal, Unauthenticated, UpstreamTimeout
from omni_wire.formats import WireFormat
from starlette.types import Message, Receive, Scope, Send

from omni_edge.domain.answer import (
    KEEP_ALIVE,
    KEEP_ARRAY_ALIVE,
    PROGRESS_HEADER,
    Headers,
    count_body,
    header_value,
    knows_progress,
    last_frames,
    own_id,
    rules_headers,
    stream_type,
    success_headers,
    timing_header,
    told_late,
    trace_header,
)
from omni_edge.domain.inflating import PIECE, Inflater, cut_off
from omni_edge.domain.request import encoding_of, read_head, slow_body, wants_events
from omni_edge.domain.silence import stream_asked_of
from omni_edge.domain.surfaces import Role, Surface, model_in
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.progress import Progress
from omni_edge.server.reply import SMALL_BODY, linger, send_error
from omni_edge.server.roster import Guest, Roster
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings

logger = logging.getLogger("omniroute.edge")

# A loop whose clock ticks in milliseconds may call early by one or two: not worth a look every microsecond until then.
_EARLY = 0.002
_APART = 0.02  # seconds before each of several last pieces, so that a client reads it for itself
_LAST_LINE = re.compile(rb'"done"\s*:\s*true')  # quoted inside a text it would have a backslash
_END = {"type": "http.response.body", "body": b"", "more_body": False}


def peer_of(scope: Scope) -> str:
    """The address at the other end; "" where the server does not know it."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def own_of(scope: Scope) -> str:
    """Our own address on the connection; "" where the server does not know it."""
    server = scope.get("server")
    return str(server[0]) if server else ""


class CompletionPoint:
    """What all exchanges of one surface share."""

    def __init__(self, surface: Surface, service: EdgeService, metrics: EdgeMetrics, settings: EdgeSettings) -> None:
        self.surface = surface
        self.format = surface.format
        self.plain = surface.role is Role.COMPLETE and not surface.verb and surface.format is not WireFormat.OLLAMA_CHAT
        self.id_again = bool(own_id(surface.format, b""))
        self.service = service
        self.settings = settings
        self.families = metrics
        self.metrics = metrics.surface(surface.name)
        self.roster = Roster(
            min(settings.watch_after, settings.keep_alive, settings.body_idle, settings.answer_idle)
        )  # fmt: skip


class Exchange:
    __slots__ = (
        "_alive", "_array", "_asked", "_at_once", "_beat", "_begun", "_body", "_body_read", "_complete", "_entered",
        "_inbound", "_key_id", "_last", "_last_sent", "_looked", "_path", "_point", "_receive", "_request_id",
        "_scope", "_send", "_settled", "_silence", "_started", "_status", "_stream", "_task", "_timer", "_verdict",
        "_watcher", "_writing", "seat",
    )  # fmt: skip

    seat: set[Guest]

    def __init__(self, point: CompletionPoint, scope: Scope, receive: Receive, send: Send) -> None:
        self._point = point
        self._receive = receive
        self._send = send
        self._scope = scope
        self._path: str = scope["path"]
        query: bytes = scope["query_string"]
        self._inbound = read_head(scope["headers"], query)
        self._array = point.surface.stream and not wants_events(query)
        self._alive = point.settings.keep_alive  # seconds of silence until a sign of life
        self._key_id = ""
        self._entered = False  # among the requests of its key that run
        self._silence = 0.0  # seconds of it before a stream is begun without a head; 0 until the body was looked into
        self._status = 0  # of the answer begun; 0 while there is none
        self._stream = False
        self._begun = False  # and has bytes of the router's in it
        self._body_read = False
        self._asked = False  # the router has been
        self._writing = False
        self._looked = False  # whether anything has been, at this exchange
        self._complete = False  # the whole answer is out
        self._at_once = False  # and went out in one piece
        self._settled = False  # nothing may end this exchange from outside any more
        self._verdict: GatewayError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._beat: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer the request, whatever happens. Only a cancellation of the server's own passes through."""
        point, inbound = self._point, self._inbound
        service = point.service
        event_id = new_id()
        self._request_id = request_id = inbound.request_id or event_id
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs is in a task
        self._task = task
        self._started = self._last = self._last_sent = monotonic()
        point.roster.enter(self)
        try:
            context = CallContext(request_id, inbound.traceparent)
            try:
                who = service.recognise(inbound.key_digest)
            except Unauthenticated:
                service.guessed(inbound.key_digest, self._counted())
                raise
            if who is None:
                noise = service.is_noise(self._scope["headers"], self._scope["query_string"])
                who = await service.identify(inbound.key_digest, context, noise, self._counted())
            if who.limited:
                service.admit(who, point.surface.endpoint, peer_of(self._scope), self._scope["headers"])
            self._key_id = key_id = who.key_id
            service.check(inbound, peer_of(self._scope), own_of(self._scope), self._scope["headers"])
            if service.limiter.by_key:
                service.enter_key(key_id)
                self._entered = True
            message = await self._receive()
            body: bytes = message.get("body", b"")
            encoding = inbound.content_encoding and encoding_of(inbound.content_encoding)
            if message.get("more_body", True) or encoding or len(body) > service.policy.max_body_bytes:
                body = await self._read_on(message, encoding)
            self._body = body
            self._body_read = self._asked = True
            if self._looked:  # else it began so lately that its start will do, and the first look is still to come
                self._last = monotonic()
                self._watcher = task.get_loop().create_task(self._watch())
            if point.plain:
                answer = service.complete(CompleteCall(context, key_id, point.format, body, event_id, inbound.headers))
            else:
                answer = self._ask(context, key_id, body, event_id)
            try:
                head = await anext(answer, None)
                if not isinstance(head, Head):
                    raise TypeError(f"the router's first frame is {type(head).__name__}, not a head")
                if head.stream:
                    await self._relay_stream(head, answer)
                elif self._stream:
                    raise TypeError("the router answered no stream where one was asked for and begun")
                else:
                    await self._relay_whole(head, answer)
            finally:
                await answer.aclose()
        except asyncio.CancelledError:
            if self._verdict is None:
                raise
            task.uncancel()
            await self._fail(self._verdict)
        except GatewayError as error:
            await self._fail(self._verdict or error)
        except Exception as failure:  # noqa: BLE001 - ``_fail`` writes it down
            internal = Internal("Something went wrong inside the gateway.")
            internal.__cause__ = failure
            await self._fail(internal)
        finally:
            self._settled = True
            self.seat.discard(self)
            if self._looked:
                self._let_go()
            if self._entered:
                point.service.limiter.leave_key(self._key_id)
            point.metrics.answered(self._status, monotonic() - self._started, at_once=self._at_once)

    def _counted(self) -> str:
        return self._point.service.counted(peer_of(self._scope), self._scope["headers"])

    def _ask(self, context: CallContext, key_id: str, body: bytes, event_id: str) -> AsyncGenerator[Frame, None]:
        """What the router is asked where the path says more than the dialect."""
        point = self._point
        surface = point.surface
        model = model_in(surface, self._path)
        if surface.role is Role.COUNT:
            return self._count(context, key_id, model, body)
        answer = point.service.complete(
            CompleteCall(
                context, key_id, point.format, body, event_id, self._inbound.headers,
                model=model, stream=surface.stream, framing="array" if self._array else "sse",
            )
        )  # fmt: skip
        return self._to_its_last_line(answer) if point.format is WireFormat.OLLAMA_CHAT else answer

    async def _to_its_last_line(self, answer: AsyncGenerator[Frame, None]) -> AsyncGenerator[Frame, None]:
        """A sign of life is the beginning of the next line in Ollama's dialect, so after the last one there is none."""
        async with aclosing(answer):
            async for frame in answer:
                if isinstance(frame, bytes) and _LAST_LINE.search(frame):
                    self._alive = math.inf
                yield frame

    async def _count(self, context: CallContext, key_id: str, model: str, body: bytes) -> AsyncGenerator[Frame, None]:
        dialect = self._point.format
        tokens = await self._point.service.count_tokens(
            context, key_id, dialect, model, body, self._inbound.headers
        )  # fmt: skip
        yield Head(200, False, "application/json", "", "")
        yield count_body(tokens, dialect)

    def _let_go(self) -> None:
        """End what looking has started."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None and not self._complete:
            self._watcher.cancel()  # after a complete answer ``receive`` returns by itself, and more cheaply
        if self._beat is not None:
            self._beat.cancel()

    def interrupt(self, verdict: GatewayError) -> None:
        """End the exchange with ``verdict``, unless it is ending already."""
        if not self._settled and self._verdict is None:
            self._verdict = verdict
            self._task.cancel()

    async def _read_on(self, message: Message, encoding: bytes) -> bytes:
        """The whole body, of which ``message`` is the first part, without its ``encoding``.

        Raises ``BodyTooLarge`` as soon as it is, ``InvalidRequest``, ``ClientGone`` when the client leaves."""
        limit = self._point.service.policy.max_body_bytes
        inflater = Inflater(encoding) if encoding else None
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone("the client left while sending its request")
            data = message.get("body", b"")
            self._body_read = not message.get("more_body", False)
            for piece in inflater.feed(data) if inflater is not None else (data,):
                parts.append(piece)
                size += len(piece)
                if size > limit:
                    raise self._point.service.too_large()
                if len(piece) == PIECE:  # and more is to come of what is here
                    await asyncio.sleep(0)
            if self._body_read:
                if inflater is not None and not inflater.finished:
                    raise cut_off()
                return b"".join(parts)
            self._last = monotonic()
            message = await self._receive()

    async def _relay_stream(self, head: Head, answer: AsyncGenerator[Frame, None]) -> None:
        send, metrics, families = self._send, self._point.metrics, self._point.families
        self._stream = True
        families.streams += 1
        progress: Progress | None = None
        if head.keep_alive:
            self._live_by(head.keep_alive)
        try:
            if self._status:
                await self._opened()
                if said := told_late(self._headers(head), self._point.format):
                    await self._write(said)
            else:
                await send(self._begin(head))
            if head.progress and knows_progress(self._point.format):
                progress = Progress(
                    self._point.format, send, self._started, self._point.settings.progress, lambda: self._writing
                )
            first = True
            async for frame in answer:
                if not isinstance(frame, bytes):
                    raise TypeError("the router sent a second head")
                self._last = self._last_sent = monotonic()
                self._writing = True
                if progress is not None:
                    frame = progress.woven(frame)
                await send({"type": "http.response.body", "body": frame, "more_body": True})
                self._writing = False
                if first:
                    first = False
                    self._begun = True
                    metrics.began(self._last - self._started)
            self._writing = True
            if progress is not None:
                await progress.done()
            await send(_END)
            self._settled = self._complete = True
        finally:
            if progress is not None:
                await progress.stop()
            families.streams -= 1

    def _live_by(self, seconds: float) -> None:
        """Send signs of life after so many seconds of silence; less than 0 is never."""
        self._alive = seconds if seconds > 0 else math.inf
        if self._timer is not None:  # set for the usual time, which may be later
            self._timer.cancel()
            self._timer = self._task.get_loop().call_later(min(self._alive, self._point.settings.keep_alive), self.look)

    async def _relay_whole(self, head: Head, answer: AsyncGenerator[Frame, None]) -> None:
        """Held until whole, so that it goes out with a length and a late failure is still told by status; an answer
        larger than ``whole_answer_bytes`` goes out in chunks from there on."""
        parts: list[bytes] = []
        size = 0
        limit = self._point.settings.whole_answer_bytes
        async for frame in answer:
            if not isinstance(frame, bytes):
                raise TypeError("the router sent a second head")
            self._last = monotonic()
            if self._status:
                await self._write(frame)
                continue
            parts.append(frame)
            size += len(frame)
            if size > limit:
                await self._send(self._begin(head))
                await self._write(b"".join(parts))
                self._point.metrics.began(self._last - self._started)
        self._writing = True
        if self._status:
            await self._send(_END)
        else:
            await self._send(self._begin(head, size))
            await self._send({"type": "http.response.body", "body": b"".join(parts), "more_body": False})
            self._at_once = True
        self._settled = self._complete = True

    async def _write(self, data: bytes) -> None:
        self._last = monotonic()
        self._writing = True
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._writing = False

    def _begin(self, head: Head, length: int = -1) -> Message:
        """The message that begins the answer, and with it the exchange's status."""
        self._status = head.status
        headers = self._headers(head)
        if length >= 0:
            headers.append((b"content-length", b"%d" % length))
        return {"type": "http.response.start", "status": head.status, "headers": headers}

    def _headers(self, head: Head) -> Headers:
        headers = success_headers(
            self._request_id.encode("ascii"), head.content_type, head.provider, head.model, head.losses, head.stream
        )
        if self._point.id_again:
            headers += own_id(self._point.format, self._request_id.encode("ascii"))
        if head.stages:
            headers.append(timing_header(int((monotonic() - self._started) * 1e6), head.stages))
        if head.rules:
            headers += rules_headers(head.rules)
        if head.idempotent:
            headers.append((b"x-omniroute-idempotent", header_value(head.idempotent)))
        if head.cache:
            headers.append((b"x-omniroute-cache", header_value(head.cache)))
            if head.similarity:
                headers.append((b"x-omniroute-cache-similarity", b"%.3f" % head.similarity))
        if head.trace:
            headers.append(trace_header(head.trace))
        if head.progress and knows_progress(self._point.format):
            headers.append(PROGRESS_HEADER)
        return headers

    async def _fail(self, error: GatewayError) -> None:
        """Say ``error`` in the client's dialect at whatever point the answer has come to."""
        self._settled = True
        point = self._point
        if isinstance(error, ClientGone):
            point.metrics.client_gone.inc()
            return  # an answer that was begun is left unfinished: the server then drops the connection
        if error.status >= 500 and not error.reported:
            self._report(error)
        if self._status == 0:
            if not self._asked:
                point.families.refusals.labels(point.surface.name, error.kind).inc()
            await self._refuse(error)
            return
        point.metrics.broken.inc()
        if self._stream:
            try:
                async with asyncio.timeout(point.settings.linger):  # the client may have stopped reading
                    await self._opened()
                    pieces = last_frames(
                        error, point.format, self._request_id, array=self._array, first=not self._begun
                    )
                    for piece in pieces:
                        if len(pieces) > 1:
                            await asyncio.sleep(_APART)
                        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
                    await self._send(_END)
            except TimeoutError:
                point.metrics.client_gone.inc()

    def _report(self, error: GatewayError) -> None:
        """The one line that a failed request leaves, where the router could not write it."""
        cause = error.__cause__ if isinstance(error, Internal) else None
        logger.log(
            logging.WARNING if cause is None else logging.ERROR,
            "a request failed",
            exc_info=cause,
            extra=about_request(self._request_id, self._inbound.traceparent, kind=error.kind, detail=error.message),
        )

    async def _refuse(self, error: GatewayError) -> None:
        point = self._point
        self._status = error.status
        stalled = error.status == 408
        unread = not self._body_read and not 0 <= self._inbound.length <= SMALL_BODY
        close = unread or stalled or point.service.draining
        lingering = close and not self._body_read and not stalled
        await send_error(
            self._send, error, point.format, self._request_id, array=self._array, close=close, finish=not lingering
        )
        if lingering:
            await linger(self._receive, self._send, point.settings)

    async def _watch(self) -> None:
        while not self._settled:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.interrupt(ClientGone("the client closed the connection"))
                return

    def look(self) -> None:
        """Act on whatever has run out, and come again. The first call is the roster's."""
        if self._settled:
            return
        settings, loop, now = self._point.settings, self._task.get_loop(), monotonic()
        self._looked = True
        wake = now + min(self._alive, settings.keep_alive, self._point.service.silence.shortest(self._key_id))
        if self._asked and self._watcher is None:
            self._watcher = loop.create_task(self._watch())
        if not self._asked:
            due = min(self._last + settings.body_idle, self._started + settings.body_total)
            verdict = slow_body(settings.body_idle)
        elif self._writing:
            due, verdict = self._last + settings.write_stalled, ClientGone("the client stopped reading")
        else:
            due = self._last + settings.answer_idle
            verdict = UpstreamTimeout("The router fell silent.")
            if self._stream and self._status:
                wake = self._last_sent + self._alive
                if now >= wake and (self._beat is None or self._beat.done()):
                    self._beat = loop.create_task(self._send_keep_alive())
                    self._last_sent = now
                wake = max(wake, now + self._alive / 4)
            elif not self._status:
                wake = self._wait_for_a_head(now)
        if now >= due:
            self.interrupt(verdict)
        else:
            self._timer = loop.call_later(max(min(due, wake) - now, _EARLY), self.look)

    def _wait_for_a_head(self, now: float) -> float:
        """Begin a stream that has none and was silent for long enough. Returns when to look again."""
        point = self._point
        silence = self._silence or point.service.silence.shortest(self._key_id)
        if now >= self._last + silence and not self._silence:
            model = stream_asked_of(point.surface, self._path, self._body)
            silence = self._silence = math.inf if model is None else point.service.silence.of(self._key_id, model)
        if now < self._last + silence:
            return self._last + silence
        self._stream, self._alive, self._last_sent = True, silence, now
        begun = self._begin(Head(200, True, stream_type(point.format, array=self._array), "", ""))
        self._beat = self._task.get_loop().create_task(self._open(begun))
        return now + silence

    async def _open(self, begun: Message) -> None:
        await self._send(begun)
        await self._send_keep_alive()

    async def _opened(self) -> None:
        """What a look has begun to send is sent."""
        if self._beat is not None and not self._beat.done():
            await asyncio.wait([self._beat])

    async def _send_keep_alive(self) -> None:
        """Something without a meaning between two frames (which are whole events)."""
        if self._alive == math.inf:  # the last line went out since this was due
            return
        sign = KEEP_ARRAY_ALIVE if self._array else KEEP_ALIVE[self._point.format]
        await self._send({"type": "http.response.body", "body": sign, "more_body": True})
