"""An HTTP listener: uvicorn with our own signals, bound early so that a taken port is known before anything starts."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Generator
from typing import Any

import uvicorn
from omni_core.http_protocol import BoundedHttpProtocol

from omni_launch.problems import CannotStart

_BACKLOG = 4096

_log = logging.getLogger("omniroute.launch")


class _Server(uvicorn.Server):
    """Signals are the launcher's; uvicorn is told to end by ``should_exit``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpListener:
    """``bind``, then ``serve(app)``, then ``stop``. ``port`` 0 takes a free one."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.host = host
        self.port = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    def bind(self) -> int:
        """Take the address and return the port. Raises ``CannotStart``."""
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

    async def serve(self, app: Any) -> None:
        """Returns once connections are taken."""
        listener = self._socket
        if listener is None:
            raise RuntimeError("bind comes first")
        config = uvicorn.Config(
            app,
            http=BoundedHttpProtocol,
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

    async def stop(self) -> None:
        """Close the listener, end idle connections, give running answers five seconds. Safe at any time."""
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
            return CannotStart(
                f"port {self.port} on {self.host} is taken by another program",
                f"Stop that one, or choose another port (--port {self.port + 1 if self.port < 65_535 else 20128})",
            )
        if error.errno == errno.EACCES:
            return CannotStart(f"this user may not listen on port {self.port}", "Choose a port above 1023 with --port")
        return CannotStart(f"cannot listen on {self.host}:{self.port}: {error.strerror}", "Choose another --host")
