"""Answering with an error, also while the client is still sending."""

import asyncio

from omni_wire.errors import GatewayError
from omni_wire.formats import WireFormat
from starlette.types import Receive, Send

from omni_edge.domain.answer import Headers, error_body, error_headers
from omni_edge.settings import EdgeSettings

# An unread body up to this size is left to the server, which drops it and keeps the connection.
SMALL_BODY = 64 * 1024


async def send_error(
    send: Send,
    error: GatewayError,
    dialect: WireFormat,
    request_id: str,
    *,
    array: bool = False,
    close: bool = False,
    more: Headers | None = None,
    finish: bool = True,
) -> None:
    """Send ``error`` as a whole answer; with ``finish`` false the (empty) last part is left to ``linger``."""
    body = error_body(error, dialect, request_id, array=array)
    headers = error_headers(error, dialect, request_id.encode("ascii"), len(body)) + (more or [])
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": not finish})


async def linger(receive: Receive, send: Send, settings: EdgeSettings) -> None:
    """Read and drop what the client still sends, then end the answer that ``send_error`` left open.

    Closing with unread bytes makes the kernel send a reset, and the client may lose the answer that is on its way.
    """
    dropped = 0
    try:
        async with asyncio.timeout(settings.linger):
            while dropped <= settings.linger_bytes:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                dropped += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
