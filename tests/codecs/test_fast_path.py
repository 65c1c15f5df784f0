"""The stream decoders' fast path is only ever faster."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import Event
from omni_wire.errors import WireError

from tests.codecs.support import ALL, CHAT, events_of, name, transcripts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "\\", '"}', '\\"', "\n", "é", "😀", ',"obfuscation":"']
)


def slowly(codec: Codec, data: bytes) -> tuple[list[Event], str]:
    """Event by event, with the template forgotten before each."""
    decoder: Any = codec.stream_decoder()
    events: list[Event] = []
    try:
        for frame in data.replace(b"\r\n", b"\n").split(b"\n\n"):
            decoder._live = -1
            decoder._padded = False
            events += decoder.feed(frame + b"\n\n")
        events += decoder.end()
    except WireError as error:
        return events, str(error)
    return events, ""


@pytest.mark.parametrize(("codec", "path"), [pair for pair in transcripts() if pair[1].stem != "cut"], ids=name)
def test_transcripts_read_the_same_slowly(codec: Codec, path: Any) -> None:
    assert slowly(codec, path.read_bytes()) == events_of(codec, [path.read_bytes()])


def chat_chunks(deltas: list[tuple[str, str]], ascii_only: bool, noise: list[str]) -> bytes:
    out = []
    for at, (key, text) in enumerate(deltas):
        delta: dict[str, Any] = {key: text}
        if key == "arguments":
            delta = {"tool_calls": [{"index": 0, "function": {"arguments": text}} | ({"id": "i"} if at == 0 else {})]}
            delta["tool_calls"][0]["function"] |= {"name": "f"} if at == 0 else {}
        chunk: dict[str, Any] = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        if noise:
            chunk["obfuscation"] = noise[at % len(noise)]
        out.append("data: " + json.dumps(chunk, ensure_ascii=ascii_only, separators=(",", ":")) + "\n\n")
    return "".join(out).encode()


@settings(max_examples=200, deadline=None)
@given(
    deltas=st.lists(
        st.tuples(st.sampled_from(["content", "content", "content", "reasoning_content", "arguments"]), texts),
        max_size=12,
    ),
    ascii_only=st.booleans(),
    noise=st.lists(st.text("abc123", max_size=4), max_size=3),
)
def test_chat_chunks_read_the_same_slowly(deltas: list[tuple[str, str]], ascii_only: bool, noise: list[str]) -> None:
    data = chat_chunks(deltas, ascii_only, noise)
    assert slowly(CHAT, data) == events_of(CHAT, [data])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_bytes_that_only_look_like_the_template_are_read_in_full(data: st.DataObject) -> None:
    """Frames with the template's two ends and anything between."""
    codec = data.draw(st.sampled_from(ALL))
    if codec is CHAT:
        head, tail = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":', b'},"finish_reason":null}]}\n\n'
        stream = b""
    else:
        head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":'
        )
        tail = b"}}\n\n"
        stream = (
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","content":[]}}\n\n'
            b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
            b'"content_block":{"type":"text","text":""}}\n\n'
        )
    stream += head + b'"one"' + tail + head + b'"two"' + tail
    between = st.binary(max_size=4) | st.sampled_from(
        [b'""', b'"a","x":"b"', b'"a"},"x":{"y":"b"', b"1", b'"\\u00e9"', b'"\xff"', b'"a', b"null"]
    )
    for _ in range(data.draw(st.integers(1, 3))):
        stream += head + data.draw(between) + tail + head + b'"end"' + tail
    assert slowly(codec, stream) == events_of(codec, [stream])
