"""Reading a client's body, and changing as little of it as possible."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.request import read
from omni_wire.body import Body
from omni_wire.errors import GatewayError, InvalidRequest, NotBuilt, WireError
from omni_wire.formats import WireFormat

CHAT = WireFormat.OPENAI_CHAT
GOOD = {"model": "acme/gpt-x", "messages": [{"role": "user", "content": "hi"}]}


def test_stream_defaults_to_false() -> None:
    request = read(CHAT, json.dumps(GOOD).encode())
    assert (request.model, request.stream, request.limit, request.choices) == ("acme/gpt-x", False, 0, 1)


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


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_the_tree(raw: bytes) -> None:
    with contextlib.suppress(GatewayError):
        read(CHAT, raw)


def test_a_surface_still_to_come_says_so() -> None:
    with pytest.raises(NotBuilt):
        read(WireFormat.GEMINI_GENERATE, b"{}")


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
