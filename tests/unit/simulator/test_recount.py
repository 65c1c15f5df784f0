"""What a request brought along besides text, told back; and signatures that are none of ours."""

import json
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from omni_simulator import Simulator

RAW = b"\xfb\xff\xfe not really a picture"
DATA = b64encode(RAW).decode()
MODEL = "sim+recount"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    simulator = Simulator("127.0.0.1", 0)
    await simulator.start()
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        yield client
    await simulator.stop()


def said(answer: Any) -> Any:
    """The words of a whole answer in any of the formats, read as JSON."""
    if "choices" in answer:
        words = answer["choices"][0]["message"]["content"]
    elif "candidates" in answer:
        words = answer["candidates"][0]["content"]["parts"][0]["text"]
    else:
        words = (answer["content"] if "content" in answer else answer["output"][0]["content"])[0]["text"]
    return json.loads(words)


def chat(part: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": [part]}]}


def messages(*parts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    said = [{"role": "user", "content": list(parts)}]
    return "/v1/messages", {"model": MODEL, "max_tokens": 99, "messages": said}


def gemini(part: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"/v1beta/models/{MODEL}:generateContent", {"contents": [{"role": "user", "parts": [part]}]}


SHOWN = {
    "chat": chat({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}),
    "responses": (
        "/v1/responses",
        {
            "model": MODEL,
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"}]},
            ],
        },
    ),
    "messages": messages({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}),
    "gemini": gemini({"inlineData": {"mimeType": "image/png", "data": DATA}}),
    "gemini, the other alphabet": gemini(
        {"inlineData": {"mimeType": "image/png", "data": urlsafe_b64encode(RAW).decode()}}
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body"), SHOWN.values(), ids=SHOWN)
async def test_an_image_is_recounted_by_its_bytes(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    (shown,) = said((await client.post(path, json=body)).json())["media"]
    assert shown == {"type": "image/png", "bytes": len(RAW), "crc32": f"{zlib.crc32(RAW):08x}"}


async def test_an_image_by_address_is_counted_without_its_bytes(client: httpx.AsyncClient) -> None:
    path, body = chat({"type": "image_url", "image_url": {"url": "https://example.test/a.png"}})
    assert said((await client.post(path, json=body)).json())["media"] == [{"type": "", "bytes": 0, "crc32": ""}]


async def test_broken_base64_is_refused(client: httpx.AsyncClient) -> None:
    path, body = messages({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%%%"}})
    assert (await client.post(path, json=body)).status_code == 400


async def test_a_signature_of_its_own_is_counted_and_any_other_refused(client: httpx.AsyncClient) -> None:
    path, body = messages({"type": "text", "text": "Think."})
    first = (await client.post(path, json={**body, "model": "sim+think"})).json()
    thought = first["content"][0]
    for signature, status in ((thought["signature"], 200), ("EqQBCgIYAhgC", 400)):
        history = [
            *body["messages"],
            {"role": "assistant", "content": [{**thought, "signature": signature}, first["content"][1]]},
            {"role": "user", "content": "And now?"},
        ]
        answer = await client.post(path, json={**body, "messages": history})
        assert answer.status_code == status
        if status == 200:
            assert said(answer.json())["signed"] == 1


SKIPS = (
    ("skip_thought_signature_validator", 200),
    (urlsafe_b64encode(b"context_engineering_is_the_way_to_go").decode(), 200),
    ("bm90IG91cnM=", 400),
)


async def test_what_google_lets_a_foreign_history_carry_passes(client: httpx.AsyncClient) -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    told = {"functionResponse": {"name": "f", "response": {"output": "ok"}}}
    for signature, status in SKIPS:
        contents = [
            {"role": "user", "parts": [{"text": "Go."}]},
            {"role": "model", "parts": [{**call, "thoughtSignature": signature}]},
            {"role": "user", "parts": [told]},
        ]
        answer = await client.post(f"/v1beta/models/{MODEL}:generateContent", json={"contents": contents})
        assert answer.status_code == status
        if status == 200:
            assert said(answer.json()) == {"media": [], "signed": 0, "results": ["ok"]}
