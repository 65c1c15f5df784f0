"""Several answers to one request: whole and streamed, where the target has them, and declared where not."""

import json
from typing import Any

import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import Finished, OfChoice, check, fold, unfold
from omni_translator.domain.model import Text, ToolCall
from omni_wire.usage import Usage

from tests.codecs.support import (
    ALL,
    CHAT,
    CLOUDCODE,
    CROSS,
    GEMINI,
    REPLY,
    body,
    events_of,
    name,
    same_answer,
    write_stream,
)

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SEVERAL = [CHAT, GEMINI]
USED = Usage(input_tokens=9, output_tokens=30)


def whole(codec: Codec) -> bytes:
    """Three answers: two texts, and one that calls."""
    if codec is CHAT:
        messages: list[dict[str, Any]] = [
            {"content": "one"},
            {"content": "two"},
            {"content": None, "tool_calls": [CALL]},
        ]
        words = ["stop", "length", "tool_calls"]
        choices = [
            {"index": at, "message": {"role": "assistant"} | message, "finish_reason": word}
            for at, (message, word) in enumerate(zip(messages, words, strict=True))
        ]
        used = {"prompt_tokens": 9, "completion_tokens": 30, "total_tokens": 39}
        return body({"id": "a", "model": "m", "choices": choices, "usage": used})
    function = {"functionCall": {"id": "call_1", "name": "look", "args": {}}}
    parts: list[dict[str, Any]] = [{"text": "one"}, {"text": "two"}, function]
    candidates = [
        {"index": at, "content": {"parts": [part], "role": "model"}, "finishReason": word}
        for at, (part, word) in enumerate(zip(parts, ["STOP", "MAX_TOKENS", "STOP"], strict=True))
    ]
    used = {"promptTokenCount": 9, "candidatesTokenCount": 30, "totalTokenCount": 39}
    return body({"responseId": "a", "modelVersion": "m", "candidates": candidates, "usageMetadata": used})


def chat_stream() -> list[dict[str, Any]]:
    """Two answers, interleaved, the second one the first to end."""
    told: list[tuple[int, dict[str, Any], str | None]] = [
        (0, {"role": "assistant", "content": ""}, None),
        (1, {"role": "assistant", "content": ""}, None),
        (1, {"content": "two"}, None),
        (0, {"content": "one"}, None),
        (1, {"content": " too"}, None),
        (1, {}, "length"),
        (0, {"content": "!"}, None),
        (0, {}, "stop"),
    ]
    return [
        {"id": "a", "model": "m", "choices": [{"index": at, "delta": delta, "finish_reason": word}]}
        for at, delta, word in told
    ]


def gemini_stream() -> list[dict[str, Any]]:
    told: list[tuple[int, str, str | None]] = [
        (1, "two", None),
        (0, "one", None),
        (1, " too", "MAX_TOKENS"),
        (0, "!", "STOP"),
    ]
    return [
        {
            "responseId": "a",
            "modelVersion": "m",
            "candidates": [
                {"index": at, "content": {"parts": [{"text": text}], "role": "model"}}
                | ({"finishReason": word} if word else {})
            ],
        }
        for at, text, word in told
    ]


STREAMS = {CHAT: chat_stream, GEMINI: gemini_stream}


def sse(chunks: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: %b\n\n" % body(chunk) for chunk in chunks)


@pytest.mark.parametrize("target", SEVERAL, ids=name)
@pytest.mark.parametrize("source", SEVERAL, ids=name)
def test_every_answer_reaches_a_client_that_may_ask_for_several(source: Codec, target: Codec) -> None:
    response = source.decode_response(whole(source))
    assert response.others[0].parts[0] == Text("two")
    encoded = target.encode_response(response, REPLY)
    assert encoded.losses == ()
    there = target.decode_response(encoded.body)
    assert same_answer(there) == same_answer(response)
    assert there.usage == USED
    events, error = events_of(target, [write_stream(target, unfold(response))])
    assert error == ""
    assert same_answer(fold(events)) == same_answer(response)


@pytest.mark.parametrize("target", [*SEVERAL, CLOUDCODE], ids=name)
@pytest.mark.parametrize("source", SEVERAL, ids=name)
def test_answers_that_come_interleaved_go_on_interleaved(source: Codec, target: Codec) -> None:
    events, error = events_of(source, [sse(STREAMS[source]())])
    assert error == ""
    assert check(events) == "finished"
    assert isinstance(events[-1], Finished)
    told, error = events_of(target, [write_stream(target, events)])
    assert error == ""
    answer = fold(told)
    assert [part for part in answer.parts if isinstance(part, Text)] == [Text("one!")]
    assert [(other.parts, other.finish) for other in answer.others] == [((Text("two too"),), "length")]
    seconds = [at for at, event in enumerate(told) if isinstance(event, OfChoice)]
    assert seconds[0] < len(told) - len(seconds), "the second answer did not wait for the first one's end"


@pytest.mark.parametrize("codec", SEVERAL, ids=name)
@pytest.mark.parametrize("chunk", [7, 64])
def test_cutting_the_stream_elsewhere_changes_no_answer(codec: Codec, chunk: int) -> None:
    stream = sse(STREAMS[codec]())
    cut = [stream[at : at + chunk] for at in range(0, len(stream), chunk)]
    assert events_of(codec, cut) == events_of(codec, [stream])


@pytest.mark.parametrize("codec", SEVERAL, ids=name)
@pytest.mark.parametrize("missing", [0, 1])
def test_a_stream_in_which_one_answer_has_not_ended_is_not_finished(codec: Codec, missing: int) -> None:
    chunks = STREAMS[codec]()
    key, word = ("choices", "finish_reason") if codec is CHAT else ("candidates", "finishReason")
    for chunk in chunks:
        if chunk[key][0]["index"] == missing:
            chunk[key][0].pop(word, None)
    events, _ = events_of(codec, [sse(chunks)])
    assert not any(isinstance(event, Finished) for event in events)


@pytest.mark.parametrize("index", [-1, 128, 10**12, "x", True, 1.5])
@pytest.mark.parametrize("codec", SEVERAL, ids=name)
def test_an_answers_number_that_is_none_is_an_error(codec: Codec, index: Any) -> None:
    chunks = STREAMS[codec]()
    chunks[2]["choices" if codec is CHAT else "candidates"][0]["index"] = index
    _, error = events_of(codec, [sse(chunks)])
    assert error


@pytest.mark.parametrize("source", SEVERAL, ids=name)
def test_a_client_that_gets_one_answer_is_told_of_the_others(source: Codec) -> None:
    response = source.decode_response(whole(source))
    for target in ALL:
        if target in (*SEVERAL, CLOUDCODE):
            continue
        encoded = target.encode_response(response, REPLY)
        assert [loss.reason for loss in encoded.losses if loss.field == "choices"] == [
            loss.reason for loss in encoded.losses if loss.reason.endswith("gives one answer only")
        ], target.format
        assert any(loss.field == "choices" for loss in encoded.losses), target.format
        encoder = target.stream_encoder(REPLY)
        for event in unfold(response):
            encoder.emit(event)
        assert set(encoder.losses) == set(encoded.losses)


def test_a_call_of_a_further_answer_is_whole_in_its_deltas() -> None:
    written = write_stream(CHAT, unfold(GEMINI.decode_response(whole(GEMINI))))
    chunks = [json.loads(line[6:]) for line in written.split(b"\n\n") if line.startswith(b"data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == 2]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [call["index"] for delta in deltas for call in delta.get("tool_calls", ())] == [0, 0]
    call = fold(events_of(CHAT, [written])[0]).others[1].parts[0]
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("call_1", "look", "{}")


def test_an_array_of_answers_is_one_json_array() -> None:
    encoder = GEMINI.stream_encoder(REPLY.__class__("a", "m", array=True))
    written = b"".join([encoder.emit(event) for event in events_of(CHAT, [sse(chat_stream())])[0]])
    assert {candidate["index"] for chunk in json.loads(written) for candidate in chunk["candidates"]} == {0, 1}


# ---- asked for ------------------------------------------------------------------------------------------------------


def asked(codec: Codec, count: int) -> bytes:
    if codec is CHAT:
        return body({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "n": count})
    contents = [{"role": "user", "parts": [{"text": "Hi"}]}]
    return body({"contents": contents, "generationConfig": {"candidateCount": count}})


def test_several_answers_are_asked_for_in_the_targets_words() -> None:
    encoded = GEMINI.encode_request(CHAT.decode_request(asked(CHAT, 3)))
    assert encoded.losses == ()
    assert json.loads(encoded.body)["generationConfig"]["candidateCount"] == 3
    encoded = CHAT.encode_request(GEMINI.decode_request(asked(GEMINI, 3)))
    assert encoded.losses == ()
    assert json.loads(encoded.body)["n"] == 3


@pytest.mark.parametrize(("source", "target"), [pair for pair in CROSS if pair[0] in SEVERAL], ids=name)
@pytest.mark.parametrize("count", [1, 2])
def test_a_format_of_one_answer_declares_that_several_were_asked_for(source: Codec, target: Codec, count: int) -> None:
    encoded = target.encode_request(source.decode_request(asked(source, count)))
    fields = {loss.field for loss in encoded.losses}
    several = fields & {"n", "generationConfig.candidateCount"}
    assert bool(several) is (count > 1 and target not in (*SEVERAL, CLOUDCODE)), encoded.losses
