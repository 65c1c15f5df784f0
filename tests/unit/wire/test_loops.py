"""How a request that comes round again is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.loops import NAME, onward, passed


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("", 0),
        ("omniroute", 1),
        ("OmniRoute; v=2 , omniroute", 2),
        ("cdn.example, omniroute;x=y, other", 1),
        ("not-omniroute, omniroutes, omni route", 0),
    ],
)
def test_each_gateway_is_one_name_in_the_header(said: str, count: int) -> None:
    assert passed(said) == count


@given(st.text(max_size=3_000))
def test_every_gateway_adds_one_to_whatever_was_said_and_it_can_be_sent(said: str) -> None:
    told = onward(said)
    assert passed(told) == passed(said) + 1
    assert told.isascii()
    assert told.isprintable()
    assert told.endswith(NAME)
