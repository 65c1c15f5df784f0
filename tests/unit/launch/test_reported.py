"""A provider's report is read as providers write it, and a difference is explained only by what can make it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_launch.reported import Difference, Reported, compare, lines, read
from omni_wire.errors import InvalidRequest

DAY = 1_793_491_200_000  # 2026-11-01
ON = "2026-11-01"


def line(**changed: Any) -> dict[str, Any]:
    usual = {
        "day_ms": DAY, "model": "gpt-x", "outcome": "ok", "pricing": "priced", "estimated": False, "suspect": "",
        "attempts": 3, "input_tokens": 100, "cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 50,
        "cost_nano_usd": 1_000_000_000,
    }  # fmt: skip
    return usual | changed


def differing(found: list[Difference]) -> dict[str, tuple[int, bool]]:
    return {one.measure: (one.more, one.explained) for one in found if one.more}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'Date,Model,Prompt Tokens,Completion Tokens,Cost\n2026-11-01,gpt-x,"1,000",20,$1.25\n',
            [Reported(ON, "gpt-x", 1000, 20, 1_250_000_000, 10_000_000)],
        ),
        (
            '[{"day": "2026-11-01T00:00:00Z", "model": "m", "cost_usd": 0.000000001},'
            ' {"day": "2026-11-01", "model": "m", "cost_usd": 2}]',
            [Reported(ON, "m", None, None, 2_000_000_001, 1_000_000_000)],
        ),
        (
            '{"object": "page", "data": [{"object": "bucket", "start_time": 1793491200, "results": ['
            '{"input_tokens": 5, "output_tokens": 6, "model": "m"},'
            ' {"input_tokens": 1, "output_tokens": 1, "model": "n"}]}]}',
            [Reported(ON, "m", 5, 6), Reported(ON, "n", 1, 1)],
        ),
        (
            '{"data": [{"start_time": 1793491200, "results": [{"amount": {"value": 0.06, "currency": "usd"}}]}]}',
            [Reported(ON, "", None, None, 60_000_000, 10_000_000)],
        ),
        (
            '{"data": [{"starting_at": "2026-11-01T00:00:00Z", "results": [{"uncached_input_tokens": 10,'
            ' "cache_read_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 2,'
            ' "ephemeral_5m_input_tokens": 1}, "output_tokens": 4, "model": "c"}]}]}',
            [Reported(ON, "c", 18, 4)],
        ),
        (  # Anthropic's cost report is in cents
            '{"data": [{"starting_at": "2026-11-01T00:00:00Z", "results": [{"currency": "USD", "amount": "123.45",'
            ' "model": "c"}]}]}',
            [Reported(ON, "c", None, None, 1_234_500_000, 100_000)],
        ),
    ],
)
def test_a_report_is_read_as_providers_write_it(text: str, expected: list[Reported]) -> None:
    assert read(text, "f") == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "f: not JSON"),
        ("day,model\n", "nothing is reported"),
        ("model,cost\nm,1\n", "line 1: it says no day"),
        ("day,input_tokens\nsoon,1\n", "'soon' is no day"),
        ("day,input_tokens\n2026-11-01,1.5\n", "'1.5' is no number of tokens"),
        ("day,input_tokens\n2026-11-01,-3\n", "'-3' is no number of tokens"),
        ("day,cost\n2026-11-01,NaN\n", "is no amount"),
        ("day,cost\n2026-11-01,much\n", "line 1"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match="f: ") as error:
        read(text, "f")
    assert told in str(error.value)


def test_the_same_is_the_same_also_where_a_bill_has_but_cents() -> None:
    said = [Reported(ON, "gpt-x", 200, 100, 2_010_000_000, 10_000_000)]
    found = compare(said, [line(), line(cost_nano_usd=1_005_000_000)])
    assert differing(found) == {}
    assert list(lines(found)) == ["3 of 3 figures are the same, 0 differ by more than what is in doubt"]


def test_a_difference_that_nothing_explains_is_told_as_such() -> None:
    found = compare([Reported(ON, "gpt-x", 101, 50, 999_000_000)], [line()])
    assert differing(found) == {"input_tokens": (1, False), "cost_nano_usd": (-1_000_000, False)}


@pytest.mark.parametrize(
    ("doubt", "why"),
    [
        ({"estimated": True}, "estimated"),
        ({"suspect": "absurd"}, "not believed"),
        ({"outcome": "partial"}, "broke off"),
        ({"outcome": "cancelled"}, "client went away"),
    ],
)
def test_what_is_in_doubt_explains_as_much_as_it_adds_up_to_and_no_more(doubt: dict[str, Any], why: str) -> None:
    rows = [line(), line(output_tokens=7, attempts=2, **doubt)]
    (found,) = (one for one in compare([Reported(ON, "gpt-x", None, 50)], rows))
    assert (found.more, found.explained, found.causes) == (-7, True, (f"2 attempts {found.causes[0][11:]}",))
    assert why in found.causes[0]
    assert "7 tokens" in found.causes[0]
    assert compare([Reported(ON, "gpt-x", None, 64)], rows)[0].explained
    assert not compare([Reported(ON, "gpt-x", None, 65)], rows)[0].explained


def test_an_attempt_whose_router_died_may_have_used_anything_and_cost_no_more_than_was_charged() -> None:
    rows = [line(), line(outcome="aborted", input_tokens=0, output_tokens=0, cost_nano_usd=500)]
    assert differing(compare([Reported(ON, "gpt-x", 900, 50, 1_000_000_000)], rows)) == {
        "input_tokens": (800, True),
        "cost_nano_usd": (-500, True),
    }
    assert not compare([Reported(ON, "gpt-x", cost_nano_usd=1_000_000_501)], rows)[0].explained


def test_what_had_no_price_explains_what_was_billed_and_no_tokens() -> None:
    rows = [line(pricing="unpriced", cost_nano_usd=0)]
    assert differing(compare([Reported(ON, "gpt-x", 101, 50, 7)], rows)) == {
        "input_tokens": (1, False),
        "cost_nano_usd": (7, True),
    }


def test_a_model_that_only_one_of_both_knows_is_a_difference() -> None:
    found = compare([Reported(ON, "theirs", 5, 5)], [line(), line(day_ms=DAY + 86_400_000, model="later")])
    assert {(one.model, one.more) for one in found} == {("theirs", 5), ("gpt-x", -100), ("gpt-x", -50)}


def test_a_report_without_models_is_held_against_the_whole_day() -> None:
    assert differing(compare([Reported(ON, "", 200, 100)], [line(), line(model="other")])) == {}


counts = st.integers(0, 10**6)


@given(st.lists(st.tuples(st.sampled_from(("a", "b")), counts, counts, counts), min_size=1, max_size=8))
def test_what_is_recorded_is_explained_by_itself(rows: list[tuple[str, int, int, int]]) -> None:
    recorded = [line(model=m, input_tokens=i, output_tokens=o, cost_nano_usd=c) for m, i, o, c in rows]
    said = [
        Reported(ON, model, *(sum(row[at] for row in rows if row[0] == model) for at in (1, 2, 3)))
        for model in {row[0] for row in rows}
    ]
    assert differing(compare(said, recorded)) == {}
