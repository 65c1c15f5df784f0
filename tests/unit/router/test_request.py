"""Reading a client's body, and changing as little of it as possible."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.request import read
from omni_wire.body import Body
from omni_wire.errors import GatewayError, InvalidRequest, WireError
from omni_wire.formats import CLIENT_FORMATS, WireFormat

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
GOOD = {"model": "acme/gpt-x", "messages": [{"role": "user", "content": "hi"}]}


def test_stream_defaults_to_false() -> None:
    request = read(CHAT, json.dumps(GOOD).encode())
    assert (request.model, request.stream, request.limit, request.choices) == ("acme/gpt-x", False, 0, 1)


@pytest.mark.parametrize(("more", "choices"), [({"n": 3}, 3), ({"best_of": 5}, 5), ({"n": 2, "best_of": 5}, 5)])
def test_as_many_answers_are_counted_as_a_provider_may_write(more: dict[str, object], choices: int) -> None:
    assert read(CHAT, json.dumps(GOOD | more).encode()).choices == choices


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"model": "m" * 513}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 3}, "stream_options"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"n": -1}, "n"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(CHAT, json.dumps(GOOD | change).encode())
    assert caught.value.param == param


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"model": "a"', b'{"a":1} x', b'{"a":' + b"[" * 100_000]
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(CHAT, raw)


@given(
    st.sampled_from(CLIENT_FORMATS),
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(
            ["model", "messages", "input", "contents", "stream", "max_tokens", "generationConfig", "prompt", "n"]
        ),
        st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()),
    ).map(lambda fields: json.dumps(fields).encode()),
)
def test_no_bytes_raise_anything_but_the_tree(wire_format: WireFormat, raw: bytes) -> None:
    with contextlib.suppress(GatewayError):
        read(wire_format, raw, model="m")


ASKING: dict[WireFormat, dict[str, object]] = {
    RESPONSES: {"model": "acme/gpt-x", "input": "hi"},
    MESSAGES: {"model": "acme/claude-x", "messages": [{"role": "user", "content": "hi"}]},
    GEMINI: {"contents": [{"parts": [{"text": "hi"}]}]},
}


@pytest.mark.parametrize(
    ("wire_format", "more", "expected"),
    [
        (RESPONSES, {}, (False, 0, 1)),
        (RESPONSES, {"stream": True, "max_output_tokens": 7}, (True, 7, 1)),
        (RESPONSES, {"input": [{"role": "user", "content": "hi"}]}, (False, 0, 1)),
        (RESPONSES, {"input": None, "previous_response_id": "resp_1"}, (False, 0, 1)),
        (MESSAGES, {"max_tokens": 9, "stream": True}, (True, 9, 1)),
        (MESSAGES, {"max_tokens": 0}, (False, 1, 1)),  # fills the prompt cache; one token is held for it
        (GEMINI, {"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}}, (True, 5, 2)),
        (GEMINI, {"generation_config": {"max_output_tokens": "12"}}, (True, 12, 1)),
        (GEMINI, {"generationConfig": None}, (True, 0, 1)),
        (
            GEMINI,
            {"contents": {"role": "USER", "parts": {"text": "hi"}}},
            (True, 0, 1),
        ),  # as Google's documentation does
    ],
)
def test_each_dialect_says_stream_limit_and_choices_in_its_own_way(
    wire_format: WireFormat, more: dict[str, object], expected: tuple[bool, int, int]
) -> None:
    raw = json.dumps(ASKING[wire_format] | more).encode()
    path = {"model": "acme/gemini-x", "stream": True, "framing": "array"} if wire_format is GEMINI else {}
    request = read(wire_format, raw, **path)  # type: ignore[arg-type]
    assert (request.stream, request.limit, request.choices) == expected
    assert request.model.startswith("acme/")
    assert request.include_usage
    assert request.framing == ("array" if wire_format is GEMINI else "sse")


@pytest.mark.parametrize(
    ("wire_format", "change", "param"),
    [
        (RESPONSES, {"model": None}, "model"),
        (RESPONSES, {"input": None}, "input"),
        (RESPONSES, {"input": []}, "input"),
        (RESPONSES, {"input": ""}, "input"),
        (RESPONSES, {"input": 3}, "input"),
        (RESPONSES, {"stream": 1}, "stream"),
        (RESPONSES, {"background": True}, "background"),
        (RESPONSES, {"max_output_tokens": 0}, "max_output_tokens"),
        (MESSAGES, {"model": 7}, "model"),
        (MESSAGES, {"messages": []}, "messages"),
        (MESSAGES, {"max_tokens": "9"}, "max_tokens"),
        (MESSAGES, {"max_tokens": False}, "max_tokens"),
        (GEMINI, {"contents": []}, "contents"),
        (GEMINI, {"contents": "hi"}, "contents"),
        (GEMINI, {"generationConfig": []}, "generationConfig"),
        (GEMINI, {"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        (GEMINI, {"generation_config": {"candidateCount": 1.5}}, "generation_config.candidateCount"),
    ],
)
def test_a_wrong_field_is_named_in_each_dialect(wire_format: WireFormat, change: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(wire_format, json.dumps(ASKING[wire_format] | change).encode(), model="g" if wire_format is GEMINI else "")
    assert caught.value.param == param


def test_a_gemini_model_may_stand_in_the_body_where_no_path_names_it() -> None:
    raw = json.dumps(ASKING[GEMINI] | {"model": "models/gemini-x"}).encode()
    assert read(GEMINI, raw).model == "gemini-x"
    assert read(GEMINI, raw, model="other").model == "other"
    with pytest.raises(InvalidRequest) as caught:
        read(GEMINI, json.dumps(ASKING[GEMINI]).encode())
    assert caught.value.param == "model"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values))
def test_an_edit_changes_its_field_and_nothing_else(fields: dict[str, object]) -> None:
    raw = json.dumps(fields).encode()
    edited = json.loads(Body(raw).with_fields({"model": "gpt-x", "gone": None}))
    expected = {key: value for key, value in fields.items() if key != "gone"} | {"model": "gpt-x"}
    assert edited == expected


def test_no_edit_gives_the_very_bytes() -> None:
    raw = b'{ "model" : "gpt-x",\n "big": 12345678901234567890, "f": 1.10 }'
    assert Body(raw).with_fields({"model": "gpt-x", "absent": None}) is raw


def test_numbers_keep_their_spelling_through_an_edit() -> None:
    raw = b'{"model":"a","seed":12345678901234567890123,"temperature":1.10}'
    edited = Body(raw).with_fields({"model": "b"})
    assert b"12345678901234567890123" in edited
    assert b"1.10" in edited


def test_a_field_that_is_not_unicode_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        Body(b'{"model": "\xff"}').get("model")


@pytest.mark.parametrize(
    ("change", "stream", "limit"),
    [
        ({}, True, 0),
        ({"stream": None}, True, 0),
        ({"stream": False, "options": {"num_predict": 7}}, False, 7),
        ({"options": {"num_predict": -1}}, True, 0),
        ({"options": None}, True, 0),
    ],
)
def test_ollamas_clients_get_a_stream_unless_they_say_no(change: dict[str, object], stream: bool, limit: int) -> None:
    request = read(WireFormat.OLLAMA_CHAT, json.dumps(GOOD | change).encode())
    assert (request.model, request.stream, request.limit, request.framing) == ("acme/gpt-x", stream, limit, "lines")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"stream": "no"}, "stream"),
        ({"options": []}, "options"),
        ({"options": {"num_predict": "7"}}, "options.num_predict"),
        ({"options": {"num_predict": True}}, "options.num_predict"),
    ],
)
def test_a_wrong_field_of_ollamas_is_named(change: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(WireFormat.OLLAMA_CHAT, json.dumps(GOOD | change).encode())
    assert caught.value.param == param
