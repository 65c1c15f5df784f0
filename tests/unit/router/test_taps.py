"""Relaying a stream of any client's dialect: nothing invented, nothing hidden, the end told truly."""

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.taps import read_answer, stream_tap
from omni_router.domain.taps.base import StreamTap
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.streams import Tally
from omni_wire.errors import StreamInterrupted, UpstreamFailed, WireError
from omni_wire.formats import CLIENT_FORMATS, WireFormat
from omni_wire.usage import Usage

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
OLLAMA = WireFormat.OLLAMA_CHAT
TRANSCRIPTS = Path(__file__).parents[2] / "transcripts"
RELAYED = [TRANSCRIPTS / wire_format for wire_format in CLIENT_FORMATS]
STREAMS = sorted(
    path for folder in RELAYED for suffix in ("sse", "array", "ndjson") for path in folder.glob(f"*.{suffix}")
)
WHOLE = sorted(path for folder in RELAYED for path in folder.glob("*.json"))


def name(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


def tap_for(path: Path) -> StreamTap:
    return stream_tap(WireFormat(path.parent.name), framing="array" if path.suffix == ".array" else "sse")


def play(tap: StreamTap, chunks: list[bytes]) -> tuple[bytes, str]:
    """What was relayed, and the kind of failure, if any."""
    out = b""
    for chunk in chunks:
        out += tap.feed(chunk)
        if tap.failure is not None:
            return out, tap.failure.kind
    try:
        return out + tap.end(), ""
    except (StreamInterrupted, UpstreamFailed) as error:
        return out, error.kind


def lines(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


# ---- against the transcripts ----


@pytest.mark.parametrize("path", STREAMS, ids=name)
def test_a_tap_sees_the_usage_and_the_end_that_the_codec_sees(path: Path) -> None:
    data, tap = path.read_bytes(), tap_for(path)
    out, failure = play(tap, [data])
    decoder, tally = CODECS[WireFormat(path.parent.name)].stream_decoder(), Tally()
    with contextlib.suppress(WireError):
        for event in decoder.feed(data):
            tally.see(event)
        for event in decoder.end():
            tally.see(event)
    assert tap.usage == (tally.usage.usage if tally.usage is not None else None)
    assert tap.complete is (tally.finished is not None)
    assert bool(failure) is (tally.finished is None)
    if not failure and path.suffix == ".array":
        assert out == data.rstrip() or json.loads(out) == json.loads(data)
    elif not failure:
        assert out.startswith(lines(data))


@given(st.data())
def test_cutting_the_bytes_anywhere_changes_nothing(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(STREAMS))
    stream = path.read_bytes()
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    whole, cut = tap_for(path), tap_for(path)
    expected = play(whole, [stream])
    places = [0, *sorted(cuts), len(stream)]
    found = play(cut, [stream[a:b] for a, b in itertools.pairwise(places)])
    assert found == expected
    assert (cut.usage, cut.complete, cut.finish_reason) == (whole.usage, whole.complete, whole.finish_reason)
    assert cut.estimate() == whole.estimate()


@given(st.data())
def test_a_stream_that_is_cut_anywhere_before_its_end_is_interrupted(data: st.DataObject) -> None:
    """Nothing looks complete before the event that says so, and what was relayed are whole events of the stream."""
    path = data.draw(st.sampled_from([path for path in STREAMS if path.stem in ("text", "parallel_tools", "thinking")]))
    stream = path.read_bytes()
    tap = tap_for(path)
    out, failure = play(tap, [stream[: data.draw(st.integers(0, len(stream) - 1))]])
    assert tap.complete is (not failure)
    if failure:
        assert failure == "stream_interrupted"
        assert (stream if path.suffix == ".array" else lines(stream)).startswith(out)


@given(st.sampled_from(CLIENT_FORMATS), st.booleans(), st.lists(st.binary(max_size=200), max_size=4))
def test_no_bytes_raise_anything_but_an_upstream_error(
    wire_format: WireFormat, array: bool, chunks: list[bytes]
) -> None:
    tap = stream_tap(wire_format, framing="array" if array else "sse")
    for chunk in chunks:
        tap.feed(chunk)
    with contextlib.suppress(StreamInterrupted, UpstreamFailed):
        tap.end()
    with contextlib.suppress(UpstreamFailed):
        read_answer(wire_format, b"".join(chunks))


KEYS = [
    *("type", "delta", "message", "usage", "error", "response", "text", "stop_reason", "input_tokens", "output"),
    *("candidates", "content", "parts", "finishReason", "index", "usageMetadata", "promptTokenCount", "promptFeedback"),
    *("choices", "finish_reason", "output_tokens_details", "status", "functionCall", "blockReason"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@given(
    st.sampled_from(CLIENT_FORMATS),
    st.lists(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=5), max_size=4),
    st.sampled_from(["message_start", "message_delta", "response.completed", "response.failed", None]),
)
def test_no_shape_raises_anything_but_an_upstream_error(
    wire_format: WireFormat, events: list[dict[str, Any]], kind: str | None
) -> None:
    tap = stream_tap(wire_format)
    for event in events:
        tap.feed(b"data: " + json.dumps(event | ({"type": kind} if kind else {})).encode() + b"\n\n")
    with contextlib.suppress(StreamInterrupted, UpstreamFailed):
        tap.end()
    for event in events:
        with contextlib.suppress(UpstreamFailed):
            read_answer(wire_format, json.dumps(event).encode())


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_whole_answer_has_the_usage_that_the_codec_reads(path: Path) -> None:
    wire_format = WireFormat(path.parent.name)
    usage, estimate = read_answer(wire_format, path.read_bytes())
    assert usage == CODECS[wire_format].decode_response(path.read_bytes()).usage
    assert estimate >= 0


@pytest.mark.parametrize("wire_format", CLIENT_FORMATS)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"[]", b'{"error":{"message":"no"}}', b'{"type":"error","error":{"message":"no"}}']
)
def test_what_is_no_answer_under_200_is_a_failure(wire_format: WireFormat, body: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        read_answer(wire_format, body)


@pytest.mark.parametrize(
    ("wire_format", "body"),
    [
        (RESPONSES, {"output": [], "status": "failed", "error": {"message": "overloaded"}}),
        (RESPONSES, {"output": [], "status": "queued"}),
        (GEMINI, {"candidates": [], "usageMetadata": {"promptTokenCount": 3}}),
        (MESSAGES, {"type": "message", "content": None}),
    ],
)
def test_an_answer_that_did_not_come_to_its_end_is_a_failure(wire_format: WireFormat, body: dict[str, Any]) -> None:
    with pytest.raises(UpstreamFailed):
        read_answer(wire_format, json.dumps(body).encode())


# ---- Messages ----


def named(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


START = named("message_start", message={"usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 1}})
OPEN = named("content_block_start", index=0, content_block={"type": "text", "text": ""})
SAID = named("content_block_delta", index=0, delta={"type": "text_delta", "text": "hello"})
STOP_REASON = named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
OVERLOADED = named("error", error={"type": "overloaded_error", "message": "Overloaded"})


def test_an_announced_message_has_not_begun_and_its_error_can_still_be_answered_by_another() -> None:
    tap = stream_tap(MESSAGES)
    tap.feed(START + named("ping"))
    assert not tap.begun
    tap.feed(OVERLOADED)
    assert not tap.begun
    assert tap.failure is not None
    assert "Overloaded" in tap.failure.message


def test_a_message_with_its_reason_is_whole_and_is_given_its_last_event() -> None:
    tap = stream_tap(MESSAGES)
    stream = START + OPEN + SAID + STOP_REASON
    assert tap.feed(stream) == stream
    assert tap.complete
    assert tap.end() == STOP
    assert tap.usage == Usage(9, 4, 0, 9)
    assert tap.finish_reason == "end_turn"


@pytest.mark.parametrize("half", [b"event: message_st", b"event: message_stop\ndata: ", b'data: {"type":', b"data: [D"])
def test_half_of_the_last_event_is_not_relayed_as_one(half: bytes) -> None:
    """Cut behind the reason, in the event that says that nothing more comes; and "[D" is no array to its client."""
    tap = stream_tap(MESSAGES)
    tap.feed(START + OPEN + SAID + STOP_REASON + half)
    assert tap.end() == STOP
    chat = stream_tap(CHAT)
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    assert chat.feed(finish + half) == finish
    assert chat.end() == b"data: [DONE]\n\n"


def test_nothing_after_the_last_event_is_relayed() -> None:
    tap = stream_tap(MESSAGES)
    assert tap.feed(START + OPEN + STOP_REASON + STOP + SAID).endswith(STOP)
    assert tap.end() == b""


def test_what_came_before_an_error_event_is_still_relayed() -> None:
    tap = stream_tap(MESSAGES)
    assert tap.feed(START + OPEN + SAID + OVERLOADED + SAID) == START + OPEN + SAID
    assert tap.failure is not None
    assert tap.estimate() == 2


def test_a_signature_is_no_output() -> None:
    tap = stream_tap(MESSAGES)
    tap.feed(named("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x" * 4000}))
    assert tap.estimate() == 0


# ---- Responses ----


def test_an_announced_response_has_not_begun() -> None:
    tap = stream_tap(RESPONSES)
    tap.feed(named("response.created", response={"usage": None}) + named("response.in_progress", response={}))
    assert not tap.begun
    tap.feed(named("response.failed", response={"error": {"code": "server_error", "message": "broken"}}))
    assert not tap.begun
    assert tap.failure is not None
    assert "broken" in tap.failure.message


def test_a_response_ends_in_one_of_its_own_ways_only() -> None:
    tap = stream_tap(RESPONSES)
    tap.feed(named("response.output_text.delta", delta="hello"))
    tap.feed(named("response.output_item.done", item={}))
    with pytest.raises(StreamInterrupted):
        tap.end()
    incomplete = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": None}
    tap.feed(named("response.incomplete", response=incomplete))
    assert tap.complete
    assert (tap.finish_reason, tap.end()) == ("max_output_tokens", b"")


# ---- Gemini ----


def chunk(**fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": "hello"}]}, "index": 0} | fields]}


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def test_a_stop_without_its_reason_is_an_interruption() -> None:
    tap = stream_tap(GEMINI)
    tap.feed(event(chunk()) + event({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}))
    assert tap.begun
    with pytest.raises(StreamInterrupted):
        tap.end()
    assert tap.usage == Usage(3, 0, 0, 2)


def test_usage_may_follow_the_reason() -> None:
    tap = stream_tap(GEMINI)
    used = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 4, "toolUsePromptTokenCount": 1}
    tap.feed(event(chunk(finishReason="STOP")) + event({"usageMetadata": used}))
    assert tap.end() == b""
    assert tap.usage == Usage(4, 0, 0, 6, 4)


def test_every_candidate_has_to_end() -> None:
    tap = stream_tap(GEMINI)
    tap.feed(event(chunk(index=1)) + event(chunk(finishReason="STOP")))
    assert not tap.complete
    tap.feed(event(chunk(index=1, finishReason="MAX_TOKENS")))
    assert tap.complete


def test_a_refused_prompt_is_an_answer() -> None:
    tap = stream_tap(GEMINI)
    tap.feed(event({"promptFeedback": {"blockReason": "SAFETY"}}))
    assert (tap.begun, tap.complete, tap.finish_reason) == (True, True, "SAFETY")


def test_an_array_is_closed_only_when_the_answer_is_whole() -> None:
    first, last = json.dumps(chunk()).encode(), json.dumps(chunk(finishReason="STOP")).encode()
    tap = stream_tap(GEMINI, framing="array")
    assert tap.feed(b"[" + first + b"\r\n,\r\n" + last[:9]) == b"[" + first
    assert tap.feed(last[9:] + b"\n]") == b"\r\n,\r\n" + last
    assert tap.end() == b"\n]"
    broken = stream_tap(GEMINI, framing="array")
    assert broken.feed(b"[" + first + b",") == b"[" + first
    with pytest.raises(StreamInterrupted):
        broken.end()
    unclosed = stream_tap(GEMINI, framing="array")
    assert unclosed.feed(b"[" + last + b",\n") == b"[" + last
    assert unclosed.end() == b"]"


def test_an_error_in_an_array_is_a_failure_that_is_not_relayed() -> None:
    first = json.dumps(chunk()).encode()
    tap = stream_tap(GEMINI, framing="array")
    assert tap.feed(b"[" + first + b',{"error":{"message":"out of capacity"}}]') == b"[" + first
    assert tap.failure is not None
    assert "out of capacity" in tap.failure.message
    bare = stream_tap(GEMINI, framing="array")
    assert bare.feed(b'{"error":{"message":"out of capacity"}}') == b""
    assert bare.failure is not None
    assert "out of capacity" in bare.failure.message


# ---- what begins an answer ----


@pytest.mark.parametrize(
    ("wire_format", "announcing", "saying"),
    [
        (MESSAGES, [START, named("ping"), OPEN], SAID),
        (MESSAGES, [START], named("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})),
        (MESSAGES, [START], named("content_block_start", index=0, content_block={"type": "tool_use", "id": "a"})),
        (MESSAGES, [START], named("content_block_start", index=0, content_block={"type": "text", "text": "x"})),
        (MESSAGES, [START, OPEN], STOP_REASON),
        (
            RESPONSES,
            [
                named("response.created", response={}),
                named("response.output_item.added", item={"type": "message", "content": []}),
                named("response.content_part.added", part={"type": "output_text", "text": ""}),
            ],
            named("response.output_text.delta", delta="x"),
        ),
        (RESPONSES, [], named("response.output_item.added", item={"type": "function_call", "name": "f"})),
        (RESPONSES, [], named("response.output_item.added", item={"type": "reasoning"})),
        (
            CHAT,
            [
                event({"choices": [], "prompt_filter_results": []}),
                event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}}]}),
            ],
            event({"choices": [{"index": 0, "delta": {"content": "x"}}]}),
        ),
        (CHAT, [], event({"choices": [{"index": 0, "delta": {"refusal": "no"}}]})),
        (CHAT, [], event({"choices": [{"index": 0, "delta": {"reasoning": "so"}}]})),
        (CHAT, [], event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]})),
        (CHAT, [], event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        (GEMINI, [event({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}}]})], event(chunk())),
        (GEMINI, [], event({"candidates": [{"content": {"parts": [{"inlineData": {}}]}}]})),
        (GEMINI, [event({"candidates": [{"index": 0}]})], event({"candidates": [{"finishReason": "STOP"}]})),
    ],
)
def test_an_answer_begins_with_the_first_event_that_says_something(
    wire_format: WireFormat, announcing: list[bytes], saying: bytes
) -> None:
    tap = stream_tap(wire_format)
    tap.feed(b"".join(announcing))
    assert not tap.begun
    tap.feed(saying)
    assert tap.begun


def test_an_error_event_has_the_status_of_its_words() -> None:
    tap = stream_tap(MESSAGES)
    tap.feed(START + OVERLOADED)
    assert tap.failure is not None
    assert (tap.failure.status, tap.failure.kind) == (529, "upstream_failed")
    tap = stream_tap(GEMINI)
    tap.feed(event({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}))
    assert tap.failure is not None
    assert (tap.failure.status, tap.failure.kind) == (429, "upstream_rejected")


# ---- Ollama ----


def line(content: str = "", **more: Any) -> bytes:
    said = {"model": "m", "message": {"role": "assistant", "content": content}, "done": False}
    return json.dumps(said | more).encode() + b"\n"


DONE = line(done=True, done_reason="length", prompt_eval_count=5, eval_count=9)


def test_a_blank_line_is_left_out_for_it_would_break_ollamas_client() -> None:
    tap = stream_tap(OLLAMA, framing="lines")
    assert tap.feed(b"\n \n" + line("a") + b"\r\n" + DONE) == line("a") + DONE
    assert tap.end() == b""
    assert (tap.usage, tap.finish_reason, tap.complete) == (Usage(5, output_tokens=9), "length", True)


def test_a_last_line_without_its_end_gets_it() -> None:
    tap = stream_tap(OLLAMA, framing="lines")
    assert tap.feed(line("a") + DONE[:-1]) == line("a")
    assert tap.end() == DONE


def test_ollamas_error_on_a_line_ends_the_answer_after_what_had_come() -> None:
    tap = stream_tap(OLLAMA, framing="lines")
    assert tap.feed(line("a") + b'{"error":"out of memory"}\n' + DONE) == line("a")
    assert tap.failure is not None
    assert "out of memory" in tap.failure.message
    first = stream_tap(OLLAMA, framing="lines")
    first.feed(b'{"error":"out of memory"}\n')
    assert not first.begun, "another provider can still be tried"


def test_an_answer_of_ollamas_that_is_not_done_is_a_failure() -> None:
    with pytest.raises(UpstreamFailed, match="incomplete"):
        read_answer(OLLAMA, line("a"))


# ---- half a surrogate pair ----

HALF = "\ud83d"


@pytest.mark.parametrize(
    ("wire_format", "saying"),
    [
        (CHAT, event({"choices": [{"index": 0, "delta": {"content": HALF}}]})),
        (RESPONSES, named("response.output_text.delta", delta=HALF)),
        (MESSAGES, named("content_block_delta", index=0, delta={"type": "text_delta", "text": HALF})),
        (GEMINI, event({"candidates": [{"content": {"parts": [{"text": HALF}]}}]})),
        (OLLAMA, line(HALF)),
    ],
)
def test_half_an_emoji_is_relayed_as_it_came(wire_format: WireFormat, saying: bytes) -> None:
    assert rb"\ud83d" in saying
    tap = stream_tap(wire_format)
    assert tap.feed(saying) == saying
    assert tap.failure is None
    assert tap.begun


def test_a_whole_answer_with_half_an_emoji_is_an_answer() -> None:
    body = {"choices": [{"message": {"content": HALF}}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    assert read_answer(CHAT, json.dumps(body).encode())[0] == Usage(1, output_tokens=2)
