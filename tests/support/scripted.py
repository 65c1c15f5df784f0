"""A server whose every byte a test decides."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import trustme

Play = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's end of one connection. ``number`` counts connections from 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def request(self) -> bytes:
        """The next request, head and body; b"" when the client has gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def gone(self, seconds: float = 2.0) -> bool:
        """Whether the client lets go within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def reset(self) -> None:
        """Close with RST, as a crash would."""
        self.writer.transport.abort()


class Scripted:
    """``url`` is the server's; ``open`` are the connections that stand, ``peak`` counts all there ever were."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.url = ""
        self.port = 0
        self.peak = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peak += 1
        self.open += 1
        try:
            await self._play(Peer(reader, writer, self.peak))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def scripted(
    play: Play, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Scripted]:
    """Plays ``play`` on every connection; what still plays at the end is cancelled."""
    made = Scripted(play)
    playing: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await made.serve(reader, writer)
        playing.discard(task)

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    literal = f"[{host}]" if ":" in host else host
    made.url = f"{'https' if tls else 'http'}://{literal}:{made.port}"
    try:
        yield made
    finally:
        server.close()
        for task in list(playing):
            task.cancel()
        if playing:
            await asyncio.wait(list(playing), timeout=2.0)
        await server.wait_closed()


def answering(*pieces: bytes, pause: float = 0.0) -> Play:
    """Answers every request with ``pieces``, one write each."""

    async def play(peer: Peer) -> None:
        while await peer.request():
            for piece in pieces:
                await peer.say(piece)
                await asyncio.sleep(pause)

    return play


def once(*pieces: bytes, pause: float = 0.0) -> Play:
    """Answers one request with ``pieces`` and closes."""

    async def play(peer: Peer) -> None:
        await peer.request()
        for piece in pieces:
            await peer.say(piece)
            await asyncio.sleep(pause)

    return play


def silent_after(*pieces: bytes) -> tuple[Play, list[float]]:
    """Says ``pieces`` and then nothing; the list notes how long the client stayed."""
    left: list[float] = []

    async def play(peer: Peer) -> None:
        await peer.request()
        for piece in pieces:
            await peer.say(piece)
        began = asyncio.get_running_loop().time()
        if await peer.gone():
            left.append(asyncio.get_running_loop().time() - began)

    return play, left


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def client(self) -> ssl.SSLContext:
        """Trusts this authority and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context

    def server(self, name: str) -> ssl.SSLContext:
        """Speaks for ``name``, a host name or an address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name).configure_cert(context)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context
