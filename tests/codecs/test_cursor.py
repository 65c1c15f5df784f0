"""Cursor's protobuf, and what of a conversation it can hold."""

import base64
from typing import Any

import msgspec
import pytest
from omni_simulator.formats.cursor import field, unpack
from omni_translator.domain.codecs.cursor_chat.protobuf import Reader, message, number, text
from omni_translator.domain.model import Image, Reasoning, Text, ToolCall, ToolResult
from omni_wire.connect_frames import write_frame
from omni_wire.errors import WireError

from tests.codecs.support import CHAT, CURSOR, MESSAGES, body, events_of

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | more


def test_numbers_texts_and_messages_are_read_as_they_were_written_and_by_another_writer() -> None:
    for write in (lambda n, v: number(n, v) if isinstance(v, int) else text(n, v), field):
        reader = Reader(write(1, 300) + write(2, "Zürich") + write(1 << 20, 2**63), "m")
        assert (reader.whole(1), reader.text(2), reader.whole(1 << 20)) == (300, "Zürich", 2**63)
    inner = Reader(message(4, text(1, "a")) + message(4, text(1, "b")), "m").children(4)
    assert [one.text(1) for one in inner] == ["a", "b"]


def test_unknown_fields_of_any_kind_are_skipped() -> None:
    data = field(9, 1) + b"\x51" + bytes(8) + b"\x5d" + bytes(4) + field(12, b"\xff\xfe") + field(1, "x")
    assert Reader(data, "m").text(1) == "x"


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x08",
        b"\x08" + b"\xff" * 11,
        b"\x0b",
        b"\x00\x01",
        b"\x09abc",
        b"\xff\xff\xff\xff\x7f\x00",
    ],
)
def test_what_is_no_message_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        Reader(data, "m")


def test_a_field_of_another_kind_than_expected_is_a_wire_error() -> None:
    for data in (field(1, 5), field(1, b"\xff")):
        with pytest.raises(WireError):
            Reader(data, "m").text(1)
    with pytest.raises(WireError):
        Reader(field(1, "x"), "m").whole(1)


def test_a_message_of_endless_fields_is_refused() -> None:
    with pytest.raises(WireError, match="more than"):
        Reader(field(1, 1) * 100_001, "m")


def test_calls_and_what_they_gave_stand_in_one_message_and_come_apart_again() -> None:
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": f"f{n}", "arguments": '{"a":1}'}} for n in (1, 2)]
    results = [{"role": "tool", "tool_call_id": f"c{n}", "content": f"r{n}"} for n in (2, 1)]
    history = [
        {"role": "assistant", "content": "Look.", "tool_calls": calls},
        *results,
        {"role": "user", "content": "So?"},
    ]
    encoded = CURSOR.encode_request(CHAT.decode_request(body(asked(messages=[*asked()["messages"], *history]))))
    assert [loss.reason for loss in encoded.losses] == ["put in the order of the calls"]
    _, said, given, last = CURSOR.decode_request(encoded.body).messages
    assert said.parts == (
        Text("Look."),
        ToolCall(id="c1", name="f1", arguments='{"a":1}'),
        ToolCall(id="c2", name="f2", arguments='{"a":1}'),
    )
    assert given.parts == (ToolResult(id="c1", parts=(Text("r1"),)), ToolResult(id="c2", parts=(Text("r2"),)))
    assert last.parts == (Text("So?"),)
    assert [len(one["results"]) for one in unpack(encoded.body)["conversation"]] == [0, 2, 0]


def test_a_failed_result_stays_failed_and_shows_its_picture() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    result = {
        "type": "tool_result",
        "tool_use_id": "c1",
        "is_error": True,
        "content": [{"type": "text", "text": "no"}, image],
    }
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    encoded = CURSOR.encode_request(MESSAGES.decode_request(body({"model": "m", "max_tokens": 9, "messages": history})))
    given = CURSOR.decode_request(encoded.body).messages[2].parts
    assert given == (ToolResult(id="c1", parts=(Text("no"), Image(data=PNG, media_type="image/png")), is_error=True),)


def test_the_same_conversation_has_the_same_ids_and_one_that_grows_keeps_them() -> None:
    conversation = CHAT.decode_request(body(asked()))
    first = CURSOR.encode_request(conversation).body
    assert first == CURSOR.encode_request(conversation).body
    more = [*asked()["messages"], {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go on"}]
    grown = CURSOR.encode_request(CHAT.decode_request(body(asked(messages=more)))).body

    def ids(data: bytes) -> list[str]:
        request = Reader(data[5:], "m").children(1)[0]
        return [request.text(23), *(header.text(1) for header in request.children(30))]

    assert ids(grown)[: len(ids(first))] == ids(first)


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ({"type": "json_object"}, "one JSON object"),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "properties": {}}}},
            'JSON of this schema: {"type":"object","properties":{}}',
        ),
    ],
)
def test_structured_output_is_asked_for_in_the_users_last_words(form: dict[str, Any], shape: str) -> None:
    wish = f"Answer with nothing but {shape}"
    encoded = CURSOR.encode_request(CHAT.decode_request(body(asked(response_format=form))))
    assert unpack(encoded.body)["conversation"][-1]["text"] == f"Hi\n\n{wish}"
    assert "response_format" in [loss.field for loss in encoded.losses]
    spoken = [*asked()["messages"], {"role": "assistant", "content": "Yes?"}]
    encoded = CURSOR.encode_request(CHAT.decode_request(body(asked(messages=spoken, response_format=form))))
    last = unpack(encoded.body)["conversation"][-1]
    assert (last["text"], last["by_user"]) == (wish, True)


def test_a_thought_goes_home_only() -> None:
    proven = Reasoning(text="hm", origin=CURSOR.format, signature="sig")
    conversation = CHAT.decode_request(
        body(asked(messages=[*asked()["messages"], {"role": "assistant", "content": "Yes"}]))
    )
    question, answer = conversation.messages
    for thought, kept in ((proven, True), (msgspec.structs.replace(proven, origin=MESSAGES.format), False)):
        turn = msgspec.structs.replace(answer, parts=(thought, *answer.parts))
        encoded = CURSOR.encode_request(msgspec.structs.replace(conversation, messages=(question, turn)))
        assert (b"sig" in encoded.body) is kept
        assert bool(encoded.losses) is not kept


def test_an_answer_ends_with_its_last_frame_and_with_nothing_else() -> None:
    told = write_frame(field(2, field(1, "Hi")))
    events, error = events_of(CURSOR, [told])
    assert (error, [type(event).__name__ for event in events]) == ("", ["Started", "PartStarted", "PartDelta"])
    events, _ = events_of(CURSOR, [told + write_frame(b"{}", end=True) + b"and more"])
    assert type(events[-1]).__name__ == "Finished"
    assert events_of(CURSOR, [write_frame(b"{}", end=True)])[0] == []  # an answer that says nothing is none


def test_an_error_at_the_end_is_told_in_its_own_words() -> None:
    for error, words in (
        (b'{"error":{"code":"unauthenticated"}}', "unauthenticated"),
        (b'{"error":{"code":"internal","message":"boom"}}', "boom"),
        (b'{"error":[1]}', "the provider told an error"),
    ):
        events, _ = events_of(CURSOR, [write_frame(error, end=True)])
        assert events[-1].message == words  # type: ignore[union-attr]
