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
    listener.open()
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


async def test_before_it_is_open_probes_are_answered_and_the_rest_waits() -> None:
    listener = HttpListener("edge", "127.0.0.1", 0)
    port = listener.bind()
    await listener.serve(app)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        early = asyncio.create_task(client.get("/"))
        for probe in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(probe)).text == "ok"
        assert not early.done()
        listener.open()
        assert (await early).text == "ok"
        assert (await client.get("/")).text == "ok"
    await listener.stop()


async def test_one_that_leaves_says_so_with_every_answer_and_one_that_closes_takes_none_new() -> None:
    listener = HttpListener("edge", "127.0.0.1", 0)
    port = listener.bind()
    await listener.serve(app)
    listener.open()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert "connection" not in (await client.get("/")).headers
        running = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.1)
        listener.leave()
        assert (await client.get("/")).headers["connection"] == "close"
        await asyncio.sleep(1.2)  # the server makes its headers anew every second
        assert (await client.get("/")).headers["connection"] == "close"
        answer = await running
        assert (answer.text, answer.headers["connection"]) == ("ok", "close")
        running = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.1)
        listener.close()
        with pytest.raises(httpx.ConnectError):
            await client.get("/")
        assert (await running).text == "ok"
    await listener.stop()


async def test_a_socket_of_another_process_is_adopted_and_left_open_for_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as owned:
        port = owned.getsockname()[1]
        for _ in range(2):
            listener = HttpListener("edge", "127.0.0.1", 0)
            assert listener.adopt(owned.dup().detach()) == port
            await listener.serve(app)
            listener.open()
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                assert (await client.get("/")).text == "ok"
            await listener.stop()
        socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_a_descriptor_that_is_no_listening_socket_is_named() -> None:
    with socket.socket() as mute, pytest.raises(CannotStart, match="no socket that listens"):
        HttpListener("edge", "127.0.0.1", 0).adopt(mute.dup().detach())
    with pytest.raises(CannotStart, match="descriptor 987654 is no socket"):
        HttpListener("edge", "127.0.0.1", 0).adopt(987654)


def test_a_taken_port_is_known_at_bind() -> None:
    first = HttpListener("edge", "127.0.0.1", 0)
    port = first.bind()
    with pytest.raises(CannotStart, match=rf"port {port} on 127\.0\.0\.1 is taken.*--port {port + 1}"):
        HttpListener("edge", "127.0.0.1", port).bind()
    asyncio.run(first.stop())


def test_an_address_that_is_not_this_machines_is_named() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 203\.0\.113\.1"):
        HttpListener("edge", "203.0.113.1", 0).bind()
