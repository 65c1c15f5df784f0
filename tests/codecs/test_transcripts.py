"""Answers composed from the vendors' documented shapes are read for what they say, whole and streamed."""

from pathlib import Path

import msgspec
import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import Failed, Finished, KeepAlive, PartDelta, PartEnded, PartStarted, check, fold
from omni_translator.domain.model import FinishReason, Opaque, Reasoning, Refusal, Text, ToolCall
from omni_wire.errors import WireError
from omni_wire.usage import Usage

from tests.codecs import aws_transcripts
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
    PAIRS,
    REPLY,
    RESPONSES,
    TRANSCRIPTS,
    ending,
    events_of,
    name,
    same_answer,
    transcripts,
    write_stream,
)

MOST = [CHAT, MESSAGES, RESPONSES, CLOUDCODE, CURSOR, OLLAMA, COHERE, BEDROCK, KIRO]
ENDED = [(codec, path) for codec, path in transcripts() if path.with_suffix(".json").exists()]


def read(codec: Codec, case: str) -> bytes:
    return (TRANSCRIPTS / codec.format / case).read_bytes()


def stream(codec: Codec, case: str) -> bytes:
    return read(codec, case + ending(codec))


@pytest.mark.parametrize(("codec", "path"), ENDED, ids=name)
def test_a_stream_folds_to_the_same_answer_given_whole(codec: Codec, path: Path) -> None:
    events, error = events_of(codec, [path.read_bytes()])
    assert error == ""
    assert check(events) == "finished"
    assert same_answer(fold(events)) == same_answer(codec.decode_response(path.with_suffix(".json").read_bytes()))


@pytest.mark.parametrize(("codec", "path"), transcripts(), ids=name)
def test_every_stream_obeys_the_grammar(codec: Codec, path: Path) -> None:
    events, _ = events_of(codec, [path.read_bytes()])
    assert check(events) in ("finished", "failed", "inside", "between")


@pytest.mark.parametrize(("codec", "path"), transcripts(), ids=name)
def test_the_same_events_come_byte_by_byte(codec: Codec, path: Path) -> None:
    data = path.read_bytes()
    assert events_of(codec, [data[at : at + 1] for at in range(len(data))]) == events_of(codec, [data])


@pytest.mark.parametrize(("codec", "path"), ENDED, ids=name)
@pytest.mark.parametrize("target", [CHAT, MESSAGES, RESPONSES, CURSOR, OLLAMA, COHERE, BEDROCK, KIRO], ids=name)
def test_every_ended_stream_is_an_ended_stream_in_the_other_format(codec: Codec, path: Path, target: Codec) -> None:
    events, _ = events_of(codec, [path.read_bytes()])
    again, error = events_of(target, [write_stream(target, events)])
    assert error == ""
    assert check(again) == "finished"
    if path.stem == "codex" and target in (MESSAGES, OLLAMA, BEDROCK, KIRO):
        return  # a freeform call becomes one argument there: see the test of it
    first, second = ("".join(event.text for event in told if isinstance(event, PartDelta)) for told in (events, again))
    if target is OLLAMA:  # arguments are an object there, not the text of one
        first = first.replace('": ', '":')
    assert first == second


@pytest.mark.parametrize("codec", MOST, ids=name)
def test_a_cut_stream_never_finishes(codec: Codec) -> None:
    events, error = events_of(codec, [stream(codec, "cut")])
    assert error == ""
    assert not any(isinstance(event, Finished | PartEnded) for event in events)
    assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "Once upon a ti"


@pytest.mark.parametrize("codec", MOST, ids=name)
def test_a_stream_cut_anywhere_before_its_finish_reason_never_finishes(codec: Codec) -> None:
    data = stream(codec, "parallel_tools")
    ends = {
        CHAT: b'"tool_calls"}',
        MESSAGES: b'"stop_reason": "tool_use"',
        RESPONSES: b'"usage":{"input_tokens":80',
        CLOUDCODE: b'"STOP"',
        CURSOR: b"\x02\0\0\0\x02{}",
        BEDROCK: b'"stopReason"',
        KIRO: b'"stopReason"',
        OLLAMA: b'"done":true',
        COHERE: b'"TOOL_CALL"',
    }
    last = data.index(ends[codec])
    for cut in range(last):
        events, _ = events_of(codec, [data[:cut]])
        assert not any(isinstance(event, Finished) for event in events)


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        (CHAT, "The server had an error"),
        (MESSAGES, "Overloaded"),
        (RESPONSES, "The server had an error"),
        (CLOUDCODE, "overloaded"),
        (CURSOR, "Too many requests: Wait a moment and try again."),
        (BEDROCK, "modelStreamErrorException: The model has encountered an unexpected error"),
        (KIRO, "ThrottlingException: Too many requests"),
        (OLLAMA, "unexpected EOF"),
        (COHERE, "overloaded"),
    ],
    ids=name,
)
def test_an_error_event_fails_the_answer_with_its_message(codec: Codec, words: str) -> None:
    events, error = events_of(codec, [stream(codec, "error")])
    assert error == ""
    assert isinstance(events[-1], Failed)
    assert words in events[-1].message


@pytest.mark.parametrize("codec", MOST, ids=name)
def test_what_came_before_a_malformed_line_is_told_before_the_error(codec: Codec) -> None:
    decoder = codec.stream_decoder()
    events = decoder.feed(stream(codec, "malformed"))
    assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "Once"
    assert isinstance(decoder.error, WireError)
    with pytest.raises(WireError):
        decoder.feed(b"")
    with pytest.raises(WireError):
        decoder.end()


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=name)
def test_the_usage_of_an_answer_survives_every_pair(source: Codec, target: Codec) -> None:
    if CURSOR in (source, target):  # which counts nothing
        return
    events, _ = events_of(source, [stream(source, "cached")])
    again, _ = events_of(target, [write_stream(target, events)])
    usage = fold(events).usage
    if (
        target in (GEMINI, CLOUDCODE, OLLAMA, COHERE) and usage is not None
    ):  # it has no count of what a cache was given, which is declared
        usage = msgspec.structs.replace(usage, cache_write_tokens=0)
    if target is OLLAMA and usage is not None:
        usage = msgspec.structs.replace(usage, cached_input_tokens=0)
    assert fold(again).usage == usage


def test_anthropics_input_count_leaves_out_the_cache_and_ours_does_not() -> None:
    events, _ = events_of(MESSAGES, [read(MESSAGES, "cached.sse")])
    answer = fold(events)
    assert answer.usage == Usage(2008, 1900, 100, 5)
    assert (answer.finish, answer.stop_sequence) == (FinishReason.STOP_SEQUENCE, ".")


def test_interleaved_calls_come_out_one_after_another_and_whole() -> None:
    events, _ = events_of(CHAT, [read(CHAT, "interleaved_tools.sse")])
    starts = [event.part for event in events if isinstance(event, PartStarted)]
    assert [part.id for part in starts if isinstance(part, ToolCall)] == ["call_1", "call_2"]
    assert [part.arguments for part in fold(events).parts if isinstance(part, ToolCall)] == [
        '{"city":"Zürich"}',
        '{"zone":"UTC"}',
    ]


def test_sequential_calls_are_told_without_delay() -> None:
    decoder = CHAT.stream_decoder()
    data = read(CHAT, "parallel_tools.sse")
    second = data.index(b'"call_2"')
    end = data.index(b"\n\n", second) + 2
    decoder.feed(data[: data.rindex(b"data:", 0, second)])
    assert [type(event) for event in decoder.feed(data[data.rindex(b"data:", 0, second) : end])] == [
        PartEnded,
        PartStarted,
    ]


def test_thoughts_keep_their_signature_and_redacted_ones_stay_opaque() -> None:
    thought, redacted, text = MESSAGES.decode_response(read(MESSAGES, "thinking.json")).parts
    assert isinstance(thought, Reasoning)
    assert thought.signature == "EqQBCgIYAhIM"
    assert isinstance(redacted, Opaque)
    assert text == Text("4")


def test_signatures_and_redacted_thoughts_are_declared_lost_to_chat_and_never_sent() -> None:
    events, _ = events_of(MESSAGES, [read(MESSAGES, "thinking.sse")])
    encoder = CHAT.stream_encoder(REPLY)
    written = b"".join([encoder.emit(event) for event in events])
    assert b"EqQBCgIYAhIM" not in written
    assert b"EmwKAhgBEgy3" not in written
    assert b'"reasoning_content":"Two and"' in written
    assert {loss.field for loss in encoder.losses} >= {"content.signature", "content.redacted_thinking"}


def test_a_refusal_is_a_part_of_its_own_in_chat_and_a_stop_reason_in_messages() -> None:
    assert CHAT.decode_response(read(CHAT, "refusal.json")).parts == (Refusal("I can't help with that."),)
    assert MESSAGES.decode_response(read(MESSAGES, "refusal.json")).finish is FinishReason.CONTENT_FILTER


def test_comments_and_pings_keep_alive() -> None:
    for codec, case in ((CHAT, "comments.sse"), (MESSAGES, "text.sse")):
        events, _ = events_of(codec, [read(codec, case)])
        assert any(isinstance(event, KeepAlive) for event in events)


def test_cursors_calls_are_joined_by_their_ids_whatever_comes_between() -> None:
    for case in ("parallel_tools", "interleaved_tools"):
        events, error = events_of(CURSOR, [stream(CURSOR, case)])
        answer = fold(events)
        calls = [part for part in answer.parts if isinstance(part, ToolCall)]
        assert error == ""
        assert [(call.id, call.name, call.arguments) for call in calls] == [
            ("toolu_1", "get_weather", '{"city":"Zürich"}'),
            ("toolu_2", "get_time", '{"zone":"UTC"}'),
        ]
        assert answer.finish is FinishReason.TOOL_CALLS


def test_cursors_compressed_frames_tell_thoughts_with_their_proofs() -> None:
    thought, hidden, text = CURSOR.decode_response(stream(CURSOR, "thinking")).parts
    assert isinstance(thought, Reasoning)
    assert (thought.text, thought.signature) == ("Two and two.", "Q3Vyc29yU2ln")
    assert isinstance(hidden, Opaque)
    assert text == Text("4")


def test_cursor_tells_neither_usage_nor_model_and_none_is_made_up() -> None:
    answer = CURSOR.decode_response(stream(CURSOR, "text"))
    assert (answer.usage, answer.model, answer.finish) == (None, "", FinishReason.STOP)


def test_what_cursor_cites_is_declared_lost_elsewhere() -> None:
    events, _ = events_of(CURSOR, [stream(CURSOR, "cited")])
    encoder = CHAT.stream_encoder(REPLY)
    for event in events:
        encoder.emit(event)
    assert {loss.field for loss in encoder.losses} == {"web_citation"}


def test_cloud_codes_trace_is_the_answers_id() -> None:
    assert CLOUDCODE.decode_response(read(CLOUDCODE, "text.json")).id == "5f3a9c17e0b24d68"


def test_a_client_of_gemini_loses_nothing_over_cloud_code() -> None:
    for case in ("thinking", "server_tool", "cached"):
        events, _ = events_of(CLOUDCODE, [stream(CLOUDCODE, case)])
        encoder = GEMINI.stream_encoder(REPLY)
        written = b"".join([encoder.emit(event) for event in events])
        assert encoder.losses == ()
        again, _ = events_of(GEMINI, [written])
        assert same_answer(fold(again)) == same_answer(fold(events))


@pytest.mark.parametrize(("path", "data"), list(aws_transcripts.files()), ids=lambda value: getattr(value, "name", ""))
def test_binary_transcripts_hold_what_is_told_of_them(path: Path, data: bytes) -> None:
    assert path.read_bytes() == data, "if this is meant: python -m tests.codecs.aws_transcripts"


@pytest.mark.parametrize("case", ["without_a_reason", "message_stop"])
def test_kiro_may_end_without_a_reason(case: str) -> None:
    events, error = events_of(KIRO, [stream(KIRO, case)])
    assert error == ""
    assert fold(events).finish is FinishReason.STOP


def test_a_call_of_kiros_without_its_end_is_no_whole_answer() -> None:
    events, _ = events_of(KIRO, [stream(KIRO, "cut_call")])
    assert not any(isinstance(event, Finished) for event in events)


def test_an_invalid_state_of_kiros_fails_the_answer() -> None:
    events, _ = events_of(KIRO, [stream(KIRO, "invalid_state")])
    assert events[-1] == Failed("INVALID_TASK_ASSIST_PLAN: The plan is gone")


def test_bedrocks_usage_counts_the_cache_in_and_its_guardrail_is_a_filter() -> None:
    usage = fold(events_of(BEDROCK, [stream(BEDROCK, "cached")])[0]).usage
    assert usage == Usage(2008, 1900, 100, 3)
    answer = fold(events_of(BEDROCK, [stream(BEDROCK, "guardrail")])[0])
    assert (answer.finish, answer.finish_detail) == (FinishReason.CONTENT_FILTER, "guardrail_intervened")


def test_what_bedrock_cites_is_a_text_for_everybody() -> None:
    events, _ = events_of(BEDROCK, [stream(BEDROCK, "cited")])
    (text,) = fold(events).parts
    assert isinstance(text, Text)
    assert text.text == "About 130,000."
    assert text.extra["citationsContent"]["citations"][0]["title"] == "Almanac"
