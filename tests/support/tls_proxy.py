"""TLS in front of a server that has none: the redis-server of the wheel is built without it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from omni_core.tls import TlsFiles


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """As ``tls-auth-clients yes`` has it: whoever has no certificate of the CA is refused."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class TlsProxy:
    """Passes on what comes over TLS. ``shown`` are the serial numbers of the certificates that clients showed."""

    def __init__(self, target: int, context: ssl.SSLContext) -> None:
        self.port = 0
        self.shown: list[str] = []
        self._target = target
        self._context = context
        self._writers: list[asyncio.StreamWriter] = []
        self._passing: set[asyncio.Task[None]] = set()

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def cut(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def end(self) -> None:
        """``cut``, also those that are just being made, and wait until all are closed: else the loop may be first."""
        while self._passing:
            self.cut()
            await asyncio.wait(list(self._passing), timeout=0.01)
        for writer in self._writers:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)
        shown = writer.get_extra_info("peercert")
        self.shown.append(str(shown["serialNumber"]))
        inner, outer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, outer]
        await asyncio.gather(_pump(reader, outer), _pump(inner, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def tls_proxy(target: int, context: ssl.SSLContext) -> AsyncIterator[TlsProxy]:
    """In front of 127.0.0.1:``target``."""
    made = TlsProxy(target, context)
    server = await made.start()
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await server.wait_closed()
