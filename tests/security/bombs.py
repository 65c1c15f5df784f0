"""Bodies that are small and become large: compressed ones, and such as are nested, or have items, without end."""

import asyncio
import gzip
import time
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from omni_core.ports.auth import Identity

from tests.security.besieged import BODY, besieged
from tests.support.edge import BEARER, KEY, running_edge, snapshot
from tests.support.router import harness
from tests.support.servers import redis_server

_MB = 1024 * 1024
_GROWN = 50.0  # MB that the edge may grow by
DEEP = 100_000

PATHS = {
    "/v1/chat/completions": "messages",
    "/v1/responses": "input",
    "/v1/messages": "messages",
    "/v1beta/models/acme/sim:generateContent": "contents",
    "/api/chat": "messages",
    "/v1/messages/count_tokens": "messages",
}


def bomb(inflated: int) -> bytes:
    """gzip of ``inflated`` MB of zeros, made of one block over and over."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(_MB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + block * inflated + b"\x03\x00" + bytes(8)


async def of_gzip(inflated: int) -> dict[str, Any]:
    """``inflated`` is in MB."""
    packed = bomb(inflated)
    async with besieged() as edge, httpx.AsyncClient(timeout=60) as client:
        url = f"http://127.0.0.1:{edge.port}/v1/chat/completions"
        headers = {**BEARER, "content-type": "application/json", "content-encoding": "gzip"}
        small = await client.post(url, content=gzip.compress(BODY), headers=headers)
        rss = peak = edge.rss()
        began = time.monotonic()
        asked = asyncio.create_task(client.post(url, content=packed, headers=headers))
        while not asked.done():
            peak = max(peak, edge.rss())
            await asyncio.sleep(0.002)
        answer = await asked
        took = time.monotonic() - began
        peak = max(peak, edge.rss())
    figures: dict[str, Any] = {
        "sent_mb": round(len(packed) / _MB, 1), "inflated_mb": inflated, "status": answer.status_code,
        "took_s": round(took, 2), "grown_mb": round(peak - rss, 1),
    }  # fmt: skip
    figures["pass"] = answer.status_code == 413 and peak - rss <= _GROWN and small.status_code == 200
    return figures


def documents(field: str) -> dict[str, bytes]:
    """What is nested or repeated, by what it is."""
    said = b'{"model":"acme/sim","%s":[{"role":"user","content":"hi"}],' % field.encode()
    return {
        "lists": b"[" * DEEP + b"]" * DEEP,
        "lists that do not end": b"[" * DEEP,
        "a field of lists": said + b'"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
        "a field of objects": said + b'"x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
        "objects and lists": said + b'"x":' + b'[{"a":' * DEEP + b"1" + b"}]" * DEEP + b"}",
        "items": said + b'"x":[' + b"1," * 2_100_000 + b"1]}",
    }


async def of_nested(home: Path, seed: int) -> dict[str, Any]:
    """Each is a 400 in the dialect of its path, and the next request is served. ``seed`` changes nothing."""
    wrong: list[str] = []
    longest, asked = 0.0, 0
    with redis_server() as url:
        async with harness(url) as router, running_edge(router=router.service) as edge:
            router.configure()
            edge.auth.known = {sha256(KEY.encode()).digest(): Identity("key-all", "all", "developer")}
            edge.service.configure(snapshot(2, max_body_bytes=20 * _MB))
            async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, timeout=60) as client:
                for path, field in PATHS.items():
                    for name, body in documents(field).items():
                        began = time.monotonic()
                        answer = await client.post(path, content=body, headers={"content-type": "application/json"})
                        longest, asked = max(longest, time.monotonic() - began), asked + 1
                        if answer.status_code != 400 or "error" not in answer.json():
                            wrong.append(f"{path}, {name}: {answer.status_code} {answer.text[:200]}")
    return {
        "documents": asked, "deep": DEEP, "not_as_declared": len(wrong), "longest_s": round(longest, 3),
        "first": wrong[:10], "pass": not wrong,
    }  # fmt: skip
