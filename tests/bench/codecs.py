"""What the codecs cost, a JSON line a figure. ``python -m tests.bench.codecs [WORD …]`` (``make bench-codecs``); WORDs
choose the lines whose name holds them all.

A *delta* is one text delta of a stream, decoded and encoded; a *request* is decoded and encoded: one of 2 KB of talk,
one of 60 KB as a coding agent sends it, and a rich one with one of everything. Each figure is processor time of one
thread, the best of ``ROUNDS`` so that what else the machine does counts little; ``pass`` says whether it is within the
target of its kind, and is null where there is none.
"""

import gc
import json
import re
import sys
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any, Final

import msgspec
from omni_translator.domain.codec import Codec

from tests.codecs.pairs import MODELS, REPLY, source
from tests.codecs.support import CLIENTS, GEMINI, MESSAGES, OLLAMA, RESPONSES, ending, events_of

ROUNDS: Final = 60  # short ones: the shorter, the likelier that one of them is left alone
DELTAS: Final = 500
TARGETS_US: Final = {"delta": 6.0, "request_2k": 25.0, "request_60k": 1000.0, "request_rich": 0.0}


def best(work: Callable[[], object], times: int) -> float:
    """Microseconds of one call of ``work``, which is called ``times`` times a round."""
    found = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            start = process_time()
            for _ in range(times):
                work()
            found = min(found, (process_time() - start) / times)
    finally:
        gc.enable()
    return found * 1e6


# ---- streams --------------------------------------------------------------------------------------------------------


def stream_of(codec: Codec, count: int) -> list[bytes]:
    """A stream of ``count`` text deltas, one event each: the recorded one with its first text event repeated, each with
    another word, its number in Responses and its usage so far in Gemini, as the vendors have it."""
    mark = b"\n" if codec is OLLAMA else b"\n\n"
    events = source(codec, f"answer{ending(codec)}").replace(b"\r\n", b"\n").split(mark)
    at = next(place for place, event in enumerate(events) if _SAID in event)
    said = events[at]
    events[at : at + 1] = [_one(said, number) for number in range(count)]
    return [event + mark for event in events if event.strip()]


_SAID: Final = b'"Let me "'
_COUNT: Final = re.compile(rb'("totalTokenCount": )\d+')
_NUMBER: Final = re.compile(rb'("sequence_number":)\d+')


def _one(event: bytes, number: int) -> bytes:
    event = event.replace(_SAID, b'"word%d "' % number)
    event = _NUMBER.sub(rb"\g<1>%d" % (10 + number), event)
    return _COUNT.sub(rb'"candidatesTokenCount": %d, \g<1>%d' % (number + 1, 145 + number), event)


def deltas(provider: Codec, client: Codec, times: int) -> float:
    """Microseconds a delta: the difference between a long stream and a short one, so that heads and ends drop out."""

    def convert(chunks: list[bytes]) -> None:
        decoder, encoder = provider.stream_decoder(), client.stream_encoder(REPLY)
        for chunk in chunks:
            for event in decoder.feed(chunk):
                encoder.emit(event)
        for event in decoder.end():
            encoder.emit(event)

    long, short = stream_of(provider, DELTAS), stream_of(provider, 1)
    events, error = events_of(provider, long)
    if error or len(events) < DELTAS:
        raise AssertionError(f"{provider.format}: no stream of {DELTAS} deltas: {error or len(events)}")
    return (best(lambda: convert(long), times) - best(lambda: convert(short), times)) / (DELTAS - 1)


# ---- requests -------------------------------------------------------------------------------------------------------


def rich(codec: Codec) -> bytes:
    """The recorded request: tools, calls and results, thoughts, an image, settings."""
    return msgspec.json.encode(msgspec.json.decode(source(codec, "request.json")))


def small(codec: Codec) -> bytes:
    """About 2 KB: an instruction, three turns of text, a limit."""
    words = "Say what the weather will be like, and why you think so. " * 11
    turns = [("user", words), ("assistant", words), ("user", words)]
    if codec is GEMINI:
        contents = [{"role": role.replace("assistant", "model"), "parts": [{"text": text}]} for role, text in turns]
        asked: dict[str, Any] = {"contents": contents, "systemInstruction": {"parts": [{"text": "Be brief."}]}}
        return msgspec.json.encode(asked | {"generationConfig": {"maxOutputTokens": 500, "temperature": 0.5}})
    messages = [{"role": role, "content": text} for role, text in turns]
    asked = {"model": "m", "stream": True, "temperature": 0.5}
    if codec is MESSAGES:
        return msgspec.json.encode(asked | {"system": "Be brief.", "messages": messages, "max_tokens": 500})
    if codec is OLLAMA:
        messages.insert(0, {"role": "system", "content": "Be brief."})
        options = {"num_predict": 500, "temperature": 0.5}
        return msgspec.json.encode({"model": "m", "messages": messages, "options": options})
    if codec is RESPONSES:
        return msgspec.json.encode(asked | {"instructions": "Be brief.", "input": messages, "max_output_tokens": 500})
    messages.insert(0, {"role": "system", "content": "Be brief."})
    return msgspec.json.encode(asked | {"messages": messages, "max_tokens": 500})


def large(codec: Codec) -> bytes:
    """About 60 KB, as a coding agent sends it: a long instruction, a dozen tools with long descriptions, and turns."""
    body: dict[str, Any] = msgspec.json.decode(source(codec, "request.json"))
    turns = "contents" if "contents" in body else "input" if "input" in body else "messages"
    tools = body["tools"]
    words = "Keep to the style of the file. Say what you do, and why. " * 9
    first = next((tool for tool in tools if "name" in msgspec.json.encode(tool).decode()), tools[0])
    body["tools"] = [*tools, *(_renamed(first, f"tool_{number}", words) for number in range(24))]
    body[turns] = [*body[turns], *({"role": "user", "content": words} for _ in range(60))]
    if turns == "contents":
        body[turns] = [*body[turns][:-60], *({"role": "user", "parts": [{"text": words}]} for _ in range(60))]
    return msgspec.json.encode(body)


def _renamed(tool: dict[str, Any], name: str, words: str) -> dict[str, Any]:
    made = json.loads(json.dumps(tool))
    holder = made.get("function") or (made.get("functionDeclarations") or [made])[0]
    holder["name"], holder["description"] = name, words
    return made  # type: ignore[no-any-return]


def request(body: bytes, client: Codec, provider: Codec, times: int) -> float:
    model = MODELS[provider]

    def convert() -> None:
        conversation = client.decode_request(body)
        provider.encode_request(msgspec.structs.replace(conversation, model=model, stream=True))

    return best(convert, times)


# ---- lines ----------------------------------------------------------------------------------------------------------


def lines(words: list[str]) -> Iterator[dict[str, Any]]:
    for client in CLIENTS:
        for provider in CLIENTS:
            if client is provider:
                continue
            for kind, body, times in (
                ("delta", b"", 1),
                ("request_2k", small(client), 20),
                ("request_rich", rich(client), 10),
                ("request_60k", large(client), 2),
            ):
                name = f"{kind} {client.format} <> {provider.format}"
                if all(word in name for word in words):
                    size = len(body)
                    took = request(body, client, provider, times) if body else deltas(provider, client, times)
                    figures = {"us": round(took, 2)} | ({"bytes": size} if size else {})
                    target = TARGETS_US[kind] or None
                    yield {"test": name, "figures": figures, "target_us": target, "pass": target and took <= target}


def main(words: list[str]) -> int:
    for line in lines(words):
        print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
