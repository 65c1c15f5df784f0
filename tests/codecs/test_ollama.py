"""What is Ollama's alone: streams by default, calls without ids, images without types, lines for readers of lines."""

import json
from typing import Any

import msgspec
import pytest
from omni_translator.domain.codec import Encoded
from omni_translator.domain.model import FinishReason, Image, Text, Thinking, ToolCall, ToolResult
from omni_wire.errors import WireError

from tests.codecs.support import CHAT, MESSAGES, OLLAMA, REPLY, body, events_of, write_stream

PNG = "iVBORw0KGgo="


def request(*messages: dict[str, Any], **more: Any) -> Any:
    return OLLAMA.decode_request(body({"model": "m", "messages": [*messages]} | more))


def sent(encoded: Encoded) -> Any:
    return msgspec.json.decode(encoded.body)


USER = {"role": "user", "content": "hi"}


def calling(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"function": call} for call in calls]}


def result(name: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_name": name, "content": content}


def pairs(conversation: Any) -> list[tuple[str, str]]:
    """(arguments of the call, text of its result), joined by their ids."""
    parts = [part for message in conversation.messages for part in message.parts]
    said = {part.id: part.arguments for part in parts if isinstance(part, ToolCall)}
    assert len(said) == sum(isinstance(part, ToolCall) for part in parts), "no two calls have one id"
    return [(said[part.id], part.parts[0].text) for part in parts if isinstance(part, ToolResult)]  # type: ignore[union-attr]


@pytest.mark.parametrize(("given", "meant"), [({}, True), ({"stream": None}, True), ({"stream": False}, False)])
def test_it_streams_unless_told_not_to(given: dict[str, Any], meant: bool) -> None:
    conversation = request(USER, **given)
    assert conversation.stream is meant
    assert sent(CHAT.encode_request(conversation))["stream"] is meant


def test_results_find_their_calls_by_name_and_order() -> None:
    conversation = request(
        USER,
        calling({"name": "a", "arguments": {"n": 1}}, {"name": "b", "arguments": {"n": 2}}),
        result("b", "two"),
        result("a", "one"),
        calling({"name": "a", "arguments": {"n": 3}}),
        result("a", "three"),
    )
    assert pairs(conversation) == [('{"n":2}', "two"), ('{"n":1}', "one"), ('{"n":3}', "three")]
    again = sent(OLLAMA.encode_request(conversation))["messages"]
    assert not any("tool_call_id" in message for message in again), "ids that were made here are nobody's"
    assert not any("id" in call for message in again for call in message.get("tool_calls", []))


def test_a_history_that_grows_keeps_the_ids_of_its_calls() -> None:
    turns = [USER, calling({"name": "a", "arguments": {}}), result("a", "one")]
    ids = [
        [part.id for message in request(*turns[:end]).messages for part in message.parts if isinstance(part, ToolCall)]
        for end in (2, 3)
    ]
    assert ids[0] == ids[1]


def test_the_same_call_in_two_answers_has_two_ids() -> None:
    def answered(at: str) -> Any:
        said = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "a", "arguments": {}}}]}
        answer = {"model": "m", "created_at": at, "message": said, "done": True, "done_reason": "stop"}
        (call,) = OLLAMA.decode_response(body(answer)).parts
        return call

    assert answered("2026-11-28T09:30:01.1Z").id != answered("2026-11-28T09:30:02.7Z").id


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "image/png"), ("/9j/4AAQ", "image/jpeg"), ("R0lGODlh", "image/gif"), ("UklGRiQA", "image/webp")],
)
def test_an_images_type_is_told_by_its_first_bytes(data: str, kind: str) -> None:
    (message,) = request(USER | {"images": [data]}).messages
    assert message.parts == (Text("hi"), Image(data=data, media_type=kind))
    block = sent(MESSAGES.encode_request(request(USER | {"images": [data]})))["messages"][0]["content"][1]
    assert block["source"] == {"type": "base64", "media_type": kind, "data": data}


def test_an_image_by_address_is_declared_lost() -> None:
    asked = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    said = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, asked]}]}
    encoded = OLLAMA.encode_request(CHAT.decode_request(body(said)))
    assert sent(encoded)["messages"] == [USER]
    assert [(loss.field, loss.kind) for loss in encoded.losses] == [("messages.content.image", "dropped")]


@pytest.mark.parametrize(
    ("think", "meant"),
    [
        (True, Thinking(mode="adaptive", summary="auto")),
        (False, Thinking(mode="disabled")),
        ("high", Thinking(effort="high", summary="auto")),
    ],
)
def test_think_is_a_switch_or_a_level(think: Any, meant: Thinking) -> None:
    conversation = request(USER, think=think)
    assert conversation.thinking == meant
    assert sent(OLLAMA.encode_request(conversation))["think"] == think


@pytest.mark.parametrize("limit", [-1, -2])
def test_no_limit_is_none_to_others_and_stays_at_home(limit: int) -> None:
    conversation = request(USER, options={"num_predict": limit})
    assert conversation.max_output is None
    assert sent(OLLAMA.encode_request(conversation))["options"] == {"num_predict": limit}


def test_tools_that_may_not_be_called_are_not_offered() -> None:
    tool = {"type": "function", "function": {"name": "a", "parameters": {"type": "object", "properties": {}}}}
    asked = {"model": "m", "messages": [USER], "tools": [tool], "tool_choice": "none"}
    encoded = OLLAMA.encode_request(CHAT.decode_request(body(asked)))
    assert "tools" not in sent(encoded)
    assert [(loss.field, loss.kind) for loss in encoded.losses] == [("tool_choice", "approximated")]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"role": "user", "content": ["hi"]}, "messages[0].content"),
        ({"role": "user", "content": "hi", "images": [1]}, "messages[0].images[0]"),
        ({"role": "nobody", "content": "hi"}, "messages[0].role"),
        ({"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}, "messages[0].tool_calls[0]"),
    ],
)
def test_what_is_wrong_is_named(message: dict[str, Any], path: str) -> None:
    with pytest.raises(WireError) as caught:
        request(message)
    assert (caught.value.field or "").startswith(path)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x1d"])
def test_no_line_breaks_where_pythons_readers_of_lines_break_one(sign: str) -> None:
    """Ollama's client for Python reads lines by ``str.splitlines``, which knows more ends of a line than JSON does."""
    events, _ = events_of(CHAT, [b'data: {"model":"m","choices":[{"delta":{"content":%b}}]}\n\n' % body(f"a{sign}b")])
    (line,) = write_stream(OLLAMA, events).decode().splitlines()
    assert json.loads(line)["message"]["content"] == f"a{sign}b"


def test_an_answer_that_is_not_done_has_not_finished() -> None:
    said = {"model": "m", "message": {"role": "assistant", "content": "a"}}
    assert OLLAMA.decode_response(body(said | {"done": False})).finish is None
    assert OLLAMA.decode_response(body(said | {"done": True})).finish is FinishReason.STOP
    loaded = OLLAMA.decode_response(body(said | {"done": True, "done_reason": "load"}))
    assert (loaded.finish, loaded.finish_detail) == (FinishReason.OTHER, "load")


def test_a_filter_is_told_as_one() -> None:
    events, _ = events_of(CHAT, [b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"content_filter"}]}\n\n'])
    assert json.loads(write_stream(OLLAMA, events, REPLY).splitlines()[-1])["done_reason"] == "content_filter"
