"""/healthz, /readyz and /metrics for processes without a web app of their own."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from omni_core.component import Check, Component, well

log = logging.getLogger("omniroute.admin")

# Seconds for a whole exchange: a probe that dawdles is let go.
DEADLINE = 10.0
_MAX_HEAD = 16 * 1024


class Readiness(msgspec.Struct, frozen=True):
    """The body of /readyz: every dependency of every component, by name."""

    ready: bool
    components: dict[str, dict[str, Check]]


def readiness(components: Sequence[Component]) -> tuple[int, bytes]:
    """Status (200, or 503 when any dependency that is needed is not well) and JSON body of /readyz."""
    checks = {component.name: component.checks() for component in components}
    ready = well(checks)
    return (200 if ready else 503), msgspec.json.encode(Readiness(ready, checks))


def render_metrics(metrics: CollectorRegistry) -> tuple[str, bytes]:
    """Content type and body of /metrics, in Prometheus' text format."""
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(metrics)


class AdminServer:
    """One listener for all ``components`` of this process. ``port`` 0 takes a free one.

    ``sock`` is a socket that listens already, instead of an address. ``page`` makes the body of /metrics where it is
    more than what ``metrics`` holds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        components: Sequence[Component],
        metrics: CollectorRegistry,
        *,
        sock: socket.socket | None = None,
        page: Callable[[], Awaitable[bytes]] | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._components = components
        self._metrics = metrics
        self._sock = sock
        self._all_metrics = page
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen, and return the port. Raises ``OSError`` when the address is taken."""
        if self._sock is not None:
            self._server = await asyncio.start_server(self._serve, sock=self._sock, limit=_MAX_HEAD)
        else:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_MAX_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and what is open on it. Safe when it never started."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for task in self._open:
                task.cancel()
            if self._open:
                await asyncio.wait(self._open)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        try:
            async with asyncio.timeout(DEADLINE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("a probe went away or dawdled")
        except asyncio.CancelledError:  # only ``stop`` does so, and asyncio's streams take it for a failure (3.11)
            log.debug("a probe was not answered any more")
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        if method not in (b"GET", b"HEAD"):
            return _response(405, "text/plain", b"only GET and HEAD\n", b"Allow: GET, HEAD\r\n")
        status, kind, body = await self._page(rest.partition(b" ")[0].partition(b"?")[0])
        answer = _response(status, kind, body)
        return answer if method == b"GET" else answer[: len(answer) - len(body)]

    async def _page(self, path: bytes) -> tuple[int, str, bytes]:
        try:
            match path:
                case b"/healthz":
                    return 200, "text/plain", b"ok\n"
                case b"/readyz":
                    status, body = readiness(self._components)
                    return status, "application/json", body
                case b"/metrics" if self._all_metrics is not None:
                    return 200, CONTENT_TYPE_PLAIN_0_0_4, await self._all_metrics()
                case b"/metrics":
                    return 200, *render_metrics(self._metrics)
        except Exception:
            log.exception("cannot answer a probe")
            return 500, "text/plain", b"internal error\n"
        return 404, "text/plain", b"/healthz, /readyz, /metrics\n"


def _response(status: int, kind: str, body: bytes, more: bytes = b"") -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n"
    )
    return head.encode() + more + b"\r\n" + body
