"""A JSON array is cut into its elements, however it arrives."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.errors import WireError
from omni_wire.json_array import JsonArraySplitter

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(['"]', "\\", "}{"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
elements = st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3) | st.lists(values, max_size=3), max_size=5)


def cut(chunks: list[bytes]) -> list[Any]:
    splitter = JsonArraySplitter()
    return [json.loads(element) for chunk in chunks for element in splitter.feed(chunk)]


@given(given_=elements, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans(), data=st.data())
def test_every_element_comes_out_whole_wherever_the_bytes_are_cut(
    given_: list[Any], indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    whole = json.dumps(given_, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + b"\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert cut(chunks) == given_
    assert cut([whole[at : at + 1] for at in range(len(whole))]) == given_


def test_an_element_is_passed_on_with_its_last_brace() -> None:
    splitter = JsonArraySplitter()
    assert splitter.feed(b'[{"a": "}"') == []
    assert splitter.feed(b"}") == [b'{"a": "}"}']
    assert splitter.feed(b",\n{}\n") == [b"{}"]
    assert splitter.feed(b"] \n") == []


@pytest.mark.parametrize("data", [b'{"a":1}', b"x[{}]", b"[1]", b'["a"]', b"[]{}", b"[] x", b"[null]"])
def test_what_is_no_array_of_objects_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        JsonArraySplitter().feed(data)


def test_elements_before_the_fault_come_out_and_then_the_fault() -> None:
    splitter = JsonArraySplitter()
    assert splitter.feed(b"[{}, {}] x") == [b"{}", b"{}"]
    assert splitter.error is not None
    with pytest.raises(WireError):
        splitter.feed(b"")


def test_an_element_has_a_largest_size() -> None:
    splitter = JsonArraySplitter(max_bytes=10)
    assert splitter.feed(b'[{"a": 12}') == [b'{"a": 12}']
    with pytest.raises(WireError, match="longer than 10 bytes"):
        splitter.feed(b',{"a":"01234')


def test_a_long_element_in_single_bytes_takes_time_in_proportion() -> None:
    splitter = JsonArraySplitter()
    data = b'[{"a":"' + b'\\"' * 300_000 + b'"}]'
    begun = time.perf_counter()
    found = [element for at in range(len(data)) for element in splitter.feed(data[at : at + 1])]
    assert (len(found), time.perf_counter() - begun < 10) == (1, True)
