"""Probes and scrapes of a process without a web app."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from omni_core.admin_http import AdminServer
from omni_core.component import Check, Spare
from omni_core.telemetry import new_registry
from prometheus_client import Counter


class Part:
    """A component that only answers ``checks``."""

    def __init__(self, name: str, checks: dict[str, Check] | Exception) -> None:
        self.name = name
        self.answer = checks

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...

    def checks(self) -> dict[str, Check]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


ROUTER = Part("router", {"redis": Check(True), "config": Check(True, "revision 7")})
QUOTA = Part("quota", {"redis": Check(True)})


@pytest.fixture
async def admin() -> AsyncIterator[AdminServer]:
    metrics = new_registry()
    Counter("omniroute_test_things", "Things.", ["kind"], registry=metrics).labels("good").inc(3)
    server = AdminServer("127.0.0.1", 0, [ROUTER, QUOTA], metrics)
    yield server
    await server.stop()


async def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


async def get(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    return await ask(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def test_a_process_that_runs_is_healthy(admin: AdminServer) -> None:
    assert (await get(await admin.start(), "/healthz"))[0] == 200


async def test_one_of_several_of_which_any_will_do_is_named_and_may_be_away() -> None:
    crew = Part("workers", {"worker 1": Spare(False, "no answer within 2 s"), "worker 2": Spare(True, "ready")})
    server = AdminServer("127.0.0.1", 0, [crew], new_registry())
    status, _, body = await get(await server.start(), "/readyz")
    await server.stop()
    assert status == 200
    assert json.loads(body)["components"]["workers"]["worker 1"] == {"ok": False, "detail": "no answer within 2 s"}


async def test_readiness_names_every_dependency_of_every_component(admin: AdminServer) -> None:
    status, headers, body = await get(await admin.start(), "/readyz?verbose")
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "ready": True,
        "components": {
            "router": {"redis": {"ok": True, "detail": ""}, "config": {"ok": True, "detail": "revision 7"}},
            "quota": {"redis": {"ok": True, "detail": ""}},
        },
    }


async def test_one_dependency_that_is_away_makes_the_process_not_ready(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QUOTA, "answer", {"redis": Check(False, "no connection")})
    port = await admin.start()
    status, _, body = await get(port, "/readyz")
    assert status == 503
    assert json.loads(body)["ready"] is False
    assert json.loads(body)["components"]["quota"] == {"redis": {"ok": False, "detail": "no connection"}}
    assert (await get(port, "/healthz"))[0] == 200


async def test_a_check_that_fails_itself_is_not_told_in_detail(
    admin: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QUOTA, "answer", RuntimeError("password=hunter2"))
    status, _, body = await get(await admin.start(), "/readyz")
    assert status == 500
    assert b"hunter2" not in body


async def test_metrics_are_in_the_text_format(admin: AdminServer) -> None:
    status, headers, body = await get(await admin.start(), "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'omniroute_test_things_total{kind="good"} 3.0' in body


async def test_what_is_not_offered_is_not_found_and_only_reading_is_allowed(admin: AdminServer) -> None:
    port = await admin.start()
    assert (await get(port, "/"))[0] == 404
    status, headers, _ = await ask(port, b"POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, body = await ask(port, b"HEAD /healthz HTTP/1.1\r\n\r\n")
    assert (status, headers["content-length"], body) == (200, "3", b"")


@pytest.mark.parametrize("request_bytes", [b"x" * 70_000 + b"\r\n\r\n", b"\x00\r\n\r\n", b"\r\n\r\n"])
async def test_nonsense_harms_nobody(admin: AdminServer, request_bytes: bytes) -> None:
    port = await admin.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes)
    async with asyncio.timeout(5):
        await asyncio.gather(reader.read(), return_exceptions=True)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    assert (await get(port, "/healthz"))[0] == 200


async def test_stopping_lets_go_of_a_probe_that_dawdles(admin: AdminServer) -> None:
    port = await admin.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz")
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await admin.stop()
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await admin.stop()
