"""Gemini's answers and streams word for word, from and to the other formats."""

import json

import msgspec
import pytest
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.events import Failed, Finished, KeepAlive, PartDelta, PartStarted, check, fold, unfold
from omni_translator.domain.model import (
    FinishReason,
    Opaque,
    Reasoning,
    Response,
    Text,
    ToolCall,
)
from omni_wire.errors import InvalidRequest, WireError, render_item
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from tests.codecs.support import (
    ALL,
    CHAT,
    GEMINI,
    MESSAGES,
    REPLY,
    TRANSCRIPTS,
    body,
    convert_answer,
    events_of,
    name,
    same_answer,
    stored,
    write_stream,
)

# ---- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_of_gemini_becomes_a_chat_completion() -> None:
    written, losses = convert_answer(GEMINI, CHAT, stored(GEMINI, "parallel_tools.json"))
    choice = written["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me look."
    assert [call_["function"] for call_ in choice["message"]["tool_calls"]] == [
        {"name": "get_weather", "arguments": '{"city":"Zürich"}'},
        {"name": "get_time", "arguments": "{}"},
    ]
    assert written["usage"] == {
        "prompt_tokens": 80,
        "completion_tokens": 45,
        "total_tokens": 125,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 12},
    }
    assert losses == {"content.signature": "dropped", "usageMetadata.promptTokensDetails": "dropped"}


def test_an_answer_of_messages_becomes_geminis() -> None:
    data = stored(MESSAGES, "parallel_tools.json")
    written, losses = convert_answer(MESSAGES, GEMINI, data)
    assert losses == {}
    assert written == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "Let me look."},
                        {"functionCall": {"id": "toolu_1", "name": "get_weather", "args": {"city": "Zürich"}}},
                        {"functionCall": {"id": "toolu_2", "name": "list_files", "args": {}}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 61, "totalTokenCount": 73},
        "modelVersion": "model-1",
        "responseId": "id-1",
    }


def test_thoughts_come_and_go_as_thoughts_and_signatures_stay_home() -> None:
    thought, text = GEMINI.decode_response(stored(GEMINI, "thinking.json")).parts
    assert isinstance(thought, Reasoning)
    assert text == Text("It is 4", extra={"thoughtSignature": "CiQBVKhc7qBsYXN0"})
    for target in (CHAT, MESSAGES):
        written, losses = convert_answer(GEMINI, target, stored(GEMINI, "thinking.json"))
        assert "CiQBVKhc7qBsYXN0" not in json.dumps(written)
        assert any(field.endswith("thoughtSignature") for field in losses)
    data = stored(MESSAGES, "thinking.json")
    written, losses = convert_answer(MESSAGES, GEMINI, data)
    first, *_ = written["candidates"][0]["content"]["parts"]
    assert (first["thought"], set(first)) == (True, {"text", "thought"})
    assert "EqQBCgIYAhIM" not in json.dumps(written)
    assert losses["content.signature"] == "dropped"
    assert losses["content.redacted_thinking"] == "dropped"


@pytest.mark.parametrize(
    ("case", "finish", "detail"),
    [
        ("text", FinishReason.STOP, ""),
        ("parallel_tools", FinishReason.TOOL_CALLS, ""),
        ("refusal", FinishReason.CONTENT_FILTER, ""),
        ("blocked", FinishReason.CONTENT_FILTER, "PROHIBITED_CONTENT"),
        ("malformed_call", FinishReason.OTHER, "MALFORMED_FUNCTION_CALL"),
    ],
)
def test_why_an_answer_ended_whole_and_streamed(case: str, finish: FinishReason, detail: str) -> None:
    events, error = events_of(GEMINI, [stored(GEMINI, f"{case}.sse")])
    assert error == ""
    for answered in (GEMINI.decode_response(stored(GEMINI, f"{case}.json")), fold(events)):
        assert (answered.finish, answered.finish_detail) == (finish, detail)
        own = Reply("", "")  # a call without an id goes by the answer's
        again = GEMINI.decode_response(GEMINI.encode_response(answered, own).body)
        assert same_answer(again) == same_answer(answered)
        events_again, _ = events_of(GEMINI, [write_stream(GEMINI, unfold(answered), own)])
        assert same_answer(fold(events_again)) == same_answer(answered)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("SPII", FinishReason.CONTENT_FILTER),
        ("BLOCKLIST", FinishReason.CONTENT_FILTER),
        ("IMAGE_SAFETY", FinishReason.CONTENT_FILTER),
        ("UNEXPECTED_TOOL_CALL", FinishReason.OTHER),
        ("OTHER", FinishReason.OTHER),
        ("A_WORD_TO_COME", FinishReason.OTHER),
        ("FINISH_REASON_UNSPECIFIED", None),
    ],
)
def test_every_word_for_an_end_has_its_meaning_and_comes_back(word: str, finish: FinishReason | None) -> None:
    data = body({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": word}]})
    answered = GEMINI.decode_response(data)
    assert answered.finish is finish
    written = msgspec.json.decode(GEMINI.encode_response(answered, REPLY).body)
    assert written["candidates"][0].get("finishReason") == (word if finish else None)


def test_googles_own_tools_counts_are_input_and_come_back_as_they_were() -> None:
    answered = GEMINI.decode_response(stored(GEMINI, "server_tool.json"))
    assert answered.usage == Usage(50, 0, 0, 9)
    assert [part.kind for part in answered.parts if isinstance(part, Opaque)] == [
        "executableCode",
        "codeExecutionResult",
    ]
    again = msgspec.json.decode(GEMINI.encode_response(answered, REPLY).body)
    assert again["usageMetadata"] == msgspec.json.decode(stored(GEMINI, "server_tool.json"))["usageMetadata"]
    _, losses = convert_answer(GEMINI, CHAT, stored(GEMINI, "server_tool.json"))
    assert {
        "content.executableCode",
        "content.codeExecutionResult",
        "candidates.groundingMetadata.groundingChunks",  # no segment names it
        "candidates.groundingMetadata.webSearchQueries",
    } <= set(losses)


def test_an_answer_with_nothing_in_it_is_none() -> None:
    for data in (b"{}", b'{"candidates":[]}', b'{"usageMetadata":{}}'):
        with pytest.raises(WireError, match="candidates"):
            GEMINI.decode_response(data)
    with pytest.raises(WireError, match="overloaded"):
        GEMINI.decode_response(body({"error": {"code": 503, "message": "The model is overloaded."}}))


def test_further_candidates_go_where_there_may_be_several_answers() -> None:
    one = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "index": 0}
    two = {"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP", "index": 1}
    data = body({"candidates": [one, two]})
    told, losses = convert_answer(GEMINI, CHAT, data)
    assert ([choice["message"]["content"] for choice in told["choices"]], losses) == (["a", "b"], {})
    assert convert_answer(GEMINI, MESSAGES, data)[1] == {"choices": "dropped"}
    assert convert_answer(GEMINI, GEMINI, data)[0]["candidates"][1]["content"]["parts"] == [{"text": "b"}]


# ---- streams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ALL, ids=name)
@pytest.mark.parametrize("case", ["parallel_tools", "text", "thinking"])
def test_any_stream_is_the_same_in_both_framings(source: Codec, case: str) -> None:
    path = TRANSCRIPTS / source.format / f"{case}.sse"
    if not path.exists():
        pytest.skip("no such transcript")
    events, _ = events_of(source, [path.read_bytes()])
    lines = write_stream(GEMINI, events)
    array = write_stream(GEMINI, events, msgspec.structs.replace(REPLY, array=True))
    assert msgspec.json.decode(array) == [
        msgspec.json.decode(line[6:]) for line in lines.split(b"\n") if line.startswith(b"data: ")
    ]
    assert events_of(GEMINI, [array]) == events_of(GEMINI, [lines])
    assert check(events_of(GEMINI, [array])[0]) == "finished"


def test_an_array_is_read_as_the_events_are_byte_by_byte_too() -> None:
    data = stored(GEMINI, "parallel_tools.array")
    expected = events_of(GEMINI, [stored(GEMINI, "parallel_tools.sse")])
    assert events_of(GEMINI, [data]) == expected
    assert events_of(GEMINI, [data[at : at + 1] for at in range(len(data))]) == expected


def test_an_array_cut_anywhere_before_its_finish_reason_never_finishes() -> None:
    data = stored(GEMINI, "parallel_tools.array")
    for cut in range(data.index(b'"finishReason"')):
        events, _ = events_of(GEMINI, [data[:cut]])
        assert not any(isinstance(event, Finished) for event in events)


def test_an_error_in_an_array_fails_the_answer() -> None:
    events, error = events_of(GEMINI, [stored(GEMINI, "error.array")])
    assert error == ""
    assert isinstance(events[-1], Failed)
    assert "overloaded" in events[-1].message


def test_an_error_ends_an_array_that_was_begun_or_not() -> None:
    error = InvalidRequest("no")
    encoder = GEMINI.stream_encoder(Reply("i", "m", array=True))
    events, _ = events_of(GEMINI, [stored(GEMINI, "cut.sse")])
    sent = b"".join([encoder.emit(event) for event in events])
    assert [list(item) for item in msgspec.json.decode(sent + render_item(error, "r", first=False))][-1] == ["error"]
    (alone,) = msgspec.json.decode(render_item(error, "r", first=True))
    assert alone["error"]["status"] == "INVALID_ARGUMENT"
    failed = GEMINI.stream_encoder(Reply("i", "m", array=True)).emit(Failed("gone"))
    assert msgspec.json.decode(failed)[0]["error"]["message"] == "gone"


def test_a_call_is_told_whole_however_it_came() -> None:
    events, _ = events_of(MESSAGES, [stored(MESSAGES, "parallel_tools.sse")])
    chunks = [json.loads(line[6:]) for line in write_stream(GEMINI, events).decode().splitlines() if line]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert calls[0] == {"id": "toolu_1", "name": "get_weather", "args": {"city": "Zürich"}}
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert chunks[-1]["usageMetadata"]["promptTokenCount"] == 12
    assert all(chunk["responseId"] == "id-1" and chunk["modelVersion"] == "model-1" for chunk in chunks)


def test_a_stream_told_in_the_other_formats_keeps_its_texts_and_calls() -> None:
    for case in ("text", "parallel_tools", "thinking", "cached", "refusal", "image", "server_tool"):
        events, _ = events_of(GEMINI, [stored(GEMINI, f"{case}.sse")])
        for target in (CHAT, MESSAGES):
            again, error = events_of(target, [write_stream(target, events)])
            assert error == ""
            assert check(again) == "finished"
            told = [event.text for event in events if isinstance(event, PartDelta)]
            assert "".join(told) == "".join(event.text for event in again if isinstance(event, PartDelta))


def test_a_signature_that_comes_last_belongs_to_the_text_before_it() -> None:
    events, _ = events_of(GEMINI, [stored(GEMINI, "thinking.sse")])
    assert [type(event.part) for event in events if isinstance(event, PartStarted)] == [Reasoning, Text]
    lone = (
        b'data: {"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"S"}]},"finishReason":"STOP"}]}\n\n'
    )
    (part,) = fold(events_of(GEMINI, [lone])[0]).parts
    assert part == Opaque(origin=WireFormat.GEMINI_GENERATE, data={"text": "", "thoughtSignature": "S"})


def test_silence_is_filled_with_what_googles_sdks_pass_over() -> None:
    assert GEMINI.stream_encoder(REPLY).emit(KeepAlive()) == b"\n\n"
    assert GEMINI.stream_encoder(msgspec.structs.replace(REPLY, array=True)).emit(KeepAlive()) == b"\n"


@pytest.mark.parametrize("data", [b"[1]", b'["a"]', b"[{}] x", b"[}", b'[{"a":1}}', b"[[1]"])
def test_what_is_no_array_of_answers_is_a_wire_error_or_an_unfinished_answer(data: bytes) -> None:
    events, _ = events_of(GEMINI, [data])
    check(events)
    assert not any(isinstance(event, Finished) for event in events)


def test_a_long_answer_in_small_parts_takes_time_in_proportion() -> None:
    parts = [{"text": "a"} for _ in range(100_000)]
    data = body({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]})
    assert GEMINI.decode_response(data).parts == (Text("a" * 100_000),)
    array = b"[" + data + b"]"
    events, _ = events_of(GEMINI, [array[at : at + 7] for at in range(0, len(array), 7)])
    assert fold(events).parts == (Text("a" * 100_000),)


def test_a_freeform_call_is_given_as_one_text() -> None:
    call_ = ToolCall(id="a", name="exec", arguments="print(1)", freeform=True)
    given = Response(
        origin=WireFormat.OPENAI_RESPONSES, id="", model="", parts=(call_,), finish=FinishReason.TOOL_CALLS
    )
    encoded = GEMINI.encode_response(given, REPLY)
    assert b'"args":{"input":"print(1)"}' in encoded.body
    assert [loss.field for loss in encoded.losses] == ["content.custom_tool_call"]


@pytest.mark.parametrize("fault", [b"x", b'{"candidates": }', b"]]", b'"a"'])
def test_what_came_before_a_fault_in_an_array_is_told_however_it_is_cut(fault: bytes) -> None:
    data = b"[" + body({"candidates": [{"content": {"parts": [{"text": "Once"}]}}]}) + b"," + fault
    events, error = events_of(GEMINI, [data])
    assert error or fault == b"]]"
    assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "Once"
    assert events_of(GEMINI, [data[at : at + 1] for at in range(len(data))])[0] == events
