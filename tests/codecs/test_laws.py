"""The laws of every codec, for every pair of them."""

import os
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from omni_translator.domain.codec import Codec, Encoded
from omni_translator.domain.events import check, fold, unfold
from omni_translator.domain.losses import says_something
from omni_translator.domain.model import Conversation, Response
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from tests.codecs import strategies
from tests.codecs.laws import EXAMPLES
from tests.codecs.support import (
    ALL,
    CLOUDCODE,
    CROSS,
    CURSOR,
    GEMINI,
    PAIRS,
    REPLY,
    addressed,
    body,
    events_of,
    name,
    same_answer,
    same_request,
    transcripts,
    write_stream,
)

REQUESTS = {
    WireFormat.OPENAI_CHAT: (strategies.chat_request(), strategies.chat_request(strange=False)),
    WireFormat.ANTHROPIC_MESSAGES: (strategies.messages_request(), strategies.messages_request(strange=False)),
    WireFormat.OPENAI_RESPONSES: (strategies.responses_request(), strategies.responses_request(strange=False)),
    WireFormat.GEMINI_GENERATE: (strategies.gemini_request(), strategies.gemini_request(strange=False)),
    WireFormat.CLOUDCODE_GENERATE: (strategies.cloudcode_request(), strategies.cloudcode_request(strange=False)),
    WireFormat.CURSOR_CHAT: (strategies.cursor_request(), strategies.cursor_request(strange=False)),
    WireFormat.BEDROCK_CONVERSE: (strategies.bedrock_request(), strategies.bedrock_request(strange=False)),
    WireFormat.KIRO_CONVERSATION: (strategies.kiro_request(), strategies.kiro_request(strange=False)),
    WireFormat.OLLAMA_CHAT: (strategies.ollama_request(), strategies.ollama_request(strange=False)),
    WireFormat.COHERE_CHAT: (strategies.cohere_request(), strategies.cohere_request(strange=False)),
}
STREAMS = [path.read_bytes() for _, path in transcripts()]
law = settings(
    max_examples=int(os.environ.get(EXAMPLES, "30")),  # ``make laws`` asks for more
    deadline=None,
    derandomize=EXAMPLES not in os.environ,  # the short form is the same every time; the long one looks for more
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# There are a hundred pairs, which share their codecs: each alone need not be tried as often.
law_of_pairs = settings(law, max_examples=int(os.environ.get(EXAMPLES, "8")))
every_codec = pytest.mark.parametrize("codec", ALL, ids=name)
every_pair = pytest.mark.parametrize(("source", "target"), PAIRS, ids=name)
every_crossing = pytest.mark.parametrize(("source", "target"), CROSS, ids=name)


def strange_keys(value: Any) -> Counter[str]:
    """How often each unknown key stands anywhere in a JSON value."""
    found: Counter[str] = Counter()
    if isinstance(value, dict):
        for key, inner in value.items():
            found[key] += key.startswith("x_")
            found += strange_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            found += strange_keys(inner)
    return +found


def encode_unless_empty(target: Codec, conversation: Conversation) -> Encoded:
    try:
        return target.encode_request(conversation)
    except WireError:  # nothing left that the target takes: refused, not lost
        assume(False)
        raise


# ---- requests -------------------------------------------------------------------------------------------------------


@every_codec
@law
@given(data=st.data())
def test_a_request_written_in_its_own_format_reads_the_same(codec: Codec, data: st.DataObject) -> None:
    conversation = codec.decode_request(body(data.draw(REQUESTS[codec.format][0])))
    encoded = codec.encode_request(conversation)
    assert codec.decode_request(encoded.body) == conversation
    assert encoded.losses == ()


@every_codec
@law
@given(data=st.data())
def test_unknown_keys_of_a_request_survive_in_its_own_format(codec: Codec, data: st.DataObject) -> None:
    request = data.draw(REQUESTS[codec.format][0])
    encoded = codec.encode_request(codec.decode_request(body(request)))
    if isinstance(request, bytes):  # protobuf, whose readers skip what they do not know
        return
    assert strange_keys(msgspec.json.decode(encoded.body)) == strange_keys(request)


@every_crossing
@law_of_pairs
@given(data=st.data())
def test_a_request_that_loses_nothing_comes_back_the_same(source: Codec, target: Codec, data: st.DataObject) -> None:
    if (source, target) == (CLOUDCODE, GEMINI):  # nobody asks so: a schema is narrowed anew, to say the same otherwise
        return
    strange, plain = REQUESTS[source.format]
    conversation = source.decode_request(body(data.draw(plain | strange)))
    conversation = msgspec.structs.replace(conversation, max_output=1000)
    encoded = encode_unless_empty(target, conversation)
    if encoded.losses == ():
        decoded = addressed(target, target.decode_request(encoded.body), conversation)
        assert same_request(decoded) == same_request(conversation)


@every_crossing
@law_of_pairs
@given(data=st.data())
def test_unknown_keys_that_cannot_go_along_are_declared(source: Codec, target: Codec, data: st.DataObject) -> None:
    request = data.draw(REQUESTS[source.format][0])
    encoded = encode_unless_empty(target, source.decode_request(body(request)))
    if (source, target) == (GEMINI, CLOUDCODE):  # one within the other, so that they can
        assert strange_keys(msgspec.json.decode(encoded.body)) == strange_keys(request)
        return
    fields = {loss.field for loss in encoded.losses}
    for key, value in request.items() if isinstance(request, dict) else ():
        if key.startswith("x_") and says_something(value):
            assert key in fields


# ---- answers --------------------------------------------------------------------------------------------------------


@every_codec
@law
@given(data=st.data())
def test_fold_is_the_inverse_of_unfold(codec: Codec, data: st.DataObject) -> None:
    answer = data.draw(strategies.answers(codec.format))
    events = unfold(answer)
    assert check(events) == "finished"
    assert fold(events) == answer


@every_codec
@law
@given(data=st.data())
def test_an_answer_written_in_its_own_format_reads_the_same_whole_and_streamed(
    codec: Codec, data: st.DataObject
) -> None:
    answer = data.draw(strategies.answers(codec.format))
    whole = codec.encode_response(answer, REPLY)
    expected = same_answer(answer)
    assert same_answer(codec.decode_response(whole.body)) == expected
    events, error = events_of(codec, [write_stream(codec, unfold(answer))])
    assert error == ""
    assert same_answer(fold(events)) == expected


@every_pair
@law_of_pairs
@given(data=st.data())
def test_an_answer_says_the_same_streamed_as_whole(source: Codec, target: Codec, data: st.DataObject) -> None:
    answer = data.draw(strategies.answers(source.format))
    encoder = target.stream_encoder(REPLY)
    events, error = events_of(target, [b"".join([encoder.emit(event) for event in unfold(answer)])])
    assert error == ""
    assert check(events) == "finished"
    whole = target.encode_response(answer, REPLY)
    assert set(encoder.losses) == set(whole.losses)
    # Texts joined, or something told with the end of a stream only.
    apart = ("content", "content.annotations")
    if not any(loss.kind == "approximated" and loss.field in apart for loss in whole.losses):
        assert same_answer(fold(events)) == same_answer(target.decode_response(whole.body))


@every_crossing
@law_of_pairs
@given(data=st.data())
def test_an_answer_that_loses_nothing_comes_back_the_same(source: Codec, target: Codec, data: st.DataObject) -> None:
    strange = data.draw(st.booleans())
    answer = data.draw(strategies.answers(source.format, strange))
    encoded = target.encode_response(answer, REPLY)
    if encoded.losses == ():
        assert same_answer(target.decode_response(encoded.body)) == same_answer(answer)


@every_codec
@law
@given(data=st.data())
def test_cutting_a_stream_anywhere_else_changes_nothing(codec: Codec, data: st.DataObject) -> None:
    answer = data.draw(strategies.answers(codec.format))
    stream = write_stream(codec, unfold(answer))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert events_of(codec, chunks) == events_of(codec, [stream])


# ---- hostile input --------------------------------------------------------------------------------------------------


def attempt(codec: Codec, data: bytes) -> list[Any]:
    """Whatever the codec can make of ``data``; anything but a ``WireError`` escapes."""
    made: list[Any] = []
    for decode in (codec.decode_request, codec.decode_response):
        try:
            made.append(decode(data))
        except WireError:
            continue
    return made


def encode_everywhere(value: Any) -> None:
    for target in ALL:
        try:
            if isinstance(value, Response):
                target.encode_response(value, REPLY)
                events_of(target, [write_stream(target, unfold(value))])
            else:
                target.encode_request(value)
        except WireError:
            continue


@every_codec
@law
@given(data=st.binary(max_size=200) | strategies.values.map(body))
def test_no_bytes_raise_anything_but_a_wire_error(codec: Codec, data: bytes) -> None:
    for value in attempt(codec, data):
        encode_everywhere(value)
    events, _ = events_of(codec, [b"data: " + data + b"\n\n", data])
    check(events)


@every_codec
@law
@given(data=st.data())
def test_no_damaged_body_raises_anything_but_a_wire_error(codec: Codec, data: st.DataObject) -> None:
    answer = data.draw(strategies.answers(codec.format))
    written = codec.encode_response(answer, REPLY).body
    whole = st.just(written if codec is CURSOR else msgspec.json.decode(written))
    for value in attempt(codec, body(data.draw(strategies.damaged(REQUESTS[codec.format][0] | whole)))):
        encode_everywhere(value)


@every_codec
@law
@given(data=st.data())
def test_no_damaged_stream_raises_anything_but_a_wire_error(codec: Codec, data: st.DataObject) -> None:
    frames = data.draw(st.sampled_from(STREAMS)).split(b"\n\n")
    at = data.draw(st.integers(0, len(frames) - 1))
    _, mark, payload = frames[at].partition(b"data: ")
    if mark and payload.startswith(b"{") and data.draw(st.booleans()):
        try:
            frames[at] = b"data: " + body(data.draw(strategies.damaged(st.just(msgspec.json.decode(payload)))))
        except msgspec.DecodeError:
            frames[at] = b""
    else:
        flip = data.draw(st.integers(0, max(0, len(frames[at]) - 1)))
        frames[at] = frames[at][:flip] + data.draw(st.binary(max_size=3)) + frames[at][flip + 1 :]
    if data.draw(st.booleans()):
        frames.insert(data.draw(st.integers(0, len(frames))), data.draw(st.sampled_from(frames)))
    events, _ = events_of(codec, [b"\n\n".join(frames)])
    check(events)
    for target in ALL:
        write_stream(target, events)


@every_codec
def test_json_nested_too_deep_is_a_wire_error(codec: Codec) -> None:
    for depth in (500, 900, 990, 100_000):
        nested = b'{"x":' * depth + b"1" + b"}" * depth
        for data in (nested, b'{"model":"m","messages":[{"role":"user","content":"x"}],"x":' + nested + b"}"):
            for value in attempt(codec, data):
                encode_everywhere(value)
        result = b'{"type":"tool_result","tool_use_id":"a","content":[' * (depth // 2) + b"]}" * (depth // 2)
        for value in attempt(codec, b'{"model":"m","messages":[{"role":"user","content":[' + result + b"]}]}"):
            encode_everywhere(value)
        events_of(codec, [b'data: {"id":"a","choices":[],"x":' + nested + b"}\n\n"] * 2)
