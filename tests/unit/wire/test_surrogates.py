"""Half an emoji, as clients and providers in JavaScript write it, is no reason to refuse the rest."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.body import Body
from omni_wire.surrogates import decode, mended

ANY = msgspec.json.Decoder()
# Strings with surrogates in them, as Python's and JavaScript's encoders write them.
STRINGS = st.text(st.characters() | st.sampled_from("\ud83d\ude00\\u")).map(lambda text: json.dumps([text]).encode())


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\uDE00b"', "\ufffdb"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud83d\n"', "\ufffd\n"),
        (rb'"\\ud83d"', "\\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
    ],
)
def test_half_a_pair_is_read_as_the_replacement_character(data: bytes, read: str) -> None:
    assert decode(ANY, data) == read


@given(STRINGS)
def test_whatever_python_or_javascript_writes_can_be_read(data: bytes) -> None:
    expected = json.loads(data)[0].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert decode(ANY, data) == [expected]


@given(st.text().map(lambda text: json.dumps(text).encode()))
def test_whole_pairs_stay_as_they_are_written(data: bytes) -> None:
    assert mended(data) == data


def test_broken_json_is_still_refused() -> None:
    for data in (rb'"\ud83d', rb'{"a": \ud83d}', b'"\\', b""):
        with pytest.raises(msgspec.DecodeError):
            decode(ANY, data)


def test_a_body_with_half_an_emoji_is_read_and_handed_on_as_text() -> None:
    body = Body(rb'{"model": "m", "messages": [{"role": "user", "content": "cut \ud83d"}]}')
    assert body.get("messages") == [{"role": "user", "content": "cut \ufffd"}]
    assert body.with_fields({"model": "m"}) == body.whole
    assert rb"\ud83d" not in body.with_fields({"model": "n"})
