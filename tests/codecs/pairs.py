"""Snapshots of all pairs of a client and a provider under ``tests/transcripts/pairs``: one rich request from the one's
format to the other's, and one rich answer back, whole and streamed.

python -m tests.codecs.pairs    write them again, for a reader to look at the difference
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from omni_simulator.formats.cursor import fields_of
from omni_translator.domain.codec import Codec, Encoded, Reply
from omni_translator.domain.losses import Loss

from tests.codecs.support import (
    BEDROCK,
    CHAT,
    CLOUDCODE,
    COHERE,
    CURSOR,
    GEMINI,
    KIRO,
    MESSAGES,
    OLLAMA,
    RESPONSES,
    SERVED,
    TRANSCRIPTS,
    ending,
    events_of,
)

HOME = TRANSCRIPTS / "pairs"
MODELS = {CHAT: "gpt-6.1", RESPONSES: "gpt-6.1", MESSAGES: "claude-opus-5-5", GEMINI: "gemini-3.8-flash"}
MODELS |= {CLOUDCODE: "gemini-3.8-flash", CURSOR: "claude-4.5-sonnet"}
MODELS |= {BEDROCK: "eu.anthropic.claude-opus-5-5-v1:0", KIRO: "claude-sonnet-4.5"}
MODELS |= {OLLAMA: "qwen3:8b", COHERE: "command-a-reasoning-08-2025"}
REPLY = Reply("omni-1", "weather-desk", 1_760_000_000)


def source(codec: Codec, case: str) -> bytes:
    """Cursor's are all frames."""
    case = case.replace(".json", ending(codec)) if codec is CURSOR else case
    return (HOME / "sources" / f"{codec.format}.{case}").read_bytes()


def request(client: Codec, provider: Codec) -> Encoded:
    conversation = client.decode_request(source(client, "request.json"))
    return provider.encode_request(msgspec.structs.replace(conversation, model=MODELS[provider], stream=True))


def answer(provider: Codec, client: Codec) -> Encoded:
    return client.encode_response(provider.decode_response(source(provider, "answer.json")), REPLY)


def stream(provider: Codec, client: Codec) -> Encoded:
    encoder = client.stream_encoder(REPLY)
    events, error = events_of(provider, [source(provider, f"answer{ending(provider)}")])
    if error:
        raise AssertionError(error)
    return Encoded(b"".join([encoder.emit(event) for event in events]), encoder.losses)


def snapshots() -> Iterator[tuple[Path, str]]:
    """Every snapshot's place and text. A request goes from the client's format to the provider's, an answer back."""
    for client, provider in SERVED:
        folder = HOME / f"{client.format}-to-{provider.format}"
        sent, whole, streamed = request(client, provider), answer(provider, client), stream(provider, client)
        yield folder / "request.json", _pretty({"losses": _said(sent.losses), "body": _readable(sent.body, provider)})
        yield folder / "answer.json", _pretty({"losses": _said(whole.losses), "body": msgspec.json.decode(whole.body)})
        yield folder / f"answer{ending(client)}", streamed.body.decode()


def _readable(body: bytes, codec: Codec) -> Any:
    return fields_of(body[5:]) if codec is CURSOR else msgspec.json.decode(body)


def _said(losses: tuple[Loss, ...]) -> list[str]:
    return [f"{loss.field} {loss.kind}: {loss.reason}" for loss in losses]


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    for path, text in snapshots():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


if __name__ == "__main__":
    write()
