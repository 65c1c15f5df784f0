"""Answers composed from the vendors' documented shapes are read for what they say, whole and streamed."""

from pathlib import Path

import msgspec
import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import Failed, Finished, KeepAlive, PartDelta, PartEnded, PartStarted, check, fold
from omni_translator.domain.model import FinishReason, Opaque, Reasoning, Refusal, Text, ToolCall
from omni_wire.errors import WireError
from omni_wire.usage import Usage

from tests.codecs.support import (
    CHAT,
    GEMINI,
    MESSAGES,
    PAIRS,
    REPLY,
    RESPONSES,
    TRANSCRIPTS,
    events_of,
    name,
    same_answer,
    transcripts,
    write_stream,
)

ENDED = [(codec, path) for codec, path in transcripts() if path.with_suffix(".json").exists()]


def read(codec: Codec, case: str) -> bytes:
    return (TRANSCRIPTS / codec.format / case).read_bytes()


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
@pytest.mark.parametrize("target", [CHAT, MESSAGES, RESPONSES], ids=name)
def test_every_ended_stream_is_an_ended_stream_in_the_other_format(codec: Codec, path: Path, target: Codec) -> None:
    events, _ = events_of(codec, [path.read_bytes()])
    again, error = events_of(target, [write_stream(target, events)])
    assert error == ""
    assert check(again) == "finished"
    if path.stem == "codex" and target is MESSAGES:
        return  # a freeform call becomes one argument there: see the test of it
    told = [event.text for event in events if isinstance(event, PartDelta)]
    assert "".join(told) == "".join(event.text for event in again if isinstance(event, PartDelta))


@pytest.mark.parametrize("codec", [CHAT, MESSAGES, RESPONSES], ids=name)
def test_a_cut_stream_never_finishes(codec: Codec) -> None:
    events, error = events_of(codec, [read(codec, "cut.sse")])
    assert error == ""
    assert not any(isinstance(event, Finished | PartEnded) for event in events)
    assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "Once upon a ti"


@pytest.mark.parametrize("codec", [CHAT, MESSAGES, RESPONSES], ids=name)
def test_a_stream_cut_anywhere_before_its_finish_reason_never_finishes(codec: Codec) -> None:
    data = read(codec, "parallel_tools.sse")
    ends = {
        CHAT: b'"tool_calls"}',
        MESSAGES: b'"stop_reason": "tool_use"',
        RESPONSES: b'"usage":{"input_tokens":80',
    }
    last = data.index(ends[codec])
    for cut in range(last):
        events, _ = events_of(codec, [data[:cut]])
        assert not any(isinstance(event, Finished) for event in events)


@pytest.mark.parametrize(
    ("codec", "words"),
    [(CHAT, "The server had an error"), (MESSAGES, "Overloaded"), (RESPONSES, "The server had an error")],
    ids=name,
)
def test_an_error_event_fails_the_answer_with_its_message(codec: Codec, words: str) -> None:
    events, error = events_of(codec, [read(codec, "error.sse")])
    assert error == ""
    assert isinstance(events[-1], Failed)
    assert words in events[-1].message


@pytest.mark.parametrize("codec", [CHAT, MESSAGES, RESPONSES], ids=name)
def test_what_came_before_a_malformed_line_is_told_before_the_error(codec: Codec) -> None:
    decoder = codec.stream_decoder()
    events = decoder.feed(read(codec, "malformed.sse"))
    assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "Once"
    assert isinstance(decoder.error, WireError)
    with pytest.raises(WireError):
        decoder.feed(b"")
    with pytest.raises(WireError):
        decoder.end()


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=name)
def test_the_usage_of_an_answer_survives_every_pair(source: Codec, target: Codec) -> None:
    events, _ = events_of(source, [read(source, "cached.sse")])
    again, _ = events_of(target, [write_stream(target, events)])
    usage = fold(events).usage
    if target is GEMINI and usage is not None:  # it has no count of what a cache was given, which is declared
        usage = msgspec.structs.replace(usage, cache_write_tokens=0)
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
