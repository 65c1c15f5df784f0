"""A TCP proxy that can be told to fail as networks do: refuse, drop everything in silence, or take no more."""

import asyncio
import contextlib
import socket
from typing import Literal, Self

Mode = Literal["open", "refuse", "swallow", "stall"]


class TcpProxy:
    """Relays ``port`` to ``upstream`` while ``mode`` is "open".

    "refuse" resets what is open and refuses what is new. "swallow" keeps connections open, takes new ones, and loses
    every byte, as a path that drops packets looks to both ends. "stall" does not even read, so that what is sent stays
    with its sender. A connection that was hit once is dead for ever, also after ``cut("open")``: nothing that was lost
    comes late.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._generation = 0
        self.port = 0
        self.mode: Mode = "open"
        self.accepted = 0

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self, mode: Mode) -> None:
        """Behave like this from now on."""
        was, self.mode = self.mode, mode
        if mode != was and mode != "open":
            self._generation += 1
        if mode == "refuse":
            await self._close()
            for writer in self._clients:
                writer.transport.abort()
        elif self._server is None:
            await self._listen()

    def say(self, data: bytes) -> None:
        """To every client, as if the server had said it."""
        for writer in self._clients:
            writer.write(data)

    async def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # a small window: "stall" is felt soon
        listener.bind(("127.0.0.1", self.port))
        self.port = int(listener.getsockname()[1])
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=4096)

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._clients.add(writer)
        generation = self._generation if self.mode == "open" else -1
        upstream: asyncio.StreamWriter | None = None
        try:
            back, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
            await asyncio.gather(
                self._relay(reader, upstream, generation), self._relay(back, writer, generation)
            )  # fmt: skip
        except OSError:
            writer.transport.abort()
        finally:
            self._clients.discard(writer)
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _relay(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, generation: int) -> None:
        while True:
            if self.mode == "stall":
                await asyncio.sleep(0.05)
                continue
            data = await source.read(4096)
            if not data:
                if generation == self._generation:
                    with contextlib.suppress(OSError):
                        sink.write_eof()
                return
            if generation == self._generation and self.mode == "open":
                sink.write(data)
                await sink.drain()
