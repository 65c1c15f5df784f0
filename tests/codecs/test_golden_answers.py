"""Answers from one format to the other, word for word."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.model import FinishReason
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat
from omni_wire.usage import UNREADABLE, Usage

from tests.codecs.support import (
    CHAT,
    MESSAGES,
    REPLY,
    TRANSCRIPTS,
    body,
    convert_answer,
    events_of,
    stored,
    write_stream,
)


def frames(data: bytes) -> list[Any]:
    """The JSON of every data line; [DONE] as itself."""
    lines = [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def chat_answer(message: dict[str, Any], reason: str = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": reason}
    return body({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]} | more)


def test_an_answer_of_messages_becomes_a_chat_completion() -> None:
    written, losses = convert_answer(MESSAGES, CHAT, stored(MESSAGES, "parallel_tools.json"))
    assert losses == {}
    assert written == {
        "id": "id-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "model-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me look.",
                    "refusal": None,
                    "tool_calls": [
                        {
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city":"Zürich"}'},
                        },
                        {"id": "toolu_2", "type": "function", "function": {"name": "list_files", "arguments": "{}"}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 61,
            "total_tokens": 73,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_a_chat_completion_becomes_an_answer_of_messages() -> None:
    written, losses = convert_answer(CHAT, MESSAGES, stored(CHAT, "thinking.json"))
    assert losses == {"usage.completion_tokens_details.reasoning_tokens": "dropped"}
    assert written == {
        "id": "id-1",
        "type": "message",
        "role": "assistant",
        "model": "model-1",
        "content": [
            {"type": "thinking", "thinking": "Two and two.", "signature": ""},
            {"type": "text", "text": "4"},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 9,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 20,
        },
    }


def test_a_stream_of_messages_becomes_a_chat_stream() -> None:
    events, _ = events_of(MESSAGES, [stored(MESSAGES, "parallel_tools.sse")])
    *chunks, usage, done = frames(write_stream(CHAT, events))
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 73
    assert {(chunk["id"], chunk["object"], chunk["model"], chunk["created"]) for chunk in [*chunks, usage]} == {
        ("id-1", "chat.completion.chunk", "model-1", 1_700_000_000)
    }
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Let me look."},
        {
            "tool_calls": [
                {"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"ci'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'ty": "Zür'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'ich"}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "toolu_2", "type": "function", "function": {"name": "list_files", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 8 + ["tool_calls"]


def test_a_chat_stream_tells_usage_only_when_it_was_asked_for() -> None:
    events, _ = events_of(MESSAGES, [stored(MESSAGES, "text.sse")])
    written = write_stream(CHAT, events, Reply("i", "m", 1, include_usage=False))
    assert b"usage" not in written
    assert written.endswith(b"data: [DONE]\n\n")


def test_a_chat_stream_becomes_a_stream_of_messages_block_by_block() -> None:
    events, _ = events_of(CHAT, [stored(CHAT, "interleaved_tools.sse")])
    written = frames(write_stream(MESSAGES, events))
    assert [(frame["type"], frame.get("index")) for frame in written] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert written[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert written[-2]["usage"]["output_tokens"] == 33


@pytest.mark.parametrize(
    ("anthropic", "canonical", "chat", "lossy"),
    [
        ("end_turn", FinishReason.STOP, "stop", False),
        ("max_tokens", FinishReason.LENGTH, "length", False),
        ("refusal", FinishReason.CONTENT_FILTER, "content_filter", False),
        ("tool_use", FinishReason.TOOL_CALLS, "tool_calls", False),
        ("stop_sequence", FinishReason.STOP_SEQUENCE, "stop", True),
        ("pause_turn", FinishReason.PAUSE, "stop", True),
        ("model_context_window_exceeded", FinishReason.LENGTH, "length", True),
        ("something_new", FinishReason.OTHER, "stop", True),
    ],
)
def test_every_stop_reason(anthropic: str, canonical: FinishReason, chat: str, lossy: bool) -> None:
    answer = {"id": "m", "type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": anthropic}
    response = MESSAGES.decode_response(body(answer))
    assert response.finish is canonical
    written, losses = convert_answer(MESSAGES, CHAT, body(answer))
    assert written["choices"][0]["finish_reason"] == chat
    assert losses == ({"stop_reason": "approximated"} if lossy else {})
    again = msgspec.json.decode(MESSAGES.encode_response(response, REPLY).body)
    assert again["stop_reason"] == anthropic


def test_a_forced_call_that_chat_ends_with_stop_is_tool_use_to_anthropics_clients() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    written, losses = convert_answer(CHAT, MESSAGES, chat_answer({"content": None, "tool_calls": [call]}))
    assert written["stop_reason"] == "tool_use"
    assert losses == {}


def test_an_answer_without_a_finish_reason_is_given_none() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": None}
    response = CHAT.decode_response(body({"id": "c", "choices": [choice]}))
    assert response.finish is None
    assert msgspec.json.decode(MESSAGES.encode_response(response, REPLY).body)["stop_reason"] is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 0, 0, 5, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8}, Usage(10, 8, 0, 5, 0)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 22,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(10, 0, 0, 12, 7),
        ),
        ({"prompt_tokens": "many", "completion_tokens": -1, "prompt_tokens_details": None}, Usage(suspect=UNREADABLE)),
    ],
)
def test_chat_usage_in_the_dialects_of_its_providers(usage: dict[str, Any], expected: Usage) -> None:
    assert CHAT.decode_response(chat_answer({"content": "x"}, usage=usage)).usage == expected


@pytest.mark.parametrize(
    ("codec", "answer"),
    [
        (CHAT, {"error": {"message": "quota is gone", "type": "x"}}),
        (CHAT, {"object": "error", "message": "quota is gone"}),
        (MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "quota is gone"}}),
    ],
)
def test_an_error_that_came_with_a_good_status_is_an_error(codec: Codec, answer: dict[str, Any]) -> None:
    with pytest.raises(WireError, match="quota is gone"):
        codec.decode_response(body(answer))


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b"[]", b'{"choices":[]}', b'{"choices":[{}]}', b"<html>", b'{"content":7}']
)
def test_what_is_no_answer_is_a_wire_error(answer: bytes) -> None:
    for codec in (CHAT, MESSAGES):
        with pytest.raises(WireError):
            codec.decode_response(answer)


def chat_stream(*deltas: dict[str, Any]) -> bytes:
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return b"".join(b"data: " + body(chunk) + b"\n\n" for chunk in chunks)


def call_delta(index: int | None, arguments: str, **head: Any) -> dict[str, Any]:
    name = {"name": head.pop("name")} if "name" in head else {}
    place = {} if index is None else {"index": index}
    return {"tool_calls": [place | head | {"function": name | {"arguments": arguments}}]}


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [call_delta(0, '{"a":1}', id="x", name="f"), call_delta(0, '{"b":2}', id="y", name="g")],
            id="every call has index 0",
        ),
        pytest.param(
            [
                call_delta(None, '{"a":1}', id="x", name="f"),
                call_delta(None, '{"b":', id="y", name="g"),
                call_delta(None, "2}"),
            ],
            id="no call has an index",
        ),
        pytest.param(
            [
                call_delta(0, "", id="x"),
                call_delta(0, '{"a":', name="f"),
                call_delta(0, "1}"),
                call_delta(1, '{"b":2}', id="y", name="g"),
            ],
            id="a name that comes late",
        ),
        pytest.param(
            [
                call_delta(0, '{"a":1}', id="x", name="f"),
                call_delta(0, "\n", id="x"),
                call_delta(1, '{"b":2}', id="y", name="g"),
                call_delta(0, " "),
            ],
            id="white space after the end",
        ),
    ],
)
def test_providers_ways_of_streaming_calls(deltas: list[dict[str, Any]]) -> None:
    events, error = events_of(CHAT, [chat_stream(*deltas)])
    assert error == ""
    written = frames(write_stream(MESSAGES, events))
    calls = [frame["content_block"] for frame in written if frame["type"] == "content_block_start"]
    assert [(call["id"], call["name"]) for call in calls] == [("x", "f"), ("y", "g")]
    told: dict[int, str] = {}
    for frame in written:
        if frame["type"] == "content_block_delta":
            told[frame["index"]] = told.get(frame["index"], "") + frame["delta"]["partial_json"]
    assert [json.loads(text) for text in told.values()] == [{"a": 1}, {"b": 2}]


def test_every_format_with_a_codec_has_transcripts() -> None:
    for wire_format in (WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES):
        assert list(Path(TRANSCRIPTS / wire_format).glob("*.sse"))
