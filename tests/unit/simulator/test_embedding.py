"""Vectors of texts: near for the same in other words, far for another question, and as any provider tells them."""

import base64
import math
import struct

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_simulator.embedding import DIMENSIONS, vector

ASKED = "How do I reset my password?"


def cosine(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector(one), vector(other), strict=True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ASKED, "What is the way to change a password?"),
        (ASKED, "how can i RESET the password"),
        ("Show the price of a car", "Please display what cars cost"),
        ("Is it safe?", "Is it not safe?"),
        ("Add 2 apples", "Add 3 apples"),
    ],
)
def test_the_same_in_other_words_is_near_whatever_is_denied_or_counted(one: str, other: str) -> None:
    assert cosine(one, other) > 0.95


@pytest.mark.parametrize(
    "other", ["How do I reset my router?", "What is the capital of France?", "Where is my parcel?"]
)
def test_another_question_is_far(other: str) -> None:
    assert cosine(ASKED, other) < 0.7


@given(st.text(max_size=100), st.integers(1, 300))
def test_any_text_has_a_vector_of_length_1(text: str, dimensions: int) -> None:
    found = vector(text, dimensions)
    assert len(found) == dimensions
    assert vector(text, dimensions) == found
    length = math.hypot(*found)
    assert length == pytest.approx(1.0) or (length == 0 and dimensions < 16)


async def test_several_texts_are_answered_in_their_order_and_counted(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/embeddings", json={"model": "embed", "input": [ASKED, "Other words"]})
    told = answer.json()
    assert [each["index"] for each in told["data"]] == [0, 1]
    assert told["data"][0]["embedding"] == vector(ASKED)
    assert (told["model"], told["usage"]) == ("embed", {"prompt_tokens": 10, "total_tokens": 10})
    packed = await http.post("/v1/embeddings", json={"model": "e", "input": ASKED, "encoding_format": "base64"})
    read = struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(packed.json()["data"][0]["embedding"]))
    assert read == pytest.approx(vector(ASKED), abs=1e-6)


async def test_its_scripts_are_as_slow_and_as_faulty_as_any(http: httpx.AsyncClient) -> None:
    asked = {"model": "embed+input:7+fail-first:1+status:503", "input": "x"}
    answers = [await http.post("/v1/embeddings", json=asked) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 200]
    assert answers[1].json()["usage"]["prompt_tokens"] == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": "x"}, {"model": "m"}, {"model": "m", "input": []}, {"model": "m", "input": [1, 2]},
        {"model": "m", "input": ""}, {"model": "m", "input": "x", "dimensions": 0},
        {"model": "m", "input": "x", "encoding_format": "int8"},
    ],
)  # fmt: skip
async def test_what_is_no_such_request_is_refused(http: httpx.AsyncClient, wrong: dict[str, object]) -> None:
    assert (await http.post("/v1/embeddings", json=wrong)).status_code == 400
