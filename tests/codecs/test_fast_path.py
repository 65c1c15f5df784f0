"""The stream decoders' fast path is only ever faster."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import Event, PartDelta
from omni_translator.domain.streams import SseDecoder
from omni_wire.errors import WireError

from tests.codecs.support import CHAT, GEMINI, MESSAGES, RESPONSES, events_of, name, transcripts

FAST = [CHAT, RESPONSES, MESSAGES, GEMINI]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ['"', "\\", '"}', '\\"', "\n", "é", "😀", ',"obfuscation":"']
)


def failed_or_not(outcome: tuple[list[Event], str]) -> tuple[list[Event], bool]:
    """Where padding was cut off, what is no JSON is none at another byte, and the message says so."""
    return outcome[0], bool(outcome[1])


def alone(data: bytes) -> list[bytes]:
    """Each event in a chunk of its own, as it mostly comes."""
    return [frame + b"\n\n" for frame in data.replace(b"\r\n", b"\n").split(b"\n\n") if frame]


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


TEMPLATED = [pair for pair in transcripts() if isinstance(pair[0].stream_decoder(), SseDecoder)]


@pytest.mark.parametrize(("codec", "path"), [pair for pair in TEMPLATED if pair[1].stem != "cut"], ids=name)
def test_transcripts_read_the_same_slowly(codec: Codec, path: Any) -> None:
    read = slowly(codec, path.read_bytes())
    assert events_of(codec, [path.read_bytes()]) == read
    assert events_of(codec, alone(path.read_bytes())) == read


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
    assert slowly(CHAT, data) == events_of(CHAT, [data]) == events_of(CHAT, alone(data))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_bytes_that_only_look_like_the_template_are_read_in_full(data: st.DataObject) -> None:
    """Frames with the template's two ends and anything between."""
    codec = data.draw(st.sampled_from(FAST))
    between = st.binary(max_size=4) | st.sampled_from(
        [
            b'""',
            b'"a","x":"b"',
            b'"a"},"x":{"y":"b"',
            b"1",
            b'"\\u00e9"',
            b'"\xff"',
            b'"a',
            b"null",
            b'\n\n"a"',
            b'"a"\n\n',
        ]
    )
    if codec is RESPONSES:
        frames = responses_frames(data, between)
        assert_read_in_full(codec, frames)
        return
    if codec is CHAT:
        head, tail = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":', b'},"finish_reason":null}]}\n\n'
        frames = []
    elif codec is GEMINI:
        head, tail = b'data: {"candidates": [{"content": {"parts": [{"text": ', b'}],"role":"model"},"index":0}]}\n\n'
        frames = []
    else:
        head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":'
        )
        tail = b"}}\n\n"
        frames = [
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","content":[]}}\n\n',
            b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
            b'"content_block":{"type":"text","text":""}}\n\n',
        ]
    frames += [head + b'"one"' + tail, head + b'"two"' + tail]
    for _ in range(data.draw(st.integers(1, 3))):
        frames += [head + data.draw(between) + tail, head + b'"end"' + tail]
    assert_read_in_full(codec, frames)


def assert_read_in_full(codec: Codec, frames: list[bytes]) -> None:
    """However the frames come: all at once, two and two, or each alone, even where one is broken in two by its text."""
    stream = b"".join(frames)
    read = failed_or_not(slowly(codec, stream))
    assert failed_or_not(events_of(codec, [stream])) == read
    assert failed_or_not(events_of(codec, frames)) == read
    assert failed_or_not(events_of(codec, [b"".join(frames[at : at + 2]) for at in range(0, len(frames), 2)])) == read


def responses_frames(data: st.DataObject, between: st.SearchStrategy[bytes]) -> list[bytes]:
    """Numbered frames; now and then one whose number, text or end is something else."""
    numbers = st.integers(0, 10**6).map(lambda number: b"%d" % number) | st.sampled_from(
        [b"007", b"-1", b"1.5", b'"1"', b"null", b"1e3", b'1,"x":2', b'1,"sequence_number":2', b"", b" 5"]
    )
    ends = st.sampled_from([b"", b',"obfuscation":"aB3"', b',"obfuscation":"a\\""', b',"logprobs":[]', b',"x":1'])
    key = b"response.output_text.delta"
    out = []
    for at in range(data.draw(st.integers(2, 6))):
        number, text, end = (b"%d" % at, b'"t%d"' % at, b"") if at < 2 else data.draw(st.tuples(numbers, between, ends))
        head = b'event: %b\ndata: {"type":"%b","sequence_number":%b,"item_id":"m","output_index":0,' % (
            key,
            key,
            number,
        )
        out.append(head + b'"content_index":0,"delta":%b%b}\n\n' % (text, end))
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
    assert slowly(RESPONSES, data) == events_of(RESPONSES, [data]) == events_of(RESPONSES, alone(data))
    told, error = events_of(RESPONSES, [data])
    assert error == ""
    assert "".join(event.text for event in told if isinstance(event, PartDelta)) == "".join(deltas)


counts = st.fixed_dictionaries(
    {"promptTokenCount": st.integers(0, 9)},
    optional={
        "candidatesTokenCount": st.integers(-1, 9) | st.sampled_from(["7", None, 1.0, True]),
        "thoughtsTokenCount": st.integers(0, 9),
        "cachedContentTokenCount": st.integers(0, 9),
        "prompt_token_count": st.integers(0, 9),
        "totalTokenCount": st.integers(0, 99),
        "promptTokensDetails": st.just([{"modality": "TEXT", "tokenCount": 3}]),
    },
)


@settings(max_examples=200, deadline=None)
@given(
    chunks=st.lists(st.tuples(texts, counts), max_size=8),
    ascii_only=st.booleans(),
    counts_first=st.booleans(),
    ended=st.booleans(),
)
def test_chunks_that_count_read_the_same_slowly(
    chunks: list[tuple[str, dict[str, Any]]], ascii_only: bool, counts_first: bool, ended: bool
) -> None:
    out = []
    for at, (text, used) in enumerate(chunks):
        candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        if ended and at == len(chunks) - 1:
            candidate["finishReason"] = "STOP"
        said, counted = {"candidates": [candidate]}, {"usageMetadata": used}
        chunk = (counted | said if counts_first else said | counted) | {"modelVersion": "m"}
        out.append("data: " + json.dumps(chunk, ensure_ascii=ascii_only) + "\n\n")
    data = "".join(out).encode()
    assert slowly(GEMINI, data) == events_of(GEMINI, [data]) == events_of(GEMINI, alone(data))
