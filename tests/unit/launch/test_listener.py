"""The HTTP listener."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from omni_launch.listener import HttpListener
from omni_launch.problems import CannotStart


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_it_serves_says_the_date_but_not_its_name_and_ends_when_told() -> None:
    listener = HttpListener("edge", "127.0.0.1", 0)
    port = listener.bind()
    await listener.serve(app)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/")
        assert answer.text == "ok"
        assert "date" in answer.headers
        assert "server" not in answer.headers
        slow = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.1)
        await listener.stop()
        assert (await slow).text == "ok", "what runs is finished"
    await listener.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_taken_port_is_known_at_bind() -> None:
    first = HttpListener("edge", "127.0.0.1", 0)
    port = first.bind()
    with pytest.raises(CannotStart, match=rf"port {port} on 127\.0\.0\.1 is taken.*--port {port + 1}"):
        HttpListener("edge", "127.0.0.1", port).bind()
    asyncio.run(first.stop())


def test_an_address_that_is_not_this_machines_is_named() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 203\.0\.113\.1"):
        HttpListener("edge", "203.0.113.1", 0).bind()
