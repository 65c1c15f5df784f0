"""An HTTP listener: uvicorn with our own signals, bound early so that a taken port is known before anything starts.

    bind or adopt → serve → open → leave → close → stop

From ``serve`` on probes are answered, and from ``open`` on everything; what comes in between waits. After ``leave``
each answer is its connection's last; ``close`` takes no new connection and ends the idle ones, while running answers
go on. Each later step also does what an earlier one left out.
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Generator
from typing import Any

import uvicorn
from omni_core.crowd import Crowd
from omni_core.http_protocol import CLOSE, BoundedHttpProtocol

from omni_launch.problems import CannotStart

_BACKLOG = 4096
_PROBES = ("/healthz", "/readyz", "/metrics")

_log = logging.getLogger("omniroute.launch")


class _Server(uvicorn.Server):
    """Signals are the launcher's; uvicorn is told to end by ``should_exit``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Early:
    """The app of connections that came before ``open``: probes are answered, whatever else there is waits."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.opened = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") not in _PROBES:
            await self.opened.wait()
        await self.app(scope, receive, send)


class HttpListener:
    """See above. ``port`` 0 takes a free one."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.host = host
        self.port = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._early: _Early | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def socket(self) -> socket.socket:
        """The socket that listens, after ``bind``."""
        if self._socket is None:
            raise RuntimeError("bind comes first")
        return self._socket

    def adopt(self, fd: int) -> int:
        """Take over a socket that another process has bound, and return its port. Raises ``CannotStart``."""
        self._socket = adopted(fd)
        self.host, self.port = self._socket.getsockname()[:2]
        return self.port

    def bind(self) -> int:
        """Take the address, listen, and return the port. Raises ``CannotStart``."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
        except OSError as error:
            raise CannotStart(f"cannot listen on {self.host}: {error.strerror}", "Choose another --host") from error
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise self._refused(error) from error
        listener.setblocking(False)
        self._socket = listener
        self.port = int(listener.getsockname()[1])
        return self.port

    async def serve(self, app: Any, crowd: Crowd | None = None) -> None:
        """Returns once connections are taken. ``crowd`` counts them."""
        listener = self.socket
        self._early = _Early(app)
        config = uvicorn.Config(
            self._early,
            http=type("CountedHttpProtocol", (BoundedHttpProtocol,), {"crowd": crowd}),
            ws="none",
            loop="uvloop",
            lifespan="off",  # components start and stop by their own methods
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,  # nobody in front is trusted yet
            timeout_keep_alive=75,  # longer than the pools of the usual clients, so that they close first
            backlog=_BACKLOG,
            timeout_graceful_shutdown=5,  # what has to finish was waited for by the drain
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=f"http {self.name}")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise CannotStart(f"the HTTP listener of {self.name} did not start")
            await asyncio.sleep(0.01)

    def serving(self) -> asyncio.Task[None]:
        """The serving task, after ``serve``: it ends only when it was told to, or broke."""
        if self._task is None:
            raise RuntimeError("serve comes first")
        return self._task

    def open(self) -> None:
        """Let everything in."""
        early, self._early = self._early, None
        if early is not None and self._server is not None:
            self._server.config.loaded_app = early.app  # new connections go there without a detour
            early.opened.set()

    def leave(self) -> None:
        """Every answer from now on says that its connection ends with it."""
        if (server := self._server) is not None:
            server.config.encoded_headers.append(CLOSE)  # what the server goes on giving to every answer
            server.server_state.default_headers = [*server.server_state.default_headers, CLOSE]

    def close(self) -> None:
        """Take no new connection; other processes that share the socket go on."""
        if (server := self._server) is not None:
            self.leave()
            for listening in server.servers:
                listening.close()
            for connection in list(server.server_state.connections):
                connection.shutdown()
        if self._socket is not None:
            self._socket.close()

    async def stop(self) -> None:
        """Close, and give running answers five seconds. Safe at any time."""
        self.open()
        server, self._server = self._server, None
        task, self._task = self._task, None
        if server is not None and task is not None:
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _refused(self, error: OSError) -> CannotStart:
        if error.errno == errno.EADDRINUSE:
            other = self.port + 1 if self.port < 65_535 else 20128
            option = f"DASHBOARD_PORT={other}" if self.name == "dashboard" else f"--port {other}"
            return CannotStart(
                f"port {self.port} on {self.host} is taken by another program",
                f"Stop that one, or choose another port ({option})",
            )
        if error.errno == errno.EACCES:
            return CannotStart(f"this user may not listen on port {self.port}", "Choose a port above 1023 with --port")
        return CannotStart(f"cannot listen on {self.host}:{self.port}: {error.strerror}", "Choose another --host")


def adopted(fd: int) -> socket.socket:
    """A listening socket inherited as descriptor ``fd``, kept from the children of this process. Raises
    ``CannotStart``."""
    try:
        taken = socket.socket(fileno=fd)
        taken.set_inheritable(False)
        taken.setblocking(False)
        listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise CannotStart(f"descriptor {fd} is no socket: {error.strerror}", "It is --workers that sets it") from error
    if not listens:
        taken.close()
        raise CannotStart(f"descriptor {fd} is no socket that listens", "It is --workers that sets it")
    return taken
