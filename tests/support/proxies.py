"""Proxies that run in the test: HTTP CONNECT, with TLS or without, and SOCKS5. Each can be told to be broken in a way.

They connect to whatever they are asked for, but for names, which they look up in ``names`` first.
"""

import asyncio
import base64
import contextlib
import ssl
import struct
from typing import Literal, Self

Manner = Literal["well", "html", "garbage", "hangs", "cuts", "says 403", "says 502", "chatters"]


class _Listening:
    """``asked`` are the targets that it was asked for, "host:port" each; ``accepted`` counts connections,
    ``tunnels`` those that lead to somebody now."""

    def __init__(self, user: str = "", password: str = "", *, tls: ssl.SSLContext | None = None) -> None:
        self.user, self.password = user, password
        self.manner: Manner = "well"
        self.names: dict[str, str] = {}
        self.asked: list[str] = []
        self.accepted = self.tunnels = self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", self.port, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _leave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()
        await reader.read()

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, opened: bytes
    ) -> None:
        self.asked.append(f"{host}:{port}")
        back, onward = await asyncio.open_connection(self.names.get(host, host), port)
        self.tunnels += 1
        try:
            writer.write(opened + (b"and more" if self.manner == "chatters" else b""))
            both = [asyncio.create_task(_pipe(reader, onward)), asyncio.create_task(_pipe(back, writer))]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in both:
                    one.cancel()
                await asyncio.gather(*both, return_exceptions=True)
            writer.close()
            await writer.wait_closed()
        finally:
            self.tunnels -= 1
            onward.transport.abort()


class ConnectProxy(_Listening):
    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.manner == "cuts":
            return
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        if self.manner == "hangs":
            await reader.read()
        elif self.manner == "html":
            page = b"<html>Please sign in to the hotel's network</html>"
            await self._leave(reader, writer, b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n" + page)
        elif self.manner == "garbage":
            await self._leave(reader, writer, b"SSH-2.0-OpenSSH_9.2\r\n")
        elif self.manner.startswith("says"):
            await self._leave(reader, writer, f"HTTP/1.1 {self.manner[-3:]} No\r\ncontent-length: 0\r\n\r\n".encode())
        elif self.user and f"Proxy-Authorization: Basic {self._proof()}" not in head:
            await self._leave(reader, writer, b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
        else:
            host, _, port = head[0].split(" ")[1].rpartition(":")
            opened = b"HTTP/1.1 200 Connection established\r\nvia: 1.1 a-proxy\r\n\r\n"
            await self._join(reader, writer, host.strip("[]"), int(port), opened)

    def _proof(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class SocksProxy(_Listening):
    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.manner == "cuts":
            return
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if self.manner == "hangs":
            await reader.read()
        if self.manner in ("garbage", "html"):
            await self._leave(reader, writer, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        wanted = 2 if self.user else 0
        if wanted not in methods:
            await self._leave(reader, writer, b"\x05\xff")
            return
        writer.write(bytes([5, wanted]))
        if self.user and not await self._knows(reader, writer):
            return
        _, _, _, kind = await reader.readexactly(4)
        host = await _host(reader, kind)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        if self.manner.startswith("says"):
            reply = 2 if self.manner == "says 403" else 5
            await self._leave(reader, writer, bytes([5, reply, 0, 1]) + bytes(6))
            return
        await self._join(reader, writer, host, port, b"\x05\x00\x00\x01" + bytes(6))

    async def _knows(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, size = await reader.readexactly(2)
        user = (await reader.readexactly(size)).decode()
        (size,) = await reader.readexactly(1)
        password = (await reader.readexactly(size)).decode()
        good = (user, password) == (self.user, self.password)
        writer.write(b"\x01\x00" if good else b"\x01\x01")
        return good


async def _host(reader: asyncio.StreamReader, kind: int) -> str:
    if kind == 3:
        (size,) = await reader.readexactly(1)
        return (await reader.readexactly(size)).decode()
    packed = await reader.readexactly(4 if kind == 1 else 16)
    return ".".join(map(str, packed)) if kind == 1 else packed.hex(":", 2)


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
