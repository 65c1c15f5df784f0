"""The stream decoders' fast path is only ever faster."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import Event, PartDelta
from omni_wire.errors import WireError

from tests.codecs.support import ALL, CHAT, GEMINI, RESPONSES, events_of, name, transcripts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "\\", '"}', '\\"', "\n", "é", "😀", ',"obfuscation":"']
)


def failed_or_not(outcome: tuple[list[Event], str]) -> tuple[list[Event], bool]:
    """Where padding was cut off, what is no JSON is none at another byte, and the message says so."""
    return outcome[0], bool(outcome[1])


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
    between = st.binary(max_size=4) | st.sampled_from(
        [b'""', b'"a","x":"b"', b'"a"},"x":{"y":"b"', b"1", b'"\\u00e9"', b'"\xff"', b'"a', b"null"]
    )
    if codec is RESPONSES:
        stream = responses_frames(data, between)
        assert failed_or_not(slowly(codec, stream)) == failed_or_not(events_of(codec, [stream]))
        return
    if codec is CHAT:
        head, tail = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":', b'},"finish_reason":null}]}\n\n'
        stream = b""
    elif codec is GEMINI:
        head, tail = b'data: {"candidates": [{"content": {"parts": [{"text": ', b'}],"role":"model"},"index":0}]}\n\n'
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
    for _ in range(data.draw(st.integers(1, 3))):
        stream += head + data.draw(between) + tail + head + b'"end"' + tail
    assert failed_or_not(slowly(codec, stream)) == failed_or_not(events_of(codec, [stream]))


def responses_frames(data: st.DataObject, between: st.SearchStrategy[bytes]) -> bytes:
    """Numbered frames; now and then one whose number, text or end is something else."""
    numbers = st.integers(0, 10**6).map(lambda number: b"%d" % number) | st.sampled_from(
        [b"007", b"-1", b"1.5", b'"1"', b"null", b"1e3", b'1,"x":2', b'1,"sequence_number":2', b"", b" 5"]
    )
    ends = st.sampled_from([b"", b',"obfuscation":"aB3"', b',"obfuscation":"a\\""', b',"logprobs":[]', b',"x":1'])
    key = b"response.output_text.delta"
    out = b""
    for at in range(data.draw(st.integers(2, 6))):
        number, text, end = (b"%d" % at, b'"t%d"' % at, b"") if at < 2 else data.draw(st.tuples(numbers, between, ends))
        out += b'event: %b\ndata: {"type":"%b","sequence_number":%b,"item_id":"m","output_index":0,' % (
            key,
            key,
            number,
        )
        out += b'"content_index":0,"delta":%b%b}\n\n' % (text, end)
    return out


@settings(max_examples=200, deadline=None)
@given(
    deltas=st.lists(texts, max_size=12),
    ascii_only=st.booleans(),
    noise=st.lists(st.text("abc123", max_size=4), max_size=3),
    last=st.booleans(),
)
def test_numbered_deltas_read_the_same_slowly(
    deltas: list[str], ascii_only: bool, noise: list[str], last: bool
) -> None:
    out = []
    for at, text in enumerate(deltas):
        number = {"sequence_number": at * 37}
        place = {"item_id": "m", "output_index": 0, "content_index": 0, "delta": text, "logprobs": []}
        frame = {"type": "response.output_text.delta"} | (place | number if last else number | place)
        if noise:
            frame["obfuscation"] = noise[at % len(noise)]
        out.append("data: " + json.dumps(frame, ensure_ascii=ascii_only, separators=(",", ":")) + "\n\n")
    data = "".join(out).encode()
    assert slowly(RESPONSES, data) == events_of(RESPONSES, [data])
    told, error = events_of(RESPONSES, [data])
    assert error == ""
    assert "".join(event.text for event in told if isinstance(event, PartDelta)) == "".join(deltas)
